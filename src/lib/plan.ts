import { hash } from 'node:crypto'
import { type Pointer, type Pointers, pinKey, type ReleasePointer, type Stamp, type VersionPointer } from './pointers.js'
import { chooseVariant, type Tags } from './variants.js'
import { assembleAnswer, type Envelope, type Erased, type VersionRecord } from './version-record.js'

/** One of the two targets of a ref, with what has to be known of its version to choose an answer. */
export type Side = {
  /** The release that was named; null for a pin, a version or `latest`. */
  release: ReleasePointer | null
  /** Null where the release does not hold the prompt. */
  versionId: string | null
  version: string | null
  /** The version's own content, which has no tags, and its variants. */
  bodies: { index: number; tags: Tags }[]
  erased: Erased | null
  /** The bodies that were chosen lately, by the tags as they were asked for. */
  chosen: Map<string, number>
}

/** An answer whose bytes never change: they depend on the outcome alone. */
export type Finished = {
  json: Buffer
  etag: string
  /** The content alone, once somebody asked for it; null for a chat. */
  text?: { bytes: Buffer; etag: string } | null
  /** As it is sent, once it was: the lines of its header fields and the body, once it was asked for again. */
  sent?: { fields: string; body: Buffer | string | null; times: number }
  /** What renderings of it have in common, once there was one. */
  rendering?: { key: string; head: string }
  /** To be told of what is kept here later, in bytes. */
  grew?: (bytes: number) => void
}

/** Whether a canary counts for a request, and the side it drew. */
export type Mode = 'plain' | 'stable' | 'canary'

/** How a ref came to its target, which tells when that may change. */
export type ResolvedBy = 'version' | 'pin' | 'alias' | 'release' | 'commit' | 'latest'

/** What ref `ref` of prompt `name` resolves to, and the answers that were finished so far. */
export type Plan = {
  name: string
  ref: string
  by: ResolvedBy
  /** Of the pointers under which it was last seen to hold. Those themselves would stay in memory as long as the plan does. */
  stamp: Stamp
  stable: Side
  canary: { side: Side; basisPoints: number; salt: string } | null
  outcomes: Record<Mode, (Finished | undefined)[]>
  /** What clients decide by themselves with, once one asked for it. */
  planned?: Finished
  sizeBytes: number
}

/** What was chosen lately is kept for so many texts, of such a length. */
const maxChosen = 64
const maxChosenText = 100

/** About what the objects of a plan take, its stamp as if it were its own, and what was chosen of a side that has variants. */
const overheadBytes = 1_600
const chosenBytes = maxChosen * (maxChosenText + 60)
export const outcomeBytes = 1_200

/** What a side has to know of its version. */
export type SideFacts = Pick<VersionRecord, 'id' | 'version' | 'tags' | 'erased'>

export function sideOf(release: ReleasePointer | null, record: SideFacts | null): Side {
  if (!record) return { release, versionId: null, version: null, bodies: [], erased: null, chosen: new Map() }
  const { id, version, tags, erased } = record
  return { release, versionId: id, version, bodies: tags.map((tags, index) => ({ index, tags })), erased, chosen: new Map() }
}

/** The body that fits the requested tags: that of the best variant, else the version's own. Pure. */
export function chooseBody({ bodies }: Side, requested: Tags): number {
  return chooseVariant(bodies, requested)?.index ?? 0
}

export function makePlan(plan: Pick<Plan, 'name' | 'ref' | 'by' | 'stamp' | 'stable' | 'canary'>): Plan {
  const sizeBytes = overheadBytes + sizeOfSide(plan.stable) + (plan.canary ? sizeOfSide(plan.canary.side) : 0)
  return { ...plan, outcomes: { plain: [], stable: [], canary: [] }, sizeBytes }
}

function sizeOfSide({ bodies }: Side): number {
  return bodies.length * 200 + (bodies.length > 1 ? chosenBytes : 0)
}

/** The same by tags that `text` stands for: what many ask for is chosen once. */
export function chooseBodyBy(side: Side, text: string, requested: Tags): number {
  if (text === '' || side.bodies.length <= 1) return 0
  if (text.length > maxChosenText) return chooseBody(side, requested)
  const known = side.chosen.get(text)
  if (known !== undefined) return known
  const body = chooseBody(side, requested)
  if (side.chosen.size >= maxChosen) side.chosen.clear()
  side.chosen.set(text, body)
  return body
}

