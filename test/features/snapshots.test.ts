import { randomUUID } from 'node:crypto'
import t from 'tap'
import type { Connection, Db } from '../../src/database/connect.js'
import { findProject } from '../../src/features/projects/projects.service.js'
import { insertRelease, type ReleaseRow } from '../../src/features/releases/releases.service.js'
import {
  checkpointEvery,
  countSnapshot,
  findInRelease,
  lineageOn,
  type Origin,
  readSnapshot,
  type SnapshotChange,
  writeEntries,
} from '../../src/features/releases/snapshots.service.js'
import { Prisma } from '../../src/generated/prisma/client.js'
import type { Project } from '../../src/lib/access.js'
import { isPostgres, openDatabase } from '../helpers/service.js'

/** What a release must hold: prompt to version. */
type Snapshot = ReadonlyMap<bigint, string>

type Modelled = { row: ReleaseRow; snapshot: Snapshot }

type Prompt = { id: bigint; name: string; versionIds: string[] }

const releaseCount = 1_000
const promptCount = 12
const versionsEach = 4
const releasesEachTransaction = 100

/** The same numbers in every run (Numerical Recipes' generator), so that a failure can be seen again. */
function createRandom(seed: number) {
  let state = seed
  const below = (limit: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
  return { below, pick: <T>(items: readonly T[]): T => items[below(items.length)] as T }
}

type Random = ReturnType<typeof createRandom>

async function createProject(db: Db, slug: string): Promise<Project> {
  await db.project.create({ data: { slug } })
  return (await findProject({ db: db as Connection['client'] }, { slug })) as Project
}

const newRelease = (base: ReleaseRow | null) => ({ base, label: null, message: null, git: null, actor: 'test' })

/** The first release of a project, with all versions that later ones choose from. */
async function createPool(db: Db, project: Project): Promise<{ first: Modelled; prompts: Prompt[] }> {
  const rows = await db.prompt.createManyAndReturn({
    data: Array.from({ length: promptCount }, (_, index) => ({ projectId: project.id, name: `prompt-${index}` })),
  })
  const row = await insertRelease(db, project, newRelease(null))
  const prompts = rows.map(({ id, name }) => ({ id, name, versionIds: Array.from({ length: versionsEach }, () => randomUUID()) }))
  await db.version.createMany({
    data: prompts.flatMap(({ id, name, versionIds }) =>
      versionIds.map((versionId, index) => ({
        ...{ id: versionId, promptId: id, number: index + 1, label: index === 0 ? `v1.${name}` : null, releaseId: row.id },
        ...{ type: 'text', template: 'jinja', content: versionId, config: {}, variants: [], contentHash: `sha256:${versionId}` },
      })),
    ),
  })
  const snapshot = new Map(prompts.slice(0, 6).map(({ id, versionIds }) => [id, versionIds[0] as string]))
  await writeEntries(db, row.id, null, toChanges(snapshot))
  return { first: { row, snapshot }, prompts }
}

/** About half of the versions are brought by a source. */
function originOf(versionId: string): Origin | null {
  return versionId < '8' ? { sourceId: 7n, path: versionId } : null
}

function toChanges(snapshot: Snapshot): SnapshotChange[] {
  return [...snapshot].map(([promptId, versionId]) => ({ promptId, versionId, origin: originOf(versionId) }))
}

/** Mostly the newest, sometimes a recent or any earlier one: long lines and many branches. */
function pickBase(random: Random, releases: Modelled[]): Modelled {
  const draw = random.below(100)
  if (draw < 88) return releases.at(-1) as Modelled
  return draw < 94 ? random.pick(releases.slice(-100)) : random.pick(releases)
}

/** A few new or other versions and removals; now and then nothing is left. */
function pickChanges(random: Random, prompts: Prompt[], base: Snapshot): SnapshotChange[] {
  if (random.below(60) === 0) return [...base.keys()].map((promptId) => ({ promptId, versionId: null, origin: null }))
  const changed = new Set(Array.from({ length: random.below(5) }, () => random.pick(prompts)))
  return [...changed].flatMap(({ id, versionIds }) => {
    const isRemoval = random.below(4) === 0
    if (isRemoval && !base.has(id)) return []
    const versionId = isRemoval ? null : random.pick(versionIds)
    return [{ promptId: id, versionId, origin: versionId === null ? null : originOf(versionId) }]
  })
}

function applyChanges(base: Snapshot, changes: SnapshotChange[]): Snapshot {
  const next = new Map(base)
  for (const { promptId, versionId } of changes) {
    if (versionId === null) next.delete(promptId)
    else next.set(promptId, versionId)
  }
  return next
}

async function addReleases(db: Db, project: Project, random: Random, prompts: Prompt[], releases: Modelled[]): Promise<void> {
  for (let made = 0; made < releasesEachTransaction && releases.length < releaseCount; made += 1) {
    const base = pickBase(random, releases)
    const changes = pickChanges(random, prompts, base.snapshot)
    const row = await insertRelease(db, project, newRelease(base.row))
    await writeEntries(db, row.id, base.row, changes)
    releases.push({ row, snapshot: applyChanges(base.snapshot, changes) })
  }
}

async function inParallel<T>(items: T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let start = 0; start < items.length; start += 50) await Promise.all(items.slice(start, start + 50).map(work))
}

