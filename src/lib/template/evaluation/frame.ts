import { type Budget, BudgetExceeded, budgets } from '../budget.js'
import type { Unit } from '../composition.js'
import type { NodeOf } from '../syntax/nodes.js'
import type { Position } from '../template-error.js'
import type { Context } from '../values/operations.js'
import { Undefined, type Value } from '../values/values.js'
import { type TemplateContext, Variables } from './template-context.js'

/** Stands in a slot whose name has no value. A slot that is undefined has not been looked up yet. */
export const missing = new Undefined('missing')

/** What a variable gives that nobody has set. */
export class MissingVariable extends Undefined {
  constructor(readonly name: string) {
    super(`'${name}' is undefined`)
  }
}

/** A template whose tree has been turned into functions. It holds nothing of a rendering, and can be used any number of times. */
export type CompiledTemplate = {
  /** The tree of the template, for what else is to be known of it. */
  root: NodeOf<'Root'>
  blocks: ReadonlyMap<string, Execute>
  execute: Execute
  enter: (frame: Frame) => void
  /** Looks up what a name stands for before another template may set it. */
  settle: (frame: Frame) => void
}

/** A template of a rendering, and the reference it was found by: null for the one that is rendered itself. */
export type Origin = { unit: Unit<CompiledTemplate>; reference: string | null }

/** A block, and the template that it is written in. */
export type Block = { execute: Execute; origin: Origin }

/** A template at work in a context. */
export class Instance {
  /** The one it extends, which is run behind it. */
  parent: Origin | null = null

  constructor(
    readonly run: Run,
    readonly origin: Origin,
    readonly context: TemplateContext<Block>,
  ) {}

  /** The value of a name that the template has not set where it is used. */
  resolve(name: string): Value {
    const value = this.context.find(name)
    return value === undefined ? missing : value
  }

  /** A template of the same rendering. */
  with(origin: Origin, context = this.context): Instance {
    return origin === this.origin && context === this.context ? this : new Instance(this.run, origin, context)
  }
}

/** What it takes to start a template or a block, in steps: one that prints nothing could be started without end otherwise. */
export const callSteps = 10

/** What an import gives, and the text of the template. */
export type Module = { value: Value; exported: ReadonlyMap<string, Value>; text: string }

export type RunOptions = {
  budget: Budget
  globals: ReadonlyMap<string, (run: Run) => Value>
  context: Context
  onMissing: ((name: string) => void) | undefined
}

/** One rendering: what it may cost, and where it is. */
export class Run {
  readonly budget: Budget
  readonly context: Context
  readonly onMissing: ((name: string) => void) | undefined
  /** The node that was evaluated last, and the template it is of: an error is reported there. */
  at: Position = { lineno: 0, colno: 0 }
  template: string | null = null
  readonly #options: RunOptions
  #isolated: Variables | null = null
  #modules: Map<Unit<CompiledTemplate>, Module> | null = null
  #calls = 0

  constructor(options: RunOptions) {
    this.#options = options
    this.budget = options.budget
    this.onMissing = options.onMissing
    this.context = options.context
  }

  /** What templates see that are rendered without a context. */
  get isolated(): Variables {
    this.#isolated ??= new Variables(null, this)
    return this.#isolated
  }

  /** What Jinja2 gives every template by a name. */
  global(name: string): Value | undefined {
    return this.#options.globals.get(name)?.(this)
  }

  /** Of what is rendered without a context there is one for each template. */
  module(unit: Unit<CompiledTemplate>, make: () => Module): Module {
    this.#modules ??= new Map()
    const module = this.#modules.get(unit) ?? make()
    this.#modules.set(unit, module)
    return module
  }

  /** Runs a part of a template. What it throws ends the rendering, so that nothing has to be put back then. */
  within<Result>({ origin }: Instance, part: () => Result): Result {
    const { at, template } = this
    if (template !== origin.reference) {
      this.template = origin.reference
      this.at = origin.unit.template.root
    }
    const result = part()
    this.at = at
    this.template = template
    return result
  }

  /** The same for what may call itself. */
  nested<Result>(instance: Instance, call: () => Result): Result {
    this.#calls += 1
    if (this.#calls > budgets.calls) throw new BudgetExceeded('calls')
    const result = this.within(instance, call)
    this.#calls -= 1
    return result
  }
}

/** The local values of a template, block, macro or recursive loop while it runs. */
export class Frame {
  readonly slots: (Value | undefined)[] = []
  readonly run: Run

  constructor(
    readonly instance: Instance,
    readonly parent: Frame | null,
  ) {
    this.run = instance.run
  }
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
