import type { Token } from 'nunjucks/src/parser.js'
import { type Position, quote, syntax, type TemplateError, tooComplex, unsupported } from '../template-error.js'

const maxTokens = 10_000
/** Tags, comments and raw blocks: also those that leave no token. */
const maxMarks = 20_000
const maxBracketDepth = 100
const maxPrefixRun = 20

const conditionInstead = 'is not Jinja. Use "if" and "elif".'
const loopInstead = 'is not Jinja. Use "for".'
const anExtension = 'is an extension of Jinja2 that is off by default.'
const loopCondition = `${anExtension} Let the loop have a condition: "for x in xs if …".`

const unsupportedTags = new Map([
  ['switch', conditionInstead],
  ['ifAsync', conditionInstead],
  ['asyncEach', loopInstead],
  ['asyncAll', loopInstead],
  ['do', anExtension],
  ['autoescape', 'is not supported: prompts are no HTML. The filter "escape" does it where it is wanted.'],
  ['trans', `${anExtension} Translations are variants or variables.`],
  ['break', loopCondition],
  ['continue', loopCondition],
  ['debug', `${anExtension} It would print everything.`],
])

/** The scan takes whole raw blocks, so these are left over only where one is incomplete. */
const rawTags = new Set(['raw', 'verbatim', 'endraw', 'endverbatim'])

const opener = /\{[{%#]/g
const rawOpener = /\{%[-+]?\s*(raw|verbatim)\s*(-?)%\}/y
const rawClosers = {
  raw: /\{%([-+]?)\s*endraw\s*([-+]?)%\}/g,
  verbatim: /\{%([-+]?)\s*endverbatim\s*([-+]?)%\}/g,
}
/** Python's whitespace; JavaScript's has U+FEFF as well and lacks some control characters. */
const spaces = String.raw`[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]`
const whitespace = new RegExp(`${spaces}+`, 'y')
const word = /[A-Za-z_]\w*/y
const digitRun = String.raw`\d+(?:_\d+)*`
const float = new RegExp(`${digitRun}(?:\\.${digitRun}(?:[eE][-+]?${digitRun})?|[eE][-+]?${digitRun})`, 'y')
const integer = /0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[\da-fA-F])+|[1-9](?:_?\d)*|0(?:_?0)*/y
const string = /"[^"\\]*(?:\\[\s\S][^"\\]*)*"|'[^'\\]*(?:\\[\s\S][^'\\]*)*'/y
const operator = /\*\*|\/\/|[=!<>]=|[-+*/%~|.,:=<>()[\]{}]/y
/** `r/2` is a division; with a second slash on the line nunjucks and its users mean a regular expression. */
const regularExpression = /r\/(?!\/)(?:\\.|[^/\\\n}])+\//y
const otherLetter = /[\p{ID_Start}\p{ID_Continue}]/uy

const tagKinds = {
  '{{': { type: 'variable', end: '}}', endPattern: /(-?)\}\}/y },
  '{%': { type: 'block', end: '%}', endPattern: /([-+]?)%\}/y },
} as const

const operatorTypes = new Map([
  ['(', 'left-paren'],
  [')', 'right-paren'],
  ['[', 'left-bracket'],
  [']', 'right-bracket'],
  ['{', 'left-curly'],
  ['}', 'right-curly'],
  [',', 'comma'],
  [':', 'colon'],
  ['~', 'tilde'],
  ['|', 'pipe'],
])
const closerOf = new Map([
  ['(', ')'],
  ['[', ']'],
  ['{', '}'],
])
const closers = new Set(closerOf.values())
const prefixes = new Set(['not', '-', '+'])

/** Jinja2 writes its constants both ways. */
const constants = new Map([
  ['true', 'boolean'],
  ['True', 'boolean'],
  ['false', 'boolean'],
  ['False', 'boolean'],
  ['none', 'none'],
  ['None', 'none'],
])

/** Jinja2's options of the same names: the line break after a tag, and the spaces before one, are no text. */
export type ScanOptions = { trimBlocks?: boolean; lstripBlocks?: boolean }

