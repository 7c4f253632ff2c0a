import fc from 'fast-check'
import t from 'tap'
import { chooseVariant, type Tags, tagsKey } from '../../src/lib/variants.js'
import { runs } from '../helpers/runs.js'

type Candidate = { id: number; tags: Tags }

/** Few words, so that random variants and requests meet; locales of every form a client may write. */
const locale = fc.constantFrom(
  'en',
  'EN',
  'en-US',
  'en_us',
  'EN-us-posix',
  'en-GB',
  'e',
  'cn',
  'zh',
  'zh-Hant',
  'zh_hant_TW',
  'zh-hant-HK',
)
const tone = fc.constantFrom('formal', 'friendly', 'Formal', '')
const plan = fc.constantFrom('free', 'paid')
const tags: fc.Arbitrary<Tags> = fc.record({ locale, tone, plan, region: plan }, { requiredKeys: [] })
const variants = fc.array(tags, { maxLength: 8 }).map((list): Candidate[] => list.map((tags, id) => ({ id, tags })))

/** Whether a variant of this locale may be sent to who asked for that one, and how many subtags say so. */
function matchedSubtags(offered: string, asked: string): number {
  const normal = (text: string) => text.toLowerCase().replaceAll('_', '-')
  // A dash after both makes `en` a prefix of `en-us` and not of `eng`.
  return `${normal(asked)}-`.startsWith(`${normal(offered)}-`) ? normal(offered).split('-').length : 0
}

function contradicts(variant: Tags, asked: Tags): boolean {
  return Object.entries(asked).some(([tag, wanted]) => {
    const offered = variant[tag]
    if (offered === undefined) return false
    return tag === 'locale' ? matchedSubtags(offered, wanted) === 0 : offered !== wanted
  })
}

/** The rule of the contract, word by word: every candidate is ranked, then all of them are sorted. */
function expectedVariant(variants: Candidate[], asked: Tags): Candidate | null {
  const ranked = variants
    .filter((variant) => !contradicts(variant.tags, asked))
    .map((variant, declared) => {
      const names = Object.keys(variant.tags)
      const matching = names.filter((name) => name in asked)
      const subtags = matching.includes('locale') ? matchedSubtags(variant.tags.locale ?? '', asked.locale ?? '') : 0
      return { variant, rank: [-matching.length, -subtags, names.length - matching.length, declared] }
    })
    .filter(({ rank }) => rank[0] !== 0)
  ranked.sort((a, b) => a.rank.map((part, index) => part - (b.rank[index] ?? 0)).find((difference) => difference !== 0) ?? 0)
  return ranked[0]?.variant ?? null
}

const choose = (variants: Tags[], asked: Tags) =>
  chooseVariant(
    variants.map((tags, id) => ({ id, tags })),
    asked,
  )?.id ?? null

t.test('the choice is that of the contract’s rule on any variants and tags', async (t) => {
  fc.assert(
    fc.property(variants, tags, (variants, asked) => chooseVariant(variants, asked) === expectedVariant(variants, asked)),
    { numRuns: runs(5_000) },
  )
  t.pass()
})

t.test('no chosen variant contradicts a requested tag, and each matches at least one', async (t) => {
  fc.assert(
    fc.property(variants, tags, (variants, asked) => {
      const chosen = chooseVariant(variants, asked)
      return chosen === null || (!contradicts(chosen.tags, asked) && Object.keys(chosen.tags).some((tag) => tag in asked))
    }),
    { numRuns: runs(2_000) },
  )
  t.pass()
})

t.test('the order of the requested tags and of a variant’s tags does not matter', async (t) => {
  const reversed = (tags: Tags): Tags => Object.fromEntries(Object.entries(tags).reverse())
  fc.assert(
    fc.property(variants, tags, (variants, asked) => {
      const turned = variants.map(({ id, tags }) => ({ id, tags: reversed(tags) }))
      const chosen = chooseVariant(variants, asked)?.id
      return chooseVariant(variants, reversed(asked))?.id === chosen && chooseVariant(turned, asked)?.id === chosen
    }),
    { numRuns: runs(1_000) },
  )
  t.pass()
})

