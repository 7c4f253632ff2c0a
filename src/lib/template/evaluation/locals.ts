import type { Value } from '../values/values.js'
import type { Compiler } from './compiler.js'
import { type Frame, missing } from './frame.js'
import type { Local, Symbols } from './scope.js'

/** What a part sets, and how many functions further out it is. */
type Level = { hops: number; locals: readonly Local[] }

/** What is set around a place, for a template or block that sees it as well. */
export function localsOf(compiler: Compiler): (frame: Frame) => ReadonlyMap<string, Value> {
  const levels = levelsOf(compiler.symbols)
  const count = levels.reduce((sum, { locals }) => sum + locals.length, 0)
  return (frame) => {
    frame.run.budget.step(count)
    const values = new Map<string, Value>()
    for (const { hops, locals } of levels) {
      let owner = frame
      for (let hop = 0; hop < hops; hop += 1) owner = owner.parent ?? owner
      for (const local of locals) {
        const value = localValue(owner, local)
        if (value === missing) values.delete(local.name)
        else values.set(local.name, value)
      }
    }
    return values
  }
}

/** The outermost first, so that a part hides what those around it set. */
function levelsOf(innermost: Symbols): Level[] {
  const levels: Level[] = []
  for (let symbols: Symbols | null = innermost; symbols; symbols = symbols.parent) {
    levels.push({ hops: innermost.scope.depth - symbols.scope.depth, locals: symbols.locals })
  }
  return levels.reverse()
}

function localValue(frame: Frame, { name, index, isVariable }: Local): Value {
  const known = frame.slots[index]
  if (known !== undefined) return known
  const value = isVariable ? frame.instance.resolve(name) : missing
  frame.slots[index] = value
  return value
}
