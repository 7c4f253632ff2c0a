import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Deps } from '../../deps.js'
import { AppError, tryLater } from '../../errors.js'
import { type Actor, anonymous, hasScope, type Project } from '../../lib/access.js'
import type { HeldProject } from '../../lib/read-cache.js'
import { hashHex } from '../../lib/secrets.js'
import { authenticate } from '../keys/keys.service.js'
import { findHeld, isUnavailable, type Wanted } from '../reads/access.service.js'
import { loadOnce, readDatabase } from '../reads/database.service.js'
import { type EntriesRow, eventText, readEntries, type ToldChange, toChange } from './event-texts.service.js'

const maxStreams = 1_000
/** The others are for callers with a key: addresses cost nothing, and are not to keep them from hearing of anything. */
const maxStreamsWithoutKey = maxStreams / 2
const maxStreamsOfCaller = 50
/** A client that waits is told at least this often that the stream lives. */
const heartbeatMs = 15_000
/** No more is read for a client that has this much to take still; what comes later waits in the database. */
const maxQueuedBytes = 64 * 1024
/** A client that has so much to take and leaves it is cut off. */
const maxStuckMs = 30_000
/** How long a client that was cut off is to wait before it comes back. */
const retryMs = 2_000
const refusedSeconds = 10

/** Up to which change a stream was told, with its token where that is known, and how many events of the next one. */
type Position = { epoch: number; token: string | null; skip: number }

type Stream = {
  projectId: string
  held: HeldProject
  /** The key that was sent. */
  secret: string | null
  /** Whose streams it counts among. */
  caller: string
  response: ServerResponse
  position: Position
  isReading: boolean
  sentAtMs: number
  stuckSinceMs: number | null
  wake: () => void
}

/** The streams that are open on this instance. */
export type Streams = Set<Stream>

export type StreamRequest = {
  held: HeldProject
  secret: string | null
  caller: string
  /** The id of the last event that the client had. */
  lastEventId: string | null
}

/** Throws where this instance, or this caller, has as many streams open as may be. */
export function refuseTooMany(streams: Streams, { secret, caller }: Pick<StreamRequest, 'secret' | 'caller'>): void {
  let [own, withoutKey] = [0, 0]
  for (const stream of streams) {
    if (stream.caller === caller) own += 1
    if (stream.secret === null) withoutKey += 1
  }
  if (own >= maxStreamsOfCaller) throw tooManyOfCaller()
  if (streams.size >= maxStreams) {
    const detail = `This instance has its ${maxStreams} event streams open already. Try again, or ask another instance.`
    throw tryLater('server.busy', detail, refusedSeconds)
  }
  if (secret === null && withoutKey >= maxStreamsWithoutKey) {
    const detail = `This instance has the ${maxStreamsWithoutKey} event streams open that it has for callers without a key. Send one, or try again.`
    throw tryLater('server.busy', detail, refusedSeconds)
  }
}

/** A limit of what is open at once has no window, and no time at which it is back: that is when one is closed. */
function tooManyOfCaller(): AppError {
  const detail = `${maxStreamsOfCaller} event streams of this key, or of this address without one, are open already. Close one.`
  const headers = {
    'retry-after': `${refusedSeconds}`,
    'ratelimit-policy': `"streams";q=${maxStreamsOfCaller};qu="concurrent-requests"`,
    ratelimit: '"streams";r=0',
  }
  return new AppError('rate.exceeded', detail, { headers })
}

/** Begins a stream, which goes on until either side ends it. */
export function openStream(
  deps: Deps,
  streams: Streams,
  { held, secret, caller, lastEventId }: StreamRequest,
  response: ServerResponse,
  headers: OutgoingHttpHeaders,
): void {
  if (response.destroyed) return
  const { project, epoch, token } = held.pointers
  const stream: Stream = {
    projectId: `${project.id}`,
    held,
    secret,
    caller,
    response,
    position: lastEventId === null ? { epoch, token, skip: 0 } : positionOf(lastEventId),
    isReading: false,
    sentAtMs: deps.elapsed(),
    stuckSinceMs: null,
    wake: () => void catchUp(deps, streams, stream),
  }
  streams.add(stream)
  held.listeners.add(stream.wake)
  response.on('close', () => forget(streams, stream)).on('drain', stream.wake)
  response.writeHead(200, headers)
  response.write(`retry: ${retryMs}\n\n`)
  if (lastEventId === null) send(deps, stream, beginning(deps, 'hello', project.slug, epoch))
  else stream.wake()
}

