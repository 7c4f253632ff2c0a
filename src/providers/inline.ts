import { z } from 'zod'
import { AppError } from '../errors.js'
import { pathProblem } from '../lib/relative-path.js'
import { digestOf, sha256 } from './digests.js'
import type { ListedFile, Provider } from './provider.js'

type InlineConfig = z.infer<typeof InlineConfig>

const maxTotalBytes = 1024 * 1024

const InlineConfig = z
  .strictObject({
    files: z.record(z.string().min(1), z.string()).describe('The contents by the paths of their files.'),
  })
  .superRefine(({ files }, { addIssue }) => {
    const paths = Object.keys(files)
    const issue = (message: string, path: string[]) => addIssue({ code: 'custom', message, path: ['files', ...path] })
    if (paths.length === 0) issue('Give at least one file.', [])
    for (const path of paths) {
      const problem = pathProblem(path)
      if (problem !== null) issue(`Write it as folder/name.md: ${problem}.`, [path])
    }
    const bytes = paths.reduce((sum, path) => sum + Buffer.byteLength(files[path] ?? ''), 0)
    if (bytes > maxTotalBytes) issue('All files together are over 1 MiB. Give fewer, or keep them in a repository.', [])
  })

/** Content that stands in the config itself: nothing is fetched. */
export const inline: Provider<InlineConfig> = {
  name: 'inline',
  config: InlineConfig,
  contentFields: ['files'],
  needsGlobalAdmin: false,
  target: () => 'inline',
  check: async () => undefined,
  async list(config, previous, { limits }) {
    const files = listed(config)
    if (files.length > limits.files) {
      throw new AppError(
        'source.too_large',
        `The source has ${files.length} files; at most ${limits.files} are taken. Remove some.`,
      )
    }
    const revision = digestOf(files)
    return revision === previous
      ? { revision, unchanged: true }
      : { revision, unchanged: false, files, ignored: [], commit: null }
  },
  async *read({ files: contents }, files, _revision, { limits }) {
    let totalBytes = 0
    for (const { path, hash } of files) {
      const bytes = Buffer.from(Object.hasOwn(contents, path) ? (contents[path] ?? '') : '')
      if (!Object.hasOwn(contents, path) || sha256(bytes) !== hash) {
        throw new AppError('source.changed', `File "${path}" was changed. Sync again.`, { headers: { 'retry-after': '1' } })
      }
      totalBytes += bytes.length
      if (bytes.length > limits.fileBytes || totalBytes > limits.totalBytes) {
        throw new AppError('source.too_large', `File "${path}" is over what may be taken. Make it smaller, or exclude it.`)
      }
      yield { path, bytes }
    }
  },
}

function listed({ files }: InlineConfig): ListedFile[] {
  return Object.entries(files).map(([path, content]) => {
    const bytes = Buffer.from(content)
    return { path, hash: sha256(bytes), sizeBytes: bytes.length }
  })
}
