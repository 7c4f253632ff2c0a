import { FileError } from './file-error.js'
import { attributesWarning } from './messages.js'
import { isMapping, parseYaml } from './yaml.js'

type Message = { role: string; content: string }
type Attributes = { message: number; attributes: string }
type ChatBody = { messages: Message[]; attributes: Attributes[]; tools: unknown[]; warnings: string[] }

/** A line of its own that begins a message: `user:`, `# System:`, `user[name="Ann"]:`. */
const header = /^#?\s*(system|user|assistant|developer|function|tool)\s*(?:\[([^\]]*)\])?\s*:$/i
/** A role that is known only once the template is rendered: `{{ item.role }}:`. */
const renderedHeader = /^#?\s*\{\{[^{}]*\brole\b[^{}]*\}\}\s*:$/i
/** Longer lines are text; the patterns are not linear in blanks. */
const maxHeaderLength = 300

/**
 * Splits the body at its headers. What stands before the first is the system message, as is a body without any. A header
 * within a block or a comment of the template stays text: which messages it makes is only known once it is rendered.
 */
export function readChatBody(body: string, lineOffset: number): ChatBody {
  const { tools, start } = readTools(body, lineOffset)
  const messages: Message[] = []
  const attributes: Attributes[] = []
  const within = blocksOf(body)
  const unsplit: number[] = []
  const threads: number[] = []
  let open = { role: 'system', from: start, said: undefined as string | undefined }
  const close = (end: number) => {
    const content = trimLines(body.slice(open.from, end))
    if (content.trim() === '') return
    if (open.said?.trim()) attributes.push({ message: messages.length, attributes: open.said.trim() })
    messages.push({ role: open.role, content })
  }
  for (const { text, at, next, number } of linesOf(body, start)) {
    if (text.startsWith('![thread]')) threads.push(number + lineOffset)
    const match = text.length <= maxHeaderLength ? header.exec(text) : null
    if (match && !within(at)) {
      close(at)
      open = { role: (match[1] ?? '').toLowerCase(), from: next, said: match[2] }
    } else if (match || (text.length <= maxHeaderLength && renderedHeader.test(text))) unsplit.push(number + lineOffset)
  }
  close(body.length)
  if (messages.length === 0) messages.push({ role: open.role, content: '' })
  return { messages, attributes, tools, warnings: warningsOf(attributes, unsplit, threads) }
}

function warningsOf(attributes: Attributes[], unsplit: number[], threads: number[]): string[] {
  return [
    ...(attributes.length > 0 ? [attributesWarning] : []),
    ...(unsplit.length > 0
      ? [
          `the role headers at ${lineList(unsplit)} stay text of the message around them: messages are made before the template is rendered.`,
        ]
      : []),
    ...(threads.length > 0 ? [`"![thread]" at ${lineList(threads)} stays text: no conversation is put in its place.`] : []),
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

function linesOf(body: string, start: number): { text: string; at: number; next: number; number: number }[] {
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

/** Without the empty lines around it. */
function trimLines(text: string): string {
  const lines = text.split('\n')
  const isBlank = (line: string | undefined) => line !== undefined && line.trim() === ''
  let from = 0
  let to = lines.length
  while (from < to && isBlank(lines[from])) from += 1
  while (to > from && isBlank(lines[to - 1])) to -= 1
  return lines.slice(from, to).join('\n').replace(/\r$/, '')
}
