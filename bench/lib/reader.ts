import { Agent, get } from 'node:http'

const concurrent = 32
const answerTimeoutMs = 30_000

export type Read = { status: number; headers: NodeJS.Dict<string | string[]>; startedAt: number; endedAt: number }

/** One request that takes its answer whole and keeps the connection. Rejects when that takes too long. */
export function readOne(url: string, headers: Record<string, string>, agent: Agent): Promise<Read> {
  const startedAt = performance.now()
  return new Promise((resolve, reject) => {
    const request = get(url, { headers, agent, timeout: answerTimeoutMs }, (response) => {
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, startedAt, endedAt: performance.now() }),
      )
      response.resume()
    })
    request.on('timeout', () => request.destroy(new Error(`${url} did not answer within ${answerTimeoutMs} ms.`)))
    request.on('error', reject)
  })
}

/** Reads every path once, several at a time. Throws where one is not answered with 200. */
export async function readEach(url: string, paths: readonly string[], headers: Record<string, string>): Promise<Read[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: concurrent })
  const reads: Read[] = []
  let next = 0
  const readOn = async () => {
    for (let path = paths[next++]; path !== undefined; path = paths[next++]) {
      const read = await readOne(url + path, headers, agent)
      if (read.status !== 200) throw new Error(`${path} answered ${read.status}.`)
      reads.push(read)
    }
  }
  try {
    await Promise.all(Array.from({ length: concurrent }, readOn))
  } finally {
    agent.destroy()
  }
  return reads
}
