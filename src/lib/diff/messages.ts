import type { PromptMessage } from '../content-hash.js'
import { align, gapsBetween } from './alignment.js'
import type { Effort } from './effort.js'
import type { MessageDiff } from './prompt-diff.js'
import { diffTexts } from './text-diff.js'
import { pairUp, similarity, splitWords } from './words.js'

/** Whether two messages are alike is told by how they begin. */
const comparedLength = 1_000
/** What an equal role is worth beside equal words: enough to be taken for the same message, if none is more alike. */
const roleWeight = 0.4
/** Steps that the alignment of two chats may take. */
const maxSteps = 50_000

/** A message, and its place in the chat from 0. */
type Placed = { index: number; message: PromptMessage }

/**
 * How the messages of a chat differ from those of another. One that was put in between is one that was added: the others are
 * matched as they are. Pure but for the effort.
 */
export function diffMessages(from: readonly PromptMessage[], to: readonly PromptMessage[], effort: Effort): MessageDiff[] {
  const { blocks } = align(from.map(keyOf), to.map(keyOf), effort, maxSteps)
  return gapsBetween(blocks, from.length, to.length).flatMap((gap) => {
    const removed = from.slice(gap.from, gap.fromEnd).map((message, index) => ({ index: gap.from + index, message }))
    const added = to.slice(gap.to, gap.toEnd).map((message, index) => ({ index: gap.to + index, message }))
    return inOrder(removed, added, effort).flatMap(([before, after]) => diffMessage(before, after, effort) ?? [])
  })
}

/** What was removed, what took its place and what was added, in the order of both chats. */
function inOrder(removed: Placed[], added: Placed[], effort: Effort): [Placed | null, Placed | null][] {
  const pairs = pairUp(removed, added, (a, b) => likeness(a.message, b.message, effort))
  const ordered: [Placed | null, Placed | null][] = []
  let [a, b] = [0, 0]
  for (const [nextA, nextB] of [...pairs, [removed.length, added.length] as const]) {
    for (const message of removed.slice(a, nextA)) ordered.push([message, null])
    for (const message of added.slice(b, nextB)) ordered.push([null, message])
    const [before, after] = [removed[nextA], added[nextB]]
    if (before && after) ordered.push([before, after])
    a = nextA + 1
    b = nextB + 1
  }
  return ordered
}

/** Null where they turn out to be the same. */
function diffMessage(from: Placed | null, to: Placed | null, effort: Effort): MessageDiff | null {
  if (from && to && keyOf(from.message) === keyOf(to.message)) return null
  return {
    status: from && to ? 'changed' : from ? 'removed' : 'added',
    index: { from: from?.index ?? null, to: to?.index ?? null },
    role: { from: roleOf(from), to: roleOf(to) },
    placeholder: { from: placeholderOf(from), to: placeholderOf(to) },
    content: diffTexts(textOf(from), textOf(to), effort),
  }
}

function likeness(from: PromptMessage, to: PromptMessage, effort: Effort): number {
  if ('placeholder' in from || 'placeholder' in to) return 'placeholder' in from && 'placeholder' in to ? 1 : 0
  const role = from.role === to.role ? roleWeight : 0
  if (!effort.readWords(comparedLength / 2)) return role
  const words = (text: string) => splitWords(text.slice(0, comparedLength))
  return role + (1 - roleWeight) * similarity(words(from.content), words(to.content))
}

function keyOf(message: PromptMessage): string {
  return 'placeholder' in message ? `placeholder ${message.placeholder}` : `message ${message.role} ${message.content}`
}

function roleOf(placed: Placed | null): string | null {
  return placed && 'role' in placed.message ? placed.message.role : null
}

function placeholderOf(placed: Placed | null): string | null {
  return placed && 'placeholder' in placed.message ? placed.message.placeholder : null
}

function textOf(placed: Placed | null): string {
  return placed && 'content' in placed.message ? placed.message.content : ''
}
