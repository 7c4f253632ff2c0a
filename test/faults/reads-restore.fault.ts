import t from 'tap'
import type { Service } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { migrateDatabase, startInstance } from './helpers/instances.js'
import { startPostgres } from './helpers/postgres-server.js'
import { startRedis } from './helpers/redis-server.js'
import { type Sample, startLoad } from './helpers/steady-load.js'

const maxStalenessMs = 1_000
const patienceMs = 20_000
const maxShown = 5

t.setTimeout(120_000)
const postgres = await startPostgres(t)
const redis = await startRedis(t)

/** What is asked for, with what is true of the backup and of what came after it; null is 404. */
const truths: Record<string, { backup: string | null; later: string | null }> = {
  '/prompts/moved/live': { backup: 'moved before', later: 'moved after' },
  '/prompts/moved/latest': { backup: 'moved before', later: 'moved after' },
  '/prompts/moved/before': { backup: 'moved before', later: 'moved before' },
  '/prompts/moved/after': { backup: null, later: 'moved after' },
  '/prompts/moved/v2': { backup: null, later: 'moved after' },
  '/prompts/added/live': { backup: null, later: 'added' },
  '/prompts/dropped/live': { backup: 'dropped', later: null },
  '/prompts/pinned/live': { backup: 'pinned before', later: 'pinned before' },
  '/prompts/guest/live?project=newcomer': { backup: null, later: 'guest' },
}
const paths = Object.keys(truths)

async function startBoth(t: Parameters<typeof startInstance>[0], name: string): Promise<[Service, Service]> {
  const databaseUrl = await postgres.createDatabase(name)
  await migrateDatabase(databaseUrl)
  const start = () => startInstance(t, { databaseUrl, redisUrls: [redis.url] })
  return [await start(), await start()]
}

async function writeBefore(instance: Service): Promise<void> {
  const prompts = ['moved', 'pinned'].map((name) => ({ name, content: `${name} before` }))
  await instance.push({ version: 'before', alias: 'live', prompts: [...prompts, { name: 'dropped', content: 'dropped' }] })
}

async function writeAfter(instance: Service): Promise<void> {
  const { status } = await instance.call('/aliases/live', { method: 'PUT', body: { version: 'v1', prompt: 'pinned' } })
  if (status !== 201 && status !== 200) throw new Error(`The pin answered ${status}.`)
  const prompts = ['moved', 'pinned'].map((name) => ({ name, content: `${name} after` }))
  await instance.push({
    version: 'after',
    alias: 'live',
    prune: true,
    prompts: [...prompts, { name: 'added', content: 'added' }],
  })
  await instance.call('/projects', { body: { slug: 'newcomer' } })
  await instance.push({ alias: 'live', prompts: [{ name: 'guest', content: 'guest' }] }, { project: 'newcomer' })
}

const readValue = ({ status, content }: Pick<Sample, 'status' | 'content'>) => (status === 404 ? null : content)

/** Resolves when an instance answers every path, unmarked, as is true of a state. */
async function untilServing(instance: Service, state: 'backup' | 'later'): Promise<void> {
  for (const path of paths) {
    await until(`${path} answers as of the ${state}`, patienceMs, async () => {
      const { status, body, headers } = await instance.call(path)
      const content = body.content ?? null
      const isMarked = headers.get('x-promptsync-source') === 'stale'
      return !isMarked && (status === 200 || status === 404) && readValue({ status, content }) === truths[path]?.[state]
    })
  }
}

t.test('a database that is restored from an older backup is believed within the staleness', async (t) => {
  const [writer, other] = await startBoth(t, 'restored')
  await writeBefore(writer)
  const backup = await postgres.backup('restored')
  await writeAfter(writer)
  await Promise.all([untilServing(writer, 'later'), untilServing(other, 'later')])
  const load = startLoad(t, { urls: [writer.url, other.url], paths, key: writer.adminKey })
  await load.until(({ status }) => status === 200, patienceMs)
  await postgres.restore('restored', backup)
  const restoredMs = performance.now()
  await Promise.all([untilServing(writer, 'backup'), untilServing(other, 'backup')])
  const from = load.samples.length
  await until('it was served for a while', patienceMs, () => load.samples.length - from >= 200)
  const samples = await load.stop()

  const isKnown = (path: string) => truths[path]?.backup !== null && truths[path]?.later !== null
  t.strictSame(
    samples
      .filter(({ status, path }) => status !== 200 && (isKnown(path) || ![404, 503].includes(status ?? 0)))
      .slice(0, maxShown),
    [],
    'what both states hold was answered all the time',
  )
  const answered = samples.filter(({ status }) => status === 200 || status === 404)
  t.strictSame(answered.filter((sample) => !isTrue(sample, 'backup') && !isTrue(sample, 'later')).slice(0, maxShown), [])
  const late = answered.filter(({ source, startMs }) => source !== 'stale' && startMs > restoredMs + maxStalenessMs)
  t.strictSame(
    late.filter((sample) => !isTrue(sample, 'backup')).slice(0, maxShown),
    [],
    'after the staleness all is of the backup',
  )
  for (const { url } of [writer, other]) {
    const returned = wentBack(answered.filter((sample) => sample.url === url && !sample.path.includes('newcomer')))
    t.strictSame(returned.slice(0, maxShown), [], 'an instance that knows does not go back in a project')
  }

  // The number of the epoch comes to be what it was before the restore.
  for (const content of ['one', 'two', 'three', 'four']) {
    await writer.push({ alias: 'live', prompts: [{ name: 'moved', content }] })
    t.equal((await writer.call('/prompts/moved/live')).body.content, content)
    const writtenMs = performance.now()
    await until('the other serves it', patienceMs, async () => (await other.call('/prompts/moved/live')).body.content === content)
    const ms = performance.now() - writtenMs
    t.ok(ms < maxStalenessMs, `served by the other after ${ms.toFixed(0)} ms`)
    t.equal((await other.call('/prompts/pinned/live')).body.content, 'pinned before', 'and nothing of what was lost')
  }
})

function isTrue(sample: Sample, state: 'backup' | 'later'): boolean {
  return readValue(sample) === truths[sample.path]?.[state]
}

/** Unmarked answers of the later state that an instance gave to requests sent after it had answered from the backup. */
function wentBack(samples: Sample[]): Sample[] {
  const onlyOf = (state: 'backup' | 'later', not: 'backup' | 'later') =>
    samples.filter((sample) => sample.source !== 'stale' && isTrue(sample, state) && !isTrue(sample, not))
  const knewMs = Math.min(...onlyOf('backup', 'later').map(({ endMs }) => endMs))
  return onlyOf('later', 'backup').filter(({ startMs }) => startMs > knewMs)
}

t.test('an instance whose memory is empty is not misled by what Redis holds of the later state', async (t) => {
  const [writer, other] = await startBoth(t, 'misled')
  await writeBefore(writer)
  const backup = await postgres.backup('misled')
  await writeAfter(writer)
  await untilServing(writer, 'later')
  await postgres.restore('misled', backup)
  await t.resolves(Promise.all([untilServing(other, 'backup'), untilServing(writer, 'backup')]))
})
