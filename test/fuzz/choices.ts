/**
 * A row of random numbers that decisions are taken from. Where it ends every decision is the first, simplest one, so that a
 * shorter row, and one of smaller numbers, makes a simpler template: this is how failures shrink.
 */
export class Choices {
  readonly #numbers: readonly number[]
  #position = 0

  constructor(numbers: readonly number[]) {
    this.#numbers = numbers
  }

  /** From 0 to below `bound`. */
  below(bound: number): number {
    const number = this.#numbers[this.#position] ?? 0
    this.#position += 1
    return number % bound
  }

  pick<Item>(items: readonly [Item, ...Item[]]): Item {
    return items[this.below(items.length)] ?? items[0]
  }

  /** True in one case of `count`. */
  oneIn(count: number): boolean {
    return this.below(count) === count - 1
  }

  /** Up to `most` items; none where the row has ended. */
  list<Item>(most: number, make: () => Item): Item[] {
    return Array.from({ length: this.below(most + 1) }, make)
  }

  get isAtEnd(): boolean {
    return this.#position >= this.#numbers.length
  }
}
