import t from 'tap'
import type { Teardown } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { startFaultProxy } from './helpers/fault-proxy.js'
import { migrateDatabase, startInstance } from './helpers/instances.js'
import { startPostgres } from './helpers/postgres-server.js'

const patienceMs = 30_000
/** Each way: with four connections that is 33 reads a second. */
const farMs = 60
const names = Array.from({ length: 120 }, (_, number) => `p${number}`)
const [known = '', ...unknown] = names
/** Reads of a server that went silent are given up on in 2 s, and those that wait for their turn with them. */
const silentMs = 3_500

t.setTimeout(120_000)
const postgres = await startPostgres(t)
const url = await postgres.createDatabase('reads')
await migrateDatabase(url)

/** An instance that has one of many prompts in memory, on a way to its database that can be disturbed. */
async function startFar(t: Teardown) {
  const proxy = await startFaultProxy(t, url)
  const instance = await startInstance(t, { databaseUrl: proxy.url, env: { PROMPTSYNC_MAX_STALENESS: '2s' } })
  await instance.push({ alias: 'production', prompts: names.map((name) => ({ name, content: `text of ${name}` })) })
  const read = (name: string) => instance.call(`/prompts/${name}/production`)
  await until('it is known', patienceMs, async () => (await read(known)).status === 200)
  return { proxy, instance, read, database: instance.deps.database }
}

t.test('more cold reads than connections are no lost database, and in nobody’s way', async (t) => {
  const { proxy, instance, read, database } = await startFar(t)
  await instance.call('/projects', { body: { slug: 'other' } })
  t.equal((await instance.call('/aliases', { project: 'other' })).status, 200, 'another project is known')
  await proxy.set({ latencyMs: farMs })
  const begunMs = performance.now()
  const cold = Promise.all(unknown.map(read))
  let isAnswered = false
  cold.finally(() => {
    isAnswered = true
  })
  const write = instance.call('/prompts', { project: 'other', body: { prompts: [{ name: 'written', content: 'meanwhile' }] } })
  const marked: string[] = []
  await until('all are answered', patienceMs, async () => {
    const { status, headers } = await read(known)
    if (status !== 200 || headers.get('x-promptsync-source') !== 'registry') marked.push(`${status} ${headers.get('age')}`)
    return isAnswered
  })
  const answers = await cold
  const count = (outcome: string) => answers.filter(({ status, body }) => (body.code ?? `${status}`) === outcome).length
  t.comment(`${count('200')} answered and ${count('read.busy')} refused in ${(performance.now() - begunMs).toFixed(0)} ms`)
  t.equal((await write).status, 201, 'a write goes on')
  t.equal(count('200') + count('read.busy'), unknown.length)
  t.ok(count('200') >= unknown.length / 3, 'many have their turn')
  t.strictSame(marked, [], 'what is known is confirmed all the time')
  t.equal(database.losses(), 0)
  await proxy.set('pass')
  for (const name of names) t.equal((await read(name)).body.content, `text of ${name}`)
})

t.test('reads that wait for their turn when the database goes away do not wait any longer', async (t) => {
  const { proxy, read, database } = await startFar(t)
  await proxy.set('black-hole')
  const begunMs = performance.now()
  const answers = await Promise.all(unknown.map(read))
  const ms = performance.now() - begunMs
  t.ok(ms < silentMs, `all were answered after ${ms.toFixed(0)} ms`)
  t.strictSame([...new Set(answers.map(({ status }) => status))], [503])
  t.ok(database.isAway())
  await proxy.set('pass')
  await until('it is back', patienceMs, async () => (await read(names.at(-1) ?? '')).status === 200)
})
