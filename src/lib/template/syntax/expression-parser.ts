import parser, { type Token } from 'nunjucks/src/parser.js'
import { type Position, quote, syntax, tooComplex, unsupported } from '../template-error.js'
import type { NodeOf, TemplateNode } from './nodes.js'
import type { TokenStream } from './token-stream.js'

/** Holds for what brackets and blocks do not count, such as `a.b.c…`, `a ~ b ~ c…` and `elif` after `elif`. */
export const maxTreeDepth = 500

/** As for the numbers that a template makes. */
const maxDigits = 1_000

const comparisons = new Set(['==', '!=', '<', '>', '<=', '>='])
const sumTypes = new Map([['+', 'Add'] as const, ['-', 'Sub'] as const])
const productTypes = new Map([['*', 'Mul'] as const, ['/', 'Div'] as const, ['//', 'FloorDiv'] as const, ['%', 'Mod'] as const])
const constantValues = new Map<string, boolean | null>([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['none', null],
  ['None', null],
])
const nameTypes = new Set(['symbol', 'boolean', 'none'])
const tupleEnds = new Set(['variable-end', 'block-end', 'right-paren'])
const operandStarts = new Set([...nameTypes, 'string', 'int', 'float', 'left-paren', 'left-bracket', 'left-curly'])
const keywords = new Set(['if', 'else', 'or', 'and', 'in', 'is', 'not'])
const notTestArguments = new Set(['else', 'or', 'and'])

/**
 * Reads expressions by Jinja2's grammar, which nunjucks' differs from: it binds `is`, `in`, `~` and unary minus otherwise, and
 * has no slices, tuples, adjacent strings or `*args`. What is read becomes plain objects.
 */
export class ExpressionParser extends parser.Parser<TemplateNode> {
  readonly #stream: TokenStream
  #depth = 0

  constructor(stream: TokenStream) {
    super(stream)
    this.#stream = stream
  }

  /** What stands alone in a tag: `1, 2` is a tuple there. */
  override parseExpression(): TemplateNode {
    return this.parseTuple(() => this.parseCondition())
  }

  /** `parse` reads each item; without a comma there is no tuple. */
  protected parseTuple(parse: () => TemplateNode): TemplateNode {
    const start = this.current()
    const children: TemplateNode[] = []
    let isTuple = false
    while (!tupleEnds.has(this.current().type)) {
      children.push(parse())
      if (!this.skip('comma')) break
      isTuple = true
    }
    if (isTuple) return { typename: 'Tuple', ...at(start), children }
    const [only] = children
    if (!only) throw unexpected(start)
    return only
  }

  protected parseCondition(): TemplateNode {
    this.#depth += 1
    if (this.#depth > maxTreeDepth) throw tooComplex(`The expression is nested deeper than ${maxTreeDepth}.`, this.current())
    let node = this.parseOr()
    while (this.isName('if')) {
      const start = this.next()
      const cond = this.parseOr()
      const else_ = this.skipSymbol('else') ? this.parseCondition() : null
      node = { typename: 'InlineIf', ...at(start), cond, body: node, else_ }
    }
    this.#depth -= 1
    return node
  }

  protected parseOr(): TemplateNode {
    let left = this.#and()
    while (this.isName('or')) left = { typename: 'Or', ...at(this.next()), left, right: this.#and() }
    return left
  }

  #and(): TemplateNode {
    let left = this.#not()
    while (this.isName('and')) left = { typename: 'And', ...at(this.next()), left, right: this.#not() }
    return left
  }

  #not(): TemplateNode {
    if (this.isName('not')) return { typename: 'Not', ...at(this.next()), target: this.#not() }
    return this.#comparison()
  }

  #comparison(): TemplateNode {
    const expr = this.#sum()
    const ops: NodeOf<'CompareOperand'>[] = []
    for (;;) {
      const start = this.current()
      const type = this.#comparisonOperator()
      if (!type) break
      ops.push({ typename: 'CompareOperand', ...at(start), type, expr: this.#sum() })
    }
    const [first] = ops
    return first ? { typename: 'Compare', ...at(first), expr, ops } : expr
  }

  #comparisonOperator(): string | undefined {
    const token = this.current()
    if (token.type === 'operator' && comparisons.has(token.value)) return this.next().value
    if (this.skipSymbol('in')) return 'in'
    if (!this.isName('not') || this.following()?.value !== 'in') return undefined
    this.next()
    this.next()
    return 'not in'
  }

  #sum(): TemplateNode {
    let left = this.#concatenation()
    for (let type = this.#operator(sumTypes); type; type = this.#operator(sumTypes)) {
      left = { typename: type, ...at(this.next()), left, right: this.#concatenation() }
    }
    return left
  }

  #concatenation(): TemplateNode {
    let left = this.#product()
    while (this.current().type === 'tilde') left = { typename: 'Concat', ...at(this.next()), left, right: this.#product() }
    return left
  }

  #product(): TemplateNode {
    let left = this.#power()
    for (let type = this.#operator(productTypes); type; type = this.#operator(productTypes)) {
      left = { typename: type, ...at(this.next()), left, right: this.#power() }
    }
    return left
  }

  #operator<Type>(types: ReadonlyMap<string, Type>): Type | undefined {
    const token = this.current()
    return token.type === 'operator' ? types.get(token.value) : undefined
  }

  #power(): TemplateNode {
    let left = this.#filtered(this.#unary())
    while (this.isOperator('**')) left = { typename: 'Pow', ...at(this.next()), left, right: this.#filtered(this.#unary()) }
    return left
  }

  /** A filter or test applies to all of `-x`. */
  #unary(): TemplateNode {
    const sign = this.isOperator('-') ? 'Neg' : this.isOperator('+') ? 'Pos' : undefined
    if (sign) return this.#postfixed({ typename: sign, ...at(this.next()), target: this.#unary() })
    return this.#postfixed(this.parseSingle())
  }

