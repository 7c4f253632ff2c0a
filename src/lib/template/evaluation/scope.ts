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

export class Symbols {
  /** Shared between the branches of an `if`, in which a name has one slot. */
  #slots = new Map<string, Slot>()
  #known = new Map<string, Slot>()
  #loads = new Map<Slot, Load>()
  #stores = new Set<string>()

  constructor(
    readonly scope: FunctionScope,
    readonly parent: Symbols | null,
  ) {}

  get loads(): ReadonlyMap<Slot, Load> {
    return this.#loads
  }

  storedSlots(): Set<Slot | undefined> {
    return new Set(Array.from(this.#stores, (name) => this.#known.get(name)))
  }

  find(name: string): Slot | undefined {
    for (let symbols: Symbols | null = this; symbols; symbols = symbols.parent) {
      const slot = symbols.#known.get(name)
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
    if (this.#known.has(name)) return
    const outer = this.parent?.find(name)
    this.#define(name, outer ? { kind: 'alias', of: outer } : { kind: 'missing' })
  }

  parameter(name: string): Slot {
    this.#stores.add(name)
    return this.#define(name, { kind: 'parameter' })
  }

  /** A name that a branch sets has the value from outside where that branch is not taken. */
  branches(visits: ((symbols: Symbols) => void)[]): void {
    const copies = visits.map((visit) => {
      const copy = this.#copy()
      visit(copy)
      return copy
    })
    const before = new Set(this.#stores)
    for (const copy of copies) {
      for (const [name, slot] of copy.#known) this.#known.set(name, slot)
      for (const [slot, load] of copy.#loads) this.#loads.set(slot, load)
      for (const name of copy.#stores) this.#stores.add(name)
    }
    for (const name of this.#stores) {
      const slot = this.#known.get(name)
      if (before.has(name) || !slot) continue
      const outer = this.parent?.find(name)
      this.#loads.set(slot, outer ? { kind: 'alias', of: outer } : { kind: 'variable', name })
    }
  }

  #copy(): Symbols {
    const copy = new Symbols(this.scope, this.parent)
    copy.#slots = this.#slots
    copy.#known = new Map(this.#known)
    copy.#loads = new Map(this.#loads)
    copy.#stores = new Set(this.#stores)
    return copy
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
    symbols.branches([(branch) => note(branch, node.body), (branch) => note(branch, node.else_)])
  },
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

/** Those of `names` that are used in a part without being set before. */
export function undeclared(node: TemplateNode | null, names: readonly string[]): Set<string> {
  const open = new Set(names)
  const found = new Set<string>()
  if (node) seek(node, open, found)
  return found
}

function seek(node: TemplateNode, open: Set<string>, found: Set<string>): void {
  if (node.typename === 'Symbol') {
    if (open.has(node.value)) found.add(node.value)
  } else if (node.typename === 'Set') {
    seek(node.value, open, found)
    for (const name of namesOf(node.target)) open.delete(name)
  } else if (node.typename === 'For') {
    for (const name of namesOf(node.name)) open.delete(name)
    for (const child of childNodes(node).slice(1)) seek(child, open, found)
  } else if (node.typename === 'Filter' || node.typename === 'Test') {
    for (const child of childNodes(node)) if (child !== node.name) seek(child, open, found)
  } else if (node.typename === 'KeywordArgs') {
    for (const pair of node.children) seek(pair.value, open, found)
  } else if (node.typename !== 'Block') {
    for (const child of childNodes(node)) seek(child, open, found)
  }
}

function namesOf(target: TemplateNode): string[] {
  if (target.typename === 'Symbol') return [target.value]
  return target.typename === 'Tuple' ? target.children.flatMap(namesOf) : []
}
