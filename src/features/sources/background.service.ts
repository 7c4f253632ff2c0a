import type { Deps } from '../../deps.js'
import { workOff } from './runs.service.js'
import { sweepWorkspaces } from './source-rows.service.js'

export type Syncing = {
  /** Looks no more; resolves when a look that is under way has ended. */
  stop(): Promise<void>
}

/** How often an instance looks for sources that are due, and for runs that nobody has begun. */
const lookEveryMs = 2_000
const lookJitterMs = 500
const maxDue = 20

/** Checks sources when their time has come, once over all instances, from now until it is stopped. */
export function startSyncing(deps: Deps): Syncing {
  let timer: NodeJS.Timeout | null = null
  let isStopped = false
  let looking: Promise<void> = Promise.resolve()
  const look = async () => {
    try {
      if (!deps.database.isAway()) for (const id of await findWork(deps)) void workOff(deps, id)
    } catch (err) {
      if (!isStopped) deps.log.warn({ err }, 'It could not be looked which sources are to be synced. It is tried again.')
    }
    if (!isStopped) schedule()
  }
  const schedule = () => {
    timer = setTimeout(
      () => {
        looking = look()
      },
      lookEveryMs + Math.random() * lookJitterMs,
    ).unref()
  }
  schedule()
  sweepWorkspaces().catch((err: unknown) =>
    deps.log.warn({ err }, 'What earlier processes left of sources could not be removed.'),
  )
  return {
    async stop() {
      isStopped = true
      if (timer) clearTimeout(timer)
      await looking
    },
  }
}

/** Asks for the runs that are due, and answers all sources that have one to be done. */
async function findWork({ db, now }: Deps): Promise<bigint[]> {
  // In one statement: a check that is put off and not asked for would be lost until it is due again.
  await db.$executeRaw`
    WITH due AS (
      UPDATE sources SET next_check_at = ${now()}::timestamptz + make_interval(secs => ttl_seconds)
      WHERE id IN (
        SELECT id FROM sources WHERE enabled AND next_check_at <= ${now()}::timestamptz
        ORDER BY next_check_at LIMIT ${maxDue} FOR UPDATE SKIP LOCKED)
      RETURNING id)
    INSERT INTO source_runs (source_id, trigger, actor, request_id) SELECT id, 'schedule', 'sync', 'schedule' FROM due
    ON CONFLICT (source_id) WHERE status = 'pending' DO NOTHING`
  const open = await db.$queryRaw<{ id: bigint }[]>`
    SELECT source_id AS id FROM source_runs WHERE finished_at IS NULL GROUP BY source_id ORDER BY min(id) LIMIT ${maxDue}`
  return open.map(({ id }) => id)
}
