import { AppError } from '../errors.js'
import { unstorableReason } from './text.js'

/** Where a list goes on: the sort key of the last item sent, so that insertions do not shift pages. */
export type Position = readonly (string | number)[]

export function encodeCursor(position: Position): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url')
}

/** Reads a cursor whose parts have these types, in order. Throws `cursor.invalid` for anything else. */
export function decodeCursor(cursor: string | undefined, types: readonly ('string' | 'number')[]): Position | null {
  if (cursor === undefined) return null
  const position = parsePosition(cursor)
  const fits =
    Array.isArray(position) &&
    position.length === types.length &&
    position.every((part, index) => typeof part === types[index] && isUsable(part))
  if (!fits) {
    throw new AppError('cursor.invalid', 'The cursor is not one that this list gave. Start again without a cursor.', {
      errors: [{ path: 'cursor', message: 'is not a cursor of this list' }],
    })
  }
  return position
}

function parsePosition(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'))
  } catch {
    // Not JSON: the same to the caller as JSON of another shape.
    return null
  }
}

function isUsable(part: unknown): boolean {
  return typeof part === 'number' ? Number.isInteger(part) && part >= 0 && part < 2 ** 31 : unstorableReason(part as string) === null
}

/** Cuts one item more than the page into a page and the cursor of the next one. */
export function toPage<Row, Item>(
  rows: Row[],
  limit: number,
  position: (row: Row) => Position,
  toItem: (row: Row) => Item,
): { items: Item[]; nextCursor: string | null } {
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  return { items: page.map(toItem), nextCursor: rows.length > limit && last ? encodeCursor(position(last)) : null }
}

/** A part that should be a database id; one made by hand that is none comes before all of them. */
export function toBigInt(part: string | number | undefined): bigint {
  return /^\d{1,18}$/.test(String(part)) ? BigInt(String(part)) : 0n
}
