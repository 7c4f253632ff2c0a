import { childNodes, type NodeName, type NodeOf, type TemplateNode } from '../syntax/nodes.js'
import { bindingOf, readAndUse, test, useAll } from './expressions.js'
import { Binding, type Branches } from './names.js'
import { elementOf, itemOf, type Subject } from './places.js'
import { orderOf, type Walk } from './walk.js'

export function visit(walk: Walk, node: TemplateNode | null | undefined): void {
  if (!node) return
  const visitor = visitors[node.typename] as ((walk: Walk, node: TemplateNode) => void) | undefined
  if (visitor) visitor(walk, node)
  else useAll(walk, node)
}

function visitChildren(walk: Walk, node: TemplateNode): void {
  for (const child of childNodes(node)) visit(walk, child)
}

export function capture(walk: Walk, node: NodeOf<'Capture'>): void {
  walk.names.inScope(() => walk.aloud(() => visit(walk, node.body)))
}

const visitors: { [Name in NodeName]?: (walk: Walk, node: NodeOf<Name>) => void } = {
  Root: visitChildren,
  NodeList: visitChildren,
  Output: (walk, node) => {
    // Jinja2 does not even evaluate what a template with a parent prints outside of blocks.
    if (!walk.isSilent) for (const child of node.children) useAll(walk, child)
  },
  If: visitIf,
  For: visitFor,
  Set: (walk, node) => assignFrom(walk, node.target, node.value),
  Macro: (walk, node) => {
    bindNames(walk, node.name)
    visitCallable(walk, node)
  },
  CallBlock: (walk, node) => {
    useAll(walk, node.call)
    visitCallable(walk, node)
  },
  With: (walk, node) => {
    const bindings = node.pairs.map(({ value }) => bindingOf(walk, value))
    walk.names.inScope(() => {
      node.pairs.forEach(({ key }, index) => {
        assign(walk, key, bindings[index] ?? new Binding())
      })
      visit(walk, node.body)
    })
  },
  Block: (walk, node) => {
    if (walk.isExtending && walk.names.isTop) return
    walk.renderBlock(node.name.value, node, { isScoped: node.isScoped })
  },
  Include: (walk, node) => {
    if (!node.withContext) return
    const references = node.references.map(({ value }) => value)
    walk.apply(references, orderOf(node))
  },
  Import: (walk, node) => {
    if (node.withContext) walk.apply([node.reference.value], orderOf(node))
    bindNames(walk, node.target)
  },
  FromImport: (walk, node) => {
    if (node.withContext) walk.apply([node.reference.value], orderOf(node))
    for (const { target } of node.names) bindNames(walk, target)
  },
  Extends: (walk) => {
    if (!walk.isRootLevel) return
    walk.isExtending = true
    walk.isSilent = true
  },
}

/** The whole chain of `elif` at once, each condition under what those before it have ruled out. */
function visitIf(walk: Walk, node: NodeOf<'If'>): void {
  if (!node.else_) {
    const { whenTrue } = test(walk, node.cond)
    walk.guarding(whenTrue, () => walk.inIf(() => walk.names.inOnlyBranch(() => visit(walk, node.body))))
    return
  }
  const branches: Branches = { count: 0, bound: new Map() }
  const ruledOut: Subject[] = []
  const visitBranch = (body: TemplateNode | null) => {
    walk.inIf(() => walk.names.inBranch(branches, () => visit(walk, body)))
  }
  let branch: TemplateNode | null = node
  while (branch?.typename === 'If') {
    const { cond, body } = branch
    const { whenTrue, whenFalse } = test(walk, cond)
    walk.guarding(whenTrue, () => visitBranch(body))
    walk.guard(whenFalse)
    for (const subject of whenFalse) ruledOut.push(subject)
    branch = branch.else_
  }
  visitBranch(branch)
  walk.unguard(ruledOut)
  walk.names.join(branches)
}

function visitFor(walk: Walk, node: NodeOf<'For'>): void {
  const list = readAndUse(walk, node.arr)
  walk.names.inScope(() => {
    assign(walk, node.name, new Binding(itemOf(list)))
    const { whenTrue } = node.test ? test(walk, node.test) : { whenTrue: [] }
    if (node.isRecursive) walk.names.bind('loop', new Binding())
    bindMentioned(walk, node)
    walk.guarding(whenTrue, () => visit(walk, node.body))
  })
  walk.names.inScope(() => visit(walk, node.else_))
}

function assignFrom(walk: Walk, target: TemplateNode, value: TemplateNode): void {
  if (target.typename === 'Tuple' && value.typename === 'Tuple' && target.children.length === value.children.length) {
    const bindings = value.children.map((child) => bindingOf(walk, child))
    target.children.forEach((child, index) => {
      assign(walk, child, bindings[index] ?? new Binding())
    })
  } else if (target.typename === 'Symbol') walk.names.bind(target.value, bindingOf(walk, value))
  else assign(walk, target, new Binding(readAndUse(walk, value)))
}

function assign(walk: Walk, target: TemplateNode, binding: Binding): void {
  if (target.typename === 'Symbol') walk.names.bind(target.value, binding)
  else if (target.typename === 'Tuple') {
    target.children.forEach((child, index) => {
      assign(walk, child, new Binding(elementOf(binding.value, index)))
    })
  } else {
    // `set namespace.x = …` binds nothing, it uses the namespace.
    useAll(walk, target)
  }
}

/** Names whose values are not followed. */
function bindNames(walk: Walk, target: TemplateNode): void {
  if (target.typename === 'Symbol') walk.names.bind(target.value, new Binding())
  else if (target.typename === 'Tuple') for (const child of target.children) bindNames(walk, child)
}

/** What Jinja2 itself gives loops, macros and call blocks. */
const givenNames = { For: ['loop'], Macro: ['caller', 'varargs', 'kwargs'], CallBlock: ['caller', 'varargs', 'kwargs'] }

function bindMentioned(walk: Walk, node: NodeOf<'For' | 'Macro' | 'CallBlock'>): void {
  const mentioned = walk.survey.mentions.get(node)
  for (const name of givenNames[node.typename]) if (mentioned?.has(name)) walk.names.bind(name, new Binding())
}

/** A default sees the parameters to its left, as in Jinja2, and what is outside. */
function visitCallable(walk: Walk, node: NodeOf<'Macro' | 'CallBlock'>): void {
  const visitBody = () =>
    walk.names.inScope(() => {
      for (const parameter of childNodes(node.args)) {
        if (parameter.typename === 'KeywordArgs') visitDefaults(walk, parameter)
        else bindNames(walk, parameter)
      }
      bindMentioned(walk, node)
      visit(walk, node.body)
    })
  if (node.typename === 'Macro') walk.inMacro(visitBody)
  else walk.aloud(visitBody)
}

function visitDefaults(walk: Walk, node: NodeOf<'KeywordArgs'>): void {
  for (const { key, value } of node.children) {
    useAll(walk, value)
    bindNames(walk, key)
  }
}
