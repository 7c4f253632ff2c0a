import { setImmediate as nextTurn } from 'node:timers/promises'

/** Reads and pings must get a turn at least every 20 ms; half of that leaves room for one long item. */
const sliceMs = 8

/** Lets the event loop turn when the work since the last pause has lasted a slice. Make one for each job. */
export type Pause = () => Promise<void> | undefined

export function createPause(): Pause {
  let sliceEnd = performance.now() + sliceMs
  return () => {
    if (performance.now() < sliceEnd) return undefined
    return nextTurn().then(() => {
      sliceEnd = performance.now() + sliceMs
    })
  }
}

/** `Array.map` that gives way to other work between items. */
export async function mapInSlices<T, R>(items: readonly T[], pause: Pause, map: (item: T, index: number) => R): Promise<R[]> {
  const results: R[] = []
  for (const [index, item] of items.entries()) {
    results.push(map(item, index))
    // Awaiting only when a pause is due saves a microtask for each of thousands of items.
    const due = pause()
    if (due) await due
  }
  return results
}
