import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { connectPostgres } from '../../src/database/connect.js'
import { refused, shows } from '../helpers/assertions.js'
import {
  createClock,
  createPostgresDatabase,
  isPostgres,
  openDatabase,
  type Service,
  startService,
  type Teardown,
} from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { startHttpPeer } from '../providers/helpers/http-peer.js'

type Run = {
  id: string
  status: string
  trigger: string
  release: string | null
  finishedAt: string | null
  errors: { code: string; message: string }[]
}

const env = { PROMPTSYNC_ALLOWED_HOSTS: '127.0.0.1' }
const waitMs = 10_000

/** A source of one file that can be kept waiting. */
async function startGate(t: Teardown) {
  const peer = await startHttpPeer(t)
  peer.files = { 'a.md': 'A', 'b.md': 'B' }
  let requests = 0
  let open: () => void = () => undefined
  let opened: Promise<void> | null = null
  peer.answer = async ({ url = '' }, response) => {
    const name = url.split('/').at(-1) ?? ''
    if (name === 'a.md') requests += 1
    if (name === 'a.md') await opened
    response.writeHead(200).end(peer.files[name])
  }
  const gate = {
    peer,
    requests: () => requests,
    hold() {
      opened = new Promise((resolve) => {
        open = resolve
      })
      requests = 0
    },
    reached: () => until('the source was asked', waitMs, () => requests > 0),
    release: () => open(),
    put: ({ call }: Pick<Service, 'call'>, settings: object = {}) =>
      call('/sources/team', {
        method: 'PUT',
        body: { provider: 'http', config: { url: `${peer.url}/files/a.md` }, enabled: false, ...settings },
      }),
  }
  t.teardown(() => open())
  return gate
}

const root = await realpath(await mkdtemp(join(tmpdir(), 'promptsync-sync-')))
t.teardown(() => rm(root, { recursive: true, force: true }))
const shared = await startService(t, { env: { ...env, PROMPTSYNC_FILE_ROOTS: root } })
let count = 0

/** An empty project of its own, for a test that one instance is enough for. */
async function makeProject(): Promise<Pick<Service, 'call' | 'deps'> & { project: string }> {
  count += 1
  const project = `sync-${count}`
  await shared.call('/projects', { body: { slug: project } })
  return { project, deps: shared.deps, call: (path, options) => shared.call(path, { project, ...options }) }
}

const sync = ({ call }: Pick<Service, 'call'>, query = '?wait=false') => call(`/sources/team/sync${query}`, { method: 'POST' })
const runsOf = async ({ call }: Pick<Service, 'call'>): Promise<Run[]> => (await call('/sources/team/runs')).body.items
const ended = (service: Pick<Service, 'call'>) =>
  until('no run is open', waitMs, async () => (await runsOf(service)).every(({ finishedAt }) => finishedAt !== null))

/** Two instances on one database: with connections of their own where it is a server. */
async function startTwo(t: Teardown, more: Parameters<typeof startService>[1] = {}) {
  if (!isPostgres) {
    const connection = await openDatabase(t)
    const start = () => startService(t, { ...more, env: { ...env, ...more.env }, connection })
    return [await start(), await start()] as const
  }
  const url = await createPostgresDatabase(t)
  const start = async () => {
    const connection = await connectPostgres(url)
    t.teardown(() => connection.close())
    return startService(t, { ...more, env: { ...env, ...more.env }, connection })
  }
  return [await start(), await start()] as const
}

t.jobs = 3

t.test('settings that change in the midst of a sync let it store nothing, and are synced next', { buffered: true }, async (t) => {
  const service = await makeProject()
  const gate = await startGate(t)
  await gate.put(service)
  gate.hold()
  const { body: begun } = await sync(service)
  await gate.reached()
  await gate.put(service, { config: { url: `${gate.peer.url}/files/b.md` }, enabled: true })
  gate.release()
  await ended(service)
  const [second, first] = await runsOf(service)
  t.match(first, { id: begun.id, status: 'failed', errors: [{ code: 'source.changed', message: /settings of source "team"/ }] })
  t.match(second, { status: 'success', trigger: 'setup', release: 'r1' })
  const { body } = await service.call('/releases/production')
  t.strictSame(
    body.items.map(({ name }: { name: string }) => name),
    ['b'],
  )
})

t.test('a source that is removed in the midst of a sync stores nothing', { buffered: true }, async (t) => {
  const service = await makeProject()
  const gate = await startGate(t)
  await gate.put(service)
  gate.hold()
  const waiting = sync(service, '')
  await gate.reached()
  t.equal((await service.call('/sources/team', { method: 'DELETE' })).status, 200)
  gate.release()
  refused(t, await waiting, 404, 'source.not_found')
  refused(t, await service.call('/releases/r1'), 404, 'release.not_found')
  refused(t, await service.call('/sources/team/runs'), 404, 'source.not_found')
})

