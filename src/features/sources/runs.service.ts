import { setTimeout as delay } from 'node:timers/promises'
import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import type { SourceRun as RunRow } from '../../generated/prisma/client.js'
import { type Project, systemActor } from '../../lib/access.js'
import { pagedList } from '../../lib/cursor.js'
import type { PageQuery } from '../../lib/schemas.js'
import { QueueFull } from '../../lib/write-queue.js'
import { requireSource, type SourceRow } from './source-rows.service.js'
import type { Run } from './sources.schema.js'
import { type Synced, type SyncOutcome, syncSource } from './sync.service.js'

export type Trigger = Run['trigger']

/** Who asked for a run. `keyId` is not kept: a run outlives keys. */
export type Asker = { name: string; requestId: string }

/** So many runs of a source are kept. */
const keptRuns = 100
const maxWarnings = 50
/** After a failure it is tried again that soon, then after twice as long, up to its `ttlSeconds`. */
const firstRetrySeconds = 15
const longestRetrySeconds = 60 * 60
/** A run that waits for another one of its source looks this often. */
const pollMs = 100

type Wanted = { trigger: Trigger; force?: boolean; by: Asker }

/**
 * Asks for a run of a source, once: while one is waiting to begin, it does for all who ask. Answers its id. It is begun by
 * `workOff`, here or on another instance.
 */
export async function requestRun(db: Db, { id }: Pick<SourceRow, 'id'>, { trigger, force = false, by }: Wanted): Promise<bigint> {
  const [run] = await db.$queryRaw<{ id: bigint }[]>`
    INSERT INTO source_runs AS run (source_id, trigger, forced, actor, request_id)
    VALUES (${id}, ${trigger}, ${force}, ${by.name}, ${by.requestId})
    ON CONFLICT (source_id) WHERE status = 'pending' DO UPDATE SET forced = run.forced OR excluded.forced RETURNING id`
  if (!run) throw new Error('A run was neither made nor found.')
  return run.id
}

/**
 * Does the runs of a source that are asked for, one after the other, unless somebody does so already: over all instances
 * there is one at a time, and however many ask here, one more look is taken for all of them. Resolves when there is nothing
 * left to do here. Never rejects: what went wrong is in the runs and in the log.
 */
export function workOff(deps: Deps, sourceId: bigint): Promise<void> {
  const known = deps.working.get(sourceId)
  if (known) {
    known.isWantedAgain = true
    return known.done
  }
  const work = { isWantedAgain: true, done: Promise.resolve() }
  deps.working.set(sourceId, work)
  work.done = (async () => {
    while (work.isWantedAgain) {
      work.isWantedAgain = false
      await workInTurn(deps, sourceId)
    }
    deps.working.delete(sourceId)
  })()
  return work.done
}

async function workInTurn(deps: Deps, sourceId: bigint): Promise<void> {
  const source = sourceId.toString()
  try {
    const found = await deps.db.source.findUnique({ where: { id: sourceId }, select: { projectId: true } })
    // One after the other for a project, however many sources it has: others want their turn.
    if (found) await deps.syncs.run(found.projectId.toString(), () => workUnderLock(deps, sourceId))
  } catch (err) {
    if (err instanceof QueueFull) deps.log.warn({ source }, 'Too many sources are waiting for a sync. It is tried again later.')
    else if (!deps.shutdown.signal.aborted) deps.log.error({ err, source }, 'A sync could not be done. It is tried again later.')
  }
}

async function workUnderLock(deps: Deps, sourceId: bigint): Promise<void> {
  while (!deps.shutdown.signal.aborted && (await hasOpenRun(deps, sourceId))) {
    const lock = await deps.connection.tryLock(`promptsync source ${sourceId}`)
    // Whoever has it looks for runs once more after giving it back.
    if (!lock) return
    try {
      await endInterrupted(deps, sourceId)
      while (!deps.shutdown.signal.aborted) {
        const run = await beginNext(deps, sourceId)
        if (!run) break
        await doRun(deps, run)
      }
    } finally {
      await lock.release()
    }
  }
}

