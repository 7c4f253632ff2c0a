import type { Db } from '../database/connect.js'
import { type Table, tables } from '../database/tables.js'
import type { Deps } from '../deps.js'
import { packageVersion } from '../lib/package-version.js'
import { requireCurrent } from './schema.js'

/** The first line of an export. */
export type ExportHeader = {
  promptsync: 'export'
  format: 1
  /** The program that wrote it. */
  version: string
  /** The schema of the rows: the last migration the database had had. */
  migration: string
  /** Whether keys go on working after an import. */
  keyHashes: boolean
}

/** The last line: without it the export was cut off. */
export type ExportEnd = { end: true; rows: Record<string, number> }

/** Rows are fetched so many at a time that they take about this much. */
const fetchCharacters = 4 * 1024 ** 2
const maxFetchRows = 500
/** An export reads everything in one transaction, which may take as long as this. */
export const bulkTimeoutMs = 6 * 60 * 60 * 1_000

/**
 * Writes all that the database holds as of one moment, as NDJSON: a header, `{"table":…,"row":…}` for every row, parents
 * first, and a last line that counts them. Answers the number of rows by table. Throws `AdminError`.
 */
export async function exportDatabase(
  { connection, db }: Pick<Deps, 'connection' | 'db'>,
  { keyHashes }: { keyHashes: boolean },
  write: (text: string) => Promise<void>,
): Promise<Record<string, number>> {
  const migration = await requireCurrent(connection)
  const header: ExportHeader = { promptsync: 'export', format: 1, version: packageVersion, migration, keyHashes }
  const counts: Record<string, number> = {}
  await write(`${JSON.stringify(header)}\n`)
  await db.$transaction(
    async (tx) => {
      for (const table of tables) counts[table.name] = await exportTable(tx, table, keyHashes, write)
    },
    { isolationLevel: 'RepeatableRead', timeout: bulkTimeoutMs, maxWait: 60_000 },
  )
  const end: ExportEnd = { end: true, rows: counts }
  await write(`${JSON.stringify(end)}\n`)
  return counts
}

async function exportTable(
  tx: Db,
  { name, omitted }: Table,
  keyHashes: boolean,
  write: (text: string) => Promise<void>,
): Promise<number> {
  const { columns: left = [], shown = {} } = keyHashes ? {} : (omitted ?? {})
  const columns = (await columnsOf(tx, name)).filter((column) => !left.includes(column))
  const list = columns.map((column) => `${shown[column as keyof typeof shown] ?? `"${column}"`} AS "${column}"`).join(', ')
  const cursor = `export_${name}`
  await tx.$executeRawUnsafe(
    `DECLARE ${cursor} NO SCROLL CURSOR FOR SELECT row_to_json(t)::text AS row FROM (SELECT ${list} FROM "${name}" ORDER BY ${await keyOf(tx, name)}) t`,
  )
  let count = 0
  let characters = 0
  for (;;) {
    // The first rows tell how long rows are.
    const fitting = count === 0 ? 4 : Math.floor((fetchCharacters * count) / characters)
    const rows = await tx.$queryRawUnsafe<{ row: string }[]>(
      `FETCH ${Math.min(Math.max(fitting, 1), maxFetchRows)} FROM ${cursor}`,
    )
    if (rows.length === 0) break
    count += rows.length
    characters += rows.reduce((sum, { row }) => sum + row.length, 0)
    // Line ends in a JSON value stand between its tokens: those within texts are escaped.
    await write(rows.map(({ row }) => `{"table":"${name}","row":${row.replace(/[\r\n]+/g, ' ')}}\n`).join(''))
  }
  await tx.$executeRawUnsafe(`CLOSE ${cursor}`)
  return count
}

/** The columns of a table in their order. */
export async function columnsOf(db: Db, table: string): Promise<string[]> {
  const rows = await db.$queryRaw<{ name: string }[]>`
    SELECT column_name::text AS name FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = ${table} ORDER BY ordinal_position`
  return rows.map(({ name }) => name)
}

async function keyOf(db: Db, table: string): Promise<string> {
  const rows = await db.$queryRaw<{ name: string }[]>`
    SELECT a.attname::text AS name FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
    WHERE i.indrelid = ${table}::text::regclass AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)`
  return rows.map(({ name }) => `"${name}"`).join(', ')
}
