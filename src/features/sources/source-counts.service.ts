import { setTimeout as delay } from 'node:timers/promises'
import type { Deps } from '../../deps.js'

/** How many sources are in which state, and how many of their runs are waiting or under way, over all projects. */
export type SourceCounts = { sources: Record<string, number>; runs: Record<string, number> }

/** Nobody needs them newer. */
const countEveryMs = 15_000
/** Whoever asks gets what was counted before when it takes longer. */
const waitMs = 500

/** Tells the counts as of a few seconds ago; those known last while the database is away, and none before it was asked. */
export function createSourceCounter(deps: Deps): () => Promise<SourceCounts> {
  let known: SourceCounts = { sources: {}, runs: {} }
  let countedAtMs = Number.NEGATIVE_INFINITY
  let counting: Promise<void> | null = null
  const count = async () => {
    try {
      known = await countSources(deps)
    } catch (err) {
      deps.log.warn({ err }, 'The sources could not be counted for the metrics. They are counted again later.')
    } finally {
      counting = null
    }
  }
  return async () => {
    const isDue = deps.elapsed() - countedAtMs >= countEveryMs
    if (isDue && !counting && !deps.database.isAway()) {
      countedAtMs = deps.elapsed()
      counting = count()
    }
    if (counting) await Promise.race([counting, delay(waitMs, undefined, { ref: false })])
    return known
  }
}

async function countSources({ db }: Pick<Deps, 'db'>): Promise<SourceCounts> {
  const [sources, runs] = await Promise.all([
    db.$queryRaw<{ state: string; count: number }[]>`
      SELECT CASE WHEN NOT enabled THEN 'disabled' WHEN unreachable_since IS NOT NULL THEN 'unreachable' ELSE status END AS state,
        count(*)::int AS count
      FROM sources GROUP BY 1`,
    db.$queryRaw<{ status: string; count: number }[]>`
      SELECT status, count(*)::int AS count FROM source_runs WHERE finished_at IS NULL GROUP BY 1`,
  ])
  const states = { success: 0, failed: 0, pending: 0, unreachable: 0, disabled: 0 }
  return {
    sources: { ...states, ...Object.fromEntries(sources.map(({ state, count }) => [state, count])) },
    runs: { pending: 0, running: 0, ...Object.fromEntries(runs.map(({ status, count }) => [status, count])) },
  }
}
