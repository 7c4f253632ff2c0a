import fc from 'fast-check'
import t from 'tap'
import {
  type AliasRow,
  linkedVersion,
  type Pointers,
  type ProjectRow,
  pinKey,
  type ReleaseLink,
  toPointers,
  unlinked,
  withLinks,
} from '../../src/lib/pointers.js'
import { runs } from '../helpers/runs.js'

type Snapshot = ReadonlyMap<string, string>

const releaseOf = (number: number) => ({ id: `${number}`, uid: `uid-${number}`, number, label: null })
const versionOf = (number: number) => ({ id: `version-${number}`, number, label: null })

function rowOf(fields: Partial<Exclude<ProjectRow, { kind: 'same' }>>): Exclude<ProjectRow, { kind: 'same' }> {
  return {
    ...{ kind: 'whole', id: '7', epoch: '1', token: 'token-1', purges: 0, slug: 'acme', name: null, isDeleted: false },
    settings: { publicRead: false, scan: 'warn', defaultAlias: 'production' },
    ...{ createdAt: '2026-01-01T00:00:00.000Z', updatedAt: '2026-01-02T00:00:00.000Z', aliases: [], names: [] },
    ...fields,
  }
}

function aliasRow(name: string, fields: Partial<AliasRow> = {}): AliasRow {
  const none = { release: null, version: null, canaryRelease: null, canaryVersion: null, basisPoints: null, salt: null }
  return { name, prompt: null, isDeleted: false, ...none, ...fields }
}

/** All that pointers tell, but for the numbers of eras, which are drawn. */
function toldBy({ aliases, pins, era: _, nameEra: __, links: ___, stamp: ____, ...rest }: Pointers) {
  const sorted = (map: ReadonlyMap<string, unknown>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1))
  return { ...rest, aliases: sorted(aliases), pins: sorted(pins) }
}

/** The changed rows of one write: aliases and pins of few names, set, given a canary, or deleted. */
const changedRow = fc
  .record({
    name: fc.constantFrom('dev', 'staging', 'production'),
    prompt: fc.constantFrom(null, 'a', 'b/c'),
    kind: fc.constantFrom('set', 'canary', 'deleted' as const),
    target: fc.integer({ min: 1, max: 9 }),
    other: fc.integer({ min: 1, max: 9 }),
    basisPoints: fc.integer({ min: 1, max: 10_000 }),
  })
  .map(({ name, prompt, kind, target, other, basisPoints }): AliasRow => {
    const canary = kind === 'canary' ? { basisPoints, salt: `salt-${other}` } : {}
    const ofAlias = { release: releaseOf(target), ...(kind === 'canary' ? { canaryRelease: releaseOf(other) } : {}) }
    const ofPin = { version: versionOf(target), ...(kind === 'canary' ? { canaryVersion: versionOf(other) } : {}) }
    return aliasRow(name, {
      ...{ prompt, isDeleted: kind === 'deleted' },
      ...(prompt === null ? ofAlias : ofPin),
      ...canary,
    })
  })

t.test('changes laid over each other are the whole', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.array(changedRow, { maxLength: 4 }), { maxLength: 12 }), (writes) => {
      const rows = new Map<string, AliasRow>()
      let held = toPointers(rowOf({}), null)
      for (const [index, changed] of writes.entries()) {
        // A write tells of a row once, as it is after it.
        const last = new Map(changed.map((row) => [`${row.name} ${row.prompt}`, row]))
        for (const [key, row] of last) rows.set(key, row)
        const epoch = { epoch: `${index + 2}`, token: `token-${index + 2}` }
        held = toPointers(rowOf({ kind: 'changes', ...epoch, aliases: [...last.values()] }), held)
      }
      const aliases = [...rows.values()].filter(({ isDeleted }) => !isDeleted)
      const whole = toPointers(rowOf({ epoch: `${held.epoch}`, token: held.token, aliases }), null)
      t.same(toldBy(held), toldBy(whole))
    }),
    { numRuns: runs(300) },
  )
})

t.test('a refresh leaves what was held before as it was', async (t) => {
  const before = toPointers(rowOf({ aliases: [aliasRow('dev', { release: releaseOf(1) })] }), null)
  const told = toldBy(before)
  const move = aliasRow('dev', { release: releaseOf(2) })
  const after = toPointers(rowOf({ kind: 'changes', epoch: '2', aliases: [move] }), before)
  t.strictSame(toldBy(before), told)
  t.equal(after.aliases.get('dev')?.target.uid, 'uid-2')
})

t.test('an era goes on with changes, and ends with a purge or with another history', async (t) => {
  const before = withLinks(toPointers(rowOf({}), null), new Map([['uid-2', { from: 'uid-1', changed: new Map() }]]))
  const changed = toPointers(rowOf({ kind: 'changes', epoch: '2' }), before)
  t.strictSame([changed.era, changed.nameEra, changed.links], [before.era, before.nameEra, before.links])

  const tooManyNames = toPointers(rowOf({ kind: 'changes', epoch: '2', names: null }), before)
  t.equal(tooManyNames.era, before.era)
  t.not(tooManyNames.nameEra, before.nameEra)

  for (const row of [rowOf({ kind: 'changes', epoch: '2', purges: 1 }), rowOf({ kind: 'whole', epoch: '1' })]) {
    const other = toPointers(row, before)
    t.not(other.era, before.era)
    t.not(other.nameEra, before.nameEra)
    t.equal(other.links.size, 0)
  }
})

