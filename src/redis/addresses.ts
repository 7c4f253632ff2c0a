/** Where a server listens and what it asks for, as ioredis takes it. */
export type Address = {
  host: string
  port: number
  username?: string
  password?: string
  db?: number
  tls?: Record<string, never>
}

const defaultPort = 6379
const longestReason = 200

/**
 * The address in a `redis://` or `rediss://` URL. Parameters after a question mark are left out: ioredis takes them for
 * options of its own, and they win over the limits that are set here. Pure.
 */
export function addressOf(url: string): Address {
  const { protocol, hostname, port, username, password, pathname } = new URL(url)
  const db = /^\/(\d+)$/.exec(pathname)?.[1]
  return {
    // An IPv6 address is in brackets in a URL, and nowhere else.
    host: hostname.replace(/^\[|\]$/g, '') || 'localhost',
    port: port === '' ? defaultPort : Number(port),
    ...(username === '' ? {} : { username: decode(username) }),
    ...(password === '' ? {} : { password: decode(password) }),
    ...(db === undefined ? {} : { db: Number(db) }),
    ...(protocol === 'rediss:' ? { tls: {} } : {}),
  }
}

/** A `%` that begins no escape stands for itself. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/**
 * What an error says, fit for a log: one short line without the passwords of these URLs. A Redis that does not know AUTH
 * answers with what came after it. The error itself is fit for none, since ioredis hangs the command on it.
 */
export function describeError(urls: string[], error: unknown): string {
  const { message, code, lastNodeError } = error as { message?: string; code?: string; lastNodeError?: Error }
  // The error of a Cluster says only that every node has failed.
  if (lastNodeError) return describeError(urls, lastNodeError)
  const passwords = urls.flatMap((url) => [new URL(url).password, addressOf(url).password ?? '']).filter(Boolean)
  const text = passwords.reduce((hidden, password) => hidden.replaceAll(password, '***'), message || code || 'unknown')
  return text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, longestReason)
}
