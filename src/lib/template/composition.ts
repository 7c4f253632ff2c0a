import { childNodes, type NodeOf, type TemplateNode } from './syntax/nodes.js'
import { tooComplex } from './template-error.js'

/**
 * A template together with the exact versions of the prompts it names, by their names as they are written in it. What a name
 * may lack is a prompt that the template does without (`ignore missing`, or another one of a list).
 */
export type Unit<Template> = { template: Template; includes: Includes<Template> }

export type Includes<Template> = ReadonlyMap<string, Unit<Template> | Verbatim>

/** A prompt that is no template: its text is inserted as it is. */
export type Verbatim = { text: string }

/**
 * Of all templates of a prompt together, those it includes among them: what is done with a prompt is done with all of them at
 * once. A text is one of these however long it is.
 */
const maxSize = 15_000

/** Adds up the templates of one prompt, each of which is given once, however often it is included. */
export class PromptSize {
  #size = 0

  get total(): number {
    return this.#size
  }

  /** Throws `TemplateError` where with this one they are too many. */
  add({ size }: NodeOf<'Root'>): void {
    this.#size += size
    if (this.#size <= maxSize) return
    const counted = `more than ${maxSize} names, operators, tags and texts`
    throw tooComplex(`The prompt has ${counted} with all that it includes. Split it, or include less.`, { lineno: 0, colno: 0 })
  }
}

/** One place of a template that names other prompts. */
export type Reference = {
  tag: 'include' | 'extends' | 'import'
  /** Tried in this order; more than one only for an include of a list. */
  names: string[]
  /** Whether the template does without, where none of them is there. */
  isOptional: boolean
  /** Counted from 1. */
  line: number
  column: number
}

/** The places of a template that name other prompts, in the order they are written. Pure. */
export function templateReferences(root: TemplateNode): Reference[] {
  const references: Reference[] = []
  const pending = [root]
  for (let node = pending.pop(); node; node = pending.pop()) {
    const reference = referenceOf(node)
    if (reference) references.push(reference)
    else pending.push(...childNodes(node).reverse())
  }
  return references
}

function referenceOf(node: TemplateNode): Reference | null {
  if (node.typename === 'Include') return at(node, 'include', node.references, node.isOptional)
  if (node.typename === 'Extends') return at(node, 'extends', [node.reference], false)
  if (node.typename === 'Import' || node.typename === 'FromImport') return at(node, 'import', [node.reference], false)
  return null
}

function at(node: TemplateNode, tag: Reference['tag'], names: NodeOf<'Reference'>[], isOptional: boolean): Reference {
  return { tag, names: names.map(({ value }) => value), isOptional, line: node.lineno + 1, column: node.colno + 1 }
}
