export type RateLimiter = {
  /** Counts one call: 0 lets it through, else it is not counted and would be let through after so many milliseconds. */
  take(key: string): number
  /** How many calls would be let through now. */
  remaining(key: string): number
}

type Options = {
  /** How fast calls come back after they were used; infinite is no limit. */
  perMinute: number
  /** How many may come at once, after a pause. A minute's worth by default. */
  burst?: number
  /** For so many keys it is known what they have used. One more, and the one known longest starts anew. */
  maxKeys: number
  /** A clock that never goes back, in milliseconds. */
  now: () => number
}

const noLimit: RateLimiter = { take: () => 0, remaining: () => Number.POSITIVE_INFINITY }

/** Times are added and multiplied, so that a wait may end a rounding error early. */
const roundingError = 1e-6

/**
 * A token bucket for each key (RFC 2215, 3.6): in any time t a key makes at most burst + rate × t calls. It is asked on
 * every read: the numbers stay in typed arrays, so that a call makes no garbage.
 */
export function createRateLimiter({ perMinute, burst = perMinute, maxKeys, now }: Options): RateLimiter {
  if (perMinute === Number.POSITIVE_INFINITY) return noLimit
  const perMs = perMinute / 60_000
  const slots = new Map<string, number>()
  const keys: string[] = []
  const calls = new Float64Array(maxKeys)
  const countedAtMs = new Float64Array(maxKeys)
  let oldest = 0

  function addSlot(key: string, nowMs: number): number {
    let slot = keys.length
    if (slot === maxKeys) {
      slot = oldest
      slots.delete(keys[slot] as string)
      oldest = (oldest + 1) % maxKeys
    }
    keys[slot] = key
    slots.set(key, slot)
    calls[slot] = burst
    countedAtMs[slot] = nowMs
    return slot
  }

  function callsAt(slot: number, nowMs: number): number {
    const refilled = (calls[slot] as number) + (nowMs - (countedAtMs[slot] as number)) * perMs
    return refilled < burst ? refilled : burst
  }

  return {
    take(key) {
      const nowMs = now()
      const slot = slots.get(key) ?? addSlot(key, nowMs)
      const left = callsAt(slot, nowMs)
      countedAtMs[slot] = nowMs
      if (left >= 1 - roundingError) {
        calls[slot] = left > 1 ? left - 1 : 0
        return 0
      }
      calls[slot] = left
      return Math.ceil((1 - left) / perMs)
    },
    remaining(key) {
      const slot = slots.get(key)
      return Math.floor(slot === undefined ? burst : callsAt(slot, now()) + roundingError)
    },
  }
}
