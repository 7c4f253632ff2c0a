import { tryLater } from '../errors.js'

const retrySeconds = 60

/**
 * Does the work on all items, so many at once. When one fails the signal of the others is aborted, and this rejects once all
 * of them have ended: nothing goes on behind the caller's back. No item is begun after that, even by work that ignores its
 * signal. An aborted call always rejects.
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
    for (const [index, item] of left) {
      if (either.aborted) return
      results[index] = await work(item, either)
    }
  })
  try {
    await Promise.all(workers)
  } catch (error) {
    failed.abort()
    await Promise.allSettled(workers)
    throw error
  }
  // Items may have been passed over.
  if (signal.aborted) {
    throw tryLater('source.unreachable', 'Not all was read: the call was stopped. Try again.', retrySeconds, signal.reason)
  }
  return results
}
