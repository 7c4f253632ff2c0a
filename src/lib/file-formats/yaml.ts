import { CORE_SCHEMA, FAILSAFE_SCHEMA, load, mergeTag, YAMLException } from 'js-yaml'
import type { Finding } from '../../errors.js'
import { maxDepth } from '../nesting.js'
import { findUnstorable } from '../text.js'
import { FileError } from './file-error.js'

/** Anchors let a small file stand for a huge one, so what they expand to is counted. */
const maxYamlNodes = 50_000
const maxYamlAliases = 200
/** Lines cost more than bytes: this many are read in a few hundredths of a second. */
const maxYamlLines = 20_000
/** Version 1.2 dropped merge keys (`<<`), but files that share settings are full of them. */
const schema = CORE_SCHEMA.withTags(mergeTag)

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `lineOffset` is the number of lines of the file before `text`. */
export function parseYaml(text: string, lineOffset: number): unknown {
  const lines = text.split('\n')
  if (lines.length > maxYamlLines) throw new FileError(`the YAML has over ${maxYamlLines} lines.`)
  let document: unknown
  try {
    document = lines.every((line) => /^\s*(#|$)/.test(line))
      ? null
      : load(withoutLastRule(text), { schema, maxAliases: maxYamlAliases })
  } catch (error) {
    if (error instanceof YAMLException) {
      const { mark } = error
      const at = mark ? { line: mark.line + 1 + lineOffset, column: mark.column + 1 } : undefined
      const place = at ? ` at line ${at.line}, column ${at.column}` : ''
      throw new FileError(`the YAML cannot be read${place}: ${error.reason}.`, at)
    }
    if (error instanceof RangeError) throw new FileError('the YAML is nested too deeply.')
    throw error
  }
  keepAsWritten(document, text)
  const finding = findUnfit(document)
  if (finding) throw new FileError(finding.message)
  return document
}

/** Why a value, of YAML or of JSON inside a file, cannot be kept as it is, or null. */
export function findUnfit(value: unknown): Finding | null {
  return checkJson(value, { left: maxYamlNodes }, 0) ?? findUnstorable(value)
}

/** A file may end like front matter, by a rule, which to YAML begins one more document. */
export function withoutLastRule(text: string): string {
  const end = text.trimEnd()
  return /(?:^|\n)---$/.test(end.slice(-4)) ? end.slice(0, -3) : text
}

/** `1.10` and `0123456` are numbers to YAML, but a version and a commit to whoever wrote them. */
function keepAsWritten(document: unknown, text: string): void {
  if (!isMapping(document)) return
  const numbers = ['version', 'git_commit'].filter((key) => typeof document[key] === 'number')
  if (numbers.length === 0) return
  const written = load(withoutLastRule(text), { schema: FAILSAFE_SCHEMA, maxAliases: maxYamlAliases }) as Record<string, unknown>
  // What was merged in stands elsewhere, and stays the number that it is.
  for (const key of numbers) if (Object.hasOwn(written, key)) document[key] = written[key]
}

/** YAML can say what JSON cannot, and far more than its size. */
function checkJson(value: unknown, budget: { left: number }, depth: number): Finding | null {
  budget.left -= 1
  if (budget.left < 0) return { path: '', message: `the YAML expands to over ${maxYamlNodes} values.` }
  if (typeof value === 'number' && !Number.isFinite(value))
    return { path: '', message: 'the YAML holds a number that JSON has no form for.' }
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    return {
      path: '',
      message: `the YAML holds the integer ${value}, which is too large to be kept exactly. Write it in quotes.`,
    }
  }
  if (typeof value !== 'object' || value === null) return null
  if (depth >= maxDepth) return { path: '', message: `the YAML is nested over ${maxDepth} levels deep.` }
  if (Object.hasOwn(value, '__proto__'))
    return { path: '', message: 'the YAML holds the key "__proto__", which is refused. Rename it.' }
  for (const child of Object.values(value)) {
    const finding = checkJson(child, budget, depth + 1)
    if (finding) return finding
  }
  return null
}
