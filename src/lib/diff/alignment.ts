import { diffArrays } from 'diff'
import type { Effort } from './effort.js'

/** Where `count` items are the same on both sides, as indexes from 0. */
export type Block = { from: number; to: number; count: number }

/** What lies between two blocks; an end is one past the last item. Not both sides are empty. */
export type Gap = { from: number; fromEnd: number; to: number; toEnd: number }

/** `isCoarse`: it took too much work to find out more than what both begin and end with. */
export type Alignment = { blocks: Block[]; isCoarse: boolean }

/** An alignment takes too many steps. */
class GaveUp extends Error {}

/**
 * Finds a longest common sequence of two lists, in at most `limit` steps and what is left of the effort. The blocks are in
 * order, hold at least one item each, and do not touch. Pure but for the effort.
 */
export function align(
  from: readonly string[],
  to: readonly string[],
  effort: Effort,
  limit = Number.POSITIVE_INFINITY,
): Alignment {
  const start = commonStart(from, to)
  const end = commonEnd(from, to, start)
  const inner = alignInner(from.slice(start, from.length - end), to.slice(start, to.length - end), effort, limit)
  const blocks = [
    { from: 0, to: 0, count: start },
    ...(inner ?? []).map((block) => ({ from: block.from + start, to: block.to + start, count: block.count })),
    { from: from.length - end, to: to.length - end, count: end },
  ]
  return { blocks: joinTouching(blocks.filter(({ count }) => count > 0)), isCoarse: inner === null }
}

/** What lies between the blocks, before the first and after the last. Pure. */
export function gapsBetween(blocks: readonly Block[], fromLength: number, toLength: number): Gap[] {
  const gaps: Gap[] = []
  let [from, to] = [0, 0]
  for (const block of [...blocks, { from: fromLength, to: toLength, count: 0 }]) {
    if (block.from > from || block.to > to) gaps.push({ from, fromEnd: block.from, to, toEnd: block.to })
    from = block.from + block.count
    to = block.to + block.count
  }
  return gaps
}

function commonStart(from: readonly string[], to: readonly string[]): number {
  const most = Math.min(from.length, to.length)
  let count = 0
  while (count < most && from[count] === to[count]) count += 1
  return count
}

function commonEnd(from: readonly string[], to: readonly string[], start: number): number {
  const most = Math.min(from.length, to.length) - start
  let count = 0
  while (count < most && from[from.length - 1 - count] === to[to.length - 1 - count]) count += 1
  return count
}

/** What stands on one side only can be in no common sequence: without it far fewer pairs are to be compared. */
function alignInner(from: readonly string[], to: readonly string[], effort: Effort, limit: number): Block[] | null {
  if (from.length === 0 || to.length === 0) return []
  const inTo = new Set(to)
  const ids = new Map<string, number>()
  for (const item of from) if (inTo.has(item) && !ids.has(item)) ids.set(item, ids.size)
  const [left, right] = [keepShared(from, ids), keepShared(to, ids)]
  const runs = compareIds(left.ids, right.ids, effort, limit)
  if (runs === null) return null
  const blocks: Block[] = []
  let [a, b] = [0, 0]
  for (const { added, removed, count } of runs) {
    if (removed) a += count
    else if (added) b += count
    else for (let n = 0; n < count; n += 1) blocks.push({ from: left.at[a++] ?? 0, to: right.at[b++] ?? 0, count: 1 })
  }
  return blocks
}

/** The items that have an id: their ids, and where they stand. */
function keepShared(items: readonly string[], ids: ReadonlyMap<string, number>): { ids: number[]; at: number[] } {
  const kept: { ids: number[]; at: number[] } = { ids: [], at: [] }
  for (const [index, item] of items.entries()) {
    const id = ids.get(item)
    if (id === undefined) continue
    kept.ids.push(id)
    kept.at.push(index)
  }
  return kept
}

type Run = { added: boolean; removed: boolean; count: number }

/** Null where it takes too many steps. */
function compareIds(from: number[], to: number[], effort: Effort, limit: number): Run[] | null {
  if (from.length === 0 || to.length === 0) return []
  const steps = effort.steps(limit)
  let taken = 0
  const comparator = (a: number, b: number) => {
    taken += 1
    if (taken > steps) throw new GaveUp('The lists take too many steps to align.')
    return a === b
  }
  try {
    return diffArrays(from, to, { comparator })
  } catch (error) {
    if (!(error instanceof GaveUp)) throw error
    return null
  } finally {
    effort.spend(taken)
  }
}

function joinTouching(blocks: Block[]): Block[] {
  const joined: Block[] = []
  for (const block of blocks) {
    const last = joined.at(-1)
    if (last && last.from + last.count === block.from && last.to + last.count === block.to) last.count += block.count
    else joined.push({ ...block })
  }
  return joined
}