/** What is told up to part `n` of a change is told up to the change before it, and `n` events of the next. */
function positionOf(id: string): Position {
  const [epoch = '', part] = id.split('.')
  return part === undefined
    ? { epoch: Number(epoch), token: null, skip: 0 }
    : { epoch: Number(epoch) - 1, token: null, skip: Number(part) }
}

function beginning(deps: Deps, name: 'hello' | 'reset' | 'project.deleted', project: string, epoch: number): string {
  return eventText(`${epoch}`, name, { project, epoch, at: deps.now().toISOString() })
}

function send(deps: Deps, stream: Stream, text: string): void {
  stream.response.write(text)
  stream.sentAtMs = deps.elapsed()
}

function forget(streams: Streams, stream: Stream): void {
  streams.delete(stream)
  stream.held.listeners.delete(stream.wake)
}

/** Ends a stream; that its project was deleted is the last thing it tells. */
function end(deps: Deps, streams: Streams, stream: Stream): void {
  if (!streams.has(stream)) return
  forget(streams, stream)
  const { isDeleted, project, epoch } = stream.held.pointers
  const isNews = isDeleted && stream.position.epoch < epoch
  stream.response.end(isNews ? beginning(deps, 'project.deleted', project.slug, epoch) : undefined)
}

/** Ends all streams, so that the service can close at once: a client that has something to take still is not waited for. */
export function endStreams(deps: Deps, streams: Streams): void {
  for (const stream of [...streams]) {
    if (stream.response.writableLength > 0) stream.response.destroy()
    else end(deps, streams, stream)
  }
}

function isFull({ response }: Stream): boolean {
  return response.writableLength > maxQueuedBytes
}

/** Whether the project is not where the stream is: further on, mostly, but not in a database that was restored. */
function isElsewhere({ position, held: { pointers } }: Stream): boolean {
  const { epoch, token } = position
  return epoch !== pointers.epoch || (token !== null && token !== pointers.token)
}

/** Tells a stream what happened since it was told last, as far as its client takes it. */
async function catchUp(deps: Deps, streams: Streams, stream: Stream): Promise<void> {
  if (stream.isReading) return
  stream.isReading = true
  try {
    while (streams.has(stream) && isElsewhere(stream) && !isFull(stream)) {
      const read = await readChanges(deps, stream)
      // Asked last, so that nothing is told to a key that was revoked meanwhile.
      if (read === null || !(await mayGoOn(deps, stream))) return end(deps, streams, stream)
      if (!streams.has(stream) || tell(deps, stream, read) === 'nothing') return
    }
  } catch (err) {
    // Asked again before long: see `tendStreams`.
    if (err instanceof AppError) deps.log.debug({ err }, 'The events of a project could not be read yet.')
    else deps.log.warn({ err }, 'The events of a project could not be read.')
  } finally {
    stream.isReading = false
  }
}

type Changes = Omit<EntriesRow, 'entries' | 'epoch'> & { epoch: number; told: ToldChange[] }

/** What happened since the position of a stream, read once for all streams that wait for the same; null where the project is gone. */
async function readChanges(deps: Deps, { projectId, position, held }: Stream): Promise<Changes | null> {
  const { epoch, token } = position
  // One that began before the change that is waited for would not bring it.
  const what = `events ${projectId} ${epoch} ${token} ${held.pointers.token}`
  return loadOnce(deps, what, async () => {
    const row = await readDatabase<EntriesRow>(deps, readEntries, [projectId, epoch, token])
    if (!row) return null
    const { entries, ...rest } = row
    return { ...rest, epoch: Number(row.epoch), told: entries.map((entry) => toChange(row.project, entry)) }
  })
}

