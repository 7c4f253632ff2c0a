import { BudgetExceeded, budgets } from '../budget.js'
import type { NodeOf } from '../syntax/nodes.js'
import { toIterable } from '../values/iteration.js'
import { isList, Once, Tuple, type Value, View } from '../values/values.js'
import { type Assign, assigner } from './assignment.js'
import type { Compiler } from './compiler.js'
import { condition, expression } from './expressions.js'
import { capture, type Execute, Frame, MissingVariable } from './frame.js'
import { Loop } from './loops.js'
import { note, noteParameters, type Slot, type Symbols } from './scope.js'

type Parts = {
  assign: Assign
  enter: (frame: Frame) => void
  run: Execute
  passes: ((frame: Frame, item: Value) => boolean) | null
  otherwise: Execute | null
  loopSlot: Slot | null
}

/** A loop that does not look at `loop` needs none; a recursive one has slots of its own for each level. */
export function loop(compiler: Compiler, node: NodeOf<'For'>): Execute {
  const items = expression(compiler, node.arr)
  const parts = partsOf(compiler, node)
  if (node.isRecursive) return recursive(parts, (frame) => items(frame))
  const { loopSlot } = parts
  return (frame, output) => {
    const iterable = iterableOf(frame, items(frame))
    if (loopSlot || iterable instanceof Once) runLoop(parts, newLoop(parts, frame, iterable, 0, null), frame, output)
    else runPlainly(parts, iterable, frame, output)
  }
}

function partsOf(compiler: Compiler, node: NodeOf<'For'>): Parts {
  const usesLoop =
    node.isRecursive ||
    compiler.shared.specialNames.usedIn(node.body, ['loop']).size > 0 ||
    compiler.shared.loopsAroundScoped.has(node)
  let loopSlot: Slot | null = null
  const open = (prepare: (symbols: Symbols) => void) =>
    node.isRecursive ? compiler.innerFunction(prepare) : compiler.inner(prepare)
  const inner = open((symbols) => {
    if (usesLoop) loopSlot = symbols.parameter('loop')
    noteParameters(symbols, node.name)
    note(symbols, node.body)
  })
  const within = (prepare: (symbols: Symbols) => void) => sibling(compiler, inner, prepare)
  const otherwise = node.else_ ? elseOf(within, node) : null
  return {
    assign: assigner(inner, node.name),
    enter: inner.entry(),
    run: inner.body(node.body),
    passes: passesOf(within, node),
    otherwise,
    loopSlot,
  }
}

type Open = (prepare: (symbols: Symbols) => void) => Compiler

/** Another part of the same loop: it sees what is outside of the loop, in the slots of the loop's function. */
function sibling(outer: Compiler, inner: Compiler, prepare: (symbols: Symbols) => void): Compiler {
  return outer.innerOf(inner.symbols.scope, prepare)
}

function elseOf(open: Open, node: NodeOf<'For'>): Execute {
  const compiler = open((symbols) => note(symbols, node.else_))
  const [enter, run] = [compiler.entry(), compiler.body(node.else_)]
  return (frame, output) => {
    enter(frame)
    run(frame, output)
  }
}

function passesOf(open: Open, node: NodeOf<'For'>): Parts['passes'] {
  const { test } = node
  if (!test) return null
  const compiler = open((symbols) => {
    noteParameters(symbols, node.name)
    note(symbols, test)
  })
  const [enter, assign, holds] = [compiler.entry(), assigner(compiler, node.name), condition(compiler, test)]
  return (frame, item) => {
    frame.run.at = node
    assign(frame, item)
    enter(frame)
    return holds(frame)
  }
}

function runPlainly(parts: Parts, items: readonly Value[], frame: Frame, output: Parameters<Execute>[1]): void {
  const { assign, enter, run, passes, otherwise } = parts
  const { budget } = frame.run
  let isEmpty = true
  for (let index = 0; index < items.length; index += 1) {
    const item = items[index] as Value
    budget.step()
    if (passes && !passes(frame, item)) continue
    isEmpty = false
    assign(frame, item)
    enter(frame)
    run(frame, output)
  }
  if (isEmpty && otherwise) otherwise(frame, output)
}

function newLoop(
  { passes }: Parts,
  frame: Frame,
  items: readonly Value[] | Once,
  depth: number,
  recurse: ((iterable: Value, depth: number) => Value) | null,
): Loop {
  return new Loop({ frame, items, passes: passes ? (item) => passes(frame, item) : null, depth, recurse })
}

function runLoop(parts: Parts, current: Loop, frame: Frame, output: Parameters<Execute>[1]): void {
  const { assign, enter, run, otherwise, loopSlot } = parts
  const value = loopSlot ? current.value() : null
  let isEmpty = true
  for (let item = current.next(); item !== undefined; item = current.next()) {
    isEmpty = false
    if (loopSlot) frame.slots[loopSlot.index] = value as Value
    assign(frame, item)
    enter(frame)
    run(frame, output)
  }
  if (isEmpty && otherwise) otherwise(frame, output)
}

function recursive(parts: Parts, itemsOf: (frame: Frame) => Value): Execute {
  const runLevel = (outer: Frame, iterable: Value, depth: number, output: Parameters<Execute>[1]) => {
    const frame = new Frame(outer.instance, outer)
    const recurse = (next: Value, nextDepth: number): Value => {
      if (nextDepth > budgets.calls) throw new BudgetExceeded('calls')
      return outer.run.nested(outer.instance, () => capture((_frame, inner) => runLevel(outer, next, nextDepth, inner), frame))
    }
    runLoop(parts, newLoop(parts, frame, iterableOf(frame, iterable), depth, recurse), frame, output)
  }
  return (frame, output) => runLevel(frame, itemsOf(frame), 0, output)
}

function iterableOf(frame: Frame, value: Value): readonly Value[] | Once {
  if (isList(value)) return value
  if (value instanceof Tuple || value instanceof View) return value.items
  if (value instanceof Once) return value
  if (value instanceof MissingVariable) frame.run.onMissing?.(value.name)
  return toIterable(frame.run.context, value)
}
