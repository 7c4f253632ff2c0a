/** Reads and pings must get a turn at least every 20 ms; a quarter of that leaves room for one long item. */
const sliceMs = 5

/** To be called between items of long work: nothing while the current slice lasts, else a promise of the next one. */
export type Pause = () => Promise<void> | undefined

/**
 * Shares the event loop between long pieces of work and everything else: one slice a turn, whoever's it is. Make one
 * for the process; with one a job, twenty jobs would take twenty slices before anything else got its turn.
 */
export function createPause(): Pause {
  const waiting: (() => void)[] = []
  let sliceEnd = 0

  function startSlice(): void {
    sliceEnd = performance.now() + sliceMs
    waiting.shift()?.()
    if (waiting.length > 0) setImmediate(startSlice)
  }

  return () => {
    if (performance.now() < sliceEnd) return undefined
    return new Promise((resolve) => {
      waiting.push(resolve)
      if (waiting.length === 1) setImmediate(startSlice)
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