async function hasOpenRun({ db }: Deps, sourceId: bigint): Promise<boolean> {
  return (await db.sourceRun.count({ where: { sourceId, finishedAt: null } })) > 0
}

/** Under the lock nobody else is at it: what is still said to be under way has lost its instance. */
async function endInterrupted({ db, now }: Deps, sourceId: bigint): Promise<void> {
  const errors = [
    { code: 'internal', path: '', message: 'The instance that did this run ended in the midst of it. Nothing was stored.' },
  ]
  // Of one that stored its release nothing but the end is missing.
  await db.sourceRun.updateMany({ where: { sourceId, status: 'success', finishedAt: null }, data: { finishedAt: now() } })
  const interrupted = await db.sourceRun.findFirst({ where: { sourceId, status: 'running' } })
  if (!interrupted) return
  await db.sourceRun.update({ where: { id: interrupted.id }, data: { status: 'failed', errors, finishedAt: now() } })
  const { trigger, forced, actor, requestId } = interrupted
  // Whoever asked for it still wants it.
  await requestRun(db, { id: sourceId }, { trigger: trigger as Trigger, force: forced, by: { name: actor, requestId } })
}

async function beginNext({ db, now }: Deps, sourceId: bigint): Promise<RunRow | null> {
  const next = await db.sourceRun.findFirst({ where: { sourceId, status: 'pending' } })
  return next && db.sourceRun.update({ where: { id: next.id }, data: { status: 'running', startedAt: now() } })
}

async function doRun(deps: Deps, run: RunRow): Promise<void> {
  const row = await deps.db.source.findUnique({ where: { id: run.sourceId } })
  // It was removed a moment ago, and its runs with it.
  if (!row) return
  if (!row.enabled && run.trigger !== 'request') return dropDisabled(deps, run)
  const caller = { actor: systemActor(run.actor), requestId: run.requestId }
  const finish = async (tx: Db, synced: Synced) => storeSuccess(deps, tx, row, run, synced)
  let outcome: SyncOutcome
  try {
    outcome = await syncSource(deps, row, caller, run.forced ? null : row.revision, finish)
  } catch (err) {
    if (deps.shutdown.signal.aborted) return putBack(deps, run)
    deps.log.error({ err, source: row.name }, 'A sync failed for a reason of ours.')
    outcome = { status: 'failed', isReached: false, isOutOfReach: false, notes: [], retryAfterSeconds: null, ...internalFailure }
  }
  if (outcome.status === 'failed' && deps.shutdown.signal.aborted) return putBack(deps, run)
  await storeEnd(deps, row, run, outcome)
}

/** Who disables a source wants no syncs but those that are asked for by name. */
async function dropDisabled({ db, now }: Deps, run: RunRow): Promise<void> {
  const errors = [{ code: 'source.changed', path: '', message: 'The source was disabled before the run began.' }]
  await db.sourceRun.update({ where: { id: run.id }, data: { status: 'failed', errors, finishedAt: now() } })
}

const internalFailure = {
  code: 'internal' as const,
  errors: [{ code: 'internal' as const, path: '', message: 'Something went wrong on the server; its log tells more.' }],
}

/** An instance that closes leaves the run to another one, or to its own next start. */
async function putBack({ db, now }: Deps, run: RunRow): Promise<void> {
  const waiting = await db.sourceRun.count({ where: { sourceId: run.sourceId, status: 'pending' } })
  const data =
    waiting > 0 ? { status: 'failed', errors: closedErrors, finishedAt: now() } : { status: 'pending', startedAt: null }
  await db.sourceRun.updateMany({ where: { id: run.id, status: 'running' }, data })
}

const closedErrors = [
  { code: 'internal', path: '', message: 'The instance was closed. Nothing was stored; the next run is waiting.' },
]

