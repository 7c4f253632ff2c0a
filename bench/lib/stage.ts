import { createRequire } from 'node:module'
import { cpus, release, totalmem } from 'node:os'
import { type PostgresServer, startPostgres } from '../../test/faults/helpers/postgres-server.js'
import {
  adminKey,
  buildPackage,
  type PromptsyncProcess,
  servePromptsync,
  startPromptsync,
} from '../../test/faults/helpers/promptsync.js'
import { createLoadGenerator, type LoadGenerator } from './load.js'
import type { Options } from './options.js'
import type { Scope } from './scope.js'

/** What all rows share. Each makes its own database, starts its own Redis, and ends what it started. */
export type Stage = {
  options: Options
  /** The package as it is published, built from the sources of now. */
  root: string
  postgres: PostgresServer
  load: LoadGenerator
  /** Tells whoever waits how far it is; the table alone goes to stdout. */
  say(line: string): void
}

export async function createStage(scope: Scope, options: Options): Promise<Stage> {
  const say = (line: string) => process.stderr.write(`${line}\n`)
  const load = await createLoadGenerator(scope)
  say('Builds the package and starts Postgres …')
  return { options, load, say, root: await buildPackage(scope), postgres: await startPostgres(scope) }
}

/** An empty database with this version's schema. */
export async function makeDatabase(scope: Scope, { postgres, root }: Stage, name: string): Promise<string> {
  const databaseUrl = await postgres.createDatabase(name)
  const migration = startPromptsync(scope, root, { args: ['migrate'], env: { DATABASE_URL: databaseUrl } })
  const { code } = await migration.exited
  if (code !== 0) throw new Error(`promptsync migrate ended with ${code}: ${migration.stderr()}`)
  return databaseUrl
}

export type InstanceOptions = {
  databaseUrl: string
  redisUrl?: string
  env?: Record<string, string>
  /** Put before the command: `nice`, say. */
  enter?: string[]
  preload?: string[]
  onMark?: (text: string) => void
}

export type Instance = { url: string; pid: number; stop(): Promise<void> }

/** As in production: keys, metrics, the logging of errors and limits are on; the read limit is one that is never reached. */
export function productionEnvironment({ databaseUrl, redisUrl, env = {} }: InstanceOptions): Record<string, string> {
  return {
    NODE_ENV: 'production',
    LOG_LEVEL: 'info',
    DATABASE_URL: databaseUrl,
    ...(redisUrl === undefined ? {} : { REDIS_URL: redisUrl }),
    PROMPTSYNC_READ_LIMIT: '999999999',
    PROMPTSYNC_WRITE_LIMIT: '999999999',
    ...env,
  }
}

export async function startInstance(scope: Scope, { root }: Stage, options: InstanceOptions): Promise<Instance> {
  const { enter, preload, onMark } = options
  const started = await servePromptsync(scope, root, { env: productionEnvironment(options), enter, preload, onMark })
  return { url: started.url, pid: started.child.pid ?? 0, stop: () => stopProcess(started) }
}

async function stopProcess({ child, exited }: PromptsyncProcess): Promise<void> {
  child.kill('SIGTERM')
  await exited
}

type Ask = { method?: string; body?: unknown; headers?: Record<string, string>; key?: string }

export type Answer = { body: string; headers: Record<string, string> }

const askTimeoutMs = 120_000

/** One call outside of any measurement, by the admin unless a key is given. Throws unless it succeeds or answers 304. */
export async function ask(url: string, path: string, { method, body, headers = {}, key = adminKey }: Ask = {}): Promise<Answer> {
  const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
  const response = await fetch(url + path, {
    method: method ?? (text === undefined ? 'GET' : 'POST'),
    headers: {
      authorization: `Bearer ${key}`,
      ...(text === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: text ?? null,
    signal: AbortSignal.timeout(askTimeoutMs),
  })
  const answer = await response.text()
  if (!response.ok && response.status !== 304) throw new Error(`${path} answered ${response.status}: ${answer}`)
  return { body: answer, headers: Object.fromEntries(response.headers) }
}

/** A key as services have one: of one project, for reading. */
export async function makeReadKey(url: string, project: string): Promise<string> {
  const { body } = await ask(url, '/keys', { body: { name: 'bench', project, scopes: ['prompts:read'] } })
  return (JSON.parse(body) as { secret: string }).secret
}

/** On what the numbers were measured. */
export function describeMachine(): string {
  const { version } = createRequire(import.meta.url)('fastify/package.json') as { version: string }
  const [first] = cpus()
  const cores = `${cpus().length} × ${first?.model.trim() ?? 'unknown'}`
  return `${cores}, ${Math.round(totalmem() / 1024 ** 3)} GB, Linux ${release()}, Node ${process.version}, Fastify ${version}`
}
