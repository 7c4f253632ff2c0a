import fc from 'fast-check'
import t from 'tap'
import {
  chooseBody,
  chooseBodyBy,
  envelopeOf,
  finish,
  makePlan,
  type Plan,
  pointedAt,
  servedSide,
  sideOf,
  stillHolds,
  textOf,
  toFinished,
} from '../../src/lib/plan.js'
import {
  nextEra,
  type Pointer,
  type Pointers,
  pinKey,
  type ReleasePointer,
  stamped,
  type VersionPointer,
} from '../../src/lib/pointers.js'
import { makeRecord, type VersionRecord } from '../../src/lib/version-record.js'
import { runs } from '../helpers/runs.js'

const releaseOf = (number: number): ReleasePointer => ({ id: `${number}`, uid: `uid-${number}`, ref: `r${number}` })
const at = <Target>(target: Target, canary: Pointer<Target>['canary'] = null): Pointer<Target> => ({ target, canary })

const era = nextEra()

function pointersOf(fields: Partial<Pointers> = {}): Pointers {
  const settings = { publicRead: false, scan: 'warn' as const, defaultAlias: 'production' }
  const project = { id: 7n, slug: 'acme', name: null, settings, createdAt: new Date(0), updatedAt: new Date(0) }
  return stamped({
    ...{ project, isDeleted: false, epoch: 1, token: 'token-1', purges: 0, era, nameEra: era },
    ...{ aliases: new Map(), pins: new Map(), links: new Map() },
    ...fields,
  })
}

function recordOf(
  version: string,
  bodies = [{ tags: {}, content: `This is ${version}.` as string | null, messages: null }],
): VersionRecord {
  const record = makeRecord(
    {
      ...{ id: `id-${version}`, version, made: 'r1', type: 'text', template: 'jinja', contentHash: 'sha256:0', git: 'null' },
      ...{ createdAt: 'null', erased: null },
    },
    { bodies, config: {}, inputs: null, includes: {} },
  )
  record.variables.fill('[]')
  return record
}

function planAt(pointers: Pointers, fields: Partial<Plan> = {}): Plan {
  const stable = sideOf(releaseOf(1), recordOf('v1'))
  return { ...makePlan({ name: 'a', ref: 'dev', by: 'alias', stamp: pointers.stamp, stable, canary: null }), ...fields }
}

t.test('a pin wins over the alias of its name, for its prompt alone', async (t) => {
  const pointers = pointersOf({
    aliases: new Map([['dev', at(releaseOf(1))]]),
    pins: new Map([[pinKey('a', 'dev'), at<VersionPointer>({ id: 'id-v9', ref: 'v9' })]]),
  })
  t.equal(pointedAt(pointers, 'a', 'dev')?.by, 'pin')
  t.equal(pointedAt(pointers, 'b', 'dev')?.by, 'alias')
  t.equal(pointedAt(pointers, 'a', 'staging'), null)
})

t.test('a plan of an alias holds as long as that points to the same, whatever else moves', async (t) => {
  const before = pointersOf({ aliases: new Map([['dev', at(releaseOf(1))]]) })
  const plan = planAt(before)
  const other = pointersOf({
    ...{ epoch: 2, nameEra: nextEra() },
    aliases: new Map([...before.aliases, ['production', at(releaseOf(9))]]),
  })
  t.ok(stillHolds(plan, other))
  t.equal(plan.stamp, other.stamp, 'it is noted')
  t.ok(stillHolds(plan, pointersOf({ epoch: 4, aliases: before.aliases })), 'also where it went to and fro meanwhile')
})

