import t from 'tap'
import { sqlState } from '../../src/database/failures.js'
import { tables } from '../../src/database/tables.js'
import { startService } from '../helpers/service.js'

/** Tables whose rows are written once. */
const immutable = [
  'versions',
  'version_includes',
  'releases',
  'release_entries',
  'release_commits',
  'alias_moves',
  'audit_entries',
]

/** Counters that number what is immutable, and the rows that carry them. */
const counters = [
  { table: 'projects', column: 'release_number', row: "slug = 'acme'", expected: 3 },
  { table: 'prompts', column: 'version_number', row: "name = 'hello'", expected: 2 },
  { table: 'aliases', column: 'revision', row: "name = 'production'", expected: 3 },
  { table: 'kept_numbers', column: 'number', row: "prompt = 'x'", expected: 1 },
]

const service = await startService(t)
const { db } = service.deps
const commit = (digit: string) => digit.repeat(40)
const inAcme = { project: 'acme' }

await service.call('/projects', { body: { slug: 'acme' } })
for (const [index, content] of ['one', 'two', 'three'].entries()) {
  const prompts = [
    { name: 'hello', content: index < 2 ? content : 'two' },
    {
      ...{
        name: 'bye',
        messages: [{ role: 'system', content: `${content}{% include "hello" %}` }],
        config: { n: index },
        inputs: { type: 'object' },
      },
      variants: [{ tags: { locale: 'de' }, messages: [{ role: 'system', content: `${content} auf Deutsch` }] }],
    },
  ]
  const git = { repo: 'https://github.com/acme/app', commit: commit(String(index)), branch: 'main', dirty: false }
  await service.push({ version: `v1.${index}`, alias: 'production', message: content, git, prompts }, inAcme)
}
await service.call('/aliases/production', { ...inAcme, method: 'PUT', body: { version: 'v1.0', prompt: 'hello', reason: 'pin' } })

// A deleted project leaves its numbers behind.
await service.call('/projects', { body: { slug: 'gone' } })
await service.push({ prompts: [{ name: 'x', content: 'x' }] }, { project: 'gone' })
await service.call('/projects/gone', { method: 'DELETE' })

/** All rows of the tables this is about, as text. Keys are not: their last use is noted now and then. */
async function readAll(): Promise<Record<string, string>> {
  const contents: Record<string, string> = {}
  for (const name of [...immutable, ...counters.map(({ table }) => table)]) {
    const [row] = await db.$queryRawUnsafe<{ rows: string }[]>(
      `SELECT coalesce(string_agg(r::text, E'\\n' ORDER BY r::text), '') AS rows FROM "${name}" r`,
    )
    contents[name] = row?.rows ?? ''
  }
  return contents
}

async function columnsOf(table: string): Promise<string[]> {
  const rows = await db.$queryRaw<{ name: string }[]>`
    SELECT column_name::text AS name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = ${table}`
  return rows.map(({ name }) => name)
}

async function numberOf({ table, column, row }: (typeof counters)[number]): Promise<number | undefined> {
  const [found] = await db.$queryRawUnsafe<{ number: number }[]>(
    `SELECT max("${column}")::int AS number FROM "${table}" WHERE ${row}`,
  )
  return found?.number
}

/** The SQLSTATE with which the database refuses a statement, or that it did not. */
async function refusalOf(sql: string): Promise<string> {
  try {
    const changed = await db.$executeRawUnsafe(sql)
    return `changed ${changed} rows`
  } catch (error) {
    return sqlState(error) ?? `failed otherwise: ${error}`
  }
}

/** Integrity constraint violation and its kinds, and a feature that is refused: truncating what others refer to. */
const refused = /^(23\w\w\w|0A000)$/

t.test('there is something to change in every table', async (t) => {
  const contents = await readAll()
  for (const table of [...immutable, ...counters.map(({ table }) => table)]) t.ok(contents[table], table)
  for (const counter of counters) t.equal(await numberOf(counter), counter.expected, `${counter.table}.${counter.column}`)
})

