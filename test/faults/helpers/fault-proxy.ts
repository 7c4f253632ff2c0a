import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Teardown } from '../../helpers/service.js'

/**
 * What the way between a client and its server does to the connections that stand and to those that come:
 *
 * - `pass`: nothing.
 * - `latencyMs`: everything arrives so much later, each way.
 * - `black-hole`: it accepts connections and nothing arrives, not even that one has ended. What was sent arrives once it
 *   passes again, as on a network that lost packets for a while.
 * - `half-open`: what the client sends arrives; the answers do so once it passes again.
 * - `reset`: every connection is reset, and so are new ones.
 * - `garbage`: whatever the client sends is answered with bytes of no protocol, or with those given; nothing reaches the
 *   server. Such a connection is reset when the fault ends.
 * - `bytesPerSecond`: no more than so many bytes arrive, each way.
 * - `refuse`: nothing listens; connections that stood are reset.
 */
export type Fault =
  | 'pass'
  | 'black-hole'
  | 'half-open'
  | 'reset'
  | 'garbage'
  | 'refuse'
  | { latencyMs: number }
  | { bytesPerSecond: number }
  | { garbage: Buffer }

export type FaultProxy = {
  url: string
  port: number
  /** Resolves when the fault acts. */
  set(fault: Fault): Promise<void>
  /** Sends connections that come from now on to another server, as a moved name does. */
  retarget(url: string): void
  /** How many connections of clients are open. */
  connections(): number
}

/** What is on its way: bytes, or the news that the sender has ended or is gone. */
type Parcel = { sentAt: number; content: Buffer | 'end' | 'reset' }

/** One direction of a connection. */
type Lane = {
  direction: 'request' | 'answer'
  from: Socket
  to: Socket
  parcels: Parcel[]
  waitingBytes: number
  timer: NodeJS.Timeout | null
}

type Pair = {
  client: Socket
  /** Empty until the server is asked. */
  lanes: Lane[]
  /** Whether bytes were lost or invented, so that it can no longer be used. */
  isSpoiled: boolean
}

const maxConnections = 2_000
/** More than this is left with the sender. */
const maxWaitingBytes = 1_048_576
const slowStepMs = 50
/** No type byte of Redis’ protocol; for Postgres’ a message of an unknown type, four bytes long. Both notice at once. */
const noProtocol = Buffer.from([0, 0, 0, 0, 4])

/** Stands between a client and its server; begins with `pass`. */
export async function startFaultProxy(t: Teardown, targetUrl: string): Promise<FaultProxy> {
  const pairs = new Set<Pair>()
  let target = new URL(targetUrl)
  let fault: Fault = 'pass'
  let port = 0
  let listener: Server | null = null
  const currentFault = () => fault
  const join = (pair: Pair) => {
    const server = connect({ host: target.hostname, port: Number(target.port), allowHalfOpen: true, noDelay: true })
    joinLanes(pair, server, currentFault)
    server.once('close', () => forgetEnded(pairs))
  }
  const listen = async () => {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      // That a connection broke is told to the other side where it is read; before that nobody needs to know.
      client.on('error', () => undefined)
      if (fault === 'reset') return void client.resetAndDestroy()
      const pair: Pair = { client, lanes: [], isSpoiled: false }
      pairs.add(pair)
      client.once('close', () => forgetEnded(pairs))
      if (fault !== 'black-hole') join(pair)
    })
    server.maxConnections = maxConnections
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    port = (server.address() as { port: number }).port
    listener = server
  }
  const close = async () => {
    const server = listener
    listener = null
    for (const pair of pairs) reset(pair)
    if (!server) return
    const closed = once(server, 'close')
    server.close()
    await closed
  }
  await listen()
  t.teardown(close)

  const url = new URL(targetUrl)
  url.host = `127.0.0.1:${port}`
  return {
    url: url.href,
    port,
    async set(next) {
      fault = next
      if (fault === 'refuse') return close()
      if (!listener) await listen()
      for (const pair of pairs) {
        if (fault === 'reset' || (pair.isSpoiled && !garbageOf(fault))) reset(pair)
        else if (pair.lanes.length === 0 && fault !== 'black-hole') join(pair)
        else for (const lane of pair.lanes) restart(pair, lane, currentFault)
      }
    },
    retarget(next) {
      target = new URL(next)
    },
    connections: () => [...pairs].filter(({ client }) => !client.destroyed).length,
  }
}

function forgetEnded(pairs: Set<Pair>): void {
  for (const pair of pairs) if (socketsOf(pair).every((socket) => socket.destroyed)) pairs.delete(pair)
}

function socketsOf({ client, lanes }: Pair): Socket[] {
  return [client, ...lanes.slice(0, 1).map(({ to }) => to)]
}

