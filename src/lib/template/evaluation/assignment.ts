import type { NodeOf, TemplateNode } from '../syntax/nodes.js'
import { unsupported } from '../template-error.js'
import { typeError, valueError } from '../values/arguments.js'
import { isIterable, toIterable } from '../values/iteration.js'
import { Attributes, isList, OperationError, Tuple, typeName, type Value } from '../values/values.js'
import type { Compiler } from './compiler.js'
import { expression } from './expressions.js'
import type { Frame } from './frame.js'

/** `{% set ns.x = … %}`: of what a template reaches only a namespace takes values. */
function namespaceAssigner(compiler: Compiler, target: NodeOf<'LookupVal'>): Assign {
  const namespace = expression(compiler, target.target)
  const name = target.val.typename === 'Literal' ? String(target.val.value) : ''
  return (frame, value) => {
    const owner = namespace(frame)
    frame.run.at = target
    if (!(owner instanceof Attributes) || !owner.set) {
      throw new OperationError('TemplateRuntimeError', 'cannot assign attribute on non-namespace object')
    }
    owner.set(name, value)
  }
}

export type Assign = (frame: Frame, value: Value) => void

/** Puts a value into the slots of a target, which are those of the part itself. */
export function assigner(compiler: Compiler, target: TemplateNode): Assign {
  if (target.typename === 'Tuple') return unpacker(compiler, target)
  if (target.typename === 'LookupVal') return namespaceAssigner(compiler, target)
  if (target.typename !== 'Symbol') throw unsupported('Only names can be assigned to.', target)
  const { index } = compiler.place(target.value)
  if (!compiler.isTopLevel) {
    return (frame, value) => {
      frame.slots[index] = value
    }
  }
  const name = target.value
  return (frame, value) => {
    frame.slots[index] = value
    frame.instance.context.set(name, value)
  }
}

function unpacker(compiler: Compiler, target: NodeOf<'Tuple'>): Assign {
  const parts = target.children.map((child) => assigner(compiler, child))
  return (frame, value) => {
    const items = unpacked(frame, value, parts.length)
    for (const [index, assign] of parts.entries()) assign(frame, items[index] as Value)
  }
}

function unpacked(frame: Frame, value: Value, count: number): readonly Value[] {
  const items = value instanceof Tuple ? value.items : isList(value) ? value : null
  if (!items && !isIterable(value)) throw typeError(`cannot unpack non-iterable ${typeName(value)} object`)
  const found = items ?? toIterable(frame.run.context, value)
  if (found.length > count) throw valueError(`too many values to unpack (expected ${count})`)
  if (found.length < count) throw valueError(`not enough values to unpack (expected ${count}, got ${found.length})`)
  return found
}
