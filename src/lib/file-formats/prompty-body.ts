import { FileError } from './file-error.js'
import { attributesWarning } from './messages.js'
import { isMapping, parseYaml } from './yaml.js'

export type Message = { role: string; content: string } | { placeholder: string }
type Attributes = { message: number; attributes: string }
/** `starts` are the places in the body where the contents of the messages begin. */
type ChatBody = { messages: Message[]; starts: number[]; attributes: Attributes[]; tools: unknown[]; warnings: string[] }

type Line = { text: string; at: number; next: number; number: number }
/** What ends a message: a header, or a placeholder for messages that are only known when the prompt is rendered. */
type Cut = { at: number; next: number } & ({ role: string; said: string | undefined } | { placeholder: string })

/** What a file says of its text besides the text itself: inputs that are conversations, and the engine of its template. */
export type BodyOptions = { threads: ReadonlySet<string>; isJinja: boolean }

/** A line of its own that begins a message: `user:`, `# System:`, `user[name="Ann"]:`. */
const header = /^#?\s*(system|user|assistant|developer|function|tool)\s*(?:\[([^\]]*)\])?\s*:$/i
/** A role that is known only once the template is rendered: `{{ item.role }}:`. */
const renderedHeader = /^#?\s*\{\{[^{}]*\brole\b[^{}]*\}\}\s*:$/i
/** An input that stands on a line of its own. */
const ownLine = /^\{\{-? {0,20}([A-Za-z_]\w{0,63}) {0,20}-?\}\}$/
/** Messages one by one: what a placeholder stands for, written out. A role with text behind it on its line is a transcript. */
const loop = new RegExp(
  String.raw`\{%-?\s{0,20}for\s{1,20}([A-Za-z_]\w{0,63})\s{1,20}in\s{1,20}([A-Za-z_]\w{0,63})\s{0,20}-?%\}[ \t]{0,20}\r?\n\s{0,100}` +
    String.raw`#?\s{0,20}\{\{-?\s{0,20}\1(?:\.role|\[["']role["']\])\s{0,20}-?\}\}[ \t]{0,20}:[ \t]{0,20}\r?\n\s{0,100}` +
    String.raw`\{\{-?\s{0,20}\1(?:\.content|\[["']content["']\])\s{0,20}-?\}\}\s{0,100}\{%-?\s{0,20}endfor\s{0,20}-?%\}[ \t]{0,100}(?:\r?\n|$)`,
  'y',
)
const nonBlank = /\S/g
/** Longer lines are text; the patterns are not linear in blanks. */
const maxHeaderLength = 300

/**
 * Splits the body at its headers. What stands before the first is the system message, as is a body without any. A header
 * within a block or a comment of the template stays text: which messages it makes is only known once it is rendered.
 */
export function readChatBody(body: string, lineOffset: number, options: BodyOptions): ChatBody {
  const { tools, start } = readTools(body, lineOffset)
  const lines = linesOf(body, start)
  const cuts = withoutTextBehind(body, cutsOf(body, lines, options))
  const begin: Cut = { at: start, next: start, role: 'system', said: undefined }
  const { messages, starts, attributes } = messagesBetween(body, [begin, ...cuts])
  return { messages, starts, attributes, tools, warnings: warningsOf(attributes, uncut(lines, cuts), lineOffset) }
}

/** A header without text makes no message, unless there would be none. */
function messagesBetween(body: string, cuts: Cut[]): Pick<ChatBody, 'messages' | 'starts' | 'attributes'> {
  const messages: Message[] = []
  const starts: number[] = []
  const attributes: Attributes[] = []
  for (const [index, cut] of cuts.entries()) {
    const isOnlyOne = index === cuts.length - 1 && messages.length === 0
    const [from, to] = trimmed(body, cut.next, cuts[index + 1]?.at ?? body.length)
    if ('placeholder' in cut) messages.push({ placeholder: cut.placeholder })
    else if (to > from || isOnlyOne) {
      if (to > from && cut.said?.trim()) attributes.push({ message: messages.length, attributes: cut.said.trim() })
      messages.push({ role: cut.role, content: body.slice(from, to) })
    } else continue
    starts.push(from)
  }
  return { messages, starts, attributes }
}

function cutsOf(body: string, lines: Line[], { threads, isJinja }: BodyOptions): Cut[] {
  const within = blocksOf(body)
  const cuts: Cut[] = []
  let end = 0
  for (const { text, at, next } of lines) {
    if (at < end || text.length > maxHeaderLength || within(at)) continue
    const role = matchHeader(text)
    const thread = matchThread(text, threads)
    const list = isJinja && text.startsWith('{%') ? matchLoop(body, at) : null
    if (role) cuts.push({ at, next, ...role })
    else if (thread) cuts.push({ at, next, placeholder: thread })
    else if (list) cuts.push({ at, ...list })
    end = cuts.at(-1)?.next ?? 0
  }
  return cuts
}

function matchThread(text: string, threads: ReadonlySet<string>): string | null {
  if (/^!\[thread\]$/i.test(text)) return 'thread'
  const name = ownLine.exec(text)?.[1]
  return name !== undefined && threads.has(name) ? name : null
}

function matchLoop(body: string, lineStart: number): { next: number; placeholder: string } | null {
  loop.lastIndex = body.indexOf('{%', lineStart)
  const list = loop.exec(body)?.[2]
  return list === undefined ? null : { next: loop.lastIndex, placeholder: list }
}

