import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import type { Finished } from '../../lib/plan.js'
import type { Reader } from '../../lib/read-cache.js'
import { type PreparedPrompt, preparePrompt } from '../../lib/rendering/prepared-prompt.js'
import { RenderError } from '../../lib/rendering/render-error.js'
import { renderProblem } from '../../lib/rendering/render-problem.js'
import { renderPrepared } from '../../lib/rendering/render-prompt.js'
import type { FetchedPrompt } from '../fetch/fetch.schema.js'
import { type FetchRequest, fetchPrompt, type Outcome, outcomeHeaders } from '../fetch/fetch.service.js'
import type { RenderedPrompt, RenderRequest } from './render.schema.js'

type Request = Pick<FetchRequest, 'name' | 'ref' | 'canary' | 'fallback'> & RenderRequest

/** Fetches a prompt and renders it with the variables, as JSON. Throws what a fetch does, and 422s that name all that is wrong. */
export async function renderFetched(
  deps: Deps,
  reader: Reader,
  { variables, strict, ...request }: Request,
): Promise<{ json: string; headers: Record<string, string> }> {
  const outcome = await fetchPrompt(deps, reader, request)
  return { json: renderOutcome(deps, outcome, { variables, strict }), headers: outcomeHeaders(outcome) }
}

/** An outcome, rendered, as JSON. Throws 422s that name all that is wrong. */
export function renderOutcome(
  deps: Deps,
  { finished, version }: Outcome,
  request: Pick<RenderRequest, 'variables' | 'strict'>,
): string {
  try {
    return renderFinished(deps, finished, request)
  } catch (error) {
    if (error instanceof RenderError) throw toAppError(error, { name: readFinished(finished).name, version })
    throw error
  }
}

/** The answer of a fetch, rendered, as JSON. Throws `RenderError`. */
export function renderFinished(deps: Deps, finished: Finished, request: Pick<RenderRequest, 'variables' | 'strict'>): string {
  const { key, head } = renderingOf(finished)
  const rendered = renderPrepared(preparedFor(deps, finished, key), request)
  const { text, messages } = { text: null, messages: null, ...rendered }
  return `${head},"text":${JSON.stringify(text)},"messages":${JSON.stringify(messages)}}`
}

/** What is the same for every rendering of an answer: the key of its content, and all of the answer but text and messages. */
function renderingOf(finished: Finished): { key: string; head: string } {
  if (!finished.rendering) {
    const { content: _, messages: __, ...fetched } = readFinished(finished)
    // Tags tell the variants of one version apart.
    const key = `${fetched.contentHash} ${JSON.stringify(fetched.tags)}`
    finished.rendering = { key, head: JSON.stringify(fetched).slice(0, -1) }
    finished.grew?.(2 * finished.rendering.head.length)
  }
  return finished.rendering
}

function preparedFor({ renderable }: Deps, finished: Finished, key: string): PreparedPrompt {
  const known = renderable.get(key)
  if (known) return known
  const prepared = preparePrompt(readFinished(finished))
  renderable.set(key, prepared)
  return prepared
}

function readFinished({ json }: Finished): FetchedPrompt {
  return JSON.parse(json.toString('utf8'))
}

function toAppError(error: RenderError, about: Pick<RenderedPrompt, 'name' | 'version'>): AppError {
  const { code, detail, errors } = renderProblem(error, about)
  return new AppError(code, detail, { cause: error, errors })
}
