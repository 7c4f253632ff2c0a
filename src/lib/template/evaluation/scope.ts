import { childNodes, type NodeOf, type TemplateNode } from '../syntax/nodes.js'

/**
 * Which place each name of a template is kept in. As in Jinja2 this follows from the text alone: a name belongs to the part
 * that sets it, parts within see it there, and any other name is looked up among the variables.
 */

/** A part with slots of its own each time it runs: the template, a block, a macro, a recursive loop. */
export class FunctionScope {
  size = 0

  constructor(readonly depth: number) {}
}

export type Slot = { readonly scope: FunctionScope; readonly index: number }

/** How a slot gets its first value where the part begins. */
export type Load = { kind: 'parameter' } | { kind: 'variable'; name: string } | { kind: 'alias'; of: Slot } | { kind: 'missing' }

/** A name that a part sets, its slot, and whether it is looked up where nothing is in that. */
export type Local = { name: string; index: number; isVariable: boolean }

export class Symbols {
  /** Shared between the branches of an `if`, in which a name has one slot. */
  #slots = new Map<string, Slot>()
  #known = new Map<string, Slot>()
  #loads = new Map<Slot, Load>()
  #stores = new Set<string>()
  #locals: Local[] | null = null

  constructor(
    readonly scope: FunctionScope,
    readonly parent: Symbols | null,
    /** For a branch: the part it is of, which it adds to and does not change. */
    readonly before: Symbols | null = null,
  ) {}

  get loads(): ReadonlyMap<Slot, Load> {
    return this.#loads
  }

  storedSlots(): Set<Slot | undefined> {
    return new Set(Array.from(this.#stores, (name) => this.#known.get(name)))
  }

  /** Each name that the part sets, once all of it is noted. */
  get locals(): readonly Local[] {
    this.#locals ??= Array.from(this.#stores).flatMap((name) => {
      const slot = this.#known.get(name)
      return slot ? { name, index: slot.index, isVariable: this.#loads.get(slot)?.kind === 'variable' } : []
    })
    return this.#locals
  }

  find(name: string): Slot | undefined {
    for (let symbols: Symbols | null = this; symbols; symbols = symbols.parent) {
      const slot = symbols.#own(name)
      if (slot) return slot
    }
    return undefined
  }

  loadOf(slot: Slot): Load | undefined {
    for (let symbols: Symbols | null = this; symbols; symbols = symbols.parent) {
      const load = symbols.#loads.get(slot)
      if (load) return load
    }
    return undefined
  }

  load(name: string): void {
    if (!this.find(name)) this.#define(name, { kind: 'variable', name })
  }

  store(name: string): void {
    this.#stores.add(name)
    if (this.#own(name)) return
    const outer = this.parent?.find(name)
    this.#define(name, outer ? { kind: 'alias', of: outer } : { kind: 'missing' })
  }

  parameter(name: string): Slot {
    this.#stores.add(name)
    return this.#define(name, { kind: 'parameter' })
  }

  /** A name that a branch sets has the value from outside where that branch is not taken. */
  branches(visits: ((symbols: Symbols) => void)[]): void {
    const branches = visits.map((visit) => {
      const branch = new Symbols(this.scope, this.parent, this)
      branch.#slots = this.#slots
      visit(branch)
      return branch
    })
    const stored = new Set(branches.flatMap((branch) => Array.from(branch.#stores).filter((name) => !this.#hasStored(name))))
    for (const branch of branches) {
      for (const [name, slot] of branch.#known) this.#known.set(name, slot)
      for (const [slot, load] of branch.#loads) this.#loads.set(slot, load)
      for (const name of branch.#stores) this.#stores.add(name)
    }
    for (const name of stored) {
      const slot = this.#own(name)
      const outer = this.parent?.find(name)
      if (slot) this.#loads.set(slot, outer ? { kind: 'alias', of: outer } : { kind: 'variable', name })
    }
  }

  /** The slot of a name that this part has, or has from before where it is a branch. */
  #own(name: string): Slot | undefined {
    for (let symbols: Symbols | null = this; symbols; symbols = symbols.before) {
      const slot = symbols.#known.get(name)
      if (slot) return slot
    }
    return undefined
  }

  #hasStored(name: string): boolean {
    for (let symbols: Symbols | null = this; symbols; symbols = symbols.before) if (symbols.#stores.has(name)) return true
    return false
  }

  #define(name: string, load: Load): Slot {
    let slot = this.#slots.get(name)
    if (!slot) {
      slot = { scope: this.scope, index: this.scope.size }
      this.scope.size += 1
      this.#slots.set(name, slot)
    }
    this.#known.set(name, slot)
    this.#loads.set(slot, load)
    return slot
  }
}

/** Notes the names of a part, and stops where an inner one begins. */
export function note(symbols: Symbols, node: TemplateNode | null): void {
  if (!node) return
  const special = noters[node.typename] as ((symbols: Symbols, node: TemplateNode) => void) | undefined
  if (special) special(symbols, node)
  else for (const child of childNodes(node)) note(symbols, child)
}

const ignored = () => undefined

const noters: { [Name in TemplateNode['typename']]?: (symbols: Symbols, node: NodeOf<Name>) => void } = {
  Symbol: (symbols, node) => symbols.load(node.value),
  Filter: (symbols, node) => note(symbols, node.args),
  Test: (symbols, node) => {
    note(symbols, node.target)
    note(symbols, node.args)
  },
  KeywordArgs: (symbols, node) => {
    for (const pair of node.children) note(symbols, pair.value)
  },
  For: (symbols, node) => note(symbols, node.arr),
  Macro: (symbols, node) => symbols.store(node.name.value),
  Import: (symbols, node) => symbols.store(node.target.value),
  FromImport: (symbols, node) => {
    for (const { target } of node.names) symbols.store(target.value)
  },
  CallBlock: (symbols, node) => note(symbols, node.call),
  Capture: ignored,
  Block: ignored,
  With: (symbols, node) => {
    for (const pair of node.pairs) note(symbols, pair.value)
  },
  Set: (symbols, node) => {
    if (node.isBlock) noteTarget(symbols, node.target)
    note(symbols, node.value)
    if (!node.isBlock) noteTarget(symbols, node.target)
  },
  If: (symbols, node) => {
    note(symbols, node.cond)
    const elifs: NodeOf<'If'>[] = []
    let rest = node.else_
    for (; rest?.typename === 'If'; rest = rest.else_) elifs.push(rest)
    const branches = [(branch: Symbols) => note(branch, node.body)]
    if (elifs.length > 0) branches.push((branch) => noteElifs(branch, elifs))
    if (rest) branches.push((branch) => note(branch, rest))
    symbols.branches(branches)
  },
}

/** As in Jinja2 they are one branch, in which each body is one again. */
function noteElifs(symbols: Symbols, elifs: readonly NodeOf<'If'>[]): void {
  for (const { cond, body } of elifs) {
    note(symbols, cond)
    symbols.branches([(branch) => note(branch, body)])
  }
}

function noteTarget(symbols: Symbols, target: TemplateNode): void {
  if (target.typename === 'Symbol') symbols.store(target.value)
  else if (target.typename === 'LookupVal') note(symbols, target.target)
  else for (const child of childNodes(target)) noteTarget(symbols, child)
}

export function noteParameters(symbols: Symbols, target: TemplateNode): void {
  if (target.typename === 'Symbol') symbols.parameter(target.value)
  else for (const child of childNodes(target)) noteParameters(symbols, child)
}
