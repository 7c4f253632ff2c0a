import { Budget, BudgetExceeded, budgets } from '../budget.js'
import type { Position } from '../template-error.js'
import type { Context } from '../values/operations.js'
import { fromJson, Undefined, type Value } from '../values/values.js'

/** Stands in a slot whose name has no value. A slot that is undefined has not been looked up yet. */
export const missing = new Undefined('missing')

/** What a variable gives that nobody has set. */
export class MissingVariable extends Undefined {
  constructor(readonly name: string) {
    super(`'${name}' is undefined`)
  }
}

export type RunOptions = {
  names: readonly string[]
  variables: Record<string, unknown>
  globals: ReadonlyMap<string, (run: Run) => Value>
  contextOf: (run: Run) => Context
  onMissing?: (name: string) => void
}

/** One rendering: what it may cost, what it was given, and where it is. */
export class Run {
  readonly budget = new Budget()
  readonly context: Context
  readonly onMissing: ((name: string) => void) | undefined
  /** What templates set outside of blocks, loops and macros, by the number of the name: blocks see it. */
  readonly exported: (Value | undefined)[] = []
  /** The node that was evaluated last: an error is reported there. */
  at: Position = { lineno: 0, colno: 0 }
  readonly #options: RunOptions
  readonly #resolved: (Value | undefined)[] = []
  #calls = 0

  constructor(options: RunOptions) {
    this.#options = options
    this.onMissing = options.onMissing
    this.context = options.contextOf(this)
  }

  /** The value of a name that the template has not set where it is used. */
  resolve(index: number): Value {
    const known = this.exported[index] ?? this.#resolved[index]
    if (known !== undefined) return known
    const value = this.#find(this.#options.names[index] ?? '')
    this.#resolved[index] = value
    return value
  }

  #find(name: string): Value {
    const { variables, globals } = this.#options
    const given = Object.hasOwn(variables, name) ? variables[name] : undefined
    if (given !== undefined) return fromJson(given)
    return globals.get(name)?.(this) ?? missing
  }

  /** Runs what may call itself. What it throws ends the rendering, so that nothing has to be put back then. */
  nested<Result>(call: () => Result): Result {
    this.#calls += 1
    if (this.#calls > budgets.calls) throw new BudgetExceeded('calls')
    const result = call()
    this.#calls -= 1
    return result
  }
}

/** The local values of a template, block, macro or recursive loop while it runs. */
export class Frame {
  readonly slots: (Value | undefined)[] = []

  constructor(
    readonly run: Run,
    readonly parent: Frame | null,
  ) {}
}

export class Output {
  text = ''

  write(text: string): void {
    this.text += text
    if (this.text.length > budgets.output) throw new BudgetExceeded('output')
  }
}

export type Evaluate = (frame: Frame) => Value
export type Execute = (frame: Frame, output: Output) => void

/** The text of a body that is not written to where it stands. */
export function capture(body: Execute, frame: Frame): string {
  const output = new Output()
  body(frame, output)
  frame.run.budget.characters(output.text.length)
  return output.text
}
