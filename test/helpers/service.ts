import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { PGlite } from '@electric-sql/pglite'
import pg from 'pg'
import pino from 'pino'
import { buildApp } from '../../src/app.js'
import { type Config, loadConfig } from '../../src/config.js'
import { type Connection, connectPostgres, embeddedConnection } from '../../src/database/connect.js'
import { assembleDeps, type Deps } from '../../src/deps.js'
import { prepareDatabase } from '../../src/features/keys/first-key.service.js'
import type { App } from '../../src/http.js'
import { connectRedis, type RedisLink } from '../../src/redis/connect.js'
import { memoryTemplateFile, templateDatabase } from './template.js'

/** Anything that can be told to clean up: a tap test. */
export type Teardown = { teardown(work: () => Promise<unknown> | unknown): void }

/** A clock that tests move by hand; it starts at the real time, which the database also uses. */
export type Clock = { now(): Date; advance(ms: number): void }

export type Answer = { status: number; headers: Headers; body: any; text: string }

export type CallOptions = {
  method?: string
  /** The secret of a key; null sends none. By default the admin's. */
  key?: string | null
  project?: string
  headers?: Record<string, string>
  /** An object is sent as JSON; a string or bytes go as they are, with the JSON content type. */
  body?: unknown
}

/** A service on a database of its own, listening on a free port of the loopback. */
export type Service = {
  app: App
  deps: Deps
  url: string
  adminKey: string
  clock: Clock
  call(path: string, options?: CallOptions): Promise<Answer>
  /** Pushes and expects 200 or 201. */
  push(body: object, options?: CallOptions): Promise<any>
  /** Makes a key and answers its secret and id. */
  createKey(key: object): Promise<{ id: string; secret: string }>
  /** Counts the rows of every table, to show that a refused call changed nothing. */
  countRows(): Promise<Record<string, number>>
}

export const isPostgres = process.env.TEST_DATABASE_URL !== undefined

/** Opens a migrated database that only this caller uses, on the engine the suite runs on. */
export async function openDatabase(t: Teardown): Promise<Connection> {
  if (!isPostgres) {
    const tar = await readFile(await memoryTemplateFile())
    const connection = embeddedConnection(await PGlite.create({ loadDataDir: new Blob([tar]) }))
    t.teardown(() => connection.close())
    return connection
  }
  const connection = await connectPostgres(await createPostgresDatabase(t))
  t.teardown(() => connection.close())
  return connection
}

