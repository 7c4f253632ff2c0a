import type { NodeOf, TemplateNode } from '../syntax/nodes.js'
import { syntax } from '../template-error.js'
import { typeError } from '../values/arguments.js'
import { reprString } from '../values/python-literals.js'
import { type Callable, Dict, Macro as MacroValue, Tuple, Undefined, type Value } from '../values/values.js'
import type { Compiler } from './compiler.js'
import { expression } from './expressions.js'
import { capture, type Evaluate, type Execute, Frame, missing } from './frame.js'
import { note, type Slot } from './scope.js'

type Parameter = { name: string; slot: Slot; byDefault: Evaluate | null; node: TemplateNode }

type Macro = {
  label: string
  parameters: Parameter[]
  /** What Jinja2 passes besides the parameters, where the body uses it. */
  extras: { caller: Slot | null; kwargs: Slot | null; varargs: Slot | null }
  takesCaller: boolean
  enter: (frame: Frame) => void
  run: Execute
}

/** A macro, or the body of a `call` block, which has no name. */
export function macro(compiler: Compiler, node: NodeOf<'Macro' | 'CallBlock'>, name: string | null): Evaluate {
  const compiled = compile(compiler, node, name)
  const parameters = compiled.parameters.map((parameter) => parameter.name)
  const { kwargs, varargs } = compiled.extras
  const extras = { kwargs: kwargs !== null, varargs: varargs !== null, caller: compiled.takesCaller }
  return (frame) => {
    const call: Callable['call'] = (args, kwargs) => {
      const own = new Frame(frame.instance, frame)
      fill(compiled, own, args, kwargs)
      return frame.run.nested(frame.instance, () => {
        fillDefaults(compiled, own)
        compiled.enter(own)
        return capture(compiled.run, own)
      })
    }
    return new MacroValue(name, parameters, extras, call)
  }
}

function compile(compiler: Compiler, node: NodeOf<'Macro' | 'CallBlock'>, name: string | null): Macro {
  const used = compiler.shared.specialNames.usedIn(node.body, ['caller', 'kwargs', 'varargs'])
  const declared = parametersOf(node.args)
  const names = new Set(declared.map((parameter) => parameter.name))
  const explicitCaller = declared.find((parameter) => parameter.name === 'caller')
  if (explicitCaller && !explicitCaller.byDefault) throw syntax('The parameter "caller" needs a default.', explicitCaller.node)
  const slots = new Map<string, Slot>()
  const inner = compiler.innerFunction((symbols) => {
    for (const extra of used) if (!names.has(extra)) slots.set(extra, symbols.parameter(extra))
    for (const parameter of declared) slots.set(parameter.name, symbols.parameter(parameter.name))
    for (const parameter of declared) note(symbols, parameter.byDefault)
    note(symbols, node.body)
  })
  const slotOf = (extra: string) => (names.has(extra) ? null : (slots.get(extra) ?? null))
  return {
    label: name === null ? 'None' : reprString(name),
    parameters: declared.map(({ name, byDefault, node }) => ({
      name,
      node,
      slot: slots.get(name) as Slot,
      byDefault: byDefault && expression(inner, byDefault),
    })),
    extras: { caller: slotOf('caller'), kwargs: slotOf('kwargs'), varargs: slotOf('varargs') },
    takesCaller: used.has('caller') || explicitCaller !== undefined,
    enter: inner.entry(),
    run: inner.apart().body(node.body),
  }
}

type Declared = { name: string; byDefault: TemplateNode | null; node: TemplateNode }

function parametersOf(args: TemplateNode): Declared[] {
  if (args.typename !== 'NodeList') return []
  return args.children.flatMap((node): Declared[] => {
    if (node.typename === 'Symbol') return [{ name: node.value, byDefault: null, node }]
    if (node.typename !== 'KeywordArgs') return []
    return node.children.map(({ key, value }) => ({
      name: key.typename === 'Symbol' ? key.value : '',
      byDefault: value,
      node: key,
    }))
  })
}

function fill(macro: Macro, frame: Frame, args: readonly Value[], kwargs: ReadonlyMap<string, Value>): void {
  const { parameters, label, extras } = macro
  const open = new Map(kwargs)
  parameters.forEach(({ name, slot }, index) => {
    const value = index < args.length ? args[index] : open.get(name)
    if (index >= args.length) open.delete(name)
    // None is null, and is given.
    frame.slots[slot.index] = value === undefined ? missing : value
  })
  if (extras.caller) {
    const caller = open.get('caller')
    frame.slots[extras.caller.index] = caller === undefined ? new Undefined('No caller defined') : caller
    open.delete('caller')
  }
  if (extras.kwargs) frame.slots[extras.kwargs.index] = Dict.from(open)
  else refuseKeywords(label, open)
  if (extras.varargs) frame.slots[extras.varargs.index] = new Tuple(args.slice(parameters.length))
  else if (args.length > parameters.length) {
    throw typeError(`macro ${label} takes not more than ${parameters.length} argument(s)`)
  }
}

function fillDefaults({ parameters }: Macro, frame: Frame): void {
  for (const { name, slot, byDefault } of parameters) {
    if (frame.slots[slot.index] !== missing) continue
    frame.slots[slot.index] = byDefault ? byDefault(frame) : new Undefined(`parameter ${reprString(name)} was not provided`)
  }
}

function refuseKeywords(label: string, open: ReadonlyMap<string, Value>): void {
  for (const [name] of open) {
    if (!open.has('caller')) throw typeError(`macro ${label} takes no keyword argument ${reprString(name)}`)
    throw typeError(`macro ${label} was invoked with two values for the special caller argument. This is most likely a bug.`)
  }
}
