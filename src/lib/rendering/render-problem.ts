import { invalid } from '../validation.js'
import type { RenderError, RenderErrorCode } from './render-error.js'

/** What whoever asked for a rendering is told of its failure. */
export type RenderProblem = { code: RenderErrorCode; detail: string; errors: { path: string; message: string }[] }

/** Every variable that is missing is named, which a prompt has some hundreds of at the very most. */
const maxErrors = 1_000
/** The detail names this many; `errors` has all of them. */
const maxNamed = 100

/** The same words wherever a prompt is rendered: by the server, and by the client itself. Pure. */
export function renderProblem(error: RenderError, { name, version }: { name: string; version: string }): RenderProblem {
  const errors = error.findings.slice(0, maxErrors).map(({ path, message }) => ({ path, message }))
  const summary = error.code === 'variables.missing' ? missing(error) : invalid(error.code, errors).message
  return { code: error.code, detail: `Prompt "${name}" ${version}: ${summary}`, errors }
}

function missing({ findings }: RenderError): string {
  const names = findings.slice(0, maxNamed).map(({ path }) => path.replace(/^variables\./, ''))
  const more = findings.length > maxNamed ? ` and ${findings.length - maxNamed} more` : ''
  return `these variables are missing: ${names.join(', ')}${more}. Give them, or render with "strict": false.`
}
