import type { Clock } from './platform.js'
import type { PromptsyncError } from './problem.js'

const firstMs = 1_000
const longestMs = 60_000
/** A service may ask for more patience, but not for ever. */
const longestAskedMs = 600_000

/** Keeps calls that can wait from a service that is away: each failure doubles the wait, up to a minute, by chance more or less. */
export class Backoff {
  readonly #clock: Pick<Clock, 'monotonic' | 'random'>
  #failures = 0
  #untilMs = Number.NEGATIVE_INFINITY
  #reason: PromptsyncError | null = null

  constructor(clock: Pick<Clock, 'monotonic' | 'random'>) {
    this.#clock = clock
  }

  /** Why it is not to be asked now; null where it may be. */
  get reason(): PromptsyncError | null {
    return this.waitMs > 0 ? this.#reason : null
  }

  /** How long it is to be left alone. */
  get waitMs(): number {
    return Math.max(0, this.#untilMs - this.#clock.monotonic())
  }

  get isFailing(): boolean {
    return this.#failures > 0
  }

  failed(error: PromptsyncError): void {
    this.#reason = error
    // Calls that fail side by side are one failure.
    if (this.waitMs > 0) return
    const stepMs = Math.min(longestMs, firstMs * 2 ** Math.min(this.#failures, 10))
    const askedMs = Math.min(longestAskedMs, (error.retryAfterSeconds ?? 0) * 1_000)
    this.#failures += 1
    this.#untilMs = this.#clock.monotonic() + Math.max(askedMs, stepMs * (0.5 + this.#clock.random() / 2))
  }

  /** Has it asked at once, whatever came before. */
  tryNow(): void {
    this.#untilMs = Number.NEGATIVE_INFINITY
  }

  succeeded(): void {
    this.#failures = 0
    this.#untilMs = Number.NEGATIVE_INFINITY
    this.#reason = null
  }
}