const connection = await openDatabase(t)
const db = connection.client
const random = createRandom(20_261_120)
const project = await createProject(db, 'modelled')
const { first, prompts } = await connection.client.$transaction((tx) => createPool(tx, project))
const releases: Modelled[] = [first]
while (releases.length < releaseCount) {
  await connection.client.$transaction((tx) => addReleases(tx, project, random, prompts, releases))
}

t.test('the model has long lines, branches, checkpoints, removals and empty releases', async (t) => {
  const bases = releases.map(({ row }) => row.baseId)
  t.equal(new Set(releases.map(({ row }) => row.number)).size, releaseCount, 'numbers are all different')
  t.equal(releases.at(-1)?.row.number, releaseCount, 'and without gaps')
  t.ok(bases.length - new Set(bases).size > 50, 'branches')
  t.ok(releases.filter(({ row }) => row.lineage.length === checkpointEvery).length > 5, 'full lines')
  t.ok(releases.filter(({ row }) => row.lineage.length === 1).length > 5, 'checkpoints')
  t.ok(releases.filter(({ snapshot }) => snapshot.size === 0).length > 5, 'empty releases')
})

t.test('a look-up finds what a full copy of the release would hold', async (t) => {
  const wrong: string[] = []
  const pairs = Array.from({ length: isPostgres ? 2_000 : 600 }, () => ({
    release: random.pick(releases),
    prompt: random.pick(prompts),
  }))
  await inParallel(pairs, async ({ release: { row, snapshot }, prompt }) => {
    const found = await findInRelease(db, row.lineage, prompt.id)
    if (found !== (snapshot.get(prompt.id) ?? null)) wrong.push(`${prompt.name} in r${row.number}: ${found}`)
  })
  t.same(wrong, [])
  t.ok(
    pairs.filter(({ release, prompt }) => !release.snapshot.has(prompt.id)).length > pairs.length / 10,
    'absent ones were among them',
  )
})

t.test('a prompt that the project never had is in no release', async (t) => {
  for (const { row } of releases.slice(0, 50)) {
    t.equal(await findInRelease(db, row.lineage, 0n), null)
    t.equal(await findInRelease(db, row.lineage, 9_000_000_000_000_000n), null)
  }
  t.equal(await findInRelease(db, [], prompts[0]?.id ?? 0n), null)
})

t.test('a snapshot is read whole, by name, with each version’s number, label and hash', async (t) => {
  const sample = [...releases.filter((_, index) => index % 11 === 0), releases.at(-1) as Modelled]
  t.ok(sample.length >= 90)
  for (const { row, snapshot } of sample) {
    const expected = prompts
      .flatMap(({ id, name, versionIds }) => {
        const versionId = snapshot.get(id)
        if (versionId === undefined) return []
        const number = versionIds.indexOf(versionId) + 1
        const label = number === 1 ? `v1.${name}` : null
        return [{ promptId: id, name, versionId, number, label, contentHash: `sha256:${versionId}`, origin: originOf(versionId) }]
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1))
    t.same(await readSnapshot(db, row.lineage), expected, `r${row.number}`)
    t.equal(await countSnapshot(db, row.lineage), snapshot.size, `r${row.number} counts`)
  }
})

t.test('pages of a snapshot join to the whole', async (t) => {
  const { row } = releases.reduce((a, b) => (b.snapshot.size > a.snapshot.size ? b : a))
  const whole = await readSnapshot(db, row.lineage)
  t.ok(whole.length >= 8)
  const pages: typeof whole = []
  for (let after: string | undefined; pages.length < whole.length; after = pages.at(-1)?.name) {
    const page = await readSnapshot(db, row.lineage, { limit: 3, ...(after === undefined ? {} : { after }) })
    t.ok(page.length >= 1 && page.length <= 3)
    pages.push(...page)
  }
  t.same(pages, whole)
  t.same(await readSnapshot(db, row.lineage, { after: whole.at(-1)?.name ?? '', limit: 3 }), [])
})

t.test('a lineage leads from a checkpoint along the bases to the release, over 64 at most', async (t) => {
  const rows = new Map(releases.map(({ row }) => [row.id, row]))
  const wrong = releases.filter(({ row }) => {
    const { lineage, id } = row
    const isChain = lineage.every((step, index) => index === 0 || rows.get(step)?.baseId === lineage[index - 1])
    const rises = lineage.every((step, index) => index === 0 || step > (lineage[index - 1] as bigint))
    return lineage.length > 64 || lineage.at(-1) !== id || !isChain || !rises
  })
  t.same(
    wrong.map(({ row }) => row.number),
    [],
  )
  const stored = await db.release.findMany({ where: { projectId: project.id }, select: { id: true, lineage: true } })
  t.same(new Map(stored.map(({ id, lineage }) => [id, lineage])), new Map(releases.map(({ row }) => [row.id, row.lineage])))
})

