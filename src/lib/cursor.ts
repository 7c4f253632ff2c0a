import { AppError } from '../errors.js'
import { unstorableReason } from './text.js'

/** Where a list goes on: the sort key of the last item sent, so that insertions do not shift pages. */
export type Position = readonly (string | number)[]

/** What a part of a position may hold; `id` is a bigint in digits. */
export type Kind = 'text' | 'number' | 'id' | 'uuid' | 'date'

const fits: Record<Kind, (part: unknown) => boolean> = {
  text: (part) => typeof part === 'string' && unstorableReason(part) === null,
  number: (part) => typeof part === 'number' && Number.isInteger(part) && part >= 0 && part < 2 ** 31,
  id: (part) => typeof part === 'string' && /^\d{1,18}$/.test(part),
  uuid: (part) => typeof part === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(part),
  date: (part) =>
    typeof part === 'string' &&
    /^[1-9]\d{3}-/.test(part) &&
    !Number.isNaN(Date.parse(part)) &&
    new Date(part).toISOString() === part,
}

/** A list that is read page by page; its cursors are its own. */
export type PagedList<Parts extends Position> = {
  /** The position a cursor names; null for the beginning. Throws `cursor.invalid`. */
  position(cursor: string | undefined): Parts | null
  cursor(position: Parts): string
  /** Cuts one item more than the page into a page and the cursor of the next one. */
  page<Row, Item>(
    rows: Row[],
    limit: number,
    position: (row: Row) => Parts,
    toItem: (row: Row) => Item,
  ): { items: Item[]; nextCursor: string | null }
}

/** Describes a list by its name and the kinds of its sort key. */
export function pagedList<Parts extends Position>(name: string, kinds: readonly Kind[]): PagedList<Parts> {
  const cursor = (position: Parts) => Buffer.from(JSON.stringify([name, ...position])).toString('base64url')
  return {
    cursor,
    position(given) {
      if (given === undefined) return null
      const parsed = parseCursor(given)
      const [list, ...parts] = Array.isArray(parsed) ? parsed : []
      if (list === name && parts.length === kinds.length && kinds.every((kind, index) => fits[kind](parts[index])))
        return parts as unknown as Parts
      throw new AppError('cursor.invalid', 'The cursor is not one that this list gave. Start again without a cursor.', {
        errors: [{ path: 'cursor', message: 'is not a cursor of this list' }],
      })
    },
    page(rows, limit, position, toItem) {
      const items = rows.slice(0, limit)
      const last = items.at(-1)
      return { items: items.map(toItem), nextCursor: rows.length > limit && last !== undefined ? cursor(position(last)) : null }
    },
  }
}

function parseCursor(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'))
  } catch (error) {
    // Not JSON: the same to the caller as JSON of another shape.
    if (error instanceof SyntaxError) return null
    throw error
  }
}
