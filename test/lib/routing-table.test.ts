import fc from 'fast-check'
import t from 'tap'
import { parsePathFile } from '../../src/lib/path-file.js'
import { toFinished } from '../../src/lib/plan.js'
import { type Pointer, type Pointers, pinKey, type ReleasePointer, stamped, type VersionPointer } from '../../src/lib/pointers.js'
import {
  type AnswerConditions,
  type Availability,
  answerKey,
  filesByKey,
  findAnswer,
  followRoutes,
  keepAnswer,
  makeRoutingTable,
  type RoutedSource,
} from '../../src/lib/routing-table.js'
import { runs } from '../helpers/runs.js'

const release: ReleasePointer = { id: '1', uid: 'uid-1', ref: 'r1' }
const noon = new Date('2026-03-04T12:00:00Z')
const limits = { pathTextLength: 100, maxAnswersBytes: 64 * 1024 }

function source(name: string, paths: string[], routes: string[] | null): RoutedSource {
  const text = routes && `version: v2\nroutes:\n${routes.map((route) => `  - ${route}\n`).join('')}`
  const files = filesByKey(paths.map((path) => ({ path, name: path.replace(/\.[^.]*$/, '').toLowerCase() })))
  return { id: `id of ${name}`, name, pathFile: text === null ? null : parsePathFile(text), files }
}

/** All that comes of the routes, up to the first one that was found. */
function outcomes(sources: RoutedSource[], context: Record<string, string>, states: Record<string, Availability> = {}) {
  const told: string[] = []
  for (const step of followRoutes({ sources }, context, noon, ({ name }) => states[name] ?? 'fresh')) {
    const what = step.outcome === 'found' ? `${step.of.name}: ${step.files.map(({ path }) => path).join(' + ')}` : step.why
    told.push(`${step.outcome} ${what}`)
    if (step.outcome === 'found') break
  }
  return told
}

const team = source(
  'team',
  ['Meeting/Stand Up.md', 'meeting/default.md', 'tone.md'],
  [
    '"{category}/{channel}.md"',
    '{ compose: ["tone.md", "{category}/default.md"], when: { role: admin } }',
    '{ pattern: "{category}.md", source: company }',
    '"{category}/default.md"',
  ],
)
const company = source('company', ['meeting.md'], null)

t.test('routes are followed in their order, and files are found by the slugs of their names', async (t) => {
  t.strictSame(outcomes([company, team], { category: 'meeting', channel: 'Stand Up' }), ['found team: Meeting/Stand Up.md'])
  t.strictSame(outcomes([company, team], { category: 'Meeting' }), [
    'skipped The variable "channel" is missing.',
    `skipped ${team.pathFile?.routes[1]?.conditions[0]?.unmet}`,
    'found company: meeting.md',
  ])
  t.strictSame(outcomes([company, team], { category: 'meeting', role: 'admin', channel: 'x' }), [
    'missing Source "team" has no file "meeting/x.md" in this release.',
    'found team: tone.md + meeting/default.md',
  ])
})

t.test('a source that is gone or was removed is passed by, as holder of routes and as holder of files', async (t) => {
  const missing = (why: string) => [
    'missing Source "team" has no file "meeting/x.md" in this release.',
    why,
    'found team: meeting/default.md',
  ]
  const context = { category: 'meeting', channel: 'x' }
  const [first, , third, last] = outcomes([company, team], context, { company: 'gone' })
  t.strictSame([first, third, last], missing('missing Source "company" was out of reach for longer than it may be served.'))
  t.match(outcomes([company, team], context, { company: 'removed' })[2], /"company" was removed/)
  t.match(outcomes([team], context)[2], /holds nothing of source "company"/)
  t.strictSame(outcomes([company, team], context, { team: 'gone' }), [])
  for (const state of ['stale', 'unknown'] as const) t.match(outcomes([team], context, { team: state }).at(-1), /^found/)
})

t.test('of a source that was removed and made anew, routes lead to the one that can be used', async (t) => {
  const [old, anew] = ['old', 'anew'].map((id) => ({ ...source('company', [`${id}.md`], null), id }))
  const holder = source('team', [], ['{ pattern: "{file}.md", source: company }'])
  const sources = [old, anew, holder] as RoutedSource[]
  const ofStates = (states: Record<string, Availability>, file: string) =>
    [...followRoutes({ sources }, { file }, noon, ({ id }) => states[id] ?? 'fresh')].map((step) =>
      step.outcome === 'found' ? step.of.id : step.outcome === 'missing' && step.why,
    )
  t.strictSame(ofStates({ old: 'removed' }, 'anew'), ['anew'])
  t.strictSame(ofStates({ old: 'gone', anew: 'stale' }, 'anew'), ['anew'])
  t.strictSame(ofStates({ anew: 'removed' }, 'old'), ['old'])
  t.strictSame(ofStates({ old: 'removed', anew: 'removed' }, 'anew'), ['Source "company" was removed.'])
})

t.test('every source that has a PATH file is asked in turn', async (t) => {
  const other = source('other', ['meeting/retro.md'], ['"{category}/{channel}.md"'])
  t.strictSame(outcomes([other, team], { category: 'meeting', channel: 'retro' }), ['found other: meeting/retro.md'])
  t.match(outcomes([other, team], { category: 'meeting', channel: 'stand-up' }), [/^missing Source "other"/, /^found team/])
  t.strictSame(outcomes([company], { category: 'meeting' }), [])
})

