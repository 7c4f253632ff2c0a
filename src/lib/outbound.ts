import type { LookupAddress } from 'node:dns'
import { Agent, buildConnector } from 'undici'
import { AppError } from '../errors.js'
import { type AllowedHosts, findAllowedAddresses, noAllowedHosts, type Resolve } from './allowed-hosts.js'
import { acceptedEncodings, readBody } from './outbound-body.js'
import { explainFailure, withoutSecrets } from './outbound-errors.js'
import { within } from './within.js'

/** A request to the outside: `url` is absolute, http or https. */
export type OutboundRequest = {
  method?: 'GET' | 'HEAD' | 'POST'
  /** Fields that hold credentials are named in `credentials` as well, and do not follow a redirect to another origin. */
  headers?: Record<string, string>
  credentials?: Record<string, string>
  body?: string
  /** All of it: connecting, redirects and the body. */
  timeoutMs: number
  /** A larger body is refused as soon as that is seen. */
  maxBytes: number
  signal: AbortSignal
  /** How many redirects are followed, each checked like the first; 5 by default. With 0 a redirect is the answer. */
  maxRedirects?: number
  /**
   * Where the URL was learnt from, if the other side named it: a manifest, say. As after a redirect, it leads to a place that
   * is not public only if that one is allowed too: otherwise anyone could have those places asked.
   */
  learntFrom?: string
}

export type OutboundAnswer = {
  /** Where the answer came from, after redirects. */
  url: string
  status: number
  /** Names in lower case; of a field that comes several times the values are joined by `, `. */
  headers: Record<string, string>
  /** Whole: a body that was cut off is an error. */
  body: Buffer
}

/** Sends requests to public addresses, and to those that are allowed. Rejects with `AppError`s of the codes `source.*`. */
export type Outbound = {
  send(url: string, request: OutboundRequest): Promise<OutboundAnswer>
  close(): Promise<void>
}

export type OutboundOptions = {
  allowedHosts: AllowedHosts
  /** Authorities that are trusted in place of those that Node.js trusts. */
  ca?: string | Buffer
  /** In place of the resolver of the system. */
  resolve?: Resolve
}

/** One request of those that redirects make of one. */
type Hop = {
  url: URL
  method: 'GET' | 'HEAD' | 'POST'
  headers: Record<string, string>
  credentials: Record<string, string>
  body: string | null
  /** Whether it may go to a place that is not public, because this one is allowed and so are those that led to it. */
  isAllowed: boolean
}

const connectTimeoutMs = 10_000
const connectionsPerOrigin = 32
const maxHeaderBytes = 32 * 1024
const defaultMaxRedirects = 5
const redirects = new Set([301, 302, 303, 307, 308])
/** They say where a request goes and ends, which is not the caller's to say. */
const reservedFields = /^(host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*)$/i

/** Whether a header field is not the caller's to give. */
export const isReservedField = (name: string): boolean => reservedFields.test(name)

export function createOutbound({ allowedHosts, ca, resolve }: OutboundOptions): Outbound {
  // A connection that one request was allowed must not be there for the next one to use, so each kind has its own.
  const toPublic = createAgent({ allowedHosts: noAllowedHosts, ca, resolve })
  const toAllowed = createAgent({ allowedHosts, ca, resolve })

  async function ask(hop: Hop, request: OutboundRequest, signal: AbortSignal): Promise<OutboundAnswer> {
    checkUrl(hop)
    const agent = hop.isAllowed ? toAllowed : toPublic
    const options = {
      origin: hop.url.origin,
      path: `${hop.url.pathname}${hop.url.search}`,
      method: hop.method,
      headers: { 'user-agent': 'promptsync', 'accept-encoding': acceptedEncodings, ...hop.headers, ...hop.credentials },
      body: hop.body,
      signal,
      headersTimeout: 0,
      bodyTimeout: 0,
    }
    // As long as there is no connection undici does not heed the signal.
    const { statusCode, headers, body } = await within(signal, () => agent.request(options))
    const fields = joinFields(headers)
    const about = { name: nameOf(hop.url), method: hop.method, status: statusCode, headers: fields, maxBytes: request.maxBytes }
    return { url: hop.url.href, status: statusCode, headers: fields, body: await readBody(body, about) }
  }

  async function follow(first: Hop, request: OutboundRequest, signal: AbortSignal): Promise<OutboundAnswer> {
    const { maxRedirects = defaultMaxRedirects } = request
    let hop = first
    for (let followed = 0; ; followed += 1) {
      const answer = await ask(hop, request, signal)
      const { location } = answer.headers
      if (maxRedirects === 0 || !redirects.has(answer.status) || location === undefined) return answer
      if (followed === maxRedirects) {
        throw new AppError(
          'source.invalid',
          `${nameOf(first.url)} redirects more than ${maxRedirects} times. Give the last address.`,
        )
      }
      const next = redirect(hop, answer.status, location)
      hop = { ...next, isAllowed: hop.isAllowed && isAllowedUrl(allowedHosts, next.url) }
    }
  }

  return {
    async send(url, request) {
      const first = firstHop(url, request, allowedHosts)
      const clock = startClock(request)
      try {
        return await follow(first, request, clock.signal)
      } catch (error) {
        const wasStopped = request.signal.aborted
        const hasTimedOut = clock.signal.aborted && !wasStopped
        const failed = { name: nameOf(first.url), timeoutMs: request.timeoutMs, wasStopped, hasTimedOut }
        throw withoutSecrets(explainFailure(error, failed), Object.values(first.credentials))
      } finally {
        clock.end()
      }
    },
    async close() {
      await Promise.all([toPublic.destroy(), toAllowed.destroy()])
    },
  }
}

