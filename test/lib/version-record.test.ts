import fc from 'fast-check'
import t from 'tap'
import type { Body, PromptMessage } from '../../src/lib/content-hash.js'
import type { Tags } from '../../src/lib/variants.js'
import {
  assembleAnswer,
  decodeRecord,
  type Envelope,
  encodeRecord,
  makeRecord,
  makeTombstone,
  readContent,
  type VersionFacts,
  type VersionRecord,
} from '../../src/lib/version-record.js'
import { runs } from '../helpers/runs.js'

const anyText = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc.constantFrom('', '}', '"', '\\', '","git":null}', '\u2028', '客服', '🎛️'),
)
const anyObject = fc.dictionary(anyText, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 4 })
const tags: fc.Arbitrary<Tags> = fc.dictionary(anyText, anyText, { maxKeys: 3 })
const message: fc.Arbitrary<PromptMessage> = fc.oneof(
  fc.record({ role: fc.constantFrom('system', 'user'), content: anyText }),
  fc.record({ placeholder: anyText }),
)
type AnyBody = Body & { tags: Tags }

const bodyOf = (type: 'text' | 'chat'): fc.Arbitrary<AnyBody> =>
  type === 'text'
    ? fc.record({ tags, content: anyText, messages: fc.constant(null) })
    : fc.record({ tags, content: fc.constant(null), messages: fc.array(message, { maxLength: 3 }) })

const facts: fc.Arbitrary<Omit<VersionFacts, 'type'>> = fc.record({
  id: fc.uuid(),
  version: fc.constantFrom('v1', 'v1.2.0'),
  made: fc.constantFrom('r1', 'v1.2.0', ''),
  template: fc.constantFrom('jinja', 'none'),
  contentHash: fc.constant(`sha256:${'0'.repeat(64)}`),
  git: fc.constantFrom('null', JSON.stringify({ repo: 'https://example.com/"a"', commit: 'c'.repeat(40), path: null })),
  createdAt: fc.constantFrom('null', '"2026-01-01T00:00:00.000Z"'),
  erased: fc.constant(null),
})

const version = fc.constantFrom<'text' | 'chat'>('text', 'chat').chain((type) =>
  fc.record({
    facts: facts.map((rest): VersionFacts => ({ ...rest, type })),
    parts: fc.record({
      bodies: fc.array(bodyOf(type), { minLength: 1, maxLength: 4 }),
      config: anyObject,
      inputs: fc.option(anyObject),
      includes: anyObject,
    }),
    variables: fc.array(fc.record({ name: anyText, required: fc.boolean() }), { maxLength: 3 }),
  }),
)

const envelope: fc.Arbitrary<Envelope> = fc.record({
  name: anyText,
  ref: fc.constantFrom('production', 'v1', 'latest'),
  release: fc.option(fc.constantFrom('r12', 'v2.0.0')),
  source: fc.constantFrom('registry', 'default', 'fallback'),
  canary: fc.option(
    fc.record({
      release: fc.option(anyText),
      version: fc.option(anyText),
      percentage: fc.double({ min: 0, max: 100 }),
      selected: fc.boolean(),
    }),
  ),
})

t.test('a record is what it was after it was encoded and decoded', async (t) => {
  fc.assert(
    fc.property(version, ({ facts, parts, variables }) => {
      const record = makeRecord(facts, parts)
      record.variables[0] = JSON.stringify(variables)
      t.same(decodeRecord(encodeRecord(record)), record)
    }),
    { numRuns: runs(150) },
  )
})

t.test('a decoded record shares no memory with the bytes it was read from', async (t) => {
  const record = makeRecord(textFacts, { bodies: [{ tags: {}, content: 'Hello', messages: null }], ...noParts })
  const encoded = encodeRecord(record)
  const decoded = decodeRecord(encoded)
  encoded.fill(0)
  t.strictSame(readContent(decoded, 0), { content: 'Hello', messages: null })
  // A piece of a larger whole would keep it all in memory.
  for (const piece of [...record.contents, record.settings]) t.equal(piece.buffer.byteLength, piece.length)
  t.ok((decoded.contents[0]?.buffer.byteLength ?? 0) <= encoded.length)
})

t.test('bytes that are cut off, or none of a record, are refused and not taken for one', async (t) => {
  const encoded = encodeRecord(
    makeRecord(textFacts, { bodies: [{ tags: {}, content: '客'.repeat(50), messages: null }], ...noParts }),
  )
  for (const bytes of [Buffer.alloc(0), Buffer.from('{}'), encoded.subarray(0, 40), encoded.subarray(1)]) {
    t.throws(() => decodeRecord(bytes))
  }
})

t.test('an answer is the JSON of the contract, its keys in order', async (t) => {
  fc.assert(
    fc.property(version, envelope, fc.nat(), ({ facts, parts, variables }, told, at) => {
      const record = makeRecord(facts, parts)
      const index = at % parts.bodies.length
      record.variables[index] = JSON.stringify(variables)
      const body = parts.bodies[index] as (typeof parts.bodies)[number]
      const { name, ref, release, source, canary } = told
      const { version, made, type, template, contentHash, git, createdAt } = facts
      const expected = {
        ...{ name, version, ref, release: release ?? (made === '' ? null : made), type, template },
        ...{ content: body.content, messages: body.messages },
        ...{ config: parts.config, inputs: parts.inputs, variables, includes: parts.includes },
        ...{ tags: body.tags, contentHash, source, canary, git: JSON.parse(git), createdAt: JSON.parse(createdAt) },
      }
      t.equal(assembleAnswer(record, index, told).toString('utf8'), JSON.stringify(expected))
    }),
    { numRuns: runs(200) },
  )
})

t.test('the texts of a body are read back as they were', async (t) => {
  fc.assert(
    fc.property(version, ({ facts, parts }) => {
      const record = makeRecord(facts, parts)
      for (const [index, { content, messages }] of parts.bodies.entries()) {
        t.equal(JSON.stringify(readContent(record, index)), JSON.stringify({ content, messages }))
      }
    }),
    { numRuns: runs(80) },
  )
})

t.test('an answer whose variables were not found yet, or of a body that is not there, is not made', async (t) => {
  const record = makeRecord(textFacts, { bodies: [{ tags: {}, content: 'Hello', messages: null }], ...noParts })
  const told: Envelope = { name: 'a', ref: 'v1', release: null, source: 'registry', canary: null }
  t.throws(() => assembleAnswer(record, 0, told))
  t.throws(() => assembleAnswer(record, 1, told))
})

t.test('a tombstone holds nothing, and takes less memory than a version does', async (t) => {
  const stone = makeTombstone({ ...textFacts, erased: { by: 'include', name: 'b', version: 'v2' } })
  t.strictSame([stone.tags, stone.contents], [[], []])
  t.same(decodeRecord(encodeRecord(stone)).erased, { by: 'include', name: 'b', version: 'v2' })
  const whole: VersionRecord = makeRecord(textFacts, {
    bodies: [{ tags: {}, content: 'x'.repeat(10_000), messages: null }],
    ...noParts,
  })
  t.ok(whole.sizeBytes >= 10_000 && stone.sizeBytes < 2_000)
})

const noParts = { config: {}, inputs: null, includes: {} }
const textFacts: VersionFacts = {
  ...{ id: 'id-1', version: 'v1', made: 'r1', type: 'text', template: 'jinja', contentHash: 'sha256:0', git: 'null' },
  ...{ createdAt: 'null', erased: null },
}
