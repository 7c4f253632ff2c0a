import type { Statement } from '../../database/connect.js'
import { isConnectionLoss, isIncapacity } from '../../database/failures.js'
import type { Deps } from '../../deps.js'
import { type AppError, tryLater } from '../../errors.js'
import { LoadsFull, LoadTimeout } from '../../lib/flights.js'

/** A read of the database takes no longer. */
export const readTimeoutMs = 2_000

export function databaseAway(cause?: unknown): AppError {
  return tryLater(
    'database.unavailable',
    'The database does not answer, and what is asked for is not known here. Try again.',
    1,
    cause,
  )
}

/** How long what waits for a database that went away goes on waiting: it may be back at once. */
const patienceMs = 5_000

/** Waits for work that asks the database, but no longer than that can be hoped for: then it rejects with `reason()`. */
export async function whileThere<T>({ database }: Deps, work: Promise<T>, reason: () => Error = databaseAway): Promise<T> {
  let forget = () => {}
  const lost = new Promise<never>((_, reject) => {
    forget = database.onLoss(patienceMs, () => reject(reason()))
  })
  try {
    return await Promise.race([work, lost])
  } finally {
    forget()
  }
}

/**
 * Runs a load, or waits for the one under way for the same key. Throws a 503 where too many are under way, or where it takes
 * too long.
 */
export async function loadOnce<T>({ cache }: Deps, key: string, work: () => Promise<T>): Promise<T> {
  try {
    return await cache.flights.run(key, work)
  } catch (error) {
    if (error instanceof LoadsFull) throw tryLater('read.busy', `${error.message} Try again.`, 1, error)
    if (error instanceof LoadTimeout) throw databaseAway(error)
    throw error
  }
}

/** The error for a write that was not begun, or taken back. */
export function writeRefused(): AppError {
  return tryLater('database.unavailable', 'The database does not answer. Nothing was changed; try again.', 1)
}

/** Whether a read failed because it could not be asked, so that what is known may be answered instead. */
export function isAway(error: unknown): boolean {
  return isConnectionLoss(error) || isIncapacity(error)
}

/**
 * The JSON that a statement of the read path answers. While the database is away it is not asked: a read rejects at once
 * with `database.unavailable`.
 */
export async function readDatabase<T>(deps: Deps, statement: Statement, values: unknown[]): Promise<T | null> {
  if (deps.database.isAway()) throw databaseAway()
  return askDatabase(deps, statement, values)
}

/** The same, to find out whether it is back. */
export async function askDatabase<T>(
  deps: Deps,
  statement: Statement,
  values: unknown[],
  timeoutMs: number = readTimeoutMs,
): Promise<T | null> {
  const { done, failed } = deps.cache.counts.loads
  const startedAtMs = performance.now()
  try {
    const answer = await readTwice(deps, statement, values, timeoutMs)
    done.observe((performance.now() - startedAtMs) / 1_000)
    deps.database.succeeded()
    return answer === null ? null : JSON.parse(answer)
  } catch (error) {
    failed.observe((performance.now() - startedAtMs) / 1_000)
    if (!isAway(error)) throw error
    deps.database.failed()
    throw databaseAway(error)
  }
}

/** A connection that a restart of the server left behind says nothing of the server: the next one is asked. */
async function readTwice(
  { connection }: Deps,
  statement: Statement,
  values: unknown[],
  timeoutMs: number,
): Promise<string | null> {
  try {
    return await connection.read(statement, values, timeoutMs)
  } catch (error) {
    if (!isConnectionLoss(error) || /timeout/i.test(String(error))) throw error
    return connection.read(statement, values, timeoutMs)
  }
}
