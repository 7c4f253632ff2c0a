import { childNodes, type NodeName, type NodeOf, type TemplateNode } from '../syntax/nodes.js'
import { textMethods } from '../values/text-methods.js'
import { filtered, givenTo, isText, methodResult } from './filters.js'
import { Binding } from './names.js'
import { collectionOf, either, indexed, itemOf, partOf, type Subject, unknown, use, type Value } from './places.js'
import { orderOf, type Walk } from './walk.js'

/** What surely has a value when an expression turns out true, and when it turns out false; and the value itself. */
type Facts = { whenTrue: Subject[]; whenFalse: Subject[]; value: Value }

const nothing: Facts = { whenTrue: [], whenFalse: [], value: unknown }

/** A use of the whole value of an expression. */
export function useAll(walk: Walk, node: TemplateNode | null | undefined): void {
  if (node) readAndUse(walk, node)
}

/** Visits a node for its value: a name in it is needed, unless a guard is active. The value itself is not used yet. */
export function read(walk: Walk, node: TemplateNode): Value {
  const reader = readers[node.typename] as ((walk: Walk, node: TemplateNode) => Value) | undefined
  if (reader) return reader(walk, node)
  for (const child of childNodes(node)) useAll(walk, child)
  return unknown
}

/** Visits a node for whether it is true: a name that is itself what is tested is guarded by that. */
export function test(walk: Walk, node: TemplateNode): Facts {
  const tester = testers[node.typename] as ((walk: Walk, node: TemplateNode) => Facts) | undefined
  return tester ? tester(walk, node) : asValue(walk, node)
}

function asValue(walk: Walk, node: TemplateNode): Facts {
  return { ...nothing, value: readAndUse(walk, node) }
}

/** The value of an expression, all of which is used. */
export function readAndUse(walk: Walk, node: TemplateNode): Value {
  const value = read(walk, node)
  use(value, orderOf(node))
  return value
}

/** What a name is bound to that gets the value of a node. */
export function bindingOf(walk: Walk, node: TemplateNode): Binding {
  if (node.typename === 'Symbol') return walk.alias(node.value, orderOf(node))
  return new Binding(readAndUse(walk, node))
}

const readers: { [Name in NodeName]?: (walk: Walk, node: NodeOf<Name>) => Value } = {
  Symbol: (walk, node) => (isJinjas(walk, node.value) ? unknown : walk.see(node.value, orderOf(node), 'needed')),
  LookupVal: (walk, node) => lookup(walk, node, read(walk, node.target)),
  FunCall: readCall,
  KeywordArgs: (walk, node) => {
    for (const pair of node.children) useAll(walk, pair.value)
    return unknown
  },
  Array: readList,
  Tuple: readList,
  Add: (walk, node) => either([read(walk, node.left), read(walk, node.right)]),
  Filter: readFilter,
  Test: readTest,
  Not: (walk, node) => {
    if (isName(node.target)) testName(walk, node.target)
    else useAll(walk, node.target)
    return unknown
  },
  // The last operand of `x or 'a'` is a value like any other; those before it are tested.
  And: (walk, node) => logic(walk, node, asValue).value,
  Or: (walk, node) => logic(walk, node, asValue).value,
  InlineIf: (walk, node) => {
    const facts = test(walk, node.cond)
    const values: Value[] = []
    walk.guarding(facts.whenTrue, () => values.push(read(walk, node.body)))
    const { else_ } = node
    if (else_) walk.guarding(facts.whenFalse, () => values.push(read(walk, else_)))
    return either(values)
  },
  Capture: (walk, node) => {
    walk.known.capture(walk, node)
    return unknown
  },
}

const testers: { [Name in NodeName]?: (walk: Walk, node: NodeOf<Name>) => Facts } = {
  Symbol: testName,
  LookupVal: testName,
  Not: (walk, node) => {
    const { whenTrue, whenFalse } = test(walk, node.target)
    return { whenTrue: whenFalse, whenFalse: whenTrue, value: unknown }
  },
  And: (walk, node) => logic(walk, node, test),
  Or: (walk, node) => logic(walk, node, test),
  Test: testTest,
  Compare: testComparison,
  Filter: testFilter,
}