/** In the transaction of the release: both count, or neither does. */
async function storeSuccess(deps: Deps, tx: Db, row: SourceRow, run: RunRow, { found, answer, created }: Synced): Promise<void> {
  const now = deps.now()
  const { count } = await tx.source.updateMany({
    where: { id: row.id, generation: row.generation },
    data: {
      ...reachedNow(now),
      ...{ status: 'success', revision: found.revision, commit: found.commit?.commit ?? null, release: answer.release.ref },
      ...(created || answer.alias?.release !== row.release ? { syncedAt: now } : {}),
      nextCheckAt: later(now, row.ttlSeconds),
    },
  })
  if (count === 0)
    throw new AppError(
      'source.changed',
      `The settings of source "${row.name}" were changed meanwhile. Nothing was stored; it is synced again.`,
    )
  const { count: runs } = await tx.sourceRun.updateMany({ where: { id: run.id, status: 'running' }, data: { status: 'success' } })
  if (runs === 0)
    throw new AppError('source.changed', `Another instance took over the sync of source "${row.name}". Nothing was stored.`)
}

const reachedNow = (now: Date) => ({ checkedAt: now, unreachableSince: null, failures: 0 })

function later(from: Date, seconds: number): Date {
  return new Date(from.getTime() + seconds * 1_000)
}

/** What a run tells of itself once it is over, and what that means for the source. */
async function storeEnd(deps: Deps, row: SourceRow, run: RunRow, outcome: SyncOutcome): Promise<void> {
  const now = deps.now()
  await deps.db.$transaction(async (tx) => {
    const status = await lockedStatus(tx, run)
    // Another instance took it over, or its release was committed after all, when the answer to that was lost.
    if (status !== 'running' && (status !== 'success' || outcome.status === 'unchanged')) return
    if (status === 'success' && outcome.status === 'failed') {
      await tx.sourceRun.update({ where: { id: run.id }, data: { finishedAt: now } })
      return
    }
    if (outcome.status === 'failed') await storeFailure(tx, row, outcome, now)
    if (outcome.status === 'unchanged') {
      const data = { ...reachedNow(now), status: 'success', nextCheckAt: later(now, row.ttlSeconds) }
      await tx.source.updateMany({ where: { id: row.id, generation: row.generation }, data })
    }
    await tx.sourceRun.updateMany({
      where: { id: run.id, status: { in: ['running', 'success'] } },
      data: { status: outcome.status, finishedAt: now, fetches: outcome.notes, ...toldBy(row, outcome) },
    })
    await dropOldRuns(tx, row.id)
  })
  const tookMs = now.getTime() - (run.startedAt ?? now).getTime()
  deps.syncDurations.of({ trigger: run.trigger, outcome: outcome.status }).observe(tookMs / 1_000)
  if (outcome.status === 'failed') {
    const { code, errors } = outcome
    deps.log.warn({ source: row.name, code, error: errors[0]?.message }, 'A source could not be synced.')
  }
}

/** Waits for a commit that is under way. */
async function lockedStatus(tx: Db, { id }: RunRow): Promise<string | undefined> {
  const [run] = await tx.$queryRaw<{ status: string }[]>`SELECT status FROM source_runs WHERE id = ${id} FOR UPDATE`
  return run?.status
}

function toldBy(row: SourceRow, outcome: SyncOutcome) {
  if (outcome.status === 'failed') return { errors: outcome.errors }
  if (outcome.status === 'unchanged') return { commit: row.commit, release: row.release }
  const { found, answer, warnings } = outcome.synced
  const changed = answer.results.filter(({ status }) => status === 'created').length
  const removed = answer.results.filter(({ status }) => status === 'removed').length
  const files = found.prompts.length
  return {
    commit: found.commit?.commit ?? null,
    release: answer.release.ref,
    counts: { files, created: changed, unchanged: Math.max(0, files - changed), removed },
    warnings: warnings.slice(0, maxWarnings),
  }
}

