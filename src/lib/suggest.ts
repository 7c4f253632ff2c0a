/** Comparing takes the product of the lengths, for each of hundreds of candidates. */
const maxLength = 64

/** The candidate nearest to `wanted`, if it is near enough to be a slip of the hand; else null. Pure. */
export function suggest(wanted: string, candidates: readonly string[]): string | null {
  if (wanted.length > maxLength) return null
  const near = candidates
    .filter((candidate) => Math.abs(candidate.length - wanted.length) <= 3)
    .map((candidate) => ({ candidate, distance: editDistance(wanted, candidate) }))
    .filter(({ candidate, distance }) => distance <= Math.max(1, Math.floor(Math.max(candidate.length, wanted.length) / 4)))
    .sort((a, b) => a.distance - b.distance)
  return near[0]?.candidate ?? null
}

/** A sentence to end an error with: `Did you mean "x"?`, or nothing. */
export function didYouMean(wanted: string, candidates: readonly string[]): string {
  const nearest = suggest(wanted, candidates)
  return nearest ? ` Did you mean "${nearest}"?` : ''
}

/** Levenshtein's distance with swaps of neighbours as one step (optimal string alignment), three rows at a time. */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const isSwap = j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const swapped = isSwap ? (before[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY
      next.push(Math.min(replaced, swapped, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    before = row
    row = next
  }
  return row[b.length] ?? 0
}
