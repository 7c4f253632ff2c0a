import type { Unit, Verbatim } from '../composition.js'
import type { NodeOf } from '../syntax/nodes.js'
import { quote, syntax } from '../template-error.js'
import { notSupported } from '../values/arguments.js'
import { reprString } from '../values/python-literals.js'
import { OperationError, Printed, Undefined, type Value } from '../values/values.js'
import type { Compiler } from './compiler.js'
import { type CompiledTemplate, callSteps, type Execute, Frame, Instance, type Module, type Origin, Output } from './frame.js'
import { localsOf } from './locals.js'
import { TemplateContext } from './template-context.js'

type Found = { reference: string; target: Unit<CompiledTemplate> | Verbatim }

/** `{% include %}`. */
export function include(compiler: Compiler, node: NodeOf<'Include'>): Execute {
  const names = node.references.map(({ value }) => value)
  const open = node.withContext ? localContext(compiler) : null
  return (frame, output) => {
    const found = find(frame.instance, names)
    if (!found) {
      if (node.isOptional) return
      throw absent(names)
    }
    const { reference, target } = found
    frame.run.budget.step(callSteps)
    if ('text' in target) output.write(target.text)
    else if (!open) output.write(isolated(frame, { unit: target, reference }).text)
    else runNested(open(frame, { unit: target, reference }), output)
  }
}

/** `{% extends %}`: the other template is run behind this one, with the blocks of both. */
export function extend(compiler: Compiler, node: NodeOf<'Extends'>): Execute {
  if (!compiler.isTopLevel) throw syntax('"extends" cannot stand within a loop, a block or a macro.', node)
  return ({ instance }) => {
    if (instance.parent) throw new OperationError('TemplateRuntimeError', 'extended multiple times')
    const parent = findTemplate(instance, node.reference.value, 'extended')
    instance.parent = parent
    addBlocks(instance, parent)
  }
}

/** `{% import … as … %}`. */
export function importModule(compiler: Compiler, node: NodeOf<'Import'>): Execute {
  const open = opener(compiler, node)
  const assign = importer(compiler, node.target.value)
  return (frame) => assign(frame, open(frame).value)
}

/** `{% from … import … %}`. */
export function importNames(compiler: Compiler, node: NodeOf<'FromImport'>): Execute {
  const open = opener(compiler, node)
  const names = node.names.map(({ name, target }) => ({ name: name.value, assign: importer(compiler, target.value) }))
  return (frame) => {
    const { exported } = open(frame)
    for (const { name, assign } of names) {
      const value = exported.get(name)
      assign(frame, value === undefined ? notExported(frame, node, name) : value)
    }
  }
}

function notExported({ instance }: Frame, node: NodeOf<'FromImport'>, name: string): Undefined {
  const { reference } = instance.origin
  const place = `line ${node.lineno + 1}${reference === null ? '' : ` in ${reprString(reference)}`}`
  const template = reprString(node.reference.value)
  return new Undefined(`the template ${template} (imported on ${place}) does not export the requested name ${reprString(name)}`)
}

/** Like an assignment, of something that is not handed on to templates that import this one. */
function importer(compiler: Compiler, name: string): (frame: Frame, value: Value) => void {
  const { index } = compiler.place(name)
  const { isTopLevel } = compiler
  return (frame, value) => {
    frame.slots[index] = value
    if (isTopLevel) frame.instance.context.setImported(name, value)
  }
}

function opener(compiler: Compiler, node: NodeOf<'Import' | 'FromImport'>): (frame: Frame) => Module {
  const open = node.withContext ? localContext(compiler) : null
  return (frame) => {
    frame.run.budget.step(callSteps)
    const origin = findTemplate(frame.instance, node.reference.value, 'imported')
    return open ? moduleOf(open(frame, origin)) : isolated(frame, origin)
  }
}

/** A template that sees what is visible at a place. */
function localContext(compiler: Compiler): (frame: Frame, origin: Origin) => Instance {
  const locals = localsOf(compiler)
  return (frame, origin) => {
    const { context } = frame.instance
    frame.run.budget.step(context.size)
    return start(frame, origin, new TemplateContext(context.variables, origin.reference, context.names(locals(frame))))
  }
}

function isolated(frame: Frame, origin: Origin): Module {
  const { run } = frame
  return run.module(origin.unit, () => moduleOf(start(frame, origin, new TemplateContext(run.isolated, origin.reference))))
}

function start({ run }: Frame, origin: Origin, context: Instance['context']): Instance {
  const instance = new Instance(run, origin, context)
  addBlocks(instance, origin)
  return instance
}

function moduleOf(instance: Instance): Module {
  const output = new Output()
  runNested(instance, output)
  const { text } = output
  instance.run.budget.characters(text.length)
  const exported = instance.context.exported()
  return {
    exported,
    text,
    value: new Printed(
      'TemplateModule',
      () => text,
      (name) => exported.get(name),
    ),
  }
}

/** The blocks of a template stand behind those of the ones that extend it. */
export function addBlocks({ run, context }: Instance, origin: Origin): void {
  const { blocks } = origin.unit.template
  if (blocks.size === 0) return
  run.budget.step(blocks.size)
  for (const [name, execute] of blocks) context.addBlock(name, { execute, origin })
}

function runNested(instance: Instance, output: Output): void {
  instance.run.nested(instance, () => runTemplate(instance, output))
}

/** Runs a template, and then the one that it turned out to extend. */
export function runTemplate(instance: Instance, output: Output): void {
  const { template } = instance.origin.unit
  const frame = new Frame(instance, null)
  template.enter(frame)
  template.execute(frame, output)
  if (!instance.parent) return
  template.settle(frame)
  runNested(new Instance(instance.run, instance.parent, instance.context), output)
}

function find({ origin }: Instance, references: readonly string[]): Found | null {
  for (const reference of references) {
    const target = origin.unit.includes.get(reference)
    if (target) return { reference, target }
  }
  return null
}

function findTemplate(instance: Instance, reference: string, use: string): Origin {
  const found = find(instance, [reference])
  if (!found) throw absent([reference])
  const { target } = found
  if (!('text' in target)) return { unit: target, reference }
  throw notSupported(`The prompt ${quote(reference)} is no template ("template": "none"), so it cannot be ${use}. Include it.`)
}

function absent(references: readonly string[]): OperationError {
  if (references.length === 1) return new OperationError('TemplateNotFound', references[0] ?? '')
  return new OperationError('TemplatesNotFound', `none of the templates given were found: ${references.join(', ')}`)
}
