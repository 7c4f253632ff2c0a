import { fromJson, OperationError, type Value } from '../values/values.js'
import type { Run } from './frame.js'

/** Making values of lists and dicts takes time: so many of these and of the keys in them may be used. */
const maxParts = 60_000

/** How many lists, dicts and keys there are in a value. */
function partsOf(json: unknown, limit: number): number {
  let count = 0
  const pending = [json]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (typeof next !== 'object' || next === null) continue
    const children: unknown[] = Array.isArray(next) ? next : Object.values(next)
    count += Array.isArray(next) ? 1 : 1 + children.length
    for (const child of children) if (typeof child === 'object' && child !== null) pending.push(child)
    if (count + pending.length <= limit) continue
    throw new OperationError('TooComplex', `The variables have more than ${maxParts} lists, dicts and keys.`)
  }
  return count
}

/** JSON values by their names. What of them templates use becomes values of templates once, for all renderings that share them. */
export class Given {
  readonly #json: Record<string, unknown>
  #values: Map<string, Value> | null = null
  #parts = 0

  constructor(json: Record<string, unknown>) {
    this.#json = json
  }

  find(name: string): Value | undefined {
    const json = Object.hasOwn(this.#json, name) ? this.#json[name] : undefined
    if (json === undefined || typeof json === 'string' || typeof json === 'boolean') return json
    if (typeof json === 'number' && Number.isSafeInteger(json)) return json
    const known = this.#values?.get(name)
    if (known !== undefined) return known
    this.#parts += partsOf(json, maxParts - this.#parts)
    const value = fromJson(json)
    this.#values ??= new Map()
    this.#values.set(name, value)
    return value
  }
}

/** What the templates of a rendering find by their names where none of them has set it. */
export class Variables {
  /** Null where a template is rendered without a context: what it lacks, nobody can give. */
  readonly #given: Given | null
  readonly #run: Run
  /** They have to stay the same ones. */
  #globals: Map<string, Value> | null = null

  constructor(given: Given | null, run: Run) {
    this.#given = given
    this.#run = run
  }

  get areGiven(): boolean {
    return this.#given !== null
  }

  find(name: string): Value | undefined {
    const given = this.#given?.find(name)
    if (given !== undefined) return given
    const known = this.#globals?.get(name)
    if (known !== undefined) return known
    const value = this.#run.global(name)
    if (value !== undefined) {
      this.#globals ??= new Map()
      this.#globals.set(name, value)
    }
    return value
  }
}

export type Names = ReadonlyMap<string, Value>

const noNames: Names = new Map()

/**
 * What Jinja2 calls a context: the values that a template finds by their names, and its blocks. A template and those it
 * extends share one. Nothing of it changes but by what they do outside of blocks, loops and macros. Most templates set no
 * names and have no blocks, so that the maps are made when there is something to put into them.
 */
export class TemplateContext<Block> {
  /** What stands around the place that the template was included at. */
  readonly #around: Names
  #set: Map<string, Value> | null = null
  #imported: Set<string> | null = null
  #blocks: Map<string, Block[]> | null = null

  constructor(
    readonly variables: Variables,
    /** The reference of its first template, or null for the one that is rendered itself. */
    readonly template: string | null,
    around = noNames,
  ) {
    this.#around = around
  }

  find(name: string): Value | undefined {
    // None is null, so that "??" would look behind it.
    const own = this.#set?.get(name)
    if (own !== undefined) return own
    const around = this.#around === noNames ? undefined : this.#around.get(name)
    return around === undefined ? this.variables.find(name) : around
  }

  set(name: string, value: Value): void {
    this.#set ??= new Map()
    this.#set.set(name, value)
    this.#imported?.delete(name)
  }

  /** Like `set`, but for what the template does not hand on to one that imports it. */
  setImported(name: string, value: Value): void {
    this.set(name, value)
    this.#imported ??= new Set()
    this.#imported.add(name)
  }

  /** What an import of the template gives. */
  exported(): Names {
    const isExported = (name: string) => !name.startsWith('_') && !this.#imported?.has(name)
    return new Map(Array.from(this.#set ?? []).filter(([name]) => isExported(name)))
  }

  /** All that is found in it now and was not given from outside, and `locals` before that. */
  names(locals: Names): Names {
    if (!this.#set && locals.size === 0) return this.#around
    return new Map([...this.#around, ...(this.#set ?? []), ...locals])
  }

  /** The same blocks with more names. */
  derived(locals: Names): TemplateContext<Block> {
    const context = new TemplateContext<Block>(this.variables, this.template, this.names(locals))
    if (this.#blocks) context.#blocks = new Map(Array.from(this.#blocks, ([name, blocks]) => [name, [...blocks]]))
    return context
  }

  /** How much there is to copy in `derived` and `names`. */
  get size(): number {
    return this.#around.size + (this.#set?.size ?? 0) + (this.#blocks?.size ?? 0)
  }

  /** Those of the template that extends come first. */
  addBlock(name: string, block: Block): void {
    this.#blocks ??= new Map()
    const blocks = this.#blocks.get(name)
    if (blocks) blocks.push(block)
    else this.#blocks.set(name, [block])
  }

  blocks(name: string): readonly Block[] | undefined {
    return this.#blocks?.get(name)
  }
}
