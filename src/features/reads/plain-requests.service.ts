import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Deps } from '../../deps.js'
import { anonymous, type CheckedKey, hasScope } from '../../lib/access.js'
import { addressKey } from '../../lib/limits.js'
import { type PlainContext, type PlainQuery, parsePlainContext, parsePlainQuery } from '../../lib/plain-query.js'
import type { HeldProject } from '../../lib/read-cache.js'
import { hashHex } from '../../lib/secrets.js'
import { keyRecheckMs } from './access.service.js'
import { isConfirmed } from './held-projects.service.js'

/** A request that is plain, of somebody who may read the project; `atMs` is of the clock that only goes forward. */
export type Asked = Caller & { target: Target }

/** Who asks, of which project. */
export type Caller = { key: CheckedKey | null; held: HeldProject; caller: string; atMs: number }

/** What a `GET` of a prompt asks for. Null for one that calls for a closer look. */
export function plainFetch(deps: Deps, request: IncomingMessage): Asked | null {
  const { headers, url = '' } = request
  if (headers['content-length'] !== undefined || (headers['if-none-match']?.length ?? 0) > maxConditionLength) return null
  const target = isPlain(headers) ? targetAgain(request.socket, url) : null
  return target && admitted(deps, request, target)
}

/** What a `GET` of `/resolve` asks for. */
export function plainResolve(deps: Deps, request: IncomingMessage): (Caller & { asked: PlainContext }) | null {
  const { headers, url = '' } = request
  const at = url.startsWith('/resolve') ? 8 : url.startsWith('/api/resolve') ? 12 : null
  if (at === null || (url.length > at && url[at] !== '?')) return null
  if (headers['content-length'] !== undefined || (headers['if-none-match']?.length ?? 0) > maxConditionLength) return null
  const asked = isPlain(headers) ? parsePlainContext(url.slice(at + 1)) : null
  const caller = asked && callerOf(deps, request, asked.query)
  return caller && { ...caller, asked }
}

/** The same of a `POST` that renders one, whose body is JSON of a modest size. */
export function plainRender(deps: Deps, request: IncomingMessage): Asked | null {
  const { headers, url = '' } = request
  const length = Number(headers['content-length'])
  if (headers['content-type'] !== 'application/json' || headers['content-encoding'] !== undefined) return null
  if (!(length > 0 && length <= Math.min(maxBodyBytes, deps.config.bodyLimitBytes)) || !isPlain(headers)) return null
  const target = targetOf(url, '/render')
  // Who is asked for, and with which tags, stands in the body.
  if (!target || target.query.key !== undefined || target.query.tagText !== '') return null
  return admitted(deps, request, target)
}

const maxConditionLength = 200
const maxBodyBytes = 64 * 1_024

function admitted(deps: Deps, request: IncomingMessage, target: Target): Asked | null {
  const caller = callerOf(deps, request, target.query)
  return caller && { ...caller, target }
}

/** Null unless the key was checked, and the project confirmed, a moment ago. */
function callerOf(deps: Deps, request: IncomingMessage, query: PlainQuery): Caller | null {
  const { headers, socket } = request
  const atMs = deps.elapsed()
  const key = keyOf(deps, request, atMs)
  if (key === undefined) return null
  const held = projectOf(deps, key, query, headers['x-promptsync-project'], atMs)
  if (!held) return null
  const caller = key?.actor.keyId ?? (deps.config.trustProxy === false ? addressKey(socket.remoteAddress ?? '') : null)
  return caller === null ? null : { key, held, caller, atMs }
}

/** What stands for JSON where nothing is preferred to it; the last is how axios asks. */
const jsonAccepted = new Set(['*/*', 'application/json', 'application/json, text/plain, */*'])

/** Nothing in the headers calls for more than a plain answer as JSON. */
function isPlain({ accept, expect, 'transfer-encoding': encoding, 'x-request-id': id }: IncomingMessage['headers']): boolean {
  if (expect !== undefined || encoding !== undefined) return false
  if (id !== undefined && !(typeof id === 'string' && /^[\w.:-]{1,128}$/.test(id))) return false
  return accept === undefined || jsonAccepted.has(accept)
}

/** Which prompt a URL asks for. */
export type Target = { name: string; ref: string; query: PlainQuery }

/** What connections asked for last, for as long as they stand: whoever looks whether something is new asks for the same. */
const lastTargets = new WeakMap<Socket, { url: string; target: Target | null }>()

