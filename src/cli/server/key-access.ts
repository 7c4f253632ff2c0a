import type { Answer, Call } from '../../client/http.js'
import { PromptsyncError } from '../../client/problem.js'
import { notPromptsync } from './not-promptsync.js'

/** What a key may do, as far as the server tells: `name` is null for keys with the scope admin. */
export type KeyAccess = { name: string | null; scopes: string[] | null }

/**
 * Asks what only admins may, and learns the rest from the refusal, which names the key and its scopes. Throws `PromptsyncError`
 * where the key is not good, or where nobody answers, and a `CliError` where another service does.
 */
export async function readKeyAccess(call: (call: Call) => Promise<Answer<unknown>>): Promise<KeyAccess> {
  try {
    const { body } = await call({ path: '/keys', query: { limit: 1 } })
    if (!Array.isArray((body as { items?: unknown }).items)) throw notPromptsync('list', '/keys')
    return { name: null, scopes: ['admin'] }
  } catch (error) {
    if (!(error instanceof PromptsyncError) || error.code !== 'scope.missing') throw error
    const [, name, scopes] = /key "(.*)" lacks\. It has (.+)\.$/.exec(error.message) ?? []
    return { name: name ?? null, scopes: scopes?.split(', ') ?? null }
  }
}

/** What a key may do, in a sentence's end. */
export function describeAccess({ name, scopes }: KeyAccess): string {
  if (scopes?.includes('admin')) return 'an admin key, which may do everything'
  const called = name === null ? 'a key' : `the key "${name}"`
  return scopes === null ? called : `${called} with ${scopes.join(', ')}`
}
