import { type Command, InvalidArgumentError } from 'commander'
import type { Call } from '../../client/http.js'
import type { Context } from '../context.js'
import { notPromptsync } from './not-promptsync.js'

/** What every list answers. */
export type Page<Item> = { items: Item[]; nextCursor: string | null }

export type LimitOption = { limit?: number }

/** The most that the server answers at once. */
const pageSize = 200

const defaultLimit = 1_000
const maxLimit = 1_000_000

/** Adds `--limit` to a command that lists. */
export function addLimitOption(command: Command): Command {
  return command.option('--limit <number>', `list at most so many (default: ${defaultLimit})`, toLimit)
}

function toLimit(value: string): number {
  const limit = /^\d{1,7}$/.test(value) ? Number(value) : 0
  if (limit >= 1 && limit <= maxLimit) return limit
  throw new InvalidArgumentError(`It takes a whole number from 1 to ${maxLimit}.`)
}

type Asked = Pick<Call, 'path' | 'query'> & LimitOption
type Ask = <Body>(call: Call) => Promise<{ body: Body }>

/**
 * Reads a list of the project, page after page, up to the limit, and notes where there is more. Throws `PromptsyncError`.
 */
export function readList<Item>(context: Context, asked: Asked): Promise<Page<Item>> {
  return readPages<Item>(context, context.api, asked)
}

/** The same of a list that concerns no project, or all of them. */
export function readGlobalList<Item>(context: Context, asked: Asked): Promise<Page<Item>> {
  return readPages<Item>(context, context.globalApi, asked)
}

async function readPages<Item>({ output }: Context, ask: Ask, { path, query, limit = defaultLimit }: Asked): Promise<Page<Item>> {
  const items: Item[] = []
  let cursor: string | null = null
  do {
    const size = Math.min(pageSize, limit - items.length)
    const { body }: { body: Page<Item> } = await ask<Page<Item>>({ path, query: { ...query, limit: size, cursor } })
    if (!Array.isArray(body.items)) throw notPromptsync('list', path)
    items.push(...body.items)
    cursor = body.nextCursor
  } while (cursor !== null && items.length < limit)
  if (cursor !== null) output.note(`These are the first ${items.length}; there are more. See them by --limit.`)
  return { items, nextCursor: cursor }
}

/** A moment for a table: short on a terminal, exact elsewhere. Both are UTC; empty for none. */
export function timeCell({ output }: Pick<Context, 'output'>, moment: string | null): string {
  if (moment === null) return ''
  return output.isTerminal ? moment.slice(0, 16).replace('T', ' ') : moment
}
