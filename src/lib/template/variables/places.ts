/** What a template takes from outside: variables, and the places inside their values that it uses. */

const maxPathLength = 200
const maxPathsListed = 100
/** Of one variable, and of a whole template. What would be a further place is counted as the one it lies in. */
const maxPlacesOfSource = 200
const maxPlaces = 10_000
/** A value that may be from any of more places than these is followed into the first ones only. */
const maxAlternatives = 8

export type Variable = { name: string; required: boolean; paths: string[] }

/** Something a condition can rule out the absence of: a variable, or a name that the template binds. */
export class Subject {
  /** How many of the conditions around the current point have tested that it is there. */
  guards = 0
  /** The moments at which the first of them begins and the last of them ends, in turn. */
  #changes: number[] | null = null

  guard(moment: number): void {
    if (this.guards === 0) this.#note(moment)
    this.guards += 1
  }

  unguard(moment: number): void {
    this.guards -= 1
    if (this.guards === 0) this.#note(moment)
  }

  wasGuarded(moment: number): boolean {
    return this.#changes !== null && countUntil(this.#changes, moment, (change) => change) % 2 === 1
  }

  #note(moment: number): void {
    this.#changes ??= []
    // Two changes within one moment are none.
    if (this.#changes.at(-1) === moment) this.#changes.pop()
    else this.#changes.push(moment)
  }
}

/** How many of `items`, which are in the order of their moments, are not after `moment`. */
export function countUntil<Item>(items: readonly Item[], moment: number, momentOf: (item: Item) => number): number {
  let [low, high] = [0, items.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (momentOf(items[middle] as Item) <= moment) low = middle + 1
    else high = middle
  }
  return low
}

/** A variable from outside. It is listed once it has been seen. */
export class Source extends Subject {
  required = false
  seenAt = Number.POSITIVE_INFINITY
  placeCount = 0
  hasElements = false
  readonly root: Place = new Place(this, null, '')

  constructor(
    readonly name: string,
    readonly outside: Outside,
  ) {
    super()
  }

  see(order: number): void {
    this.seenAt = Math.min(this.seenAt, order)
  }

  demand(): void {
    if (this.guards === 0) this.required = true
  }
}

/**
 * `[]` for an item, `*` for any value of a mapping, and else the key of a part. An element is an item that is told from the
 * others of its list: `a` and `b` of `for a, b in pairs`.
 */
export type Step = { kind: 'item' } | { kind: 'element'; index: number } | { kind: 'anyValue' } | { kind: 'key'; key: string }

export const itemStep: Step = { kind: 'item' }
export const anyValueStep: Step = { kind: 'anyValue' }

function textOfStep(step: Step): string {
  if (step.kind === 'item' || step.kind === 'element') return '[]'
  if (step.kind === 'anyValue') return '.*'
  return /^[A-Za-z_]\w{0,199}$/.test(step.key) ? `.${step.key}` : `[${JSON.stringify(step.key.slice(0, maxPathLength))}]`
}

/** A place inside the value of a variable, the whole of it being the first. */
export class Place {
  usedAt = Number.POSITIVE_INFINITY
  #parts: Map<string, Place> | null = null
  readonly #length: number

  constructor(
    readonly source: Source,
    readonly parent: Place | null,
    readonly text: string,
    readonly step: Step = itemStep,
  ) {
    this.#length = (parent ? parent.#length : 0) + text.length
  }

  part(step: Step): Place {
    const text = textOfStep(step)
    const key = step.kind === 'element' ? `${text}${step.index}` : text
    const known = this.#parts?.get(key)
    if (known) return known
    const { source } = this
    const { name, outside } = source
    const isTooLong = name.length + this.#length + text.length > maxPathLength
    if (isTooLong || source.placeCount >= maxPlacesOfSource || outside.placeCount >= maxPlaces) return this
    source.placeCount += 1
    source.hasElements ||= step.kind === 'element'
    outside.placeCount += 1
    const place = new Place(source, this, text, step)
    this.#parts ??= new Map()
    this.#parts.set(key, place)
    return place
  }

  /** A value that is one of several is used at the first of them: no place is used before its variable is seen. */
  use(order: number): void {
    this.usedAt = Math.min(this.usedAt, Math.max(order, this.source.seenAt))
  }

  get isUsed(): boolean {
    return this.usedAt < Number.POSITIVE_INFINITY
  }

  /** Those in it that are used, itself included. */
  used(): Place[] {
    const here = this.isUsed ? [this] : []
    return this.#parts ? [...here, ...this.#inside((part) => part.used())] : here
  }

  /** Those that are used and have no part that is. */
  leaves(): Place[] {
    const inside = this.#inside((part) => part.leaves())
    return inside.length === 0 && this.isUsed ? [this] : inside
  }

  #inside(places: (part: Place) => Place[]): Place[] {
    return this.#parts ? [...this.#parts.values()].flatMap(places) : []
  }

  get path(): string {
    let path = this.text
    for (let { parent } = this as Place; parent; parent = parent.parent) path = parent.text + path
    return this.source.name + path
  }
}

