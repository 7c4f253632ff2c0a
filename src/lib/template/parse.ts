import type { AnyNode } from 'nunjucks/src/nodes.js'
import parser, { type Token, type TokenSource } from 'nunjucks/src/parser.js'

/**
 * A prompt is parsed and never compiled: of nunjucks only the parser is loaded. It does not read the source through nunjucks'
 * lexer, which is quadratic for raw blocks and for whitespace control and differs from Jinja2 in both, in escapes and in
 * braces. The scan below is linear, and holds the bounds that keep the parser from overflowing the stack.
 */
export type TemplateNode = AnyNode
export type NodeName = TemplateNode['typename']
export type NodeOf<Name extends NodeName> = Extract<TemplateNode, { typename: Name }>

export type TemplateErrorCode = 'template.syntax' | 'template.unsupported' | 'template.too_complex'

type Position = Pick<Token, 'lineno' | 'colno'>

/** A template that cannot be used, and where: `line` and `column` count from 1 and are not part of the message. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError'
  readonly code: TemplateErrorCode
  readonly line: number
  readonly column: number

  constructor(code: TemplateErrorCode, message: string, at: Position, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.line = at.lineno + 1
    this.column = at.colno + 1
  }
}

const maxSourceLength = 262_144
const maxTokens = 10_000
const maxBracketDepth = 100
const maxPrefixRun = 20
const maxBlockDepth = 100
/** Holds for what brackets and blocks do not count, such as `a.b.c…`, `a ~ b ~ c…` and `elif` after `elif`. */
const maxTreeDepth = 500

/**
 * Parses a Jinja template, or throws `TemplateError` and nothing else. In what it returns no node is deeper than 500, every
 * symbol is a plain ASCII name, and nothing reaches outside of the template.
 */
export function parseTemplate(source: string): TemplateNode {
  if (source.length > maxSourceLength) throw tooComplex('The template is longer than 256 KiB.', { lineno: 0, colno: 0 })
  const tokens = new TokenStream(new Scanner(source).scan())
  try {
    const root = new BoundedParser(tokens).parseAsRoot()
    checkTree(root)
    return root
  } catch (error) {
    throw asTemplateError(error, tokens.position)
  }
}

/** The direct children of a node, in the order they are written, but for the condition of `a if b`, which comes first. */
export function childNodes(node: TemplateNode): TemplateNode[] {
  const read = children[node.typename] as (node: TemplateNode) => (TemplateNode | null | undefined)[]
  return read(node).filter((child) => child != null)
}

const listed = (node: { children: TemplateNode[] }) => node.children
const conditional = (node: NodeOf<'If' | 'InlineIf'>) => [node.cond, node.body, node.else_]
const called = (node: NodeOf<'FunCall' | 'Filter'>) => [node.name, node.args]
const callable = (node: NodeOf<'Macro' | 'Caller'>) => [node.name, node.args, node.body]
const unary = (node: NodeOf<'Not' | 'Neg' | 'Pos'>) => [node.target]
const binary = (node: { left: TemplateNode; right: TemplateNode }) => [node.left, node.right]

/** Also the allow-list of node types. */
const children: { [Name in NodeName]: (node: NodeOf<Name>) => (TemplateNode | null | undefined)[] } = {
  Root: listed,
  NodeList: listed,
  Output: listed,
  Group: listed,
  Array: listed,
  Dict: listed,
  KeywordArgs: listed,
  Pair: (node) => [node.key, node.value],
  Symbol: () => [],
  Literal: () => [],
  TemplateData: () => [],
  LookupVal: (node) => [node.target, node.val],
  FunCall: called,
  Filter: called,
  If: conditional,
  InlineIf: conditional,
  For: (node) => [node.name, node.arr, node.body, node.else_],
  Macro: callable,
  Caller: callable,
  Block: (node) => [node.name, node.body],
  Set: (node) => [...node.targets, node.value, node.body],
  Capture: (node) => [node.body],
  Compare: (node) => [node.expr, ...node.ops],
  CompareOperand: (node) => [node.expr],
  Not: unary,
  Neg: unary,
  Pos: unary,
  And: binary,
  Or: binary,
  In: binary,
  Is: binary,
  Add: binary,
  Sub: binary,
  Mul: binary,
  Div: binary,
  FloorDiv: binary,
  Mod: binary,
  Pow: binary,
  Concat: binary,
}

