import { startCluster } from '../lib/cluster.js'
import { type Result, takeTurns } from '../lib/compare.js'
import type { Load } from '../lib/load.js'
import { endedChildrenSeconds, processorSeconds } from '../lib/metrics.js'
import { startNginx } from '../lib/nginx.js'
import type { Scope } from '../lib/scope.js'
import { type InstanceOptions, type Stage, startInstance } from '../lib/stage.js'
import { mean } from '../lib/statistics.js'
import type { Line } from '../lib/table.js'
import { type Row, throughputLine } from './row.js'
import { startTypicalService, subjects, typicalPath } from './typical.js'

const atLeast = 1.7

/** Something that serves, with the processes that do so. */
type Setup = { url: string; instances: number[]; proxies: number[] }

/** Microseconds of processor time that a request takes of each part. */
type Costs = { instances: number; proxies: number; generator: number }

export const scaling: Row = {
  name: 'scaling',
  runs: 'always',
  async measure(scope, stage) {
    const { authorization, databaseUrl, redisUrl } = await startTypicalService(scope, stage, 'scaling')
    const options = { databaseUrl, redisUrl }
    const setups = {
      'one behind nginx': await startBehindNginx(scope, stage, options, 1),
      'two behind nginx': await startBehindNginx(scope, stage, options, 2),
      'one by cluster': await startByCluster(scope, stage, options, 1),
      'two by cluster': await startByCluster(scope, stage, options, 2),
    }
    const requests = { path: typicalPath('{n}'), headers: { authorization }, count: subjects }
    const costs = new Map<string, Costs[]>()
    const contestants = mapValues(setups, (setup, name) => async (seconds: number) => {
      const { load, cost } = await withCosts(setup, () => stage.load.run(setup.url, requests, seconds))
      costs.set(name, [...(costs.get(name) ?? []), cost])
      return load
    })
    const results = await takeTurns(contestants, stage.options, stage.say)
    const line = (what: string, two: Result, one: Result): Line => throughputLine(`${what}, beside one`, two, one, atLeast)
    return {
      lines: [
        line('two instances behind nginx', results['two behind nginx'], results['one behind nginx']),
        line('two instances by node’s cluster', results['two by cluster'], results['one by cluster']),
      ],
      notes: [
        'scaling: the load generator has no core of its own; it, nginx and the instances share all there are.',
        ...Object.keys(setups).map((name) => `scaling: ${name}: ${describeCosts(costs.get(name) ?? [])}.`),
      ],
    }
  },
}

async function startBehindNginx(scope: Scope, stage: Stage, options: InstanceOptions, count: number): Promise<Setup> {
  const instances = []
  for (let index = 0; index < count; index += 1) instances.push(await startInstance(scope, stage, options))
  const proxy = await startNginx(
    scope,
    instances.map(({ url }) => url),
  )
  return { url: proxy.url, instances: instances.map(({ pid }) => pid), proxies: [proxy.pid] }
}

async function startByCluster(scope: Scope, stage: Stage, options: InstanceOptions, count: number): Promise<Setup> {
  const { url, pids } = await startCluster(scope, stage, options, count)
  return { url, instances: pids, proxies: [] }
}

async function withCosts({ instances, proxies }: Setup, work: () => Promise<Load>): Promise<{ load: Load; cost: Costs }> {
  const used = async (pids: readonly number[]) => (await Promise.all(pids.map(processorSeconds))).reduce((a, b) => a + b, 0)
  const all = () => Promise.all([used(instances), used(proxies), endedChildrenSeconds()])
  const before = await all()
  const load = await work()
  const after = await all()
  const [inInstances = 0, inProxies = 0, inGenerator = 0] = after.map(
    (seconds, index) => ((seconds - (before[index] ?? 0)) * 1e6) / load.requests,
  )
  return { load, cost: { instances: inInstances, proxies: inProxies, generator: inGenerator } }
}

/** What a request costs, and how much faster two cores could at most be than one of them filled by one instance. */
function describeCosts(costs: readonly Costs[]): string {
  const of = (part: keyof Costs) => mean(costs.map((cost) => cost[part]))
  const [instances, proxies, generator] = [of('instances'), of('proxies'), of('generator')]
  const ceiling = (2 * instances) / (instances + proxies + generator)
  const parts = `${instances.toFixed(1)} µs in instances, ${proxies.toFixed(1)} in nginx, ${generator.toFixed(1)} in wrk`
  return `processor time a request: ${parts}; on two cores that all share at most ${ceiling.toFixed(2)} × what one instance can on a core`
}

function mapValues<Name extends string, From, To>(record: Record<Name, From>, map: (value: From, name: Name) => To) {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value as From, name as Name)])) as Record<
    Name,
    To
  >
}