t.test('a stamp tells the same as its pointers, and links make none anew', async (t) => {
  const first = toPointers(rowOf({}), null)
  const changed = toPointers(rowOf({ kind: 'changes', epoch: '2' }), first)
  for (const pointers of [first, changed, toPointers(rowOf({ purges: 3 }), changed)]) {
    const { project, epoch, purges, era, nameEra } = pointers
    t.strictSame(pointers.stamp, { project, epoch, purges, era, nameEra })
    t.equal(withLinks(pointers, new Map([['uid-2', { from: 'uid-1', changed: new Map() }]])).stamp, pointers.stamp)
  }
})

t.test('a pin is not found under a name and a ref that only look like its own together', async (t) => {
  fc.assert(
    fc.property(fc.tuple(fc.string(), fc.string(), fc.string(), fc.string()), ([name, ref, otherName, otherRef]) => {
      // Neither grammar has a line break.
      fc.pre(![name, ref, otherName, otherRef].some((text) => text.includes('\n')))
      t.equal(pinKey(name, ref) === pinKey(otherName, otherRef), name === otherName && ref === otherRef)
    }),
    { numRuns: runs(200) },
  )
})

const names = ['a', 'b', 'c', 'd']
const snapshot = fc
  .dictionary(fc.constantFrom(...names), fc.constantFrom('v1', 'v2', 'v3'))
  .map((held): Snapshot => new Map(Object.entries(held)))

function linkOf(from: string, before: Snapshot, after: Snapshot): ReleaseLink {
  const changed = names
    .filter((name) => before.get(name) !== after.get(name))
    .map((name) => [name, after.get(name) ?? null] as const)
  return { from, changed: new Map(changed) }
}

t.test('what links tell of a release is what it holds, wherever they lead', async (t) => {
  const moves = fc.array(fc.nat(7), { minLength: 2, maxLength: 40 })
  fc.assert(
    fc.property(fc.array(snapshot, { minLength: 8, maxLength: 8 }), moves, (releases, path) => {
      let pointers = toPointers(rowOf({}), null)
      const held = (index: number) => releases[index] ?? new Map()
      // The alias goes to and fro over few releases, so that links run in circles.
      for (const [step, to] of path.entries()) {
        const from = path[step - 1]
        if (from === undefined || from === to) continue
        pointers = withLinks(pointers, new Map([[`uid-${to}`, linkOf(`uid-${from}`, held(from), held(to))]]))
      }
      for (const [from, name] of path.flatMap((index) => names.map((name) => [index, name] as const))) {
        const known = { uid: `uid-${from}`, versionId: held(from).get(name) ?? null }
        for (const to of path) {
          const told = linkedVersion(pointers, `uid-${to}`, name, known)
          if (told !== undefined) t.equal(told, held(to).get(name) ?? null)
        }
      }
    }),
    { numRuns: runs(120) },
  )
})

t.test('every release of an alias that only goes forward is told from each of those before it', async (t) => {
  fc.assert(
    fc.property(fc.array(snapshot, { minLength: 2, maxLength: 20 }), (releases) => {
      let pointers = toPointers(rowOf({}), null)
      for (const [index, after] of releases.entries()) {
        const before = releases[index - 1]
        if (before) pointers = withLinks(pointers, new Map([[`uid-${index}`, linkOf(`uid-${index - 1}`, before, after)]]))
      }
      const last = releases.length - 1
      for (const [from, before] of releases.entries()) {
        for (const name of names) {
          const known = { uid: `uid-${from}`, versionId: before.get(name) ?? null }
          t.equal(linkedVersion(pointers, `uid-${last}`, name, known), releases[last]?.get(name) ?? null)
        }
      }
    }),
    { numRuns: runs(80) },
  )
})

t.test('links that run in a circle past a release end in nothing', async (t) => {
  const none = new Map<string, string | null>()
  const links = new Map([
    ['uid-1', { from: 'uid-2', changed: none }],
    ['uid-2', { from: 'uid-1', changed: none }],
  ])
  t.equal(linkedVersion({ links }, 'uid-1', 'a', { uid: 'uid-9', versionId: 'v1' }), undefined)
})

t.test('links are bounded in number and in what they hold, and the newest stay', async (t) => {
  const changes = (count: number) => new Map(Array.from({ length: count }, (_, index) => [`name-${index}`, 'v1']))
  let pointers = toPointers(rowOf({}), null)
  for (let to = 1; to <= 100; to += 1) {
    pointers = withLinks(pointers, new Map([[`uid-${to}`, { from: `uid-${to - 1}`, changed: changes(1) }]]))
  }
  t.equal(pointers.links.size, 32)
  t.ok(pointers.links.has('uid-100'))
  for (let to = 101; to <= 105; to += 1) {
    pointers = withLinks(pointers, new Map([[`uid-${to}`, { from: `uid-${to - 1}`, changed: changes(9_000) }]]))
  }
  t.strictSame([...pointers.links.keys()], ['uid-104', 'uid-105'])
})

t.test('links are asked for where an alias moved and where a canary runs, unless there are some', async (t) => {
  const before = toPointers(
    rowOf({ aliases: [aliasRow('dev', { release: releaseOf(1) }), aliasRow('production', { release: releaseOf(1) })] }),
    null,
  )
  const canary = { canaryRelease: releaseOf(3), basisPoints: 100, salt: 's' }
  const changed = [aliasRow('dev', { release: releaseOf(2) }), aliasRow('staging', { release: releaseOf(1), ...canary })]
  const after = toPointers(rowOf({ kind: 'changes', epoch: '2', aliases: changed }), before)
  const told = (pointers: Pointers) => unlinked(before, pointers).map(({ from, to }) => [from.uid, to.uid])
  t.strictSame(told(after), [
    ['uid-1', 'uid-2'],
    ['uid-1', 'uid-3'],
  ])
  t.strictSame(told(withLinks(after, new Map([['uid-2', { from: 'uid-1', changed: new Map() }]]))), [['uid-1', 'uid-3']])
})
