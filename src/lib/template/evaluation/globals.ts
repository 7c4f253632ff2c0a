import { BudgetExceeded, budgets } from '../budget.js'
import { bind, notSupported, toIndex, typeError, undefinedError, valueError } from '../values/arguments.js'
import { reprFor, toIterable } from '../values/iteration.js'
import { Attributes, Callable, Dict, OperationError, Printed, Range, typeName, Undefined, type Value } from '../values/values.js'
import type { Run } from './frame.js'

type Call = Callable['call']

/** The functions that Jinja2 gives every template. */
export const globals: ReadonlyMap<string, (run: Run) => Value> = new Map<string, (run: Run) => Value>([
  ['range', (run) => typeNamed('range', (args, kwargs) => range(run, args, kwargs))],
  ['dict', (run) => typeNamed('dict', (args, kwargs) => dict(run, args, kwargs))],
  ['namespace', (run) => typeNamed('jinja2.utils.Namespace', (args, kwargs) => namespace(run, args, kwargs))],
  ['cycler', () => typeNamed('jinja2.utils.Cycler', cycler)],
  ['joiner', () => typeNamed('jinja2.utils.Joiner', joiner)],
  [
    'lipsum',
    () =>
      new Callable('function', () => {
        throw notSupported('The function "lipsum" makes another text each time and is not supported.')
      }),
  ],
])

const typeNamed = (name: string, call: Call) => new Callable('type', call, `<class '${name}'>`)

const range: (run: Run, ...given: Parameters<Call>) => Value = (run, args, kwargs) => {
  if (kwargs.size > 0) throw typeError('range() takes no keyword arguments')
  if (args.length < 1) throw typeError('range expected at least 1 argument, got 0')
  if (args.length > 3) throw typeError(`range expected at most 3 arguments, got ${args.length}`)
  const [first = 0, second, step = 1] = args.map(toIndex)
  const [start, stop] = second === undefined ? [0, first] : [first, second]
  if (step === 0) throw valueError('range() arg 3 must not be zero')
  const length = Math.max(0, Math.ceil((stop - start) / step))
  // Also where it is infinite, or is no number since both ends are.
  if (!(length <= budgets.range)) throw new BudgetExceeded('range')
  run.budget.step(length)
  return new Range(start, stop, step)
}

const dict: (run: Run, ...given: Parameters<Call>) => Value = (run, args, kwargs) => {
  const result = new Dict()
  if (args.length > 1) throw typeError(`dict expected at most 1 argument, got ${args.length}`)
  const [source] = args
  if (source instanceof Dict) for (const [key, value] of source.entries()) result.set(key, value)
  else if (source !== undefined) {
    toIterable(run.context, source).forEach((pair, index) => {
      const items = pairItems(run, pair, index)
      result.set(items[0] ?? null, items[1] ?? null)
    })
  }
  for (const [key, value] of kwargs) result.set(key, value)
  run.budget.step(result.size)
  return result
}

function pairItems(run: Run, pair: Value, index: number): Value[] {
  const items = toIterable(run.context, pair)
  if (items.length === 2) return items
  throw valueError(`dictionary update sequence element #${index} has length ${items.length}; 2 is required`)
}

/** Told from other attributes by `set`, which only this has. */
const namespace: (run: Run, ...given: Parameters<Call>) => Value = (run, args, kwargs) => {
  const values = dict(run, args, kwargs) as Dict
  return new Printed(
    'Namespace',
    () => `<Namespace ${reprFor(run.context, values)}>`,
    (name) => values.get(name),
    (name, value) => values.set(name, value),
  )
}

const cycler: Call = (items) => {
  if (items.length === 0) throw new OperationError('RuntimeError', 'at least one item has to be provided')
  let position = 0
  const current = () => items[position] ?? null
  const next = new Callable('method', () => {
    const value = current()
    position = (position + 1) % items.length
    return value
  })
  const reset = new Callable('method', () => {
    position = 0
    return null
  })
  return new Attributes('Cycler', (name) =>
    name === 'next' ? next : name === 'reset' ? reset : name === 'current' ? current() : name === 'pos' ? position : undefined,
  )
}

const joiner: Call = (args, kwargs) => {
  const [separator = ', '] = bind('Joiner', { args, kwargs }, ['sep'])
  let isUsed = false
  return new Attributes(
    'Joiner',
    (name) => (name === 'sep' ? separator : name === 'used' ? isUsed : undefined),
    undefined,
    () => {
      if (isUsed) return separator
      isUsed = true
      return ''
    },
  )
}

/** Calls what a template calls. */
export function callValue(callee: Value, args: readonly Value[], kwargs: ReadonlyMap<string, Value>): Value {
  if (callee instanceof Callable) return callee.call(args, kwargs)
  if (callee instanceof Attributes && callee.call) return callee.call(args, kwargs)
  if (callee instanceof Undefined) throw undefinedError(callee)
  throw typeError(`'${typeName(callee)}' object is not callable`)
}
