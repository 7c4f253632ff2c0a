import { filters } from '../filters/filters.js'
import { tests } from '../filters/tests.js'
import type { NodeName, NodeOf, TemplateNode } from '../syntax/nodes.js'
import { quote, unsupported } from '../template-error.js'
import { typeError, undefinedError } from '../values/arguments.js'
import { binary, negative, positive } from '../values/arithmetic.js'
import { areEqual, contains, order, toIterable } from '../values/iteration.js'
import { methodOf } from '../values/methods.js'
import type { Arguments } from '../values/operations.js'
import { Dict, Float, isTruthy, numberOf, Tuple, Undefined, type Value } from '../values/values.js'
import type { Compiler } from './compiler.js'
import { isConstant } from './constants.js'
import { capture, type Evaluate, type Frame, MissingVariable, missing } from './frame.js'
import { callValue } from './globals.js'
import { attribute, item, slice } from './lookups.js'
import { printed } from './printing.js'
import { note } from './scope.js'

/** Turns an expression into a function that gives its value. */
export function expression(compiler: Compiler, node: TemplateNode): Evaluate {
  const compile = compilers[node.typename] as ((compiler: Compiler, node: TemplateNode) => Evaluate) | undefined
  if (!compile) throw unsupported(`${quote(node.typename)} is not supported here.`, node)
  return compile(compiler, node)
}

export function condition(compiler: Compiler, node: TemplateNode): (frame: Frame) => boolean {
  const evaluate = expression(compiler, node)
  return (frame) => {
    const value = evaluate(frame)
    return typeof value === 'boolean' ? value : isTruthy(value)
  }
}

type BinaryNode = NodeOf<'Add' | 'Sub' | 'Mul' | 'Div' | 'FloorDiv' | 'Mod' | 'Pow'>

const compilers: { [Name in NodeName]?: (compiler: Compiler, node: NodeOf<Name>) => Evaluate } = {
  Literal: literal,
  Symbol: (compiler, node) => symbol(compiler, node),
  Array: (compiler, node) => {
    const items = node.children.map((child) => expression(compiler, child))
    return (frame) => items.map((evaluate) => evaluate(frame))
  },
  Tuple: (compiler, node) => {
    const items = node.children.map((child) => expression(compiler, child))
    return (frame) => new Tuple(items.map((evaluate) => evaluate(frame)))
  },
  Dict: dict,
  LookupVal: lookup,
  FunCall: (compiler, node) => call(compiler, node),
  Filter: filter,
  Test: test,
  InlineIf: inlineIf,
  Capture: (compiler, node) => {
    const body = compiler.standing.captured === node ? compiler.body(node.body) : compiler.innerBody(node.body)
    return (frame) => capture(body, frame)
  },
  Compare: comparison,
  Not: (compiler, node) => {
    const holds = condition(compiler, node.target)
    return (frame) => !holds(frame)
  },
  And: (compiler, node) => {
    const [left, right] = [expression(compiler, node.left), expression(compiler, node.right)]
    return (frame) => {
      const value = left(frame)
      return isTruthy(value) ? right(frame) : value
    }
  },
  Or: (compiler, node) => {
    const [left, right] = [expression(compiler, node.left), expression(compiler, node.right)]
    return (frame) => {
      const value = left(frame)
      return isTruthy(value) ? value : right(frame)
    }
  },
  Neg: (compiler, node) => unary(compiler, node, negative),
  Pos: (compiler, node) => unary(compiler, node, positive),
  Add: arithmetic,
  Sub: arithmetic,
  Mul: arithmetic,
  Div: arithmetic,
  FloorDiv: arithmetic,
  Mod: arithmetic,
  Pow: power,
  Concat: (compiler, node) => {
    const [left, right] = [expression(compiler, node.left), expression(compiler, node.right)]
    return (frame) => {
      const { run } = frame
      const [a, b] = [printed(run, left(frame)), printed(run, right(frame))]
      run.at = node
      run.budget.characters(a.length + b.length)
      return a + b
    }
  },
}