/** What Jinja2 gives under this name wherever it is used so. */
function isJinjas(walk: Walk, name: string): boolean {
  return name === 'self' || (name === 'super' && walk.block !== null)
}

/** The key of `x.y` and `x["y"]` and the index of `x[0]` lead on; of what is computed an item is taken. */
function lookup(walk: Walk, { val }: NodeOf<'LookupVal'>, target: Value): Value {
  if (isText(val)) return partOf(target, val.value)
  useAll(walk, val)
  if (val.typename === 'Slice') return target
  return val.typename === 'Literal' ? indexed(target, Number(val.value)) : itemOf(target)
}

function readList(walk: Walk, node: NodeOf<'Array' | 'Tuple'>): Value {
  return collectionOf([], either(node.children.map((child) => readAndUse(walk, child))))
}

function readFilter(walk: Walk, node: NodeOf<'Filter'>): Value {
  const [input] = node.args.children
  const isGuard = input && isDefault(node) && isName(input)
  return applyFilter(walk, node, isGuard ? testName(walk, input).value : input ? read(walk, input) : unknown)
}

function applyFilter(walk: Walk, node: NodeOf<'Filter'>, value: Value): Value {
  const [input, ...others] = node.args.children
  if (isDefault(node)) return either([value, ...others.map((other) => readArgument(walk, other))])
  for (const other of others) useAll(walk, other)
  if (node.name.typename !== 'Symbol') return unknown
  return filtered(node.name.value, value, givenTo(others), orderOf(input ?? node))
}

function readArgument(walk: Walk, node: TemplateNode): Value {
  if (node.typename !== 'KeywordArgs') return read(walk, node)
  return either(node.children.map((pair) => read(walk, pair.value)))
}

function readCall(walk: Walk, node: NodeOf<'FunCall'>): Value {
  const { name: callee } = node
  if (isBlockCall(walk, callee)) {
    useAll(walk, node.args)
    return unknown
  }
  if (callee.typename !== 'LookupVal' || !isText(callee.val)) {
    useAll(walk, callee)
    useAll(walk, node.args)
    return unknown
  }
  const target = read(walk, callee.target)
  useAll(walk, node.args)
  const name = callee.val.value
  const result = methodResult(name, target, givenTo(node.args.children))
  const isMethod = result !== null || textMethods.has(name)
  use(isMethod ? target : partOf(target, name), orderOf(callee))
  return result ?? unknown
}

/** Notes `super()`, which may be `super.super()`, and `self.name()`. */
function isBlockCall(walk: Walk, callee: TemplateNode): boolean {
  let [target, above] = [callee, 1]
  while (target.typename === 'LookupVal' && isText(target.val) && target.val.value === 'super') {
    target = target.target
    above += 1
  }
  if (target.typename === 'Symbol' && target.value === 'super' && walk.block !== null) {
    walk.renderBlock(walk.block, callee, { above })
    return true
  }
  if (callee.typename !== 'LookupVal' || !isText(callee.val)) return false
  if (callee.target.typename !== 'Symbol' || callee.target.value !== 'self') return false
  walk.renderBlock(callee.val.value, callee)
  return true
}

/** A name, or attributes of one: `user.address["city"]` is a use of `user`. */
function testName(walk: Walk, node: TemplateNode): Facts {
  const lookups: NodeOf<'LookupVal'>[] = []
  let target = node
  while (target.typename === 'LookupVal') {
    lookups.push(target)
    target = target.target
  }
  const tested = target.typename === 'Symbol' && !isJinjas(walk, target.value) ? target.value : null
  let value =
    tested === null ? readAndUse(walk, target) : walk.see(tested, orderOf(target), lookups.length > 0 ? 'needed' : 'guarded')
  for (const each of lookups.reverse()) value = lookup(walk, each, value)
  use(value, orderOf(node))
  return { whenTrue: tested === null ? [] : walk.subjects(tested), whenFalse: [], value }
}

function isName(node: TemplateNode): boolean {
  let target: TemplateNode = node
  while (target.typename === 'LookupVal') target = target.target
  return target.typename === 'Symbol'
}

