import { setTimeout as delay } from 'node:timers/promises'
import { isReply, RedisAway } from './away.js'
import { type Client, dropSilent } from './client.js'
import { startHeartbeat } from './heartbeat.js'
import { removeKeys } from './remove-keys.js'
import { type Status, watchEnds } from './status.js'
import { within } from './within.js'

export type Writes = {
  set(key: string, value: Buffer, ttlMs: number): void
  publish(channel: string, message: string): void
  removeAll(prefix: string, timeoutMs: number): Promise<number>
  /** Resolves when nothing of what was under way is. */
  settled(): Promise<void>
  stop(): void
}

export type WriteCounts = {
  failures: number
  /** Values that Redis answered with an error: it is full, or may not be written to. */
  refused: number
  /** Values and messages that were not sent, because Redis is away or too many were under way. */
  dropped: number
  /** Messages that Redis has taken. */
  published: number
}

type Settings = {
  status: Status
  counts: WriteCounts
  describe: (error: unknown) => string
  now: () => number
  /** Whether it is worth while to send a value. */
  isUsable: () => boolean
}

const maxUnderWay = 1_000
const maxBytesUnderWay = 16 * 1024 ** 2
/** A message that is older is not worth to be sent: those it is for have seen by themselves what it tells. */
const messageLifeMs = 1_000
const messageRetryMs = 50
const beatMs = 1_000

/** What nobody waits for. It has a connection of its own, so that a large value does not stand before a read. */
export function createWrites(client: Client, { status, counts, describe, now, isUsable }: Settings): Writes {
  const underWay = { values: new Set<Promise<void>>(), messages: new Set<Promise<void>>() }
  let bytesUnderWay = 0
  let isStopped = false

  const track = (tracked: Set<Promise<void>>, work: Promise<void>) => {
    tracked.add(work)
    work.finally(() => tracked.delete(work))
  }

  async function store(key: string, value: Buffer, ttlMs: number): Promise<void> {
    bytesUnderWay += value.length
    try {
      await client.set(key, value, 'PX', Math.max(1, Math.round(ttlMs)))
    } catch (error) {
      counts[isReply(error) ? 'refused' : 'failures'] += 1
    } finally {
      bytesUnderWay -= value.length
    }
  }

  /** Tries again for as long as others rely on hearing of it: a connection that was lost stands again soon. */
  async function deliver(channel: string, message: string): Promise<void> {
    const until = now() + messageLifeMs
    for (;;) {
      try {
        await client.publish(channel, message)
        counts.published += 1
        return
      } catch {
        if (isStopped || now() >= until) {
          counts.failures += 1
          return
        }
        await delay(messageRetryMs, undefined, { ref: false })
      }
    }
  }

  async function beat(): Promise<void> {
    if (client.status !== 'ready') return
    try {
      await client.ping()
      status.up('writes')
    } catch (error) {
      if (isReply(error)) return status.up('writes')
      status.down('writes', describe(error))
      await dropSilent(client)
    }
  }

  const heartbeat = startHeartbeat(beatMs, beat)
  watchEnds(client, describe, (reason) => status.down('writes', reason))
  client.on('ready', heartbeat.beatNow)
  return {
    set(key, value, ttlMs) {
      const isFull = underWay.values.size >= maxUnderWay || bytesUnderWay + value.length > maxBytesUnderWay
      if (isFull || client.status !== 'ready' || !isUsable()) counts.dropped += 1
      else track(underWay.values, store(key, value, ttlMs))
    },
    publish(channel, message) {
      if (underWay.messages.size >= maxUnderWay || isStopped) counts.dropped += 1
      else track(underWay.messages, deliver(channel, message))
    },
    async removeAll(prefix, timeoutMs) {
      const until = now() + timeoutMs
      const work = removeKeys(client, prefix, () => !isStopped && now() < until)
      return within(work, timeoutMs).catch((error: unknown) => {
        throw new RedisAway(`Not all keys could be removed from Redis: ${describe(error)}.`)
      })
    },
    async settled() {
      await Promise.all([...underWay.values, ...underWay.messages])
    },
    stop() {
      isStopped = true
      heartbeat.stop()
    },
  }
}
