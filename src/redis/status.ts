import type { Logger } from 'pino'
import type { Client } from './client.js'

/** The connections: one for what reads wait for, one for what nobody waits for, one that hears. */
export type Part = 'reads' | 'writes' | 'subscriber'

/** Says in the log when Redis goes and when it is back: once each, however many connections see it. */
export type Status = {
  up(part: Part): void
  down(part: Part, reason: string): void
  /** How often a part went down that was up. */
  losses(part: Part): number
  /** From here on nothing is said: connections that we end ourselves are no news. */
  stop(): void
}

export function createStatus(log: Pick<Logger, 'warn'>): Status {
  const missing = new Set<Part>()
  const standing = new Set<Part>()
  const losses = { reads: 0, writes: 0, subscriber: 0 }
  let isStopped = false
  return {
    up(part) {
      standing.add(part)
      if (missing.delete(part) && missing.size === 0 && !isStopped) log.warn('Redis is back.')
    },
    down(part, reason) {
      if (missing.size === 0 && !isStopped) log.warn(`Redis is away: ${reason}`)
      missing.add(part)
      if (standing.delete(part)) losses[part] += 1
    },
    losses: (part) => losses[part],
    stop() {
      isStopped = true
    },
  }
}

/** Tells of every end of a client's connection; the error before it, if any, is the reason. */
export function watchEnds(client: Client, describe: (error: unknown) => string, onEnd: (reason: string) => void): void {
  let reason: string | null = null
  client.on('error', (error: unknown) => {
    reason = describe(error)
  })
  client.on('close', () => {
    onEnd(reason ?? 'the connection has ended')
    reason = null
  })
}
