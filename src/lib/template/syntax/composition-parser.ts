import { isPromptName, labelPattern } from '../../names.js'
import { type Position, quote, syntax, unsupported } from '../template-error.js'
import { at, ExpressionParser } from './expression-parser.js'
import type { NodeOf, TemplateNode } from './nodes.js'

const maxReferences = 20

/**
 * Reads the tags that name other prompts. A name has to be a text in quotes: what it stands for is settled when a version is
 * pushed, before there are any variables.
 */
export class CompositionParser extends ExpressionParser {
  protected parseIncludeTag(): NodeOf<'Include'> {
    const start = this.next()
    const reference = this.current()
    const node = this.parseCondition()
    const references = isList(node) ? this.#listed(node) : [referenceOf(node, reference)]
    const isOptional = this.#isPair('ignore', 'missing')
    const withContext = this.#context() ?? true
    this.advanceAfterBlockEnd('include')
    return { typename: 'Include', ...at(start), references, isOptional, withContext }
  }

  protected parseExtendsTag(): NodeOf<'Extends'> {
    const start = this.next()
    const reference = this.#reference()
    this.advanceAfterBlockEnd('extends')
    return { typename: 'Extends', ...at(start), reference }
  }

  protected parseImportTag(): NodeOf<'Import'> {
    const start = this.next()
    const reference = this.#reference()
    if (!this.skipSymbol('as')) throw syntax('Expected "as" and a name for what is imported.', this.current())
    const target = this.parseName()
    const withContext = this.#context() ?? false
    this.advanceAfterBlockEnd('import')
    return { typename: 'Import', ...at(start), reference, target, withContext }
  }

  protected parseFromTag(): NodeOf<'FromImport'> {
    const start = this.next()
    const reference = this.#reference()
    if (!this.skipSymbol('import')) throw syntax('Expected "import" and the names to import.', this.current())
    const names: NodeOf<'FromImport'>['names'] = []
    let withContext = this.#context()
    while (withContext === undefined) {
      names.push(this.#importedName())
      withContext = this.#context()
      if (withContext !== undefined || !this.skip('comma')) break
      withContext = this.#context()
    }
    this.advanceAfterBlockEnd('from')
    return { typename: 'FromImport', ...at(start), reference, names, withContext: withContext ?? false }
  }

  #importedName(): NodeOf<'FromImport'>['names'][number] {
    const name = this.parseName()
    if (name.value.startsWith('_'))
      throw syntax('A name that begins with "_" belongs to its prompt and cannot be imported.', name)
    return { name, target: this.skipSymbol('as') ? this.parseName() : name }
  }

  #reference(): NodeOf<'Reference'> {
    const start = this.current()
    return referenceOf(this.parseCondition(), start)
  }

  #listed(node: NodeOf<'Array' | 'Tuple'>): NodeOf<'Reference'>[] {
    if (node.children.length === 0) throw unsupported('The list of prompts is empty.', node)
    if (node.children.length > maxReferences) throw unsupported(`A list has at most ${maxReferences} prompts.`, node)
    return node.children.map((child) => referenceOf(child))
  }

  /** `with context` or `without context`; undefined where neither stands. */
  #context(): boolean | undefined {
    if (this.#isPair('with', 'context')) return true
    return this.#isPair('without', 'context') ? false : undefined
  }

  /** Two words in a row, which are read. */
  #isPair(first: string, second: string): boolean {
    const following = this.following()
    if (!this.isName(first) || following?.type !== 'symbol' || following.value !== second) return false
    this.next()
    this.next()
    return true
  }

  protected parseName(): NodeOf<'Symbol'> {
    const token = this.next()
    if (token.type !== 'symbol') throw syntax(`Expected a name, not ${quote(token.value)}.`, token)
    return { typename: 'Symbol', ...at(token), value: token.value }
  }
}

function isList(node: TemplateNode): node is NodeOf<'Array' | 'Tuple'> {
  return node.typename === 'Array' || node.typename === 'Tuple'
}

function referenceOf(node: TemplateNode, start: Position = node): NodeOf<'Reference'> {
  if (node.typename !== 'Literal' || typeof node.value !== 'string') {
    const reason = 'which prompt it is has to be known when this one is pushed. Choose between several with "if".'
    throw unsupported(`Expected the name of a prompt in quotes: ${reason}`, start)
  }
  if (!isReference(node.value)) {
    const segments = 'lower-case letters, digits, ".", "_" and "-", in segments joined by "/"'
    throw syntax(`${quote(node.value)} is not a prompt: its name has ${segments}, perhaps with "@" and a label or number.`, node)
  }
  return { typename: 'Reference', ...at(node), value: node.value }
}

/** `name` or `name@ref`. */
function isReference(text: string): boolean {
  const sign = text.indexOf('@')
  if (sign === -1) return isPromptName(text)
  return isPromptName(text.slice(0, sign)) && labelPattern.test(text.slice(sign + 1))
}