const textInstead = 'is not supported yet. Put the text in this prompt.'
const conditionInstead = 'is not Jinja. Use "if" and "elif".'
const loopInstead = 'is not Jinja. Use "for".'
const notYet = 'is not supported yet.'

const unsupportedTags = new Map([
  ['include', textInstead],
  ['extends', textInstead],
  ['import', textInstead],
  ['from', textInstead],
  ['switch', conditionInstead],
  ['ifAsync', conditionInstead],
  ['asyncEach', loopInstead],
  ['asyncAll', loopInstead],
  ['with', notYet],
  ['do', notYet],
  ['autoescape', notYet],
  ['trans', notYet],
  ['break', notYet],
  ['continue', notYet],
  ['debug', notYet],
])

/** The scan takes whole raw blocks, so these are left over only where one is incomplete. */
const rawTags = new Set(['raw', 'verbatim', 'endraw', 'endverbatim'])

const opener = /\{[{%#]/g
const rawOpener = /\{%[-+]?\s*(raw|verbatim)\s*(-?)%\}/y
const rawClosers = {
  raw: /\{%([-+]?)\s*endraw\s*([-+]?)%\}/g,
  verbatim: /\{%([-+]?)\s*endverbatim\s*([-+]?)%\}/g,
}
const whitespace = /\s+/y
const word = /[A-Za-z_]\w*/y
const number = /\d+(?:_\d+)*(?:\.\d+)?(?:[eE][-+]?\d+)?/y
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
  ['true', { type: 'boolean', value: 'true' }],
  ['True', { type: 'boolean', value: 'true' }],
  ['false', { type: 'boolean', value: 'false' }],
  ['False', { type: 'boolean', value: 'false' }],
  ['none', { type: 'none', value: 'none' }],
  ['None', { type: 'none', value: 'none' }],
])

/** Turns a source into the tokens of nunjucks' parser, in one pass. Whitespace control is done here, and comments are dropped. */
class Scanner {
  readonly #source: string
  readonly #tokens: Token[] = []
  readonly #lines: LineCounter
  #offset = 0
  #trimsNextText = false
  #brackets: string[] = []
  #prefixRun = 0
  #previous = ''

  constructor(source: string) {
    this.#source = source
    this.#lines = new LineCounter(source)
  }

  scan(): Token[] {
    for (;;) {
      opener.lastIndex = this.#offset
      const start = opener.exec(this.#source)?.index ?? this.#source.length
      const mark = this.#source.slice(start, start + 2)
      const trimsEnd = this.#source[start + 2] === '-'
      this.#data(this.#offset, start, this.#trimsNextText, trimsEnd)
      this.#trimsNextText = false
      this.#offset = start
      if (mark === '{#') this.#comment()
      else if (mark === '{{') this.#tag('{{')
      else if (mark !== '{%') return this.#tokens
      else if (!this.#raw()) this.#tag('{%')
    }
  }

  #data(from: number, to: number, trimsStart: boolean, trimsEnd: boolean): void {
    let text = this.#source.slice(from, to)
    if (trimsStart) text = text.trimStart()
    if (trimsEnd) text = text.trimEnd()
    if (text === '') return
    const last = this.#tokens.at(-1)
    // One node for what comments and raw blocks divide, of which there may be very many.
    if (last?.type === 'data') last.value += text
    else this.#emit('data', text, from)
  }

  #comment(): void {
    const body = this.#offset + (/[-+]/.test(this.#source[this.#offset + 2] ?? '') ? 3 : 2)
    const end = this.#source.indexOf('#}', body)
    if (end === -1) throw syntax('The comment "{#" is never closed by "#}".', this.#at(this.#offset))
    this.#trimsNextText = end > body && this.#source[end - 1] === '-'
    this.#offset = end + 2
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
    this.#data(this.#offset, closing.index, opening[2] === '-', closing[1] === '-')
    this.#trimsNextText = closing[2] === '-'
    this.#offset = closer.lastIndex
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
        this.#trimsNextText = end[1] === '-'
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
    return (isAttribute ? undefined : constants.get(value)) ?? { type: 'symbol', value }
  }

  #refuseRegularExpression(): void {
    regularExpression.lastIndex = this.#offset
    if (!regularExpression.test(this.#source)) return
    const reason = 'Regular expressions are not Jinja. Put spaces around "/" if "r" is a variable to divide.'
    throw unsupported(reason, this.#at(this.#offset))
  }

  #number(): Pick<Token, 'type' | 'value'> | undefined {
    const digits = this.#match(number)?.[0].replaceAll('_', '')
    if (digits === undefined) return undefined
    return { type: /[.eE]/.test(digits) ? 'float' : 'int', value: digits }
  }

  #string(): Pick<Token, 'type' | 'value'> | undefined {
    const quoted = this.#match(string)?.[0]
    return quoted === undefined ? undefined : { type: 'string', value: unescapeString(quoted.slice(1, -1)) }
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

  #breakAfter(offset: number): number {
    const found = this.#source.indexOf('\n', offset)
    return found === -1 ? Number.POSITIVE_INFINITY : found
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
const numericEscape = /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3}))/y

/** Python's escapes, as Jinja2 reads them: an unknown one keeps its backslash. */
function unescapeString(text: string): string {
  let result = ''
  let from = 0
  for (let at = text.indexOf('\\'); at !== -1; at = text.indexOf('\\', from)) {
    const { value, length } = escapeAt(text, at)
    result += text.slice(from, at) + value
    from = at + length
  }
  return result + text.slice(from)
}

function escapeAt(text: string, at: number): { value: string; length: number } {
  const letter = text[at + 1] ?? ''
  const single = escapes.get(letter) ?? ('xuU01234567'.includes(letter) ? undefined : `\\${letter}`)
  if (single !== undefined) return { value: single, length: 2 }
  numericEscape.lastIndex = at
  const [whole, x, u, U, octal] = numericEscape.exec(text) ?? []
  const code = octal === undefined ? Number.parseInt(x ?? u ?? U ?? '', 16) : Number.parseInt(octal, 8)
  if (whole === undefined || code > 0x10ffff) return { value: text.slice(at, at + 2), length: 2 }
  return { value: String.fromCodePoint(code), length: whole.length }
}

class TokenStream implements TokenSource {
  // The parser looks into tags for whitespace control, which the scan has done.
  readonly tags = { VARIABLE_START: '{{', VARIABLE_END: '}}', COMMENT_START: '{#', COMMENT_END: '#}' }
  readonly #tokens: Token[]
  #next = 0
  /** Of the last token that was read, and of the tag it is in or behind. */
  position: Position = { lineno: 0, colno: 0 }
  tagPosition: Position = { lineno: 0, colno: 0 }

  constructor(tokens: Token[]) {
    this.#tokens = tokens
  }

  nextToken(): Token | null {
    const token = this.#tokens[this.#next]
    if (!token) return null
    this.#next += 1
    this.position = token
    if (token.type === 'block-start') this.tagPosition = token
    return token
  }
}

/** The scan bounds the recursion within a tag; this bounds that from tag to tag. */
class BoundedParser extends parser.Parser {
  readonly #stream: TokenStream
  #blockDepth = 0
  #ifDepth = 0

  constructor(stream: TokenStream) {
    super(stream)
    this.#stream = stream
  }

  override parseUntilBlocks(...names: string[]): TemplateNode {
    const tagPosition = this.#stream.tagPosition
    this.#blockDepth += 1
    if (this.#blockDepth > maxBlockDepth) throw tooComplex(`Blocks are nested deeper than ${maxBlockDepth}.`, tagPosition)
    const body = super.parseUntilBlocks(...names)
    this.#blockDepth -= 1
    const end = names.find((name) => name.startsWith('end'))
    if (!this.peekToken()) throw syntax(`The tag is never closed by "{% ${end} %}".`, tagPosition)
    return body
  }

  override parseIf(): TemplateNode {
    this.#ifDepth += 1
    // Every "elif" is an "if" within the one before.
    if (this.#ifDepth > maxTreeDepth) throw tooComplex('The "if" has too many "elif".', this.#stream.tagPosition)
    const node = super.parseIf()
    this.#ifDepth -= 1
    return node
  }
}

const objections: { [Name in NodeName]?: (node: NodeOf<Name>) => TemplateError | undefined } = {
  // The parser joins the filter of `a|b.c` to one name.
  Symbol: (node) => (/^[A-Za-z_]\w*$/.test(node.value) ? undefined : syntax(`${quote(node.value)} is not a name.`, node)),
  LookupVal: (node) => (node.val ? undefined : syntax('Expected an index between "[" and "]".', node)),
  FunCall: (node) => {
    const isSuper = node.name.typename === 'Symbol' && node.name.value === 'super'
    return isSuper ? unsupported(`"super()" ${textInstead}`, node.name) : undefined
  },
}

function checkTree(root: TemplateNode): void {
  let level = [root]
  for (let depth = 0; level.length > 0; depth += 1) {
    const next: TemplateNode[] = []
    for (const node of level) {
      if (depth > maxTreeDepth) throw tooComplex(`The expression is nested deeper than ${maxTreeDepth}.`, node)
      checkNode(node)
      for (const child of childNodes(node)) next.push(child)
    }
    level = next
  }
}

function checkNode(node: TemplateNode): void {
  if (!(node.typename in children)) throw unsupported(`"${node.typename}" is not supported.`, node)
  const object = objections[node.typename] as ((node: TemplateNode) => TemplateError | undefined) | undefined
  const objection = object?.(node)
  if (objection) throw objection
}

function asTemplateError(error: unknown, position: Position): TemplateError {
  if (error instanceof TemplateError) return error
  if (error instanceof RangeError) {
    return tooComplex('The template is nested too deeply.', position, { cause: error })
  }
  const { message, lineno, colno } = error as { message?: unknown; lineno?: unknown; colno?: unknown }
  if (typeof lineno !== 'number' || typeof colno !== 'number') {
    return syntax('This is not Jinja syntax.', position, { cause: error })
  }
  // nunjucks' own errors count from 1.
  return syntax(inPlainWords(String(message)), { lineno: lineno - 1, colno: colno - 1 }, { cause: error })
}

const wordings: [RegExp, (value: string) => string][] = [
  [/^expected variable end$/, () => 'Expected "}}" here.'],
  [/^expected block end in (\w+) statement$/, (tag) => `Expected "%}" here, to end the tag "${tag}".`],
  [/^unexpected token: ([\s\S]*)$/, (token) => `Unexpected ${quote(token)}.`],
  [/^unknown block tag: ([\s\S]*)$/, (tag) => `The tag ${quote(tag)} is unknown or not in its place.`],
  [/^parseAggregate: (expected \w+) after (.*)$/, (expected) => `E${expected.slice(1)} between the brackets.`],
]

function inPlainWords(message: string): string {
  for (const [pattern, wording] of wordings) {
    const match = pattern.exec(message)
    if (match) return wording(match[1] ?? '')
  }
  const sentence = message.replace(/^\w+: /, '').slice(0, 200)
  return `${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}.`
}

function quote(value: string): string {
  return `"${value.length > 40 ? `${value.slice(0, 40)}…` : value}"`
}

function syntax(message: string, at: Position, options?: ErrorOptions): TemplateError {
  const remedy = 'Fix it, or set "template": "none" if the braces are not Jinja.'
  return new TemplateError('template.syntax', `${message} ${remedy}`, at, options)
}

function unsupported(message: string, at: Position): TemplateError {
  return new TemplateError('template.unsupported', message, at)
}

function tooComplex(message: string, at: Position, options?: ErrorOptions): TemplateError {
  return new TemplateError('template.too_complex', message, at, options)
}
