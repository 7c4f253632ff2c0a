export type Tags = Record<string, string>

type Score = { matching: number; localeSubtags: number; unasked: number }

/**
 * Picks the variant that fits the requested tags, or null for the version's own content. A candidate contradicts no
 * requested tag and matches at least one; the best has most matching tags, then most matched locale subtags, then
 * fewest unasked tags, then comes first. `locale` compares as BCP 47 prefixes: `en-US` asked, `en` matches. Pure.
 */
export function chooseVariant<T extends { tags: Tags }>(variants: readonly T[], requested: Tags): T | null {
  let best: { variant: T; score: Score } | null = null
  for (const variant of variants) {
    const score = scoreOf(variant.tags, requested)
    if (score && (!best || isBetter(score, best.score))) best = { variant, score }
  }
  return best?.variant ?? null
}

/** Two variants of equal tags could never both be chosen; this is equal for exactly those. Pure. */
export function tagsKey(tags: Tags): string {
  const entries = Object.entries(tags).map(([tag, value]) => [tag, tag === 'locale' ? subtags(value).join('-') : value] as const)
  return JSON.stringify(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}

function scoreOf(tags: Tags, requested: Tags): Score | null {
  const score: Score = { matching: 0, localeSubtags: 0, unasked: 0 }
  for (const [tag, value] of Object.entries(tags)) {
    const asked = Object.hasOwn(requested, tag) ? requested[tag] : undefined
    if (asked === undefined) {
      score.unasked += 1
      continue
    }
    if (!matches(tag, value, asked)) return null
    score.matching += 1
    if (tag === 'locale') score.localeSubtags = subtags(value).length
  }
  return score.matching > 0 ? score : null
}

function matches(tag: string, value: string, asked: string): boolean {
  if (tag !== 'locale') return value === asked
  const offered = subtags(value)
  const wanted = subtags(asked)
  return offered.every((subtag, index) => subtag === wanted[index])
}

function subtags(locale: string): string[] {
  return locale.toLowerCase().split(/[-_]/)
}

function isBetter(a: Score, b: Score): boolean {
  if (a.matching !== b.matching) return a.matching > b.matching
  if (a.localeSubtags !== b.localeSubtags) return a.localeSubtags > b.localeSubtags
  return a.unasked < b.unasked
}
