import type { Deps } from '../../deps.js'
import { AppError, type Finding } from '../../errors.js'
import { checkSchemaVersion, type PathFile, parsePathFile } from '../../lib/path-file.js'
import { type Selected, type SelectionRules, selectFiles } from '../../lib/source-files.js'
import { maxFindings } from '../../lib/validation.js'
import type { ListedCommit, ListedFile, Provider, ProviderContext, Revision } from '../../providers/provider.js'
import { maxRevisionLength } from '../../providers/provider.js'

/** What is in a source, as far as it is to be taken. */
export type Found = Selected<ListedFile> & {
  revision: Revision
  commit: ListedCommit | null
  /** What is left out, and why: warnings of a run. */
  warnings: string[]
}

/** The texts of files that route, null where there are none. */
export type Routing = { pathText: string | null; pathFile: PathFile | null }

/** Where a provider is asked, and with what. */
export type Asked = { provider: Provider; config: unknown; context: ProviderContext }

const maxIgnoredNamed = 10

/**
 * What there is now, or null where nothing has changed since `previous`. `onReached` is called once the other side has told
 * what it has. Throws `source.*` and `file.*`.
 */
export async function findFiles(
  { provider, config, context }: Asked,
  previous: Revision | null,
  rules: SelectionRules,
  onReached: () => void = () => undefined,
): Promise<Found | null> {
  const listing = await provider.list(config, previous, context)
  onReached()
  if (listing.unchanged) return null
  const selected = selectFiles(listing.files, rules)
  if (listing.revision.length > maxRevisionLength)
    throw new Error(`Provider ${provider.name} answers a revision too long to keep.`)
  if (selected.prompts.length === 0) throw noPrompts(listing.files.length, rules)
  refuseLarge(selected, context.limits.fileBytes)
  return { ...selected, revision: listing.revision, commit: listing.commit, warnings: ignoredWarnings(listing.ignored) }
}

function noPrompts(files: number, { include }: SelectionRules): AppError {
  const what = include.length > 0 ? ' that `include` names' : ''
  return new AppError(
    'source.invalid',
    `The source holds ${files} files, and no prompt file${what} among them. Put prompts (.md, .txt, .yaml, .j2, .prompty) below prompts/, or set \`include\`.`,
  )
}

function refuseLarge({ prompts }: Selected<ListedFile>, fileBytes: number): void {
  const large = prompts.filter(({ sizeBytes }) => sizeBytes !== null && sizeBytes > fileBytes)
  const errors = large.map(({ path, sizeBytes }): Finding => {
    const mebibytes = ((sizeBytes ?? 0) / 1024 ** 2).toFixed(1)
    return {
      path,
      message: `File "${path}" has ${mebibytes} MiB; at most ${fileBytes / 1024} KiB are taken. Split or exclude it.`,
    }
  })
  if (errors[0]) throw new AppError('source.too_large', errors[0].message, { errors: errors.slice(0, maxFindings) })
}

function ignoredWarnings(ignored: readonly { path: string; why: string }[]): string[] {
  const named = ignored.slice(0, maxIgnoredNamed).map(({ path, why }) => `"${path}" is left out: ${why}.`)
  return ignored.length > maxIgnoredNamed ? [...named, `${ignored.length - maxIgnoredNamed} more are left out.`] : named
}

/** The texts of files by their paths. Throws `file.invalid` naming every one that is not UTF-8. */
export async function readTexts(
  { provider, config, context }: Asked,
  files: readonly ListedFile[],
  revision: Revision,
): Promise<Map<string, string>> {
  const texts = new Map<string, string>()
  if (files.length === 0) return texts
  const wrong: Finding[] = []
  for await (const { path, bytes } of provider.read(config, files, revision, context)) {
    const text = decode(bytes)
    if (text === null) wrong.push({ path, message: `File "${path}" is not UTF-8 text. Encode it as UTF-8, or exclude it.` })
    else texts.set(path, text)
  }
  if (wrong[0]) throw new AppError('file.invalid', wrong[0].message, { errors: wrong.slice(0, maxFindings) })
  const missing = files.find(({ path }) => !texts.has(path))
  if (missing) throw new AppError('source.changed', `File "${missing.path}" was listed and is not there any more. Sync again.`)
  return texts
}

function decode(bytes: Buffer): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (error) {
    if (error instanceof TypeError) return null
    throw error
  }
}

/** Reads what routes. Throws `path.invalid` with every line that is wrong. */
export function parseRouting(
  texts: ReadonlyMap<string, string>,
  { pathFile, schemaVersion }: Pick<Found, 'pathFile' | 'schemaVersion'>,
  sources: readonly string[],
): Routing {
  const pathText = pathFile ? (texts.get(pathFile.path) ?? null) : null
  if (pathText === null) return { pathText: null, pathFile: null }
  const parsed = parsePathFile(pathText, { sources })
  const version = schemaVersion ? texts.get(schemaVersion.path) : undefined
  if (version !== undefined) checkSchemaVersion(version, parsed)
  return { pathText, pathFile: parsed }
}

/** The names of a project's sources: a PATH file may name them. */
export async function sourceNames({ db }: Pick<Deps, 'db'>, projectId: bigint): Promise<string[]> {
  return (await db.source.findMany({ where: { projectId }, select: { name: true } })).map(({ name }) => name)
}
