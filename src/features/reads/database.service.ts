import type { Statement } from '../../database/connect.js'
import { isConnectionLoss, isIncapacity } from '../../database/failures.js'
import type { Deps } from '../../deps.js'
import { type AppError, tryLater } from '../../errors.js'
import { LoadsFull, LoadTimeout } from '../../lib/flights.js'
import { NoTurn, type Rank } from '../../lib/lanes.js'

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
export async function loadOnce<T>({ cache, database }: Deps, key: string, work: () => Promise<T>): Promise<T> {
  try {
    return await cache.flights.run(key, work)
  } catch (error) {
    if (error instanceof LoadTimeout && database.isAway()) throw databaseAway(error)
    // It may have waited for its turn, or for a large answer: the database is there.
    if (error instanceof LoadsFull || error instanceof LoadTimeout) throw readBusy(error)
    throw error
  }
}

function readBusy(cause: Error): AppError {
  return tryLater('read.busy', `${cause.message} Try again.`, 1, cause)
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
 * with `database.unavailable`. One whose turn does not come rejects with `read.busy`, which says nothing of the database.
 */
export async function readDatabase<T>(
  deps: Deps,
  statement: Statement,
  values: unknown[],
  rank: Exclude<Rank, 'watch'> = 'load',
): Promise<T | null> {
  return readIfThere(deps, statement, values, { rank, tookTooLong: 'lost' })
}

/** The same for what can be done without: that it takes too long tells of its size, and not that the database is away. */
export async function readAhead<T>(deps: Deps, statement: Statement, values: unknown[]): Promise<T | null> {
  return readIfThere(deps, statement, values, { rank: 'confirmation', tookTooLong: 'slow' })
}

/** The same to find out whether it is back, ahead of everybody else. */
export async function askDatabase<T>(
  deps: Deps,
  statement: Statement,
  values: unknown[],
  timeoutMs: number = readTimeoutMs,
): Promise<T | null> {
  return ask(deps, { rank: 'watch', tookTooLong: 'lost' }, () => readTwice(deps, statement, values, timeoutMs))
}

/** What a statement that takes too long says of the database. */
type Asking = { rank: Rank; tookTooLong: 'lost' | 'slow' }

async function readIfThere<T>(deps: Deps, statement: Statement, values: unknown[], asking: Asking): Promise<T | null> {
  const refuse = () => {
    if (deps.database.isAway()) throw databaseAway()
  }
  refuse()
  return ask(deps, asking, async () => {
    // It may have gone away while others had their turn.
    refuse()
    return readTwice(deps, statement, values, readTimeoutMs)
  })
}

async function ask<T>(deps: Deps, { rank, tookTooLong }: Asking, read: () => Promise<string | null>): Promise<T | null> {
  const { done, failed } = deps.cache.counts.loads
  const startedAtMs = performance.now()
  try {
    const answer = await deps.lanes.run(rank, read)
    done.observe((performance.now() - startedAtMs) / 1_000)
    deps.database.succeeded()
    return answer === null ? null : JSON.parse(answer)
  } catch (error) {
    failed.observe((performance.now() - startedAtMs) / 1_000)
    if (error instanceof NoTurn) throw readBusy(error)
    if (!isAway(error)) throw error
    if (tookTooLong === 'lost' || !/Query read timeout/.test(String(error))) deps.database.failed()
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
