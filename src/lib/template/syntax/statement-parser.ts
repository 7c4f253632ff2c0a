import type { Token } from 'nunjucks/src/parser.js'
import { quote, syntax, tooComplex } from '../template-error.js'
import { CompositionParser } from './composition-parser.js'
import { at, listOf, maxTreeDepth } from './expression-parser.js'
import { childNodes, type NodeOf, type TemplateNode } from './nodes.js'
import type { TokenStream } from './token-stream.js'

const maxBlockDepth = 100

/**
 * Reads tags by Jinja2's grammar. Adds `with`, `print`, filters of a `set` block, and the condition and "recursive" of a
 * loop, and bounds the recursion from tag to tag; that within a tag the scan bounds.
 */
export class StatementParser extends CompositionParser {
  readonly #stream: TokenStream
  readonly #blocks = new Set<string>()
  #blockDepth = 0

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

  override parseStatement(): TemplateNode | null {
    if (this.isName('with')) return this.#with()
    if (this.isName('print')) return this.#print()
    if (this.isName('include')) return this.parseIncludeTag()
    if (this.isName('extends')) return this.parseExtendsTag()
    if (this.isName('import')) return this.parseImportTag()
    if (this.isName('from')) return this.parseFromTag()
    return super.parseStatement()
  }

  override parseIf(): TemplateNode {
    const start = this.next()
    const branches: { start: Token; cond: TemplateNode; body: TemplateNode }[] = []
    for (let tag = start; tag.value !== 'else' && tag.value !== 'endif'; tag = this.next()) {
      const cond = this.parseTuple(() => this.parseOr())
      this.#endOfTag(tag)
      branches.push({ start: tag, cond, body: this.parseUntilBlocks('elif', 'else', 'endif') })
      // Every "elif" is an "if" within the one before.
      if (branches.length > maxTreeDepth) throw tooComplex('The "if" has too many "elif".', tag)
      if (this.isName('endif')) break
      if (this.isName('else')) break
    }
    let else_: TemplateNode | null = null
    if (this.isName('else')) {
      this.#endOfTag(this.next())
      else_ = this.parseUntilBlocks('endif')
    }
    this.advanceAfterBlockEnd()
    for (const branch of branches.reverse()) {
      else_ = { typename: 'If', ...at(branch.start), cond: branch.cond, body: branch.body, else_ }
    }
    return else_ as TemplateNode
  }

  override parseFor(): TemplateNode {
    const start = this.next()
    const name = this.#target()
    refuseLoop(name)
    if (!this.skipSymbol('in')) throw syntax('Expected "in" after the names of the loop.', this.current())
    const arr = this.parseTuple(() => this.parseOr())
    const test = this.skipSymbol('if') ? this.parseCondition() : null
    const isRecursive = this.skipSymbol('recursive')
    this.#endOfTag(start)
    const body = this.parseUntilBlocks('endfor', 'else')
    let else_: TemplateNode | null = null
    if (this.isName('else')) {
      this.#endOfTag(this.next())
      else_ = this.parseUntilBlocks('endfor')
    }
    this.advanceAfterBlockEnd()
    return { typename: 'For', ...at(start), arr, name, test, isRecursive, body, else_ }
  }

  override parseSet(): TemplateNode {
    const start = this.next()
    const target = this.parseTuple(() => (this.following()?.value === '.' ? this.#namespaceTarget() : this.parseSingle()))
    checkTarget(target, true)
    if (this.skipValue('operator', '=')) {
      const value = this.parseExpression()
      this.advanceAfterBlockEnd('set')
      return { typename: 'Set', ...at(start), target, value, isBlock: false }
    }
    const filters = this.#filters()
    this.#endOfTag(start)
    const body = this.parseUntilBlocks('endset')
    this.advanceAfterBlockEnd()
    return { typename: 'Set', ...at(start), target, value: filters({ typename: 'Capture', ...at(start), body }), isBlock: true }
  }

  override parseMacro(): TemplateNode {
    const start = this.next()
    const name = this.parseName()
    const args = this.#signature()
    this.#endOfTag(start)
    const body = this.parseUntilBlocks('endmacro')
    this.advanceAfterBlockEnd()
    return { typename: 'Macro', ...at(start), name, args, body }
  }

  override parseCall(): TemplateNode {
    const start = this.next()
    const args = this.current().type === 'left-paren' ? this.#signature() : listOf(start, [])
    const callStart = this.current()
    const call = this.parseCondition()
    if (call.typename !== 'FunCall') throw syntax('Expected the call of a macro in the tag "call".', callStart)
    this.#endOfTag(start)
    const body = this.parseUntilBlocks('endcall')
    this.advanceAfterBlockEnd()
    return { typename: 'CallBlock', ...at(start), call, args, body }
  }

  override parseFilterStatement(): TemplateNode {
    const start = this.next()
    const filters = this.#filters(true)
    this.#endOfTag(start)
    const body = this.parseUntilBlocks('endfilter')
    this.advanceAfterBlockEnd()
    return { typename: 'Output', ...at(start), children: [filters({ typename: 'Capture', ...at(start), body })] }
  }

  override parseBlock(): TemplateNode {
    const start = this.next()
    const name = this.parseName()
    if (this.#blocks.has(name.value)) throw syntax(`The block ${quote(name.value)} is defined twice.`, name)
    this.#blocks.add(name.value)
    const isScoped = this.skipSymbol('scoped')
    const isRequired = this.skipSymbol('required')
    this.#endOfTag(start)
    const body = this.parseUntilBlocks('endblock')
    if (isRequired) checkRequired(body)
    this.next()
    this.skipSymbol(name.value)
    this.advanceAfterBlockEnd('endblock')
    return { typename: 'Block', ...at(start), name, isScoped, isRequired, body }
  }

  #with(): TemplateNode {
    const start = this.next()
    const pairs: NodeOf<'Pair'>[] = []
    while (this.current().type !== 'block-end' && this.current().type !== 'colon') {
      if (pairs.length > 0) this.expectType('comma', ',')
      const key = this.#target()
      if (!this.skipValue('operator', '=')) throw syntax('Expected "=" after the name.', this.current())
      pairs.push({ typename: 'Pair', ...at(key), key, value: this.parseCondition() })
    }
    this.#endOfTag(start)
    const body = this.parseUntilBlocks('endwith')
    this.advanceAfterBlockEnd()
    return { typename: 'With', ...at(start), pairs, body }
  }

  #print(): TemplateNode {
    const start = this.next()
    const children: TemplateNode[] = []
    while (this.current().type !== 'block-end') {
      if (children.length > 0) this.expectType('comma', ',')
      children.push(this.parseCondition())
    }
    this.advanceAfterBlockEnd('print')
    return { typename: 'Output', ...at(start), children }
  }

  /** As in Python, a colon may stand at the end of a tag that has a body. */
  #endOfTag(tag: Token): void {
    this.skip('colon')
    this.advanceAfterBlockEnd(tag.value)
  }