export type AliasTarget = { by: 'pin'; pointer: Pointer<VersionPointer> } | { by: 'alias'; pointer: Pointer<ReleasePointer> }

/** What a ref means by pointers alone. No label, number or commit can have the name of an alias. Pure. */
export function pointedAt(pointers: Pointers, name: string, ref: string): AliasTarget | null {
  const pin = pointers.pins.get(pinKey(name, ref))
  if (pin) return { by: 'pin', pointer: pin }
  const alias = pointers.aliases.get(ref)
  return alias ? { by: 'alias', pointer: alias } : null
}

/** Whether a plan still holds under these pointers; it is noted that it does. */
export function stillHolds(plan: Plan, pointers: Pointers): boolean {
  if (plan.stamp === pointers.stamp) return true
  if (plan.stamp.era !== pointers.era || !isSameResolution(plan, pointers)) return false
  plan.stamp = pointers.stamp
  return true
}

function isSameResolution(plan: Plan, pointers: Pointers): boolean {
  switch (plan.by) {
    // Labels and numbers are given once.
    case 'version':
    case 'release':
      return true
    case 'commit':
      return plan.stamp.epoch === pointers.epoch
    // A refresh drops the plans of the names that it finds changed.
    case 'latest':
      return plan.stamp.nameEra === pointers.nameEra
    case 'pin':
    case 'alias': {
      const target = pointedAt(pointers, plan.name, plan.ref)
      return target !== null && target.by === plan.by && isSamePointer(plan, target.pointer)
    }
  }
}

function isSamePointer({ stable, canary }: Plan, pointer: Pointer<ReleasePointer> | Pointer<VersionPointer>): boolean {
  if (!isAt(stable, pointer.target)) return false
  if (canary === null || pointer.canary === null) return canary === null && pointer.canary === null
  return (
    isAt(canary.side, pointer.canary.target) &&
    canary.basisPoints === pointer.canary.basisPoints &&
    canary.salt === pointer.canary.salt
  )
}

function isAt({ release, versionId }: Side, target: ReleasePointer | VersionPointer): boolean {
  return 'uid' in target ? release?.uid === target.uid : versionId === target.id
}

export function servedSide(plan: Plan, mode: Mode): Side {
  return mode === 'canary' && plan.canary ? plan.canary.side : plan.stable
}

/** What an answer of this mode says beside the content. */
export function envelopeOf(plan: Plan, mode: Mode): Envelope {
  const { name, ref, canary } = plan
  const told = mode !== 'plain' &&
    canary && {
      release: canary.side.release?.ref ?? null,
      version: canary.side.version,
      percentage: canary.basisPoints / 100,
      selected: mode === 'canary',
    }
  return { name, ref, release: servedSide(plan, mode).release?.ref ?? null, source: 'registry', canary: told || null }
}

/** Finishes an answer and keeps it in the plan. `record` is that of the mode's side. */
export function finish(plan: Plan, mode: Mode, body: number, record: VersionRecord): Finished {
  const finished = toFinished(assembleAnswer(record, body, envelopeOf(plan, mode)))
  plan.outcomes[mode][body] = finished
  plan.sizeBytes += finished.json.length + outcomeBytes
  return finished
}

export function toFinished(json: Buffer): Finished {
  return { json, etag: etagOf('application/json; charset=utf-8', json) }
}

/** The content alone, or null for a chat, which has none. It is kept. */
export function textOf(finished: Finished): { bytes: Buffer; etag: string } | null {
  if (finished.text === undefined) {
    const { content } = JSON.parse(finished.json.toString('utf8')) as { content: string | null }
    const bytes = content === null ? null : Buffer.from(content)
    finished.text = bytes && { bytes, etag: etagOf('text/plain; charset=utf-8', bytes) }
    finished.grew?.(bytes?.length ?? 0)
  }
  return finished.text
}

/** A strong validator: 162 bits of SHA-256 over the type and the bytes. */
function etagOf(type: string, bytes: Buffer): string {
  return `"${hash('sha256', Buffer.concat([Buffer.from(type), bytes]), 'base64url').slice(0, 27)}"`
}