t.test('a plan of an alias ends when its target, its canary or its pin changes, and with its era', async (t) => {
  const canary = { target: releaseOf(2), basisPoints: 1_000, salt: 's' }
  const running = { side: sideOf(releaseOf(2), recordOf('v2')), basisPoints: 1_000, salt: 's' }
  const aliased = (pointer: Pointer<ReleasePointer>) => pointersOf({ epoch: 2, aliases: new Map([['dev', pointer]]) })
  const pins = new Map([[pinKey('a', 'dev'), at<VersionPointer>({ id: 'id-v1', ref: 'v1' })]])
  const plain = () => planAt(pointersOf({ aliases: new Map([['dev', at(releaseOf(1))]]) }))
  const withCanary = () => planAt(pointersOf({ aliases: new Map([['dev', at(releaseOf(1), canary)]]) }), { canary: running })

  t.notOk(stillHolds(plain(), aliased(at(releaseOf(2)))))
  t.notOk(stillHolds(plain(), pointersOf({ epoch: 2 })), 'deleted')
  t.notOk(stillHolds(plain(), aliased(at(releaseOf(1), canary))), 'a canary began')
  t.notOk(stillHolds(plain(), { ...aliased(at(releaseOf(1))), pins }), 'a pin was made')
  t.notOk(stillHolds(plain(), stamped({ ...aliased(at(releaseOf(1))), era: nextEra() })))

  t.ok(stillHolds(withCanary(), aliased(at(releaseOf(1), canary))))
  t.notOk(stillHolds(withCanary(), aliased(at(releaseOf(1)))), 'the canary ended')
  for (const changed of [{ basisPoints: 2_000 }, { salt: 't' }, { target: releaseOf(3) }]) {
    t.notOk(stillHolds(withCanary(), aliased(at(releaseOf(1), { ...canary, ...changed }))))
  }
})

t.test('a plan of a pin ends when it points to another version, or is gone', async (t) => {
  const pinned = (id: string) => pointersOf({ epoch: 2, pins: new Map([[pinKey('a', 'dev'), at({ id, ref: id })]]) })
  const plan = () => planAt(pinned('id-v1'), { by: 'pin', stable: sideOf(null, recordOf('v1')) })
  t.ok(stillHolds(plan(), pinned('id-v1')))
  t.notOk(stillHolds(plan(), pinned('id-v2')))
  t.notOk(stillHolds(plan(), pointersOf({ aliases: new Map([['dev', at(releaseOf(1))]]) })))
})

t.test('labels and numbers hold for an era, a commit for an epoch, the latest until names change', async (t) => {
  const before = pointersOf()
  const later = pointersOf({ epoch: 2 })
  const named = (by: Plan['by']) => planAt(before, { by })
  t.ok(stillHolds(named('version'), later))
  t.ok(stillHolds(named('release'), later))
  t.notOk(stillHolds(named('commit'), later))
  t.ok(stillHolds(named('latest'), later))
  t.notOk(stillHolds(named('latest'), pointersOf({ epoch: 2, nameEra: nextEra() })))
  for (const by of ['version', 'release', 'commit', 'latest'] as const) {
    t.notOk(stillHolds(named(by), pointersOf({ era: nextEra() })), by)
  }
})

t.test('a plan that does not hold is not noted to, and one that never held is no other', async (t) => {
  const before = pointersOf({ aliases: new Map([['dev', at(releaseOf(1))]]) })
  const plan = planAt(before)
  t.notOk(stillHolds(plan, pointersOf({ epoch: 2 })))
  t.equal(plan.stamp, before.stamp)
})

/** Whether one object leads to another one. */
function leadsTo(from: unknown, to: object, seen = new Set<unknown>()): boolean {
  if (from === to) return true
  if (typeof from !== 'object' || from === null || seen.has(from)) return false
  seen.add(from)
  return [...(from instanceof Map ? from.values() : []), ...Object.values(from)].some((part) => leadsTo(part, to, seen))
}

t.test('a plan keeps no pointers in memory, and those of one state share a stamp', async (t) => {
  const pointers = pointersOf({ aliases: new Map([['dev', at(releaseOf(1))]]) })
  const later = pointersOf({ epoch: 2, aliases: new Map([['dev', at(releaseOf(1))]]) })
  const plans = [planAt(pointers), planAt(pointers)]
  for (const held of [pointers, later]) {
    for (const plan of plans) t.ok(stillHolds(plan, held))
    t.equal(plans[0]?.stamp, plans[1]?.stamp)
    for (const part of [held, held.aliases, held.pins, held.links]) t.notOk(leadsTo(plans[0], part))
  }
})