function matchHeader(text: string): { role: string; said: string | undefined } | null {
  const match = header.exec(text)
  return match ? { role: (match[1] ?? '').toLowerCase(), said: match[2] } : null
}

/** Whose message the text behind a placeholder would be, nobody says, so such a placeholder is left in its text. */
function withoutTextBehind(body: string, cuts: Cut[]): Cut[] {
  const textFrom = (at: number) => {
    nonBlank.lastIndex = at
    return nonBlank.exec(body)?.index ?? body.length
  }
  let end = body.length
  const kept = cuts.toReversed().filter((cut) => {
    if ('placeholder' in cut && textFrom(cut.next) < end) return false
    end = cut.at
    return true
  })
  return kept.reverse()
}

/** The lines that look like the beginning of messages and are not. */
function uncut(lines: Line[], cuts: Cut[]): { headers: number[]; threads: number[] } {
  const headers: number[] = []
  const threads: number[] = []
  let next = 0
  for (const { text, at, number } of lines) {
    while (next < cuts.length && (cuts[next]?.next ?? 0) <= at) next += 1
    if ((cuts[next]?.at ?? Number.POSITIVE_INFINITY) <= at || text.length > maxHeaderLength) continue
    if (header.test(text) || renderedHeader.test(text)) headers.push(number)
    if (text.startsWith('![thread]')) threads.push(number)
  }
  return { headers, threads }
}

function warningsOf(attributes: Attributes[], left: ReturnType<typeof uncut>, lineOffset: number): string[] {
  const list = (numbers: number[]) => lineList(numbers.map((number) => number + lineOffset))
  const headers = `the role headers at ${list(left.headers)} stay text of the message around them: messages are made before the template is rendered.`
  const threads = `"![thread]" at ${list(left.threads)} stays text: a role header has to follow it.`
  return [
    ...(attributes.length > 0 ? [attributesWarning] : []),
    ...(left.headers.length > 0 ? [headers] : []),
    ...(left.threads.length > 0 ? [threads] : []),
  ]
}

function lineList(numbers: number[]): string {
  const shown = numbers.slice(0, 5).join(', ')
  return `line${numbers.length > 1 ? 's' : ''} ${shown}${numbers.length > 5 ? ` and ${numbers.length - 5} more` : ''}`
}

/** A body may begin with declarations of tools, below a line of `tools:`, up to the first header. */
function readTools(body: string, lineOffset: number): { tools: unknown[]; start: number } {
  const none = { tools: [], start: 0 }
  const begin = /^(?:[ \t]*\r?\n)*tools:[ \t]*\r?\n/.exec(body)?.[0]
  if (!begin) return none
  const end = linesOf(body, begin.length).find(({ text }) => text.length <= maxHeaderLength && header.test(text))
  const section = body.slice(begin.length, end?.at)
  if (!end || !/^[ \t]*-[ \t]+\w+:/.test(section)) return none
  const tools = parseYaml(section, lineOffset + begin.split('\n').length - 1)
  if (!Array.isArray(tools) || !tools.every(isMapping))
    throw new FileError('the tools that begin the body are no list of mappings.')
  return { tools, start: end.at }
}

function linesOf(body: string, start: number): Line[] {
  const lines = []
  let number = body.slice(0, start).split('\n').length
  for (let at = start; at < body.length; number += 1) {
    const end = body.indexOf('\n', at)
    const next = end === -1 ? body.length : end + 1
    lines.push({ text: body.slice(at, next).trim(), at, next, number })
    at = next
  }
  return lines
}

/** Tells whether a place is within a block, such as `{% for %}…{% endfor %}`, or a comment. */
function blocksOf(body: string): (at: number) => boolean {
  const spans: [from: number, to: number][] = []
  const open = new Map<string, number[]>()
  let commentEnd = 0
  for (const { 0: text, 1: name, index } of body.matchAll(/\{#|\{%[-+]?[ \t\r\n]{0,20}(\w{1,40})/g)) {
    if (index < commentEnd) continue
    if (text === '{#') {
      const end = body.indexOf('#}', index + 2)
      // A comment that is never closed is an error of the template.
      if (end === -1) break
      commentEnd = end
      spans.push([index, end])
    } else if (name?.startsWith('end')) {
      const from = open.get(name.slice(3))?.pop()
      if (from !== undefined) spans.push([from, index])
    } else if (name) {
      const places = open.get(name)
      if (places) places.push(index)
      else open.set(name, [index])
    }
  }
  const merged = merge(spans)
  let next = 0
  // Places are asked for in their order.
  return (at) => {
    while (next < merged.length && (merged[next]?.[1] ?? 0) < at) next += 1
    return (merged[next]?.[0] ?? Number.POSITIVE_INFINITY) < at
  }
}

function merge(spans: [number, number][]): [number, number][] {
  const merged: [number, number][] = []
  for (const [from, to] of spans.sort((one, other) => one[0] - other[0])) {
    const last = merged.at(-1)
    if (last && from <= last[1]) last[1] = Math.max(last[1], to)
    else merged.push([from, to])
  }
  return merged
}

/** Without the empty lines around it, and without the line break at its end. */
function trimmed(body: string, from: number, to: number): [from: number, to: number] {
  const text = body.slice(from, to)
  const length = text.trimEnd().length
  if (length === 0) return [from, from]
  const start = text.lastIndexOf('\n', text.length - text.trimStart().length) + 1
  const lineEnd = text.indexOf('\n', length)
  const end = lineEnd === -1 ? text.length : lineEnd
  return [from + start, from + end - Number(text[end - 1] === '\r')]
}
