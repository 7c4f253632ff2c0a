import { type Cluster, Redis } from 'ioredis'
import type { Logger } from 'pino'
import { type BreakerState, createBreaker } from '../lib/breaker.js'
import { type Address, addressOf, describeError } from './addresses.js'
import { type Client, createClient, sharedBy } from './client.js'
import { createReads, type ReadCounts } from './reads.js'
import { createStatus } from './status.js'
import { createSubscriber, type Listener, type SubscriberCounts } from './subscriber.js'
import { createWrites, type WriteCounts } from './writes.js'

export type RedisLink = {
  /**
   * The bytes under a key, or null. Rejects with `RedisAway` at once while Redis is away, else within 50 ms. The bytes are
   * a view into what the network brought: copy what is kept, or it keeps up to 64 KiB.
   */
  get(key: string): Promise<Buffer | null>
  /** Stores for so long. Nobody waits for it; it is dropped while Redis is away or when too much is under way. */
  set(key: string, value: Buffer, ttlMs: number): void
  /** Removes all keys that begin with a prefix and answers how many; rejects with `RedisAway` when it cannot say that all are gone. */
  removeAll(prefix: string, timeoutMs: number): Promise<number>
  /** Tells all that hear the channel, at least once within a second where that can be. Nobody waits for it. */
  publish(channel: string, message: string): void
  subscribe(channel: string, listener: Listener): void
  state(): LinkState
  counts: LinkCounts
  /** The client that reads, for the limiter of rates. It fails at once while it is not connected. */
  client: Redis | Cluster
  /** Ends within a second whatever Redis does. */
  close(): Promise<void>
}

export type LinkState = { commands: 'up' | 'down'; breaker: BreakerState; subscriber: 'up' | 'down' }

export type LinkCounts = ReadCounts &
  WriteCounts &
  SubscriberCounts & {
    /** How often Redis went away: reads had no answer, or their connection was lost. */
    readonly opened: number
  }

type Settings = {
  log: Pick<Logger, 'warn'>
  /** Milliseconds from any start, and never set back. */
  now?: () => number
}

const failuresToOpen = 3
const openMs = 1_000
const openJitterMs = 200
/** A backstop for the commands of others; reads have their own, shorter limit. */
const readTimeoutMs = 200
const writeTimeoutMs = 500
const writeFailoverWaitMs = 100
const settleMs = 400
const goodbyeMs = 300

/** Connects in the background; the start neither waits for Redis nor fails without it. */
export function connectRedis(urls: string[], { log, now = () => performance.now() }: Settings): RedisLink {
  const describe = (error: unknown) => describeError(urls, error)
  const breaker = createBreaker({ failures: failuresToOpen, openMs: () => openMs + Math.random() * openJitterMs, now })
  const status = createStatus(log)
  const counts: LinkCounts = {
    ...{ timeouts: 0, failures: 0, skipped: 0, refused: 0, dropped: 0, published: 0, received: 0, subscribed: 0 },
    get opened() {
      return status.losses('reads')
    },
  }
  const reading = createClient(urls, { name: 'reads', commandTimeoutMs: readTimeoutMs, failoverWaitMs: 0 })
  const writing = createClient(urls, {
    name: 'writes',
    commandTimeoutMs: writeTimeoutMs,
    failoverWaitMs: writeFailoverWaitMs,
  })
  const reads = createReads(reading, { breaker, status, counts, describe, now })
  const writes = createWrites(writing, { status, counts, describe, now, isUsable: reads.isUsable })
  const addresses = () => knownAddresses(urls, reading)
  const subscriber = createSubscriber({ addresses, status, counts, describe, log })
  return {
    get: reads.get,
    set: writes.set,
    removeAll: writes.removeAll,
    publish: writes.publish,
    subscribe: subscriber.subscribe,
    state: () => ({
      commands: reads.isConnected() ? 'up' : 'down',
      breaker: breaker.state(),
      subscriber: subscriber.stands() ? 'up' : 'down',
    }),
    counts,
    client: reading,
    async close() {
      status.stop()
      for (const part of [subscriber, reads, writes]) part.stop()
      // What was written last is to be heard of, if that is possible at all.
      await atMost(settleMs, writes.settled())
      await Promise.all([reading, writing].map(disconnect))
    },
  }
}

/** In a Cluster those that were named may have been replaced since by others, which it tells of. */
function knownAddresses(urls: string[], client: Client): Address[] {
  const named = urls.map(addressOf)
  if (client instanceof Redis) return named
  const shared = sharedBy(named)
  const told = client.nodes().map(({ options: { host = '', port = 0 } }) => ({ host, port, ...shared }))
  return [...told, ...named]
}

/** Resolves when its connections have ended, or are believed to. */
async function disconnect(client: Client): Promise<void> {
  // One that is between two attempts to connect has nothing to end, and says nothing.
  const isConnected = ['connecting', 'connect', 'ready'].includes(client.status)
  const ended = new Promise<void>((resolve) => client.once('end', resolve))
  client.disconnect()
  if (isConnected) await atMost(goodbyeMs, ended)
}

/** Resolves when the work has ended, and after so long at the latest. */
async function atMost(limitMs: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs)
  })
  await Promise.race([work, over])
  clearTimeout(timer)
}
