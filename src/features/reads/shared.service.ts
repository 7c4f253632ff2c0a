import type { Deps } from '../../deps.js'
import { packageVersion } from '../../lib/package-version.js'
import type { ResolvedBy } from '../../lib/plan.js'
import { nextEra, type Pointers, type ReleasePointer, type Stamp, stamped } from '../../lib/pointers.js'
import { seal, unseal } from '../../lib/sealed.js'
import { decodeRecord, encodeRecord, type VersionRecord } from '../../lib/version-record.js'

/** Raised with every change to what is stored; another version of the program may also find other variables. */
const format = `promptsync:1:${packageVersion}`
/** Larger values are read from the database: one of them would hold up all others on the connection. */
const maxBytes = 1024 ** 2
const ttlMs = 24 * 60 * 60 * 1_000
/** What moves may not reach Redis: the last that did is believed no longer than a key is while the database is away. */
const pointersTtlMs = 60 * 60 * 1_000
const eraseTimeoutMs = 10_000
/** Entries of one moment do not all end at another one. */
const jitter = 0.1

/** Under which the second level keeps something of this database; null while there is no such level. */
function keyOf({ cache, redis }: Deps, part: string): string | null {
  return redis && cache.databaseId !== null ? `${format}:${cache.databaseId}:${part}` : null
}

/** What all keys of a project's contents begin with; a purge leads to new ones. */
function contentsOf({ project, purges }: Stamp): string {
  return `${allContentsOf(project)}${purges}:`
}

function allContentsOf({ id }: Pick<Pointers['project'], 'id'>): string {
  return `c:${id}.`
}

async function read<T>(deps: Deps, part: string, decode: (payload: Buffer) => T): Promise<T | null> {
  const key = keyOf(deps, part)
  if (key === null || !deps.redis) return null
  try {
    const sealed = await deps.redis.get(key)
    const payload = sealed && unseal(key, sealed)
    return payload && decode(payload)
  } catch (error) {
    // Whatever is wrong with it, the database has the same.
    deps.log.debug({ err: error }, 'The shared cache could not be read.')
    return null
  }
}

function write(deps: Deps, part: string, payload: Buffer, lifeMs = ttlMs): void {
  const key = keyOf(deps, part)
  if (key === null || payload.length > maxBytes) return
  deps.redis?.set(key, seal(key, payload), Math.round(lifeMs * (1 - jitter * Math.random())))
}

/** A version that a release holds of a prompt, by the uid of the release, or one by its own id. */
type SharedAs = { release: string; name: string } | { version: string }

function partOf(stamp: Stamp, as: SharedAs): string {
  return `${contentsOf(stamp)}${'version' in as ? `v:${as.version}` : `r:${as.release}:${as.name}`}`
}

export function findShared(deps: Deps, stamp: Stamp, as: SharedAs): Promise<VersionRecord | null> {
  return read(deps, partOf(stamp, as), decodeRecord)
}

/** Tombstones are not shared: they stand for what must not be. */
export function share(deps: Deps, stamp: Stamp, as: SharedAs, record: VersionRecord): void {
  if (deps.redis && record.erased === null) write(deps, partOf(stamp, as), encodeRecord(record))
}

/** What a label, number, commit or `latest` meant as of an epoch. */
export type SharedRef = { by: ResolvedBy; release: ReleasePointer | null; record: VersionRecord }

function refPart(pointers: Pointers, name: string, ref: string): string {
  return `${contentsOf(pointers)}n:${pointers.token}:${ref}:${name}`
}

export function findSharedRef(deps: Deps, pointers: Pointers, name: string, ref: string): Promise<SharedRef | null> {
  return read(deps, refPart(pointers, name, ref), (payload) => {
    const start = 2 + payload.readUInt16BE(0)
    const resolution = JSON.parse(payload.toString('utf8', 2, start)) as Omit<SharedRef, 'record'>
    return { ...resolution, record: decodeRecord(payload.subarray(start)) }
  })
}

export function shareRef(deps: Deps, pointers: Pointers, name: string, ref: string, { record, ...resolution }: SharedRef): void {
  if (!deps.redis || record.erased !== null) return
  const head = Buffer.from(JSON.stringify(resolution))
  const length = Buffer.alloc(2)
  length.writeUInt16BE(head.length)
  write(deps, refPart(pointers, name, ref), Buffer.concat([length, head, encodeRecord(record)]))
}

type SharedPointers = Omit<Pointers, 'project' | 'stamp' | 'aliases' | 'pins' | 'links' | 'era' | 'nameEra'> & {
  project: Omit<Pointers['project'], 'id' | 'createdAt' | 'updatedAt'> & { id: string; createdAt: string; updatedAt: string }
  aliases: [string, unknown][]
  pins: [string, unknown][]
}

/** For an instance that begins while the database is away. */
export function sharePointers(deps: Deps, pointers: Pointers): void {
  if (!deps.redis) return
  const { project, aliases, pins, isDeleted, epoch, token, purges } = pointers
  const shared: SharedPointers = {
    ...{ isDeleted, epoch, token, purges },
    project: {
      ...project,
      id: `${project.id}`,
      createdAt: project.createdAt.toISOString(),
      updatedAt: project.updatedAt.toISOString(),
    },
    aliases: [...aliases],
    pins: [...pins],
  }
  const payload = Buffer.from(JSON.stringify(shared))
  write(deps, `p:${project.slug}`, payload, pointersTtlMs)
  write(deps, `i:${project.id}`, payload, pointersTtlMs)
}

export async function findSharedPointers(deps: Deps, project: { slug: string } | { id: string }): Promise<Pointers | null> {
  const part = 'slug' in project ? `p:${project.slug}` : `i:${project.id}`
  return read(deps, part, (payload) => {
    const shared = JSON.parse(payload.toString('utf8')) as SharedPointers
    const { id, createdAt, updatedAt } = shared.project
    const era = nextEra()
    return stamped({
      ...shared,
      project: { ...shared.project, id: BigInt(id), createdAt: new Date(createdAt), updatedAt: new Date(updatedAt) },
      aliases: new Map(shared.aliases as never),
      pins: new Map(shared.pins as never),
      links: new Map(),
      era,
      nameEra: era,
    })
  })
}

/**
 * Erases what the second level holds of a project's contents: also what another history of the database, which was restored
 * since, may have left there under the number of the purge that was.
 */
export async function eraseShared(deps: Deps, project: Pick<Pointers['project'], 'id'>): Promise<void> {
  const prefix = keyOf(deps, allContentsOf(project))
  if (prefix === null || !deps.redis) return
  await deps.redis.removeAll(prefix, eraseTimeoutMs)
}
