import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import { checkSchemaVersion, type PathFile, parsePathFile } from '../../lib/path-file.js'
import type { Pause } from '../../lib/slices.js'
import {
  type Fault,
  pathFileName,
  type Selected,
  type SelectionRules,
  schemaVersionName,
  selectFiles,
} from '../../lib/source-files.js'
import { maxFindings } from '../../lib/validation.js'
import type { ListedCommit, ListedFile, Provider, ProviderContext, Revision } from '../../providers/provider.js'
import { maxRevisionLength } from '../../providers/provider.js'

/** What is in a source, as far as it is to be taken, with what is wrong with that at a first glance. */
export type Found = Selected<ListedFile> & {
  revision: Revision
  commit: ListedCommit | null
  /** What is left out, and why: warnings of a run. */
  warnings: string[]
}

/** The texts of files that route, null where there are none. */
export type Routing = { pathText: string | null; pathFile: PathFile | null }

/** Where a provider is asked, and with what. */
export type Asked = { provider: Provider; config: unknown; context: ProviderContext; pause: Pause }

const maxIgnoredNamed = 10

/** What an error says is wrong, item by item. */
export function faultsOf(error: AppError): Fault[] {
  return (error.errors ?? [{ path: '', message: error.message }]).map((finding) => ({ code: error.code, ...finding }))
}

/** Throws for all that is wrong at once; the first fault gives the error its code. */
export function refuseFaults(faults: readonly Fault[]): void {
  const [first] = faults
  if (!first) return
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more, see errors)` : ''
  throw new AppError(first.code, `${first.message}${more}`, { errors: faults.slice(0, maxFindings) })
}

/** Takes a step. What is wrong with the source joins `faults`, and null is the answer; what may be gone soon is thrown. */
async function collect<T>(faults: Fault[], step: () => T | Promise<T>): Promise<T | null> {
  try {
    return await step()
  } catch (error) {
    if (!(error instanceof AppError) || error.status >= 500) throw error
    faults.push(...faultsOf(error))
    return null
  }
}

/**
 * What there is now, or null where nothing has changed since `previous`. `onReached` is called once the other side has told
 * what it has. Throws `source.*`.
 */
export async function findFiles(
  { provider, config, context, pause }: Asked,
  previous: Revision | null,
  rules: SelectionRules,
  onReached: () => void = () => undefined,
): Promise<Found | null> {
  const listing = await provider.list(config, previous, context)
  onReached()
  if (listing.unchanged) return null
  const { faults, ...selected } = await selectFiles(listing.files, rules, pause)
  if (listing.revision.length > maxRevisionLength)
    throw new Error(`Provider ${provider.name} answers a revision too long to keep.`)
  if (selected.prompts.length === 0 && faults.length === 0) faults.push(noPrompts(listing.files.length, rules))
  const { revision, commit } = listing
  return {
    ...withoutLarge(selected, faults, context.limits.fileBytes),
    revision,
    commit,
    warnings: ignoredWarnings(listing.ignored),
  }
}

/** What is too large is not read; it joins `faults`. */
function withoutLarge(
  { prompts, pathFile, schemaVersion }: Omit<Selected<ListedFile>, 'faults'>,
  faults: Fault[],
  fileBytes: number,
): Selected<ListedFile> {
  const isTaken = <File extends ListedFile>(file: File | null): file is File => {
    if (file === null) return false
    if (file.sizeBytes === null || file.sizeBytes <= fileBytes) return true
    faults.push(tooLarge(file, fileBytes))
    return false
  }
  return {
    prompts: prompts.filter(isTaken),
    pathFile: isTaken(pathFile) ? pathFile : null,
    schemaVersion: isTaken(schemaVersion) ? schemaVersion : null,
    faults,
  }
}

function noPrompts(files: number, { include }: SelectionRules): Fault {
  const what = include.length > 0 ? ' that `include` names' : ''
  const remedy = 'Put prompts (.md, .txt, .yaml, .j2, .prompty) below prompts/, or set `include`.'
  const message = `The source holds ${files} files, and no prompt file${what} among them. ${remedy}`
  return { code: 'source.invalid', path: '', message }
}

function tooLarge({ path, sizeBytes }: ListedFile, fileBytes: number): Fault {
  const mebibytes = ((sizeBytes ?? 0) / 1024 ** 2).toFixed(1)
  const message = `File "${path}" has ${mebibytes} MiB; at most ${fileBytes / 1024} KiB are taken. Split or exclude it.`
  return { code: 'source.too_large', path, message }
}

function ignoredWarnings(ignored: readonly { path: string; why: string }[]): string[] {
  const named = ignored.slice(0, maxIgnoredNamed).map(({ path, why }) => `"${path}" is left out: ${why}.`)
  return ignored.length > maxIgnoredNamed ? [...named, `${ignored.length - maxIgnoredNamed} more are left out.`] : named
}

/** The texts of files by their paths. Those that are not UTF-8 are missing, and join `faults`. */
export async function readTexts(
  { provider, config, context }: Asked,
  files: readonly ListedFile[],
  revision: Revision,
  faults: Fault[],
): Promise<Map<string, string>> {
  const texts = new Map<string, string>()
  if (files.length === 0) return texts
  const wrong = new Set<string>()
  for await (const { path, bytes } of provider.read(config, files, revision, context)) {
    const text = decode(bytes)
    if (text === null) wrong.add(path)
    else texts.set(path, text)
  }
  faults.push(...[...wrong].map(notText))
  const missing = files.find(({ path }) => !texts.has(path) && !wrong.has(path))
  if (missing) throw new AppError('source.changed', `File "${missing.path}" was listed and is not there any more. Sync again.`)
  return texts
}

function notText(path: string): Fault {
  const message = `File "${path}" is not UTF-8 text. Encode it as UTF-8, or exclude it.`
  return { code: 'file.invalid', path, message }
}

function decode(bytes: Buffer): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (error) {
    if (error instanceof TypeError) return null
    throw error
  }
}

/** Reads what routes. Null where that cannot be read: every line that is wrong joins `faults`. */
export async function readRouting(
  texts: ReadonlyMap<string, string>,
  found: Pick<Found, 'pathFile' | 'schemaVersion'>,
  sources: readonly string[],
  faults: Fault[],
): Promise<Routing | null> {
  const wrong: Fault[] = []
  const routing = await collect(wrong, () => parseRouting(texts, found, sources))
  faults.push(...wrong.map(inRoutingFile))
  return routing
}

/** What is found in the file says which of its fields is wrong; the source has more files than that. */
function inRoutingFile(fault: Fault): Fault {
  const path = fault.path === schemaVersionName ? fault.path : pathFileName
  return { ...fault, path, message: `File "${path}", line ${fault.line}, column ${fault.column}: ${fault.message}` }
}

/** Throws `path.invalid`. */
function parseRouting(
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
