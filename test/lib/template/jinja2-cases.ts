import { readFileSync } from 'node:fs'
import { Budget } from '../../../src/lib/template/budget.js'
import { filters } from '../../../src/lib/template/filters/filters.js'
import { tests } from '../../../src/lib/template/filters/tests.js'
import { toIterable } from '../../../src/lib/template/values/iteration.js'
import { methodOf } from '../../../src/lib/template/values/methods.js'
import type { Arguments, Context } from '../../../src/lib/template/values/operations.js'
import { percentFormat } from '../../../src/lib/template/values/python-format.js'
import {
  Dict,
  float,
  isInt,
  isList,
  Markup,
  Once,
  OperationError,
  str,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from '../../../src/lib/template/values/values.js'

/** A call, and what Python answers to it; `generate-filters.py` says how values are written. */
export type Case = {
  kind: 'filter' | 'test' | 'method' | 'percent'
  name: string
  value: unknown
  args?: unknown[]
  kwargs?: Record<string, unknown>
  type?: string
  output?: string
  error?: string
  message?: string
}

export function readCases(): Case[] {
  return JSON.parse(readFileSync(new URL('../../fixtures/jinja2/filters.json', import.meta.url), 'utf8')) as Case[]
}

export const noArguments: Arguments = { args: [], kwargs: new Map() }

/** A context of its own, with the lookups that filters need. */
export function newContext(): Context {
  const context: Context = {
    budget: new Budget(),
    filter: (name, value, given) => {
      const filter = filters.get(name)
      if (!filter) throw new OperationError('TemplateRuntimeError', `No filter named '${name}'.`)
      return filter(context, value, given)
    },
    test: (name, value, given) => {
      const test = tests.get(name)
      if (!test) throw new OperationError('TemplateRuntimeError', `No test named '${name}'.`)
      return test(context, value, given)
    },
    attribute: itemOf,
    item: itemOf,
  }
  return context
}

function orMissing(found: Value | undefined, value: Value, key: Value): Value {
  if (found !== undefined) return found
  if (value instanceof Undefined) throw new OperationError('UndefinedError', value.what)
  return new Undefined(`'${typeName(value)} object' has no attribute '${str(key)}'`)
}

function itemOf(value: Value, key: Value): Value {
  if (value instanceof Dict) return orMissing(value.get(key), value, key)
  const text = textOf(value)
  const items = text !== null ? Array.from(text) : value instanceof Tuple ? value.items : isList(value) ? value : []
  return orMissing(isInt(key) ? items.at(Number(key)) : undefined, value, key)
}

export function decode(json: unknown): Value {
  if (Array.isArray(json)) return json.map(decode)
  if (typeof json !== 'object' || json === null) return json as Value
  const [[tag, content] = ['', null]] = Object.entries(json)
  if (tag === '$tuple') return new Tuple((content as unknown[]).map(decode))
  if (tag === '$generator') return new Once('generator', (content as unknown[]).map(decode))
  if (tag === '$dict') return Dict.from((content as [unknown, unknown][]).map(([key, value]) => [decode(key), decode(value)]))
  if (tag === '$markup') return new Markup(content as string)
  if (tag === '$undefined') return new Undefined(`'${content}' is undefined`)
  if (tag === '$int') return BigInt(content as string)
  return float(Number((content as string).replace('inf', 'Infinity')))
}

function call(context: Context, { kind, name, value, args = [], kwargs = {} }: Case): Value {
  const given = { args: args.map(decode), kwargs: new Map(Object.entries(kwargs).map(([key, arg]) => [key, decode(arg)])) }
  if (kind === 'filter') return context.filter(name, decode(value), given)
  if (kind === 'test') return context.test(name, decode(value), given)
  if (kind === 'percent') return percentFormat(context, decode(value) as string, given.args[0] ?? null)
  const method = methodOf(context, decode(value), name)
  if (!method) throw new OperationError('AttributeError', `no method ${name}`)
  return method(given.args, given.kwargs)
}

/** What comes of a call: its text with its type, or the kind of the error. */
export function outcomeOf(one: Case): string {
  const context = newContext()
  try {
    const result = call(context, one)
    if (result instanceof Once) return `generator: ${str(toIterable(context, result))}`
    return `${typeName(result)}: ${str(result)}`
  } catch (error) {
    if (error instanceof OperationError) return error.kind
    throw error
  }
}

export function expectedOf({ type, output, error }: Case): string {
  return error ?? `${type}: ${output}`
}

export function titleOf({ kind, name, value, args, kwargs }: Case): string {
  return `${kind} ${name} of ${JSON.stringify([value, args, kwargs])}`.slice(0, 300)
}

/** What an error looks like that has the kind of an exception of Python's. */
export function failure(kind: string, message = /./) {
  return { name: 'OperationError', message, kind }
}