function literal(_compiler: Compiler, node: NodeOf<'Literal'>): Evaluate {
  const { value } = node
  const constant = node.isFloat && Number.isInteger(value) ? new Float(value as number) : value
  return () => constant
}

/** Reads a slot; what stands in none is looked up among the variables once. */
function symbol(compiler: Compiler, node: NodeOf<'Symbol'>): Evaluate {
  const { index, hops, variable } = compiler.place(node.value)
  const absent = new MissingVariable(node.value)
  const absentForGood = new Undefined(absent.what)
  return (frame) => {
    let owner = frame
    for (let hop = 0; hop < hops; hop += 1) owner = owner.parent ?? owner
    let value = owner.slots[index]
    if (value === undefined) {
      if (variable === null) return absent
      frame.run.at = node
      value = frame.instance.resolve(variable)
      owner.slots[index] = value
    }
    if (value !== missing) return value
    return frame.instance.context.variables.areGiven ? absent : absentForGood
  }
}

function dict(compiler: Compiler, node: NodeOf<'Dict'>): Evaluate {
  const pairs = node.children.map(({ key, value }) => [expression(compiler, key), expression(compiler, value)] as const)
  return (frame) => {
    const result = new Dict()
    for (const [key, value] of pairs) {
      const [name, item] = [key(frame), value(frame)]
      frame.run.at = node
      result.set(name, item)
    }
    return result
  }
}

function lookup(compiler: Compiler, node: NodeOf<'LookupVal'>): Evaluate {
  const target = expression(compiler, node.target)
  const { val } = node
  if (val.typename === 'Slice') return sliced(compiler, node, target, val)
  if (node.isAttribute && val.typename === 'Literal') {
    const name = String(val.value)
    return (frame) => {
      const value = target(frame)
      frame.run.at = node
      return attribute(frame.run.context, value, name)
    }
  }
  const key = expression(compiler, val)
  return (frame) => {
    const [value, name] = [target(frame), key(frame)]
    frame.run.at = node
    return item(frame.run.context, value, name)
  }
}

function sliced(compiler: Compiler, node: TemplateNode, target: Evaluate, parts: NodeOf<'Slice'>): Evaluate {
  const part = (child: TemplateNode | null) => (child ? expression(compiler, child) : () => null)
  const [start, stop, step] = [part(parts.start), part(parts.stop), part(parts.step)]
  return (frame) => {
    const value = target(frame)
    const [from, to, by] = [start(frame), stop(frame), step(frame)]
    frame.run.at = node
    return slice(frame.run.context, value, from, to, by)
  }
}

/** `extra` is the body of a `call` block, which the callee gets as `caller`. */
export function call(compiler: Compiler, node: NodeOf<'FunCall'>, extra?: Evaluate): Evaluate {
  const given = callArguments(compiler, node.args, 0, extra)
  const { name } = node
  if (name.typename === 'LookupVal' && name.isAttribute && name.val.typename === 'Literal') {
    return methodCall(compiler, node, name, given)
  }
  const callee = expression(compiler, name)
  return (frame) => {
    const value = callee(frame)
    const { args, kwargs } = given(frame)
    frame.run.at = node
    frame.run.budget.step()
    return callValue(value, args, kwargs)
  }
}

/** Without making a value of the method. */
function methodCall(
  compiler: Compiler,
  node: TemplateNode,
  lookup: NodeOf<'LookupVal'>,
  given: (frame: Frame) => Arguments,
): Evaluate {
  const target = expression(compiler, lookup.target)
  const name = lookup.val.typename === 'Literal' ? String(lookup.val.value) : ''
  return (frame) => {
    const { run } = frame
    const value = target(frame)
    run.at = lookup
    const method = methodOf(run.context, value, name)
    const callee = method ? null : attribute(run.context, value, name)
    const { args, kwargs } = given(frame)
    run.at = node
    run.budget.step()
    return method ? method(args, kwargs) : callValue(callee, args, kwargs)
  }
}

const noKeywords: ReadonlyMap<string, Value> = new Map()
const noValues: readonly Value[] = []

