/** What one rendering may cost. The limits hold for the templates it includes as well. */
export type BudgetKind = 'steps' | 'characters' | 'output' | 'range' | 'calls'

export const budgets: Readonly<Record<BudgetKind, number>> = {
  /** Nodes evaluated, items gone through, comparisons made. */
  steps: 100_000,
  /** Characters of all texts that are made on the way. */
  characters: 4 * 1024 ** 2,
  /** Characters of the result, or of all results that share a budget. */
  output: 1024 ** 2,
  /** Items of one range. */
  range: 10_000,
  /** Macros and includes that are under way at once. */
  calls: 50,
}

/** A rendering would cost more than it may. */
export class BudgetExceeded extends Error {
  constructor(readonly kind: BudgetKind) {
    super(`The template takes more than ${budgets[kind]} ${kind}.`)
    this.name = 'BudgetExceeded'
  }
}

/** Counts what a rendering uses up; each call throws `BudgetExceeded` once there is no more. */
export class Budget {
  #steps = 0
  #characters = 0
  #output = 0

  step(count = 1): void {
    this.#steps += count
    if (this.#steps > budgets.steps) throw new BudgetExceeded('steps')
  }

  /** To be called with the length of a text before it is made, or else right after. */
  characters(count: number): void {
    this.#characters += count
    if (this.#characters > budgets.characters) throw new BudgetExceeded('characters')
  }

  /** To be called with the length of a result, of which there may be several. */
  output(count: number): void {
    this.#output += count
    if (this.#output > budgets.output) throw new BudgetExceeded('output')
  }
}