t.test('a body is that of the best variant, else the version’s own', async (t) => {
  const bodies = [{}, { locale: 'cn' }, { locale: 'en', tone: 'formal' }].map((tags) => ({ tags, content: 'x', messages: null }))
  const side = sideOf(null, recordOf('v1', bodies))
  t.equal(chooseBody(side, {}), 0)
  t.equal(chooseBody(side, { locale: 'cn' }), 1)
  t.equal(chooseBody(side, { locale: 'en', tone: 'formal' }), 2)
  t.equal(chooseBody(side, { locale: 'fr' }), 0)
})

t.test('what was chosen for a text is what would be chosen again, for so many texts that they are counted', async (t) => {
  const bodies = [{}, { locale: 'cn' }, { locale: 'en', tone: 'formal' }].map((tags) => ({ tags, content: 'x', messages: null }))
  const side = sideOf(null, recordOf('v1', bodies))
  const asked = fc.record({
    locale: fc.constantFrom('cn', 'en', 'en-US', 'fr', 'x'.repeat(120)),
    tone: fc.constantFrom('formal', 'friendly', 'x'.repeat(90)),
    other: fc.stringMatching(/^[a-z]{1,6}$/),
  })
  fc.assert(
    fc.property(asked, (tags) => {
      const text = Object.entries(tags)
        .map(([tag, value]) => `${tag}:${value}&`)
        .join('')
      for (const _ of ['first', 'again']) t.equal(chooseBodyBy(side, text, tags), chooseBody(side, tags))
      t.ok(side.chosen.size <= 64 && [...side.chosen.keys()].every(({ length }) => length <= 100))
    }),
    { numRuns: runs(400) },
  )
  t.equal(chooseBodyBy(side, '', { locale: 'cn' }), 0, 'no text stands for no tags')
  const { stamp } = pointersOf()
  const withVariants = makePlan({ name: 'a', ref: 'dev', by: 'alias', stamp, stable: side, canary: null })
  t.ok(withVariants.sizeBytes > 64 * 100)
})

t.test('an answer tells of the canary only where it counts, and names the release of its own side', async (t) => {
  const canary = { side: sideOf(releaseOf(2), recordOf('v2')), basisPoints: 1_050, salt: 's' }
  const plan = planAt(pointersOf(), { canary })
  const told = { release: 'r2', version: 'v2', percentage: 10.5 }
  t.strictSame(envelopeOf(plan, 'plain').canary, null)
  t.strictSame(envelopeOf(plan, 'stable').canary, { ...told, selected: false })
  t.strictSame(envelopeOf(plan, 'canary').canary, { ...told, selected: true })
  t.strictSame([envelopeOf(plan, 'stable').release, envelopeOf(plan, 'canary').release], ['r1', 'r2'])
  t.equal(servedSide(plan, 'canary').version, 'v2')
  t.equal(servedSide(plan, 'stable').version, 'v1')
})

t.test('an answer is finished once, and counted in the size of its plan', async (t) => {
  const plan = planAt(pointersOf())
  const { sizeBytes } = plan
  const finished = finish(plan, 'plain', 0, recordOf('v1'))
  t.equal(plan.outcomes.plain[0], finished)
  t.ok(plan.sizeBytes >= sizeBytes + finished.json.length)
  t.equal(JSON.parse(finished.json.toString('utf8')).content, 'This is v1.')
})

t.test('validators are of the bytes and their type: equal for equal bytes, and never for text and JSON alike', async (t) => {
  const json = (text: string) => toFinished(Buffer.from(JSON.stringify({ content: text })))
  t.equal(json('a').etag, json('a').etag)
  t.not(json('a').etag, json('b').etag)
  t.match(json('a').etag, /^"[\w-]{27}"$/)
  const finished = toFinished(Buffer.from('{"content":"a"}'))
  const text = textOf(finished)
  t.equal(text?.bytes.toString(), 'a')
  t.equal(textOf(finished), text, 'it is kept')
  t.not(text?.etag, finished.etag)
  t.equal(textOf(toFinished(Buffer.from('{"content":null}'))), null)
})