/** The arguments behind the first `skip`. */
function callArguments(
  compiler: Compiler,
  list: NodeOf<'NodeList'>,
  skip: number,
  extra?: Evaluate,
): (frame: Frame) => Arguments {
  const values: Evaluate[] = []
  const keywords: [string, Evaluate][] = extra ? [['caller', extra]] : []
  let spread: Evaluate | undefined
  let keywordSpread: Evaluate | undefined
  for (const child of list.children.slice(skip)) {
    if (child.typename === 'Spread') spread = expression(compiler, child.target)
    else if (child.typename === 'KeywordSpread') keywordSpread = expression(compiler, child.target)
    else if (child.typename === 'KeywordArgs') {
      for (const { key, value } of child.children) {
        keywords.push([key.typename === 'Symbol' ? key.value : '', expression(compiler, value)])
      }
    } else values.push(expression(compiler, child))
  }
  const argsOf = (frame: Frame) => (values.length === 0 ? noValues : values.map((evaluate) => evaluate(frame)))
  const kwargsOf = (frame: Frame) =>
    keywords.length === 0 ? noKeywords : new Map(keywords.map(([name, evaluate]) => [name, evaluate(frame)] as const))
  if (!spread && !keywordSpread) return (frame) => ({ args: argsOf(frame), kwargs: kwargsOf(frame) })
  return (frame) => ({
    args: spread ? [...argsOf(frame), ...toIterable(frame.run.context, spread(frame))] : argsOf(frame),
    kwargs: keywordSpread ? withSpread(frame, kwargsOf(frame), keywordSpread(frame)) : kwargsOf(frame),
  })
}

function withSpread(frame: Frame, keywords: ReadonlyMap<string, Value>, spread: Value): ReadonlyMap<string, Value> {
  if (spread instanceof Undefined) throw undefinedError(spread)
  if (!(spread instanceof Dict)) throw typeError('The argument after ** must be a mapping')
  frame.run.budget.step(spread.size)
  const result = new Map(keywords)
  for (const [key, value] of spread.entries()) {
    if (typeof key !== 'string') throw typeError('keywords must be strings')
    if (result.has(key)) throw typeError(`got multiple values for keyword argument '${key}'`)
    result.set(key, value)
  }
  return result
}

/** The filters of a `filter` or `set` block are evaluated where its body is, and see what that sets. */
function filter(compiler: Compiler, node: NodeOf<'Filter'>): Evaluate {
  const body = captureIn(node)
  if (!body || compiler.standing.captured === body) return plainFilter(compiler, node)
  const inner = compiler.innerCapture(body, (symbols) => {
    note(symbols, node.args)
    note(symbols, body.body)
  })
  const [enter, evaluate] = [inner.entry(), plainFilter(inner, node)]
  return (frame) => {
    enter(frame)
    return evaluate(frame)
  }
}

/** The body of a `filter` or `set` block, which its filters are applied to. */
export function captureIn(node: TemplateNode): NodeOf<'Capture'> | null {
  let input: TemplateNode | undefined = node
  while (input?.typename === 'Filter') input = input.args.children[0]
  return input?.typename === 'Capture' ? input : null
}

function plainFilter(compiler: Compiler, node: NodeOf<'Filter'>): Evaluate {
  const name = node.name.typename === 'Symbol' ? node.name.value : ''
  const apply = filters.get(name)
  if (!apply) throw unsupported(`The filter ${quote(name)} does not exist in Jinja2 or is not supported.`, node.name)
  const input = expression(compiler, node.args.children[0] ?? node)
  const given = callArguments(compiler, node.args, 1)
  return (frame) => {
    const { run } = frame
    const value = input(frame)
    const options = given(frame)
    run.at = node
    run.budget.step()
    return apply(run.context, value, options)
  }
}

function test(compiler: Compiler, node: NodeOf<'Test'>): Evaluate {
  const name = node.name.value
  const apply = tests.get(name)
  if (!apply) throw unsupported(`The test ${quote(name)} does not exist in Jinja2 or is not supported.`, node.name)
  const target = expression(compiler, node.target)
  const given = callArguments(compiler, node.args, 0)
  return (frame) => {
    const { run } = frame
    const value = target(frame)
    const options = given(frame)
    run.at = node
    run.budget.step()
    return apply(run.context, value, options)
  }
}

