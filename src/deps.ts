import { LRUCache } from 'lru-cache'
import pino, { type Logger } from 'pino'
import type { Config } from './config.js'
import { type Connection, connectEmbedded, connectPostgres } from './database/connect.js'
import type { CheckedKey, Project } from './lib/access.js'
import { type Builtins, loadBuiltins } from './lib/builtins.js'
import { createPromptCache, type PromptCache } from './lib/rendering/prepared-prompt.js'
import { createPause, type Pause } from './lib/slices.js'
import type { Variable } from './lib/template/variables.js'
import { createWriteQueue, type WriteQueue } from './lib/write-queue.js'

/** Everything a service may use. Inside a transaction it is `{ ...deps, db: tx }`. */
export type Deps = {
  db: Connection['client']
  connection: Connection
  config: Config
  log: Logger
  now: () => Date
  writes: WriteQueue
  /** Validations read as much as a push does, and wait for each other. */
  validations: WriteQueue
  /** Called between items of long work, so that reads get their turn. */
  pause: Pause
  builtins: Builtins
  /** Keys by the hex of their hash, with when each was last read from the database. */
  keys: LRUCache<string, CheckedKey>
  /** Projects by slug and by id as they were last read, for when the database is away. */
  projects: LRUCache<string, Project>
  /** Last uses that are not in the database yet, by key id. */
  keyUses: Map<string, Date>
  /** What prompts ask for, by the hash of their content; found by parsing on load, never stored. */
  variables: LRUCache<string, Variable[]>
  /** Prompts ready to be rendered, by the hash of their content. A purge empties it. */
  renderable: PromptCache
  close(): Promise<void>
}

/** Writers over all projects share half of the connections, so that readers always find one. */
const writeLimits = { concurrent: 4, waiting: 200 }
const validationLimits = { concurrent: 2, waiting: 50 }
const keyCacheSize = 10_000
const projectCacheSize = 10_000
const variablesCacheBytes = 16 * 1024 ** 2

/** About what a list of variables takes in memory, in bytes. */
function sizeOfVariables(variables: Variable[]): number {
  return variables.reduce((bytes, { name, paths }) => bytes + [name, ...paths].join().length * 2 + (paths.length + 1) * 64, 512)
}

/** Connects to what the configuration names. The database may not be migrated yet. */
export async function createDeps(config: Config): Promise<Deps> {
  const connection = config.databaseUrl ? await connectPostgres(config.databaseUrl) : await connectEmbedded(config.dataDirectory)
  // Logs go to stderr: stdout is for what a person at the terminal reads.
  const log = pino(
    { level: config.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 2, sync: false }),
  )
  return assembleDeps(connection, config, log, () => new Date())
}

export async function assembleDeps(connection: Connection, config: Config, log: Logger, now: () => Date): Promise<Deps> {
  return {
    db: connection.client,
    connection,
    config,
    log,
    now,
    writes: createWriteQueue(writeLimits),
    validations: createWriteQueue(validationLimits),
    pause: createPause(),
    builtins: await loadBuiltins(),
    keys: new LRUCache({ max: keyCacheSize }),
    projects: new LRUCache({ max: projectCacheSize }),
    keyUses: new Map(),
    variables: new LRUCache({ maxSize: variablesCacheBytes, sizeCalculation: sizeOfVariables }),
    renderable: createPromptCache(),
    close: () => connection.close(),
  }
}
