import type { Readable } from 'node:stream'
import { z } from 'zod'
import type { Db } from '../database/connect.js'
import { databaseMessage } from '../database/failures.js'
import { appliedMigrations, migrate, readMigrations } from '../database/migrate.js'
import { tables } from '../database/tables.js'
import type { Deps } from '../deps.js'
import { AdminError } from './admin-error.js'
import { bulkTimeoutMs, columnsOf } from './export.js'
import { readLines } from './lines.js'

const Header = z.object({
  promptsync: z.literal('export'),
  format: z.literal(1),
  migration: z.string(),
  keyHashes: z.boolean(),
})
type Header = z.infer<typeof Header>

const End = z.object({ end: z.literal(true), rows: z.record(z.string(), z.number()) })

/** Rows are stored in statements of at most this much. */
const batchRows = 500
const batchCharacters = 4 * 1024 ** 2

/**
 * Reads an export into an empty database, in one transaction, and brings it to this program's schema. Keys come revoked
 * unless the export holds their hashes. Answers the number of rows by table. Throws `AdminError`.
 */
export async function importDatabase(
  { connection, db }: Pick<Deps, 'connection' | 'db'>,
  input: Readable,
): Promise<Record<string, number>> {
  const lines = readLines(input)
  const header = await readHeader(lines)
  await refuseFilled(connection, header)
  await migrate(connection, header.migration)
  const counts = await db.$transaction(
    async (tx) => {
      const stored = await storeRows(tx, header, lines)
      await advanceSequences(tx, Object.keys(stored))
      return stored
    },
    { timeout: bulkTimeoutMs, maxWait: 60_000 },
  )
  await migrate(connection)
  return counts
}

async function readHeader(lines: AsyncIterator<string>): Promise<Header> {
  const { value, done } = await lines.next()
  const parsed = Header.safeParse(done ? null : parseLine(value))
  if (!parsed.success) throw new AdminError('The input is not an export of promptsync: its first line is no header of format 1.')
  const { migrations } = await readMigrations()
  if (migrations.some(({ name }) => name === parsed.data.migration)) return parsed.data
  throw new AdminError(
    `The export has the schema ${parsed.data.migration}, which this version of promptsync does not know. Import with the version that wrote it, or a newer one.`,
  )
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

async function refuseFilled(connection: Deps['connection'], { migration }: Header): Promise<void> {
  const applied = await appliedMigrations(connection)
  if (applied.length === 0) return
  for (const { name } of tables) {
    const [table] = await connection.client.$queryRaw<{ found: boolean }[]>`
      SELECT to_regclass(${name}) IS NOT NULL AS found`
    if (!table?.found) continue
    const rows = await connection.client.$queryRawUnsafe<unknown[]>(`SELECT 1 FROM "${name}" LIMIT 1`)
    if (rows.length > 0) {
      throw new AdminError(
        `The database is not empty: "${name}" has rows. Import into a new one, before its first start: set another PROMPTSYNC_DATA_DIR or DATABASE_URL.`,
      )
    }
  }
  const newer = applied.find(({ name }) => name > migration)
  if (newer) {
    throw new AdminError(
      `The database has the schema ${newer.name} already, and the export the older ${migration}. Import into a database that no program has migrated.`,
    )
  }
}

type Batch = { table: string; rows: string[]; characters: number }

/** Stores every row up to the last line, which must be there and count them right. */
async function storeRows(tx: Db, header: Header, lines: AsyncIterator<string>): Promise<Record<string, number>> {
  const counts: Record<string, number> = Object.fromEntries(tables.map(({ name }) => [name, 0]))
  let batch: Batch = { table: '', rows: [], characters: 0 }
  for (let number = 2; ; number += 1) {
    const { value: line, done } = await lines.next()
    if (done) throw new AdminError('The export is cut off: its last line is missing. Nothing was imported.')
    const [, table, row] = /^\{"table":"(\w+)","row":(\{.*\})\}$/s.exec(line) ?? []
    const isFull = batch.rows.length >= batchRows || batch.characters >= batchCharacters
    if (batch.rows.length > 0 && (table !== batch.table || isFull)) {
      await storeBatch(tx, header, batch, number - 1)
      batch = { table: '', rows: [], characters: 0 }
    }
    if (table === undefined || row === undefined) return checkEnd(line, number, counts)
    if (counts[table] === undefined)
      throw new AdminError(`Line ${number} is of the unknown table "${table}". Nothing was imported.`)
    counts[table] += 1
    batch.table = table
    batch.rows.push(row)
    batch.characters += row.length
  }
}

function checkEnd(line: string, number: number, counts: Record<string, number>): Record<string, number> {
  const end = End.safeParse(parseLine(line))
  if (!end.success) throw new AdminError(`Line ${number} is neither a row nor the end of an export. Nothing was imported.`)
  for (const [table, count] of Object.entries(end.data.rows)) {
    if (counts[table] !== count) {
      throw new AdminError(`The export says ${count} rows of "${table}" and holds ${counts[table] ?? 0}. Nothing was imported.`)
    }
  }
  return counts
}

async function storeBatch(tx: Db, { keyHashes, migration }: Header, { table, rows }: Batch, lastLine: number): Promise<void> {
  const fill = keyHashes ? {} : (tables.find(({ name }) => name === table)?.omitted?.fill ?? {})
  const columns = await columnsOf(tx, table)
  if (columns.length === 0) {
    throw new AdminError(
      `The schema ${migration}, which the export says it has, knows no table "${table}". Nothing was imported.`,
    )
  }
  const values = columns.map((column) => fill[column as keyof typeof fill] ?? `"${column}"`)
  const list = columns.map((column) => `"${column}"`).join(', ')
  try {
    await tx.$executeRawUnsafe(
      `INSERT INTO "${table}" (${list}) SELECT ${values.join(', ')} FROM json_populate_recordset(NULL::"${table}", $1::json)`,
      `[${rows.join(',')}]`,
    )
  } catch (cause) {
    throw new AdminError(
      `Rows of "${table}" up to line ${lastLine} cannot be stored: ${databaseMessage(cause)}. Nothing was imported.`,
      { cause },
    )
  }
}

/** New rows are numbered after those that came. */
async function advanceSequences(tx: Db, names: string[]): Promise<void> {
  for (const name of names) {
    if (!(await columnsOf(tx, name)).includes('id')) continue
    const [serial] = await tx.$queryRaw<{ sequence: string | null }[]>`SELECT pg_get_serial_sequence(${name}, 'id') AS sequence`
    if (!serial?.sequence) continue
    await tx.$queryRawUnsafe(`SELECT setval('${serial.sequence}', max(id))::text FROM "${name}" HAVING max(id) IS NOT NULL`)
  }
}
