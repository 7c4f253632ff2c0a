import type { TemplateNode } from '../syntax/nodes.js'
import type { Value } from '../values/values.js'
import { type Execute, type Frame, missing } from './frame.js'
import { FunctionScope, note, type Slot, Symbols } from './scope.js'
import type { SpecialNames } from './special-names.js'

export type Place = {
  index: number
  /** How many functions further out. */
  hops: number
  /** What is looked up where nothing is in the slot. */
  variable: string | null
}

/** What is one for a whole template: its blocks, and how bodies are compiled, which expressions hold as well as statements. */
export type Shared = {
  specialNames: SpecialNames
  blocks: Map<string, Execute>
  /** A block that is scoped sees `loop`, so that its loops have to keep it. */
  loopsAroundScoped: ReadonlySet<TemplateNode>
  compileBody: (compiler: Compiler, node: TemplateNode | null) => Execute
}

export type Standing = {
  /** Outside of blocks, loops and macros: what is set there, blocks see. */
  isTopLevel: boolean
  /** Whether what is printed is left out once the template has extended another one. */
  givesWay: boolean
  /** The body whose filters are compiled with it, which share its names. */
  captured: TemplateNode | null
}

/** Of a part whose text is a value, or stands in the place of a block. */
export const apart: Standing = { isTopLevel: false, givesWay: false, captured: null }

/** Where in a template something is compiled. */
export class Compiler {
  constructor(
    readonly shared: Shared,
    readonly symbols: Symbols,
    readonly standing: Standing,
  ) {}

  static forFunction(shared: Shared, standing: Standing, prepare: (symbols: Symbols) => void): Compiler {
    const symbols = new Symbols(new FunctionScope(0), null)
    prepare(symbols)
    return new Compiler(shared, symbols, standing)
  }

  get isTopLevel(): boolean {
    return this.standing.isTopLevel
  }

  /** A part whose names end with it. */
  inner(prepare: (symbols: Symbols) => void): Compiler {
    return this.#within(new Symbols(this.symbols.scope, this.symbols), prepare)
  }

  /** For a body and the filters around it. */
  innerCapture(capture: TemplateNode, prepare: (symbols: Symbols) => void): Compiler {
    const { symbols, standing } = this.inner(prepare)
    return new Compiler(this.shared, symbols, { ...standing, captured: capture })
  }

  /** The same in the slots of a function that is given. */
  innerOf(scope: FunctionScope, prepare: (symbols: Symbols) => void): Compiler {
    return this.#within(new Symbols(scope, this.symbols), prepare)
  }

  /** The same with slots of its own each time it runs. */
  innerFunction(prepare: (symbols: Symbols) => void): Compiler {
    return this.#within(new Symbols(new FunctionScope(this.symbols.scope.depth + 1), this.symbols), prepare)
  }

  /** For a body whose text is taken whatever comes of the template. */
  apart(): Compiler {
    return this.standing.givesWay ? new Compiler(this.shared, this.symbols, { ...this.standing, givesWay: false }) : this
  }

  #within(symbols: Symbols, prepare: (symbols: Symbols) => void): Compiler {
    prepare(symbols)
    return new Compiler(this.shared, symbols, { ...apart, givesWay: this.standing.givesWay })
  }

  body(node: TemplateNode | null): Execute {
    return this.shared.compileBody(this, node)
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
    return this.placeOf(slot)
  }

  placeOf(slot: Slot): Place {
    const load = this.symbols.loadOf(slot)
    const variable = load?.kind === 'variable' ? load.name : null
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
        const place = this.placeOf(load.of)
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

/** What the names of a part stand for that are not looked up yet. */
export function settler(compiler: Compiler): (frame: Frame) => void {
  const places = Array.from(compiler.symbols.loads.keys(), (slot) => compiler.placeOf(slot)).filter(
    ({ variable }) => variable !== null,
  )
  return (frame) => {
    for (const place of places) read(frame, place)
  }
}

/** What is in a slot, `missing` included. */
export function read(frame: Frame, { index, hops, variable }: Place): Value {
  let owner = frame
  for (let hop = 0; hop < hops; hop += 1) owner = owner.parent ?? owner
  let value = owner.slots[index]
  if (value === undefined) {
    value = variable === null ? missing : frame.instance.resolve(variable)
    owner.slots[index] = value
  }
  return value
}
