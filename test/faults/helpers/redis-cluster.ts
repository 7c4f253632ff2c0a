import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Redis } from 'ioredis'
import type { Teardown } from '../../helpers/service.js'
import { until } from '../../helpers/until.js'
import { type RedisServer, startRedis, withRedis } from './redis-server.js'

/** Three masters with a third of the slots each, and a replica for every one. */
export type RedisCluster = {
  urls: string[]
  /** The masters first, then their replicas in the same order. */
  nodes: RedisServer[]
  /** Kills the node that was this master (0 to 2) at the start, and answers it. `untilOk` tells when its replica has taken over. */
  stopMaster(index: number): Promise<RedisServer>
  /** Resolves when every node that runs agrees that nodes that run serve all slots. */
  untilOk(): Promise<void>
}

const masterCount = 3
const nodeCount = 6
const slotCount = 16_384
const agreeTimeoutMs = 12_000
/** After this long without an answer a node is taken for gone. With much less a busy machine looks like a broken one. */
const nodeTimeoutMs = 2_000

/** Ports that are all free at one time; asked for one by one, the same could be answered twice. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  const closed = servers.map((server) => once(server, 'close'))
  for (const server of servers) server.close()
  await Promise.all(closed)
  return ports
}

export async function startRedisCluster(t: Teardown): Promise<RedisCluster> {
  const ports = await freePorts(2 * nodeCount)
  // By default the port on which nodes talk to each other lies 10,000 above the first, which may be past the last of all.
  const busPorts = ports.slice(nodeCount)
  const nodes = await Promise.all(
    busPorts.map((busPort, index) =>
      startRedis(t, {
        port: ports[index],
        settings: { 'cluster-enabled': 'yes', 'cluster-port': String(busPort), 'cluster-node-timeout': String(nodeTimeoutMs) },
      }),
    ),
  )
  const untilOk = () => untilServed(nodes)
  await introduce(nodes, busPorts)
  await followMasters(nodes)
  await untilOk()
  return {
    urls: nodes.map(({ url }) => url),
    nodes,
    async stopMaster(index) {
      const node = nodes[index]
      if (!node || index >= masterCount) throw new Error(`There is no master ${index}.`)
      await node.kill()
      return node
    },
    untilOk,
  }
}

/** Gives the slots to the masters, and makes the first node meet all others, from which they learn of each other. */
async function introduce(nodes: RedisServer[], busPorts: number[]): Promise<void> {
  await Promise.all(
    nodes.map(({ port }, index) =>
      withRedis(port, async (client) => {
        // Masters that begin with equal epochs would first have to settle which of them is newer.
        await client.call('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1))
        if (index >= masterCount) return
        const [first, next] = [index, index + 1].map((part) => Math.floor((part * slotCount) / masterCount))
        await client.call('CLUSTER', 'ADDSLOTSRANGE', String(first), String((next ?? 0) - 1))
      }),
    ),
  )
  await withRedis(nodes[0]?.port ?? 0, async (client) => {
    for (const [index, { port }] of nodes.entries()) {
      if (index > 0) await client.call('CLUSTER', 'MEET', '127.0.0.1', String(port), String(busPorts[index]))
    }
  })
}

async function followMasters(nodes: RedisServer[]): Promise<void> {
  await Promise.all(
    nodes.slice(masterCount).map(({ port }, index) =>
      withRedis(port, async (client) => {
        const masterPort = nodes[index]?.port
        const master = async () => (await readView(client)).find((node) => node.port === masterPort && node.isSettled)
        await until('a replica knows its master', agreeTimeoutMs, async () => (await master()) !== undefined)
        await client.call('CLUSTER', 'REPLICATE', (await master())?.id ?? '')
        await until('a replica has the keys of its master', agreeTimeoutMs, async () =>
          (await client.info('replication')).includes('master_link_status:up'),
        )
      }),
    ),
  )
}

type NodeView = { id: string; port: number; isMaster: boolean; isSettled: boolean; slots: number }

/** What one node believes of all. */
async function readView(client: Redis): Promise<NodeView[]> {
  const lines = String(await client.call('CLUSTER', 'NODES'))
    .trim()
    .split('\n')
  return lines.map((line) => {
    const [id = '', address = '', flags = '', , , , , , ...ranges] = line.split(' ')
    const names = flags.split(',')
    return {
      id,
      port: Number(/:(\d+)/.exec(address)?.[1]),
      isMaster: names.includes('master'),
      isSettled: !names.some((name) => ['fail', 'fail?', 'handshake', 'noaddr'].includes(name)),
      slots: ranges.map(slotsOf).reduce((sum, count) => sum + count, 0),
    }
  })
}

/** `5` is one slot, `0-4` are five; a slot that is being moved stands in brackets and is counted where it is. */
function slotsOf(range: string): number {
  const [, first, last] = /^(\d+)(?:-(\d+))?$/.exec(range) ?? []
  return first === undefined ? 0 : Number(last ?? first) - Number(first) + 1
}

async function untilServed(nodes: RedisServer[]): Promise<void> {
  await until('the cluster serves all slots', agreeTimeoutMs, async () => {
    const running = nodes.filter((node) => node.isRunning())
    const ports = running.map(({ port }) => port)
    const agreed = await Promise.all(running.map(({ port }) => withRedis(port, (client) => seesAllServed(client, ports))))
    return agreed.every(Boolean)
  })
}

/** Whether this node is ready, and masters among these ports hold all slots. A node counts as good until it was long silent. */
async function seesAllServed(client: Redis, ports: number[]): Promise<boolean> {
  if (!String(await client.call('CLUSTER', 'INFO')).includes('cluster_state:ok')) return false
  const serving = (await readView(client)).filter((node) => node.isMaster && node.isSettled && ports.includes(node.port))
  return serving.reduce((sum, node) => sum + node.slots, 0) === slotCount
}
