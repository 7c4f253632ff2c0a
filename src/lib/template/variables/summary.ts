import { type Need, type Outside, type Place, type Source, stepInto, use, type Value } from './places.js'

/** Where a part of a template looks up the names that it does not bind. */
export interface Surroundings {
  /** What the name stands for there. That counts as a use of it. */
  see(name: string, order: number, need: Need): Value
}

/** What a part takes from around it, in order: variables as they first appear, and then the places in them. */
export type Summary = readonly Entry[]
export type Entry = { source: Source; place: Place | null; order: number }

export function summaryOf(outside: Outside): Entry[] {
  const entries: Entry[] = []
  for (const source of outside.seen()) {
    const { seenAt, root } = source
    if (root.usedAt !== seenAt) entries.push({ source, place: null, order: seenAt })
    for (const place of root.used()) entries.push({ source, place, order: place.usedAt })
  }
  return entries.sort((a, b) => a.order - b.order)
}

/** Takes from other surroundings what entries take: the place `docs[].title` is then looked for in what `docs` is there. */
export class Replay {
  readonly #values = new Map<Place, Value>()

  constructor(readonly surroundings: Surroundings) {}

  take({ source, place }: Entry, order: number): void {
    const whole =
      this.#values.get(source.root) ?? this.surroundings.see(source.name, order, source.required ? 'needed' : 'guarded')
    this.#values.set(source.root, whole)
    if (place) use(this.valueAt(place, order), order)
  }

  valueAt(place: Place, order: number): Value {
    const known = this.#values.get(place)
    if (known) return known
    const { parent, source } = place
    const value = parent
      ? stepInto(this.valueAt(parent, order), place.step)
      : this.surroundings.see(source.name, order, 'guarded')
    this.#values.set(place, value)
    return value
  }
}
