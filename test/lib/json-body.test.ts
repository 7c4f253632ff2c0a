import { deepStrictEqual } from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import { AppError } from '../../src/errors.js'
import { parseJsonBody } from '../../src/lib/json-body.js'
import { maxDepth } from '../../src/lib/nesting.js'
import { createPause } from '../../src/lib/slices.js'
import { runs } from '../helpers/runs.js'

type Outcome = { value: unknown } | { code: string }

const parse = (text: string) => parseJsonBody(new TextEncoder().encode(text), createPause())

/** What becomes of a body: anything thrown but an `AppError` fails the test. */
async function outcomeOf(text: string): Promise<Outcome> {
  try {
    return { value: await parse(text) }
  } catch (error) {
    if (error instanceof AppError) return { code: error.code }
    throw error
  }
}

/** What JSON.parse makes of the same bytes; one byte order mark at the very start is no part of the text. */
function expectedOf(text: string): { value: unknown } | null {
  try {
    return { value: JSON.parse(text.toWellFormed().replace(/^\ufeff/, '')) }
  } catch {
    return null
  }
}

const space = fc.constantFrom('', '', '', ' ', '\n', '\t', '\r\n  ')
const piece = fc.oneof(
  fc.constantFrom(
    '\\n',
    '\\"',
    '\\\\',
    '\\/',
    '\\u0041',
    '\\u00e9',
    '\\ud83d\\ude00',
    '\\\\u0000',
    'é',
    '客',
    '😀',
    '\u2028',
    '\ufeff',
  ),
  fc.constantFrom('{', '}', '[', ']', ',', ':', '//', "'"),
  fc.string({ unit: 'grapheme', maxLength: 3 }).map((text) => JSON.stringify(text).slice(1, -1)),
)
const textLiteral = fc.array(piece, { maxLength: 5 }).map((pieces) => `"${pieces.join('')}"`)
/** An integer written out is refused where it cannot be kept exactly. */
const isKept = (literal: string) => !/^-?\d+$/.test(literal) || Number.isSafeInteger(Number(literal))
const scalar = fc.oneof(
  textLiteral,
  fc
    .double({ noDefaultInfinity: true, noNaN: true })
    .map((number) => JSON.stringify(number))
    .filter(isKept),
  fc.constantFrom('0', '-0', '1E+5', '-1.50e-3', '9007199254740991', '0.12345678901234567890', 'true', 'false', 'null'),
)
/** Few names, so that a key is often given twice. */
const key = fc.oneof(fc.constantFrom('"a"', '"b"', '"prompts"', '"files"', '"\\u0061"'), textLiteral)

const listOf = (items: fc.Arbitrary<string>) =>
  fc
    .tuple(space, fc.array(items, { maxLength: 4 }), space)
    .map(([before, texts, between]) => `[${before}${texts.join(`${between},`)}${between}]`)
const objectOf = (values: fc.Arbitrary<string>) =>
  fc
    .tuple(space, fc.array(fc.tuple(key, space, values), { maxLength: 4 }), space)
    .map(
      ([before, members, after]) =>
        `{${before}${members.map(([name, gap, value]) => `${name}${gap}:${gap}${value}`).join(`,${after}`)}${after}}`,
    )

const { value } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 8, depthSize: 'small', withCrossShrink: true },
    scalar,
    listOf(tie('value')),
    objectOf(tie('value')),
  ),
}))
/** What a push looks like: an object with lists of objects, which are parsed one by one. */
const listsOfObjects = objectOf(listOf(fc.oneof({ weight: 3, arbitrary: objectOf(value) }, { weight: 1, arbitrary: value })))
const json = fc.tuple(space, fc.oneof(value, listsOfObjects), space).map(([before, text, after]) => `${before}${text}${after}`)

t.test('any JSON value is parsed as JSON.parse does', async () => {
  await fc.assert(
    fc.asyncProperty(json, async (text) => {
      deepStrictEqual(await parse(text), JSON.parse(text))
    }),
    { numRuns: runs(2_000) },
  )
})

t.test('any text is refused with an AppError, or parsed as JSON.parse does', async () => {
  const broken = fc
    .tuple(
      json,
      fc.nat(),
      fc.nat({ max: 2 }),
      fc.oneof(fc.constantFrom(...'{}[]",:\\ \ufeff', '{}', '[{}]', ''), fc.string({ unit: 'binary', maxLength: 2 })),
    )
    .map(([text, at, removed, inserted]) => {
      const start = at % (text.length + 1)
      return text.slice(0, start) + inserted + text.slice(start + removed)
    })
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(broken, fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom(...'{}[]":,1\\') })),
      async (text) => {
        const outcome = await outcomeOf(text)
        const expected = expectedOf(text)
        if ('value' in outcome) deepStrictEqual(outcome, expected)
        else if (expected) deepStrictEqual(outcome.code, 'text.invalid')
        else deepStrictEqual(['body.malformed', 'body.nesting'].includes(outcome.code), true)
      },
    ),
    { numRuns: runs(2_000) },
  )
})

t.test('a byte order mark is skipped at the very start of a body and nowhere else', async (t) => {
  t.same(await outcomeOf('\ufeff{"prompts":[{}]}'), { value: { prompts: [{}] } })
  for (const text of ['\ufeff\ufeff{}', '{}\ufeff', '{"a":[{}\ufeff]}', '{"a":[{}\ufeff,{}]}', '{"a":[{},\ufeff{}]}']) {
    t.same(await outcomeOf(text), { code: 'body.malformed' }, JSON.stringify(text))
  }
})

const opening = fc.constantFrom('[', '{"a":', '[ {}, ')
const closingOf = (opened: string[]) =>
  opened
    .map((text) => (text.startsWith('[') ? ']' : '}'))
    .reverse()
    .join('')

