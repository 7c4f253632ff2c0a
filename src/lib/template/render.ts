import { BudgetExceeded } from './budget.js'
import { Compiler, Names } from './evaluation/compiler.js'
import { type Execute, Frame, Output, Run } from './evaluation/frame.js'
import { globals } from './evaluation/globals.js'
import { attribute, item } from './evaluation/lookups.js'
import { note } from './evaluation/scope.js'
import { body } from './evaluation/statements.js'
import { filters } from './filters/filters.js'
import { tests } from './filters/tests.js'
import { parseTemplate } from './parse.js'
import type { TemplateNode } from './syntax/nodes.js'
import type { ScanOptions } from './syntax/scanner.js'
import { type Position, quote, TemplateError, tooComplex, unsupported } from './template-error.js'
import { notSupported } from './values/arguments.js'
import type { Context } from './values/operations.js'
import { OperationError } from './values/values.js'

/** What `renderTemplate` takes. It holds nothing of a rendering, and can be kept and used any number of times. */
export type CompiledTemplate = {
  /** The tree of the template, for what else is to be known of it. */
  root: TemplateNode
  names: readonly string[]
  execute: Execute
  enter: (frame: Frame) => void
}

export type RenderOptions = {
  /** Called for each variable that is printed or gone through and has no value; it may throw a `TemplateError`. */
  onMissing?: (name: string) => void
}

/**
 * Parses a template and turns its tree into functions, once. No code is made of it. Throws `TemplateError` and nothing else.
 * As in Jinja2 line breaks become "\n", and one at the end is dropped.
 */
export function compileTemplate(source: string, options: ScanOptions = {}): CompiledTemplate {
  const root = parseTemplate(source.replace(/\r\n?/g, '\n').replace(/\n$/, ''), options)
  return guarded({ at: root }, () => {
    const names = new Names()
    const compiler = Compiler.forFunction({ names, compileBody: body }, true, (symbols) => note(symbols, root))
    return { root, names: names.list, execute: body(compiler, root), enter: compiler.entry() }
  })
}

/** Renders with JSON values. Throws `TemplateError` and nothing else. */
export function renderTemplate(
  template: CompiledTemplate,
  variables: Record<string, unknown>,
  options: RenderOptions = {},
): string {
  const { onMissing } = options
  const run = new Run({ names: template.names, variables, globals, contextOf, onMissing })
  return guarded(run, () => {
    const frame = new Frame(run, null)
    const output = new Output()
    template.enter(frame)
    template.execute(frame, output)
    return output.text
  })
}

function contextOf(run: Run): Context {
  const context: Context = {
    budget: run.budget,
    filter: (name, value, given) => {
      const apply = filters.get(name)
      if (!apply) throw new OperationError('TemplateRuntimeError', `No filter named ${quote(name)}.`)
      run.budget.step()
      return apply(context, value, given)
    },
    test: (name, value, given) => {
      const apply = tests.get(name)
      if (!apply) throw new OperationError('TemplateRuntimeError', `No test named ${quote(name)}.`)
      run.budget.step()
      return apply(context, value, given)
    },
    attribute: (value, name) => attribute(context, value, name),
    item: (value, key) => item(context, value, key),
  }
  return context
}

function guarded<Result>(where: { at: Position }, run: () => Result): Result {
  try {
    return run()
  } catch (error) {
    throw asTemplateError(error, where.at)
  }
}

function asTemplateError(error: unknown, at: Position): TemplateError {
  if (error instanceof TemplateError) return error
  if (error instanceof BudgetExceeded) return tooComplex(error.message, at, { cause: error })
  if (error instanceof RangeError) return tooComplex('The template is nested too deeply.', at, { cause: error })
  if (error instanceof OperationError) {
    if (error.kind === 'TooComplex') return tooComplex(error.message, at, { cause: error })
    if (error.kind === notSupportedKind) return unsupported(error.message, at)
    return new TemplateError('template.runtime', `${error.kind}: ${error.message}`, at, { cause: error })
  }
  return new TemplateError('template.runtime', 'The template could not be rendered.', at, { cause: error })
}

const notSupportedKind = notSupported('').kind
