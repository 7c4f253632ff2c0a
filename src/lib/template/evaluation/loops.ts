import { typeError } from '../values/arguments.js'
import { areEqual } from '../values/iteration.js'
import { Callable, Once, Printed, Undefined, type Value } from '../values/values.js'
import type { Frame } from './frame.js'

type Options = {
  frame: Frame
  items: readonly Value[] | Once
  /** The condition of the loop; items that fail it do not count. */
  passes: ((item: Value) => boolean) | null
  depth: number
  /** `loop(…)` of a recursive loop. */
  recurse: ((iterable: Value, depth: number) => Value) | null
}

/** An item, which may be None. */
const orAbsent = (item: Value | undefined, what: string) => (item === undefined ? new Undefined(what) : item)

/** A loop that is under way, and what `loop` tells of it. Items are taken one ahead only where that is asked for, as in Jinja2. */
export class Loop {
  readonly #options: Options
  #ahead: Value[] = []
  #aheadFrom = 0
  #taken = 0
  #index = -1
  #length: number | undefined
  #previous: Value | undefined
  #current: Value | undefined
  #changed: readonly Value[] | undefined

  constructor(options: Options) {
    this.#options = options
  }

  /** The next item, or undefined at the end. */
  next(): Value | undefined {
    const item = this.#aheadFrom < this.#ahead.length ? this.#ahead[this.#aheadFrom++] : this.#take()
    if (item === undefined) return undefined
    this.#index += 1
    this.#previous = this.#current
    this.#current = item
    return item
  }

  /** What the name `loop` stands for. */
  value(): Value {
    const call: Callable['call'] = (args) => {
      const { recurse, depth } = this.#options
      if (!recurse) throw typeError("The loop must have the 'recursive' marker to be called recursively.")
      if (args.length !== 1) throw typeError(`loop() takes 1 argument (${args.length} given)`)
      return recurse(args[0] ?? null, depth + 1)
    }
    const print = () => `<LoopContext ${this.#index + 1}/${this.#count()}>`
    return new Printed('LoopContext', print, (name) => this.#attribute(name), undefined, call)
  }

  #attribute(name: string): Value | undefined {
    return Loop.#attributes.get(name)?.(this)
  }

  #take(): Value | undefined {
    const { items, passes, frame } = this.#options
    for (;;) {
      const item = items instanceof Once ? items.take(1)[0] : items[this.#taken]
      if (item === undefined) return undefined
      this.#taken += 1
      frame.run.budget.step()
      if (!passes || passes(item)) return item
    }
  }

  #peek(): Value | undefined {
    if (this.#aheadFrom === this.#ahead.length) {
      const item = this.#take()
      this.#ahead = item === undefined ? [] : [item]
      this.#aheadFrom = 0
    }
    return this.#ahead[this.#aheadFrom]
  }

  #count(): number {
    if (this.#length === undefined) {
      for (let item = this.#take(); item !== undefined; item = this.#take()) this.#ahead.push(item)
      this.#length = this.#index + 1 + this.#ahead.length - this.#aheadFrom
    }
    return this.#length
  }

  #cycle(items: readonly Value[]): Value {
    if (items.length === 0) throw typeError('no items for cycling given')
    return items[this.#index % items.length] ?? null
  }

  #isChanged(values: readonly Value[]): boolean {
    const { context } = this.#options.frame.run
    const last = this.#changed
    this.#changed = values
    return (
      !last || last.length !== values.length || !values.every((value, index) => areEqual(context, value, last[index] ?? null))
    )
  }

  /** Within the class, so that it may read the private fields. */
  static readonly #attributes: ReadonlyMap<string, (loop: Loop) => Value> = new Map<string, (loop: Loop) => Value>([
    ['index', (loop) => loop.#index + 1],
    ['index0', (loop) => loop.#index],
    ['revindex', (loop) => loop.#count() - loop.#index],
    ['revindex0', (loop) => loop.#count() - loop.#index - 1],
    ['length', (loop) => loop.#count()],
    ['first', (loop) => loop.#index === 0],
    ['last', (loop) => loop.#peek() === undefined],
    ['depth', (loop) => loop.#options.depth + 1],
    ['depth0', (loop) => loop.#options.depth],
    ['previtem', (loop) => orAbsent(loop.#previous, 'there is no previous item')],
    ['nextitem', (loop) => orAbsent(loop.#peek(), 'there is no next item')],
    ['cycle', (loop) => new Callable('method', (args) => loop.#cycle(args))],
    ['changed', (loop) => new Callable('method', (args) => loop.#isChanged(args))],
  ])
}
