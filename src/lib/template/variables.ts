import { childNodes, type NodeName, type NodeOf, type TemplateNode } from './syntax/nodes.js'

export type Variable = { name: string; required: boolean }

/**
 * The variables a template takes from outside, in the order they first appear in it. One is not required if every use of it
 * is guarded, that is, written for the case that it is absent: a default, an `is defined`, an `if` on it. Pure; follows
 * Jinja2's scopes. The depth of its recursion is bounded by that of the tree, which `parseTemplate` bounds.
 */
export function templateVariables(root: TemplateNode): Variable[] {
  const walk = new Walk()
  walk.bind(globals.map((text) => walk.name(text)))
  markMacros(walk, root)
  visit(walk, root)
  return walk.variables()
}

const globals = ['range', 'dict', 'lipsum', 'cycler', 'joiner', 'namespace']
/** What Jinja2 itself passes to a macro and to the body of a call block. */
const callableLocals = ['caller', 'varargs', 'kwargs']

type SymbolNode = NodeOf<'Symbol'>

/**
 * A name, and what is known of it at the point the walk has reached: how many scopes bind it, and how many conditions
 * around that point have tested that it is there.
 */
type Name = { text: string; bindings: number; guards: number; isMacro: boolean; use?: { first: SymbolNode; required: boolean } }

/** Names that surely have a value when an expression turns out true, and when it turns out false. */
type Facts = { whenTrue: Name[]; whenFalse: Name[] }

const nothing: Facts = { whenTrue: [], whenFalse: [] }

class Walk {
  readonly #names = new Map<string, Name>()
  #macroDepth = 0
  /** What the innermost scope has bound so far. */
  #scope: Name[] = []

  name(text: string): Name {
    const known = this.#names.get(text)
    if (known) return known
    const name: Name = { text, bindings: 0, guards: 0, isMacro: false }
    this.#names.set(text, name)
    return name
  }

