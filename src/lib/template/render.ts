import { Budget, BudgetExceeded } from './budget.js'
import type { Unit } from './composition.js'
import { selfOf } from './evaluation/blocks.js'
import { Compiler, settler } from './evaluation/compiler.js'
import { type Block, type CompiledTemplate, type Execute, type Frame, Instance, Output, Run } from './evaluation/frame.js'
import { globals } from './evaluation/globals.js'
import { attribute, item } from './evaluation/lookups.js'
import { addBlocks, runTemplate } from './evaluation/references.js'
import { note, type Slot } from './evaluation/scope.js'
import { SpecialNames } from './evaluation/special-names.js'
import { body } from './evaluation/statements.js'
import { Given, TemplateContext, Variables } from './evaluation/template-context.js'
import { filters } from './filters/filters.js'
import { tests } from './filters/tests.js'
import { parseTemplate } from './parse.js'
import { childNodes, type NodeOf, type TemplateNode } from './syntax/nodes.js'
import type { ScanOptions } from './syntax/scanner.js'
import { type Position, quote, TemplateError, type TemplateErrorCode } from './template-error.js'
import { notSupported } from './values/arguments.js'
import type { Arguments, Context } from './values/operations.js'
import { OperationError, type Value } from './values/values.js'

export { type CompiledTemplate, Given }

export type RenderOptions = {
  /**
   * Called for each variable that is printed or gone through and has no value, also within templates that are included; it may
   * throw a `TemplateError`. What is rendered without a context has no variables, so that it lacks none.
   */
  onMissing?: (name: string) => void
  /** What several renderings may cost together, those of the messages of one chat say. */
  budget?: Budget
}

/**
 * Parses a template and turns its tree into functions, once. No code is made of it, and what the names of other prompts stand
 * for is open. Throws `TemplateError` and nothing else. As in Jinja2 line breaks become "\n", and one at the end is dropped.
 */
export function compileTemplate(source: string, options: ScanOptions = {}): CompiledTemplate {
  const { root } = readTemplate(source, options)
  return guarded({ at: root, template: null }, () => compiled(root))
}

/** The tree alone, of the same text: for what asks about a template and does not render it. Throws `TemplateError`. */
export function readTemplate(source: string, options: ScanOptions = {}): { root: NodeOf<'Root'> } {
  return { root: parseTemplate(source.replace(/\r\n?/g, '\n').replace(/\n$/, ''), options) }
}

/**
 * Renders with JSON values, or with those that several renderings share. A template that names no other prompts can be given as
 * it is. Throws `TemplateError` and nothing else.
 */
export function renderTemplate(
  template: CompiledTemplate | Unit<CompiledTemplate>,
  variables: Record<string, unknown> | Given,
  options: RenderOptions = {},
): string {
  const unit = 'includes' in template ? template : { template, includes: none }
  const { onMissing, budget = new Budget() } = options
  const run = new Run({ budget, globals, context: new RunContext(budget), onMissing })
  return guarded(run, () => {
    const given = variables instanceof Given ? variables : new Given(variables)
    const context = new TemplateContext<Block>(new Variables(given, run), null)
    const instance = new Instance(run, { unit, reference: null }, context)
    addBlocks(instance, instance.origin)
    const output = new Output()
    runTemplate(instance, output)
    budget.output(output.text.length)
    return output.text
  })
}

const none: Unit<CompiledTemplate>['includes'] = new Map()

function compiled(root: NodeOf<'Root'>): CompiledTemplate {
  const blocks = new Map<string, Execute>()
  const specialNames = new SpecialNames()
  const { loopsAroundScoped, extendsAnother } = survey(root)
  const standing = { isTopLevel: true, givesWay: extendsAnother, captured: null }
  let self: Slot | undefined
  const compiler = Compiler.forFunction({ blocks, specialNames, loopsAroundScoped, compileBody: body }, standing, (symbols) => {
    if (specialNames.usedIn(root, ['self']).size > 0) self = symbols.parameter('self')
    note(symbols, root)
  })
  const execute = body(compiler, root)
  const entry = compiler.entry()
  const slot = self?.index
  const enter = (frame: Frame) => {
    if (slot !== undefined) frame.slots[slot] = selfOf(frame.instance)
    entry(frame)
  }
  return { root, blocks, execute, enter, settle: settler(compiler) }
}

/** What a template has to know of itself before its parts are compiled. */
function survey(root: TemplateNode) {
  const loopsAroundScoped = new Set<TemplateNode>()
  let extendsAnother = false
  const visit = (node: TemplateNode, loops: readonly TemplateNode[]): void => {
    if (node.typename === 'Extends') extendsAnother = true
    if (node.typename === 'Block' && node.isScoped) for (const loop of loops) loopsAroundScoped.add(loop)
    const around = node.typename === 'For' ? [...loops, node] : loops
    for (const child of childNodes(node)) visit(child, around)
  }
  visit(root, [])
  return { loopsAroundScoped, extendsAnother }
}

/** What filters, tests and methods may use of a rendering. */
class RunContext implements Context {
  constructor(readonly budget: Budget) {}

  filter(name: string, value: Value, given: Arguments): Value {
    const apply = filters.get(name)
    if (!apply) throw new OperationError('TemplateRuntimeError', `No filter named ${quote(name)}.`)
    this.budget.step()
    return apply(this, value, given)
  }

  test(name: string, value: Value, given: Arguments): boolean {
    const apply = tests.get(name)
    if (!apply) throw new OperationError('TemplateRuntimeError', `No test named ${quote(name)}.`)
    this.budget.step()
    return apply(this, value, given)
  }

  attribute(value: Value, name: string): Value {
    return attribute(this, value, name)
  }

  item(value: Value, key: Value): Value {
    return item(this, value, key)
  }
}

type Place = { at: Position; template: string | null }

function guarded<Result>(place: Place, run: () => Result): Result {
  try {
    return run()
  } catch (error) {
    throw asTemplateError(error, place)
  }
}

function asTemplateError(error: unknown, { at, template }: Place): TemplateError {
  if (error instanceof TemplateError) return error
  const { code, message } = explained(error)
  // The message of what a template did wrong is in that of the error, and can be as long as all that the template makes.
  const cause = error instanceof OperationError ? undefined : error
  return new TemplateError(code, message, at, { cause, template })
}

function explained(error: unknown): { code: TemplateErrorCode; message: string } {
  if (error instanceof BudgetExceeded) return { code: 'template.too_complex', message: error.message }
  if (error instanceof RangeError) return { code: 'template.too_complex', message: 'The template is nested too deeply.' }
  if (!(error instanceof OperationError)) return { code: 'template.runtime', message: 'The template could not be rendered.' }
  const code = codes.get(error.kind)
  return code ? { code, message: error.message } : { code: 'template.runtime', message: `${error.kind}: ${error.message}` }
}

const codes = new Map<string, TemplateErrorCode>([
  ['TooComplex', 'template.too_complex'],
  [notSupported('').kind, 'template.unsupported'],
])