t.test('without tags, or without a candidate, the version’s own content is sent', async (t) => {
  t.equal(choose([{ locale: 'en' }], {}), null)
  t.equal(choose([], { locale: 'en' }), null)
  t.equal(choose([{ locale: 'cn' }], { locale: 'en' }), null)
  t.equal(choose([{ locale: 'en', tone: 'formal' }], { locale: 'en', tone: 'friendly' }), null)
  t.equal(choose([{ plan: 'paid' }], { locale: 'en' }), null)
  t.equal(choose([{}], { locale: 'en' }), null)
})

t.test('a locale matches its own prefixes, in any case, with - or _', async (t) => {
  t.equal(choose([{ locale: 'en' }], { locale: 'en-US' }), 0)
  t.equal(choose([{ locale: 'en' }], { locale: 'en_US' }), 0)
  t.equal(choose([{ locale: 'EN_us' }], { locale: 'en-US' }), 0)
  t.equal(choose([{ locale: 'zh-Hant' }], { locale: 'zh-Hant-TW' }), 0)
  t.equal(choose([{ locale: 'en-US' }], { locale: 'en' }), null, 'more special than what was asked')
  t.equal(choose([{ locale: 'e' }], { locale: 'en' }), null, 'a prefix of letters is no subtag')
  t.equal(choose([{ locale: 'en-US' }], { locale: 'en-GB' }), null)
})

t.test('other tags match as they are written', async (t) => {
  t.equal(choose([{ tone: 'Formal' }], { tone: 'formal' }), null)
  t.equal(choose([{ tone: 'formal-de' }], { tone: 'formal' }), null)
  t.equal(choose([{ tone: 'formal' }], { tone: 'formal-de' }), null)
  t.equal(choose([{ Locale: 'en' }], { Locale: 'en-US' }), null)
})

t.test('more matching tags win, then more locale subtags, then fewer unasked tags, then the first', async (t) => {
  t.equal(choose([{ locale: 'en-US' }, { locale: 'en', tone: 'formal' }], { locale: 'en-US', tone: 'formal' }), 1)
  t.equal(choose([{ locale: 'en' }, { locale: 'en-US' }], { locale: 'en-US' }), 1)
  t.equal(choose([{ locale: 'en', tone: 'formal' }, { locale: 'en' }], { locale: 'en' }), 1)
  t.equal(
    choose([{ locale: 'en' }, { locale: 'en-US', tone: 'formal', plan: 'paid' }], { locale: 'en-US' }),
    1,
    'subtags before unasked',
  )
  t.equal(choose([{ tone: 'formal' }, { plan: 'paid' }], { tone: 'formal', plan: 'paid' }), 0)
  t.equal(choose([{ locale: 'EN' }, { locale: 'en' }], { locale: 'en' }), 0)
})

t.test('tags named like members of every object are tags as any other', async (t) => {
  t.equal(choose([{ constructor: 'a', toString: 'b' }], { locale: 'en' }), null)
  t.equal(choose([{ constructor: 'a', locale: 'en' }], { locale: 'en' }), 0)
  t.equal(choose([{ hasOwnProperty: 'a' }], { hasOwnProperty: 'a' }), 0)
})

t.test('tags have the same key exactly when they are equal, a locale in any spelling', async (t) => {
  const normal = ({ locale, ...tags }: Tags): Tags => ({
    ...tags,
    ...(locale === undefined ? {} : { locale: locale.toLowerCase().replaceAll('_', '-') }),
  })
  const isEqual = (a: Tags, b: Tags) =>
    Object.keys(a).length === Object.keys(b).length && Object.entries(a).every(([tag, value]) => b[tag] === value)
  fc.assert(
    fc.property(tags, tags, (a, b) => (tagsKey(a) === tagsKey(b)) === isEqual(normal(a), normal(b))),
    { numRuns: runs(5_000) },
  )
  t.equal(tagsKey({ tone: 'formal', locale: 'EN_us' }), tagsKey({ locale: 'en-US', tone: 'formal' }))
  t.not(tagsKey({ 'a","b': 'c' }), tagsKey({ a: 'b","c' }))
})
