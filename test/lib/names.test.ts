import fc from 'fast-check'
import t from 'tap'
import {
  aliasPattern,
  commitPattern,
  isPromptName,
  labelPattern,
  parseNumber,
  refOf,
  reservedReason,
  slug,
  slugPath,
  slugPattern,
} from '../../src/lib/names.js'
import { runs } from '../helpers/runs.js'
import { stopwatch } from '../helpers/stopwatch.js'

const reserved = ['latest', 'builtin', 'versions', 'diff', 'render', 'plan', 'fetch', 'purge']

/** Any text, with more than its share of what slugs must get right. */
const anyText = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 4 }),
      fc.constantFrom(
        '-',
        '.',
        '_',
        '/',
        ' ',
        'a',
        'Z',
        'Σ',
        'İ',
        'J\u030c',
        'W\u030a',
        'ß',
        'ﬁ',
        'Ⅳ',
        '①',
        '\u0301',
        '\u0345',
        '客',
        'K',
        'Å',
        '가',
        '\u1100\u1161',
        '𝐀',
        '\u200d',
        'ำ',
      ),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(''))

t.test('a name is one or more segments of lower-case or caseless letters, digits, marks, dot, dash and underscore', async (t) => {
  for (const name of [
    'a',
    '0',
    'customer_support',
    'meeting/standup',
    'a/b/c/d',
    'gpt-4.1',
    'a..b',
    'a--b',
    'v1',
    '2024/q1',
    'latest',
    'x.',
    'x-',
    'x_',
  ]) {
    t.ok(isPromptName(name), name)
  }
  for (const name of [
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    '.',
    '..',
    'a/..',
    '../a',
    '.a',
    '_a',
    '-a',
    'a/.b',
    'a b',
    'a\n',
    '\na',
    'a\tb',
    'a:b',
    'a\\b',
    'a%2fb',
  ]) {
    t.notOk(isPromptName(name), JSON.stringify(name))
  }
  for (const name of [
    'a?b',
    'a#b',
    'a&b',
    'a+b',
    'a@b',
    'a*',
    '{a}',
    'a\0',
    '😀',
    'a😀',
    'a\u200bb',
    'a\u200db',
    'a\u00a0b',
    'a\ud800',
    '\udc00',
  ]) {
    t.notOk(isPromptName(name), JSON.stringify(name))
  }
})

t.test('names of any script are names, with their marks', async (t) => {
  for (const name of ['客服', '客服/退款', '고객지원', 'カスタマー', 'тикет', 'ελληνικά', 'straße', 'café', 'ñandú', 'ქართული'])
    t.ok(isPromptName(name), name)
  t.ok(isPromptName('ภาษาไทย'), 'Thai')
  t.ok(isPromptName('ที่นี่'), 'Thai with vowels and tones, which are marks')
  t.ok(isPromptName('हिन्दी'), 'Devanagari with vowel signs and a virama')
  t.ok(isPromptName('العربية'), 'Arabic')
  t.ok(isPromptName('مُحَمَّد'), 'Arabic with vowel marks')
  t.ok(isPromptName('עברית'), 'Hebrew')
  t.ok(isPromptName('٣/३/๓'), 'digits of other scripts')
  t.ok(isPromptName('𠮷野家'), 'letters outside the BMP')
})

t.test('a mark begins no segment', async (t) => {
  for (const name of ['\u0301a', 'a/\u0301a', '\u094d', 'ิ', '\u064e']) t.notOk(isPromptName(name), JSON.stringify(name))
})

t.test('upper case and title case are no names, in any script', async (t) => {
  for (const name of ['A', 'Support', 'meeting/Standup', 'ÀB', 'Тикет', 'ΑΒ', 'ǅ', 'Ა', '𐐀', 'İ'])
    t.notOk(isPromptName(name), name)
})

t.test('what NFKC would change is no name', async (t) => {
  t.ok(isPromptName('caf\u00e9'))
  t.notOk(isPromptName('cafe\u0301'), 'NFD')
  for (const name of ['ﬁle', 'ａ', '①', 'x²', 'ª', 'ｶﾀｶﾅ', '\u1100\u1161', '𝐚', 'น้ำ', '\u2126']) t.notOk(isPromptName(name), name)
  t.ok(isPromptName('น้ำ'.normalize('NFKC')), 'the same word as NFKC writes it')
})

