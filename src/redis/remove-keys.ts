import { Redis } from 'ioredis'
import type { Client } from './client.js'

const keysAtOnce = 1_000

/**
 * Removes the keys that begin with a prefix from every master, and answers how many there were. Keys that were there from
 * the beginning to the end are gone for certain when it resolves. It goes on for as long as `mayGoOn`, and rejects when
 * that ends first or when a master cannot be reached.
 */
export async function removeKeys(client: Client, prefix: string, mayGoOn: () => boolean): Promise<number> {
  const pattern = `${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`
  const masters = client instanceof Redis ? [client] : await mastersOf(client)
  const removed = await Promise.all(masters.map((master) => removeFrom(master, pattern, mayGoOn)))
  return removed.reduce((sum, count) => sum + count, 0)
}

async function removeFrom(master: Redis, pattern: string, mayGoOn: () => boolean): Promise<number> {
  let removed = 0
  let cursor = '0'
  do {
    if (!mayGoOn()) throw new Error('it took too long')
    const [next, keys] = await master.scanBuffer(cursor, 'MATCH', pattern, 'COUNT', keysAtOnce)
    removed += await unlink(master, keys)
    cursor = next.toString()
  } while (cursor !== '0')
  return removed
}

/** One by one in one message: a Cluster's node refuses a command about keys of several slots. */
async function unlink(master: Redis, keys: Buffer[]): Promise<number> {
  if (keys.length === 0) return 0
  const pipeline = master.pipeline()
  for (const key of keys) pipeline.unlink(key)
  const results = (await pipeline.exec()) ?? []
  const failure = results.find(([error]) => error)?.[0]
  if (failure) throw failure
  return results.reduce((sum, [, count]) => sum + Number(count), 0)
}

/** The client forgets a master that it lost, so the Cluster is asked which there should be. */
async function mastersOf(cluster: Exclude<Client, Redis>): Promise<Redis[]> {
  const ranges = await cluster.cluster('SLOTS')
  const connected = new Map(cluster.nodes('master').map((node) => [`${node.options.host}:${node.options.port}`, node]))
  const names = new Set(ranges.map(([, , master]) => `${master?.[0]}:${master?.[1]}`))
  return [...names].map((name) => {
    const master = connected.get(name)
    if (!master) throw new Error(`${name} is not connected`)
    return master
  })
}
