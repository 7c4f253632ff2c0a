import type { Deps } from '../../deps.js'
import type { HeldProject } from '../../lib/read-cache.js'
import { forgetKey, type KeyRow, keepKey, keyRecheckMs } from './access.service.js'
import { channelOf, hearMessage } from './changes.service.js'
import { askDatabase, readTimeoutMs } from './database.service.js'
import { isSame, noteConfirmed, refresh } from './held-projects.service.js'
import { readEpochs, readIdentity } from './statements.service.js'

/** Projects that nobody asked for in this time are confirmed when they are asked for again. */
const watchedMs = 60_000
const longestIntervalMs = 1_000
/** While the database is away it is asked this often whether it is back. */
const probeIntervalMs = 250
/** Keys that are checked again ahead of time: those used last. */
const maxKeys = 500
/** Projects that are read again at the same time. */
const refreshesAtOnce = 4

export type Watch = { stop(): void }

/**
 * Keeps what is held confirmed: asks the database for the epochs of the projects that are served, follows what other
 * instances announce, and finds out when a database that was away is back.
 */
export function startWatch(deps: Deps): Watch {
  const intervalMs = Math.min(longestIntervalMs, deps.config.maxStalenessMs / 4)
  let timer: NodeJS.Timeout | null = null
  let isStopped = false
  const plan = () => {
    if (isStopped) return
    timer = setTimeout(run, deps.database.isAway() ? Math.min(intervalMs, probeIntervalMs) : intervalMs)
    timer.unref()
  }
  const run = () => {
    check(deps, intervalMs)
      .catch((err: unknown) => deps.log.debug({ err }, 'The epochs could not be read.'))
      .finally(plan)
  }
  run()
  return {
    stop() {
      isStopped = true
      if (timer) clearTimeout(timer)
    },
  }
}

async function check(deps: Deps, intervalMs: number): Promise<void> {
  if (deps.cache.databaseId === null) await identify(deps)
  const wasAway = deps.database.isAway()
  const nowMs = deps.elapsed()
  const due = dueProjects(deps, nowMs, wasAway ? 0 : intervalMs)
  const hashes = dueKeys(deps)
  if (due.length === 0 && hashes.length === 0 && !wasAway) return
  await confirmAll(deps, due, hashes)
}

/** From here on the shared cache is used: what tells this database from others is known. */
async function identify(deps: Deps): Promise<void> {
  deps.cache.databaseId = await askDatabase<string>(deps, readIdentity, [])
  const channel = channelOf(deps)
  if (channel === null) return
  deps.redis?.subscribe(channel, {
    onMessage: (message) => hearMessage(deps, message),
    // Whatever was announced meanwhile was not heard.
    onReady: () => catchUp(deps),
  })
}

function catchUp(deps: Deps): void {
  confirmAll(deps, dueProjects(deps, deps.elapsed(), 0), []).catch((err: unknown) =>
    deps.log.debug({ err }, 'What was announced meanwhile could not be read.'),
  )
}

function dueProjects({ cache }: Deps, nowMs: number, olderThanMs: number): HeldProject[] {
  return [...cache.projects.values()].filter(
    ({ usedAtMs, confirmedAtMs, outdated, listeners }) =>
      (nowMs - usedAtMs < watchedMs || listeners.size > 0) && (nowMs - confirmedAtMs >= olderThanMs || outdated !== null),
  )
}

function dueKeys({ keys, elapsed }: Deps): Buffer[] {
  const beforeMs = elapsed() - keyRecheckMs / 2
  const due: Buffer[] = []
  let seen = 0
  for (const [hash, { checkedAtMs, revokedAt }] of keys.entries()) {
    if (seen >= maxKeys) break
    seen += 1
    if (checkedAtMs < beforeMs && revokedAt === null) due.push(Buffer.from(hash, 'hex'))
  }
  return due
}

type EpochsRow = { projects: { id: string; epoch: string; token: string }[]; keys: KeyRow[] }

async function confirmAll(deps: Deps, due: HeldProject[], hashes: Buffer[]): Promise<void> {
  const startedAtMs = deps.elapsed()
  const { revocations } = deps.cache
  const ids = due.map(({ pointers }) => `${pointers.project.id}`)
  // Found out in time, nobody has to wait for a database that does not answer.
  const timeoutMs = Math.min(readTimeoutMs, deps.config.maxStalenessMs / 2)
  const answer = await askDatabase<EpochsRow>(deps, readEpochs, [ids, hashes], timeoutMs)
  const keys = new Map(answer?.keys.map((row) => [row.hash, row]))
  for (const hash of hashes.map((bytes) => bytes.toString('hex'))) {
    const row = keys.get(hash)
    if (row) keepKey(deps, row, startedAtMs, revocations)
    else forgetKey(deps, hash, startedAtMs)
  }
  const epochs = new Map(answer?.projects.map((row) => [row.id, row]))
  const changed = due.filter((held) => {
    const row = epochs.get(`${held.pointers.project.id}`)
    const same = row !== undefined && isSame(held, row)
    if (same) noteConfirmed(deps, held, startedAtMs)
    return !same
  })
  for (let at = 0; at < changed.length; at += refreshesAtOnce) {
    await Promise.all(changed.slice(at, at + refreshesAtOnce).map((held) => tryRefresh(deps, held)))
  }
}

/** One project that cannot be read keeps no other from being read. */
async function tryRefresh(deps: Deps, held: HeldProject): Promise<void> {
  await refresh(deps, held).catch((err: unknown) => deps.log.debug({ err }, 'A project that changed could not be read.'))
}