  /** A name, or several in a tuple. */
  #target(): TemplateNode {
    const target = this.parseTuple(() => this.parseSingle())
    checkTarget(target)
    return target
  }

  #namespaceTarget(): TemplateNode {
    const target = this.parseName()
    this.next()
    const name = this.parseName()
    return {
      typename: 'LookupVal',
      ...at(target),
      target,
      val: { typename: 'Literal', ...at(name), value: name.value },
      isAttribute: true,
    }
  }

  /** Reads filters now, to apply them to what follows the tag. */
  #filters(isInline = false): (body: TemplateNode) => TemplateNode {
    const placeholder: TemplateNode = { typename: 'Literal', ...at(this.current()), value: '' }
    let filter: TemplateNode = placeholder
    if (isInline) filter = this.parseFilter(filter)
    while (this.current().type === 'pipe') filter = this.parseFilter(filter)
    return (body) => (filter === placeholder ? body : withInput(filter, placeholder, body))
  }

  #signature(): TemplateNode {
    const start = this.current()
    this.expectType('left-paren', '(')
    const parameters: TemplateNode[] = []
    const defaults: NodeOf<'Pair'>[] = []
    while (!this.skip('right-paren')) {
      if (parameters.length + defaults.length > 0) this.expectType('comma', ',')
      const key = this.parseName()
      if (this.skipValue('operator', '=')) {
        defaults.push({ typename: 'Pair', ...at(key), key, value: this.parseCondition() })
      } else if (defaults.length > 0) throw syntax('A parameter without a default follows one with a default.', key)
      else parameters.push(key)
    }
    if (defaults[0]) parameters.push({ typename: 'KeywordArgs', ...at(defaults[0]), children: defaults })
    return listOf(start, parameters)
  }
}

/** What stands in a block that has to be given elsewhere would never be printed. */
function checkRequired(body: TemplateNode): void {
  const text = childNodes(body).flatMap((node) => (node.typename === 'Output' ? node.children : [node]))
  const printed = text.find((node) => node.typename !== 'TemplateData' || node.value.trim() !== '')
  if (printed) throw syntax('A block that is required holds only comments and spaces.', printed)
}

function withInput(filter: TemplateNode, placeholder: TemplateNode, body: TemplateNode): TemplateNode {
  let innermost = filter
  while (innermost.typename === 'Filter' && innermost.args.children[0] !== placeholder)
    innermost = innermost.args.children[0] as TemplateNode
  if (innermost.typename === 'Filter') innermost.args.children[0] = body
  return filter
}

/** A `set` can also give a namespace an attribute. */
function checkTarget(target: TemplateNode, takesAttributes = false): void {
  if (target.typename === 'Tuple') for (const child of target.children) checkTarget(child, takesAttributes)
  else if (target.typename === 'Symbol') return
  else if (takesAttributes && target.typename === 'LookupVal' && target.isAttribute && target.target.typename === 'Symbol') return
  else throw syntax('Only names can be assigned to.', target)
}

function refuseLoop(target: TemplateNode): void {
  if (target.typename === 'Tuple') for (const child of target.children) refuseLoop(child)
  else if (target.typename === 'Symbol' && target.value === 'loop') throw syntax('"loop" cannot be a name of a loop.', target)
}
