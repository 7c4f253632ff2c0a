import fc, { type Arbitrary } from 'fast-check'
import { Choices } from './choices.js'
import { partNames, writeTemplate } from './grammar.js'
import { attributeNames, names, oddNames, tokens } from './vocabulary.js'

/** One thing to try: a template, the prompts it may name, and its variables as JSON. */
export type FuzzCase = { source: string; parts: Record<string, string>; variables: string }

export type SourceName = 'grammar' | 'tokens' | 'mutation'

const maxSourceLength = 300_000

const choiceRow = (maxLength: number) => fc.array(fc.nat(0xffff), { maxLength, size: 'max' })

const fromGrammar: Arbitrary<string> = choiceRow(400).map((numbers) => writeTemplate(new Choices(numbers)))

const unit = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...tokens) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 8 }) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 16 }).map((bytes) => String.fromCharCode(...bytes)) },
)

/** Tokens in any order, some of them very often, and random units of text between them. */
const fromTokens: Arbitrary<string> = fc
  .tuple(
    fc.array(unit, { maxLength: 120, size: 'max' }),
    fc.constantFrom('', ' '),
    fc.oneof({ weight: 12, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.integer({ min: 2, max: 2000 }) }),
  )
  .map(([units, separator, times]) => units.join(separator).repeat(times).slice(0, maxSourceLength))

/** A change of a template, made at a place that a number chooses. */
type Change = (text: string, choices: Choices, seeds: readonly string[]) => string

const changes: readonly [Change, ...Change[]] = [
  (text, choices) => splice(text, choices, ''),
  (text, choices) => splice(text, choices, choices.pick(tokens as [string])),
  (text, choices) => splice(text, choices, String.fromCodePoint(choices.below(0xd800))),
  (text, choices) => splice(text, choices, pieceOf(text, choices)),
  (text, choices, seeds) => splice(text, choices, pieceOf(seeds[choices.below(seeds.length)] ?? '', choices)),
  (text, choices) => splice(text, choices, pieceOf(text, choices).repeat(choices.pick([2, 10, 100, 1000]))),
  (text, choices) => replaceNumber(text, choices.pick(['0', '-1', '99999999', '1e308', '1'.repeat(400)])),
  (text, choices) => text.replace(/[A-Za-z_]\w*/, choices.pick([...oddNames, ...names] as [string])),
]

/** Replaces up to eight units, or nothing, by `inserted`. */
function splice(text: string, choices: Choices, inserted: string): string {
  const at = choices.below(text.length + 1)
  return text.slice(0, at) + inserted + text.slice(at + choices.below(9))
}

function pieceOf(text: string, choices: Choices): string {
  const start = choices.below(text.length + 1)
  return text.slice(start, start + 1 + choices.below(60))
}

function replaceNumber(text: string, number: string): string {
  return text.replace(/\d+/, number)
}

function fromSeeds(seeds: readonly string[]): Arbitrary<string> {
  return fc.tuple(fc.nat(), fc.array(choiceRow(6), { minLength: 0, maxLength: 6 })).map(([index, rows]) => {
    let text = seeds[index % seeds.length] ?? ''
    for (const row of rows) {
      const choices = new Choices(row)
      text = choices.pick(changes)(text, choices, seeds).slice(0, maxSourceLength)
    }
    return text
  })
}

const key = fc.oneof(fc.constantFrom(...names, ...attributeNames, ...oddNames), fc.string({ maxLength: 4 }))

const scalar: Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, 0, 1, -1, 2, 1.5, 1e21, 1e308, 5e-324, Number.MAX_SAFE_INTEGER, 9007199254740992),
  fc.constantFrom('', 'a', 'Title of it', '<b>&"\'', '%s %(a)d', '{0} {a}', '\u0000', '😀é', 'x'.repeat(5000), '\ud800'),
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.double(),
)

const { value: jsonValue } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(key, tie('value')), { maxLength: 4 }).map(objectOf),
  ),
}))

/** Names that an assignment would take for the prototype become properties like all others, as `JSON.parse` makes them. */
function objectOf(entries: [string, unknown][]): Record<string, unknown> {
  return Object.fromEntries(entries)
}

const longList = fc.integer({ min: 0, max: 3000 }).map((length) => Array.from({ length }, (_, index) => (index * 7919) % 1000))

/** Of the kinds that templates expect, so that most of them get far. */
const usual = {
  x: 'some text',
  xs: [
    { a: 1, b: 'one', items: [{ a: 2 }] },
    { a: 2, b: 'Two' },
    { a: 1, b: null },
  ],
  user: { name: 'Ada', title: 'Dr', a: { b: [1, 2, 3] } },
  docs: [{ title: 'First', text: 'It is a long text with words. '.repeat(20) }, 'Second'],
  text: 'a,b, c\n  <d> & e',
  d: { a: 1, b: [2, 3], title: 'x', 1: 'one' },
  n: 3,
  f: 1.5,
  m: null,
  big: 'ab '.repeat(30_000),
  long: Array.from({ length: 3000 }, (_, index) => (index * 7919) % 1000),
}

const variables: Arbitrary<string> = fc
  .tuple(
    fc.constantFrom({}, usual, usual, usual),
    fc.array(fc.tuple(key, fc.oneof({ weight: 9, arbitrary: jsonValue }, { weight: 1, arbitrary: longList })), { maxLength: 6 }),
  )
  .map(([start, entries]) => JSON.stringify(objectOf([...Object.entries(start), ...entries])))

/** What the templates include: of the ordinary kind, and of what is being tried. */
function parts(source: Arbitrary<string>): Arbitrary<Record<string, string>> {
  const ordinary: Record<string, string> = {
    part: 'part of {{ x }}{% include "shared/footer" ignore missing %}',
    base: '<{% block b0 %}base {{ x }}{% endblock %}{% block b1 scoped %}{% endblock %}>',
    macros: '{% macro f(a, b=1) %}{{ a }}{{ b }}{{ caller() if caller }}{% endmacro %}{% macro m() %}{{ f(1) }}{% endmacro %}',
    plain: 'as it {{ is',
    'shared/footer': 'footer{% if n %}{% include "part" %}{% endif %}',
  }
  const other = fc.tuple(fc.constantFrom(...partNames), source).map(([name, text]) => ({ ...ordinary, [name]: text }))
  return fc.oneof(fc.constant(ordinary), other)
}

export function caseSources(seeds: readonly string[]): Record<SourceName, Arbitrary<FuzzCase>> {
  const templates = { grammar: fromGrammar, tokens: fromTokens, mutation: fromSeeds(seeds) }
  const casesOf = (source: Arbitrary<string>) => fc.record({ source, parts: parts(source), variables })
  return { grammar: casesOf(templates.grammar), tokens: casesOf(templates.tokens), mutation: casesOf(templates.mutation) }
}
