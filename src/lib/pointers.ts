import type { Project, ProjectSettings } from './access.js'
import { refOf } from './names.js'

/** A release as pointers name it: its id in the database, the random one that caches know it by, and its ref. */
export type ReleasePointer = { id: string; uid: string; ref: string }
export type VersionPointer = { id: string; ref: string }

/** What an alias or a pin points to, and the canary that runs on it. */
export type Pointer<Target> = {
  target: Target
  canary: { target: Target; basisPoints: number; salt: string } | null
}

/** How a release differs from another one: the version of each prompt that is not the same there, null for none. */
export type ReleaseLink = { from: string; changed: ReadonlyMap<string, string | null> }

/** Which state of a project something was resolved in: one object for all that was resolved in the same one. */
export type Stamp = {
  project: Project
  /** Raised by every write to the project. */
  epoch: number
  /** How often contents were erased; deleting the project is one of these times. */
  purges: number
  /** Whatever was resolved in another era counts no more. */
  era: number
  /** Whatever was resolved by the latest version of a name in another one counts no more. */
  nameEra: number
}

/** All that moves in a project, as it was at one epoch. Never changed: a refresh makes the next one. */
export type Pointers = Stamp & {
  /** The same again, for what is kept longer than all the pointers. */
  stamp: Stamp
  isDeleted: boolean
  /** Drawn anew by every write to the project. */
  token: string
  aliases: ReadonlyMap<string, Pointer<ReleasePointer>>
  /** By `pinKey`. */
  pins: ReadonlyMap<string, Pointer<VersionPointer>>
  /** By the uid of a release. */
  links: ReadonlyMap<string, ReleaseLink>
}

type Named = { number: number; label: string | null }
type ReleaseRow = Named & { id: string; uid: string }
type VersionRow = Named & { id: string }

/** An alias as the database tells of it; deleted ones are told of where changes are asked for. */
export type AliasRow = {
  name: string
  prompt: string | null
  isDeleted: boolean
  release: ReleaseRow | null
  version: VersionRow | null
  canaryRelease: ReleaseRow | null
  canaryVersion: VersionRow | null
  basisPoints: number | null
  salt: string | null
}

/**
 * A project as the database tells of it: that it is the `same` as the one held, the `changes` since then, or the `whole`,
 * where nothing is held, what is held is no earlier state of this database, or contents were erased since: aliases and pins
 * that are erased with their project are in no list of changes.
 */
export type ProjectRow = { id: string; epoch: string; token: string; purges: number } & (
  | { kind: 'same' }
  | {
      kind: 'changes' | 'whole'
      slug: string
      name: string | null
      settings: ProjectSettings
      createdAt: string
      updatedAt: string
      isDeleted: boolean
      aliases: AliasRow[]
      /** The prompts that changed, null where they are too many to tell. */
      names: string[] | null
    }
)

let eras = 0

/** An era that there was none of before in this process. */
export function nextEra(): number {
  eras += 1
  return eras
}

/** Links are kept for so many releases, and so many changes in all; what came before is loaded anew. */
const maxLinks = 32
const maxLinkedChanges = 20_000

export function pinKey(name: string, ref: string): string {
  return `${ref}\n${name}`
}

function toRelease({ id, uid, ...named }: ReleaseRow): ReleasePointer {
  return { id, uid, ref: refOf('r', named) }
}

function toVersion({ id, ...named }: VersionRow): VersionPointer {
  return { id, ref: refOf('v', named) }
}

function toPointer<Row, Target>(
  target: Row,
  canary: Row | null,
  { basisPoints, salt }: AliasRow,
  toTarget: (row: Row) => Target,
): Pointer<Target> {
  if (canary === null || basisPoints === null || salt === null) return { target: toTarget(target), canary: null }
  return { target: toTarget(target), canary: { target: toTarget(canary), basisPoints, salt } }
}

/** Pointers with their stamp. Whoever changes what a stamp tells makes them anew by this. */
export function stamped(pointers: Omit<Pointers, 'stamp'>): Pointers {
  const { project, epoch, purges, era, nameEra } = pointers
  return { ...pointers, stamp: { project, epoch, purges, era, nameEra } }
}

/** What the database told, laid over what was held where it told of changes. Pure but for the number of an era. */
export function toPointers(row: Exclude<ProjectRow, { kind: 'same' }>, held: Pointers | null): Pointers {
  const before = row.kind === 'changes' ? held : null
  const aliases = new Map(before?.aliases)
  const pins = new Map(before?.pins)
  for (const alias of row.aliases) {
    if (alias.prompt === null) {
      if (alias.isDeleted || alias.release === null) aliases.delete(alias.name)
      else aliases.set(alias.name, toPointer(alias.release, alias.canaryRelease, alias, toRelease))
      continue
    }
    const key = pinKey(alias.prompt, alias.name)
    if (alias.isDeleted || alias.version === null) pins.delete(key)
    else pins.set(key, toPointer(alias.version, alias.canaryVersion, alias, toVersion))
  }
  const { slug, name, settings } = row
  const [createdAt, updatedAt] = [new Date(row.createdAt), new Date(row.updatedAt)]
  const goesOn = before !== null && before.purges === row.purges
  return stamped({
    project: { id: BigInt(row.id), slug, name, settings, createdAt, updatedAt },
    isDeleted: row.isDeleted,
    epoch: Number(row.epoch),
    token: row.token,
    purges: row.purges,
    aliases,
    pins,
    links: goesOn ? before.links : new Map(),
    era: goesOn ? before.era : nextEra(),
    nameEra: goesOn && row.names !== null ? before.nameEra : nextEra(),
  })
}

/** Pairs of releases where the second took the first one's place, or runs beside it as a canary, and no links tell of them. */
export function unlinked(before: Pointers, after: Pointers): { from: ReleasePointer; to: ReleasePointer }[] {
  const pairs = new Map<string, { from: ReleasePointer; to: ReleasePointer }>()
  const add = (from: ReleasePointer, to: ReleasePointer) => {
    const isTold = linkedVersion(after, to.uid, '', { uid: from.uid, versionId: null }) !== undefined
    if (!isTold) pairs.set(to.uid, { from, to })
  }
  for (const [name, { target, canary }] of after.aliases) {
    const earlier = before.aliases.get(name)
    if (earlier) add(earlier.target, target)
    if (canary) add(target, canary.target)
  }
  return [...pairs.values()]
}

/** Adds links, and drops the oldest that there is no room for. Pure. */
export function withLinks(pointers: Pointers, links: ReadonlyMap<string, ReleaseLink>): Pointers {
  const newestFirst = [...pointers.links, ...links].slice(-maxLinks).reverse()
  let changes = 0
  const tooMany = newestFirst.findIndex(([, { changed }]) => {
    changes += changed.size
    return changes > maxLinkedChanges
  })
  const kept = tooMany === -1 ? newestFirst : newestFirst.slice(0, tooMany)
  return { ...pointers, links: new Map(kept.reverse()) }
}

/**
 * The version of a prompt in release `uid`, told from the one it has in release `from` by way of links; null where the
 * release does not hold it, undefined where no chain of links leads from one to the other. Pure.
 */
export function linkedVersion(
  { links }: Pick<Pointers, 'links'>,
  uid: string,
  name: string,
  from: { uid: string; versionId: string | null },
): string | null | undefined {
  let at = uid
  for (let steps = 0; steps <= maxLinks; steps += 1) {
    if (at === from.uid) return from.versionId
    const link = links.get(at)
    if (!link) return undefined
    const changed = link.changed.get(name)
    if (changed !== undefined) return changed
    at = link.from
  }
  return undefined
}