/** Sends what was read; a stream that cannot go on without a gap is told so, and goes on from now. */
function tell(deps: Deps, stream: Stream, changes: Changes): 'something' | 'nothing' {
  if (!continues(stream.position, changes)) {
    send(deps, stream, beginning(deps, 'reset', changes.project, changes.epoch))
    stream.position = { epoch: changes.epoch, token: changes.token, skip: 0 }
    return 'something'
  }
  for (const { epoch, token, texts } of changes.told) {
    send(deps, stream, texts.slice(stream.position.skip).join(''))
    stream.position = { epoch, token, skip: 0 }
    if (isFull(stream)) break
  }
  return changes.told.length > 0 ? 'something' : 'nothing'
}

function continues(position: Position, { goesOn, isAnew, epoch, told: [first] }: Changes): boolean {
  if (!goesOn || isAnew) return false
  return first === undefined ? epoch === position.epoch : first.epoch === position.epoch + 1
}

/** Whether a stream may go on: its key is good still, and may read its project, which is there still. */
async function mayGoOn(deps: Deps, stream: Stream): Promise<boolean> {
  const { secret } = stream
  try {
    const actor = secret === null ? anonymous : await authenticate(deps, secret, wantedOf(stream))
    const { pointers } = stream.held
    return !pointers.isDeleted && mayRead(actor, pointers.project)
  } catch (error) {
    if (error instanceof AppError) return false
    throw error
  }
}

function wantedOf({ projectId }: Stream): Wanted {
  return { slug: null, id: projectId, prompt: () => null }
}

function mayRead(actor: Actor, { id, settings }: Project): boolean {
  if (settings.publicRead) return true
  return actor !== anonymous && (actor.projectId === null || actor.projectId === id) && hasScope(actor, 'prompts:read')
}

/** Whether what is known of the key and the project speaks against a stream. */
function isDoubtful({ keys, now }: Deps, { secret, held }: Stream): boolean {
  if (held.pointers.isDeleted) return true
  if (secret === null) return false
  const key = keys.get(hashHex(secret))
  if (!key) return true
  return key.revokedAt !== null || (key.expiresAt !== null && key.expiresAt <= now())
}

/** Looks after all streams; called about once a second. */
export async function tendStreams(deps: Deps, streams: Streams): Promise<void> {
  const nowMs = deps.elapsed()
  const tended = [...streams].map((stream) =>
    tend(deps, streams, stream, nowMs).catch((err: unknown) => deps.log.warn({ err }, 'A stream of events failed.')),
  )
  await Promise.all(tended)
}

async function tend(deps: Deps, streams: Streams, stream: Stream, nowMs: number): Promise<void> {
  if (isStuck(stream, nowMs)) {
    stream.response.destroy()
    return
  }
  const isThere = await follow(deps, streams, stream)
  const isDue = nowMs - stream.sentAtMs >= heartbeatMs && !isFull(stream)
  if (!isThere || ((isDue || isDoubtful(deps, stream)) && !(await mayGoOn(deps, stream)))) {
    end(deps, streams, stream)
    return
  }
  if (!streams.has(stream)) return
  // Where a connection is gone, writing to it is how that is found out.
  if (isDue) send(deps, stream, ': \n\n')
  await catchUp(deps, streams, stream)
}

function isStuck(stream: Stream, nowMs: number): boolean {
  stream.stuckSinceMs = isFull(stream) ? (stream.stuckSinceMs ?? nowMs) : null
  return stream.stuckSinceMs !== null && nowMs - stream.stuckSinceMs >= maxStuckMs
}

/** Listens to the project as it is held now: what is held may be dropped for lack of room. False where it is gone. */
async function follow(deps: Deps, streams: Streams, stream: Stream): Promise<boolean> {
  const known = deps.cache.projects.get(stream.projectId)
  if (known === stream.held) return true
  try {
    const held = known ?? (await findHeld(deps, wantedOf(stream)))
    if (!held || !streams.has(stream)) return held !== null
    stream.held.listeners.delete(stream.wake)
    stream.held = held
    held.listeners.add(stream.wake)
    return true
  } catch (error) {
    if (isUnavailable(error)) return true
    throw error
  }
}
