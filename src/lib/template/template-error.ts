import type { Token } from 'nunjucks/src/parser.js'

export type TemplateErrorCode = 'template.syntax' | 'template.unsupported' | 'template.too_complex' | 'template.runtime'

export type Position = Pick<Token, 'lineno' | 'colno'>

/** A template that cannot be used, and where: `line` and `column` count from 1 and are not part of the message. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError'
  readonly code: TemplateErrorCode
  readonly line: number
  readonly column: number
  /** The reference of the included template it is in, as it is written; null for the one that is rendered itself. */
  readonly template: string | null

  constructor(code: TemplateErrorCode, message: string, at: Position, options?: ErrorOptions & { template?: string | null }) {
    // What a message quotes may be cut within a character already, or hold half of one.
    super(shortened(message).toWellFormed(), options)
    this.code = code
    this.template = options?.template ?? null
    this.line = at.lineno + 1
    this.column = at.colno + 1
  }
}

/** What a message quotes can be as long as all that a template makes. */
const maxMessageLength = 300
const maxQuotedLength = 40

function shortened(text: string, maxLength = maxMessageLength): string {
  if (text.length <= maxLength) return text
  const isInPair = /[\ud800-\udbff]/.test(text.charAt(maxLength - 1))
  return `${text.slice(0, isInPair ? maxLength - 1 : maxLength)}…`
}

export function quote(value: string): string {
  return `"${shortened(value, maxQuotedLength)}"`
}

export function syntax(message: string, at: Position, options?: ErrorOptions): TemplateError {
  const remedy = 'Fix it, or set "template": "none" if the braces are not Jinja.'
  return new TemplateError('template.syntax', `${message} ${remedy}`, at, options)
}

export function unsupported(message: string, at: Position): TemplateError {
  return new TemplateError('template.unsupported', message, at)
}

export function tooComplex(message: string, at: Position, options?: ErrorOptions): TemplateError {
  return new TemplateError('template.too_complex', message, at, options)
}
