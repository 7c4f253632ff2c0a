// Readies the test runner and a migrated database that each test file copies, where that has not been done yet.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { PGlite } from '@electric-sql/pglite'
import pg from 'pg'
import { connectPostgres, embeddedConnection } from '../src/database/connect.ts'
import { migrate } from '../src/database/migrate.ts'
import { memoryTemplateFile, templateDatabase, templateFile } from '../test/helpers/template.ts'

/**
 * tap builds its plugins in once. Its TypeScript plugin cannot work with this compiler; the one that mocks modules, which
 * no test does, would be asked about every import of every test.
 */
const builtPlugins = 'node_modules/@tapjs/test/test-built/dist/esm/index.js'
const leftOut = JSON.parse(readFileSync('package.json', 'utf8')).tap.plugin.map((name) => name.slice(1))
if (!existsSync(builtPlugins) || leftOut.some((name) => readFileSync(builtPlugins, 'utf8').includes(`"${name}"`))) {
  const { status, stderr, stdout } = spawnSync(process.execPath, ['node_modules/tap/dist/esm/run.mjs', 'build'], {
    encoding: 'utf8',
  })
  if (status !== 0) {
    process.stderr.write(`${stdout}${stderr}`)
    process.exit(status ?? 1)
  }
}

/** Each copy of a database in memory is as large as its log and buffers: most of what opening one costs. */
const inMemory = { initDbStartParams: ['--wal-segsize=1'], postgresqlconf: ['shared_buffers = 16MB', 'min_wal_size = 2MB'] }

async function prepareEmbedded(file, options) {
  if (existsSync(file)) return
  const pglite = await PGlite.create(options)
  await migrate(embeddedConnection(pglite))
  // Every test file unpacks the copy: the databases that new ones would be made from are two thirds of it.
  await pglite.exec("UPDATE pg_database SET datistemplate = false WHERE datname IN ('template0', 'template1')")
  for (const name of ['template0', 'template1']) await pglite.exec(`DROP DATABASE ${name}`)
  await pglite.exec('CHECKPOINT')
  const tar = Buffer.from(await (await pglite.dumpDataDir('none')).arrayBuffer())
  mkdirSync('test/.cache', { recursive: true })
  writeFileSync(`${file}.${process.pid}`, tar)
  renameSync(`${file}.${process.pid}`, file)
  await pglite.close()
}

async function preparePostgres(url) {
  const name = await templateDatabase()
  const server = new pg.Client({ connectionString: url })
  await server.connect()
  const { rowCount } = await server.query('SELECT 1 FROM pg_database WHERE datname = $1', [name])
  if (rowCount === 0) {
    await server.query(`CREATE DATABASE ${name}`)
    const target = new URL(url)
    target.pathname = `/${name}`
    const connection = await connectPostgres(target.href)
    await migrate(connection)
    await connection.close()
  }
  await server.end()
}

/** Each state of the sources leaves a program, or a database, of its own. */
const keptMs = 24 * 60 * 60 * 1_000
const cache = 'test/.cache'
for (const name of existsSync(cache) ? readdirSync(cache) : []) {
  if (Date.now() - statSync(`${cache}/${name}`).mtimeMs > keptMs) rmSync(`${cache}/${name}`, { recursive: true, force: true })
}

if (process.env.TEST_DATABASE_URL) await preparePostgres(process.env.TEST_DATABASE_URL)
else {
  await prepareEmbedded(await templateFile(), {})
  await prepareEmbedded(await memoryTemplateFile(), inMemory)
}
