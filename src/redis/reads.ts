import { Cluster } from 'ioredis'
import type { Breaker } from '../lib/breaker.js'
import { isReply, RedisAway, replyCode } from './away.js'
import { type Client, dropSilent } from './client.js'
import { startHeartbeat } from './heartbeat.js'
import { type Status, watchEnds } from './status.js'
import { isLate, within } from './within.js'

export type Reads = {
  get(key: string): Promise<Buffer | null>
  /** Whether Redis has answered on the connection that stands. */
  isConnected(): boolean
  /** Whether reads are sent at all. */
  isUsable(): boolean
  stop(): void
}

export type ReadCounts = {
  /** Reads without an answer in time. */
  timeouts: number
  /** Commands that failed otherwise. */
  failures: number
  /** Reads that were refused at once, because Redis is away. */
  skipped: number
}

type Settings = {
  breaker: Breaker
  status: Status
  counts: ReadCounts
  describe: (error: unknown) => string
  now: () => number
}

const readLimitMs = 50
/** How often it is looked whether something is to be asked. */
const beatMs = 250
/** A connection on which nothing was heard for so long is asked whether it lives. */
const quietMs = 1_000

/** Made once: a trace of the stack for each of thousands of refused reads would cost more than the reads. */
const skipped = new RedisAway('Redis is away; it is not asked until it answers again.')

/**
 * Reads that wait for Redis at most 50 ms. After one without an answer none is sent until Redis has answered a question of
 * our own: never is somebody's read the one that finds out.
 */
export function createReads(client: Client, { breaker, status, counts, describe, now }: Settings): Reads {
  /** The key whose read failed: of a Cluster's nodes the one that has it is asked, and not any. */
  let suspect: string | null = null
  let heardAt = Number.NEGATIVE_INFINITY
  /** Whether something has answered since it was connected. */
  let isProven = false

  const isConnected = () => isProven && client.status === 'ready'
  const isUsable = () => isConnected() && breaker.state() === 'closed'
  const ask = (): Promise<unknown> => {
    if (!isProven) return greet(client)
    return within<unknown>(suspect === null ? client.ping() : client.exists(suspect), readLimitMs)
  }
  const heard = () => {
    heardAt = now()
    breaker.succeeded()
  }

  async function beat(): Promise<void> {
    const isQuiet = breaker.state() !== 'closed' || now() - heardAt >= quietMs
    if (client.status !== 'ready' || breaker.isOpen() || !isQuiet) return
    try {
      await breaker.run(ask)
      suspect = null
      isProven = true
      heard()
      status.up('reads')
    } catch (error) {
      breaker.trip()
      status.down('reads', describe(error))
      if (!isReply(error)) await dropSilent(client)
    }
  }

  function failed(key: string, error: unknown): null {
    // Somebody else's value under our key, of a type that GET does not read: as good as none.
    if (replyCode(error) === 'WRONGTYPE') {
      heard()
      return null
    }
    suspect = key
    counts[isLate(error) ? 'timeouts' : 'failures'] += 1
    if (isLate(error)) breaker.trip()
    else breaker.failed()
    const reason = describe(error)
    if (breaker.state() !== 'closed') status.down('reads', reason)
    throw new RedisAway(`Redis did not answer: ${reason}.`)
  }

  const heartbeat = startHeartbeat(beatMs, beat)
  watchEnds(client, describe, (reason) => {
    isProven = false
    status.down('reads', reason)
  })
  client.on('ready', () => {
    heardAt = Number.NEGATIVE_INFINITY
    heartbeat.beatNow()
  })
  return {
    get(key) {
      if (!isUsable()) {
        counts.skipped += 1
        return Promise.reject(skipped)
      }
      return within(client.getBuffer(key), readLimitMs).then(
        (value) => {
          heard()
          // Whatever else is sent in answer is nothing of ours.
          return Buffer.isBuffer(value) ? value : null
        },
        (error) => failed(key, error),
      )
    },
    isConnected,
    isUsable,
    stop: heartbeat.stop,
  }
}

/**
 * Has every master of a Cluster connected, so that no read finds one that is not; they would otherwise connect when they
 * are first asked. One that is away keeps nobody from the others.
 */
async function greet(client: Client): Promise<void> {
  if (client instanceof Cluster) await Promise.allSettled(client.nodes('master').map((node) => node.ping()))
  await client.ping()
}
