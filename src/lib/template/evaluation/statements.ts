import { childNodes, type NodeName, type NodeOf, type TemplateNode } from '../syntax/nodes.js'
import { quote, unsupported } from '../template-error.js'
import { assigner } from './assignment.js'
import { block } from './blocks.js'
import type { Compiler } from './compiler.js'
import { call, captureIn, condition, expression } from './expressions.js'
import type { Execute } from './frame.js'
import { loop } from './loop-statement.js'
import { macro } from './macros.js'
import { filteredText, printed } from './printing.js'
import { extend, importModule, importNames, include } from './references.js'
import { note, noteParameters } from './scope.js'

/** Turns the statements of a part into a function that writes its text. */
export function body(compiler: Compiler, node: TemplateNode | null): Execute {
  const statements: Execute[] = []
  for (const child of node ? childNodes(node) : []) addStatement(compiler, child, statements)
  const [first, second] = statements
  if (!first) return () => undefined
  if (statements.length === 1) return first
  if (statements.length === 2 && second) {
    return (frame, output) => {
      first(frame, output)
      second(frame, output)
    }
  }
  return (frame, output) => {
    for (const execute of statements) execute(frame, output)
  }
}

function addStatement(compiler: Compiler, node: TemplateNode, statements: Execute[]): void {
  if (node.typename === 'Output') {
    for (const child of node.children) {
      const execute = outputOf(compiler, child)
      statements.push(compiler.standing.givesWay && !captureIn(child) ? unlessExtended(execute) : execute)
    }
    return
  }
  const compile = compilers[node.typename] as ((compiler: Compiler, node: TemplateNode) => Execute) | undefined
  if (!compile) throw unsupported(`${quote(node.typename)} is not supported here.`, node)
  statements.push(paid(node, compile(compiler, node)))
}

function outputOf(compiler: Compiler, node: TemplateNode): Execute {
  if (node.typename === 'TemplateData') {
    const { value } = node
    return (frame, output) => {
      frame.run.at = node
      output.write(value)
    }
  }
  const evaluate = expression(compiler, node)
  const print = captureIn(node) ? filteredText : printed
  const cost = costOf(node)
  return (frame, output) => {
    const { run } = frame
    run.at = node
    run.budget.step(cost)
    const value = evaluate(frame)
    run.at = node
    output.write(typeof value === 'string' ? value : print(run, value))
  }
}

/** What stands outside of blocks in a template that extends another one is not printed, a `filter` block excepted. */
function unlessExtended(execute: Execute): Execute {
  return (frame, output) => {
    if (!frame.instance.parent) execute(frame, output)
  }
}

/** An expression cannot loop by itself, so that it is paid for as a whole, branches not taken included. */
function costOf(node: TemplateNode): number {
  if (bodies.has(node.typename)) return 1
  let cost = 1
  for (const child of childNodes(node)) cost += costOf(child)
  return cost
}

const bodies: ReadonlySet<NodeName> = new Set<NodeName>(['NodeList', 'Capture', 'If', 'For', 'Block', 'Macro'])

function paid(node: TemplateNode, execute: Execute): Execute {
  const cost = childNodes(node).reduce((sum, child) => sum + costOf(child), 1)
  return (frame, output) => {
    frame.run.at = node
    frame.run.budget.step(cost)
    execute(frame, output)
  }
}

const compilers: { [Name in NodeName]?: (compiler: Compiler, node: NodeOf<Name>) => Execute } = {
  NodeList: body,
  If: conditional,
  For: loop,
  Set: assignment,
  With: withValues,
  Block: block,
  Include: include,
  Extends: extend,
  Import: importModule,
  FromImport: importNames,
  Macro: (compiler, node) => {
    const make = macro(compiler, node, node.name.value)
    const assign = assigner(compiler, node.name)
    return (frame) => assign(frame, make(frame))
  },
  CallBlock: callBlock,
}

/** All of `if`, `elif` and `else` at once. */
function conditional(compiler: Compiler, node: NodeOf<'If'>): Execute {
  const holds = condition(compiler, node.cond)
  const then = body(compiler, node.body)
  const { else_ } = node
  if (!else_) {
    return (frame, output) => {
      if (holds(frame)) then(frame, output)
    }
  }
  const otherwise = else_.typename === 'If' ? conditional(compiler, else_) : body(compiler, else_)
  return (frame, output) => {
    if (holds(frame)) then(frame, output)
    else otherwise(frame, output)
  }
}

function assignment(compiler: Compiler, node: NodeOf<'Set'>): Execute {
  const evaluate = expression(node.isBlock ? compiler.apart() : compiler, node.value)
  const { target } = node
  const assign = assigner(compiler, target)
  return (frame) => {
    const value = evaluate(frame)
    frame.run.at = target
    assign(frame, value)
  }
}

function withValues(compiler: Compiler, node: NodeOf<'With'>): Execute {
  const inner = compiler.inner((symbols) => {
    for (const { key } of node.pairs) noteParameters(symbols, key)
    note(symbols, node.body)
  })
  const enter = inner.entry()
  const values = node.pairs.map(({ key, value }) => ({ value: expression(compiler, value), assign: assigner(inner, key), key }))
  const run = body(inner, node.body)
  return (frame, output) => {
    enter(frame)
    for (const { value, assign, key } of values) {
      const result = value(frame)
      frame.run.at = key
      assign(frame, result)
    }
    run(frame, output)
  }
}

function callBlock(compiler: Compiler, node: NodeOf<'CallBlock'>): Execute {
  if (node.call.typename !== 'FunCall') throw unsupported('Expected the call of a macro.', node)
  const caller = macro(compiler, node, null)
  const evaluate = call(compiler, node.call, caller)
  return (frame, output) => {
    const value = evaluate(frame)
    output.write(printed(frame.run, value))
  }
}
