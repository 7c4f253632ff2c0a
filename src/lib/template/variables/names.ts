import { countUntil, either, type Source, Subject, unknown, type Value } from './places.js'

/** Of more variables than these that a name may stand for, the others count as needed. */
const maxAliases = 8

/** What is bound in more branches within branches than this stays bound in those that follow. */
const maxBoundInBranches = 20_000

/** What a name is bound to. */
export class Binding extends Subject {
  /** Variables that it is another name of: they are needed where it is used. */
  readonly aliasOf: readonly Source[]

  constructor(
    readonly value: Value = unknown,
    aliasOf: readonly Source[] = [],
    /** The bindings that it is any of. */
    readonly alternatives: readonly Binding[] = [],
  ) {
    super()
    for (const source of aliasOf.slice(maxAliases)) source.demand()
    this.aliasOf = aliasOf.slice(0, maxAliases)
  }

  covers(binding: Binding): boolean {
    return this.alternatives.includes(binding)
  }
}

type Change = { moment: number; binding: Binding | null; exported: Binding | null }

/** A name in one part of a template, which is the template outside of its blocks or one of these. */
class Name {
  binding: Binding | null = null
  /** What the blocks see, and a parent. */
  exported: Binding | null = null
  /** The innermost scope that has bound it. */
  scope: Scope | null = null
  readonly #changes: Change[] = []

  /** Of the changes within one moment only the last can be seen. */
  change(moment: number, binding: Binding | null, exported: Binding | null): void {
    this.binding = binding
    this.exported = exported
    const last = this.#changes.at(-1)
    if (last?.moment === moment) Object.assign(last, { binding, exported })
    else this.#changes.push({ moment, binding, exported })
  }

  at(moment: number): Change | undefined {
    return this.#changes[countUntil(this.#changes, moment, (change) => change.moment) - 1]
  }
}

/** A name that a scope has bound, with what it was before. */
type Bound = { name: Name; binding: Binding | null; exported: Binding | null; scope: Scope | null }
type Scope = Bound[]

/** What the branches of an `if` have bound. */
export type Branches = { count: number; bound: Map<Name, Binding[]> }

/** The names of a part at the point that the walk has reached, and what they were at earlier ones. */
export class Names {
  /** Counts the points of the walk at which what the names are may be asked for later. */
  moment = 0
  /** Counts the changes, and those that blocks can see. */
  version = 0
  exportedVersion = 0
  #boundInBranches = 0
  readonly #names = new Map<string, Name>()
  #scope: Scope = []
  /** How many loops and the like are around the current point. An `if` is none. */
  #depth = 0

  constructor(readonly isTemplate: boolean) {}

  /** Whether what is bound here is seen by blocks. */
  get isTop(): boolean {
    return this.isTemplate && this.#depth === 0
  }

  #name(text: string): Name {
    const known = this.#names.get(text)
    if (known) return known
    const name = new Name()
    this.#names.set(text, name)
    return name
  }

  get(text: string): Name | undefined {
    return this.#names.get(text)
  }

  bind(text: string, binding: Binding): void {
    this.#bind(this.#name(text), binding)
  }

  /** What `run` binds is unbound after it. */
  inScope(run: () => void): void {
    this.#depth += 1
    const { outer, bound } = this.#collect(run)
    this.#depth -= 1
    this.#leave(outer, bound)
  }

  /** What the one branch of an `if` binds stays bound, perhaps to what it was before. */
  inOnlyBranch(run: () => void): void {
    const { outer, bound } = this.#collect(run)
    this.#keep(outer, bound)
  }

  inBranch(branches: Branches, run: () => void): void {
    const { outer, bound } = this.#collect(run)
    branches.count += 1
    this.#boundInBranches += bound.length
    if (this.#boundInBranches > maxBoundInBranches) {
      this.#keep(outer, bound)
      return
    }
    for (const { name } of bound) {
      const bindings = branches.bound.get(name) ?? []
      if (name.binding) bindings.push(name.binding)
      branches.bound.set(name, bindings)
    }
    this.#leave(outer, bound)
  }

  /** After an `if` a name is bound to what any of its branches bound it to. */
  join({ count, bound }: Branches): void {
    for (const [name, bindings] of bound) {
      const all = bindings.length < count && name.binding ? [name.binding, ...bindings] : bindings
      const [only] = all
      if (only) this.#bind(name, all.length === 1 ? only : join(all))
    }
  }

  #keep(outer: Scope, bound: Scope): void {
    this.#scope = outer
    for (const before of bound) {
      const { name } = before
      name.scope = before.scope
      if (name.scope !== outer) outer.push(before)
      name.scope = outer
      const [old, now] = [before.binding, name.binding]
      if (old && now && old !== now && !now.covers(old)) this.#bind(name, join([old, now]))
    }
  }

  #collect(run: () => void): { outer: Scope; bound: Scope } {
    const outer = this.#scope
    const bound: Scope = []
    this.#scope = bound
    run()
    return { outer, bound }
  }

  #leave(outer: Scope, bound: Scope): void {
    for (const { name, binding, exported, scope } of bound) {
      this.#change(name, binding, exported)
      name.scope = scope
    }
    this.#scope = outer
  }

  #bind(name: Name, binding: Binding): void {
    const scope = this.#scope
    if (name.scope !== scope) {
      scope.push({ name, binding: name.binding, exported: name.exported, scope: name.scope })
      name.scope = scope
    }
    this.#change(name, binding, this.isTop ? binding : name.exported)
  }

  #change(name: Name, binding: Binding | null, exported: Binding | null): void {
    this.version += 1
    if (exported !== name.exported) this.exportedVersion = this.version
    name.change(this.moment, binding, exported)
  }
}

function join(bindings: Binding[]): Binding {
  const value = either(bindings.map((binding) => binding.value))
  return new Binding(value, [...new Set(bindings.flatMap(({ aliasOf }) => aliasOf))], bindings)
}
