import type { Statement } from '../../database/connect.js'
import { isConnectionLoss, isIncapacity } from '../../database/failures.js'
import type { Deps } from '../../deps.js'
import { type AppError, tryLater } from '../../errors.js'
import { LoadsFull, LoadTimeout } from '../../lib/flights.js'

/** A read of the database takes no longer. */
const readTimeoutMs = 2_000

export function databaseAway(cause?: unknown): AppError {
  return tryLater(
    'database.unavailable',
    'The database does not answer, and what is asked for is not known here. Try again.',
    1,
    cause,
  )
}

/** Whether a read failed because it could not be asked, so that what is known may be answered instead. */
export function isAway(error: unknown): boolean {
  return isConnectionLoss(error) || isIncapacity(error) || error instanceof LoadTimeout || error instanceof LoadsFull
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
export async function askDatabase<T>(deps: Deps, statement: Statement, values: unknown[]): Promise<T | null> {
  const { loads } = deps.cache.counts
  const startedAtMs = deps.elapsed()
  loads.count += 1
  try {
    const answer = await readAgain(deps, statement, values)
    deps.database.succeeded()
    return answer === null ? null : JSON.parse(answer)
  } catch (error) {
    loads.failed += 1
    if (!isAway(error)) throw error
    deps.database.failed()
    throw databaseAway(error)
  } finally {
    loads.totalMs += deps.elapsed() - startedAtMs
  }
}

/** A connection that a restart of the server left behind says nothing of the server: the next one is asked. */
async function readAgain({ connection }: Deps, statement: Statement, values: unknown[]): Promise<string | null> {
  try {
    return await connection.read(statement, values, readTimeoutMs)
  } catch (error) {
    if (!isConnectionLoss(error) || /timeout/i.test(String(error))) throw error
    return connection.read(statement, values, readTimeoutMs)
  }
}
