import { EVENT_ID, type Event, getScalarValue, parseEvents, SCALAR_STYLE, type ScalarEvent } from 'js-yaml'
import type { FieldPath, MappedText, Origin, Run } from './positions.js'
import { withoutLastRule } from './yaml.js'

/** A stretch of the source, and the text that it stands for. */
type Piece = { from: number; text: string }

const { SEQUENCE, MAPPING, SCALAR, POP } = EVENT_ID
const lineBreak = /\r\n?|\n/g
const escapeSequence = /\\(?:x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|[^\r\n])/g

/** The places of the texts in YAML that was read already; `offset` is that of `source` in the file. It is parsed again when asked. */
export function yamlOrigin(source: string, offset: number): Origin {
  let events: Event[] | null = null
  return (path) => {
    events ??= parseEvents(withoutLastRule(source), {})
    const mapped = textAt(source, events, nodeAt(source, events, path))
    return mapped && { ...mapped, runs: mapped.runs.map((run) => ({ ...run, from: run.from + offset })) }
  }
}

/** The index of the event of a node, or -1. The first event is the document. */
function nodeAt(source: string, events: Event[], path: FieldPath): number {
  let index = 1
  for (const step of path) {
    index = typeof step === 'number' ? itemAt(events, index, step) : fieldAt(source, events, index, step)
    if (index === -1) return -1
  }
  return index
}

function itemAt(events: Event[], list: number, position: number): number {
  if (events[list]?.type !== SEQUENCE) return -1
  let at = list + 1
  for (let index = 0; index < position && isInside(events, at); index += 1) at = nodeAfter(events, at)
  return isInside(events, at) ? at : -1
}

/** What is merged in (`<<`) stands elsewhere and is not found. */
function fieldAt(source: string, events: Event[], mapping: number, key: string): number {
  if (events[mapping]?.type !== MAPPING) return -1
  for (let at = mapping + 1; isInside(events, at); at = nodeAfter(events, nodeAfter(events, at))) {
    const event = events[at]
    if (event?.type === SCALAR && getScalarValue(source, event) === key) return nodeAfter(events, at)
  }
  return -1
}

function isInside(events: Event[], index: number): boolean {
  return index < events.length && events[index]?.type !== POP
}

function nodeAfter(events: Event[], index: number): number {
  let depth = 0
  for (let at = index; at < events.length; at += 1) {
    const type = events[at]?.type
    if (type === SEQUENCE || type === MAPPING) depth += 1
    else if (type === POP) depth -= 1
    if (depth <= 0) return at + 1
  }
  return events.length
}

/** The text of a scalar, or of a list of texts and of mappings that hold a `text`, which are joined. */
function textAt(source: string, events: Event[], index: number): MappedText | null {
  const event = events[index]
  if (event?.type === SCALAR) return scalarText(source, event)
  if (event?.type !== SEQUENCE) return null
  const parts: MappedText[] = []
  for (let at = index + 1; isInside(events, at); at = nodeAfter(events, at)) {
    const part = events[events[at]?.type === MAPPING ? fieldAt(source, events, at, 'text') : at]
    const text = part?.type === SCALAR ? scalarText(source, part) : null
    if (!text) return null
    parts.push(text)
  }
  return joined(parts)
}

function joined(parts: MappedText[]): MappedText {
  let shift = 0
  const runs = parts.flatMap((part) => {
    const moved = part.runs.map((run) => ({ ...run, at: run.at + shift }))
    shift += part.text.length + 1
    return moved
  })
  return { text: parts.map(({ text }) => text).join('\n'), runs }
}

/** Null where the pieces of the source do not make up the text. */
function scalarText(source: string, event: ScalarEvent): MappedText | null {
  if (event.valueStart === -1) return null
  const text = getScalarValue(source, event)
  const runs =
    event.style === SCALAR_STYLE.LITERAL_BLOCK
      ? alignLines(text, blockPieces(source, event))
      : alignFolded(text, event.style === SCALAR_STYLE.FOLDED_BLOCK ? blockPieces(source, event) : flowPieces(source, event))
  if (!runs) return null
  const last = runs.at(-1)
  const isWhole = last !== undefined && last.at + last.length === text.length
  return { text, runs: isWhole ? runs : [...runs, { at: text.length, from: event.valueEnd, length: 0 }] }
}

