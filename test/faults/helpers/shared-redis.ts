import { Cluster, type Redis } from 'ioredis'
import type { Teardown } from '../../helpers/service.js'
import { type RedisCluster, startRedisCluster } from './redis-cluster.js'
import { type RedisServer, startRedis, withRedis } from './redis-server.js'

/** What instances share: one server, or six nodes of a Cluster. What holds on one is to hold on the other. */
export type SharedRedis = {
  kind: RedisKind
  /** As instances are told of it. */
  urls: string[]
  nodes: RedisServer[]
  /** Null for one server. */
  cluster: RedisCluster | null
  /** For one key at a time, wherever it lies. */
  client: Redis | Cluster
  keys(pattern: string): Promise<string[]>
  /** Removes all keys. */
  empty(): Promise<void>
  /** Does the same to every node that has keys of its own. */
  onMasters<T>(work: (node: Redis) => Promise<T>): Promise<T[]>
}

export type RedisKind = 'single' | 'cluster'

const startedKinds: Record<RedisKind, (t: Teardown) => Promise<SharedRedis>> = {
  async single(t) {
    const server = await startRedis(t)
    const client = server.client()
    return { kind: 'single', urls: [server.url], nodes: [server], cluster: null, client, ...onAll([server]) }
  },
  async cluster(t) {
    const cluster = await startRedisCluster(t)
    const { urls, nodes } = cluster
    const client = new Cluster(urls, { redisOptions: { commandTimeout: 5_000, maxRetriesPerRequest: 1 } })
    // Nodes are taken away on purpose; a command that fails for it rejects all the same.
    client.on('error', () => undefined)
    t.teardown(() => client.disconnect())
    return { kind: 'cluster', urls: urls.slice(0, 3), nodes, cluster, client, ...onAll(nodes) }
  },
}

export const redisKinds = Object.keys(startedKinds) as RedisKind[]

export function startSharedRedis(t: Teardown, kind: RedisKind): Promise<SharedRedis> {
  return startedKinds[kind](t)
}

function onAll(nodes: RedisServer[]): Pick<SharedRedis, 'keys' | 'empty' | 'onMasters'> {
  const onMasters: SharedRedis['onMasters'] = async (work) => {
    const running = nodes.filter((node) => node.isRunning())
    const answers = await Promise.all(
      running.map(({ port }) => withRedis(port, async (node) => ((await node.role())[0] === 'master' ? [await work(node)] : []))),
    )
    return answers.flat()
  }
  return {
    onMasters,
    keys: async (pattern) => (await onMasters((node) => node.keys(pattern))).flat(),
    async empty() {
      await onMasters((node) => node.flushall())
    },
  }
}
