import fc from 'fast-check'
import t from 'tap'
import { canaryBucket } from '../../src/lib/canary.js'
import { chooseBody, envelopeOf, type Mode, makePlan, type Plan, servedSide, sideOf } from '../../src/lib/plan.js'
import { assemblePlan, finishPlanned } from '../../src/lib/plan-answer.js'
import type { ReleasePointer, Stamp } from '../../src/lib/pointers.js'
import { decide, type PlanTarget, type PromptPlan, type Subject } from '../../src/lib/prompt-plan.js'
import type { Tags } from '../../src/lib/variants.js'
import { assembleAnswer, makeRecord, type VersionRecord } from '../../src/lib/version-record.js'
import { runs } from '../helpers/runs.js'

const problem = { status: 404, code: 'prompt.not_in_release', title: 'Not there', detail: 'It is not in r2.' }

function targetOf(version: string, variants: Tags[] = []): PlanTarget {
  const body = (content: string) => ({ content, messages: null, variables: [] })
  const prompt = {
    ...{ version, release: 'r1', type: 'text' as const, template: 'jinja' as const, ...body(`This is ${version}.`) },
    ...{ config: {}, inputs: null, includes: {}, variants: variants.map((tags) => ({ tags, ...body(JSON.stringify(tags)) })) },
    ...{ contentHash: 'sha256:0', git: null, createdAt: null },
  }
  return { release: 'r1', version, prompt, problem: null }
}

function planOf(fields: Partial<PromptPlan> = {}): PromptPlan {
  return { name: 'x', ref: 'production', by: 'alias', source: 'registry', stable: targetOf('v1'), canary: null, ...fields }
}

const withCanary = (salt: string, basisPoints: number, target = targetOf('v2')) =>
  planOf({ canary: { salt, basisPoints, target } })

const anyText = fc.string({ unit: 'binary', maxLength: 12 })
const anyShare = fc.integer({ min: 1, max: 10_000 })
const anyTags = fc.dictionary(fc.constantFrom('locale', 'tone', 'plan'), fc.constantFrom('en', 'en-US', 'de', 'formal'), {
  noNullPrototype: true,
})

t.test('a subject gets the side that its bucket says, and raising the share only moves subjects in', async (t) => {
  fc.assert(
    fc.property(anyText, anyText, anyShare, anyShare, (salt, key, one, other) => {
      const [lower, higher] = [Math.min(one, other), Math.max(one, other)]
      const bucket = canaryBucket(salt, key)
      const [few, many] = [lower, higher].map((share) => decide(withCanary(salt, share), { key }))
      t.equal(few?.bucket, bucket)
      t.equal(few?.answer?.version, bucket < lower ? 'v2' : 'v1')
      t.equal(many?.answer?.version, bucket < higher ? 'v2' : 'v1')
      t.strictSame(few?.answer?.canary, { release: 'r1', version: 'v2', percentage: lower / 100, selected: bucket < lower })
    }),
    { numRuns: runs(1_000) },
  )
  t.equal(decide(withCanary('s', 698), { key: 'user-1' }).bucket, 697)
})

t.test('without a key the draw is that of the random number, and there is no bucket to tell of', async (t) => {
  const versionAt = (share: number, random: number) => decide(withCanary('s', share), { random: () => random }).answer?.version
  t.equal(versionAt(1, 0), 'v2')
  t.equal(versionAt(1, 0.000_1), 'v1')
  t.equal(versionAt(5_000, 0.499_99), 'v2')
  t.equal(versionAt(5_000, 0.5), 'v1')
  t.equal(versionAt(10_000, 1 - Number.EPSILON), 'v2')
  t.equal(decide(withCanary('s', 5_000), {}).bucket, null)
})

t.test('with the canary off, or without one, everybody gets the stable target and is told of no canary', async (t) => {
  for (const [plan, subject] of [
    [withCanary('s', 10_000), { key: 'user-1', canary: 'off' }],
    [planOf(), { key: 'user-1' }],
  ] as [PromptPlan, Subject][]) {
    const { answer, bucket } = decide(plan, subject)
    t.equal(bucket, null)
    t.equal(answer?.version, 'v1')
    t.equal(answer?.canary, null)
  }
})

t.test('the best variant of the target that was drawn is answered with its own tags', async (t) => {
  const plan = withCanary('s', 10_000, targetOf('v2', [{ locale: 'en' }, { locale: 'en-US', tone: 'formal' }]))
  const told = (tags: Tags) => decide(plan, { tags }).answer
  t.strictSame(told({ locale: 'en-US' })?.tags, { locale: 'en-US', tone: 'formal' })
  t.equal(told({ locale: 'en-GB' })?.content, '{"locale":"en"}')
  t.strictSame([told({ locale: 'fr' })?.tags, told({})?.content], [{}, 'This is v2.'])
})

t.test('whoever draws a target without a prompt is told its problem, and the others are not', async (t) => {
  const plan = withCanary('s', 5_000, { release: 'r2', version: null, prompt: null, problem })
  const [low, high] = [0, 0.9].map((random) => decide(plan, { random: () => random }))
  t.strictSame(low, { answer: null, problem, bucket: null })
  t.equal(high?.answer?.version, 'v1')
  t.equal(high?.answer?.canary?.version, null)
})

const settings = { publicRead: false, scan: 'warn' as const, defaultAlias: 'production' }
const project = { id: 7n, slug: 'acme', name: null, settings, createdAt: new Date(0), updatedAt: new Date(0) }
const stamp: Stamp = { project, epoch: 1, purges: 0, era: 1, nameEra: 1 }

const anyJson = fc
  .dictionary(anyText, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 })
  .map((value) => JSON.parse(JSON.stringify(value)))
