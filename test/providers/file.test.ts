import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { file } from '../../src/providers/file.js'
import type { Listing, ProviderContext } from '../../src/providers/provider.js'
import type { Teardown } from '../helpers/service.js'
import { type Files, type Peer, providerConforms } from './conformance.js'
import { providerContext } from './helpers/context.js'

type FullListing = Extract<Listing, { unchanged: false }>

async function freshDirectory(t: Teardown): Promise<string> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'promptsync-files-')))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

async function writeFiles(directory: string, files: Files): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await writeFile(join(directory, path), content)
  }
}

providerConforms(t, {
  provider: file,
  makePeer: async (t): Promise<Peer> => {
    const root = await freshDirectory(t)
    const directory = join(root, 'prompts')
    return {
      config: { directory },
      context: { fileRoots: [root] },
      write: async (files) => {
        await rm(directory, { recursive: true, force: true })
        await writeFiles(directory, files)
      },
    }
  },
})

async function startDirectory(t: Test, files: Files) {
  const root = await freshDirectory(t)
  const directory = join(root, 'prompts')
  await writeFiles(directory, files)
  const context = await providerContext(t, { fileRoots: [root] })
  return { root, directory, config: { directory }, context }
}

async function list(config: { directory: string }, context: ProviderContext) {
  const listing = await file.list(config, null, context)
  if (listing.unchanged) throw new Error('Nothing was listed.')
  return listing
}

async function readAll(
  config: { directory: string },
  listing: Pick<FullListing, 'files' | 'revision'>,
  context: ProviderContext,
) {
  const found: Files = {}
  for await (const { path, bytes } of file.read(config, listing.files, listing.revision, context)) found[path] = String(bytes)
  return found
}

t.test('only absolute directories without ".." can be asked for', async (t) => {
  for (const directory of ['', 'prompts', './prompts', '../etc', '/srv/../etc', '/srv/..', '/a\0b', `/${'a'.repeat(1_000)}`]) {
    t.notOk(file.config.safeParse({ directory }).success, directory.slice(0, 40))
  }
})

t.test('a directory outside of those that are open is refused, and nothing is told of it', async (t) => {
  const { root, directory, context } = await startDirectory(t, { 'a.md': 'Inner.' })
  const outer = await freshDirectory(t)
  await writeFiles(outer, { 'secret.md': 'Outer.' })
  await symlink(outer, join(directory, 'link'))
  await symlink(outer, join(root, 'open'))
  const outside = [
    outer,
    join(outer, 'not-there'),
    dirname(root),
    '/',
    `${root}-other`,
    join(directory, 'link'),
    join(root, 'open'),
  ]
  for (const directory of outside) {
    await t.rejects(file.check({ directory }, context), { code: 'source.blocked', message: /PROMPTSYNC_FILE_ROOTS/ }, directory)
    await t.rejects(file.list({ directory }, null, context), { code: 'source.blocked' }, directory)
  }
  await t.rejects(file.check({ directory }, { ...context, fileRoots: [] }), { code: 'source.blocked' })
  await file.check({ directory }, { ...context, fileRoots: ['/not/there', root] })
  await file.check({ directory: root }, context)
})

t.test('a root that is itself a symbolic link is open where it leads to', async (t) => {
  const { root, context } = await startDirectory(t, { 'a.md': 'Inner.' })
  const link = join(await freshDirectory(t), 'link')
  await symlink(root, link)
  const config = { directory: join(link, 'prompts') }
  const opened = { ...context, fileRoots: [link] }
  const listing = await list(config, opened)
  t.same(await readAll(config, listing, opened), { 'a.md': 'Inner.' })
})

t.test('links, pipes and names that are no text are left out and said so; dot-folders are passed over', async (t) => {
  const { directory, config, context } = await startDirectory(t, {
    'a.md': 'A.',
    '.git/config': 'B.',
    'deep/.x/c.md': 'C.',
    '.env': 'D.',
  })
  await symlink('/etc/passwd', join(directory, 'passwd.md'))
  await symlink('a.md', join(directory, 'deep/inner.md'))
  await symlink('..', join(directory, 'loop'))
  await promisify(execFile)('mkfifo', [join(directory, 'pipe.md')])
  // Elsewhere the file system itself refuses such a name.
  const nameless = process.platform === 'linux' ? ['\ufffd.md'] : []
  if (nameless.length > 0)
    await writeFile(Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xff]), Buffer.from('.md')]), 'E.')
  const listing = await list(config, context)
  t.same(
    listing.files.map(({ path }) => path),
    ['.env', 'a.md'],
  )
  const ignored = new Map(listing.ignored.map(({ path, why }) => [path, why]))
  t.same([...ignored.keys()].sort(), ['deep/inner.md', 'loop', 'passwd.md', 'pipe.md', ...nameless])
  t.match(ignored.get('passwd.md'), /symbolic link/)
  t.match(ignored.get('pipe.md'), /neither a file nor a folder/)
})

