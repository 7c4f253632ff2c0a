import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import { AdminError } from './admin/admin-error.js'
import { adminUsage, runAdmin } from './admin/commands.js'
import { buildApp } from './app.js'
import { type Config, ConfigError, loadConfig } from './config.js'
import { DatabaseUnfit } from './database/connect.js'
import { databaseMessage, isConnectionLoss, isIncapacity, sqlState } from './database/failures.js'
import { DataDirectoryLocked } from './database/lock.js'
import { MigrationFailed, migrate } from './database/migrate.js'
import { createDeps, type Deps } from './deps.js'
import { type FirstKey, FirstKeyFailed, prepareDatabase } from './features/keys/first-key.service.js'
import type { App } from './http.js'
import { announceKey, welcome } from './welcome.js'

/** Until a service is there to be closed, a signal ends the process: as process 1 of a container it would be ignored. */
const startUp = new AbortController()

function endOnSignals(): void {
  for (const [signal, number] of [
    ['SIGTERM', 15],
    ['SIGINT', 2],
  ] as const) {
    const end = () => process.exit(128 + number)
    process.once(signal, end)
    startUp.signal.addEventListener('abort', () => process.off(signal, end))
  }
}

/** Requests in flight get this long to finish after SIGTERM; the whole close stays under 10 s. */
const closeTimeoutMs = 9_000

const brokenExitMs = 1_000

/** Between attempts to reach the database at the start. */
const firstWaitMs = 500
const longestWaitMs = 10_000

async function serveWith(config: Config): Promise<void> {
  const { deps, firstKey } = await startPatiently(config)
  process.stdout.write(announceKey(firstKey))
  const app = await buildApp(deps)
  startUp.abort()
  closeWithGrace({ delay: closeTimeoutMs, logger: deps.log }, async ({ err }) => {
    if (err) deps.log.fatal({ err }, 'The process ends because of an error nobody caught.')
    await app.close()
    await deps.close()
  })
  void deps.connection.broken.then(() => endBroken(deps))
  const address = await listen(app, config)
  process.stdout.write(welcome(deps, address, firstKey))
}

/** Ends a process whose embedded engine is dead, once what is in flight has its answer. Its data is recovered by the next start. */
function endBroken({ log, config }: Deps): void {
  log.fatal(
    `The embedded database in ${config.dataDirectory} has failed; its disk may be full. The process ends: start it again.`,
  )
  setTimeout(() => process.exit(1), brokenExitMs)
}

/** Waits for a database that does not answer, longer each time; whatever else is wrong with it ends the start. */
async function startPatiently(config: Config): Promise<{ deps: Deps; firstKey: FirstKey }> {
  for (let waitMs = firstWaitMs; ; waitMs = Math.min(waitMs * 2, longestWaitMs)) {
    try {
      return await prepare(config)
    } catch (error) {
      const cause = error instanceof DatabaseUnfit ? error.cause : error
      const isMissing = sqlState(cause) === '3D000'
      if (isMissing || !(isConnectionLoss(cause) || isIncapacity(cause))) throw error
      const reason = error instanceof DatabaseUnfit ? error.message : databaseMessage(error)
      process.stderr.write(`promptsync: ${reason} Trying again in ${waitMs / 1_000} s.\n`)
      await delay(waitMs)
    }
  }
}

async function prepare(config: Config): Promise<{ deps: Deps; firstKey: FirstKey }> {
  const deps = await createDeps(config)
  try {
    await migrate(deps.connection)
    return { deps, firstKey: await prepareDatabase(deps, { terminal: process.stdout.isTTY === true }) }
  } catch (error) {
    await deps.close()
    throw error
  }
}

async function runMigrate(config: Config): Promise<number> {
  const deps = await createDeps(config)
  try {
    const applied = await migrate(deps.connection)
    process.stdout.write(applied.length === 0 ? 'The database is up to date.\n' : `Applied ${applied.join(', ')}.\n`)
    return 0
  } finally {
    await deps.close()
  }
}

async function listen(app: App, { host, port }: Config): Promise<string> {
  try {
    return await app.listen({ host, port })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'EADDRINUSE') throw new ConfigError(`PORT ${port} on ${host} is in use. Set another one.`)
    if (code === 'EACCES') throw new ConfigError(`PORT ${port} on ${host} needs privileges this process lacks. Set another one.`)
    throw new ConfigError(`HOST ${host} cannot be listened on: ${message}`)
  }
}

const plainErrors = [ConfigError, DatabaseUnfit, DataDirectoryLocked, MigrationFailed, FirstKeyFailed, AdminError]

/** Errors a person can act on are one clear line; anything else keeps its stack. */
function explain(error: unknown): string {
  const isPlain = plainErrors.some((kind) => error instanceof kind)
  const { code, message, stack } = error as NodeJS.ErrnoException
  if (isPlain) return message
  if (code?.startsWith('ERR_PARSE_ARGS')) return `${message}\n\n${adminUsage}`
  return stack ?? String(error)
}

/** The database of the environment. A directory without one is mostly the wrong directory. */
async function connectForAdmin(which: 'existing' | 'any'): Promise<Deps> {
  const config = loadConfig(process.env)
  if (which === 'existing' && !config.databaseUrl && !existsSync(join(config.dataDirectory, 'postgres'))) {
    throw new ConfigError(
      `PROMPTSYNC_DATA_DIR ${resolve(config.dataDirectory)} holds no database. Name another one, or set DATABASE_URL.`,
    )
  }
  return createDeps(config)
}

/** Serves until SIGTERM or SIGINT. Resolves once it listens, or with the exit code of a start that failed. */
export function serve(): Promise<number | null> {
  return explained(async () => {
    await serveWith(loadConfig(process.env))
    return null
  })
}

/** Brings the database to this version's schema. */
export function migrateDatabase(): Promise<number | null> {
  return explained(() => runMigrate(loadConfig(process.env)))
}

/** `promptsync admin …`: works on the database itself. */
export function administer(args: string[]): Promise<number | null> {
  return explained(async () => {
    await runAdmin(args, connectForAdmin, process)
    return 0
  })
}

async function explained(work: () => Promise<number | null>): Promise<number | null> {
  endOnSignals()
  try {
    return await work()
  } catch (error) {
    process.stderr.write(`promptsync: ${explain(error)}\n`)
    return 1
  }
}
