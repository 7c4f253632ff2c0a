import type { NodeOf } from '../syntax/nodes.js'
import { typeError } from '../values/arguments.js'
import { reprString } from '../values/python-literals.js'
import { Attributes, OperationError, Printed, Undefined, type Value } from '../values/values.js'
import { apart, Compiler } from './compiler.js'
import { type Block, callSteps, capture, type Execute, Frame, type Instance } from './frame.js'
import { localsOf } from './locals.js'
import { note, type Slot } from './scope.js'

/** A block is run as the template has it that extends all others. Unless it is scoped it sees nothing of what is around it. */
export function block(compiler: Compiler, node: NodeOf<'Block'>): Execute {
  const name = node.name.value
  compiler.shared.blocks.set(name, blockBody(compiler, node))
  const locals = node.isScoped ? localsOf(compiler) : null
  const { isTopLevel } = compiler
  return (frame, output) => {
    const { instance, run } = frame
    if (isTopLevel && instance.parent) return
    const blocks = instance.context.blocks(name) ?? []
    const [first] = blocks
    if (!first || (node.isRequired && blocks.length <= 1)) {
      throw new OperationError('TemplateRuntimeError', `Required block ${reprString(name)} not found`)
    }
    if (locals) run.budget.step(instance.context.size)
    const context = locals ? instance.context.derived(locals(frame)) : instance.context
    const own = instance.with(first.origin, context)
    run.within(own, () => first.execute(new Frame(own, null), output))
  }
}

/** What a block does in a frame of its own. */
function blockBody(compiler: Compiler, node: NodeOf<'Block'>): Execute {
  const used = compiler.shared.specialNames.usedIn(node.body, ['self', 'super'])
  const slots = new Map<string, Slot>()
  const inner = Compiler.forFunction(compiler.shared, apart, (symbols) => {
    for (const name of used) slots.set(name, symbols.parameter(name))
    note(symbols, node.body)
  })
  const [enter, run] = [inner.entry(), inner.body(node.body)]
  const [self, above] = [slots.get('self'), slots.get('super')]
  const execute: Execute = (frame, output) => {
    if (self) frame.slots[self.index] = selfOf(frame.instance)
    if (above) frame.slots[above.index] = superOf(frame.instance, node.name.value, execute)
    enter(frame)
    run(frame, output)
  }
  return execute
}

/** What the name `self` stands for: `self.x()` is the text of a block. */
export function selfOf(instance: Instance): Value {
  const { template } = instance.context
  const print = () => `<TemplateReference ${template === null ? 'None' : reprString(template)}>`
  return new Printed('TemplateReference', print, (name) => {
    const blocks = instance.context.blocks(name)
    return blocks && referenceTo(instance, name, blocks, 0)
  })
}

function superOf(instance: Instance, name: string, execute: Execute): Value {
  const blocks = instance.context.blocks(name) ?? []
  const own = blocks.findIndex((other) => other.execute === execute && other.origin === instance.origin)
  return referenceTo(instance, name, blocks, own + 1)
}

/** The block at a place of those of its name, each of which is above the one before it. */
function referenceTo(instance: Instance, name: string, blocks: readonly Block[], depth: number): Value {
  const found = blocks[depth]
  if (!found) return new Undefined(`there is no parent block called ${reprString(name)}.`)
  const call = (args: readonly Value[], kwargs: ReadonlyMap<string, Value>) => {
    const count = args.length + kwargs.size
    if (count > 0) throw typeError(`BlockReference.__call__() takes 1 positional argument but ${count + 1} were given`)
    return blockText(found, instance)
  }
  const get = (key: string) => {
    if (key === 'super') return referenceTo(instance, name, blocks, depth + 1)
    return key === 'name' ? name : undefined
  }
  return new Attributes('BlockReference', get, undefined, call)
}

function blockText(block: Block, instance: Instance): string {
  instance.run.budget.step(callSteps)
  const own = instance.with(block.origin)
  return instance.run.nested(own, () => capture(block.execute, new Frame(own, null)))
}