t.test('what became a link or a pipe since it was listed is not read', async (t) => {
  const { directory, config, context } = await startDirectory(t, { 'a.md': 'A.', 'deep/b.md': 'B.', 'c.md': 'C.', 'd.md': 'D.' })
  const outer = await freshDirectory(t)
  await writeFiles(outer, { 'b.md': 'B.', 'a.md': 'A.' })
  const listing = await list(config, context)
  await rm(join(directory, 'a.md'))
  await symlink(join(outer, 'a.md'), join(directory, 'a.md'))
  await rm(join(directory, 'deep'), { recursive: true })
  await symlink(outer, join(directory, 'deep'))
  await rm(join(directory, 'c.md'))
  await promisify(execFile)('mkfifo', [join(directory, 'c.md')])
  await rm(join(directory, 'd.md'))
  for (const listed of listing.files) {
    await t.rejects(readAll(config, { ...listing, files: [listed] }, context), { code: 'source.changed' }, listed.path)
  }
})

t.test('a file that is too large is listed with its size, and refused when it is read', async (t) => {
  const { directory, config, context } = await startDirectory(t, { 'a.md': 'Small.', 'b.bin': 'x'.repeat(2_000) })
  const narrow = { ...context, limits: { files: 2, fileBytes: 1_000, totalBytes: 10_000 } }
  const listing = await list(config, narrow)
  t.match(listing.files, [
    { path: 'a.md', sizeBytes: 6 },
    { path: 'b.bin', sizeBytes: 2_000 },
  ])
  t.same(await readAll(config, { ...listing, files: listing.files.slice(0, 1) }, narrow), { 'a.md': 'Small.' })
  await t.rejects(readAll(config, listing, narrow), { code: 'source.too_large', message: /"b\.bin"/ })
  await writeFile(join(directory, 'b.bin'), 'x'.repeat(2_001))
  t.not((await list(config, narrow)).revision, listing.revision)
})

t.test('folders without end are not walked to the end', async (t) => {
  const { directory, config, context } = await startDirectory(t, { 'a.md': 'A.' })
  for (let index = 0; index < 12; index += 1) await mkdir(join(directory, `${index}`))
  const narrow = { ...context, limits: { files: 1, fileBytes: 1_000, totalBytes: 10_000 } }
  await t.rejects(file.list(config, null, narrow), { code: 'source.too_large' })
  await mkdir(join(directory, ...Array.from({ length: 70 }, () => 'd')), { recursive: true })
  const { ignored } = await list(config, context)
  t.match(ignored, [{ why: /64 folders deep/ }])
})

t.test('what is not there, is a file or may not be read is said to be so', async (t) => {
  const { root, directory, config, context } = await startDirectory(t, { 'a.md': 'A.', 'b.md': 'B.' })
  await t.rejects(file.check({ directory: join(root, 'none') }, context), {
    code: 'source.missing',
    message: /none" is not there/,
  })
  await t.rejects(file.check({ directory: join(directory, 'a.md') }, context), { code: 'source.invalid', message: /is a file/ })
  await chmod(join(directory, 'b.md'), 0)
  await chmod(root, 0o755)
  await asNobody(() => t.rejects(file.list(config, null, context), { code: 'source.denied', message: /"b\.md".*permission/ }))
  t.match(context.notes.at(-1), { what: directory, statusCode: null, error: /b\.md/ })
})

/** The administrator may read everything. */
async function asNobody(work: () => Promise<unknown>): Promise<void> {
  const user = process.geteuid?.()
  if (user === 0) process.seteuid?.('nobody')
  try {
    await work()
  } finally {
    if (user === 0) process.seteuid?.(0)
  }
}