function targetAgain(socket: Socket, url: string): Target | null {
  const last = lastTargets.get(socket)
  if (last?.url === url) return last.target
  const target = targetOf(url, '')
  lastTargets.set(socket, { url, target })
  return target
}

/** `ending` is what follows the ref. */
function targetOf(url: string, ending: '' | '/render'): Target | null {
  const nameAt = url.startsWith('/prompts/') ? 9 : url.startsWith('/api/prompts/') ? 13 : null
  if (nameAt === null) return null
  const queryAt = url.indexOf('?')
  const pathEnd = queryAt === -1 ? url.length : queryAt
  const end = pathEnd - ending.length
  if (ending !== '' && !url.startsWith(ending, end)) return null
  const slash = url.indexOf('/', nameAt)
  if (slash === -1 || slash >= end || hasSlash(url, slash + 1, end)) return null
  const query = parsePlainQuery(queryAt === -1 ? '' : url.slice(queryAt + 1))
  const name = decode(url.slice(nameAt, slash))
  return query && name !== null ? { name, ref: url.slice(slash + 1, end), query } : null
}

function hasSlash(url: string, from: number, end: number): boolean {
  const at = url.indexOf('/', from)
  return at !== -1 && at < end
}

/** The name of a prompt as it was before it was put into a URL. Refs need no encoding. */
function decode(part: string): string | null {
  if (!part.includes('%')) return part
  try {
    return decodeURIComponent(part)
  } catch (error) {
    if (error instanceof URIError) return null
    throw error
  }
}

/** The key that was sent, if it was checked a moment ago and is good; null where none was sent. */
function keyOf(deps: Deps, { headers, socket }: IncomingMessage, elapsedMs: number): CheckedKey | null | undefined {
  const { authorization, 'x-api-key': apiKey } = headers
  if (authorization === undefined && apiKey === undefined) return null
  const hash = authorization === undefined ? hashOf(socket, 'x-api-key', apiKey) : hashOf(socket, 'authorization', authorization)
  const key = hash === null ? undefined : deps.keys.get(hash)
  if (!key || key.revokedAt !== null) return undefined
  const isExpired = key.expiresAt !== null && key.expiresAt <= deps.now()
  return !isExpired && elapsedMs - key.checkedAtMs < keyRecheckMs ? key : undefined
}

type Sent = { field: 'authorization' | 'x-api-key'; text: string; hash: string | null }

/** What connections sent as their key last, for as long as they stand: most send the same with every request. */
const lastSent = new WeakMap<Socket, Sent>()

/** The hash of a key; null where there is none in the field, or none of a plain form. */
function hashOf(socket: Socket, field: Sent['field'], text: string | string[] | undefined): string | null {
  if (typeof text !== 'string') return null
  const last = lastSent.get(socket)
  if (last?.text === text && last.field === field) return last.hash
  const secret = field === 'x-api-key' ? text : text.startsWith('Bearer ') ? text.slice(7) : ''
  const isPlainKey = secret !== '' && secret.length <= 512 && !secret.includes(' ')
  const hash = isPlainKey ? hashHex(secret) : null
  lastSent.set(socket, { field, text, hash })
  return hash
}

/** The project that is asked for, if the key may read it and it was confirmed a moment ago. */
function projectOf(
  deps: Deps,
  key: CheckedKey | null,
  { project: inQuery }: PlainQuery,
  inHeader: string | string[] | undefined,
  elapsedMs: number,
): HeldProject | null {
  if (Array.isArray(inHeader) || (inQuery !== undefined && inHeader !== undefined && inQuery !== inHeader)) return null
  const slug = inQuery ?? inHeader
  const { actor } = key ?? { actor: anonymous }
  const { projects, slugs } = deps.cache
  const own = slug === undefined && actor.projectId !== null
  const held = projects.get(own ? String(actor.projectId) : (slugs.get(slug ?? 'default') ?? ''))
  if (!held || held.pointers.isDeleted || !isConfirmed(deps, held, elapsedMs)) return null
  const { id, settings } = held.pointers.project
  if (settings.publicRead) return held
  const isOwn = actor.projectId === null || actor.projectId === id
  return isOwn && hasScope(actor, 'prompts:read') ? held : null
}

const useNotedMs = 1_000

/** Notes that a project and a key were used. */
export function noteUse({ keyUses, now }: Deps, { held, key, atMs }: Caller): void {
  held.usedAtMs = atMs
  const id = key?.actor.keyId
  if (!id) return
  const at = now()
  const last = keyUses.get(id)
  if (!last || at.getTime() - last.getTime() > useNotedMs) keyUses.set(id, at)
}