  protected parseSingle(): TemplateNode {
    const token = this.next()
    const constant = nameTypes.has(token.type) ? constantValues.get(token.value) : undefined
    if (constant !== undefined && token.type !== 'symbol') return { typename: 'Literal', ...at(token), value: constant }
    if (token.type === 'symbol') {
      this.#refuseNot(token)
      return { typename: 'Symbol', ...at(token), value: token.value }
    }
    if (token.type === 'string') return this.#strings(token)
    if (token.type === 'int' || token.type === 'float') return numberNode(token)
    if (token.type === 'left-paren') return this.#parenthesized(token)
    if (token.type === 'left-bracket')
      return { typename: 'Array', ...at(token), children: this.#list(() => this.parseCondition()) }
    if (token.type === 'left-curly') return this.#dict(token)
    throw unexpected(token)
  }

  /** `not` binds looser than what it stands behind, and would be taken for a name. */
  #refuseNot(token: Token): void {
    const operand = this.current()
    if (token.value !== 'not' || !operandStarts.has(operand.type) || (operand.type === 'symbol' && keywords.has(operand.value)))
      return
    throw syntax('"not" cannot stand behind an operator. Put it in parentheses with what it applies to.', token)
  }

  /** Strings that follow each other are one. */
  #strings(first: Token): TemplateNode {
    const parts = [first.value]
    while (this.current().type === 'string') parts.push(this.next().value)
    return { typename: 'Literal', ...at(first), value: parts.join('') }
  }

  #parenthesized(start: Token): TemplateNode {
    if (this.skip('right-paren')) return { typename: 'Tuple', ...at(start), children: [] }
    const node = this.parseExpression()
    this.expectType('right-paren', ')')
    return node
  }

  /** Items and commas up to "]"; a comma may stand behind the last. */
  #list(parse: () => TemplateNode): TemplateNode[] {
    const items: TemplateNode[] = []
    while (!this.skip('right-bracket')) {
      if (items.length > 0) this.#comma()
      if (items.length > 0 && this.skip('right-bracket')) break
      items.push(parse())
    }
    return items
  }

  #comma(): void {
    const token = this.current()
    if (!this.skip('comma')) throw syntax(`Expected a comma between the brackets, not ${quote(token.value)}.`, token)
  }

  #dict(start: Token): TemplateNode {
    const children: NodeOf<'Pair'>[] = []
    while (!this.skip('right-curly')) {
      if (children.length > 0) this.#comma()
      if (children.length > 0 && this.skip('right-curly')) break
      const key = this.parseCondition()
      const colon = this.current()
      if (!this.skip('colon')) throw syntax('Expected a colon between the brackets, after the key.', colon)
      children.push({ typename: 'Pair', ...at(key), key, value: this.parseCondition() })
    }
    return { typename: 'Dict', ...at(start), children }
  }

  #postfixed(target: TemplateNode): TemplateNode {
    let node = target
    for (;;) {
      const token = this.current()
      if (this.isOperator('.')) node = this.#attribute(node)
      else if (token.type === 'left-bracket') node = this.#subscript(node)
      else if (token.type === 'left-paren') node = this.parseArguments(node)
      else return node
    }
  }

  #attribute(target: TemplateNode): TemplateNode {
    this.next()
    const token = this.next()
    if (token.type === 'int') return { typename: 'LookupVal', ...at(token), target, val: numberNode(token) }
    if (token.type !== 'symbol') throw syntax(`Expected a name or number after the dot, not ${quote(token.value)}.`, token)
    const val = { typename: 'Literal', ...at(token), value: token.value } as const
    return { typename: 'LookupVal', ...at(token), target, val, isAttribute: true }
  }

  #subscript(target: TemplateNode): TemplateNode {
    const start = this.next()
    const commas: Token[] = []
    const items: TemplateNode[] = []
    while (!this.skip('right-bracket')) {
      if (items.length > 0) {
        commas.push(this.current())
        this.#comma()
      }
      items.push(this.#index())
    }
    const [val] = items
    if (!val) throw syntax('Expected an index between "[" and "]".', start)
    if (items.length === 1) return { typename: 'LookupVal', ...at(start), target, val }
    const slice = items.find((item) => item.typename === 'Slice')
    if (slice) throw unsupported('A slice among several indexes is not supported.', slice)
    return { typename: 'LookupVal', ...at(start), target, val: { typename: 'Tuple', ...at(start), children: items } }
  }

  /** `a`, or a slice such as `a:b:c`, each part of which may be absent. */
  #index(): TemplateNode {
    const startToken = this.current()
    const parts: (TemplateNode | null)[] = []
    const part = () => {
      const { type } = this.current()
      return type === 'colon' || type === 'right-bracket' || type === 'comma' ? null : this.parseCondition()
    }
    const first = part()
    if (first && this.current().type !== 'colon') return first
    while (parts.length < 2 && this.skip('colon')) parts.push(part())
    if (parts.length === 0) throw unexpected(this.current())
    return { typename: 'Slice', ...at(startToken), start: first, stop: parts[0] ?? null, step: parts[1] ?? null }
  }

  protected parseArguments(name: TemplateNode): NodeOf<'FunCall'> {
    return { typename: 'FunCall', ...at(name), name, args: this.#arguments([]) }
  }

  /** In Python's order: values, `*values`, keywords, `**keywords`. What stands before them is given as `children`. */
  #arguments(children: TemplateNode[]): NodeOf<'NodeList'> {
    const start = this.next()
    const keywords: NodeOf<'Pair'>[] = []
    let spread: TemplateNode | undefined
    let keywordSpread: TemplateNode | undefined
    const keys = new Set<string>()
    for (let isFirst = true; !this.skip('right-paren'); isFirst = false) {
      if (!isFirst) this.#comma()
      if (!isFirst && this.skip('right-paren')) break
      const token = this.current()
      const key = this.#keyword()
      if (keywordSpread || (spread && this.isOperator('*'))) throw unexpected(token)
      if (key && keys.has(key.value)) throw syntax(`The keyword ${quote(key.value)} is given twice.`, key)
      if (key) keys.add(key.value)
      if (key) keywords.push({ typename: 'Pair', ...at(key), key, value: this.parseCondition() })
      else if (this.skipValue('operator', '*')) spread = { typename: 'Spread', ...at(token), target: this.parseCondition() }
      else if (this.skipValue('operator', '**')) {
        keywordSpread = { typename: 'KeywordSpread', ...at(token), target: this.parseCondition() }
      } else if (spread || keywords.length > 0) throw syntax('A value must stand before the keywords.', token)
      else children.push(this.parseCondition())
    }
    if (spread) children.push(spread)
    if (keywords.length > 0) children.push({ typename: 'KeywordArgs', ...at(keywords[0] ?? start), children: keywords })
    if (keywordSpread) children.push(keywordSpread)
    return { typename: 'NodeList', ...at(start), children }
  }

  /** The name of `name=`, which is read; null where there is none. */
  #keyword(): NodeOf<'Symbol'> | null {
    const following = this.following()
    if (this.current().type !== 'symbol' || following?.type !== 'operator' || following.value !== '=') return null
    const token = this.next()
    this.next()
    return { typename: 'Symbol', ...at(token), value: token.value }
  }

  #filtered(target: TemplateNode): TemplateNode {
    let node = target
    for (;;) {
      if (this.current().type === 'pipe') node = this.parseFilter(node)
      else if (this.isName('is')) node = this.#test(node)
      else if (this.current().type === 'left-paren') node = this.parseArguments(node)
      else return node
    }
  }

  /** From "|" on, or from the name where the bar is left out. */
  protected parseFilter(target: TemplateNode): TemplateNode {
    this.skip('pipe')
    const name = this.#dottedName()
    const args = this.current().type === 'left-paren' ? this.#arguments([target]) : listOf(name, [target])
    return { typename: 'Filter', ...at(name), name, args }
  }

  #test(target: TemplateNode): TemplateNode {
    const start = this.next()
    const isNegated = this.skipSymbol('not')
    const name = this.#dottedName()
    const node: TemplateNode = { typename: 'Test', ...at(name), target, name, args: this.#testArguments(name) }
    return isNegated ? { typename: 'Not', ...at(start), target: node } : node
  }

  /** The one argument of `x is divisibleby 3` needs no parentheses. */
  #testArguments(name: TemplateNode): NodeOf<'NodeList'> {
    const token = this.current()
    if (token.type === 'left-paren') return this.#arguments([])
    if (!operandStarts.has(token.type) || (token.type === 'symbol' && notTestArguments.has(token.value))) {
      return listOf(name, [])
    }
    if (this.isName('is')) throw syntax('Tests cannot follow each other; use "and" between them.', token)
    return listOf(name, [this.#postfixed(this.parseSingle())])
  }

  #dottedName(): NodeOf<'Symbol'> {
    const token = this.next()
    if (!nameTypes.has(token.type)) throw syntax(`Expected a name, not ${quote(token.value)}.`, token)
    let value = token.value
    while (this.skipValue('operator', '.')) value += `.${this.next().value}`
    return { typename: 'Symbol', ...at(token), value }
  }

  /** Without a name, the tag is the one that comes next. */
  override advanceAfterBlockEnd(tagName = this.next().value): Token {
    const end = this.next()
    if (end.type !== 'block-end') throw syntax(`Expected "%}" here, to end the tag ${quote(tagName)}.`, end)
    return end
  }

  protected isName(name: string): boolean {
    const token = this.current()
    return token.type === 'symbol' && token.value === name
  }

  protected isOperator(value: string): boolean {
    const token = this.current()
    return token.type === 'operator' && token.value === value
  }

  protected expectType(type: string, sign: string): void {
    const token = this.current()
    if (!this.skip(type)) throw syntax(`Expected ${quote(sign)} here, not ${quote(token.value)}.`, token)
  }

  protected current(): Token {
    return this.peekToken() ?? { type: 'end', value: 'the end of the template', lineno: 0, colno: 0 }
  }

  /** The token after the current one. */
  protected following(): Token | undefined {
    this.current()
    return this.#stream.upcoming()
  }

  protected next(): Token {
    return this.nextToken() ?? { type: 'end', value: 'the end of the template', lineno: 0, colno: 0 }
  }
}

export function at({ lineno, colno }: Position): Position {
  return { lineno, colno }
}

export function unexpected(token: Token): Error {
  return syntax(`Unexpected ${quote(token.value)}.`, token)
}

export function listOf(start: Position, children: TemplateNode[]): NodeOf<'NodeList'> {
  return { typename: 'NodeList', ...at(start), children }
}

function numberNode(token: Token): NodeOf<'Literal'> {
  if (token.type === 'float') return { typename: 'Literal', ...at(token), value: Number(token.value), isFloat: true }
  if (token.value.length > maxDigits) throw tooComplex(`A number has more than ${maxDigits} digits.`, token)
  const value = Number(token.value)
  return { typename: 'Literal', ...at(token), value: Number.isSafeInteger(value) ? value : BigInt(token.value) }
}