function inlineIf(compiler: Compiler, node: NodeOf<'InlineIf'>): Evaluate {
  const holds = condition(compiler, node.cond)
  const body = expression(compiler, node.body)
  const absent = new Undefined(
    `the inline if-expression on line ${node.lineno + 1} evaluated to false and no else section was defined.`,
  )
  const otherwise = node.else_ ? expression(compiler, node.else_) : () => absent
  return (frame) => (holds(frame) ? body(frame) : otherwise(frame))
}

function unary(compiler: Compiler, node: NodeOf<'Neg' | 'Pos'>, apply: (value: Value) => Value): Evaluate {
  const target = expression(compiler, node.target)
  return (frame) => {
    const value = target(frame)
    frame.run.at = node
    return apply(value)
  }
}

/**
 * Jinja2 writes `-3 ** n` and `(1 - 4) ** n` for Python as `-3 ** n`, which is `-(3 ** n)` there: what is negative and constant
 * loses its sign to the power. `-x ** n` is `(-x) ** n`.
 */
function power(compiler: Compiler, node: NodeOf<'Pow'>): Evaluate {
  if (!isConstant(node.left) || isConstant(node.right)) return arithmetic(compiler, node)
  const [left, right] = [expression(compiler, node.left), expression(compiler, node.right)]
  return (frame) => {
    const [a, b] = [left(frame), right(frame)]
    const { context } = frame.run
    frame.run.at = node
    return isSigned(a) ? negative(binary('Pow', context, negative(a), b)) : binary('Pow', context, a, b)
  }
}

function isSigned(value: Value): boolean {
  const number = numberOf(value)
  return number !== null && (number < 0 || Object.is(number, -0))
}

function arithmetic(compiler: Compiler, node: BinaryNode): Evaluate {
  const [left, right] = [expression(compiler, node.left), expression(compiler, node.right)]
  const name = node.typename
  return (frame) => {
    const [a, b] = [left(frame), right(frame)]
    frame.run.at = node
    return binary(name, frame.run.context, a, b)
  }
}

type Compare = (frame: Frame, a: Value, b: Value) => boolean

const comparisons: ReadonlyMap<string, Compare> = new Map<string, Compare>([
  ['==', (frame, a, b) => isSame(frame, a, b)],
  ['!=', (frame, a, b) => !isSame(frame, a, b)],
  ['<', (frame, a, b) => order(frame.run.context, a, b, '<') < 0],
  ['<=', (frame, a, b) => order(frame.run.context, a, b, '<=') <= 0],
  ['>', (frame, a, b) => order(frame.run.context, a, b, '>') > 0],
  ['>=', (frame, a, b) => order(frame.run.context, a, b, '>=') >= 0],
  ['in', (frame, a, b) => contains(frame.run.context, b, a)],
  ['not in', (frame, a, b) => !contains(frame.run.context, b, a)],
])

function isSame(frame: Frame, a: Value, b: Value): boolean {
  // What is long takes longer to compare, and pays for it.
  const areShort = typeof a === 'string' && typeof b === 'string' && a.length < 64
  return areShort ? a === b : areEqual(frame.run.context, a, b)
}

/** `a < b < c` holds if both do; c is not looked at where the first does not. */
function comparison(compiler: Compiler, node: NodeOf<'Compare'>): Evaluate {
  const first = expression(compiler, node.expr)
  const others = node.ops.map((op) => {
    const compare = comparisons.get(op.type)
    if (!compare) throw unsupported(`The operator ${quote(op.type)} is not supported.`, op)
    return { op, compare, operand: expression(compiler, op.expr) }
  })
  return (frame) => {
    let left = first(frame)
    for (const { op, compare, operand } of others) {
      const right = operand(frame)
      frame.run.at = op
      if (!compare(frame, left, right)) return false
      left = right
    }
    return true
  }
}
