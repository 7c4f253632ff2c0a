import { join } from 'node:path'
import type { Context } from '../context.js'
import type { LocalFile } from '../local/local-prompts.js'
import { shownPath } from '../local/paths.js'
import type { AnswerOf } from '../server/api.js'
import { counted } from './counted.js'
import { visible } from './visible.js'

export type Finding = AnswerOf<'validate'>['findings'][number]

type FindingContext = Pick<Context, 'cwd'> & { output: Pick<Context['output'], 'paint'> }

/**
 * A finding as compilers tell theirs, so that editors find the place: `prompts/a.md:3:7: error: …`. What follows in further lines,
 * an excerpt say, is indented. Pure but for the colours.
 */
export function findingLines(context: FindingContext, root: string, finding: Finding): string {
  const { severity, file, prompt, line, column, code } = finding
  const place =
    file === null
      ? prompt === null
        ? ''
        : `${prompt}: `
      : `${[shownPath(context, join(root, file)), line, column].filter((part) => part !== null).join(':')}: `
  const kind = context.output.paint(severity === 'error' ? 'red' : 'yellow', `${severity}:`)
  const [first = '', ...more] = withoutPlace(finding).split('\n').map(visible)
  return [`${place}${kind} ${first} (${code})`, ...more.map((text) => `  ${text}`)].map((text) => `${text}\n`).join('')
}

/** The message without the place, which stands before it already. */
function withoutPlace({ message, file, prompt }: Finding): string {
  const begins = [file === null ? null : `File "${file}"`, prompt === null ? null : `Prompt "${prompt}"`]
  const begin = begins.find((words) => words !== null && message.startsWith(words))
  if (!begin) return message
  const rest = message.slice(begin.length)
  const said = rest.replace(/^(?:, line \d+, column \d+)?:\s*/, '')
  return said === rest ? message : said
}

/** Findings of a request as it stands in the files: what is wrong with a file as a whole names it by its place only. Pure. */
export function inFiles(findings: readonly Finding[], files: readonly LocalFile[]): Finding[] {
  return findings.map((finding) => {
    const index = /^files\[(\d+)\]/.exec(finding.path)?.[1]
    return finding.file !== null || index === undefined ? finding : { ...finding, file: files[Number(index)]?.path ?? null }
  })
}

/** `2 errors and 1 warning`, of findings. Pure. */
export function countFindings(findings: readonly Finding[]): string {
  const errors = findings.filter(({ severity }) => severity === 'error').length
  const warnings = findings.length - errors
  const parts = [...(errors > 0 ? [counted(errors, 'error')] : []), ...(warnings > 0 ? [counted(warnings, 'warning')] : [])]
  return parts.length === 0 ? 'no findings' : parts.join(' and ')
}