t.test('64 levels of lists and objects are parsed', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(opening, { minLength: maxDepth - 1, maxLength: maxDepth - 1 }), scalar, async (opened, leaf) => {
      const text = `${opened.join('')}[${leaf}]${closingOf(opened)}`
      deepStrictEqual(await parse(text), JSON.parse(text))
    }),
    { numRuns: runs(200) },
  )
})

t.test('more than 64 levels are refused as such, whatever comes before and after', async () => {
  const before = fc.oneof(
    fc.constant(''),
    json.map((text) => `[${text},`),
    json.map((text) => `{"list":[{"a":${text}},`),
  )
  const opened = fc.array(opening, { minLength: maxDepth + 1, maxLength: maxDepth + 20 })
  await fc.assert(
    fc.asyncProperty(before, opened, fc.oneof(fc.string({ unit: 'binary' }), json), async (start, levels, rest) => {
      deepStrictEqual(await outcomeOf(start + levels.join('') + rest), { code: 'body.nesting' })
    }),
    { numRuns: runs(500) },
  )
})

t.test('brackets within texts do not count as levels', async (t) => {
  const text = JSON.stringify({ prompts: [{ content: '[{'.repeat(200) }, { content: '"]}'.repeat(200) }] })
  t.same(await parse(text), JSON.parse(text))
})

t.test('text that looks like a placeholder of the parser comes back as it was', async () => {
  const placeholder = fc.stringMatching(/^[A-Za-z0-9+/]{12}\d{1,3}$/)
  const holder = fc.oneof(placeholder, fc.record({ content: placeholder, list: fc.array(placeholder, { maxLength: 2 }) }))
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(fc.constantFrom('prompts', 'files', 'more'), fc.array(holder, { maxLength: 6 })),
      async (body) => {
        const text = JSON.stringify(body)
        deepStrictEqual(await parse(text), JSON.parse(text))
      },
    ),
    { numRuns: runs(500) },
  )
})

t.test('a NUL or half of a surrogate pair is refused wherever an escape spells it', async (t) => {
  for (const escaped of ['\\u0000', '\\ud83d', '\\uDE00', '\\uDE00\\uD83D', '\\uD83Dx']) {
    for (const text of [
      `"${escaped}"`,
      `{"${escaped}":1}`,
      `["a",["${escaped}"]]`,
      `{"a":[{"b":{"c":"x${escaped}"}}]}`,
      `{"a":[{"${escaped}":1}]}`,
    ]) {
      t.same(await outcomeOf(text), { code: 'text.invalid' }, text)
    }
  }
})

t.test('a number that cannot be kept is refused, and no other, whatever stands beside it', async (t) => {
  const around = [
    ['', ''],
    ['{"a":', '}'],
    ['{"a":[{"b":{"c":[', ']}},{"n":0.1234567890123456789}]}'],
    ['{"text":"12345678901234567890\\ud83d\\ude00","list":[', ']}'],
  ]
  const refused = ['9007199254740993', '-9007199254740993', '1098765432109876543', '1'.repeat(400), '1e400', '-1.5E+999']
  const kept = [
    '9007199254740991',
    '-9007199254740991',
    '1e30',
    '1.0000000187215741e+65',
    '-1.7976931348623157e+308',
    '1e-400',
    `0.${'3'.repeat(1_000)}`,
  ]
  for (const [before, after] of around) {
    for (const number of refused)
      t.same(await outcomeOf(before + number + after), { code: 'text.invalid' }, `${before}${number.slice(0, 20)}${after}`)
    for (const number of kept) {
      const text = before + number + after
      t.same(await outcomeOf(text), { value: JSON.parse(text) }, text)
    }
  }
})

t.test('other work gets its turn at least every 128 KiB of a body, whatever it holds', async (t) => {
  const items = [
    '1,',
    '1e5,',
    '12e5,',
    '1.5e5,',
    '12.5e5,',
    '{"a":1,"b":"text"},',
    '"",',
    '"\\n",',
    '"text",',
    '[],',
    '1'.repeat(200_000),
    `"${'x'.repeat(200_000)}",`,
    `"${'\\n'.repeat(100_000)}",`,
    `"x${'\\n'.repeat(100_000)}x",`,
  ]
  for (const item of items) {
    const bytes = new TextEncoder().encode(`{"a":[${item.repeat(Math.ceil(600_000 / item.length))}0]}`)
    let turns = 0
    const pause = () => {
      turns += 1
      return undefined
    }
    await parseJsonBody(bytes, pause).catch((error: unknown) => t.ok(error instanceof AppError))
    t.ok(turns >= bytes.length / 131_072, `${item.slice(0, 20)}: ${turns} turns`)
  }
})

t.test('bytes that are not UTF-8 are refused wherever they stand', async (t) => {
  for (const bytes of [[0xff], [0xc3], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80]]) {
    for (const [before, after] of [
      ['"', '"'],
      ['{"a":"', '"}'],
      ['{"a":[{"b":"', '"}]}'],
      ['{"a":[{},"', '",{}]}'],
    ]) {
      const body = Buffer.concat([Buffer.from(before ?? ''), Buffer.from(bytes), Buffer.from(after ?? '')])
      await t.rejects(
        parseJsonBody(body, createPause()),
        { code: 'body.encoding' },
        `${before}${Buffer.from(bytes).toString('hex')}${after}`,
      )
    }
  }
})

t.test('an object may not set its prototype', async (t) => {
  for (const text of [
    '{"__proto__":{}}',
    '{"a":[{"b":{"__proto__":1}}]}',
    '{"a":[{"\\u005f_proto__":1}]}',
    '{"constructor":{"prototype":{}}}',
  ]) {
    t.same(await outcomeOf(text), { code: 'body.malformed' }, text)
  }
})
