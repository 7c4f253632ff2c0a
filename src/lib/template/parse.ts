import type { AnyNode } from 'nunjucks/src/nodes.js'
import parser, { type Token, type TokenSource } from 'nunjucks/src/parser.js'
import { Scanner, textInstead } from './scanner.js'
import { type Position, quote, syntax, TemplateError, tooComplex, unsupported } from './template-error.js'

/**
 * A prompt is parsed and never compiled: of nunjucks only the parser is loaded. It does not read the source through nunjucks'
 * lexer, which is quadratic for raw blocks and for whitespace control and differs from Jinja2 in both, in escapes and in
 * braces. The scan below is linear, and holds the bounds that keep the parser from overflowing the stack.
 */
export type TemplateNode = AnyNode
export type NodeName = TemplateNode['typename']
export type NodeOf<Name extends NodeName> = Extract<TemplateNode, { typename: Name }>

const maxSourceLength = 262_144
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