const table = makeRoutingTable(release, [company, team], limits)
const conditions: AnswerConditions = {
  ...{ ref: 'production', mode: 'plain', tags: {}, context: {}, atMs: noon.getTime(), availabilityOf: () => 'fresh' },
}

t.test('questions have the same key exactly where all that makes a difference is the same', async (t) => {
  const key = (changes: Partial<AnswerConditions>, of = table) => answerKey(of, { ...conditions, ...changes })
  t.equal(key({ context: { guild: '1', category: 'a' } }), key({ context: { category: 'a', guild: '2', channel: '' } }))
  t.equal(key({ atMs: 0 }), key({}))
  const timed = makeRoutingTable(release, [source('night', [], ['{ pattern: "a.md", when: { hours: "22:00-06:00" } }'])], limits)
  t.equal(key({ atMs: 59_999 }, timed), key({ atMs: 0 }, timed))
  t.not(key({ atMs: 60_000 }, timed), key({ atMs: 59_999 }, timed))
  const text = fc.string({ maxLength: 4 }).filter((one) => !one.includes('\0'))
  const question = fc.record({
    ref: fc.constantFrom('a', 'b'),
    mode: fc.constantFrom('plain', 'canary'),
    tags: fc.dictionary(text, text, { maxKeys: 2, noNullPrototype: true }),
    context: fc.dictionary(fc.constantFrom('category', 'channel', 'role'), text, { noNullPrototype: true }),
    state: fc.constantFrom<Availability>('fresh', 'stale'),
  })
  const plain = ({ context, tags, ...rest }: { context: Record<string, string>; tags: Record<string, string> }) =>
    JSON.stringify([rest, Object.entries(tags), ['category', 'channel', 'role'].map((name) => context[name] ?? '')])
  fc.assert(
    fc.property(question, question, (one, other) => {
      const [first, second] = [one, other].map(({ state, ...given }) => key({ ...given, availabilityOf: () => state }))
      t.equal(first === second, plain(one) === plain(other))
    }),
    {
      numRuns: runs(400),
      examples: [
        [
          { ref: 'a', mode: 'plain', tags: { a: 'b c:d' }, context: {}, state: 'fresh' },
          { ref: 'a', mode: 'plain', tags: { a: 'b', c: 'd' }, context: {}, state: 'fresh' },
        ],
      ],
    },
  )
})

const pointer: Pointer<ReleasePointer> = { target: release, canary: null }

function pointersOf(epoch: number, aliases: Pointers['aliases'], pins: Pointers['pins'] = new Map(), era = 1): Pointers {
  const settings = { publicRead: false, scan: 'warn' as const, defaultAlias: 'production' }
  const project = { id: 1n, slug: 'acme', name: null, settings, createdAt: noon, updatedAt: noon }
  return stamped({ project, epoch, aliases, pins, era, nameEra: 1, purges: 0, isDeleted: false, token: '', links: new Map() })
}

t.test('an answer is kept through whatever happens elsewhere, and not past a move of what it was made of', async (t) => {
  const aliases = new Map([['production', pointer]])
  const first = pointersOf(1, aliases)
  const own = makeRoutingTable(release, [team], limits)
  const seen = [{ name: 'a', pointer }]
  const answer = { stamp: first.stamp, seen, finished: toFinished(Buffer.from('{}')), version: 'v1', level: 'registry' as const }
  const keep = () => keepAnswer(own, 'key', { ...answer })
  const isFound = (pointers: Pointers) => {
    keep()
    return findAnswer(own, 'key', pointers, 'production') !== null
  }
  t.ok(isFound(first))
  t.ok(isFound(pointersOf(2, new Map([...aliases, ['dev', { target: release, canary: null }]]))), 'another alias')
  const pin: Pointer<VersionPointer> = { target: { id: 'v', ref: 'v1' }, canary: null }
  t.ok(isFound(pointersOf(2, aliases, new Map([[pinKey('b', 'production'), pin]]))), 'a pin of another prompt')
  t.notOk(isFound(pointersOf(2, aliases, new Map([[pinKey('a', 'production'), pin]]))), 'a pin of this one')
  t.notOk(isFound(pointersOf(2, new Map([['production', { target: release, canary: null }]]))), 'a move there and back')
  t.notOk(isFound(pointersOf(2, new Map())), 'the alias is gone')
  t.notOk(isFound(pointersOf(2, aliases, new Map(), 2)), 'a purge, or another history')
  t.equal(findAnswer(own, 'other', first, 'production'), null)
})

t.test('answers take no more than their part, and those that are asked for stay', async (t) => {
  const pointers = pointersOf(1, new Map([['production', pointer]]))
  const own = makeRoutingTable(release, [team], limits)
  const before = own.sizeBytes
  const answer = (bytes: number) => ({
    ...{
      stamp: pointers.stamp,
      seen: [],
      finished: toFinished(Buffer.alloc(bytes, ' ')),
      version: 'v1',
      level: 'registry' as const,
    },
  })
  keepAnswer(own, 'hot', answer(500))
  for (let times = 0; times < 500; times += 1) {
    keepAnswer(own, `scan ${times}`, answer(500))
    t.ok(own.sizeBytes - before <= limits.maxAnswersBytes)
    t.ok(findAnswer(own, 'hot', pointers, 'production'))
  }
  t.ok(own.answers.size > 5)
  keepAnswer(own, 'huge', answer(limits.maxAnswersBytes))
  t.equal(findAnswer(own, 'huge', pointers, 'production'), null, 'what would push out all others is not kept')
  t.ok(findAnswer(own, 'hot', pointers, 'production'))
})
