import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Agent, request as send } from 'node:http'
import fc from 'fast-check'
import type { Service, Teardown } from './service.js'

export type Ask = { method: string; path: string; headers: Record<string, string>; body?: string | undefined }

/** What came back. The body is there byte for byte, one character for each. */
export type Told = { status: number; headers: Record<string, unknown>; body: string }

export type Comparison = {
  asks: fc.Arbitrary<Ask>
  numRuns: number
  /** Whether each such request draws the side of a canary, so that two of them may differ. */
  isDrawn(ask: Ask): boolean
}

/** The two ways into a service: over its socket, where what is in memory is answered before the framework, and past that. */
export type ReadPath = {
  overHttp(ask: Ask): Promise<Told>
  injected(ask: Ask): Promise<Told>
  /** Asks over HTTP until it is known, then both ways, which have to agree. Answers how many of three requests reached a handler. */
  compare(t: { strictSame(found: Told, wanted: Told, what: string): unknown }, comparison: Comparison): Promise<number>
}

export function openReadPath(t: Teardown, service: Service): ReadPath {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  t.teardown(() => agent.destroy())
  const { hostname, port } = new URL(service.url)
  const overHttp = ({ method, path, headers, body }: Ask): Promise<Told> =>
    new Promise((resolve, reject) => {
      const outgoing = send({ agent, hostname, port, method, path, headers }, (answer) => {
        const chunks: Buffer[] = []
        answer.on('data', (chunk: Buffer) => chunks.push(chunk))
        answer.on('end', () => {
          const body = Buffer.concat(chunks).toString('latin1')
          resolve({ status: answer.statusCode ?? 0, headers: compared(answer.headers), body })
        })
        answer.on('error', reject)
      })
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  const injected = async ({ method, path, headers, body }: Ask): Promise<Told> => {
    const sent = body === undefined ? {} : { payload: body }
    const answer = await service.app.inject({ method: method as 'GET', url: path, headers, ...sent })
    return { status: answer.statusCode, headers: compared(answer.headers), body: answer.rawPayload.toString('latin1') }
  }
  return {
    overHttp,
    injected,
    async compare(t, { asks, numRuns, isDrawn }) {
      let asked = 0
      const both = fc.asyncProperty(asks, async (ask) => {
        fc.pre(!isDrawn(ask))
        await overHttp(ask)
        asked += 1
        const [warm, route] = [await overHttp(ask), await injected(ask)]
        if (ask.method === 'HEAD') route.body = ''
        t.strictSame(warm, route, `${ask.method} ${ask.path} ${ask.body?.slice(0, 200) ?? ''}`)
      })
      return (await handledDuring(() => fc.assert(both, { numRuns }))) / asked
    },
  }
}

/** What is the moment's, the connection's, or counted. */
const notCompared = new Set(['date', 'connection', 'keep-alive', 'ratelimit', 'ratelimit-policy', 'transfer-encoding'])

function compared(headers: Record<string, unknown>): Record<string, unknown> {
  const kept = Object.entries(headers).filter(([name]) => !notCompared.has(name.toLowerCase()))
  return Object.fromEntries(kept.map(([name, value]) => [name.toLowerCase(), String(value)]).sort())
}

/** Counts the requests that reach a handler of the framework while `work` runs. */
export async function handledDuring(work: () => Promise<unknown>): Promise<number> {
  let handled = 0
  const count = () => {
    handled += 1
  }
  subscribe('tracing:fastify.request.handler:start', count)
  try {
    await work()
  } finally {
    unsubscribe('tracing:fastify.request.handler:start', count)
  }
  return handled
}

/** One of the plain values, and now and then an odd one. */
export function mostly<T>(plain: readonly T[], odd: readonly T[]): fc.Arbitrary<T> {
  return fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...plain) }, fc.constantFrom(...odd))
}
