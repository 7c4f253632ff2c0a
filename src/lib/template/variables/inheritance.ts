import type { Effort } from './effort.js'
import type { Part, Parts } from './parts.js'
import { either, type Need, Outside, type Subject, unknown, type Value } from './places.js'
import { Replay, type Surroundings } from './summary.js'
import type { BlockSite } from './walk.js'

const maxDepth = 50
/** Blocks that are rendered further within scoped or guarded ones than this see what the last of these does. */
const maxSurroundings = 30

/** What a template and its parents take from outside, each block being that of the template most derived. */
export function inherit(chain: readonly Parts[], effort: Effort): Outside {
  const outside = new Outside()
  new Rendering(outside, chain, effort).run()
  return outside
}

class Rendering {
  #order = 0
  readonly #blocks = new Map<string, Part[]>()
  readonly #rendered = new Map<Part, Set<Surroundings>>()
  readonly #moments = new Map<Part, Map<number, Moment>>()
  readonly #pending: (() => void)[] = []

  constructor(
    readonly outside: Outside,
    readonly chain: readonly Parts[],
    readonly effort: Effort,
  ) {
    for (const { root, blocks } of chain.slice(1)) {
      for (const part of [root, ...blocks.values()]) effort.handOn(part.steps.length)
    }
    for (const { blocks } of chain) {
      for (const [name, part] of blocks) {
        const parts = this.#blocks.get(name) ?? []
        parts.push(part)
        this.#blocks.set(name, parts)
      }
    }
  }

  run(): void {
    let around: Surroundings = { see: (name, order, need) => this.outside.see(name, order, need) }
    for (const { root } of this.chain) {
      this.#render(root, 0, around, 0)
      // The top of a template runs before its parent, which sees what it has set.
      around = new Moment(root, Number.POSITIVE_INFINITY, 'exported', around)
    }
    for (let next = this.#pending.shift(); next; next = this.#pending.shift()) next()
  }

  #render(part: Part, level: number, around: Surroundings, depth: number): void {
    if (!this.#isNew(part, around)) return
    if (depth > maxDepth) {
      this.#pending.push(() => this.#renderSteps(part, level, around, 0))
      return
    }
    this.#renderSteps(part, level, around, depth)
  }

  #renderSteps(part: Part, level: number, around: Surroundings, depth: number): void {
    const replay = new Replay(around)
    for (const step of part.steps) {
      this.#order += 1
      if ('entry' in step) replay.take(step.entry, this.#order)
      else this.#renderBlock(part, step.site, level, around, depth)
    }
  }

  #renderBlock(part: Part, site: BlockSite, level: number, around: Surroundings, depth: number): void {
    const next = site.above === null ? 0 : level + site.above
    const block = this.#blocks.get(site.name)?.[next]
    if (block) this.#render(block, next, this.#surroundings(part, site, around), depth + 1)
  }

  /** Whether the part is to be gone through there: surely for the first time, and later as far as that is not too much. */
  #isNew(part: Part, around: Surroundings): boolean {
    const rendered = this.#rendered.get(part)
    if (!rendered) {
      this.#rendered.set(part, new Set([around]))
      return true
    }
    if (rendered.has(around) || !this.effort.repeat(part.steps.length + 1)) return false
    rendered.add(around)
    return true
  }

  /** A block sees what the template has set outside of everything, and nothing of what is around it, unless it is scoped. */
  #surroundings(part: Part, site: BlockSite, around: Surroundings): Surroundings {
    if (around instanceof Moment && around.depth >= maxSurroundings) return around
    if (site.isScoped) return new Moment(part, site.moment, 'binding', around)
    if (site.isGuarded) return new Moment(part, site.moment, 'exported', around)
    if (part.walk.block !== null) return around
    // Between two changes of what blocks see they all have the same surroundings.
    const moments = this.#moments.get(part) ?? new Map<number, Moment>()
    this.#moments.set(part, moments)
    const moment = moments.get(site.exportedVersion) ?? new Moment(part, site.moment, 'exported', around)
    moments.set(site.exportedVersion, moment)
    return moment
  }
}

/** The names of a part as they were at one moment of its walk. */
class Moment implements Surroundings {
  readonly depth: number

  constructor(
    readonly part: Part,
    readonly moment: number,
    readonly visible: 'binding' | 'exported',
    readonly around: Surroundings,
  ) {
    this.depth = around instanceof Moment ? around.depth + 1 : 0
  }

  see(name: string, order: number, need: Need): Value {
    const { names, outside } = this.part.walk
    const binding = names.get(name)?.at(this.moment)?.[this.visible]
    if (!binding) {
      return this.around.see(name, order, this.#need(need, outside.find(name)))
    }
    for (const source of binding.aliasOf) this.around.see(source.name, order, this.#need(need, binding, source))
    return this.#translated(binding.value, order)
  }

  #need(need: Need, ...subjects: (Subject | undefined)[]): Need {
    return subjects.some((subject) => subject?.wasGuarded(this.moment)) ? 'guarded' : need
  }

  /** The value, whose places are those of the part, as one of the places around it. */
  #translated(value: Value, order: number): Value {
    if (value === unknown) return unknown
    const replay = new Replay(this.around)
    const translated = either(value.places.map((place) => replay.valueAt(place, order)))
    const { item, parts } = value
    return {
      ...translated,
      ...(item ? { item: this.#translated(item, order) } : {}),
      ...(parts ? { parts: new Map([...parts].map(([key, part]) => [key, this.#translated(part, order)])) } : {}),
    }
  }
}
