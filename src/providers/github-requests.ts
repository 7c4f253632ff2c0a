import { AppError } from '../errors.js'
import type { OutboundAnswer } from '../lib/outbound.js'
import { isPage, noApi, refusalOf } from './github-refusals.js'
import type { ProviderContext } from './provider.js'

export type GitHubPlace = { repo: string; token?: string; baseUrl?: string }

/** A repository as GitHub's API gives it to us. */
export type GitHub = {
  repo: string
  hasToken: boolean
  context: ProviderContext
  ask(question: Question): Promise<OutboundAnswer>
  /** A text of the other side without the token, which it may repeat. */
  scrub(text: string): string
}

export type Question = {
  /** As octokit spells it: `/repos/{owner}/{repo}/commits/{ref}`. `owner` and `repo` are filled in. */
  route: string
  parameters?: Record<string, string>
  headers?: Record<string, string>
  maxBytes: number
  /** For the log of the run, where the route says too little. */
  what?: string
  /** Ends the request before the run ends. */
  signal?: AbortSignal
  /** What a status means to this question, where it means more than to others. */
  meanings?: Record<number, () => AppError | Promise<AppError>>
  /** An archive comes from another host. Everything else comes from where it was asked for. */
  from?: 'anywhere'
}

export const publicApi = 'https://api.github.com'
const apiVersion = '2022-11-28'
const movedStatus = 301

export async function connectGitHub(
  { repo, token, baseUrl = publicApi }: GitHubPlace,
  context: ProviderContext,
): Promise<GitHub> {
  const [owner = '', name = ''] = repo.split('/')
  // It takes a while to load, and most never need it.
  const { Octokit } = await import('octokit')
  // The queue of the throttling plugin is one for the process: ten stalled requests would hold up those of everybody.
  const octokit = new Octokit({ baseUrl, log: silent, retry: { enabled: false }, throttle: { enabled: false } })
  const credentials: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
  let hasMoved = false

  async function send(question: Question): Promise<OutboundAnswer> {
    const { route, parameters, headers, maxBytes, signal = context.signal } = question
    let answer: OutboundAnswer | undefined
    const fetch = async (url: string, options: { headers: Record<string, string> }) => {
      answer = await context.outbound.send(url, {
        headers: options.headers,
        credentials,
        maxBytes,
        signal,
        timeoutMs: context.requestTimeoutMs,
      })
      return responseFor(answer)
    }
    try {
      await octokit.request(`GET ${route}`, {
        owner,
        repo: name,
        ...parameters,
        headers: { 'x-github-api-version': apiVersion, ...headers },
        request: { fetch, parseSuccessResponseBody: false },
      })
    } catch (error) {
      // To octokit every status from 304 on is an error. What it cannot send has no answer.
      if (!answer) throw error instanceof Error && error.cause instanceof AppError ? error.cause : error
    }
    if (!answer) throw new Error('The request was not sent.')
    checkPlace(answer, question)
    return answer
  }

  /** A repository that has moved is answered from its new place, within the same origin. */
  function checkPlace(answer: OutboundAnswer, { route, parameters, from }: Question): void {
    if (from === 'anywhere') return
    const asked = new URL(octokit.request.endpoint(`GET ${route}`, { owner, repo: name, ...parameters }).url)
    const came = new URL(answer.url)
    if (came.origin !== asked.origin) {
      throw new AppError(
        'source.invalid',
        `The API at ${asked.origin} redirects to another place for "${repo}". Give the address of the API itself as \`baseUrl\`.`,
      )
    }
    if (came.pathname === asked.pathname || hasMoved) return
    hasMoved = true
    context.note({
      what: `"${repo}" has moved, and is answered from its new place. Give its new name as \`repo\`.`,
      statusCode: movedStatus,
      durationMs: 0,
      error: null,
    })
  }

  async function ask(question: Question): Promise<OutboundAnswer> {
    const started = performance.now()
    const what = question.what ?? describe(repo, question)
    const note = (statusCode: number | null, error: string | null) =>
      context.note({ what, statusCode, durationMs: performance.now() - started, error })
    let answer: OutboundAnswer
    try {
      answer = await send(question)
    } catch (error) {
      note(null, error instanceof Error ? error.message : 'unknown')
      throw error
    }
    const refusal = refusalOf(answer, { repo, token })
    const meaning = refusal && refusal.code !== 'source.limited' ? question.meanings?.[answer.status] : undefined
    note(answer.status, refusal?.message ?? null)
    if (meaning) throw await meaning()
    if (refusal) throw refusal
    return answer
  }

  const scrub = (text: string) => (token === undefined ? text : text.replaceAll(token, '***'))
  return { repo, hasToken: token !== undefined, context, ask, scrub }
}

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

/** Octokit learns the status only: it parses bodies slowly, takes broken ones for text, and repeats them in its errors. */
function responseFor({ url, status, body }: OutboundAnswer): Response {
  const response = { url, status, headers: new Headers(), body, text: async () => '' }
  return response as unknown as Response
}

function describe(repo: string, { route, parameters }: Question): string {
  const rest = route.replace('/repos/{owner}/{repo}', '').replace(/\{(\w+)\}/g, (_, name: string) => parameters?.[name] ?? '')
  return `GET ${rest || '/'} of ${repo}`
}

/** The JSON of an answer. Where something else comes, it is no API of GitHub. */
export function jsonOf({ body, headers }: OutboundAnswer, repo: string): unknown {
  try {
    if (!isPage(headers)) return JSON.parse(body.toString('utf8'))
  } catch {
    // What is wrong with the text is of no help: the remedy is the same.
  }
  throw noApi(repo)
}
