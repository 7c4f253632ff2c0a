type Platform = {
  process?: { env?: Record<string, string | undefined>; getBuiltinModule?: (name: string) => unknown }
  Deno?: { unrefTimer?: (timer: number) => void }
}

const platform = globalThis as Platform

/**
 * A module of Node, where there is one: Node, Deno and Bun hand them out without an import, which browsers could not load.
 * Null elsewhere.
 */
export function builtinModule<Module>(name: `node:${string}`): Module | null {
  return (platform.process?.getBuiltinModule?.(name) as Module | undefined) ?? null
}

/** A variable of the environment; null where there is none, or no leave to read it. */
export function environmentVariable(name: string): string | null {
  try {
    return platform.process?.env?.[name]?.trim() || null
  } catch (error) {
    // Deno throws where a program was not given the permission.
    if (error instanceof Error) return null
    throw error
  }
}

export type Timer = ReturnType<typeof setTimeout>

/** A timer that keeps no process alive. */
export function setBackgroundTimer(work: () => void, delayMs: number): Timer {
  const timer = setTimeout(work, delayMs)
  if (typeof timer === 'number') platform.Deno?.unrefTimer?.(timer)
  else timer.unref?.()
  return timer
}

/** The clocks and the chance that decisions depend on. */
export type Clock = {
  /** Milliseconds since 1970, as the system says: they may jump. */
  now: () => number
  /** Milliseconds that only ever go on, from an unknown beginning. */
  monotonic: () => number
  /** 0 ≤ x < 1. */
  random: () => number
}

/** What the system's clock is ahead, before it is thought that there was a sleep. */
const shortestSleepMs = 1_000

/**
 * A clock whose monotonic time goes on while a computer sleeps, or a function is frozen between its calls: that of platforms may
 * stand still then, which shows by the system's time having gone further. A system's clock that somebody sets ahead looks the same,
 * and makes things older than they are; one that is set back changes nothing.
 */
export function countingSleep({ now, monotonic, random }: Clock): Clock {
  let sinceNowMs = now()
  let sinceMonotonicMs = monotonic()
  let sleptMs = 0
  const awake = () => {
    const nowMs = now()
    const monotonicMs = monotonic()
    const missedMs = nowMs - sinceNowMs - (monotonicMs - sinceMonotonicMs)
    if (missedMs > shortestSleepMs || missedMs < 0) {
      sleptMs += Math.max(0, missedMs)
      sinceNowMs = nowMs
      sinceMonotonicMs = monotonicMs
    }
    return monotonicMs + sleptMs
  }
  return { now, monotonic: awake, random }
}

export const systemClock: Clock = { now: () => Date.now(), monotonic: () => performance.now(), random: () => Math.random() }
