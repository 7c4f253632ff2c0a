import type { TemplateNode } from '../syntax/nodes.js'
import type { Value } from '../values/values.js'
import { type Execute, type Frame, missing } from './frame.js'
import { FunctionScope, type Load, note, type Slot, Symbols } from './scope.js'

export type Place = {
  index: number
  /** How many functions further out. */
  hops: number
  /** The number of the variable that is looked up where nothing is in the slot, or -1. */
  variable: number
}

/** Numbers the names of a template, so that a rendering keeps what it looked up in a list. */
export class Names {
  readonly list: string[] = []
  readonly #numbers = new Map<string, number>()

  numberOf(name: string): number {
    const known = this.#numbers.get(name)
    if (known !== undefined) return known
    this.#numbers.set(name, this.list.length)
    return this.list.push(name) - 1
  }
}

/** What is one for a whole template: its names, and how bodies are compiled, which expressions hold as well as statements. */
export type Shared = { names: Names; compileBody: (compiler: Compiler, node: TemplateNode | null) => Execute }

/** Where in a template something is compiled. */
export class Compiler implements Shared {
  constructor(
    readonly names: Names,
    readonly compileBody: Shared['compileBody'],
    readonly symbols: Symbols,
    /** Outside of blocks, loops and macros: what is set there, blocks see. */
    readonly isTopLevel: boolean,
    /** The body whose filters are compiled with it, which share its names. */
    readonly captured: TemplateNode | null = null,
  ) {}

  static forFunction({ names, compileBody }: Shared, isTopLevel: boolean, prepare: (symbols: Symbols) => void): Compiler {
    const symbols = new Symbols(new FunctionScope(0), null)
    prepare(symbols)
    return new Compiler(names, compileBody, symbols, isTopLevel)
  }

  /** A part whose names end with it. */
  inner(prepare: (symbols: Symbols) => void): Compiler {
    return this.#within(new Symbols(this.symbols.scope, this.symbols), prepare)
  }

  /** For a body and the filters around it. */
  innerCapture(capture: TemplateNode, prepare: (symbols: Symbols) => void): Compiler {
    const inner = this.inner(prepare)
    return new Compiler(this.names, this.compileBody, inner.symbols, false, capture)
  }

  /** The same in the slots of a function that is given. */
  innerOf(scope: FunctionScope, prepare: (symbols: Symbols) => void): Compiler {
    return this.#within(new Symbols(scope, this.symbols), prepare)
  }

  /** The same with slots of its own each time it runs. */
  innerFunction(prepare: (symbols: Symbols) => void): Compiler {
    return this.#within(new Symbols(new FunctionScope(this.symbols.scope.depth + 1), this.symbols), prepare)
  }

  #within(symbols: Symbols, prepare: (symbols: Symbols) => void): Compiler {
    prepare(symbols)
    return new Compiler(this.names, this.compileBody, symbols, false)
  }

  body(node: TemplateNode | null): Execute {
    return this.compileBody(this, node)
  }

  innerBody(node: TemplateNode): Execute {
    const inner = this.inner((symbols) => note(symbols, node))
    const [enter, run] = [inner.entry(), inner.body(node)]
    return (frame, output) => {
      enter(frame)
      run(frame, output)
    }
  }

  place(name: string): Place {
    this.symbols.load(name)
    const slot = this.symbols.find(name) as Slot
    return this.#placeOf(slot, this.symbols.loadOf(slot))
  }

  #placeOf(slot: Slot, load: Load | undefined): Place {
    const variable = load?.kind === 'variable' ? this.names.numberOf(load.name) : -1
    return { index: slot.index, hops: this.symbols.scope.depth - slot.scope.depth, variable }
  }

  /** Gives the slots of a part their first values, each time it begins. */
  entry(): (frame: Frame) => void {
    const stored = this.symbols.storedSlots()
    const steps: ((frame: Frame) => void)[] = []
    for (const [slot, load] of this.symbols.loads) {
      const { index } = slot
      if (load.kind === 'missing')
        steps.push((frame) => {
          frame.slots[index] = missing
        })
      else if (load.kind === 'variable' && stored.has(slot))
        steps.push((frame) => {
          frame.slots[index] = undefined
        })
      else if (load.kind === 'alias') {
        const place = this.#placeOf(load.of, this.symbols.loadOf(load.of))
        steps.push((frame) => {
          frame.slots[index] = read(frame, place)
        })
      }
    }
    if (steps.length === 0) return () => undefined
    return (frame) => {
      frame.run.budget.step(steps.length)
      for (const step of steps) step(frame)
    }
  }
}

/** What is in a slot, `missing` included. */
export function read(frame: Frame, { index, hops, variable }: Place): Value {
  let owner = frame
  for (let hop = 0; hop < hops; hop += 1) owner = owner.parent ?? owner
  let value = owner.slots[index]
  if (value === undefined) {
    value = variable === -1 ? missing : frame.run.resolve(variable)
    owner.slots[index] = value
  }
  return value
}
