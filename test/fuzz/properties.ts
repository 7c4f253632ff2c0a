import { BudgetExceeded, budgets } from '../../src/lib/template/budget.js'
import { type CompiledTemplate, compileTemplate } from '../../src/lib/template/render.js'
import { TemplateError } from '../../src/lib/template/template-error.js'
import { OperationError } from '../../src/lib/template/values/values.js'
import { stopwatch } from '../helpers/stopwatch.js'
import { callsOf } from './engine.js'
import type { PrototypeWatch } from './prototypes.js'
import type { FuzzCase } from './sources.js'

const maxMs = 100
const tries = 3
const codes = new Set(['template.syntax', 'template.unsupported', 'template.too_complex', 'template.runtime'])
/** What is printed of functions and objects of JavaScript. */
const leaks = /native code|\[object |=> |globalThis/

export type Outcome = { kind: 'result'; value: unknown } | { kind: 'error'; error: TemplateError }

/** How a call ended, as text that is the same where it ends so again. */
function fingerprint(outcome: Outcome): string {
  if (outcome.kind === 'result') return `result ${String(outcome.value)}`
  const { code, message, line, column } = outcome.error
  return `${code} ${line}:${column} ${message}`
}

/** Throws, with what is wrong, unless all that has to hold for every template holds for this one. */
export function checkCase(one: FuzzCase, watch: PrototypeWatch): 'rendered' | TemplateError['code'] {
  watch.takeTouches()
  const compiled = timed('compile', () => compileTemplate(one.source), one)
  if (compiled.kind === 'error') {
    insistUntouched(watch)
    return compiled.error.code
  }
  const calls = callsOf(compiled.value as CompiledTemplate, one)
  timed('variables', calls.variables, one)
  const rendered = timed('render', calls.render, one)
  insistUntouched(watch)
  const again = attempt('render', calls.render, one)
  insist(fingerprint(again) === fingerprint(rendered), `rendered twice, it ends in two ways: ${excerpt(fingerprint(again))}`)
  if (rendered.kind === 'error') return rendered.error.code
  checkOutput(String(rendered.value), one)
  return 'rendered'
}

function timed(name: string, call: () => unknown, one: FuzzCase): Outcome {
  let best = Number.POSITIVE_INFINITY
  let outcome: Outcome | undefined
  // Others use the machine as well: the fastest of several counts, by the clock or by the processor.
  for (let count = 0; count < tries && best > maxMs; count += 1) {
    const elapsedMs = stopwatch()
    outcome = attempt(name, call, one)
    best = Math.min(best, elapsedMs())
  }
  insist(best <= maxMs, `${name} takes ${best.toFixed(0)} ms`)
  return outcome as Outcome
}

function attempt(name: string, call: () => unknown, one: FuzzCase): Outcome {
  try {
    return { kind: 'result', value: call() }
  } catch (error) {
    insist(error instanceof TemplateError, `${name} throws ${describe(error)}`)
    checkError(name, error as TemplateError, one)
    return { kind: 'error', error: error as TemplateError }
  }
}

function checkError(name: string, error: TemplateError, one: FuzzCase): void {
  const { code, line, column, cause } = error
  insist(codes.has(code), `${name} throws the code ${code}`)
  insist(error.message !== '' && error.message.length < 1000, `${name}: the message has ${error.message.length} characters`)
  const isExpected =
    cause === undefined || cause instanceof OperationError || cause instanceof BudgetExceeded || isParserError(cause)
  insist(isExpected, `${name} fails within: ${describe(cause)}`)
  insist(
    holds(textOf(error, one), line, column),
    `${name}: the error is at ${line}:${column}, which is no place of the template: ${error.message}`,
  )
}

/** The source that an error is about: the template itself, or one that it names. */
function textOf({ template }: TemplateError, { source, parts }: FuzzCase): string {
  return template === null ? source : (parts[template.replace(/@.*/, '')] ?? '')
}

/** nunjucks' own errors say where they are. */
function isParserError(cause: unknown): boolean {
  return cause instanceof Error && cause.name === 'Template render error'
}

function holds(text: string, line: number, column: number): boolean {
  const lines = text.split(/\r\n|\r|\n/)
  return (
    Number.isInteger(line) &&
    Number.isInteger(column) &&
    line >= 1 &&
    column >= 1 &&
    column <= (lines[line - 1]?.length ?? -1) + 1
  )
}

function checkOutput(text: string, { source, parts, variables }: FuzzCase): void {
  insist(text.length <= budgets.output, `the output has ${text.length} characters`)
  const leak = leaks.exec(text)?.[0]
  const given = source + variables + Object.values(parts).join('')
  insist(
    leak === undefined || given.includes(leak),
    `the output shows something of JavaScript's: ${excerpt(text.slice(text.search(leaks)))}`,
  )
}

function insistUntouched(watch: PrototypeWatch): void {
  const touches = watch.takeTouches()
  insist(touches.length === 0, `a prototype was touched: ${touches.join('\n')}`)
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? String(error)).slice(0, 1500) : String(error)
}

export function insist(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what)
}

export function excerpt(text: string): string {
  return text.length > 300 ? `${text.slice(0, 300)}… (${text.length} characters)` : text
}