t.test('a checkpoint holds the whole snapshot, and every other release its changes alone', async (t) => {
  const entries = await db.releaseEntry.findMany({ where: { release: { projectId: project.id } } })
  const stored = new Map<bigint, Map<bigint, string | null>>()
  for (const { releaseId, promptId, versionId } of entries) {
    const held = stored.get(releaseId) ?? new Map<bigint, string | null>()
    stored.set(releaseId, held.set(promptId, versionId))
  }
  const checkpoints = releases.filter(({ row }) => row.lineage.length === 1)
  for (const { row, snapshot } of checkpoints) t.same(stored.get(row.id) ?? new Map(), snapshot, `r${row.number}`)
  const others = releases.filter(({ row }) => row.lineage.length > 1)
  t.ok(others.every(({ row }) => (stored.get(row.id)?.size ?? 0) <= promptCount))
  const average = others.reduce((sum, { row }) => sum + (stored.get(row.id)?.size ?? 0), 0) / others.length
  t.ok(average < 3, `${average} entries a release`)
})

t.test('the 65th release of a line is a checkpoint, whose line begins anew', async (t) => {
  const line = (length: number) => ({ id: BigInt(length), lineage: Array.from({ length }, (_, index) => BigInt(index + 1)) })
  t.same(lineageOn(null, 7n), { lineage: [7n], isCheckpoint: false })
  t.same(lineageOn(line(1), 9n), { lineage: [1n, 9n], isCheckpoint: false })
  t.equal(lineageOn(line(63), 99n).lineage.length, 64)
  t.same(lineageOn(line(64), 99n), { lineage: [99n], isCheckpoint: true })
})

t.test('releases of two projects share nothing', async (t) => {
  const other = await createProject(db, 'another')
  const mine = await connection.client.$transaction((tx) => createPool(tx, other))
  t.equal(mine.first.row.number, 1)
  const theirs = releases.at(-1) as Modelled
  for (const prompt of mine.prompts) t.equal(await findInRelease(db, theirs.row.lineage, prompt.id), null)
  for (const prompt of prompts) t.equal(await findInRelease(db, mine.first.row.lineage, prompt.id), null)
  t.equal(await countSnapshot(db, mine.first.row.lineage), mine.first.snapshot.size)
})

if (isPostgres) {
  t.test('a look-up reads the primary key’s index and never the whole table', async (t) => {
    const big = await createProject(db, 'big')
    const { first } = await connection.client.$transaction((tx) => createPool(tx, big))
    await connection.client.$transaction((tx) => fillEntries(tx, big, first.row.id))
    await db.$executeRawUnsafe('ANALYZE release_entries')
    for (const length of [1, 2, 16, 64]) {
      const release = releases.find(({ row }) => row.lineage.length === length) as Modelled
      const plan = await explain((db) => findInRelease(db, release.row.lineage, prompts[3]?.id ?? 0n))
      t.match(plan, /release_entries_pkey[\s\S]*Index Cond: [^\n]*release_id[^\n]*prompt_id/, `a line of ${length}`)
      t.notMatch(plan, 'Seq Scan', `a line of ${length}`)
    }
  })
}

/** Enough entries of another project that reading them all would be the dearest of plans. */
async function fillEntries(tx: Db, project: Project, firstId: bigint): Promise<void> {
  await tx.$executeRaw`
    INSERT INTO prompts (project_id, name) SELECT ${project.id}::bigint, 'filler-' || n FROM generate_series(1, 200) n`
  await tx.$executeRaw`
    INSERT INTO releases (project_id, number, base_id, lineage, actor)
    SELECT ${project.id}::bigint, n + 1, ${firstId}::bigint, ARRAY[]::bigint[], 'test' FROM generate_series(1, 300) n`
  await tx.$executeRaw`
    INSERT INTO release_entries (release_id, prompt_id)
    SELECT r.id, p.id FROM releases r, prompts p
    WHERE r.project_id = ${project.id} AND p.project_id = ${project.id} AND r.id <> ${firstId}`
}

/** How the server would run the statement that `work` sends, as it sends it. */
async function explain(work: (db: Db) => Promise<unknown>): Promise<string> {
  let plan = ''
  const explained = {
    $queryRaw: async ([head = '', ...rest]: string[], ...values: unknown[]) => {
      const lines = await db.$queryRaw<Record<string, string>[]>(Prisma.sql([`EXPLAIN ${head}`, ...rest], ...values))
      plan = lines.flatMap((line) => Object.values(line)).join('\n')
      return []
    },
  }
  await work(explained as unknown as Db)
  return plan
}
