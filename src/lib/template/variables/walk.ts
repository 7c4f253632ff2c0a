import type { NodeOf, TemplateNode } from '../syntax/nodes.js'
import type { Effort } from './effort.js'
import { Binding, Names } from './names.js'
import { type Need, Outside, type Source, type Subject, unknown, type Value } from './places.js'
import { Replay, type Summary, type Surroundings } from './summary.js'
import type { Survey } from './survey.js'

/** A place of a part where a block is rendered: its own, by `self`, or by `super()`. */
export type BlockSite = {
  name: string
  order: number
  moment: number
  /** The same for all sites between which nothing changes that blocks see. */
  exportedVersion: number
  isScoped: boolean
  isGuarded: boolean
  /** For `super()` how many templates up, else null. */
  above: number | null
}

/** What of the prompts that a template names is known when it is walked. */
export type Known = {
  effort: Effort
  /** What the first of the prompts that is there takes from around it. */
  summary: (references: readonly string[]) => Summary | null
  /** Reads what stands within a body that is itself an expression. */
  capture: (walk: Walk, node: NodeOf<'Capture'>) => void
}

const globals: ReadonlySet<string> = new Set(['range', 'dict', 'lipsum', 'cycler', 'joiner', 'namespace'])

/** Goes through one part of a template: the template outside of its blocks, or a block. */
export class Walk implements Surroundings {
  readonly outside = new Outside()
  readonly names: Names
  readonly blocks: BlockSite[] = []
  /** Whether a parent is certain, so that nothing is printed outside of blocks. */
  isExtending = false
  isSilent = false
  #macroDepth = 0
  #ifDepth = 0
  #activeGuards = 0
  readonly #appliedAt = new Map<Summary, number>()

  constructor(
    readonly known: Known,
    readonly survey: Survey,
    /** The name of the block, where the part is one. */
    readonly block: string | null,
  ) {
    this.names = new Names(block === null)
  }

  get isRootLevel(): boolean {
    return this.names.isTop && this.#ifDepth === 0
  }

  see(text: string, order: number, need: Need): Value {
    const binding = this.names.get(text)?.binding
    if (binding) {
      const { value, aliasOf, guards } = binding
      if (need === 'needed' && guards === 0) for (const source of aliasOf) source.demand()
      return value
    }
    // A macro may call one that is defined after it.
    if (this.#macroDepth > 0 && this.survey.macros.has(text)) return unknown
    return globals.has(text) ? unknown : this.outside.see(text, order, need)
  }

  /** Another name for what `text` stands for, which is no use of it yet. */
  alias(text: string, order: number): Binding {
    const value = this.see(text, order, 'guarded')
    const bound = this.names.get(text)?.binding
    if (bound) return new Binding(value, bound.guards > 0 ? [] : bound.aliasOf)
    return new Binding(value, value === unknown ? [] : unguarded([this.outside.source(text)]))
  }

  /** What a condition on the name says something about. */
  subjects(text: string): Subject[] {
    const binding = this.names.get(text)?.binding
    if (!binding) return [this.outside.source(text)]
    return binding.aliasOf.length === 1 ? [binding, ...binding.aliasOf] : [binding]
  }

  apply(references: readonly string[], order: number): void {
    const summary = this.known.summary(references)
    if (!summary || this.#appliedAt.get(summary) === this.names.version) return
    const { effort } = this.known
    if (!this.#appliedAt.has(summary)) effort.handOn(summary.length)
    else if (!effort.repeat(summary.length)) return
    const replay = new Replay(this)
    summary.forEach((entry, index) => {
      replay.take(entry, order + Math.min(index, ordersOfNode - 1))
    })
    this.#appliedAt.set(summary, this.names.version)
  }

  renderBlock(name: string, node: TemplateNode, how: { isScoped?: boolean; above?: number } = {}): void {
    const { moment, exportedVersion } = this.names
    const { isScoped = false, above = null } = how
    const isGuarded = this.#activeGuards > 0
    this.blocks.push({ name, order: orderOf(node), moment, exportedVersion, isScoped, isGuarded, above })
    this.names.moment += 1
  }

  inMacro(run: () => void): void {
    this.#macroDepth += 1
    this.aloud(run)
    this.#macroDepth -= 1
  }

  /** What is printed in `run` is kept, even where the template has a parent. */
  aloud(run: () => void): void {
    const { isSilent } = this
    this.isSilent = false
    run()
    this.isSilent = isSilent
  }

  inIf(run: () => void): void {
    this.#ifDepth += 1
    run()
    this.#ifDepth -= 1
  }

  guarding(subjects: readonly Subject[], run: () => void): void {
    this.guard(subjects)
    run()
    this.unguard(subjects)
  }

  guard(subjects: readonly Subject[]): void {
    if (subjects.length > 0) this.names.version += 1
    this.#activeGuards += subjects.length
    for (const subject of subjects) subject.guard(this.names.moment)
  }

  unguard(subjects: readonly Subject[]): void {
    if (subjects.length > 0) this.names.version += 1
    this.#activeGuards -= subjects.length
    for (const subject of subjects) subject.unguard(this.names.moment)
  }
}

function unguarded(sources: Source[]): Source[] {
  return sources.filter(({ guards }) => guards === 0)
}

/** Room for the order of what a node includes. */
const ordersOfNode = 2 ** 16
const maxColumns = 2 ** 18

/** A number that grows from node to node as they are written. */
export function orderOf({ lineno, colno }: TemplateNode): number {
  return (lineno * maxColumns + colno) * ordersOfNode
}