/** `a and b and c` is taken as one list: it nests to the left, and merging the facts at each level would be quadratic. */
function logic(walk: Walk, node: NodeOf<'And' | 'Or'>, visitLast: typeof test): Facts {
  const operands = operandsOf(node)
  const going = node.typename === 'And' ? 'whenTrue' : 'whenFalse'
  const stopping = node.typename === 'And' ? 'whenFalse' : 'whenTrue'
  const gathered: Subject[] = []
  const values: Value[] = []
  let common: Subject[] | undefined
  operands.forEach((operand, index) => {
    const facts = index === operands.length - 1 ? visitLast(walk, operand) : test(walk, operand)
    // The next operand is looked at only after this one let it.
    walk.guard(facts[going])
    for (const subject of facts[going]) gathered.push(subject)
    common = common ? intersection(common, facts[stopping]) : facts[stopping]
    values.push(facts.value)
  })
  walk.unguard(gathered)
  const value = either(node.typename === 'Or' ? values : values.slice(-1))
  const [whenTrue, whenFalse] = going === 'whenTrue' ? [gathered, common ?? []] : [common ?? [], gathered]
  return { whenTrue, whenFalse, value }
}

function operandsOf(node: NodeOf<'And' | 'Or'>): TemplateNode[] {
  const operands: TemplateNode[] = []
  let rest: TemplateNode = node
  while (rest.typename === node.typename) {
    operands.push(rest.right)
    rest = rest.left
  }
  operands.push(rest)
  return operands.reverse()
}

function intersection(a: Subject[], b: Subject[]): Subject[] {
  const inB = new Set(b)
  return a.filter((subject) => inB.has(subject))
}

const absenceTests = new Set(['defined', 'undefined', 'none'])

function readTest(walk: Walk, node: NodeOf<'Test'>): Value {
  if (absenceTests.has(node.name.value) && isName(node.target)) testName(walk, node.target)
  else useAll(walk, node.target)
  useAll(walk, node.args)
  return unknown
}

function testTest(walk: Walk, node: NodeOf<'Test'>): Facts {
  const { whenTrue: subjects } = test(walk, node.target)
  useAll(walk, node.args)
  if (!isName(node.target)) return nothing
  if (node.name.value === 'defined') return { ...nothing, whenTrue: subjects }
  if (node.name.value === 'undefined') return { ...nothing, whenFalse: subjects }
  return nothing
}

const unordered = new Set(['==', '!=', 'in', 'not in'])

function testComparison(walk: Walk, node: NodeOf<'Compare'>): Facts {
  // What is absent can be compared for equality, but it has no order.
  const isEquality = node.ops.every((op) => unordered.has(op.type))
  const visit = (operand: TemplateNode): Facts => {
    if (isEquality || operand.typename === 'Filter') return test(walk, operand)
    return asValue(walk, operand)
  }
  const { whenTrue } = visit(node.expr)
  for (const { expr } of node.ops) visit(expr)
  const [only] = node.ops
  return node.ops.length === 1 && only && needsTruth(only) ? { ...nothing, whenTrue } : nothing
}

/** Whether only something true compares so: `== "a"`, `> 0`. */
function needsTruth({ type, expr }: NodeOf<'CompareOperand'>): boolean {
  if (expr.typename !== 'Literal') return false
  if (type === '==') return Boolean(expr.value)
  if (typeof expr.value !== 'number') return false
  return type === '>' ? expr.value >= 0 : type === '>=' && expr.value > 0
}

function testFilter(walk: Walk, node: NodeOf<'Filter'>): Facts {
  const [input, ...others] = node.args.children
  const { whenTrue, value: given } = input ? test(walk, input) : nothing
  const value = applyFilter(walk, node, given)
  use(value, orderOf(node))
  // `x|default(true)` is true without x; `x|length` and `x|default([])` are not.
  return isDefault(node) && !isFalse(others[0]) ? { ...nothing, value } : { whenTrue, whenFalse: [], value }
}

function isDefault({ name }: NodeOf<'Filter'>): boolean {
  return name.typename === 'Symbol' && (name.value === 'default' || name.value === 'd')
}

function isFalse(node: TemplateNode | undefined): boolean {
  if (!node) return true
  if (node.typename === 'Literal') return !node.value
  return (node.typename === 'Array' || node.typename === 'Dict') && node.children.length === 0
}
