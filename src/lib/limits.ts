import { AppError } from '../errors.js'
import { createRateLimiter, type RateLimiter } from './rate-limiter.js'

/** What a caller has left of a limit: `resetMs` is when all of it is back, `waitMs` when a refused call is let through. */
export type Quota = {
  name: 'reads' | 'writes' | 'unknown-keys'
  perMinute: number
  left: number
  resetMs: number
  waitMs: number
}

/** What callers may do to this instance, and what was refused so far. */
export type Limits = {
  reads: RateLimiter
  readsPerMinute: number
  /** Counts the writes here while they cannot be counted for all instances. */
  writes: RateLimiter
  writesPerMinute: number
  /** Counts keys that nobody knows, by address. */
  guesses: RateLimiter
  /** Whether the event loop is so late that requests are refused. */
  isShedding: boolean
  counts: { reads: number; writes: number; guesses: number; shed: number; writesCountedAlone: number }
}

const maxCallers = 10_000
/** Far more than a misconfigured client makes, far less than a search needs. */
export const guessesPerMinute = 600

type Rates = { readLimitPerMinute: number; writeLimitPerMinute: number }

export function createLimits({ readLimitPerMinute, writeLimitPerMinute }: Rates, now: () => number): Limits {
  const limiterOf = (perMinute: number) => createRateLimiter({ perMinute, maxKeys: maxCallers, now })
  return {
    reads: limiterOf(readLimitPerMinute),
    readsPerMinute: readLimitPerMinute,
    writes: limiterOf(writeLimitPerMinute),
    writesPerMinute: writeLimitPerMinute,
    guesses: limiterOf(guessesPerMinute),
    isShedding: false,
    counts: { reads: 0, writes: 0, guesses: 0, shed: 0, writesCountedAlone: 0 },
  }
}

/**
 * Counts a read of a key, or of an address without one: 0 lets it through. A refused one is not counted, so that it may
 * be asked about again.
 */
export function takeRead(limits: Limits, caller: string): number {
  return limits.reads.take(caller)
}

/** What is left of the reads, once it is less than half: before that the fields would cost more than they tell. */
export function lowReads({ reads, readsPerMinute }: Limits, caller: string): Quota | null {
  const left = reads.remaining(caller)
  return left < readsPerMinute / 2 ? bucketQuota('reads', readsPerMinute, left, 0) : null
}

/** What is left of a bucket that refills evenly. */
export function bucketQuota(name: Quota['name'], perMinute: number, left: number, waitMs: number): Quota {
  return { name, perMinute, left, resetMs: ((perMinute - left) / perMinute) * 60_000, waitMs }
}

/** The fields of draft-ietf-httpapi-ratelimit-headers, as they are since its version 8. A refused call ends its window by waiting. */
export function rateFields({ name, perMinute, left, resetMs, waitMs }: Quota): Record<string, string> {
  const seconds = Math.ceil((waitMs > 0 ? waitMs : resetMs) / 1_000)
  return { 'ratelimit-policy': `"${name}";q=${perMinute};w=60`, ratelimit: `"${name}";r=${left};t=${seconds}` }
}

/** The refusal of a call that has to wait. `who` is the owner of the limit, in words. */
export function rateExceeded(quota: Quota, who: string): AppError {
  const seconds = Math.max(1, Math.ceil(quota.waitMs / 1_000))
  const what = quota.name === 'unknown-keys' ? 'calls with unknown keys' : quota.name
  const detail = `${who} has made its ${quota.perMinute} ${what} of a minute. Wait ${seconds} s, as Retry-After says.`
  return new AppError('rate.exceeded', detail, { headers: { ...rateFields(quota), 'retry-after': String(seconds) } })
}

/**
 * The address that calls without a key are counted by: of IPv6 the first 64 bits, since who has one address there has
 * as many as he likes. Pure.
 */
export function addressKey(address: string): string {
  if (!address.includes(':')) return address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  const [head = '', tail] = address.split('%', 1)[0]?.split('::', 2) ?? []
  const first = head === '' ? [] : head.split(':')
  const last = tail === undefined || tail === '' ? [] : tail.split(':')
  const left = Array.from({ length: Math.max(0, 8 - first.length - last.length) }, () => '0')
  const network = [...first, ...left, ...last].slice(0, 4)
  return `${network.map((group) => group.replace(/^0+(?=.)/, '').toLowerCase()).join(':')}::/64`
}
