import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import { commitPattern, parseNumber } from '../../lib/names.js'
import { type PathFile, parsePathFile } from '../../lib/path-file.js'
import type { Pointers, ReleasePointer } from '../../lib/pointers.js'
import { type HeldProject, planKey, routingKey } from '../../lib/read-cache.js'
import { filesByKey, makeRoutingTable, type RoutedFile, type RoutingTable } from '../../lib/routing-table.js'
import type { SourceState } from '../../lib/source-state.js'
import { soon } from './access.service.js'
import { loadOnce, readDatabase } from './database.service.js'
import { readRelease, readRouting, readSources } from './statements.service.js'

/** The states of sources are read again after so long, while those that are known are answered from. */
const sourcesAgainMs = 2_000
/** The answers of one release take at most this part of the memory: who asks for ever other contexts pushes out no more. */
const answersPart = 1 / 16

type RoutingRow = {
  sources: { id: string; name: string; pathFile: string | null }[]
  files: [sourceId: string, path: string, name: string][]
}

/** How a release is routed. Throws a 503 where that is not known and cannot be loaded. */
export async function routingOf(deps: Deps, pointers: Pointers, release: ReleasePointer): Promise<RoutingTable> {
  const key = routingKey(pointers, release.uid)
  const known = knownRouting(deps, pointers, release)
  if (known) return known
  return loadOnce(deps, key, async () => {
    const row = await readDatabase<RoutingRow>(deps, readRouting, [release.id, release.uid])
    if (!row) throw new AppError('release.not_found', 'The release was erased a moment ago, with its project.')
    const table = toTable(deps, release, row)
    keepTable(deps, pointers, key, table)
    return table
  })
}

/** The same without waiting: null where it is not known. */
export function knownRouting({ cache }: Deps, pointers: Pointers, { uid }: ReleasePointer): RoutingTable | null {
  return (cache.entries.get(routingKey(pointers, uid)) as RoutingTable | undefined) ?? null
}

/** What was read before a purge is of no use after it. */
function keepTable({ cache }: Deps, { project, purges }: Pointers, key: string, table: RoutingTable): void {
  if (cache.projects.peek(`${project.id}`)?.pointers.purges === purges) cache.entries.set(key, table)
}

/** Puts a table in the place that its size takes now: it grows with its answers. */
export function keepGrown({ cache }: Deps, pointers: Pointers, table: RoutingTable): void {
  const key = routingKey(pointers, table.release.uid)
  if (cache.entries.peek(key) !== table) return
  cache.entries.delete(key)
  cache.entries.set(key, table)
}

function toTable({ cache, log }: Deps, release: ReleasePointer, { sources, files }: RoutingRow): RoutingTable {
  const bySource = new Map<string, RoutedFile[]>(sources.map(({ id }) => [id, []]))
  for (const [sourceId, path, name] of files) bySource.get(sourceId)?.push({ path, name })
  const routed = sources.map(({ id, name, pathFile }) => ({
    ...{ id, name, pathFile: readPathFile({ log }, pathFile) },
    files: filesByKey(bySource.get(id) ?? []),
  }))
  const pathTextLength = sources.reduce((sum, { pathFile }) => sum + (pathFile?.length ?? 0), 0)
  return makeRoutingTable(release, routed, { pathTextLength, maxAnswersBytes: cache.bytes * answersPart })
}

/** It was checked when it was synced; what another version of this program took for valid routes nothing. */
function readPathFile({ log }: Pick<Deps, 'log'>, text: string | null): PathFile | null {
  try {
    return text === null ? null : parsePathFile(text)
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    log.warn({ reason: error.message }, 'A stored PATH file cannot be read any more.')
    return null
  }
}

type NamedRelease = { id: string; uid: string; number: number; label: string | null }

/**
 * How the release is routed that a label, number, commit or `latest` names. Throws `release.not_found`, or a 503 where it is
 * not known and cannot be loaded.
 */
