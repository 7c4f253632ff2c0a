import { messages, PGlite } from '@electric-sql/pglite'
import { PrismaPg } from '@prisma/adapter-pg'
import { DriverAdapterError, type SqlMigrationAwareDriverAdapterFactory } from '@prisma/driver-adapter-utils'
import pg from 'pg'
import { PrismaPGlite } from 'pglite-prisma-adapter'
import { PrismaClient } from '../generated/prisma/client.js'
import { changingAdapters } from './adapters.js'
import { isConnectionLoss, sqlState } from './failures.js'
import { type DataDirectoryLock, DataDirectoryLocked, lockDataDirectory } from './lock.js'

/** A client, or the same thing inside a transaction: what every query takes. */
export type Db = Pick<PrismaClient, '$queryRaw' | '$executeRaw' | '$queryRawUnsafe' | '$executeRawUnsafe'> &
  Omit<PrismaClient, '$connect' | '$disconnect' | '$on' | '$transaction' | '$extends'>

/** A prepared statement; its name tells it from all others. */
export type Statement = { name: string; text: string }

/** A database that is connected but perhaps not migrated yet. */
export type Connection = {
  kind: 'embedded' | 'postgres'
  client: PrismaClient
  /**
   * Runs one statement of the read path, prepared under its name, past Prisma and past the transactions of writers; it
   * answers one JSON text, or null. Rejects as `client` does. A server that has not answered a statement after `timeoutMs`
   * is waited for no longer, and told to end it; the embedded engine is in this process, and always waited for.
   */
  read(statement: Statement, values: unknown[], timeoutMs: number): Promise<string | null>
  /** An adapter factory whose scripts run whole: see `scriptRunner`. `onError` hears what the database said of one. */
  migrationFactory(onError?: (error: Error) => void): SqlMigrationAwareDriverAdapterFactory
  /** Runs `work` while no other process of this database does the same. */
  exclusively<T>(work: () => Promise<T>): Promise<T>
  /** Takes a lock of this name over all processes of this database, or answers null where another one has it. */
  tryLock(name: string): Promise<Lock | null>
  /** Resolves when the engine has failed for good, so that only a restart of the process helps; a server's never does. */
  broken: Promise<void>
  close(): Promise<void>
}

/** It is lost when the connection that holds it is: whoever commits under it makes sure by other means that it still counts. */
export type Lock = { release(): Promise<void> }

/** Twenty transactions may queue behind a large push; Prisma's own limits of 2 s and 5 s would cut them. */
const transactionOptions = { maxWait: 60_000, timeout: 120_000 }
/** With those of reads twelve: eight instances fit into the hundred connections that Postgres takes by default. */
const poolSize = 8
/** Reads have connections of their own, so that no number of writers can take them all. No more may be asked for at once. */
export const readPoolSize = 4
const connectTimeoutMs = 10_000
const readConnectTimeoutMs = 1_000
const goodbyeMs = 1_000
/** No statement of ours is this slow; one that is has lost its way. */
const statementTimeoutMs = 60_000
/** SQLSTATE of a statement that took longer than the server lets it. */
const endedByServer = '57014'
const oldestPostgres = 15
/** Any fixed number; Postgres' advisory locks share one space a database. */
const migrationLockId = 7_260_711_205_001n

/**
 * The adapters' own `executeScript` is unfit for migrations: one splits at every `;`, which cuts function bodies, and
 * the other neither waits nor fails. One call of the driver runs the whole script, or none of it.
 */
function scriptRunner(
  factory: SqlMigrationAwareDriverAdapterFactory,
  runScript: (sql: string) => Promise<unknown>,
  onError: (error: Error) => void = () => undefined,
): SqlMigrationAwareDriverAdapterFactory {
  return changingAdapters(factory, (adapter) => {
    adapter.executeScript = async (sql) => {
      await runScript(sql).catch((error: Error) => {
        onError(error)
        throw error
      })
    }
  })
}

/**
 * Opens all connections of a client, which are kept: reads would wait for them in the first burst of writes. Throws
 * `DatabaseUnfit` for a server that cannot be reached, lets nobody or too few in, or is too old, and then holds none.
 */
async function openFit(client: PrismaClient): Promise<void> {
  try {
    const [server] = await client.$queryRaw<{ version: number }[]>`
      SELECT current_setting('server_version_num')::int / 10000 AS version`
    if (!server || server.version < oldestPostgres)
      throw new DatabaseUnfit(`DATABASE_URL names a Postgres ${server?.version}; promptsync needs ${oldestPostgres} or newer.`)
    await Promise.all(Array.from({ length: poolSize }, () => client.$queryRaw`SELECT pg_sleep(0.01)::text`))
  } catch (error) {
    await client.$disconnect()
    throw error instanceof DatabaseUnfit ? error : new DatabaseUnfit(connectFailure(error), { cause: error })
  }
}

