import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import { commitPattern, parseNumber } from '../../lib/names.js'
import { type PathFile, parsePathFile } from '../../lib/path-file.js'
import type { Pointers, ReleasePointer } from '../../lib/pointers.js'
import { type HeldProject, routingKey } from '../../lib/read-cache.js'
import { filesByKey, makeRoutingTable, type RoutedFile, type RoutingTable } from '../../lib/routing-table.js'
import type { SourceState } from '../../lib/source-state.js'
import { loadOnce, readDatabase } from './database.service.js'
import { readRelease, readRouting, readSources } from './statements.service.js'

/** The states of sources are read again after so long, while those that are known are answered from. */
const sourcesAgainMs = 2_000

type RoutingRow = {
  sources: { id: string; name: string; pathFile: string | null }[]
  files: [sourceId: string, path: string, name: string][]
}

/** How a release is routed. Throws a 503 where that is not known and cannot be loaded. */
export async function routingOf(deps: Deps, pointers: Pointers, release: ReleasePointer): Promise<RoutingTable> {
  const key = routingKey(pointers, release.uid)
  const known = deps.cache.entries.get(key) as RoutingTable | undefined
  if (known) return known
  return loadOnce(deps, key, async () => {
    const row = await readDatabase<RoutingRow>(deps, readRouting, [release.id, release.uid])
    if (!row) throw new AppError('release.not_found', 'The release was erased a moment ago, with its project.')
    const table = toTable(deps, row)
    // What was read before a purge is of no use after it.
    if (deps.cache.projects.peek(`${pointers.project.id}`)?.pointers.purges === pointers.purges)
      deps.cache.entries.set(key, table)
    return table
  })
}

function toTable(deps: Deps, { sources, files }: RoutingRow): RoutingTable {
  const bySource = new Map<string, RoutedFile[]>(sources.map(({ id }) => [id, []]))
  for (const [sourceId, path, name] of files) bySource.get(sourceId)?.push({ path, name })
  const routed = sources.map(({ id, name, pathFile }) => ({
    ...{ id, name, pathFile: readPathFile(deps, pathFile) },
    files: filesByKey(bySource.get(id) ?? []),
  }))
  return makeRoutingTable(
    routed,
    sources.reduce((sum, { pathFile }) => sum + (pathFile?.length ?? 0), 0),
  )
}

/** It was checked when it was synced; what another version of this program took for valid routes nothing. */
function readPathFile({ log }: Deps, text: string | null): PathFile | null {
  try {
    return text === null ? null : parsePathFile(text)
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    log.warn({ reason: error.message }, 'A stored PATH file cannot be read any more.')
    return null
  }
}

type NamedRelease = { id: string; uid: string; number: number; label: string | null }

/** The release that a label, number, commit or `latest` names; null where there is none. */
export async function findRelease(deps: Deps, { pointers }: HeldProject, ref: string): Promise<ReleasePointer | null> {
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

const noStates: ReadonlyMap<string, SourceState> = new Map()

/**
 * The sources of a project as they were known a moment ago; they are read again in the background. Those of a project that
 * was not asked for before are waited for; null where they cannot be told.
 */
export async function sourceStates(deps: Deps, held: HeldProject): Promise<ReadonlyMap<string, SourceState> | null> {
  const id = `${held.pointers.project.id}`
  const known = knownStates(deps, held)
  if (known) return known
  return readStates(deps, id).then(
    () => deps.cache.sources.get(id)?.states ?? noStates,
    (err: unknown) => {
      deps.log.debug({ err }, 'The states of sources could not be read.')
      return null
    },
  )
}

/** The same without waiting: null where nothing is known yet. */
export function knownStates(deps: Deps, { pointers }: HeldProject): ReadonlyMap<string, SourceState> | null {
  const id = `${pointers.project.id}`
  const known = deps.cache.sources.get(id)
  if (!known) return null
  if (deps.elapsed() - known.readAtMs >= sourcesAgainMs) {
    known.reading ??= readStates(deps, id)
      .catch((err: unknown) => deps.log.debug({ err }, 'The states of sources could not be read.'))
      .finally(() => {
        known.reading = null
      })
  }
  return known.states
}

function readStates(deps: Deps, id: string): Promise<void> {
  const readAtMs = deps.elapsed()
  return loadOnce(deps, `${id} sources`, async () => {
    const rows = (await readDatabase<SourceRow[]>(deps, readSources, [id])) ?? []
    deps.cache.sources.set(id, { states: new Map(rows.map((row) => [row.id, toState(row)])), readAtMs, reading: null })
  })
}

function toState({ ttlSeconds, staleSeconds, unreachableSince, checkedAt }: SourceRow): SourceState {
  const time = (text: string | null) => (text === null ? null : Date.parse(text))
  return { ttlSeconds, staleSeconds, unreachableSinceMs: time(unreachableSince), checkedAtMs: time(checkedAt) }
}
