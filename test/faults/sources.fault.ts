import { join } from 'node:path'
import type pg from 'pg'
import t from 'tap'
import { connectPostgres } from '../../src/database/connect.js'
import { migrate } from '../../src/database/migrate.js'
import { type Service, startService } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { startHttpPeer } from '../providers/helpers/http-peer.js'
import { call, countRows } from './helpers/calls.js'
import { type Cut, startCuttingProxy } from './helpers/cutting-proxy.js'
import { startPostgres } from './helpers/postgres-server.js'
import { adminKey, buildPackage, makeDirectory, servePromptsync } from './helpers/promptsync.js'

const server = await startPostgres(t)
const peer = await startHttpPeer(t)
const root = await buildPackage(t)
const waitMs = 30_000

let requests = 0
let open: () => void = () => undefined
let opened: Promise<void> | null = null
peer.answer = async ({ url = '' }, response) => {
  requests += 1
  await opened
  const content = url === '/manifest.json' ? manifest() : peer.files[url.replace('/files/', '')]
  response.writeHead(200).end(content)
}

function manifest(): string {
  return JSON.stringify({ files: Object.keys(peer.files).map((path) => ({ path, url: `files/${path}` })) })
}

/** From now on the source does not answer, until it is let go on. */
function holdSource(): { asked(): Promise<void>; letGo(): void } {
  requests = 0
  opened = new Promise((resolve) => {
    open = resolve
  })
  return { asked: () => until('the source is asked', waitMs, () => requests > 0), letGo: () => open() }
}

const settings = { provider: 'http', config: { manifest: `${peer.url}/manifest.json` } }
const filesOf = (round: string) =>
  Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`p${index}.md`, `${round} ${index}`]))

/** What there is of releases, apart from what was only asked for. */
async function stored(beside: pg.Client): Promise<{ aliases: unknown; releases?: number }> {
  const { source_runs: _, sources: __, ...rows } = await countRows(beside)
  const { rows: aliases } = await beside.query('SELECT revision, release_id FROM aliases')
  return { ...rows, aliases }
}

const contentsOf = async (beside: pg.Client) => {
  const { rows } = await beside.query<{ content: string }>(`
    SELECT DISTINCT ON (e.prompt_id) v.content FROM release_entries e JOIN versions v ON v.id = e.version_id
    WHERE e.release_id = ANY((SELECT r.lineage FROM releases r JOIN aliases a ON a.release_id = r.id WHERE a.name = 'production')::bigint[])
    ORDER BY e.prompt_id, e.release_id DESC`)
  return rows.map(({ content }) => content).sort()
}

/** Holds a row as another writer does, until it is given back. */
async function holdRow(database: string, sql: string): Promise<{ waitedFor(): Promise<void>; release(): Promise<void> }> {
  const session = await server.connect(database)
  await session.query('BEGIN')
  await session.query(`${sql} FOR NO KEY UPDATE`)
  const { rows } = await session.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  const waiters = await server.connect(database)
  return {
    waitedFor: () =>
      until('somebody waits for the row', waitMs, async () => {
        const found = await waiters.query('SELECT 1 FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))', [rows[0]?.pid])
        return (found.rowCount ?? 0) > 0
      }),
    release: async () => {
      await session.end()
      await waiters.end()
    },
  }
}

/** How processes on a database of their own are started. */
async function makeStart(t: Parameters<typeof makeDirectory>[0], database: string) {
  const databaseUrl = await server.createDatabase(database)
  const directory = await makeDirectory(t)
  const env = { DATABASE_URL: databaseUrl, PROMPTSYNC_DATA_DIR: join(directory, 'data'), PROMPTSYNC_ALLOWED_HOSTS: '127.0.0.1' }
  return () => servePromptsync(t, root, { env })
}

t.test('a process that is killed in the midst of a sync leaves nothing half-done, and the next one finishes it', async (t) => {
  const start = await makeStart(t, 'killed')
  let running = await start()
  const beside = await server.connect('killed')
  const synced = (round: string) =>
    until(
      `${round} is served`,
      waitMs,
      async () => JSON.stringify(await contentsOf(beside)) === JSON.stringify(Object.values(peer.files).sort()),
    )
  const noneOpen = () =>
    until(
      'no run is open',
      waitMs,
      async () => (await beside.query('SELECT 1 FROM source_runs WHERE finished_at IS NULL')).rowCount === 0,
    )

  peer.files = filesOf('first')
  t.equal((await call(running.url, '/sources/team', adminKey, { method: 'PUT', body: settings })).status, 201)
  await synced('first')
  await noneOpen()

  const moments = {
    'while the source is read': async () => {
      const held = holdSource()
      return { reached: held.asked, end: async () => held.letGo() }
    },
    'before anything is written': async () => {
      const row = await holdRow('killed', `SELECT 1 FROM projects WHERE slug = 'default'`)
      return { reached: row.waitedFor, end: row.release }
    },
    'when all but the alias is written': async () => {
      const row = await holdRow('killed', `SELECT 1 FROM aliases WHERE name = 'production'`)
      return { reached: row.waitedFor, end: row.release }
    },
    'when all but the run is written': async () => {
      const row = await holdRow('killed', `SELECT 1 FROM sources WHERE name = 'team'`)
      return { reached: row.waitedFor, end: row.release }
    },
  }
  for (const [moment, disturb] of Object.entries(moments)) {
    const before = await stored(beside)
    const contents = await contentsOf(beside)
    peer.files = filesOf(moment)
    const disturbance = await disturb()
    await call(running.url, '/sources/team/sync?wait=false', adminKey, { method: 'POST' })
    await disturbance.reached()
    running.child.kill('SIGKILL')
    await running.exited
    await disturbance.end()
    t.strictSame(await stored(beside), before, `killed ${moment}: nothing was stored`)
    t.strictSame(await contentsOf(beside), contents)
    running = await start()
    await synced(moment)
    await noneOpen()
    const { rows } = await beside.query('SELECT status FROM source_runs ORDER BY id DESC LIMIT 2')
    t.strictSame(rows, [{ status: 'success' }, { status: 'failed' }], 'the run that was lost is told so, and done again')
    t.equal((await call(running.url, '/prompts/p7/production', adminKey)).body.content, `${moment} 7`)
  }
})

