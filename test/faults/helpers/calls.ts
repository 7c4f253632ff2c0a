import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import type t from 'tap'

type Tap = typeof t

export type Answer = { status: number; body: any; retryAfter: string | null }
type CallOptions = { method?: string; body?: unknown; key?: string | null; project?: string; timeoutMs?: number }

const callTimeoutMs = 60_000
const maxAttempts = 30

/** One HTTP call; null when the connection broke before the answer was whole. */
export async function tryCall(url: string, path: string, key: string, options: CallOptions = {}): Promise<Answer | null> {
  const { method, body, project, timeoutMs = callTimeoutMs } = options
  const text = typeof body === 'string' || body === undefined ? body : JSON.stringify(body)
  try {
    const response = await fetch(url + path, {
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      signal: AbortSignal.timeout(timeoutMs),
      headers: {
        authorization: `Bearer ${options.key ?? key}`,
        ...(project === undefined ? {} : { 'x-promptsync-project': project }),
        ...(text === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(text === undefined ? {} : { body: text }),
    })
    const answer = await response.text()
    const isJson = /json/.test(response.headers.get('content-type') ?? '')
    return {
      status: response.status,
      body: isJson ? JSON.parse(answer) : answer,
      retryAfter: response.headers.get('retry-after'),
    }
  } catch (error) {
    if ((error as Error).name === 'TimeoutError') throw error
    return null
  }
}

/** The same, where an answer must come. */
export async function call(url: string, path: string, key: string, options: CallOptions = {}): Promise<Answer> {
  const answer = await tryCall(url, path, key, options)
  if (!answer) throw new Error(`${path} was not answered.`)
  return answer
}

/** Repeats a call as its answers ask for, until one is no longer "try again"; the last one where that never comes. */
export async function callUntilAnswered(url: string, path: string, key: string, options: CallOptions = {}): Promise<Answer> {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await call(url, path, key, options)
    if (answer.status !== 503 || attempt === maxAttempts) return answer
    await delay(Number(answer.retryAfter ?? 1) * 1_000)
  }
}

/** Checks that a write was refused as one to try again, and that nothing of the database shows in the answer. */
export function refusedForNow(t: Pick<Tap, 'equal' | 'match' | 'notMatch'>, answer: Answer, code: string): void {
  const shown = JSON.stringify(answer.body)
  t.equal(answer.status, 503, answer.body.detail ?? shown)
  t.equal(answer.body.code, code, answer.body.detail ?? shown)
  t.match(answer.retryAfter ?? '', /^\d+$/, 'says when to try again')
  t.notMatch(shown, /INSERT|SELECT|relation|could not|prisma/i, 'and nothing of the database')
}

/** Prompts of about this many bytes each, different for every `seed`, that do not compress well. */
export function makePrompts(count: number, bytes: number, seed: string): { name: string; content: string; template: 'none' }[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `bulk/prompt-${index}`,
    content: noise(`${seed}:${index}`, bytes),
    template: 'none',
  }))
}

/** Letters and digits by a small generator, begun from the text of `seed`. */
export function noise(seed: string, bytes: number): string {
  let state = 2_166_136_261
  for (let index = 0; index < seed.length; index += 1) state = Math.imul(state ^ seed.charCodeAt(index), 16_777_619) >>> 0
  let text = `${seed} `
  while (text.length < bytes) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    text += state.toString(36)
  }
  return text.slice(0, bytes)
}

/** Counts the rows of every table, to show that a refused call changed nothing. */
export async function countRows(session: pg.Client): Promise<Record<string, number>> {
  const { rows: tables } = await session.query<{ name: string }>(
    "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1",
  )
  const counts = tables.map(({ name }) => `SELECT '${name}' AS name, count(*)::int AS count FROM "${name}"`)
  const { rows } = await session.query<{ name: string; count: number }>(counts.join(' UNION ALL '))
  return Object.fromEntries(rows.map(({ name, count }) => [name, count]))
}