/** Looks at the addresses at the moment of connecting, and connects to those that it looked at. */
function createAgent({ allowedHosts, ca, resolve }: OutboundOptions): Agent {
  return new Agent({
    connections: connectionsPerOrigin,
    maxHeaderSize: maxHeaderBytes,
    connect: (options, callback) => {
      const port = Number(options.port) || (options.protocol === 'https:' ? 443 : 80)
      const signal = AbortSignal.timeout(connectTimeoutMs)
      findAllowedAddresses(allowedHosts, { host: options.hostname, port, signal }, resolve).then(
        (addresses) => connectorTo(addresses, ca)(options, callback),
        (error: Error) => callback(error, null),
      )
    },
  })
}

function connectorTo(addresses: LookupAddress[], ca: string | Buffer | undefined): buildConnector.connector {
  return buildConnector({
    ...(ca === undefined ? {} : { ca }),
    allowH2: false,
    rejectUnauthorized: true,
    timeout: connectTimeoutMs,
    maxCachedSessions: 0,
    autoSelectFamily: true,
    lookup: (_host, { all }, callback) => {
      const [first] = addresses
      if (all) callback(null, addresses)
      else callback(null, first?.address ?? '', first?.family)
    },
  })
}

function firstHop(text: string, request: OutboundRequest, allowedHosts: AllowedHosts): Hop {
  const { headers = {}, credentials = {}, method = 'GET', body = null, learntFrom } = request
  for (const name of [...Object.keys(headers), ...Object.keys(credentials)]) {
    if (reservedFields.test(name))
      throw new AppError('source.invalid', `The header field "${name}" cannot be given. Leave it out.`)
  }
  if (!URL.canParse(text))
    throw new AppError('source.invalid', 'What is to be fetched has no valid URL. Give one that begins with https://.')
  const url = new URL(text)
  const isLearntFromAllowed = learntFrom === undefined || isAllowedUrl(allowedHosts, new URL(learntFrom))
  const isAllowed = isLearntFromAllowed && isAllowedUrl(allowedHosts, url)
  const taken = new Set(Object.keys(credentials).map((name) => name.toLowerCase()))
  const open = Object.entries(headers).filter(([name]) => !taken.has(name.toLowerCase()))
  return { url, method, headers: Object.fromEntries(open), credentials, body, isAllowed }
}

/** The request that a redirect asks for, as RFC 9110 has it: only 307 and 308 have a body sent again. */
function redirect(hop: Hop, status: number, location: string): Hop {
  const refuse = (why: string) => new AppError('source.blocked', `${hop.url.origin} redirects ${why}. Give the last address.`)
  if (!URL.canParse(location, hop.url.href)) throw refuse('to what is no URL')
  const url = new URL(location, hop.url.href)
  url.hash = ''
  if (hop.url.protocol === 'https:' && url.protocol === 'http:') throw refuse('from https to plain http, which is not followed')
  const isSameOrigin = url.origin === hop.url.origin
  const next = { ...hop, url, credentials: isSameOrigin ? hop.credentials : {} }
  if (hop.method !== 'POST' || status === 307 || status === 308) return next
  const headers = Object.entries(hop.headers).filter(([name]) => !/^content-/i.test(name))
  return { ...next, method: 'GET', body: null, headers: Object.fromEntries(headers) }
}

function isAllowedUrl(allowedHosts: AllowedHosts, url: URL): boolean {
  return allowedHosts.allows(url.hostname.replace(/^\[|\]$/g, ''), portOf(url))
}

const portOf = ({ port, protocol }: { port: string; protocol: string }): number =>
  port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port)

/** As errors tell it: what stands after the path may be a credential. */
const nameOf = ({ origin, pathname, host }: URL): string => `${origin === 'null' ? host : origin}${pathname}`.slice(0, 300)

function checkUrl({ url, isAllowed }: Hop): void {
  const refuse = (why: string) => new AppError('source.blocked', `The address ${nameOf(url)} ${why}`)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refuse('is neither https nor http. Give one that is.')
  if (url.username !== '' || url.password !== '') throw refuse('holds credentials. Give them as a header field.')
  if (portOf(url) === 0) throw refuse('has the port 0. Give the port that is meant.')
  if (url.protocol === 'http:' && !isAllowed) {
    throw refuse('is plain http. Use https, or have the host added to `PROMPTSYNC_ALLOWED_HOSTS`.')
  }
}

function joinFields(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  const fields = Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name.toLowerCase(), Array.isArray(value) ? value.join(', ') : value]],
  )
  return Object.fromEntries(fields)
}

/** Ends when the caller says so, or when the time is over. */
function startClock({ signal, timeoutMs }: OutboundRequest): { signal: AbortSignal; end(): void } {
  const ending = new AbortController()
  const stop = () => ending.abort()
  const timer = setTimeout(stop, timeoutMs)
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop, { once: true })
  return {
    signal: ending.signal,
    end: () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
    },
  }
}