/** The last good release stays; it is tried again, ever more seldom. */
async function storeFailure(
  tx: Db,
  row: SourceRow,
  outcome: Extract<SyncOutcome, { status: 'failed' }>,
  now: Date,
): Promise<void> {
  const backoff = Math.min(firstRetrySeconds * 2 ** Math.min(row.failures, 10), Math.max(row.ttlSeconds, firstRetrySeconds))
  const seconds = Math.min(Math.max(backoff, outcome.retryAfterSeconds ?? 0), longestRetrySeconds)
  await tx.source.updateMany({
    where: { id: row.id, generation: row.generation },
    data: {
      ...{ status: 'failed', failures: { increment: 1 }, nextCheckAt: later(now, seconds) },
      ...(outcome.isReached ? { checkedAt: now, unreachableSince: null } : {}),
      ...(outcome.isOutOfReach ? { unreachableSince: row.unreachableSince ?? now } : {}),
    },
  })
}

async function dropOldRuns(tx: Db, sourceId: bigint): Promise<void> {
  await tx.$executeRaw`
    DELETE FROM source_runs WHERE source_id = ${sourceId} AND finished_at IS NOT NULL AND id < (
      SELECT min(id) FROM (SELECT id FROM source_runs WHERE source_id = ${sourceId} ORDER BY id DESC LIMIT ${keptRuns}) kept)`
}

/**
 * Waits for the end of a run, wherever it is done; `working` is what this instance does about it. Answers it as it is when
 * the time is over, or the instance closes.
 */
export async function awaitRun(deps: Deps, id: bigint, working: Promise<void>, timeoutMs: number): Promise<RunRow | null> {
  const deadline = deps.elapsed() + timeoutMs
  let isWorking = true
  const done = working.then(() => {
    isWorking = false
  })
  for (;;) {
    const run = await deps.db.sourceRun.findUnique({ where: { id } })
    if (!run || run.finishedAt || deps.shutdown.signal.aborted || deps.elapsed() >= deadline) return run
    await (isWorking ? Promise.race([done, delay(pollMs)]) : delay(pollMs))
  }
}

const runList = pagedList<[id: string]>('runs', ['id'])

/** Newest first. */
export async function listRuns({ db }: Pick<Deps, 'db'>, project: Project, name: string, query: PageQuery) {
  const source = await requireSource(db, project, name)
  const position = runList.position(query.cursor)
  const rows = await db.sourceRun.findMany({
    where: { sourceId: source.id, ...(position ? { id: { lt: BigInt(position[0]) } } : {}) },
    orderBy: { id: 'desc' },
    take: query.limit + 1,
  })
  return runList.page(
    rows,
    query.limit,
    (row) => [row.id.toString()],
    (row) => toRun(source, row),
  )
}

export async function getRun({ db }: Pick<Deps, 'db'>, project: Project, name: string, id: string): Promise<Run> {
  const source = await requireSource(db, project, name)
  const row = await db.sourceRun.findFirst({ where: { id: BigInt(id), sourceId: source.id } })
  if (row) return toRun(source, row)
  throw new AppError(
    'run.not_found',
    `Source "${name}" has no run ${id}. The newest ${keptRuns} are kept: GET /sources/${name}/runs.`,
  )
}

export function toRun({ name }: Pick<SourceRow, 'name'>, row: RunRow): Run {
  const { startedAt, finishedAt } = row
  return {
    id: row.id.toString(),
    source: name,
    status: row.status as Run['status'],
    trigger: row.trigger as Run['trigger'],
    actor: row.actor,
    commit: row.commit,
    release: row.release,
    counts: row.counts as Run['counts'],
    errors: row.errors as Run['errors'],
    warnings: row.warnings as Run['warnings'],
    fetches: row.fetches as Run['fetches'],
    createdAt: row.createdAt.toISOString(),
    startedAt: startedAt?.toISOString() ?? null,
    finishedAt: finishedAt?.toISOString() ?? null,
    durationMs: startedAt && finishedAt ? finishedAt.getTime() - startedAt.getTime() : null,
  }
}
