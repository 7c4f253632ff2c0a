import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { makePlan, sideOf } from '../../src/lib/plan.js'
import { nextEra, type Pointers, stamped } from '../../src/lib/pointers.js'
import {
  createReadCache,
  forgetContents,
  forgetSlug,
  type HeldProject,
  heldBySlug,
  keepPlan,
  keepProject,
  planKey,
  type ReadCache,
  recordKey,
} from '../../src/lib/read-cache.js'
import { makeRecord, type VersionRecord } from '../../src/lib/version-record.js'

/** Waits for a condition, and fails where it does not come true soon. */
async function until(isTrue: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 5_000
  while (!isTrue()) {
    if (performance.now() > deadlineMs) throw new Error('What was waited for has not happened.')
    await nextTurn()
  }
}

const megabyte = 1024 ** 2

function pointersOf(id: bigint, purges = 0): Pointers {
  const settings = { publicRead: false, scan: 'warn' as const, defaultAlias: 'production' }
  const era = nextEra()
  return stamped({
    project: { id, slug: `p${id}`, name: null, settings, createdAt: new Date(0), updatedAt: new Date(0) },
    ...{ isDeleted: false, epoch: 1, token: 'token', purges, era, nameEra: era },
    ...{ aliases: new Map(), pins: new Map(), links: new Map() },
  })
}

function recordOf(id: string, characters: number): VersionRecord {
  const facts = { id, version: 'v1', made: 'r1', type: 'text' as const, template: 'jinja' as const, contentHash: 'sha256:0' }
  const bodies = [{ tags: {}, content: 'x'.repeat(characters), messages: null }]
  return makeRecord(
    { ...facts, git: 'null', createdAt: 'null', erased: null },
    { bodies, config: {}, inputs: null, includes: {} },
  )
}

function heldOf(pointers: Pointers): HeldProject {
  const times = { confirmedAtMs: 0, confirmedByMs: 0, usedAtMs: 0, shareAgainAtMs: 0 }
  return { pointers, ...times, outdated: null, refreshing: null, listeners: new Set() }
}

/** What is told of the bytes of all parts together. */
function bytesOf({ entries, projects }: ReadCache): number {
  return (entries.calculatedSize ?? 0) + (projects.calculatedSize ?? 0)
}

t.test('entries and projects together stay within the bytes they may take, whatever comes', async (t) => {
  const cache = createReadCache(megabyte, () => 0)
  for (let index = 0; index < 3_000; index += 1) {
    const pointers = pointersOf(BigInt(index))
    cache.projects.set(`${index}`, heldOf(pointers))
    cache.entries.set(recordKey(pointers, `id-${index}`), recordOf(`id-${index}`, (index * 37) % 5_000))
  }
  t.ok(bytesOf(cache) <= megabyte)
  t.ok(bytesOf(cache) > megabyte / 2, 'and use them')
  t.ok(cache.entries.has(recordKey(pointersOf(2_999n), 'id-2999')), 'the newest is there')
})

t.test('a record that would take all the room is not kept, and puts nothing else out', async (t) => {
  const cache = createReadCache(megabyte, () => 0)
  const pointers = pointersOf(1n)
  cache.entries.set(recordKey(pointers, 'small'), recordOf('small', 100))
  cache.entries.set(recordKey(pointers, 'huge'), recordOf('huge', 2 * megabyte))
  t.ok(cache.entries.has(recordKey(pointers, 'small')))
  t.notOk(cache.entries.has(recordKey(pointers, 'huge')))
})

t.test('a plan that has grown takes the room of its size', async (t) => {
  const cache = createReadCache(megabyte, () => 0)
  const pointers = pointersOf(1n)
  const key = planKey('1', 'a', 'dev')
  const plan = makePlan({
    name: 'a',
    ref: 'dev',
    by: 'alias',
    stamp: pointers.stamp,
    stable: sideOf(null, recordOf('id', 10)),
    canary: null,
  })
  keepPlan(cache, key, plan)
  const before = cache.entries.calculatedSize ?? 0
  plan.sizeBytes += 10_000
  keepPlan(cache, key, plan)
  t.equal(cache.entries.calculatedSize, before + 10_000)
  t.equal(cache.entries.size, 1)
})

