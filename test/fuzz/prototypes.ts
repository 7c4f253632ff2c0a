/** What every object has, and must not change whatever a template does. */
const watched: readonly object[] = [
  ...[Object, Function, Array, String, Number, Boolean, BigInt, Symbol, RegExp, Promise, Map, Set, Date, Error].flatMap(
    (known) => [known, known.prototype],
  ),
  ...[JSON, Math, Reflect, globalThis, Object.getPrototypeOf([][Symbol.iterator]()), Object.getPrototypeOf(function* () {})],
]

type Snapshot = Map<PropertyKey, PropertyDescriptor | undefined>[]

function snapshot(): Snapshot {
  return watched.map(
    (object) => new Map(Reflect.ownKeys(object).map((key) => [key, Object.getOwnPropertyDescriptor(object, key)])),
  )
}

/** Names that a template may use for its own, and no code of the language does. */
const trapNames = ['__fuzz_sentinel__', 'polluted', 'docs', 'user', 'xs', 'city'] as const

/**
 * Stands on `Object.prototype` and counts what reads or writes through it: a look-up by a name of a template that is not one of
 * own properties ends here. Checks as well that nothing of the language's own objects is changed.
 */
export class PrototypeWatch {
  #touches: string[] = []
  readonly #before: Snapshot
  readonly #counts: number[]

  constructor() {
    const touched = (how: string, name: string) => {
      // Enough to say where it was.
      if (this.#touches.length < 5) this.#touches.push(`${how} "${name}"${new Error().stack?.slice(5, 1500)}`)
    }
    for (const name of trapNames) {
      Object.defineProperty(Object.prototype, name, {
        configurable: true,
        get: () => touched('read', name),
        set: () => touched('wrote', name),
      })
    }
    this.#before = snapshot()
    this.#counts = this.#sizes()
  }

  #sizes(): number[] {
    return watched.map((object) => Reflect.ownKeys(object).length)
  }

  /** What happened since it was asked last, in words. */
  takeTouches(): string[] {
    const touches = this.#touches
    this.#touches = []
    const sizes = this.#sizes()
    sizes.forEach((size, index) => {
      if (size === this.#counts[index]) return
      touches.push(`the number of properties of ${nameOf(index)} changed`)
      this.#restore(index)
    })
    return touches
  }

  /** The next template is not to be blamed for what this one did. */
  #restore(index: number): void {
    const object = watched[index] as object
    const before = this.#before[index] as Snapshot[number]
    for (const key of Reflect.ownKeys(object)) if (!before.has(key)) Reflect.deleteProperty(object, key)
    for (const [key, property] of before)
      if (property && !Object.hasOwn(object, key)) Object.defineProperty(object, key, property)
  }

  /** Properties that are no longer what they were, of all that are watched. */
  changes(): string[] {
    const now = snapshot()
    return this.#before.flatMap((before, index) => {
      const keys = new Set([...before.keys(), ...(now[index]?.keys() ?? [])])
      const changed = Array.from(keys).filter((key) => !isSame(before.get(key), now[index]?.get(key)))
      return changed.map((key) => `${nameOf(index)}: ${String(key)}`)
    })
  }

  remove(): void {
    for (const name of trapNames) Reflect.deleteProperty(Object.prototype, name)
  }
}

function nameOf(index: number): string {
  const object = watched[index] as { name?: string; constructor?: { name: string } }
  return typeof object === 'function' ? `${object.name}` : `the prototype or object no. ${index} (${object.constructor?.name})`
}

function isSame(one: PropertyDescriptor | undefined, other: PropertyDescriptor | undefined): boolean {
  const parts = ['value', 'get', 'set', 'writable', 'enumerable', 'configurable'] as const
  return parts.every((part) => Object.is(one?.[part], other?.[part]))
}