const anyBody = fc.oneof(
  anyText.map((content) => ({ content, messages: null })),
  fc
    .array(fc.record({ role: fc.constant('user'), content: anyText }), { maxLength: 2 })
    .map((messages) => ({ content: null, messages })),
)
const anyRecord = fc
  .record({
    own: anyBody,
    variants: fc.array(fc.record({ tags: anyTags, body: anyBody }), { maxLength: 4 }),
    config: anyJson,
    inputs: fc.option(anyJson),
    includes: anyJson,
    made: fc.constantFrom('', 'r1', 'v1.0.0'),
    label: fc.constantFrom('v1', 'v2', 'beta'),
  })
  .map(({ own, variants, config, inputs, includes, made, label }): VersionRecord => {
    const bodies = [{ tags: {}, ...own }, ...variants.map(({ tags, body }) => ({ tags, ...body }))]
    const facts = { id: label, version: label, made, type: 'text' as const, template: 'jinja' as const, contentHash: 'sha256:0' }
    const git = JSON.stringify({ repo: null, commit: 'c0ffee', path: 'x.md' })
    const record = makeRecord({ ...facts, git, createdAt: 'null', erased: null }, { bodies, config, inputs, includes })
    record.variables = bodies.map((_, index) => JSON.stringify([{ name: `name_${index}`, required: true }]))
    return record
  })
const anyRelease = fc.option(fc.constantFrom('r1', 'v2.0.0').map((ref): ReleasePointer => ({ id: ref, uid: ref, ref })))

t.test('what is decided by an assembled plan is byte for byte what the server answers', async (t) => {
  const anySide = fc.record({ release: anyRelease, record: anyRecord })
  fc.assert(
    fc.property(anySide, fc.option(anySide), anyShare, anyTags, anyText, (first, second, basisPoints, tags, key) => {
      const side = second && sideOf(second.release, second.record)
      const canary = side && { side, basisPoints, salt: 'salt' }
      const stable = sideOf(first.release, first.record)
      const plan = makePlan({ name: 'x', ref: 'production', by: 'alias', stamp, stable, canary })
      const told = JSON.parse(assembled(plan, first.record, second?.record ?? null).toString('utf8')) as PromptPlan
      const selected = canaryBucket('salt', key) < basisPoints
      const mode: Mode = !second ? 'plain' : selected ? 'canary' : 'stable'
      const record = mode === 'canary' && second ? second.record : first.record
      const expected = assembleAnswer(record, chooseBody(servedSide(plan, mode), tags), envelopeOf(plan, mode))
      const { answer, problem, bucket } = decide(told, { key, tags })
      t.equal(JSON.stringify(answer), JSON.stringify(JSON.parse(expected.toString('utf8'))))
      t.equal(problem, null)
      t.equal(bucket, second ? canaryBucket('salt', key) : null)
    }),
    { numRuns: runs(400) },
  )
})

function assembled(plan: Plan, stable: VersionRecord, other: VersionRecord | null): Buffer {
  const { name, ref, by, canary } = plan
  const targetOf = (release: ReleasePointer | null, record: VersionRecord) => ({
    ...{ release: release?.ref ?? null, version: record.version, record, problem: null },
  })
  return assemblePlan({
    ...{ name, ref, by, source: 'registry', stable: targetOf(plan.stable.release, stable) },
    canary: canary && other && { ...canary, target: targetOf(canary.side.release, other) },
  })
}

t.test('the bytes of a plan are those of its JSON, in one order of keys', async (t) => {
  const record = makeRecord(
    {
      ...{ id: 'id', version: 'v1', made: 'r1', type: 'text', template: 'jinja', contentHash: 'sha256:0', git: 'null' },
      ...{ createdAt: '"2026-01-01T00:00:00.000Z"', erased: null },
    },
    {
      bodies: [
        { tags: {}, content: 'Hi "x"', messages: null },
        { tags: { locale: 'de' }, content: 'Hallo', messages: null },
      ],
      config: { b: 1, a: 2 },
      inputs: null,
      includes: {},
    },
  )
  record.variables = ['[]', '[]']
  const stable = { release: null, version: 'v1', record, problem: null }
  const target = { release: 'r2', version: null, record: null, problem }
  const json = assemblePlan({
    name: 'x',
    ref: 'dev',
    by: 'alias',
    source: 'registry',
    stable,
    canary: { salt: 's', basisPoints: 1, target },
  })
  t.equal(
    json.toString('utf8'),
    '{"name":"x","ref":"dev","by":"alias","source":"registry","stable":{"release":null,"version":"v1","prompt":{' +
      '"version":"v1","release":"r1","type":"text","template":"jinja","content":"Hi \\"x\\"","messages":null,' +
      '"config":{"b":1,"a":2},"inputs":null,"variables":[],"includes":{},' +
      '"variants":[{"tags":{"locale":"de"},"content":"Hallo","messages":null,"variables":[]}],' +
      '"contentHash":"sha256:0","git":null,"createdAt":"2026-01-01T00:00:00.000Z"},"problem":null},' +
      `"canary":{"salt":"s","basisPoints":1,"target":{"release":"r2","version":null,"prompt":null,"problem":${JSON.stringify(problem)}}}}`,
  )
})

t.test('a plan that keeps its bytes is larger by them', async (t) => {
  const stable = { release: null, versionId: 'id', version: 'v1', bodies: [], erased: null, chosen: new Map() }
  const plan = makePlan({ name: 'x', ref: 'v1', by: 'version', stamp, stable, canary: null })
  const before = plan.sizeBytes
  const finished = finishPlanned(plan, Buffer.alloc(5_000, ' '))
  t.equal(plan.planned, finished)
  t.ok(plan.sizeBytes >= before + 5_000)
})