t.test(
  'syncs that are asked for while one is under way become one, which is forced if any of them is',
  { buffered: true },
  async (t) => {
    const service = await makeProject()
    const gate = await startGate(t)
    await gate.put(service)
    gate.hold()
    const { body: first, status } = await sync(service)
    t.equal(status, 202)
    await gate.reached()
    shows(t, (await service.call(`/sources/team/runs/${first.id}`)).body, { status: 'running', finishedAt: null })
    const others = await Promise.all(['', '', '&force=true', ''].map((more) => sync(service, `?wait=false${more}`)))
    const ids = [...new Set(others.map(({ body }) => body.id))]
    t.equal(ids.length, 1)
    t.not(ids[0], first.id)
    gate.release()
    await ended(service)
    const runs = await runsOf(service)
    t.strictSame(
      runs.map(({ id, status }) => [id, status]),
      [
        [ids[0], 'success'],
        [first.id, 'success'],
      ],
    )
  },
)

t.test(
  'two instances never sync one source at once; the second does what is asked for meanwhile',
  { buffered: true },
  async (t) => {
    const [one, two] = await startTwo(t)
    const gate = await startGate(t)
    await gate.put(one)
    gate.hold()
    const { body: first } = await sync(one)
    await gate.reached()
    const { body: second } = await sync(two)
    const { body: third } = await sync(two)
    t.equal(third.id, second.id)
    t.equal(gate.requests(), 1, 'the source is asked once')
    t.equal((await two.call(`/sources/team/runs/${second.id}`)).body.status, 'pending')
    gate.release()
    await ended(one)
    const runs = await runsOf(two)
    t.strictSame(
      runs.map(({ id, status }) => [id, status]),
      [
        [second.id, 'unchanged'],
        [first.id, 'success'],
      ],
    )
    t.equal((await one.countRows()).releases, 1)
  },
)

t.test('an instance that closes in the midst of a sync is quick, and the next one does it', { buffered: true }, async (t) => {
  const [one, two] = await startTwo(t)
  const gate = await startGate(t)
  await gate.put(one)
  gate.hold()
  const waiting = sync(one, '')
  await gate.reached()
  const startedAt = performance.now()
  await one.app.close()
  t.ok(performance.now() - startedAt < 5_000)
  const { status, body } = await waiting
  t.equal(status, 202)
  gate.release()
  await until('it is put back', waitMs, async () => (await runsOf(two))[0]?.status === 'pending')
  const again = await sync(two, '')
  shows(t, again.body, { id: body.id, status: 'success', release: 'r1' })
  t.equal((await runsOf(two)).length, 1)
})

t.test('a run whose instance vanished is told as failed, and done again', { buffered: true }, async (t) => {
  const service = await makeProject()
  const gate = await startGate(t)
  await gate.put(service)
  const { id } = await service.deps.db.source.findFirstOrThrow({ where: { project: { slug: service.project } } })
  const vanished = { sourceId: id, trigger: 'schedule', actor: 'sync', requestId: 'x', startedAt: new Date() }
  await service.deps.db.sourceRun.create({ data: { ...vanished, status: 'running' } })
  await service.deps.db.sourceRun.create({ data: { ...vanished, status: 'success', release: 'r1' } })
  t.equal((await sync(service, '')).body.status, 'success')
  await ended(service)
  const [asked, stored, lost] = await runsOf(service)
  shows(t, asked as Run, { trigger: 'request', status: 'success' })
  t.equal(stored?.status, 'success', 'what was stored stays so')
  t.match(lost, { status: 'failed', errors: [{ code: 'internal', message: /ended in the midst/ }] })
})

t.test(
  'a source that fails is tried again ever more seldom, and at its usual pace once it is there',
  { buffered: true },
  async (t) => {
    const service = await makeProject()
    const whole = join(root, 'failing')
    const fill = async () => {
      await mkdir(whole)
      await writeFile(join(whole, 'a.md'), 'A')
    }
    await fill()
    const body = { provider: 'file', config: { directory: whole }, ttlSeconds: 100 }
    await service.call('/sources/team', { method: 'PUT', body })
    await ended(service)
    const waits: number[] = []
    const tryIt = async () => {
      const { finishedAt } = (await sync(service, '')).body
      const { nextCheckAt } = (await service.call('/sources/team')).body
      waits.push(Math.round((Date.parse(nextCheckAt) - Date.parse(finishedAt)) / 1_000))
    }
    await rm(whole, { recursive: true })
    for (let attempt = 0; attempt < 4; attempt += 1) await tryIt()
    await fill()
    await tryIt()
    t.strictSame(waits, [15, 30, 60, 100, 100])
  },
)

t.test('a check that is due is made once, however many instances there are', { buffered: true }, async (t) => {
  const clock = createClock()
  const [one, two] = await startTwo(t, { clock, env: { PROMPTSYNC_SYNC: 'on' } })
  const gate = await startGate(t)
  await gate.put(one, { enabled: true, ttlSeconds: 60 })
  await gate.put(one, { enabled: true, ttlSeconds: 60 })
  await ended(one)
  gate.peer.files = { 'a.md': 'A2' }
  clock.advance(61_000)
  await until('the new text is served', waitMs, async () => (await two.call('/prompts/a/production')).body.content === 'A2')
  await ended(one)
  const runs = await runsOf(two)
  t.strictSame(
    runs.map(({ trigger, status }) => [trigger, status]),
    [
      ['schedule', 'success'],
      ['setup', 'success'],
    ],
  )
})
