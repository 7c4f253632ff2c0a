import type { Tags } from './variants.js'

/** Why a version cannot be answered: it was purged, or something that it includes was. */
export type Erased = { by: 'purge' } | { by: 'include'; name: string; version: string }

/** What is told of a version beside its content. `git` and `createdAt` are JSON as they stand in an answer. */
export type VersionFacts = {
  id: string
  version: string
  /** The ref of the release that first held it; empty for a built-in. */
  made: string
  type: 'text' | 'chat'
  template: 'jinja' | 'none'
  contentHash: string
  git: string
  createdAt: string
  erased: Erased | null
}

/**
 * One version as caches keep it: immutable, in pieces of JSON that make up answers. It has a body for its own content, which
 * is the first, and one for each variant.
 */
export type VersionRecord = VersionFacts & {
  /** The tags of each body; none of the version's own. */
  tags: Tags[]
  /** Of each body `"content":…,"messages":…`. */
  contents: Buffer[]
  /** Of each body the list of its variables, where it was found already. */
  variables: (string | null)[]
  /** Of all bodies `"config":…,"inputs":…`. */
  settings: Buffer
  /** What all bodies include, as JSON. */
  includes: Buffer
  /** About what it takes in memory. */
  sizeBytes: number
}

type Header = VersionFacts & Pick<VersionRecord, 'tags' | 'variables'> & { lengths: number[] }

const lengthBytes = 4
/** About what the objects around the bytes take. */
const overheadBytes = 1_000
const bodyBytes = 200

function sizeOf(texts: Buffer[]): number {
  return texts.reduce((sum, { length }) => sum + length + bodyBytes, overheadBytes)
}

/** A copy that shares its memory with nothing: a small part of a larger piece would keep the whole of it. */
function ownBytes(bytes: Buffer): Buffer {
  const own = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(own)
  return own
}

/** Four bytes with the length of the header, the header as JSON, then the pieces. Pure. */
export function encodeRecord(record: VersionRecord): Buffer {
  const { contents, settings, includes, sizeBytes: _, ...facts } = record
  const pieces = [settings, includes, ...contents]
  const header: Header = { ...facts, lengths: pieces.map(({ length }) => length) }
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(lengthBytes)
  length.writeUInt32BE(text.length)
  return Buffer.concat([length, text, ...pieces])
}

/** The record in bytes that `encodeRecord` made; it keeps a copy of them. Pure. */
export function decodeRecord(from: Buffer): VersionRecord {
  const encoded = ownBytes(from)
  let at = lengthBytes + encoded.readUInt32BE(0)
  const { lengths, ...header } = JSON.parse(encoded.toString('utf8', lengthBytes, at)) as Header
  const [settings, includes, ...contents] = lengths.map((length) => {
    at += length
    return encoded.subarray(at - length, at)
  })
  if (!settings || !includes) throw new Error('A record is cut off.')
  return { ...header, settings, includes, contents, sizeBytes: sizeOf([settings, includes, ...contents]) }
}

type Parts = {
  bodies: { tags: Tags; content: string | null; messages: unknown }[]
  config: unknown
  inputs: unknown
  includes: object
}

/** Pure. */
export function makeRecord(facts: VersionFacts, { bodies, config, inputs, includes }: Parts): VersionRecord {
  const inner = (value: object) => ownBytes(Buffer.from(JSON.stringify(value).slice(1, -1)))
  const contents = bodies.map(({ content, messages }) => inner({ content, messages }))
  const settings = inner({ config, inputs })
  const included = ownBytes(Buffer.from(JSON.stringify(includes)))
  return {
    ...facts,
    tags: bodies.map(({ tags }) => tags),
    contents,
    variables: bodies.map(() => null),
    settings,
    includes: included,
    sizeBytes: sizeOf([settings, included, ...contents]),
  }
}

/** A version of which nothing is left but that it was there. Pure. */
export function makeTombstone(facts: VersionFacts & { erased: Erased }): VersionRecord {
  return makeRecord(facts, { bodies: [], config: {}, inputs: null, includes: {} })
}

/** The text or messages of a body, as they were before they became JSON. Pure. */
export function readContent(record: VersionRecord, body: number): { content: string | null; messages: unknown } {
  return JSON.parse(`{${record.contents[body]?.toString('utf8') ?? ''}}`)
}

/** What an answer says beside the version itself. */
export type Envelope = {
  name: string
  ref: string
  /** Null for the release that made the version. */
  release: string | null
  source: 'registry' | 'default' | 'fallback'
  canary: object | null
}

/** The whole answer as JSON, its keys in the order of the contract; the variables of the body must be found. Pure. */
export function assembleAnswer(record: VersionRecord, body: number, { name, ref, release, source, canary }: Envelope): Buffer {
  const { version, made, type, template, contentHash, settings, includes } = record
  const [content, variables] = [record.contents[body], record.variables[body]]
  if (!content || typeof variables !== 'string') throw new Error(`Version ${record.id} has no finished body ${body}.`)
  const named = JSON.stringify({ name, version, ref, release: release ?? (made === '' ? null : made), type, template })
  const rest = JSON.stringify({ tags: record.tags[body], contentHash, source, canary })
  return joined([
    `${named.slice(0, -1)},`,
    content,
    ',',
    settings,
    `,"variables":${variables},"includes":`,
    includes,
    `,${rest.slice(1, -1)},"git":${record.git},"createdAt":${record.createdAt}}`,
  ])
}

/** Bytes and texts in one piece of memory of its own. */
export function joined(pieces: (Buffer | string)[]): Buffer {
  const length = pieces.reduce((sum, piece) => sum + Buffer.byteLength(piece), 0)
  const whole = Buffer.allocUnsafeSlow(length)
  let at = 0
  for (const piece of pieces) at += typeof piece === 'string' ? whole.write(piece, at) : piece.copy(whole, at)
  return whole
}
