import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import type { Reader } from '../../lib/read-cache.js'
import { RenderError } from '../../lib/rendering/render-error.js'
import { renderPrompt } from '../../lib/rendering/render-prompt.js'
import { invalid } from '../../lib/validation.js'
import type { FetchedPrompt } from '../fetch/fetch.schema.js'
import { type FetchRequest, fetchPrompt, outcomeHeaders } from '../fetch/fetch.service.js'
import type { RenderedPrompt, RenderRequest } from './render.schema.js'

type Request = Pick<FetchRequest, 'name' | 'ref' | 'canary' | 'fallback'> & RenderRequest

/** Fetches a prompt and renders it with the variables. Throws what a fetch does, and 422s that name all that is wrong. */
export async function renderFetched(
  deps: Deps,
  reader: Reader,
  { variables, strict, ...request }: Request,
): Promise<{ body: RenderedPrompt; headers: Record<string, string> }> {
  const outcome = await fetchPrompt(deps, reader, request)
  const prompt = JSON.parse(outcome.finished.json.toString('utf8')) as FetchedPrompt
  const { content: _, messages: __, ...fetched } = prompt
  // Tags tell the variants of one version apart.
  const key = `${fetched.contentHash} ${JSON.stringify(fetched.tags)}`
  try {
    const rendered = renderPrompt(prompt, { variables, strict }, { cache: deps.renderable, key })
    return { body: { ...fetched, text: null, messages: null, ...rendered }, headers: outcomeHeaders(outcome) }
  } catch (error) {
    if (error instanceof RenderError) throw toAppError(error, fetched)
    throw error
  }
}

/** Every variable that is missing is named, which a prompt has some hundreds of at the very most. */
const maxErrors = 1_000

function toAppError(error: RenderError, { name, version }: Pick<RenderedPrompt, 'name' | 'version'>): AppError {
  const errors = error.findings.slice(0, maxErrors).map(({ path, message }) => ({ path, message }))
  const summary = error.code === 'variables.missing' ? missing(error) : invalid(error.code, errors).message
  return new AppError(error.code, `Prompt "${name}" ${version}: ${summary}`, { cause: error, errors })
}

/** The message names this many; `errors` has all of them. */
const maxNamed = 100

function missing({ findings }: RenderError): string {
  const names = findings.slice(0, maxNamed).map(({ path }) => path.replace(/^variables\./, ''))
  const more = findings.length > maxNamed ? ` and ${findings.length - maxNamed} more` : ''
  return `these variables are missing: ${names.join(', ')}${more}. Give them, or render with "strict": false.`
}
