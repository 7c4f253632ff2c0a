import { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Address } from './addresses.js'
import { commonOptions, retryDelay } from './client.js'
import { startHeartbeat } from './heartbeat.js'
import type { Status } from './status.js'

export type Listener = {
  onMessage(message: string): void
  /** Called each time the subscription stands; messages sent before may have been missed. */
  onReady(): void
}

export type Subscriber = {
  subscribe(channel: string, listener: Listener): void
  stands(): boolean
  stop(): void
}

export type SubscriberCounts = {
  /** Messages heard. */
  received: number
  /** How often a subscription came to stand. */
  subscribed: number
}

type Settings = {
  /** The nodes that may be asked: any one tells what is published on another. */
  addresses: () => Address[]
  status: Status
  counts: SubscriberCounts
  describe: (error: unknown) => string
  log: Pick<Logger, 'warn'>
}

const commandTimeoutMs = 1_000
const beatMs = 2_000

/**
 * Hears messages on a connection of its own. One that is lost is made anew here rather than by ioredis, which takes up
 * subscriptions again without saying when they stand, and in a Cluster neither limits the waiting nor asks for signs of life.
 */
export function createSubscriber({ addresses, status, counts, describe, log }: Settings): Subscriber {
  const listeners = new Map<string, Listener[]>()
  let client: Redis | null = null
  let stands = false
  let isStopped = false
  let attempts = 0
  let retry: NodeJS.Timeout | undefined

  const tell = (all: Listener[], call: (listener: Listener) => void) => {
    for (const listener of all) {
      try {
        call(listener)
      } catch (error) {
        log.warn(`What a message from Redis was to cause has failed: ${describe(error)}`)
      }
    }
  }

  function begin(): void {
    const all = addresses()
    const next = new Redis({
      ...all[attempts % all.length],
      ...commonOptions('subscriber', commandTimeoutMs),
      retryStrategy: null,
      lazyConnect: true,
    })
    client = next
    let reason: string | null = null
    next.on('error', (error: unknown) => {
      reason = describe(error)
    })
    next.on('message', (channel, message) => {
      counts.received += 1
      tell(listeners.get(channel) ?? [], ({ onMessage }) => onMessage(message))
    })
    next.once('end', () => lost(reason ?? 'the subscription has ended'))
    join(next).catch((error: unknown) => {
      reason ??= describe(error)
      next.disconnect()
    })
  }

  async function join(joining: Redis): Promise<void> {
    await joining.connect()
    const joined = new Set<string>()
    // A channel may be asked for while the others are being joined.
    while (joined.size < listeners.size) {
      const missing = [...listeners.keys()].filter((channel) => !joined.has(channel))
      await joining.subscribe(...missing)
      for (const channel of missing) joined.add(channel)
    }
    stands = true
    attempts = 0
    counts.subscribed += 1
    status.up('subscriber')
    tell([...listeners.values()].flat(), ({ onReady }) => onReady())
  }

  function lost(reason: string): void {
    client = null
    stands = false
    if (isStopped) return
    status.down('subscriber', reason)
    attempts += 1
    retry = setTimeout(begin, retryDelay(attempts)).unref()
  }

  async function addChannel(joined: Redis, channel: string, listener: Listener): Promise<void> {
    try {
      await joined.subscribe(channel)
      tell([listener], ({ onReady }) => onReady())
    } catch {
      // Its end makes a new connection, which joins this channel, too, and says why the old one failed.
      joined.disconnect()
    }
  }

  const heartbeat = startHeartbeat(beatMs, async () => {
    const asked = client
    if (stands && asked) await asked.ping().catch(() => asked.disconnect())
  })
  return {
    subscribe(channel, listener) {
      listeners.set(channel, [...(listeners.get(channel) ?? []), listener])
      if (client === null && attempts === 0 && !isStopped) begin()
      else if (client && stands) addChannel(client, channel, listener)
    },
    stands: () => stands,
    stop() {
      isStopped = true
      heartbeat.stop()
      clearTimeout(retry)
      client?.disconnect()
    },
  }
}