function connectFailure(error: unknown): string {
  const kind = (error as { meta?: { driverAdapterError?: { cause?: { kind?: string } } } }).meta?.driverAdapterError?.cause?.kind
  const state = sqlState(error) ?? ''
  if (state.startsWith('28') || kind === 'AuthenticationFailed' || kind === 'DatabaseAccessDenied')
    return 'DATABASE_URL: the server refuses this user or password.'
  if (state === '3D000' || kind === 'DatabaseDoesNotExist')
    return 'DATABASE_URL: the database does not exist on the server. Create it first.'
  if (state === '53300' || kind === 'TooManyConnections')
    return `DATABASE_URL: the server has too few connections left. An instance needs ${poolSize + readPoolSize} of them.`
  if (isConnectionLoss(error))
    return 'The database of DATABASE_URL does not answer. Check that it runs and that the address is right.'
  return `DATABASE_URL: ${(error as Error).message}`
}

/** The database cannot serve; `message` says why. */
export class DatabaseUnfit extends Error {}

type TimedQuery = pg.QueryConfig & { query_timeout: number }

/**
 * The connections of the read path. That we wait for an answer no longer is not known to the server, so it has a limit of
 * its own: where a table is locked, each read would leave a session behind that waits for the lock. Nor is a statement planned
 * for each of its parameters, which took Postgres eight times as long as to run it.
 */
function openReads(url: string): Pick<Connection, 'read'> & { end(): Promise<void> } {
  const pool = new pg.Pool({
    connectionString: url,
    max: readPoolSize,
    connectionTimeoutMillis: readConnectTimeoutMs,
    keepAlive: true,
  })
  // Of a connection that is lost the read on it hears; one that nobody uses is replaced when it is needed.
  pool.on('error', () => undefined)
  pool.on('connect', (session) => session.on('error', () => undefined))
  const limitsMs = new WeakMap<pg.PoolClient, number>()
  const run = async (session: pg.PoolClient, { name, text }: Statement, values: unknown[], timeoutMs: number) => {
    if (limitsMs.get(session) !== timeoutMs) {
      // By a statement of its own: poolers such as PgBouncer refuse start-up parameters for the server.
      const set: TimedQuery = {
        text: `SET statement_timeout = ${Math.ceil(timeoutMs)}; SET plan_cache_mode = force_generic_plan`,
        query_timeout: timeoutMs,
      }
      await session.query(set)
      limitsMs.set(session, timeoutMs)
    }
    const query: TimedQuery = { name, text, values, query_timeout: timeoutMs }
    const { rows } = await session.query<{ answer: string | null }>(query)
    return rows[0]?.answer ?? null
  }
  return {
    async read(statement, values, timeoutMs) {
      const session = await pool.connect()
      try {
        const answer = await run(session, statement, values, timeoutMs)
        session.release()
        return answer
      } catch (error) {
        session.release(error as Error)
        // Either side may be the first to give up: it is the same to whoever waits.
        throw sqlState(error) === endedByServer ? new Error('Query read timeout', { cause: error }) : error
      }
    },
    end: () => pool.end(),
  }
}

/** Connects to a Postgres server. Rejects when it does not answer within 10 s. */
export async function connectPostgres(url: string): Promise<Connection> {
  const poolOptions = {
    connectionString: url,
    max: poolSize,
    min: poolSize,
    connectionTimeoutMillis: connectTimeoutMs,
    // On our side: poolers such as PgBouncer refuse start-up parameters for the server.
    query_timeout: statementTimeoutMs,
    keepAlive: true,
  }
  const factory = new PrismaPg(poolOptions)
  const client = new PrismaClient({ adapter: factory, transactionOptions })
  await openFit(client)
  const reads = openReads(url)
  const withClient = async <T>(use: (session: pg.Client) => Promise<T>): Promise<T> => {
    const session = new pg.Client({ connectionString: url, connectionTimeoutMillis: connectTimeoutMs })
    await session.connect()
    try {
      return await use(session)
    } finally {
      await session.end()
    }
  }
  return {
    kind: 'postgres',
    client,
    read: reads.read,
    migrationFactory: (onError) =>
      scriptRunner(
        new PrismaPg({ ...poolOptions, min: 0, max: 2 }),
        (sql) => withClient((session) => session.query(sql)),
        onError,
      ),
    exclusively: (work) =>
      withClient(async (session) => {
        await session.query('SELECT pg_advisory_lock($1)', [migrationLockId.toString()])
        return work()
      }),
    tryLock: (name) => tryAdvisoryLock(url, name),
    broken: new Promise(() => undefined),
    async close() {
      await Promise.all([client.$disconnect(), reads.end()])
    },
  }
}

