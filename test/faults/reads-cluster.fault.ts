import t from 'tap'
import { until } from '../helpers/until.js'
import { startRedisCluster } from './helpers/redis-cluster.js'
import { endure, startEndurance } from './helpers/redis-endurance.js'
import { withRedis } from './helpers/redis-server.js'

/** A node that is silent for 2 s is taken for gone; then the others agree on who follows. */
const takeOverMs = 12_000

t.setTimeout(120_000)
const cluster = await startRedisCluster(t)
const { nodes, untilOk } = cluster
const endurance = await startEndurance(t, cluster.urls.slice(0, 3))

const onAll = (work: (node: (typeof nodes)[number]) => Promise<void>) => async () => {
  await Promise.all(nodes.map(work))
}

t.test('while a Cluster is full', (t) =>
  endure(t, endurance, { begin: onAll((node) => node.fill()), end: onAll((node) => node.unfill()) }),
)

t.test('while a Cluster is frozen', (t) =>
  endure(t, endurance, { begin: onAll((node) => node.freeze()), end: () => onAll((node) => node.thaw())().then(untilOk) }),
)

t.test('while a Cluster is killed', (t) =>
  endure(t, endurance, { begin: onAll((node) => node.kill()), end: () => onAll((node) => node.start())().then(untilOk) }),
)

/** A node that is a master now, and a wait for one of its replicas to have taken its place. */
async function findMaster() {
  for (const node of nodes) {
    const [role, , replicas] = await withRedis(node.port, (client) => client.role())
    const ports = role === 'master' ? (replicas as [string, string][]).map(([, port]) => Number(port)) : []
    const isMaster = (port: number) => withRedis(port, async (client) => (await client.role())[0] === 'master')
    const isReplaced = async () => (await Promise.all(ports.map(isMaster))).includes(true)
    if (ports.length > 0) return { node, untilReplaced: () => until('a replica has taken over', takeOverMs, isReplaced) }
  }
  throw new Error('No node is a master with a replica.')
}

t.test('while a master is frozen, and its replica takes over', async (t) => {
  const { node, untilReplaced } = await findMaster()
  await endure(t, endurance, { begin: node.freeze, end: () => untilReplaced().finally(node.thaw).then(untilOk) })
})

t.test('while a master is gone for good, and its replica takes over', async (t) => {
  const { node, untilReplaced } = await findMaster()
  await endure(t, endurance, { begin: node.kill, end: () => untilReplaced().then(untilOk) })
})