/** A line for a line. Those behind the end were chomped. */
function alignLines(text: string, pieces: Piece[]): Run[] | null {
  const runs: Run[] = []
  let at = 0
  for (const piece of pieces) {
    if (at > text.length) break
    if (!text.startsWith(piece.text, at)) return null
    runs.push({ at, from: piece.from, length: piece.text.length })
    at += piece.text.length + 1
  }
  return at >= text.length ? runs : null
}

/** Between the pieces are the blanks and line breaks that the breaks of the source were folded to. */
function alignFolded(text: string, pieces: Piece[]): Run[] | null {
  const runs: Run[] = []
  let at = 0
  for (const piece of pieces) {
    if (piece.text === '') continue
    while (!text.startsWith(piece.text, at) && isFold(text.charAt(at))) at += 1
    if (!text.startsWith(piece.text, at)) return null
    runs.push({ at, from: piece.from, length: piece.text.length })
    at += piece.text.length
  }
  while (isFold(text.charAt(at))) at += 1
  return at === text.length ? runs : null
}

function isFold(character: string): boolean {
  return character === ' ' || character === '\n' || character === '\t'
}

/** The lines of a block without their indentation. */
function blockPieces(source: string, { valueStart, valueEnd, indent }: ScalarEvent): Piece[] {
  return linesOf(source, valueStart, valueEnd).map(({ from, to }) => {
    let start = from
    while (start < to && start - from < indent && source[start] === ' ') start += 1
    return { from: start, text: source.slice(start, to) }
  })
}

/** The lines of a plain or quoted text without the blanks around them, which are folded away, and its escapes. */
function flowPieces(source: string, event: ScalarEvent): Piece[] {
  const lines = linesOf(source, event.valueStart, event.valueEnd)
  return lines.flatMap(({ from, to }, index) => {
    let start = from
    let end = to
    while (index > 0 && start < end && isFold(source.charAt(start))) start += 1
    while (index < lines.length - 1 && start < end && isFold(source.charAt(end - 1))) end -= 1
    if (event.style === SCALAR_STYLE.SINGLE_QUOTED) return unescaped(source, event, { from: start, to: end }, /''/g)
    if (event.style === SCALAR_STYLE.DOUBLE_QUOTED) return unescaped(source, event, { from: start, to: end }, escapeSequence)
    return [{ from: start, text: source.slice(start, end) }]
  })
}

function unescaped(source: string, event: ScalarEvent, { from, to }: { from: number; to: number }, escapes: RegExp): Piece[] {
  const pieces: Piece[] = []
  const part = { ...event, fast: false }
  let at = from
  for (const { 0: written, index } of source.slice(from, to).matchAll(escapes)) {
    part.valueStart = from + index
    part.valueEnd = part.valueStart + written.length
    if (part.valueStart > at) pieces.push({ from: at, text: source.slice(at, part.valueStart) })
    pieces.push({ from: part.valueStart, text: getScalarValue(source, part) })
    at = part.valueEnd
  }
  const rest = source.slice(at, to)
  // A backslash that ends a line joins it to the next.
  const isJoined = event.style === SCALAR_STYLE.DOUBLE_QUOTED && rest.endsWith('\\')
  return [...pieces, { from: at, text: isJoined ? rest.slice(0, -1) : rest }]
}

function linesOf(source: string, start: number, end: number): { from: number; to: number }[] {
  const lines = []
  let from = start
  for (const { 0: text, index } of source.slice(start, end).matchAll(lineBreak)) {
    lines.push({ from, to: start + index })
    from = start + index + text.length
  }
  return [...lines, { from, to: end }]
}