/** A fresh copy of the template on the test server; dropped at the end. For tests that need its URL. */
export async function createPostgresDatabase(t: Teardown): Promise<string> {
  const serverUrl = process.env.TEST_DATABASE_URL ?? ''
  const name = `promptsync_test_${randomUUID().replaceAll('-', '')}`
  await onServer(serverUrl, `CREATE DATABASE ${name} TEMPLATE ${await templateDatabase()}`)
  t.teardown(() => onServer(serverUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`))
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  // Copies of one database that share a Redis are installations of their own all the same.
  await onServer(url.href, 'UPDATE database_identity SET id = gen_random_uuid()')
  return url.href
}

async function onServer(url: string, sql: string): Promise<void> {
  const server = new pg.Client({ connectionString: url })
  await server.connect()
  try {
    await server.query(sql)
  } finally {
    await server.end()
  }
}

const silent = pino({ level: 'silent' })

export function createClock(): Clock {
  let offsetMs = 0
  return { now: () => new Date(Date.now() + offsetMs), advance: (ms) => (offsetMs += ms) }
}

/** A clock that goes on by hand alone: how long a test takes makes no difference. */
export function createStandingClock(): Clock {
  let nowMs = Date.now()
  return {
    now: () => new Date(nowMs),
    advance(ms) {
      nowMs += ms
    },
  }
}

type Overrides = { env?: Record<string, string>; connection?: Connection; clock?: Clock }

/** Starts a service. Pass `connection` to start a second instance on the same database. */
export async function startService(t: Teardown, overrides: Overrides = {}): Promise<Service> {
  const clock = overrides.clock ?? createClock()
  const directory = await mkdtemp(join(tmpdir(), 'promptsync-test-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const adminKey = `ps_test_${'k'.repeat(40)}`
  const config: Config = loadConfig({
    PROMPTSYNC_DATA_DIR: directory,
    PROMPTSYNC_ADMIN_KEY: adminKey,
    PORT: '0',
    // Tests ask for the syncs they want, so that none comes between.
    PROMPTSYNC_SYNC: 'off',
    ...(process.env.TEST_REDIS_URL ? { REDIS_URL: process.env.TEST_REDIS_URL } : {}),
    ...overrides.env,
  })
  const connection = overrides.connection ?? (await openDatabase(t))
  const redis = config.redisUrls.length > 0 ? connectRedis(config.redisUrls, { log: silent, now: () => performance.now() }) : null
  t.teardown(() => redis?.close())
  const elapsed = () => clock.now().getTime()
  const deps = await assembleDeps({ connection, redis, config, log: silent, now: clock.now, elapsed })
  await prepareDatabase(deps, { terminal: false })
  const app = await buildApp(deps)
  t.teardown(() => app.close())
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  if (redis && isTestRedis(config)) await untilUp(redis)
  return { app, deps, url, adminKey, clock, ...callers(url, adminKey, deps) }
}

function isTestRedis({ redisUrls }: Config): boolean {
  return redisUrls[0] === process.env.TEST_REDIS_URL
}

const pollMs = 5
const upTimeoutMs = 10_000

/** What a test counts or hears is to come from one place from its first call on. */
async function untilUp(redis: RedisLink): Promise<void> {
  const deadline = performance.now() + upTimeoutMs
  while (redis.state().commands !== 'up' || redis.state().subscriber !== 'up') {
    if (performance.now() > deadline) throw new Error('The Redis of TEST_REDIS_URL does not answer.')
    await delay(pollMs)
  }
}

function callers(url: string, adminKey: string, deps: Deps) {
  const call = async (
    path: string,
    { method, key = adminKey, project, headers = {}, body }: CallOptions = {},
  ): Promise<Answer> => {
    const isRaw = typeof body === 'string' || body instanceof Uint8Array
    const response = await fetch(url + path, {
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      headers: {
        ...(key === null ? {} : { authorization: `Bearer ${key}` }),
        ...(project === undefined ? {} : { 'x-promptsync-project': project }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: isRaw ? (body as never) : JSON.stringify(body) }),
    })
    const text = await response.text()
    const isJson = /[/+]json\b/.test(response.headers.get('content-type') ?? '')
    return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : text }
  }
  const expectMade = async (path: string, body: object, options: CallOptions = {}) => {
    const answer = await call(path, { ...options, body })
    if (answer.status !== 200 && answer.status !== 201) throw new Error(`POST ${path} answered ${answer.status}: ${answer.text}`)
    return answer.body
  }
  return {
    call,
    push: (body: object, options?: CallOptions) => expectMade('/prompts', body, options),
    createKey: (key: object) => expectMade('/keys', key),
    countRows: () => countRows(deps),
  }
}

/** Every row of every table as JSON text, under the table's name. */
export async function everyRow({ db }: Pick<Deps, 'db'>): Promise<Record<string, string[]>> {
  const contents: Record<string, string[]> = {}
  for (const name of await tableNames(db)) {
    const rows = await db.$queryRawUnsafe<{ row: string }[]>(`SELECT row_to_json(t)::text AS row FROM "${name}" t ORDER BY 1`)
    contents[name] = rows.map(({ row }) => row)
  }
  return contents
}

async function tableNames(db: Deps['db']): Promise<string[]> {
  const tables = await db.$queryRaw<{ name: string }[]>`
    SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`
  return tables.map(({ name }) => name)
}

/** One statement for all tables: it is asked before and after every call that should change nothing. */
async function countRows({ db }: Deps): Promise<Record<string, number>> {
  const counts = (await tableNames(db)).map((name) => `SELECT '${name}' AS name, count(*)::int AS count FROM "${name}"`)
  const rows = await db.$queryRawUnsafe<{ name: string; count: number }[]>(counts.join(' UNION ALL '))
  return Object.fromEntries(rows.map(({ name, count }) => [name, count]))
}
