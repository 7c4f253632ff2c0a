import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis, type RedisOptions } from 'ioredis'
import { freePort } from '../../helpers/free-port.js'
import type { Teardown } from '../../helpers/service.js'
import { until } from '../../helpers/until.js'
import { pauseProcess } from './pause-process.js'

/** A Redis of this test alone, which may be frozen, filled, killed and started again under the same address. */
export type RedisServer = {
  url: string
  port: number
  /** Resolves when it accepts connections. */
  start(): Promise<void>
  stop(): Promise<void>
  /** Ends it without a word: what was not on its disk is lost. */
  kill(): Promise<void>
  /** Stops it where it is. The system still accepts connections for it, and nobody answers them. */
  freeze(): Promise<void>
  thaw(): Promise<void>
  isRunning(): boolean
  /** Leaves no memory for writes: they are answered with OOM, reads go on. */
  fill(): Promise<void>
  unfill(): Promise<void>
  /** Starts another that follows this one, and resolves when it has all of its keys. */
  makeReplica(): Promise<RedisServer>
  /** Makes a replica the master and this one its replica: writes are answered with READONLY, reads go on. */
  failOverTo(replica: RedisServer): Promise<void>
  /** Makes this one a master again, whatever it followed. */
  promote(): Promise<void>
  /** A client for checks, closed at the end. */
  client(options?: RedisOptions): Redis
  log(): string
}

type Options = {
  /** By default a free one. */
  port?: number
  /** As in redis.conf: `{ appendonly: 'yes' }` makes it keep what it is told. */
  settings?: Record<string, string>
}

const startTimeoutMs = 10_000
const commandTimeoutMs = 5_000
const syncTimeoutMs = 10_000
const acceptingLine = 'Ready to accept connections'

/** Nothing is written to the disk, and a replica is not kept waiting for others to join it. */
const defaults = { bind: '127.0.0.1', save: '', appendonly: 'no', daemonize: 'no', 'repl-diskless-sync-delay': '0' }

export async function startRedis(t: Teardown, { port: wanted, settings = {} }: Options = {}): Promise<RedisServer> {
  const directory = await mkdtemp(join(tmpdir(), 'promptsync-redis-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const port = wanted ?? (await freePort())
  const server = superviseRedis({ ...defaults, port: String(port), dir: directory, ...settings })
  t.teardown(() => server.end('SIGKILL'))
  await server.start()
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    start: server.start,
    stop: () => server.end('SIGTERM'),
    kill: () => server.end('SIGKILL'),
    freeze: () => pauseProcess(server.pid()),
    async thaw() {
      process.kill(server.pid(), 'SIGCONT')
    },
    isRunning: server.isRunning,
    log: server.log,
    client(options) {
      const client = connect(port, options)
      t.teardown(() => client.disconnect())
      return client
    },
    ...redisFaults(t, port, settings),
  }
}

function superviseRedis(settings: Record<string, string>) {
  const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
  let server: ChildProcess | null = null
  let log = ''
  return {
    async start() {
      if (server) throw new Error('The server runs already.')
      // However this process ends, that one ends with it, even where it is frozen.
      const child = spawn('setpriv', ['--pdeathsig=KILL', 'redis-server', ...flags], {
        env: { PATH: process.env.PATH ?? '' },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      server = child
      const from = log.length
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (log += chunk))
      child.once('close', () => {
        if (server === child) server = null
      })
      await until('Redis accepts connections', startTimeoutMs, () => {
        if (server !== child) throw new Error(`Redis did not start. Debian’s package is redis-server. ${log.slice(from)}`)
        return log.slice(from).includes(acceptingLine)
      })
    },
    async end(signal: 'SIGTERM' | 'SIGKILL') {
      const child = server
      if (!child) return
      const closed = once(child, 'close')
      child.kill(signal)
      // A process that is stopped hears only SIGKILL.
      child.kill('SIGCONT')
      await closed
    },
    pid() {
      if (server?.pid === undefined) throw new Error('The server does not run.')
      return server.pid
    },
    isRunning: () => server !== null,
    log: () => log,
  }
}

function connect(port: number, options: RedisOptions = {}): Redis {
  const client = new Redis({ host: '127.0.0.1', port, commandTimeout: commandTimeoutMs, maxRetriesPerRequest: 1, ...options })
  // The server is taken away on purpose; a command that fails for it rejects all the same.
  client.on('error', () => undefined)
  return client
}

/** Works on a server with a connection of its own. */
export async function withRedis<T>(port: number, work: (client: Redis) => Promise<T>): Promise<T> {
  const client = connect(port)
  try {
    return await work(client)
  } finally {
    client.disconnect()
  }
}

type RedisFaults = Pick<RedisServer, 'fill' | 'unfill' | 'makeReplica' | 'failOverTo' | 'promote'>

function redisFaults(t: Teardown, port: number, settings: Record<string, string>): RedisFaults {
  const limitMemory = async (bytes: string) => {
    await withRedis(port, (client) => client.config('SET', 'maxmemory', bytes, 'maxmemory-policy', 'noeviction'))
  }
  return {
    fill: () => limitMemory('1'),
    unfill: () => limitMemory('0'),
    async makeReplica() {
      const replica = await startRedis(t, { settings })
      await withRedis(replica.port, async (client) => {
        await client.replicaof('127.0.0.1', port)
        await untilReplication(client, /role:slave.*master_link_status:up/s)
      })
      // The master learns a moment later that its replica is in step; a failover before that is refused.
      await withRedis(port, (client) => untilReplication(client, new RegExp(`port=${replica.port},state=online`)))
      return replica
    },
    async failOverTo(replica) {
      await withRedis(port, async (client) => {
        await client.call('FAILOVER', 'TO', '127.0.0.1', String(replica.port))
        await untilReplication(client, /role:slave.*master_link_status:up/s)
      })
      await withRedis(replica.port, (client) => untilReplication(client, /role:master/))
    },
    async promote() {
      await withRedis(port, (client) => client.replicaof('NO', 'ONE'))
    },
  }
}

function untilReplication(client: Redis, expected: RegExp): Promise<void> {
  return until(`replication says ${expected}`, syncTimeoutMs, async () => expected.test(await client.info('replication')))
}