for (const table of immutable) {
  t.test(`the database refuses to change any column of ${table}, even to what it holds`, async (t) => {
    const before = await readAll()
    for (const column of await columnsOf(table)) {
      t.equal(await refusalOf(`UPDATE "${table}" SET "${column}" = "${column}"`), '23000', column)
      t.match(await refusalOf(`UPDATE "${table}" SET "${column}" = NULL`), refused, `${column} to null`)
    }
    t.same(await readAll(), before)
  })

  t.test(`the database refuses to delete rows of ${table}, one or all`, async (t) => {
    const before = await readAll()
    t.equal(await refusalOf(`DELETE FROM "${table}"`), '23000')
    t.equal(await refusalOf(`DELETE FROM "${table}" WHERE ctid = (SELECT max(ctid) FROM "${table}")`), '23000')
    t.match(await refusalOf(`WITH gone AS (DELETE FROM "${table}" RETURNING 1) SELECT count(*) FROM gone`), refused)
    t.match(await refusalOf(`MERGE INTO "${table}" m USING "${table}" s ON m.ctid = s.ctid WHEN MATCHED THEN DELETE`), refused)
    t.same(await readAll(), before)
  })

  t.test(`the database refuses to truncate ${table}`, async (t) => {
    const before = await readAll()
    for (const statement of [`TRUNCATE "${table}"`, `TRUNCATE ONLY "${table}"`, `TRUNCATE "${table}" RESTART IDENTITY`]) {
      t.match(await refusalOf(statement), refused, statement)
    }
    t.equal(await refusalOf(`TRUNCATE "${table}" CASCADE`), '23000')
    t.same(await readAll(), before)
  })
}

t.test('an insert that meets an existing row cannot turn into an update', async (t) => {
  const before = await readAll()
  const upserts = [
    'INSERT INTO release_entries SELECT * FROM release_entries ON CONFLICT (release_id, prompt_id) DO UPDATE SET version_id = NULL',
    "INSERT INTO versions SELECT * FROM versions ON CONFLICT (id) DO UPDATE SET content = 'changed'",
    'INSERT INTO alias_moves SELECT * FROM alias_moves ON CONFLICT (id) DO UPDATE SET revision = 0',
  ]
  for (const statement of upserts) t.equal(await refusalOf(statement), '23000', statement)
  t.same(await readAll(), before)
})

t.test('what immutable rows belong to cannot take them along', async (t) => {
  const before = await readAll()
  for (const table of ['projects', 'prompts', 'releases', 'versions', 'aliases']) {
    t.match(await refusalOf(`DELETE FROM "${table}"`), refused, `DELETE FROM ${table}`)
    t.match(await refusalOf(`TRUNCATE "${table}"`), refused, `TRUNCATE ${table}`)
    t.equal(await refusalOf(`TRUNCATE "${table}" CASCADE`), '23000', `TRUNCATE ${table} CASCADE`)
  }
  const all = tables.map(({ name }) => `"${name}"`).join(', ')
  t.equal(await refusalOf(`TRUNCATE ${all}`), '23000', 'all at once')
  t.same(await readAll(), before)
})

t.test('rows that carry numbers cannot go, whether anything refers to them or not', async (t) => {
  const before = await readAll()
  await service.call('/projects', { body: { slug: 'empty' } })
  t.equal(await refusalOf("DELETE FROM projects WHERE slug = 'empty'"), '23000')
  t.equal(await refusalOf("DELETE FROM projects WHERE slug = 'gone'"), '23000')
  t.equal(await refusalOf('DELETE FROM kept_numbers'), '23000')
  t.equal(await refusalOf("UPDATE projects SET epoch = epoch - 1 WHERE slug = 'acme'"), '23000')
  const after = await readAll()
  for (const table of ['prompts', 'aliases', 'kept_numbers']) t.equal(after[table], before[table])
})

t.test('no row changes hands or names, which would lead around the rules', async (t) => {
  const before = await readAll()
  const moves = [
    "UPDATE prompts SET project_id = (SELECT id FROM projects WHERE slug = 'gone')",
    "UPDATE prompts SET name = name || '2'",
    "UPDATE aliases SET project_id = (SELECT id FROM projects WHERE slug = 'gone')",
    "UPDATE aliases SET name = name || '2'",
    "UPDATE projects SET slug = slug || '2'",
    "UPDATE kept_numbers SET prompt = prompt || '2'",
  ]
  for (const move of moves) t.equal(await refusalOf(move), '23000', move)
  t.same(await readAll(), before)
})