t.test('a name has at most 200 characters, counted as a reader does', async (t) => {
  t.ok(isPromptName('a'.repeat(200)))
  t.notOk(isPromptName('a'.repeat(201)))
  t.ok(isPromptName('客'.repeat(200)))
  t.notOk(isPromptName('客'.repeat(201)))
  t.ok(isPromptName('𠮷'.repeat(200)), '400 UTF-16 units')
  t.notOk(isPromptName('𠮷'.repeat(201)))
  t.ok(isPromptName(`${'a'.repeat(99)}/${'b'.repeat(100)}`))
  t.notOk(isPromptName(`${'a'.repeat(100)}/${'b'.repeat(100)}`))
})

t.test('refusing a hostile name takes no time', async (t) => {
  const elapsedMs = stopwatch()
  for (const name of ['a'.repeat(5_000_000), `${'a-'.repeat(100)}!`, `${'a/'.repeat(100)}`, 'a.'.repeat(199)])
    t.notOk(isPromptName(name))
  t.ok(elapsedMs() < 200)
})

t.test('slug makes nothing, or a segment of a name', async (t) => {
  fc.assert(
    fc.property(anyText, (text) => {
      const segment = slug(text)
      return segment === '' || (!segment.includes('/') && ([...segment].length > 200 || isPromptName(segment)))
    }),
    { numRuns: runs(2_000) },
  )
  t.pass()
})

t.test('slug of a slug is itself, in NFKC', async (t) => {
  fc.assert(
    fc.property(anyText, (text) => {
      const segment = slug(text)
      return slug(segment) === segment && segment.normalize('NFKC') === segment
    }),
    { numRuns: runs(2_000) },
  )
  t.pass()
})

t.test('texts that differ only in case or in compatible forms have the same slug', async (t) => {
  const letters = fc.string({
    unit: fc.constantFrom('a', 'B', 'é', 'e\u0301', 'Ö', 'ﬁ', '客', ' ', '.', 'ж', 'Ж', '가', '①'),
    maxLength: 12,
  })
  fc.assert(
    fc.property(letters, (text) => {
      const forms = [text.toLowerCase(), text.toUpperCase(), text.normalize('NFD'), text.normalize('NFC'), text.normalize('NFKC')]
      return forms.every((form) => slug(form) === slug(text))
    }),
    { numRuns: runs(2_000) },
  )
  t.pass()
})

t.test('every single character, alone or between letters, becomes a name or nothing', async (t) => {
  const wrong: string[] = []
  // The planes in which characters are assigned, surrogates and private use included.
  const points = [...Array(0x40000).keys(), ...Array.from({ length: 0x1000 }, (_, index) => 0xe0000 + index)]
  for (const point of points) {
    const character = String.fromCodePoint(point)
    const between = slug(`a${character}b`)
    const alone = slug(character)
    if (!isPromptName(between) || slug(between) !== between || (alone !== '' && !isPromptName(alone)))
      wrong.push(point.toString(16))
  }
  t.same(wrong, [])
})

t.test('a slug keeps letters and digits, joins the rest by one dash and trims the ends', async (t) => {
  t.equal(slug('Customer Support'), 'customer-support')
  t.equal(slug('  Hello,   World!  '), 'hello-world')
  t.equal(slug('a & b'), 'a-b')
  t.equal(slug('a - b'), 'a---b', 'a dash is no other character')
  t.equal(slug('customer_support.v2'), 'customer_support.v2')
  t.equal(slug('.hidden'), 'hidden')
  t.equal(slug('_draft_'), 'draft')
  t.equal(slug('...'), '')
  t.equal(slug(''), '')
  t.equal(slug('😀'), '')
  t.equal(slug('😀 hi 😀'), 'hi')
  t.equal(slug('a/b\\c:d'), 'a-b-c-d')
  t.equal(slug('客服 FAQ'), '客服-faq')
  t.equal(slug('ﬁle①'), 'file1')
  t.equal(slug('STRASSE'), 'strasse')
  t.equal(slug('CAFE\u0301'), 'caf\u00e9')
  t.equal(slug('J\u030c'), 'ǰ', 'composed only in lower case')
  t.equal(slug('\u0301abc'), 'abc')
  t.equal(slug('हिन्दी'), 'हिन्दी')
  t.equal(slug('a\0b\u202ec'), 'a-b-c')
})

