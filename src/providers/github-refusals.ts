import { AppError, tryLater } from '../errors.js'
import type { OutboundAnswer } from '../lib/outbound.js'

type Asked = { repo: string; token?: string }

const unknownLimitSeconds = 60
const maxLimitSeconds = 3_600
const retrySeconds = 30

/** What is wrong with an answer, in our words: those of the other side may repeat what it was sent. */
export function refusalOf(answer: OutboundAnswer, place: Asked): AppError | null {
  const { status, headers } = answer
  const { repo, token } = place
  if (status < 300 || status === 304) return null
  const limitedSeconds = limitSeconds(answer)
  if (limitedSeconds !== null) return limited(repo, token, limitedSeconds)
  if (status >= 500) {
    return tryLater('source.unreachable', `GitHub answered ${status} for "${repo}". Try again later.`, retrySeconds)
  }
  if (isPage(headers)) {
    return new AppError(
      'source.invalid',
      `A page came instead of an answer of GitHub's API for "${repo}" (${status}). Check \`baseUrl\`: of GitHub Enterprise it ends in \`/api/v3\`.`,
    )
  }
  if (status === 401) return new AppError('source.denied', unauthorized(place))
  if (status === 403) return new AppError('source.denied', forbidden(place, headers))
  if (status === 404) return new AppError('source.missing', notFound(place))
  if (status === 451) return new AppError('source.denied', `GitHub has taken "${repo}" down for legal reasons.`)
  return new AppError(
    'source.invalid',
    `GitHub answered ${status} for "${repo}", which it should not. Check \`repo\` and \`baseUrl\`.`,
  )
}

export function isPage(headers: Record<string, string>): boolean {
  return /^text\/html\b/i.test(headers['content-type'] ?? '')
}

function unauthorized({ repo, token }: Asked): string {
  if (token === undefined) return `GitHub wants a token for "${repo}". Give one as \`token\`.`
  return `GitHub refuses the token for "${repo}": it is wrong, has expired or was revoked. Give a new one as \`token\`.`
}

function forbidden({ repo, token }: Asked, headers: Record<string, string>): string {
  if (headers['x-github-sso'] !== undefined) {
    return `The organization of "${repo}" asks for single sign-on. Authorize the token for it in the settings of GitHub.`
  }
  if (token === undefined) return `GitHub does not let us read "${repo}" without a token. Give one as \`token\`.`
  return `The token may not read "${repo}". Give it the permission "Contents: read" (of a classic token, the scope \`repo\`).`
}

function notFound({ repo, token }: Asked): string {
  if (token === undefined) return `There is no public repository "${repo}". Check the name; if it is private, give a \`token\`.`
  return `There is no repository "${repo}", or the token may not see it. Check the name and what the token has access to.`
}

/** After how many seconds calls are answered again; null where it is no limit that refused one. */
function limitSeconds({ status, headers, body }: OutboundAnswer): number | null {
  if (status !== 403 && status !== 429) return null
  // By the clock of the other side, whose reset it is.
  const now = Date.parse(headers.date ?? '') || Date.now()
  if (headers['retry-after'] !== undefined) return within(Number(headers['retry-after']))
  if (headers['x-ratelimit-remaining'] === '0') return within(Number(headers['x-ratelimit-reset']) - now / 1_000)
  const isLimit = status === 429 || /\brate limit\b|\babuse\b/i.test(body.toString('latin1', 0, 4_096))
  return isLimit ? unknownLimitSeconds : null
}

function within(seconds: number): number {
  if (!Number.isFinite(seconds)) return unknownLimitSeconds
  return Math.min(Math.max(Math.ceil(seconds), 1), maxLimitSeconds)
}

function limited(repo: string, token: string | undefined, seconds: number): AppError {
  const remedy = token === undefined ? 'Give a `token`: without one there are 60 an hour for all.' : 'Check less often.'
  return tryLater(
    'source.limited',
    `GitHub limits our calls for "${repo}"; they are answered again in ${seconds} seconds. ${remedy}`,
    seconds,
  )
}

export function noApi(repo: string): AppError {
  return new AppError(
    'source.invalid',
    `What came for "${repo}" is no answer of GitHub's API. Check \`baseUrl\`: of GitHub Enterprise it ends in \`/api/v3\`.`,
  )
}
