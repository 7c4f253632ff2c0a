import type { Pause } from '../slices.js'

/** Work that can be interrupted wherever it yields. */
export type Steps<T> = Generator<undefined, T>

/** Does all of it at once. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
  }
}

/** Does it step by step, and lets other work have its turn in between. */
export async function finishInTurns<T>(steps: Steps<T>, pause: Pause): Promise<T> {
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
    await pause()
  }
}