/** Whether a use is written for the case that the variable is absent. */
export type Need = 'needed' | 'guarded'

/** The variables of a template, or of a part of one. */
export class Outside {
  placeCount = 0
  readonly #sources = new Map<string, Source>()

  find(name: string): Source | undefined {
    return this.#sources.get(name)
  }

  source(name: string): Source {
    const known = this.#sources.get(name)
    if (known) return known
    const source = new Source(name, this)
    this.#sources.set(name, source)
    return source
  }

  see(name: string, order: number, need: Need): Value {
    const source = this.source(name)
    source.see(order)
    if (need === 'needed') source.demand()
    return { places: [source.root] }
  }

  seen(): Source[] {
    return [...this.#sources.values()].filter(({ seenAt }) => seenAt < Number.POSITIVE_INFINITY)
  }

  /** In the order of their first appearance. */
  variables(): Variable[] {
    const sources = this.seen().sort((a, b) => a.seenAt - b.seenAt)
    return sources.map(({ name, required, root, hasElements }) => {
      const leaves = root.leaves().sort((a, b) => a.usedAt - b.usedAt)
      const all = leaves.map(({ path }) => path)
      const paths = (hasElements ? innermost(all) : all).slice(0, maxPathsListed)
      return { name, required, paths: paths.length > 0 ? paths : [name] }
    })
  }
}

/** Each once, and without what another one goes on from: places that are told from one another can have the same path. */
function innermost(paths: readonly string[]): string[] {
  const begun = new Set<string>()
  for (const path of paths) for (const { index } of path.matchAll(/[.[]/g)) begun.add(path.slice(0, index))
  return [...new Set(paths)].filter((path) => !begun.has(path))
}

/** What is known of a value: the places it may be from, and where its items and parts are if not there. */
export type Value = {
  readonly places: readonly Place[]
  readonly item?: Value
  readonly parts?: ReadonlyMap<string, Value>
  /** How many values lie in one another here. */
  readonly depth?: number
}

const maxDepth = 6

function nested(places: readonly Place[], inner: { item?: Value; parts?: ReadonlyMap<string, Value> }): Value {
  const { item, parts } = inner
  const depth = 1 + Math.max(item?.depth ?? 0, ...[...(parts?.values() ?? [])].map((part) => part.depth ?? 0))
  return depth > maxDepth ? { places } : { places, ...inner, depth }
}

/** A collection whose items are there, wherever it is itself. */
export function collectionOf(places: readonly Place[], item: Value): Value {
  return nested(places, { item })
}

/** A value that is computed, or from nowhere that could be followed. */
export const unknown: Value = { places: [] }

export function use(value: Value, order: number): void {
  for (const place of value.places) place.use(order)
}

function at(value: Value, step: Step): Value {
  const places = new Set(value.places.map((place) => place.part(step)))
  return { places: [...places] }
}

export function itemOf(value: Value): Value {
  return value.item ?? (value.parts ? unknown : at(value, itemStep))
}

export function partOf(value: Value, key: string): Value {
  const part = value.parts?.get(key)
  if (part) return part
  return value.item || value.parts ? unknown : at(value, { kind: 'key', key })
}

/** What a name gets that stands at `index` of several that a value is unpacked to. */
export function elementOf(value: Value, index: number): Value {
  const part = value.parts?.get(String(index))
  if (part) return part
  return value.item || value.parts ? itemOf(value) : at(value, { kind: 'element', index })
}

/** What a constant index leads to. */
export function indexed(value: Value, index: number): Value {
  return value.parts?.get(String(index)) ?? itemOf(value)
}

export function anyValueOf(value: Value): Value {
  return value.item || value.parts ? unknown : at(value, anyValueStep)
}

export function stepInto(value: Value, step: Step): Value {
  if (step.kind === 'item') return itemOf(value)
  if (step.kind === 'element') return elementOf(value, step.index)
  return step.kind === 'anyValue' ? anyValueOf(value) : partOf(value, step.key)
}

/** The keys and values of a mapping, as `items()` gives them. */
export function pairsOf(value: Value): Value {
  return collectionOf(value.places, nested(value.places, { parts: new Map([['1', anyValueOf(value)]]) }))
}

/** What `groupby` makes of a list: pairs of what they share and the items. */
export function groupsOf(value: Value, shared: Value): Value {
  const parts = new Map([
    ['grouper', shared],
    ['0', shared],
    ['list', value],
    ['1', value],
  ])
  return collectionOf(value.places, nested(value.places, { parts }))
}

/** A list of lists such as `batch` makes. */
export function chunksOf(value: Value): Value {
  return collectionOf(value.places, value)
}

/** A value that is one of these. */
export function either(values: readonly Value[]): Value {
  const known = [...new Set(values)].filter(({ places, item }) => places.length > 0 || item)
  const [only] = known
  if (known.length <= 1) return only ?? unknown
  const places = new Set(known.flatMap((value) => value.places))
  const first = [...places].slice(0, maxAlternatives)
  if (!known.some(({ item }) => item)) return { places: first }
  return collectionOf(first, either(known.slice(0, maxAlternatives).map(itemOf)))
}