  use(node: SymbolNode, isGuarded: boolean): Name {
    const name = this.name(node.value)
    // A macro may call one that is defined after it.
    if (name.bindings > 0 || (name.isMacro && this.#macroDepth > 0)) return name
    name.use ??= { first: node, required: false }
    if (isBefore(node, name.use.first)) name.use.first = node
    if (!isGuarded && name.guards === 0) name.use.required = true
    return name
  }

  bind(names: Name[]): void {
    for (const name of names) {
      name.bindings += 1
      this.#scope.push(name)
    }
  }

  /** What `run` binds is unbound after it, and returned. */
  inScope(run: () => void): Name[] {
    const outer = this.#scope
    this.#scope = []
    run()
    const bound = this.#scope
    for (const name of bound) name.bindings -= 1
    this.#scope = outer
    return bound
  }

  inMacro(run: () => void): void {
    this.#macroDepth += 1
    run()
    this.#macroDepth -= 1
  }

  guarding(names: Name[], run: () => void): void {
    this.guard(names)
    run()
    this.unguard(names)
  }

  guard(names: Name[]): void {
    for (const name of names) name.guards += 1
  }

  unguard(names: Name[]): void {
    for (const name of names) name.guards -= 1
  }

  variables(): Variable[] {
    const uses = [...this.#names.values()].flatMap(({ use }) => use ?? [])
    uses.sort((a, b) => (isBefore(a.first, b.first) ? -1 : 1))
    return uses.map(({ first, required }) => ({ name: first.value, required }))
  }
}

function isBefore(a: SymbolNode, b: SymbolNode): boolean {
  return a.lineno < b.lineno || (a.lineno === b.lineno && a.colno < b.colno)
}

function markMacros(walk: Walk, root: TemplateNode): void {
  const pending = [root]
  for (let node = pending.pop(); node; node = pending.pop()) {
    if (node.typename === 'Macro') for (const name of boundNames(walk, node.name)) name.isMacro = true
    for (const child of childNodes(node)) pending.push(child)
  }
}

/** Visits a node for its value: a name in it is used without a guard, unless one is active. */
function visit(walk: Walk, node: TemplateNode | null | undefined): void {
  if (!node) return
  const visitor = visitors[node.typename] as ((walk: Walk, node: TemplateNode) => void) | undefined
  if (visitor) visitor(walk, node)
  else visitChildren(walk, node)
}

function visitChildren(walk: Walk, node: TemplateNode): void {
  for (const child of childNodes(node)) visit(walk, child)
}

/** Visits a node for whether it is true: a name that is itself what is tested is guarded by that. */
function test(walk: Walk, node: TemplateNode): Facts {
  const tester = testers[node.typename] as ((walk: Walk, node: TemplateNode) => Facts) | undefined
  if (tester) return tester(walk, node)
  visit(walk, node)
  return nothing
}

const visitors: { [Name in NodeName]?: (walk: Walk, node: NodeOf<Name>) => void } = {
  Symbol: (walk, node) => walk.use(node, false),
  KeywordArgs: (walk, node) => {
    for (const pair of node.children) visit(walk, pair.value)
  },
  Filter: visitFilter,
  Test: visitTest,
  Not: (walk, node) => void (isName(node.target) ? testName : visit)(walk, node.target),
  And: (walk, node) => void logic(walk, node, asValue),
  Or: (walk, node) => void logic(walk, node, asValue),
  If: visitIf,
  InlineIf: (walk, node) => {
    const facts = test(walk, node.cond)
    walk.guarding(facts.whenTrue, () => visit(walk, node.body))
    walk.guarding(facts.whenFalse, () => visit(walk, node.else_))
  },
  For: visitFor,
  Set: visitSet,
  Macro: visitMacro,
  CallBlock: (walk, node) => {
    visit(walk, node.call)
    visitCallable(walk, node)
  },
  With: visitWith,
  Block: (walk, node) => void walk.inScope(() => visit(walk, node.body)),
  Capture: (walk, node) => void walk.inScope(() => visit(walk, node.body)),
}

const testers: { [Name in NodeName]?: (walk: Walk, node: NodeOf<Name>) => Facts } = {
  Symbol: testName,
  LookupVal: testName,
  Not: (walk, node) => {
    const { whenTrue, whenFalse } = test(walk, node.target)
    return { whenTrue: whenFalse, whenFalse: whenTrue }
  },
  And: (walk, node) => logic(walk, node, test),
  Or: (walk, node) => logic(walk, node, test),
  Test: testTest,
  Compare: testComparison,
  Filter: testFilter,
}

/** A name, or attributes of one: `user.address["city"]` is a use of `user`. */
function testName(walk: Walk, node: TemplateNode): Facts {
  let target: TemplateNode = node
  while (target.typename === 'LookupVal') {
    visit(walk, target.val)
    target = target.target
  }
  if (target.typename !== 'Symbol') {
    visit(walk, target)
    return nothing
  }
  return { whenTrue: [walk.use(target, true)], whenFalse: [] }
}

function isName(node: TemplateNode): boolean {
  let target: TemplateNode = node
  while (target.typename === 'LookupVal') target = target.target
  return target.typename === 'Symbol'
}

/** `a and b and c` is taken as one list: it nests to the left, and merging the facts at each level would be quadratic. */
function logic(walk: Walk, node: NodeOf<'And' | 'Or'>, visitLast: (walk: Walk, node: TemplateNode) => Facts): Facts {
  const operands = operandsOf(node)
  const going = node.typename === 'And' ? 'whenTrue' : 'whenFalse'
  const stopping = node.typename === 'And' ? 'whenFalse' : 'whenTrue'
  const gathered: Name[] = []
  let common: Name[] | undefined
  operands.forEach((operand, index) => {
    const facts = index === operands.length - 1 ? visitLast(walk, operand) : test(walk, operand)
    // The next operand is looked at only after this one let it.
    walk.guard(facts[going])
    addAll(gathered, facts[going])
    common = common ? intersection(common, facts[stopping]) : facts[stopping]
  })
  walk.unguard(gathered)
  const stopped = common ?? []
  return going === 'whenTrue' ? { whenTrue: gathered, whenFalse: stopped } : { whenTrue: stopped, whenFalse: gathered }
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

function intersection(a: Name[], b: Name[]): Name[] {
  const inB = new Set(b)
  return a.filter((name) => inB.has(name))
}

/** The last operand of `x or 'a'` is a value like any other; those before it are tested. */
function asValue(walk: Walk, node: TemplateNode): Facts {
  visit(walk, node)
  return nothing
}

const absenceTests = new Set(['defined', 'undefined', 'none'])

function visitTest(walk: Walk, node: NodeOf<'Test'>): void {
  if (absenceTests.has(node.name.value) && isName(node.target)) testName(walk, node.target)
  else visit(walk, node.target)
  visit(walk, node.args)
}

function testTest(walk: Walk, node: NodeOf<'Test'>): Facts {
  const { whenTrue: names } = test(walk, node.target)
  visit(walk, node.args)
  if (!isName(node.target)) return nothing
  if (node.name.value === 'defined') return { whenTrue: names, whenFalse: [] }
  if (node.name.value === 'undefined') return { whenTrue: [], whenFalse: names }
  return nothing
}

const unordered = new Set(['==', '!=', 'in', 'not in'])

function testComparison(walk: Walk, node: NodeOf<'Compare'>): Facts {
  // What is absent can be compared for equality, but it has no order.
  const isEquality = node.ops.every((op) => unordered.has(op.type))
  const visitorOf = (operand: TemplateNode) => (isEquality || operand.typename === 'Filter' ? test : asValue)
  const { whenTrue } = visitorOf(node.expr)(walk, node.expr)
  for (const { expr } of node.ops) visitorOf(expr)(walk, expr)
  const [only] = node.ops
  return node.ops.length === 1 && only && needsTruth(only) ? { whenTrue, whenFalse: [] } : nothing
}

/** Whether only something true compares so: `== "a"`, `> 0`. */
function needsTruth({ type, expr }: NodeOf<'CompareOperand'>): boolean {
  if (expr.typename !== 'Literal') return false
  if (type === '==') return Boolean(expr.value)
  if (typeof expr.value !== 'number') return false
  return type === '>' ? expr.value >= 0 : type === '>=' && expr.value > 0
}

function visitFilter(walk: Walk, node: NodeOf<'Filter'>): void {
  const [input, ...others] = childNodes(node.args)
  if (input && isDefault(node) && isName(input)) testName(walk, input)
  else visit(walk, input)
  for (const other of others) visit(walk, other)
}

function testFilter(walk: Walk, node: NodeOf<'Filter'>): Facts {
  const [input, ...others] = childNodes(node.args)
  const { whenTrue } = input ? test(walk, input) : nothing
  for (const other of others) visit(walk, other)
  // `x|default(true)` is true without x; `x|length` and `x|default([])` are not.
  return isDefault(node) && !isFalse(others[0]) ? nothing : { whenTrue, whenFalse: [] }
}

function isDefault({ name }: NodeOf<'Filter'>): boolean {
  return name.typename === 'Symbol' && (name.value === 'default' || name.value === 'd')
}

function isFalse(node: TemplateNode | undefined): boolean {
  if (!node) return true
  if (node.typename === 'Literal') return !node.value
  return (node.typename === 'Array' || node.typename === 'Dict') && node.children.length === 0
}

/** The whole chain of `elif` at once, each condition under what those before it have ruled out. */
function visitIf(walk: Walk, node: NodeOf<'If'>): void {
  const bound: Name[] = []
  const ruledOut: Name[] = []
  const visitBranch = (body: TemplateNode | null) => {
    const names = walk.inScope(() => visit(walk, body))
    addAll(bound, names)
  }
  let branch: TemplateNode | null = node
  while (branch?.typename === 'If') {
    const { cond, body } = branch
    const { whenTrue, whenFalse } = test(walk, cond)
    walk.guarding(whenTrue, () => visitBranch(body))
    walk.guard(whenFalse)
    addAll(ruledOut, whenFalse)
    branch = branch.else_
  }
  visitBranch(branch)
  walk.unguard(ruledOut)
  walk.bind(bound)
}

function addAll(list: Name[], names: Name[]): void {
  for (const name of names) list.push(name)
}

function visitFor(walk: Walk, node: NodeOf<'For'>): void {
  visit(walk, node.arr)
  walk.inScope(() => {
    walk.bind(boundNames(walk, node.name))
    const facts = node.test ? test(walk, node.test) : nothing
    walk.bind([walk.name('loop')])
    walk.guarding(facts.whenTrue, () => visit(walk, node.body))
  })
  walk.inScope(() => visit(walk, node.else_))
}

function visitSet(walk: Walk, node: NodeOf<'Set'>): void {
  visit(walk, node.value)
  assign(walk, node.target)
}

function assign(walk: Walk, target: TemplateNode): void {
  // `set namespace.x = …` binds nothing, it uses the namespace.
  if (target.typename === 'LookupVal') visit(walk, target)
  else if (target.typename === 'Tuple') for (const child of target.children) assign(walk, child)
  else walk.bind(boundNames(walk, target))
}

function visitWith(walk: Walk, node: NodeOf<'With'>): void {
  for (const { value } of node.pairs) visit(walk, value)
  walk.inScope(() => {
    for (const { key } of node.pairs) walk.bind(boundNames(walk, key))
    visit(walk, node.body)
  })
}

/** The names of a target such as `a` or `a, (b, c)`. */
function boundNames(walk: Walk, target: TemplateNode): Name[] {
  if (target.typename === 'Symbol') return [walk.name(target.value)]
  if (target.typename !== 'Tuple') return []
  return target.children.flatMap((child) => boundNames(walk, child))
}

function visitMacro(walk: Walk, node: NodeOf<'Macro'>): void {
  walk.bind(boundNames(walk, node.name))
  walk.inMacro(() => visitCallable(walk, node))
}

/** A default sees the parameters to its left, as in Jinja2, and what is outside. */
function visitCallable(walk: Walk, node: NodeOf<'Macro' | 'CallBlock'>): void {
  walk.inScope(() => {
    for (const parameter of childNodes(node.args)) {
      if (parameter.typename === 'KeywordArgs') visitDefaults(walk, parameter)
      else walk.bind(boundNames(walk, parameter))
    }
    walk.bind(callableLocals.map((text) => walk.name(text)))
    visit(walk, node.body)
  })
}

function visitDefaults(walk: Walk, node: NodeOf<'KeywordArgs'>): void {
  for (const { key, value } of node.children) {
    visit(walk, value)
    walk.bind(boundNames(walk, key))
  }
}
