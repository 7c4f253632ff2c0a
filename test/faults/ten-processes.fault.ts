import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { readMigrations } from '../../src/database/migrate.js'
import { call } from './helpers/calls.js'
import { startPostgres } from './helpers/postgres-server.js'
import { buildPackage, makeDirectory, servePromptsync } from './helpers/promptsync.js'

const count = 10

t.test('ten processes start at once on an empty database of a hundred connections', async (t) => {
  const server = await startPostgres(t)
  const databaseUrl = await server.createDatabase('ten')
  const root = await buildPackage(t)
  const directory = await makeDirectory(t)
  const beside = await server.connect('ten')
  t.equal((await beside.query('SHOW max_connections')).rows[0].max_connections, '100', 'as the packages set it')

  const startedAt = performance.now()
  const directories = Array.from({ length: count }, (_, index) => join(directory, String(index)))
  const processes = await Promise.all(
    directories.map((dataDirectory) =>
      servePromptsync(t, root, {
        env: { DATABASE_URL: databaseUrl, PROMPTSYNC_DATA_DIR: dataDirectory, PROMPTSYNC_ADMIN_KEY: '' },
      }),
    ),
  )
  const states = await Promise.all(processes.map(async ({ url }) => call(url, '/readyz', 'none')))
  t.comment(`${count} processes ready after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
  t.strictSame(
    states.map(({ status, body }) => ({ status, body })),
    Array.from({ length: count }, () => ({ status: 200, body: { status: 'ok' } })),
    'all are ready',
  )

  const { migrations } = await readMigrations()
  const { rows: applied } = await beside.query(
    'SELECT migration_name AS name, finished_at IS NOT NULL AS finished, rolled_back_at IS NULL AS kept FROM _prisma_migrations ORDER BY 1',
  )
  t.strictSame(
    applied,
    migrations.map(({ name }) => ({ name, finished: true, kept: true })),
    'each migration ran once',
  )
  const { rows: projects } = await beside.query('SELECT slug FROM projects')
  t.strictSame(projects, [{ slug: 'default' }], 'one made the project')
  const { rows: keys } = await beside.query('SELECT name FROM api_keys')
  t.strictSame(keys, [{ name: 'first admin key' }], 'one made the first key')

  const files = directories.map((path) => join(path, 'admin-key')).filter((path) => existsSync(path))
  t.equal(files.length, 1, 'and wrote it down')
  const secret = (await readFile(files[0] ?? '', 'utf8')).trim()
  const answers = await Promise.all(processes.map(({ url }) => call(url, '/keys', secret)))
  t.ok(
    answers.every(({ status }) => status === 200),
    'it is good on all ten',
  )

  const pushes = await Promise.all(
    processes.map(({ url }, index) =>
      call(url, '/prompts', secret, { body: { prompts: [{ name: `p${index}`, content: `${index}` }] } }),
    ),
  )
  t.same(
    pushes.map(({ body }) => body.release?.number).sort((a, b) => a - b),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    'ten pushes at once are ten releases',
  )

  for (const { child } of processes) child.kill('SIGTERM')
  const endings = await Promise.all(processes.map(({ exited }) => exited))
  t.strictSame(
    endings,
    Array.from({ length: count }, () => ({ code: 0, signal: null })),
    'all end with 0 on SIGTERM',
  )
  t.comment(`started, used and ended after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
  t.strictSame(processes.map(({ stderr }) => stderr()).join(''), '', 'none had anything to complain about')
})
