import type { LookupAddress } from 'node:dns'
import { type LookupFunction, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import pg from 'pg'
import { AppError } from '../errors.js'
import { findAllowedAddresses } from '../lib/allowed-hosts.js'
import { explainDatabase } from './database-errors.js'
import { BrokenProtocol, createMessageFilter, TooMuchSent } from './database-messages.js'
import { type DatabasePlace, nameOfPlace, tlsOptions } from './database-url.js'
import type { ProviderContext } from './provider.js'

/** What is asked of which database. `authority` is the certificate that the server's is to be signed by. */
export type Question = { place: DatabasePlace; query: string; authority: string | undefined }

/** A row as the query gives it. */
export type Row = { path: string | null; content: Buffer | null }

/** The rows in batches; to leave the loop early ends the query. */
export type Batches = AsyncIterable<Row[]>

const batchRows = 200
/** What the protocol needs for a row beside the bytes of its content, a path of any length that is taken included. */
const rowOverheadBytes = 4 * 1024
const sessionOverheadBytes = 1024 * 1024
const cursor = 'promptsync_rows'
/**
 * A cursor is declared for a query that reads, and for nothing else. Two statements are refused since it is sent as a prepared
 * one. So nothing in the query can end the transaction.
 */
const declare = `DECLARE ${cursor} NO SCROLL CURSOR FOR `
const textTypes = new Set([25, 1043, 1042, 19])
const byteType = 17

type Session = { client: pg.Client; socket: Socket }

/**
 * Runs the query on a connection of its own, in a transaction that can only read and is rolled back. Rejects with an `AppError`
 * that tells no secret. Each call to the database is noted.
 */
export async function askDatabase<T>(question: Question, context: ProviderContext, use: (batches: Batches) => Promise<T>) {
  const { place, query } = question
  const name = nameOfPlace(place)
  const session = await noted(question, context, `connect to ${name}`, () => connect(question, context))
  const stop = () => session.socket.destroy()
  context.signal.addEventListener('abort', stop, { once: true })
  try {
    return await noted(question, context, `query ${name}`, async () => {
      context.signal.throwIfAborted()
      await begin(session.client, context)
      const result = await use(readRows(session.client, query))
      await leave(session, context)
      return result
    })
  } finally {
    context.signal.removeEventListener('abort', stop)
    session.socket.destroy()
  }
}

async function noted<T>({ place, query }: Question, context: ProviderContext, what: string, work: () => Promise<T>): Promise<T> {
  const started = performance.now()
  const note = (error: string | null) =>
    context.note({ what, statusCode: null, durationMs: Math.round(performance.now() - started), error })
  try {
    const result = await work()
    note(null)
    return result
  } catch (error) {
    const { requestTimeoutMs: timeoutMs, signal } = context
    const told = explainDatabase(error, { place, query, prefix: declare.length, timeoutMs, wasStopped: signal.aborted })
    note(told.message)
    throw told
  }
}

async function connect({ place, authority }: Question, context: ProviderContext): Promise<Session> {
  const { allowedHosts, requestTimeoutMs, signal } = context
  signal.throwIfAborted()
  const { host, port, database, user, password } = place
  const ssl = tlsOptions(place, { authority, isAllowed: allowedHosts.allows(host, port) })
  const inTime = AbortSignal.any([signal, AbortSignal.timeout(requestTimeoutMs)])
  const socket = socketTo(await findAllowedAddresses(allowedHosts, { host, port, signal: inTime }), port)
  const client = new pg.Client({
    ...{ host, port, database, user, ssl, sslnegotiation: 'postgres' },
    // Were it empty, the driver would look for one in files and variables that are not meant for this host.
    password: () => password,
    stream: () => socket,
    application_name: 'promptsync',
    connectionTimeoutMillis: requestTimeoutMs,
    query_timeout: requestTimeoutMs,
  })
  // Whoever waits for an answer hears of it; without a listener it would end the process as well.
  client.on('error', () => undefined)
  guard(client, mostBytes(context))
  const stop = () => socket.destroy()
  signal.addEventListener('abort', stop, { once: true })
  try {
    await client.connect()
    return { client, socket }
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** Bytes come as hex, in twice their size. */
function mostBytes({ limits }: ProviderContext): number {
  return 2 * (limits.totalBytes + limits.fileBytes) + limits.files * rowOverheadBytes + sessionOverheadBytes
}

/** A socket that goes to the addresses that were checked, whatever the driver tells it. */
function socketTo(addresses: LookupAddress[], port: number): Socket {
  const socket = new Socket()
  const connectTo = socket.connect.bind(socket)
  const lookup: LookupFunction = (_host, { all }, callback) => {
    const [first] = addresses
    if (all) callback(null, addresses)
    else callback(null, first?.address ?? '', first?.family)
  }
  socket.connect = () => connectTo({ host: 'checked.invalid', port, lookup, autoSelectFamily: true })
  return socket
}

/**
 * Between the socket and the driver, TLS aside. What the driver throws at a message that comes at the wrong time it throws in an
 * event, where that would end the process; here it ends the connection.
 */
function guard(client: pg.Client, maxBytes: number): void {
  const driver = client.connection as unknown as { attachListeners(stream: Duplex): void }
  const attach = driver.attachListeners.bind(driver)
  driver.attachListeners = (stream) => {
    const filter = createMessageFilter(maxBytes)
    const emit = stream.emit.bind(stream) as (event: string | symbol, ...values: unknown[]) => boolean
    stream.emit = (event: string | symbol, ...values: unknown[]): boolean => {
      if (event !== 'data') return emit(event, ...values)
      try {
        return emit(event, filter(values[0] as Buffer))
      } catch (error) {
        stream.destroy(
          error instanceof TooMuchSent ? error : new BrokenProtocol('A message comes at the wrong time.', { cause: error }),
        )
        return false
      }
    }
    attach(stream)
  }
}

/** All is of this transaction alone, so that nothing is left behind in a pool of connections. */
async function begin(client: pg.Client, { requestTimeoutMs }: ProviderContext): Promise<void> {
  await client.query(
    [
      'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
      `SET LOCAL statement_timeout = ${Math.ceil(requestTimeoutMs)}`,
      `SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(requestTimeoutMs)}`,
      "SET LOCAL client_encoding = 'UTF8'",
      "SET LOCAL bytea_output = 'hex'",
    ].join(';'),
  )
}

/** The driver waits for the other side to close the connection, which may never come. */
async function leave({ client, socket }: Session, { requestTimeoutMs }: ProviderContext): Promise<void> {
  const giveUp = setTimeout(() => socket.destroy(), requestTimeoutMs)
  try {
    await client.query('ROLLBACK')
    await client.end()
  } finally {
    clearTimeout(giveUp)
  }
}

const untouched = { getTypeParser: () => (text: string) => text }

async function* readRows(client: pg.Client, query: string): AsyncGenerator<Row[]> {
  const prepared: pg.QueryConfig & { queryMode: 'extended' } = { text: `${declare}${query}`, queryMode: 'extended' }
  await client.query(prepared)
  let columns: Columns | null = null
  for (;;) {
    const { rows, fields } = await client.query<(string | null)[]>({
      text: `FETCH FORWARD ${batchRows} FROM ${cursor}`,
      rowMode: 'array',
      types: untouched as unknown as pg.CustomTypesConfig,
    })
    columns ??= await findColumns(client, fields)
    const { path, content, isBytes } = columns
    yield rows.map((row) => ({ path: row[path] ?? null, content: decode(row[content] ?? null, isBytes) }))
    if (rows.length < batchRows) return
  }
}

type Columns = { path: number; content: number; isBytes: boolean }

async function findColumns(client: pg.Client, fields: pg.FieldDef[]): Promise<Columns> {
  const path = fields.findIndex(({ name }) => name === 'path')
  const content = fields.findIndex(({ name }) => name === 'content')
  const types = [fields[path]?.dataTypeID ?? 0, fields[content]?.dataTypeID ?? 0] as const
  const isBytes = types[1] === byteType
  const isAsked = fields.length === 2 && textTypes.has(types[0]) && (isBytes || textTypes.has(types[1]))
  if (isAsked) return { path, content, isBytes }
  const { rows } = await client.query<{ name: string }>({
    text: 'SELECT format_type(id, NULL) AS name FROM unnest($1::oid[]) WITH ORDINALITY AS given(id, place) ORDER BY place',
    values: [fields.map(({ dataTypeID }) => dataTypeID)],
  })
  const given = fields.map(({ name }, index) => `${JSON.stringify(name)} (${rows[index]?.name})`)
  throw new AppError(
    'source.invalid',
    `The query gives ${given.join(', ').slice(0, 500).toWellFormed() || 'no columns'}. It must give two columns: "path" (text) and "content" (text or bytea).`,
  )
}

function decode(text: string | null, isBytes: boolean): Buffer | null {
  if (text === null) return null
  return isBytes ? Buffer.from(text.slice('\\x'.length), 'hex') : Buffer.from(text)
}
