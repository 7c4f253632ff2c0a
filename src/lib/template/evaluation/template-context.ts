import { fromJson, type Value } from '../values/values.js'
import type { Run } from './frame.js'

/** What a rendering was given, as values of templates. */
export class Variables {
  /** Null where a template is rendered without a context: what it lacks, nobody can give. */
  readonly #given: Record<string, unknown> | null
  readonly #run: Run
  /** What takes time to turn into a value, or has to stay the same one. */
  #kept: Map<string, Value> | null = null

  constructor(given: Record<string, unknown> | null, run: Run) {
    this.#given = given
    this.#run = run
  }

  get areGiven(): boolean {
    return this.#given !== null
  }

  find(name: string): Value | undefined {
    const given = this.#given !== null && Object.hasOwn(this.#given, name) ? this.#given[name] : undefined
    if (typeof given === 'string' || typeof given === 'boolean') return given
    if (typeof given === 'number' && Number.isSafeInteger(given)) return given
    const kept = this.#kept?.get(name)
    if (kept !== undefined) return kept
    const value = given === undefined ? this.#run.global(name) : fromJson(given)
    if (value !== undefined) {
      this.#kept ??= new Map()
      this.#kept.set(name, value)
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
