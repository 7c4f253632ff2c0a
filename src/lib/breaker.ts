/** Refused at once: the dependency has failed lately, and nobody waits for it to fail again. */
export class BreakerOpen extends Error {}

export type BreakerState = 'closed' | 'open' | 'half-open'

export type Breaker = {
  /** Whether `run` would refuse now. */
  isOpen(): boolean
  state(): BreakerState
  /**
   * Runs the work and notes how it ended. Rejects with `BreakerOpen` while it is open; half-open it lets one work through,
   * whose end decides. The work must settle some time: while it is under way every other is refused.
   */
  run<T>(work: () => Promise<T>): Promise<T>
  /** Notes work that was begun while it was closed and has ended well. Says nothing once it has opened. */
  succeeded(): void
  /** Notes work that has failed; so many in a row open it. */
  failed(): void
  /** Opens it after a failure that needs no second one. */
  trip(): void
  /** How often it has opened. */
  readonly opened: number
}

type Settings = {
  /** How many failures in a row open it. */
  failures: number
  /** How long it stays open; asked each time it opens, so that many do not try again at one moment. */
  openMs: () => number
  /** Milliseconds from any start. A clock that people set would keep it open for as long as they set it back. */
  now: () => number
}

/** A circuit breaker. It has no timer: that its time is over is seen when somebody asks. */
export function createBreaker({ failures, openMs, now }: Settings): Breaker {
  let failuresInRow = 0
  let opened = 0
  /** Null while it is closed. */
  let openUntil: number | null = null
  let isProbing = false

  const state = (): BreakerState => {
    if (openUntil === null) return 'closed'
    return now() < openUntil ? 'open' : 'half-open'
  }
  const open = () => {
    openUntil = now() + openMs()
    opened += 1
  }
  const close = () => {
    openUntil = null
    failuresInRow = 0
  }
  const succeeded = () => {
    if (openUntil === null) failuresInRow = 0
  }
  const trip = () => {
    if (openUntil === null) open()
  }
  const failed = () => {
    if (openUntil !== null) return
    failuresInRow += 1
    if (failuresInRow >= failures) open()
  }

  async function probe<T>(work: () => Promise<T>): Promise<T> {
    isProbing = true
    try {
      const result = await work()
      close()
      return result
    } catch (error) {
      open()
      throw error
    } finally {
      isProbing = false
    }
  }

  async function runClosed<T>(work: () => Promise<T>): Promise<T> {
    try {
      const result = await work()
      succeeded()
      return result
    } catch (error) {
      failed()
      throw error
    }
  }

  const isOpen = () => openUntil !== null && (isProbing || now() < openUntil)
  return {
    isOpen,
    state,
    async run(work) {
      if (isOpen()) throw new BreakerOpen('The last calls have failed; it is tried again soon.')
      return openUntil === null ? runClosed(work) : probe(work)
    },
    succeeded,
    failed,
    trip,
    get opened() {
      return opened
    },
  }
}
