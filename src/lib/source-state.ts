/** What a source is known by where prompts are resolved. */
export type SourceState = {
  ttlSeconds: number
  /** For how long it is served after that when it is out of reach; null for ever. */
  staleSeconds: number | null
  /** Since when it cannot be reached; null while it can. */
  unreachableSinceMs: number | null
  /** When it was last found to be as it is known. */
  checkedAtMs: number | null
}

/** `stale` once it was out of reach for longer than its time to live, `gone` once that lasted longer than it may be served. */
export type Freshness = 'fresh' | 'stale' | 'gone'

/** Pure. */
export function freshnessOf(
  { ttlSeconds, staleSeconds, unreachableSinceMs, checkedAtMs }: SourceState,
  nowMs: number,
): Freshness {
  if (unreachableSinceMs === null) return 'fresh'
  const sinceMs = checkedAtMs ?? unreachableSinceMs
  const overdueMs = nowMs - sinceMs - ttlSeconds * 1_000
  if (overdueMs <= 0) return 'fresh'
  return staleSeconds !== null && overdueMs > staleSeconds * 1_000 ? 'gone' : 'stale'
}
