import { Agent } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { readOne } from './reader.js'

const intervalMs = 1
const patienceMs = 30_000

/** Asks an address again and again. */
export type Watcher = {
  /**
   * Resolves with when it answered the version for the first time, or said that its answer is not confirmed. Rejects
   * when that takes half a minute.
   */
  sees(version: string): Promise<number>
  close(): void
}

export function createWatcher(url: string, headers: Record<string, string>): Watcher {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  return {
    async sees(version) {
      const deadline = performance.now() + patienceMs
      while (performance.now() < deadline) {
        const read = await readOne(url, headers, agent)
        if (read.status !== 200) throw new Error(`${url} answered ${read.status}.`)
        const isStale = read.headers['x-promptsync-source'] === 'stale'
        if (isStale || read.headers['x-promptsync-version'] === version) return read.endedAt
        await delay(intervalMs)
      }
      throw new Error(`${url} did not answer ${version} within ${patienceMs} ms.`)
    },
    close: () => agent.destroy(),
  }
}
