import type { TemplateError, TemplateErrorCode } from '../template/template-error.js'

export type RenderErrorCode = 'variables.missing' | 'inputs.invalid' | TemplateErrorCode

/** What is wrong at one place: of the variables (`variables.docs[2].title`) or of the prompt (`messages[2].content`). */
export type RenderFinding = {
  path: string
  message: string
  /** Where it is in that text, counted from 1; of an included prompt where `template` names it. */
  line?: number
  column?: number
  template?: string
}

/** A prompt that cannot be rendered, and all that is known to stand in the way: all of it of one kind. */
export class RenderError extends Error {
  override readonly name = 'RenderError'

  constructor(
    readonly code: RenderErrorCode,
    readonly findings: readonly RenderFinding[],
    options?: ErrorOptions,
  ) {
    super(summaryOf(findings), options)
  }
}

const maxSummarized = 10

function summaryOf(findings: readonly RenderFinding[]): string {
  const more = findings.length - maxSummarized
  const lines = findings.slice(0, maxSummarized).map(({ path, message }) => `${path}: ${message}`)
  return [...lines, ...(more > 0 ? [`and ${more} more`] : [])].join('\n')
}

/** `path` is the text that was rendered, the included template being named in the message. */
export function templateFinding(path: string, { message, line, column, template }: TemplateError): RenderFinding {
  const place = `line ${line}, column ${column}`
  if (template === null) return { path, message: `${message} (${place})`, line, column }
  return { path, message: `${message} (in "${template}", ${place})`, line, column, template }
}