export async function routingNamed(deps: Deps, { pointers }: HeldProject, ref: string): Promise<RoutingTable> {
  const { project, era, epoch } = pointers
  // Labels and numbers are given once; a commit may get a newer release, as the project does.
  const until = ref === 'latest' || commitPattern.test(ref) ? epoch : ''
  const key = routingKey(pointers, `of ${era} ${until} ${ref}`)
  const known = deps.cache.entries.get(key) as RoutingTable | undefined
  if (known) return known
  const missKey = planKey(`${project.id}`, '', ref)
  const miss = deps.cache.misses.get(missKey)
  if (miss && miss.era === era && miss.epoch === epoch) throw miss.error
  const release = await findRelease(deps, pointers, ref)
  if (!release) {
    const error = new AppError('release.not_found', `There is no release "${ref}". Sync a source, or push to that alias.`)
    deps.cache.misses.set(missKey, { error, era, epoch })
    throw error
  }
  const table = await routingOf(deps, pointers, release)
  keepTable(deps, pointers, key, table)
  return table
}

async function findRelease(deps: Deps, pointers: Pointers, ref: string): Promise<ReleasePointer | null> {
  const { project, era, epoch } = pointers
  const commit = commitPattern.test(ref) ? ref.toLowerCase() : null
  const values = [`${project.id}`, ref, parseNumber('r', ref), commit, commit && `${commit}g`]
  const row = await loadOnce(deps, `${project.id} release ${era} ${epoch} ${ref}`, () =>
    readDatabase<NamedRelease>(deps, readRelease, values),
  )
  return row && { id: row.id, uid: row.uid, ref: row.label ?? `r${row.number}` }
}

type SourceRow = {
  id: string
  ttlSeconds: number
  staleSeconds: number | null
  unreachableSince: string | null
  checkedAt: string | null
}

export type SourceStates = ReadonlyMap<string, SourceState>

/** Sources come and go by writes to the project, after which they are read anew. */
function statesKey({ project, era, epoch }: Pointers): string {
  return `${project.id} ${era} ${epoch}`
}

/**
 * The sources of a project as they were known a moment ago; they are read again in the background. What was not asked for
 * in a while is waited for, though not for long where something is known; null where they cannot be told.
 */
export async function sourceStates(deps: Deps, { pointers }: HeldProject): Promise<SourceStates | null> {
  const current = knownStates(deps, pointers)
  if (current) return current
  const earlier = deps.cache.sources.get(statesKey(pointers))?.states ?? null
  const reading = readStates(deps, pointers)
  return (earlier ? soon(reading) : reading).catch((err: unknown) => {
    deps.log.debug({ err }, 'The states of sources could not be read.')
    return earlier
  })
}

/** The same without waiting: null where nothing is known that is recent enough. */
export function knownStates(deps: Deps, pointers: Pointers): SourceStates | null {
  const known = deps.cache.sources.get(statesKey(pointers))
  if (!known) return null
  const ageMs = deps.elapsed() - known.readAtMs
  if (ageMs >= deps.config.maxStalenessMs) return null
  if (ageMs >= sourcesAgainMs) {
    known.reading ??= readStates(deps, pointers)
      .then(
        () => undefined,
        (err: unknown) => deps.log.debug({ err }, 'The states of sources could not be read.'),
      )
      .finally(() => {
        known.reading = null
      })
  }
  return known.states
}

function readStates(deps: Deps, pointers: Pointers): Promise<SourceStates> {
  const key = statesKey(pointers)
  const readAtMs = deps.elapsed()
  return loadOnce(deps, `${key} sources`, async () => {
    const rows = (await readDatabase<SourceRow[]>(deps, readSources, [`${pointers.project.id}`])) ?? []
    const states = new Map(rows.map((row) => [row.id, toState(row)]))
    deps.cache.sources.set(key, { states, readAtMs, reading: null })
    return states
  })
}

function toState({ ttlSeconds, staleSeconds, unreachableSince, checkedAt }: SourceRow): SourceState {
  const time = (text: string | null) => (text === null ? null : Date.parse(text))
  return { ttlSeconds, staleSeconds, unreachableSinceMs: time(unreachableSince), checkedAtMs: time(checkedAt) }
}
