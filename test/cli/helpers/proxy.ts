import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardown } from '../../helpers/service.js'

type Refusal = { status: number; code: string; detail: string }

export type Proxy = {
  url: string
  /** How many calls it refused. */
  refused(): number
}

/** Stands before a service and refuses its first pushes, in turn; everything else goes through. */
export async function startProxy(t: Teardown, target: string, refusals: readonly Refusal[]): Promise<Proxy> {
  const left = [...refusals]
  const server = createServer(async (request, response) => {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece)
    const refusal = request.method === 'POST' ? left.shift() : undefined
    if (refusal) {
      response.writeHead(refusal.status, { 'content-type': 'application/problem+json', 'retry-after': '0' })
      response.end(JSON.stringify(refusal))
      return
    }
    const { authorization = '', 'content-type': type = '' } = request.headers
    const answer = await fetch(target + request.url, {
      method: request.method ?? 'GET',
      headers: { authorization, ...(type ? { 'content-type': type } : {}) },
      ...(pieces.length > 0 ? { body: Buffer.concat(pieces) } : {}),
    })
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' })
    response.end(Buffer.from(await answer.arrayBuffer()))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, refused: () => refusals.length - left.length }
}