t.test(
  'a process that is told to end in the midst of a sync ends soon and in peace, and the next one does that sync',
  async (t) => {
    const start = await makeStart(t, 'ended')
    const running = await start()
    const beside = await server.connect('ended')
    peer.files = filesOf('first')
    await call(running.url, '/sources/team', adminKey, { method: 'PUT', body: { ...settings, enabled: false } })
    const held = holdSource()
    const waiting = call(running.url, '/sources/team/sync', adminKey, { method: 'POST' })
    await held.asked()
    const startedAt = performance.now()
    running.child.kill('SIGTERM')
    t.strictSame(await running.exited, { code: 0, signal: null })
    t.ok(performance.now() - startedAt < 8_000)
    t.equal((await waiting).status, 202)
    t.strictSame((await waiting).body.errors, [])
    t.equal(running.stderr(), '', 'it has nothing to complain about')
    held.letGo()
    await start()
    await until('the first is served', waitMs, async () => (await contentsOf(beside)).includes('first 7'))
  },
)

/** An instance in this process, whose connections can be cut. */
async function startCuttable(t: Parameters<typeof startService>[0], database: string, env: Record<string, string> = {}) {
  const proxy = await startCuttingProxy(t, await server.createDatabase(database))
  const connection = await connectPostgres(proxy.url)
  t.teardown(() => connection.close())
  await migrate(connection)
  const service = await startService(t, { connection, env: { PROMPTSYNC_ALLOWED_HOSTS: '127.0.0.1', ...env } })
  peer.files = filesOf('first')
  await service.call('/sources/team', { method: 'PUT', body: { ...settings, enabled: false } })
  await sync(service)
  return { service, proxy, beside: await server.connect(database) }
}

const sync = async ({ call }: Service) => (await call('/sources/team/sync', { method: 'POST' })).body

t.test('a connection lost in the midst of a sync stores nothing, and the next sync makes one release', async (t) => {
  const { service, proxy, beside } = await startCuttable(t, 'cut')
  const before = await stored(beside)
  peer.files = filesOf('second')
  for (const text of ['INSERT INTO versions', 'COMMIT']) {
    const cut: Cut = { when: 'sent', text }
    const wasCut = proxy.cutOnce(cut)
    const run = await sync(service)
    await wasCut
    t.equal(run.status, 'failed', `cut before ${text} arrives`)
    t.strictSame(await stored(beside), before)
  }
  t.equal((await sync(service)).status, 'success')
  t.equal((await stored(beside)).releases, (before.releases ?? 0) + 1)
})

t.test('a sync whose commit counts, and whose answer was lost, is told as a success', async (t) => {
  const { service, proxy, beside } = await startCuttable(t, 'unanswered')
  peer.files = filesOf('second')
  const wasCut = proxy.cutOnce({ when: 'answered', text: 'COMMIT' })
  const run = await sync(service)
  await wasCut
  t.match(run, { status: 'success', errors: [] })
  const { body } = await service.call('/sources/team')
  t.match(body, { status: 'success', release: 'r2' })
  const after = await stored(beside)
  t.equal((await sync(service)).status, 'unchanged')
  t.strictSame(await stored(beside), after)
})

t.test('a database that goes away in the midst of a sync gets it once it is back, without a restart', async (t) => {
  const { service } = await startCuttable(t, 'away', { PROMPTSYNC_SYNC: 'on' })
  peer.files = filesOf('second')
  const held = holdSource()
  await service.call('/sources/team/sync?wait=false', { method: 'POST' })
  await held.asked()
  await server.stop('immediate')
  held.letGo()
  await server.start()
  const again = await server.connect('away')
  await until('the second is served', waitMs, async () => (await contentsOf(again)).includes('second 7'))
  await until(
    'the run has ended',
    waitMs,
    async () => (await again.query('SELECT 1 FROM source_runs WHERE finished_at IS NULL')).rowCount === 0,
  )
  const { rows } = await again.query('SELECT count(*)::int AS count FROM releases')
  t.equal(rows[0].count, 2)
})