function reset(pair: Pair): void {
  for (const lane of pair.lanes) {
    clearTimeout(lane.timer ?? undefined)
    drop(lane)
  }
  for (const socket of socketsOf(pair)) sever(socket)
}

function sever(socket: Socket): void {
  // While the end is being sent the system refuses to reset.
  if (socket.writableEnded && !socket.writableFinished) socket.destroy()
  else socket.resetAndDestroy()
}

function drop(lane: Lane): void {
  lane.parcels = []
  lane.waitingBytes = 0
}

function joinLanes(pair: Pair, server: Socket, currentFault: () => Fault): void {
  const { client } = pair
  const common = { waitingBytes: 0, timer: null }
  pair.lanes = [
    { direction: 'request', from: client, to: server, parcels: [], ...common },
    { direction: 'answer', from: server, to: client, parcels: [], ...common },
  ]
  for (const lane of pair.lanes) {
    const send = (content: Parcel['content']) => {
      lane.parcels.push({ sentAt: performance.now(), content })
      lane.waitingBytes += content.length
      advance(pair, lane, currentFault)
    }
    lane.from.on('data', send)
    lane.from.once('end', () => send('end'))
    lane.from.on('error', () => send('reset'))
    lane.to.on('drain', () => holdBack(lane))
  }
}

/** Goes on under another fault. */
function restart(pair: Pair, lane: Lane, currentFault: () => Fault): void {
  clearTimeout(lane.timer ?? undefined)
  lane.timer = null
  advance(pair, lane, currentFault)
}

/** Delivers what may arrive by now, and sees to it that the rest does when its time comes. */
function advance(pair: Pair, lane: Lane, currentFault: () => Fault): void {
  while (lane.timer === null && lane.parcels.length > 0) {
    const waitMs = waitOf(lane, currentFault())
    if (waitMs === Number.POSITIVE_INFINITY) break
    if (waitMs === 0) {
      deliver(pair, lane, currentFault())
      continue
    }
    lane.timer = setTimeout(() => {
      lane.timer = null
      deliver(pair, lane, currentFault())
      advance(pair, lane, currentFault)
    }, waitMs)
  }
  holdBack(lane)
}

/** How long the first parcel is yet to wait. */
function waitOf({ direction, parcels }: Lane, fault: Fault): number {
  if (fault === 'black-hole' || (fault === 'half-open' && direction === 'answer')) return Number.POSITIVE_INFINITY
  if (typeof fault === 'string') return 0
  if ('latencyMs' in fault) return Math.max(0, Math.ceil((parcels[0]?.sentAt ?? 0) + fault.latencyMs - performance.now()))
  if ('bytesPerSecond' in fault) return Math.max(slowStepMs, 1_000 / fault.bytesPerSecond)
  return 0
}

function deliver(pair: Pair, lane: Lane, fault: Fault): void {
  const parcel = lane.parcels.shift()
  if (!parcel) return
  const { content } = parcel
  lane.waitingBytes -= content.length
  if (content === 'reset') sever(lane.to)
  // Whoever has closed hears no more.
  else if (lane.to.destroyed || lane.to.writableEnded) return
  else if (content === 'end') lane.to.end()
  else if (garbageOf(fault)) answerGarbage(pair, lane, fault)
  else deliverPortion(lane, content, parcel.sentAt, fault)
}

function answerGarbage(pair: Pair, { direction, from }: Lane, fault: Fault): void {
  pair.isSpoiled = true
  if (direction === 'request' && from.writable) from.write(garbageOf(fault) ?? noProtocol)
}

function deliverPortion(lane: Lane, content: Buffer, sentAt: number, fault: Fault): void {
  const portion = content.subarray(0, portionOf(fault))
  lane.to.write(portion)
  const rest = content.subarray(portion.length)
  if (rest.length === 0) return
  lane.parcels.unshift({ sentAt, content: rest })
  lane.waitingBytes += rest.length
}

function garbageOf(fault: Fault): Buffer | null {
  if (fault === 'garbage') return noProtocol
  return typeof fault === 'object' && 'garbage' in fault ? fault.garbage : null
}

function portionOf(fault: Fault): number {
  if (typeof fault === 'string' || !('bytesPerSecond' in fault)) return Number.POSITIVE_INFINITY
  return Math.max(1, Math.round((fault.bytesPerSecond * slowStepMs) / 1_000))
}

/** Reads no more from a sender than fits. */
function holdBack({ from, to, waitingBytes }: Lane): void {
  if (waitingBytes + to.writableLength > maxWaitingBytes) from.pause()
  else if (from.isPaused()) from.resume()
}
