import { LRUCache } from 'lru-cache'
import pino, { type Logger } from 'pino'
import type { Config } from './config.js'
import { type Connection, connectEmbedded, connectPostgres, readPoolSize } from './database/connect.js'
import type { CheckedKey } from './lib/access.js'
import { type AllowedHosts, createAllowedHosts } from './lib/allowed-hosts.js'
import { type Availability, createAvailability } from './lib/availability.js'
import type { Builtins } from './lib/builtins.js'
import { createDurationFamily, type DurationFamily, syncDurationBounds } from './lib/durations.js'
import { createKeyring, type Keyring } from './lib/encryption.js'
import { createLanes, type Lanes } from './lib/lanes.js'
import { createOutbound, type Outbound } from './lib/outbound.js'
import { createReadCache, type ReadCache } from './lib/read-cache.js'
import { createPromptCache, type PromptCache } from './lib/rendering/prepared-prompt.js'
import { createPause, type Pause } from './lib/slices.js'
import type { Variable } from './lib/template/variables.js'
import { createEndOfTurn, type EndOfTurn } from './lib/turns.js'
import { createWriteQueue, type WriteQueue } from './lib/write-queue.js'
import { loadBuiltins } from './providers/builtins.js'
import { connectRedis, type RedisLink } from './redis/connect.js'

/** Everything a service may use. Inside a transaction it is `{ ...deps, db: tx }`. */
export type Deps = {
  db: Connection['client']
  connection: Connection
  config: Config
  log: Logger
  now: () => Date
  /** Milliseconds of a clock that only goes forward. */
  elapsed: () => number
  writes: WriteQueue
  /** Validations read as much as a push does, and wait for each other. */
  validations: WriteQueue
  /** Looks at sources that somebody waits for: each may read as much as a sync. */
  looks: WriteQueue
  /** Syncs of sources take turns: each may hold connections and memory for a while. */
  syncs: WriteQueue
  /** The sources that are being synced here, and whether there is to be one more look at them. */
  working: Map<bigint, { isWantedAgain: boolean; done: Promise<void> }>
  /** How long syncs took, by `trigger` and `outcome`. */
  syncDurations: DurationFamily
  /** What secrets of sources are encrypted by. */
  keyring: Keyring
  /** Private places that may be reached. */
  allowedHosts: AllowedHosts
  /** The ways to send requests to the outside: to public addresses only, or to the private ones that are allowed as well. */
  outbound: { public: Outbound; allowed: Outbound }
  /** Aborted when the instance closes, so that long work in the background ends. */
  shutdown: AbortController
  /** Called between items of long work, so that reads get their turn. */
  pause: Pause
  /** Awaited by what answers reads, just before it does. */
  endOfTurn: EndOfTurn
  builtins: Builtins
  /** Keys by the hex of their hash, with when each was last read from the database. */
  keys: LRUCache<string, CheckedKey>
  /** What reads are answered from. */
  cache: ReadCache
  /** Whether the database answers reads. */
  database: Availability
  /** Reads of the database take turns here, so that none waits for a connection without anybody knowing why. */
  lanes: Lanes
  /** The level that instances share; null where there is none. */
  redis: RedisLink | null
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
const lookLimits = { concurrent: 3, waiting: 50 }
const syncLimits = { concurrent: 3, waiting: 200 }
/** A load that waits is told to try again a little before it would be given up on. */
const laneLimits = { concurrent: readPoolSize, waiting: 1_000, timeoutMs: 2_400 }
const keyCacheSize = 10_000
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
  const redis = config.redisUrls.length > 0 ? connectRedis(config.redisUrls, { log, now: () => performance.now() }) : null
  return assembleDeps({ connection, redis, config, log, now: () => new Date(), elapsed: () => performance.now() })
}

type Outside = Pick<Deps, 'connection' | 'redis' | 'config' | 'log' | 'now' | 'elapsed'>

export async function assembleDeps({ connection, redis, config, log, now, elapsed }: Outside): Promise<Deps> {
  const allowedHosts = createAllowedHosts(config.allowedHosts)
  const outbound = { public: createOutbound({ allowedHosts: createAllowedHosts([]) }), allowed: createOutbound({ allowedHosts }) }
  return {
    db: connection.client,
    connection,
    config,
    log,
    now,
    elapsed,
    writes: createWriteQueue(writeLimits),
    validations: createWriteQueue(validationLimits),
    looks: createWriteQueue(lookLimits),
    syncs: createWriteQueue(syncLimits),
    working: new Map(),
    syncDurations: createDurationFamily(syncDurationBounds),
    keyring: createKeyring(config.encryptionKeys),
    ...{ allowedHosts, outbound },
    shutdown: new AbortController(),
    pause: createPause(),
    endOfTurn: createEndOfTurn(),
    builtins: await loadBuiltins({ outbound: outbound.public, allowedHosts }),
    keys: new LRUCache({ max: keyCacheSize }),
    cache: createReadCache(config.cacheBytes, elapsed),
    database: createAvailability((state) =>
      log.warn(state === 'away' ? 'The database is away: what is known is served.' : 'The database is back.'),
    ),
    lanes: createLanes(laneLimits),
    redis,
    keyUses: new Map(),
    variables: new LRUCache({ maxSize: variablesCacheBytes, sizeCalculation: sizeOfVariables }),
    renderable: createPromptCache(),
    async close() {
      await Promise.all([connection.close(), redis?.close(), outbound.public.close(), outbound.allowed.close()])
    },
  }
}