t.test('a version changes in one way only: everything of its content goes, and nothing else changes', async (t) => {
  const before = await readAll()
  const parts = ['content = NULL', 'messages = NULL', "config = '{}'", 'inputs = NULL', "variants = '[]'", 'content_hash = NULL']
  const all = [...parts, 'purged_at = now()']
  const erase = all.join(', ')
  for (const kept of all) {
    const rest = all.filter((part) => part !== kept).join(', ')
    const type = kept === 'content = NULL' ? 'text' : 'chat'
    t.equal(await refusalOf(`UPDATE versions SET ${rest} WHERE type = '${type}'`), '23000', `all but ${kept}`)
  }
  for (const more of [
    'number = number + 9',
    "label = 'other'",
    "type = 'text'",
    "path = 'p'",
    'created_at = now()',
    'id = gen_random_uuid()',
  ]) {
    t.equal(await refusalOf(`UPDATE versions SET ${erase}, ${more} WHERE type = 'chat'`), '23000', more)
  }
  const undone = db.$transaction(async (tx) => {
    await tx.$executeRawUnsafe(`UPDATE versions SET ${erase}`)
    await tx.$executeRawUnsafe("UPDATE versions SET content = 'back', purged_at = NULL")
  })
  await t.rejects(undone, 'and it never comes back')
  t.same(await readAll(), before)
})

t.test('the ids that immutable rows refer to cannot change under them', async (t) => {
  const before = await readAll()
  for (const table of ['projects', 'prompts', 'aliases']) {
    t.match(await refusalOf(`UPDATE "${table}" SET id = id + 1000000`), refused, table)
  }
  t.same(await readAll(), before)
})

t.test('a change that is refused takes the rest of its transaction with it', async (t) => {
  const before = await readAll()
  const work = db.$transaction(async (tx) => {
    await tx.prompt.updateMany({ data: { title: 'changed' } })
    await tx.$executeRawUnsafe("UPDATE versions SET content = 'changed'")
  })
  await t.rejects(work)
  t.same(await readAll(), before)
})

for (const counter of counters) {
  const { table, column, row, expected } = counter
  t.test(`${table}.${column} never goes back`, async (t) => {
    const before = await readAll()
    for (const value of ['0', '-1', String(expected - 1), `"${column}" - 1`, 'NULL', 'DEFAULT']) {
      t.match(await refusalOf(`UPDATE "${table}" SET "${column}" = ${value} WHERE ${row}`), /^23/, value)
    }
    t.equal(await refusalOf(`UPDATE "${table}" SET "${column}" = 0`), '23000', 'all rows')
    t.match(await refusalOf(`DELETE FROM "${table}" WHERE ${row}`), /^23/, 'nor does its row go')
    t.same(await readAll(), before)
  })

  t.test(`${table}.${column} may stay and rise`, async (t) => {
    const rolledBack = db.$transaction(async (tx) => {
      await tx.$executeRawUnsafe(`UPDATE "${table}" SET "${column}" = "${column}" WHERE ${row}`)
      await tx.$executeRawUnsafe(`UPDATE "${table}" SET "${column}" = "${column}" + 7 WHERE ${row}`)
      throw new Error('enough')
    })
    await t.rejects(rolledBack, { message: 'enough' })
    t.equal(await numberOf(counter), expected)
  })
}

t.test('the service goes on numbering where it was', async (t) => {
  const pushed = await service.push({ prompts: [{ name: 'hello', content: 'four' }] }, inAcme)
  t.equal(pushed.release.number, 4)
  t.equal(pushed.results[0].number, 3)
})

t.test('a committed release takes no further entries', async (t) => {
  const before = await readAll()
  const refusal = await refusalOf(`
    INSERT INTO release_entries (release_id, prompt_id, version_id)
    SELECT r.id, p.id, NULL FROM releases r, prompts p
    WHERE NOT EXISTS (SELECT 1 FROM release_entries e WHERE e.release_id = r.id AND e.prompt_id = p.id) LIMIT 1`)
  t.equal(refusal, '23000')
  t.same(await readAll(), before)
})

t.test('a committed version includes nothing more', async (t) => {
  const before = await readAll()
  const refusal = await refusalOf(`
    INSERT INTO version_includes (version_id, reference, target_id) SELECT v.id, 'later', v.id FROM versions v LIMIT 1`)
  t.equal(refusal, '23000')
  t.same(await readAll(), before)
})