t.test('misses are so many and last so long', async (t) => {
  let nowMs = 1_000
  const cache = createReadCache(megabyte, () => nowMs)
  const miss = { error: new Error('none') as never, era: 1, epoch: 1 }
  for (let index = 0; index < 10_000; index += 1) cache.misses.set(`name-${index}`, miss)
  t.ok(cache.misses.size <= 100)
  t.ok(cache.misses.has('name-9999'))
  nowMs += 1_001
  // The cache looks at the clock once a turn or so.
  await until(() => !cache.misses.has('name-9999'))
})

t.test('a purge leads to other keys, and projects, names and refs are never taken for each other', async (t) => {
  t.not(recordKey(pointersOf(1n, 0), 'id'), recordKey(pointersOf(1n, 1), 'id'))
  t.not(recordKey(pointersOf(1n, 11), 'id'), recordKey(pointersOf(11n, 1), 'id'))
  t.not(planKey('1', 'a', 'b'), planKey('1', 'b', 'a'))
  t.not(planKey('1', '1', 'a'), planKey('11', 'a', ''))
})

t.test('all contents and misses of a project are forgotten, and none of another one whose number begins alike', async (t) => {
  const cache = createReadCache(megabyte, () => 0)
  const miss = { error: new Error('none') as never, era: 1, epoch: 1 }
  for (const id of [1n, 11n]) {
    const pointers = pointersOf(id)
    const plan = makePlan({
      name: 'a',
      ref: 'dev',
      by: 'alias',
      stamp: pointers.stamp,
      stable: sideOf(null, recordOf('id', 10)),
      canary: null,
    })
    keepPlan(cache, planKey(`${id}`, 'a', 'dev'), plan)
    cache.entries.set(recordKey(pointers, 'id'), recordOf('id', 10))
    cache.misses.set(planKey(`${id}`, 'b', 'dev'), miss)
  }
  forgetContents(cache, '1')
  t.strictSame([cache.entries.size, cache.misses.size], [2, 1])
  t.ok([...cache.entries.keys(), ...cache.misses.keys()].every((key) => key.startsWith('11\n')))
})

t.test('every project that is held is found by its slug, and no other slug is kept', async (t) => {
  const cache = createReadCache(400 * megabyte, () => 0)
  const count = 40_000
  for (let index = 0; index < count; index += 1) keepProject(cache, heldOf(pointersOf(BigInt(index))))
  t.ok(cache.projects.size > 20_000 && cache.projects.size < count)
  t.ok([...cache.projects.values()].every((held) => heldBySlug(cache, held.pointers.project.slug) === held))
  t.equal(cache.slugs.size, cache.projects.size)
  cache.projects.clear()
  t.equal(cache.slugs.size, 0)
})

t.test('a slug that two projects change between them leads to the one that has it', async (t) => {
  const cache = createReadCache(megabyte, () => 0)
  const [first, second] = [heldOf(pointersOf(1n)), heldOf(pointersOf(2n))]
  for (const held of [first, second]) keepProject(cache, held)
  const rename = (held: HeldProject, slug: string) => {
    const { project } = held.pointers
    held.pointers = stamped({ ...held.pointers, project: { ...project, slug } })
    forgetSlug(cache, project)
    keepProject(cache, held)
  }
  rename(first, 'p2')
  t.equal(heldBySlug(cache, 'p2'), first)
  t.equal(heldBySlug(cache, 'p1'), undefined)
  rename(second, 'p1')
  t.strictSame([heldBySlug(cache, 'p1'), heldBySlug(cache, 'p2')], [second, first])
  cache.projects.delete('2')
  t.strictSame([heldBySlug(cache, 'p1'), heldBySlug(cache, 'p2')], [undefined, first])
})

t.test('a project that there is no room for has no slug that leads to it', async (t) => {
  const cache = createReadCache(16_000, () => 0)
  const aliases = new Map(Array.from({ length: 10 }, (_, index) => [`a${index}`, null as never]))
  t.notOk(keepProject(cache, heldOf({ ...pointersOf(1n), aliases })))
  t.equal(cache.slugs.size, 0)
})
