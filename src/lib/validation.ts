import type { z } from 'zod'
import { AppError, type ErrorCode, errorTable, type Finding } from '../errors.js'
import { joinPath } from './text.js'

/** An answer lists this many findings; more would help nobody. */
export const maxFindings = 50
const maxNamedKeys = 10
const maxPathLength = 300

type Issue = z.core.$ZodIssue

/** The findings of a failed parse, with paths such as `prompts[3].name`, below `base`. */
export function toFindings(issues: readonly Issue[], base = ''): Finding[] {
  return issues
    .slice(0, maxFindings)
    .flatMap(nearest)
    .map((issue) => {
      const path = issue.path.reduce<string>(
        (whole, step) => joinPath(whole, typeof step === 'symbol' ? String(step) : step),
        base,
      )
      if (issue.code !== 'unrecognized_keys') return { path: path.slice(0, maxPathLength), message: issue.message }
      const named = issue.keys.slice(0, maxNamedKeys).map((key) => `"${key.slice(0, 60)}"`)
      const more = issue.keys.length > maxNamedKeys ? ` and ${issue.keys.length - maxNamedKeys} more` : ''
      return {
        path: joinPath(path, (issue.keys[0] ?? '').slice(0, 60)),
        message: `unknown: ${named.join(', ')}${more}. Remove it or correct its spelling.`,
      }
    })
}

/** Of alternatives that all fail, what is wrong with the one that fits best. */
function nearest(issue: Issue): Issue[] {
  if (issue.code !== 'invalid_union' || issue.message !== 'Invalid input') return [issue]
  const [best] = issue.errors.toSorted((a, b) => a.length - b.length)
  return best?.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] })) ?? [issue]
}

/** A schema may give an issue a code of its own in `params`; all others are `validation.failed`. */
export function codeOf(issues: readonly Issue[]): ErrorCode {
  const [first] = issues.slice(0, 1).flatMap(nearest)
  const code = first?.code === 'custom' ? first.params?.code : undefined
  return typeof code === 'string' && code in errorTable ? (code as ErrorCode) : 'validation.failed'
}

/** The error for findings: its detail is the first of them, and says how many more there are. */
export function invalid(code: ErrorCode, findings: Finding[]): AppError {
  const [first] = findings
  const more = findings.length > 1 ? ` (and ${findings.length - 1} more, see errors)` : ''
  return new AppError(code, `${first?.path ? `${first.path}: ` : ''}${first?.message ?? 'The input is not valid'}${more}`, {
    errors: findings.slice(0, maxFindings),
  })
}