/** A lock of a session of its own: those of the pools come and go. */
async function tryAdvisoryLock(url: string, name: string): Promise<Lock | null> {
  const session = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: connectTimeoutMs,
    keepAlive: true,
  })
  // A session that is lost has lost its lock, which is found out when what was done under it is stored.
  session.on('error', () => undefined)
  await session.connect()
  try {
    const { rows } = await session.query<{ taken: boolean }>('SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS taken', [
      name,
    ])
    if (rows[0]?.taken) return { release: () => endSoon(session) }
    await session.end()
    return null
  } catch (error) {
    await session.end()
    throw error
  }
}

/** A server that does not say goodbye is not waited for: its side of the session ends with the connection. */
async function endSoon(session: pg.Client): Promise<void> {
  const late = new Promise<void>((resolve) => setTimeout(resolve, goodbyeMs).unref())
  await Promise.race([session.end(), late])
  ;(session as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
}

/** Of a database that this process alone uses. */
function createLocalLocks(): Pick<Connection, 'tryLock'> {
  const taken = new Set<string>()
  return {
    async tryLock(name) {
      if (taken.has(name)) return null
      taken.add(name)
      return {
        async release() {
          taken.delete(name)
        },
      }
    },
  }
}

/** Opens the embedded Postgres in `directory`, which this process alone may use until it closes. */
export async function connectEmbedded(directory: string): Promise<Connection> {
  const lock = await lockDataDirectory(directory).catch((error: unknown) => {
    if (error instanceof DataDirectoryLocked) throw error
    throw new DatabaseUnfit(`PROMPTSYNC_DATA_DIR ${directory} cannot be used: ${(error as Error).message}.`, { cause: error })
  })
  try {
    return embeddedConnection(await PGlite.create({ dataDir: `${directory}/postgres` }), lock)
  } catch (error) {
    await lock.release()
    throw error
  }
}

/**
 * The adapter swallows the error of a COMMIT and reports success. Each transaction gets an adapter of its own here, which
 * sees the outcome that PGlite gave and reports that.
 */
function honestCommits(pglite: PGlite): SqlMigrationAwareDriverAdapterFactory {
  return changingAdapters(new PrismaPGlite(pglite), (adapter) => {
    // Transactions run one at a time here, so every isolation level is the strictest.
    adapter.startTransaction = async () => {
      let outcome: Promise<unknown> = Promise.resolve()
      const transaction: PGlite['transaction'] = (work) => {
        const running = pglite.transaction(work)
        outcome = running
        return running
      }
      const started = await (await new PrismaPGlite({ transaction } as PGlite).connect()).startTransaction()
      const commit = started.commit.bind(started)
      started.commit = async () => {
        await commit()
        await outcome.catch((error: Error) => {
          throw toAdapterError(error)
        })
      }
      return started
    }
  })
}

function toAdapterError(error: Error): Error {
  if (!(error instanceof messages.DatabaseError)) return error
  const { code = '', severity = '', message, detail, column, hint } = error
  return new DriverAdapterError({ kind: 'postgres', code, originalCode: code, severity, message, detail, column, hint })
}

/** PGlite's way out of an ordinary error of a statement; any other exception of its engine is an abort. */
const ordinaryExit = 100

/**
 * A panic of the embedded engine, a log that finds no room say, ends it; PGlite goes on calling it for ever, and the
 * process hangs. From the first such failure on every call is refused here. Resolves at that moment.
 */
function watchForPanic(pglite: PGlite): Promise<void> {
  const { mod } = pglite as unknown as { mod: { _PostgresMainLoopOnce(): void } }
  const runOnce = mod._PostgresMainLoopOnce
  const runMessage = pglite.execProtocolRawSync
  return new Promise((resolve) => {
    let isBroken = false
    mod._PostgresMainLoopOnce = () => {
      try {
        runOnce()
      } catch (error) {
        if ((error as { status?: number }).status !== ordinaryExit) {
          isBroken = true
          resolve()
        }
        throw error
      }
    }
    pglite.execProtocolRawSync = (message) => {
      if (isBroken) throw new Error('PGlite is closed: its engine has failed.')
      return runMessage.call(pglite, message)
    }
  })
}

/** Wraps an open PGlite; without a lock it belongs to a test that holds it in memory. */
export function embeddedConnection(pglite: PGlite, lock?: DataDirectoryLock): Connection {
  const broken = watchForPanic(pglite)
  const client = new PrismaClient({ adapter: honestCommits(pglite), transactionOptions })
  return {
    kind: 'embedded',
    client,
    async read({ text }, values) {
      const { rows } = await pglite.query<{ answer: string | null }>(text, values)
      return rows[0]?.answer ?? null
    },
    migrationFactory: (onError) => scriptRunner(new PrismaPGlite(pglite), (sql) => pglite.exec(sql), onError),
    exclusively: (work) => work(),
    ...createLocalLocks(),
    broken,
    async close() {
      await client.$disconnect()
      if (!pglite.closed) await pglite.close()
      await lock?.release()
    },
  }
}
