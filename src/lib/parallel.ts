/**
 * Does the work on all items, so many at once. When one fails the signal of the others is aborted, and this rejects once all
 * of them have ended: nothing goes on behind the caller's back.
 */
export async function inParallel<T, R>(
  items: readonly T[],
  { atOnce, signal }: { atOnce: number; signal: AbortSignal },
  work: (item: T, signal: AbortSignal) => Promise<R>,
): Promise<R[]> {
  const failed = new AbortController()
  const either = AbortSignal.any([signal, failed.signal])
  const results: R[] = []
  const left = items.entries()
  const workers = Array.from({ length: Math.min(atOnce, items.length) }, async () => {
    for (const [index, item] of left) results[index] = await work(item, either)
  })
  try {
    await Promise.all(workers)
    return results
  } catch (error) {
    failed.abort()
    await Promise.allSettled(workers)
    throw error
  }
}