/** Turns a source into the tokens of nunjucks' parser, in one pass. Whitespace control is done here, and comments are dropped. */
export class Scanner {
  readonly #source: string
  readonly #options: ScanOptions
  readonly #tokens: Token[] = []
  readonly #lines: LineCounter
  #offset = 0
  #marks = 0
  #trimsNextText = false
  #isLineStart = true
  #brackets: string[] = []
  #prefixRun = 0
  #previous = ''

  constructor(source: string, options: ScanOptions = {}) {
    this.#source = source
    this.#options = options
    this.#lines = new LineCounter(source)
  }

  scan(): Token[] {
    for (;;) {
      opener.lastIndex = this.#offset
      const start = opener.exec(this.#source)?.index ?? this.#source.length
      const mark = this.#source.slice(start, start + 2)
      this.#marks += 1
      if (this.#marks > maxMarks)
        throw tooComplex(`The template has more than ${maxMarks} tags and comments. Split the prompt.`, this.#at(start))
      const sign = mark === '{{' && this.#source[start + 2] !== '-' ? '+' : (this.#source[start + 2] ?? '')
      this.#data(this.#offset, start, mark === '' ? '+' : sign)
      this.#offset = start
      if (mark === '{#') this.#comment()
      else if (mark === '{{') this.#tag('{{')
      else if (mark !== '{%') return this.#tokens
      else if (!this.#raw()) this.#tag('{%')
    }
  }

  /** `sign` is that of the tag behind the text: "-" and "+" decide for themselves, without one the option does. */
  #data(from: number, to: number, sign: string): void {
    let text = this.#source.slice(from, to)
    if (this.#trimsNextText) text = text.slice(spacesAtStart(text))
    if (sign === '-') text = text.slice(0, text.length - spacesAtEnd(text))
    else if (sign !== '+' && this.#options.lstripBlocks) text = this.#withoutIndent(text)
    this.#trimsNextText = false
    this.#isLineStart = false
    if (text === '') return
    const last = this.#tokens.at(-1)
    // One node for what comments and raw blocks divide, of which there may be very many.
    if (last?.type === 'data') last.value += text
    else this.#emit('data', text, from)
  }

  #withoutIndent(text: string): string {
    const lineStart = text.lastIndexOf('\n') + 1
    if (lineStart === 0 && !this.#isLineStart) return text
    return text.length - lineStart <= spacesAtEnd(text) ? text.slice(0, lineStart) : text
  }

  /** At the end of a tag, comment or raw block. */
  #endMark(sign: string): void {
    this.#trimsNextText = sign === '-'
    if (sign !== '' || !this.#options.trimBlocks || this.#source[this.#offset] !== '\n') return
    this.#offset += 1
    this.#isLineStart = true
  }

  #comment(): void {
    const body = this.#offset + (/[-+]/.test(this.#source[this.#offset + 2] ?? '') ? 3 : 2)
    const end = this.#source.indexOf('#}', body)
    if (end === -1) throw syntax('The comment "{#" is never closed by "#}".', this.#at(this.#offset))
    this.#offset = end + 2
    this.#endMark(end > body && /[-+]/.test(this.#source[end - 1] ?? '') ? (this.#source[end - 1] ?? '') : '')
  }

  /** False where no raw block begins. As in Jinja2, the first end tag ends it, whatever stands between. */
  #raw(): boolean {
    const start = this.#offset
    const opening = this.#match(rawOpener)
    if (!opening) return false
    const name = opening[1] as keyof typeof rawClosers
    const closer = rawClosers[name]
    closer.lastIndex = this.#offset
    const closing = closer.exec(this.#source)
    if (!closing) throw syntax(`"{% ${name} %}" is never closed by "{% end${name} %}".`, this.#at(start))
    this.#trimsNextText = opening[2] === '-'
    this.#data(this.#offset, closing.index, closing[1] ?? '')
    this.#offset = closer.lastIndex
    this.#endMark(closing[2] ?? '')
    return true
  }

  #tag(mark: keyof typeof tagKinds): void {
    const kind = tagKinds[mark]
    const start = this.#offset
    this.#emit(`${kind.type}-start`, mark, start)
    this.#offset += /[-+]/.test(this.#source[start + 2] ?? '') ? 3 : 2
    this.#match(whitespace)
    if (mark === '{%') this.#refuseTag()
    for (;;) {
      if (this.#offset >= this.#source.length) throw syntax(`"${mark}" is never closed by "${kind.end}".`, this.#at(start))
      const from = this.#offset
      // Inside of brackets "}}" closes two of them, as in `{{ {"a": {"b": 1}} }}`.
      const end = this.#brackets.length === 0 && this.#match(kind.endPattern)
      if (end) {
        this.#emit(`${kind.type}-end`, kind.end, from)
        this.#endMark(mark === '{{' && end[1] === '' ? '+' : (end[1] ?? ''))
        return
      }
      this.#code()
      this.#match(whitespace)
    }
  }

  #refuseTag(): void {
    word.lastIndex = this.#offset
    const name = word.exec(this.#source)?.[0] ?? ''
    const reason = unsupportedTags.get(name)
    if (reason) throw unsupported(`The tag "${name}" ${reason}`, this.#at(this.#offset))
    if (!rawTags.has(name)) return
    const pair = `"{% ${name.replace('end', '')} %}" and "{% end${name.replace('end', '')} %}"`
    throw syntax(`The tag "${name}" is not one of a pair of ${pair}.`, this.#at(this.#offset))
  }

  #code(): void {
    const from = this.#offset
    const found = this.#word() ?? this.#number() ?? this.#string() ?? this.#operator()
    if (!found) throw this.#unexpected()
    this.#prefixRun = prefixes.has(found.value) ? this.#prefixRun + 1 : 0
    if (this.#prefixRun > maxPrefixRun) {
      throw tooComplex(`More than ${maxPrefixRun} of "not", "-" and "+" follow each other.`, this.#at(from))
    }
    this.#emit(found.type, found.value, from)
  }

  #word(): Pick<Token, 'type' | 'value'> | undefined {
    const isAttribute = this.#previous === '.'
    if (!isAttribute) this.#refuseRegularExpression()
    const value = this.#match(word)?.[0]
    if (value === undefined) return undefined
    return { type: (isAttribute ? undefined : constants.get(value)) ?? 'symbol', value }
  }

  #refuseRegularExpression(): void {
    regularExpression.lastIndex = this.#offset
    if (!regularExpression.test(this.#source)) return
    const reason = 'Regular expressions are not Jinja. Put spaces around "/" if "r" is a variable to divide.'
    throw unsupported(reason, this.#at(this.#offset))
  }

  #number(): Pick<Token, 'type' | 'value'> | undefined {
    // In `x.0.1` both are indexes.
    const decimal = this.#previous === '.' ? undefined : this.#match(float)?.[0]
    if (decimal !== undefined) return { type: 'float', value: decimal.replaceAll('_', '') }
    const digits = this.#match(integer)?.[0]
    return digits === undefined ? undefined : { type: 'int', value: digits.replaceAll('_', '') }
  }

  #string(): Pick<Token, 'type' | 'value'> | undefined {
    const start = this.#offset
    const quoted = this.#match(string)?.[0]
    if (quoted === undefined) return undefined
    return { type: 'string', value: unescapeString(quoted.slice(1, -1), (reason) => syntax(reason, this.#at(start))) }
  }

  #operator(): Pick<Token, 'type' | 'value'> | undefined {
    const from = this.#offset
    const value = this.#match(operator)?.[0]
    if (value === undefined) return undefined
    const closer = closerOf.get(value)
    if (closer) this.#brackets.push(closer)
    if (this.#brackets.length > maxBracketDepth) {
      throw tooComplex(`Brackets are nested deeper than ${maxBracketDepth}.`, this.#at(from))
    }
    if (closers.has(value)) this.#closeBracket(value, from)
    return { type: operatorTypes.get(value) ?? 'operator', value }
  }

  #closeBracket(value: string, from: number): void {
    const expected = this.#brackets.pop()
    if (expected === value) return
    throw syntax(expected ? `Expected "${expected}" but found "${value}".` : `Unexpected "${value}".`, this.#at(from))
  }

  #unexpected(): TemplateError {
    const at = this.#at(this.#offset)
    const character = String.fromCodePoint(this.#source.codePointAt(this.#offset) ?? 0)
    if (character === '"' || character === "'") return syntax('The string is never closed.', at)
    if (this.#match(otherLetter)) return syntax('A name is made of the letters A to Z, digits and "_" only.', at)
    return syntax(`Unexpected ${quote(character)}.`, at)
  }

  /** What a sticky pattern finds at the offset, which moves behind it. */
  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#offset
    const match = pattern.exec(this.#source)
    if (match) this.#offset = pattern.lastIndex
    return match
  }

  #emit(type: string, value: string, from: number): void {
    const { lineno, colno } = this.#at(from)
    if (this.#tokens.length >= maxTokens) {
      const message = `The template has more than ${maxTokens} names, operators, tags and texts. Split the prompt.`
      throw tooComplex(message, { lineno, colno })
    }
    this.#previous = value
    this.#tokens.push({ type, value, lineno, colno })
  }

  #at(offset: number): Position {
    return this.#lines.positionOf(offset)
  }
}

const space = new RegExp(spaces)
const lineBreak = /\r\n?|\n/g

function spacesAtStart(text: string): number {
  whitespace.lastIndex = 0
  return whitespace.exec(text)?.[0].length ?? 0
}

function spacesAtEnd(text: string): number {
  let end = text.length
  while (end > 0 && space.test(text[end - 1] ?? '')) end -= 1
  return text.length - end
}

/** Positions of ascending offsets; each line is counted once. */
class LineCounter {
  readonly #source: string
  #line = 0
  #lineStart = 0
  #nextBreak: number

  constructor(source: string) {
    this.#source = source
    this.#nextBreak = this.#breakAfter(0)
  }

  /** An offset before the last one counts from the line of the last one, which only an error about an opening tag asks for. */
  positionOf(offset: number): Position {
    if (offset < this.#lineStart) return new LineCounter(this.#source).positionOf(offset)
    while (this.#nextBreak < offset) {
      this.#line += 1
      this.#lineStart = this.#nextBreak + 1
      this.#nextBreak = this.#breakAfter(this.#lineStart)
    }
    return { lineno: this.#line, colno: offset - this.#lineStart }
  }

  /** Where the line ends that begins at an offset: the last character of "\n", "\r\n" or "\r". */
  #breakAfter(offset: number): number {
    lineBreak.lastIndex = offset
    return lineBreak.test(this.#source) ? lineBreak.lastIndex - 1 : Number.POSITIVE_INFINITY
  }
}

const escapes = new Map([
  ['\\', '\\'],
  ["'", "'"],
  ['"', '"'],
  ['\n', ''],
  ['a', '\x07'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
  ['v', '\v'],
])
const digitsOfEscape: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 }
const numericEscape = /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3}))/y

/** Python's escapes, as Jinja2 reads them: an unknown one keeps its backslash. */
function unescapeString(text: string, fault: (reason: string) => TemplateError): string {
  let result = ''
  let from = 0
  for (let at = text.indexOf('\\'); at !== -1; at = text.indexOf('\\', from)) {
    const { value, length } = escapeAt(text, at, fault)
    result += text.slice(from, at) + value
    from = at + length
  }
  return result + text.slice(from)
}

function escapeAt(text: string, at: number, fault: (reason: string) => TemplateError): { value: string; length: number } {
  const letter = text[at + 1] ?? ''
  const single = escapes.get(letter) ?? ('xuUN01234567'.includes(letter) ? undefined : `\\${letter}`)
  if (single !== undefined) return { value: single, length: 2 }
  numericEscape.lastIndex = at
  const [whole, x, u, U, octal] = numericEscape.exec(text) ?? []
  const code = octal === undefined ? Number.parseInt(x ?? u ?? U ?? '', 16) : Number.parseInt(octal, 8)
  if (letter === 'N') throw fault('Characters have no names here: write the character itself, or its number as in "\\u2022".')
  if (whole === undefined) throw fault(`Expected ${digitsOfEscape[letter] ?? 8} hexadecimal digits after "\\${letter}".`)
  if (code > 0x10ffff) throw fault(`There is no character ${quote(whole)}.`)
  return { value: String.fromCodePoint(code), length: whole.length }
}
