import { z } from 'zod'
import type { Deps } from '../../deps.js'
import type { Project } from '../../lib/access.js'
import { heldBySlug } from '../../lib/read-cache.js'
import { forgetErased, forgetKeys, outdate, refresh } from './held-projects.service.js'
import { eraseShared } from './shared.service.js'

/**
 * What instances tell each other: that a project changed, that a key was revoked, or all keys of a project. They read what
 * changed themselves.
 */
const Message = z.union([
  z.object({ project: z.string(), epoch: z.number().nullable(), token: z.string().nullable(), purges: z.number().nullable() }),
  z.object({ key: z.string() }),
  z.object({ keysOf: z.string() }),
])
type Message = z.infer<typeof Message>

/** The channel of one database, whoever else uses the same Redis; null while that is not known. */
export function channelOf({ cache }: Pick<Deps, 'cache'>): string | null {
  return cache.databaseId === null ? null : `promptsync:changes:${cache.databaseId}`
}

function announce(deps: Deps, message: Message): void {
  const channel = channelOf(deps)
  if (channel !== null) deps.redis?.publish(channel, JSON.stringify(message))
}

/**
 * After a write to a project: nothing of before is served here any more, and the others are told. Whether this can be read
 * back at once or not, the write is done.
 */
export async function noteWritten(deps: Deps, { id, slug }: Pick<Project, 'id' | 'slug'>): Promise<void> {
  const { projects, absent } = deps.cache
  deps.cache.changes += 1
  absent.delete(`slug ${slug}`)
  const held = projects.get(`${id}`)
  if (held) {
    outdate(deps, held, 'us')
    await refresh(deps, held).catch((err: unknown) => deps.log.warn({ err }, 'A project could not be read back after a write.'))
  }
  // What is still held of before would tell the others that they have nothing to read.
  const { epoch = null, token = null, purges = null } = (held?.outdated === null && held.pointers) || {}
  announce(deps, { project: `${id}`, epoch, token, purges })
}

/** After contents of a project were erased: they go from the shared cache as well. */
export async function noteErased(deps: Deps, project: Pick<Project, 'id'>): Promise<void> {
  forgetErased(deps, `${project.id}`)
  await eraseShared(deps, project).catch((err: unknown) =>
    deps.log.warn(
      { err },
      'What was erased could not be removed from Redis; nobody reads it there, and it expires within a day.',
    ),
  )
}

/** After a write whose outcome is unknown: the project is read again before anything of it is served unmarked. */
export function noteUnknown(deps: Deps, { id }: Pick<Project, 'id'>): void {
  deps.cache.changes += 1
  const held = deps.cache.projects.get(`${id}`)
  if (held) outdate(deps, held, 'us')
  announce(deps, { project: `${id}`, epoch: null, token: null, purges: null })
}

/** A write found that a project is there, or is not the one it was: others may have announced that to nobody yet. */
export function noteThere(deps: Deps, slug: string): void {
  deps.cache.changes += 1
  deps.cache.absent.delete(`slug ${slug}`)
  const held = heldBySlug(deps.cache, slug)
  if (held) outdate(deps, held, 'us')
}

/** A key is not believed here any more, and the others are told. */
export function noteRevoked(deps: Deps, hash: string): void {
  markRevoked(deps, hash)
  announce(deps, { key: hash })
}

/** The keys of a project were revoked with it: one message, however many they are and whoever knows of them. */
export function noteKeysRevoked(deps: Deps, { id }: Pick<Project, 'id'>): void {
  forgetKeys(deps, `${id}`)
  announce(deps, { keysOf: `${id}` })
}

function markRevoked({ cache, keys, now }: Deps, hash: string): void {
  cache.changes += 1
  cache.revocations += 1
  const known = keys.get(hash)
  if (known) keys.set(hash, { ...known, revokedAt: now() })
}

/** Follows what another instance announced. What is no message of ours is of no concern. */
export function hearMessage(deps: Deps, text: string): void {
  const parsed = Message.safeParse(parse(text))
  if (!parsed.success) deps.log.debug('A message on the channel of changes is none of promptsync.')
  else if ('key' in parsed.data) markRevoked(deps, parsed.data.key)
  else if ('keysOf' in parsed.data) forgetKeys(deps, parsed.data.keysOf)
  else hearChange(deps, parsed.data)
}

function hearChange(deps: Deps, message: Extract<Message, { project: string }>): void {
  deps.cache.changes += 1
  const held = deps.cache.projects.get(message.project)
  if (!held || (held.pointers.token === message.token && message.token !== null)) return
  const { epoch, purges } = held.pointers
  if (message.epoch !== null && message.epoch < epoch) return
  if (message.purges !== null && message.purges > purges) forgetErased(deps, message.project)
  outdate(deps, held, 'others')
  refresh(deps, held).catch((err: unknown) => deps.log.debug({ err }, 'An announced change could not be read yet.'))
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}