t.test('a slash separates segments in paths only', async (t) => {
  t.equal(slugPath('Meeting Notes/Stand Up'), 'meeting-notes/stand-up')
  t.equal(slugPath('A/B/C'), 'a/b/c')
  t.equal(slugPath('客服/FAQ'), '客服/faq')
  for (const path of ['a//b', '/a', 'a/', '../a', 'a/!!/b', '.']) t.notOk(isPromptName(slugPath(path)), path)
  t.equal(slugPath('a\uff0fb'), 'a-b', 'a full-width slash is no separator')
})

t.test('the words of our routes, numbers and commits are reserved', async (t) => {
  for (const word of reserved) t.match(reservedReason(word), `"${word}"`)
  for (const name of ['v1', 'v0', 'v01', 'v999999999999', 'r1', 'r12']) t.match(reservedReason(name), `"${name}"`)
  for (const name of ['abcdef0', '1234567', 'deadbeef', 'DEADBEEF', 'AbCdEf0', 'a'.repeat(40), '20240101'])
    t.match(reservedReason(name), 'Git commit')
})

t.test('names that only look like reserved ones are free', async (t) => {
  for (const name of [
    'Latest',
    'latest1',
    'latest-1',
    'plans',
    'v',
    'r',
    'v1.0',
    'v1.2.0',
    'v-1',
    'r1a',
    'x1',
    'V1',
    'R1',
    'version1',
  ]) {
    t.equal(reservedReason(name), null, name)
  }
  for (const name of ['abcdef', '123456', 'abcdefg', 'abcdef0-1', 'a'.repeat(41), 'production', 'dev', 'feed', 'beta'])
    t.equal(reservedReason(name), null, name)
})

t.test('number forms are v or r and a whole number from 1, without leading zeros', async (t) => {
  t.equal(parseNumber('v', 'v1'), 1)
  t.equal(parseNumber('r', 'r12'), 12)
  t.equal(parseNumber('v', 'v999999999'), 999_999_999)
  for (const ref of [
    'v0',
    'v01',
    'v',
    'v-1',
    'v1.0',
    'v1e3',
    'V1',
    ' v1',
    'v1 ',
    'v1\n',
    'r1',
    '1',
    '',
    'v٣',
    'vv1',
    'v99999999999999999999',
  ]) {
    t.equal(parseNumber('v', ref), null, JSON.stringify(ref))
  }
  t.equal(parseNumber('r', 'v1'), null)
})

t.test('whatever parses as a number form is reserved, so a label never hides a number', async (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 999_999_999 }),
      (number) => reservedReason(`v${number}`) !== null && reservedReason(`r${number}`) !== null,
    ),
  )
  t.pass()
})

t.test('a label is shown where there is one, else the number', async (t) => {
  t.equal(refOf('v', { label: 'v1.2.0', number: 3 }), 'v1.2.0')
  t.equal(refOf('v', { label: null, number: 3 }), 'v3')
  t.equal(refOf('r', { label: null, number: 12 }), 'r12')
})

t.test('project slugs, aliases and labels have 1 to 63 characters of their own grammar', async (t) => {
  const accepted = {
    slug: ['a', '0', 'acme-2', `a${'-'.repeat(62)}`],
    alias: ['a', 'prod.eu_1-x'],
    label: ['v1.2.0', '1.0+build', 'A', '2024.01'],
  }
  const refused = {
    slug: ['', '-a', 'A', 'a_b', 'a.b', 'a'.repeat(64), 'a\n', 'é'],
    alias: ['', '1a', '-a', '.a', 'A', 'a+b', 'a/b', 'a'.repeat(64), 'a\n', 'é'],
    label: ['', '.a', '-a', '+a', '_a', 'a b', 'a/b', 'a'.repeat(64), 'a\n', 'é'],
  }
  const patterns = { slug: slugPattern, alias: aliasPattern, label: labelPattern }
  for (const kind of ['slug', 'alias', 'label'] as const) {
    for (const text of accepted[kind]) t.match(text, patterns[kind], `${kind} ${text}`)
    for (const text of refused[kind]) t.notMatch(text, patterns[kind], `no ${kind} ${JSON.stringify(text)}`)
  }
})

t.test('a commit is 7 to 40 hex digits in either case', async (t) => {
  for (const text of ['abcdef0', 'ABCDEF0', 'a'.repeat(40)]) t.match(text, commitPattern)
  for (const text of ['abcdef', 'a'.repeat(41), 'abcdefg', '', 'abcdef0\n']) t.notMatch(text, commitPattern, JSON.stringify(text))
})
