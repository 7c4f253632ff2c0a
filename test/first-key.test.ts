import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pino from 'pino'
import t from 'tap'
import { loadConfig } from '../src/config.js'
import { type Connection, connectPostgres } from '../src/database/connect.js'
import { assembleDeps, type Deps } from '../src/deps.js'
import { type FirstKey, prepareDatabase } from '../src/features/keys/first-key.service.js'
import { makeDirectory, makeMigratedEnvironment, program, run, serve } from './helpers/process.js'
import { createClock, createPostgresDatabase, isPostgres, openDatabase, startService, type Teardown } from './helpers/service.js'

// Starting processes is slow and mostly waiting: these tests run side by side.
t.jobs = 3

const keyPattern = /ps_[0-9A-Za-z]{43}/

/** A process on a terminal of its own: what it shows there, and a key of the keyboard to end it. */
function runOnTerminal(t: Teardown, env: Record<string, string>) {
  const command = [...program, 'serve']
  const child: ChildProcess = spawn('script', ['-qfec', `exec ${command.map((part) => `'${part}'`).join(' ')}`, '/dev/null'], {
    env: { PATH: process.env.PATH ?? '', SHELL: '/bin/sh', PORT: '0', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  let shown = ''
  const exited = new Promise<number | null>((resolve) => child.on('close', resolve))
  const isUp = new Promise<void>((resolve, reject) => {
    child.on('error', (cause) => reject(new Error('This test needs the program "script" of util-linux.', { cause })))
    child.stdout?.on('data', (chunk) => {
      shown += chunk
      if (shown.includes('/prompts -d ')) resolve()
    })
    exited.then((code) => reject(new Error(`exited with ${code}: ${shown}`)))
  })
  const interrupt = async () => {
    child.stdin?.write('\x03')
    return exited
  }
  return { isUp, shown: () => shown, interrupt }
}

/** The files below a directory whose bytes hold a text. */
async function filesHolding(directory: string, text: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const holding = await Promise.all(files.map(async (file) => ((await readFile(file)).includes(text) ? [file] : [])))
  return holding.flat()
}

t.test('on a terminal a first key is shown once, works, and is in no file', { buffered: true }, async (t) => {
  const { directory, env } = await makeMigratedEnvironment(t)
  const terminal = runOnTerminal(t, env)
  await terminal.isUp
  const secrets = terminal.shown().match(new RegExp(keyPattern, 'g')) ?? []
  t.equal(secrets.length, 1, terminal.shown())
  const [secret = ''] = secrets
  const [, url] = /listens on (http:\S+)/.exec(terminal.shown()) ?? []
  t.equal((await fetch(`${url}/keys`, { headers: { authorization: `Bearer ${secret}` } })).status, 200)
  t.equal(await terminal.interrupt(), 0)
  t.equal(terminal.shown().split(secret).length - 1, 1, 'nor is it shown while it is used or when the process ends')
  t.strictSame(await filesHolding(directory, secret), [])
})

t.test(
  'without a terminal it is in one file of its owner, and nowhere in what the process says',
  { buffered: true },
  async (t) => {
    const { directory, env } = await makeMigratedEnvironment(t)
    const started = await serve(t, { ...env, LOG_LEVEL: 'trace' })
    const file = join(directory, 'admin-key')
    t.equal((await stat(file)).mode & 0o777, 0o600)
    const secret = (await readFile(file, 'utf8')).trim()
    t.match(secret, keyPattern)
    for (const headers of [{ authorization: `Bearer ${secret}` }, { 'x-api-key': secret }] as Record<string, string>[]) {
      t.equal((await fetch(`${started.url}/keys`, { headers })).status, 200)
      t.equal((await fetch(`${started.url}/keys?unknown=${secret.slice(0, 10)}`, { headers })).status, 422)
    }
    started.child.kill('SIGTERM')
    t.equal(await started.exited, 0)
    t.match(started.stdout(), file)
    t.notMatch(started.stdout() + started.stderr(), keyPattern)
    t.notOk((started.stdout() + started.stderr()).includes(secret.slice(3)))
    t.strictSame(await filesHolding(directory, secret), [file])
  },
)

// The embedded database needs the directory before the key does.
if (isPostgres) {
  t.test(
    'where a first key cannot be handed over the start fails, says what helps, and leaves none',
    { buffered: true },
    async (t) => {
      const directory = await makeDirectory(t)
      const url = await createPostgresDatabase(t)
      await writeFile(join(directory, 'a-file'), '')
      const refused = run(['serve'], { DATABASE_URL: url, PROMPTSYNC_DATA_DIR: join(directory, 'a-file', 'data') })
      t.equal(await refused.exited, 1)
      t.match(refused.stderr(), /PROMPTSYNC_ADMIN_KEY/)
      t.equal(refused.stderr().trim().split('\n').length, 1, refused.stderr())
      t.notMatch(refused.stdout() + refused.stderr(), keyPattern)
      const { client, close } = await connectPostgres(url)
      t.equal(await client.apiKey.count(), 0)
      await close()
    },
  )
}

/** Dependencies of a start on a database. */
async function depsOf(connection: Connection, env: Record<string, string>, now = () => new Date()): Promise<Deps> {
  const log = pino({ level: 'silent' })
  return assembleDeps({ connection, redis: null, config: loadConfig(env), log, now, elapsed: () => performance.now() })
}

function fileOf(firstKey: FirstKey): string {
  if (firstKey && 'file' in firstKey) return firstKey.file
  throw new Error('The key was not written to a file.')
}

t.test(
  'the file is there before the key counts: a start that fails between leaves a file and no key',
  { buffered: true },
  async (t) => {
    const connection = await openDatabase(t)
    const directory = await makeDirectory(t)
    const deps = await depsOf(connection, { PROMPTSYNC_DATA_DIR: directory })
    const { client } = connection
    await client.$executeRawUnsafe(
      `CREATE FUNCTION refuse_key() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no key today'; END $$`,
    )
    await client.$executeRawUnsafe(
      'CREATE TRIGGER refuse_key BEFORE INSERT ON api_keys FOR EACH ROW EXECUTE FUNCTION refuse_key()',
    )
    await t.rejects(prepareDatabase(deps, { terminal: false }))
    const earlier = await readFile(join(directory, 'admin-key'), 'utf8')
    t.match(earlier, keyPattern)
    t.equal(await client.apiKey.count(), 0)
    t.equal(await client.auditEntry.count(), 0, 'nor has anything else of that start been kept')

    await client.$executeRawUnsafe('DROP TRIGGER refuse_key ON api_keys')
    await chmod(join(directory, 'admin-key'), 0o644)
    const file = fileOf(await prepareDatabase(deps, { terminal: false }))
    t.not(await readFile(file, 'utf8'), earlier, 'the next start writes a key of its own')
    t.equal((await stat(file)).mode & 0o777, 0o600)
    t.strictSame(await readdir(directory), ['admin-key'])
    t.equal(await client.apiKey.count(), 1)
  },
)

t.test('a first key is made where no global admin key is usable, and only there', { buffered: true }, async (t) => {
  const connection = await openDatabase(t)
  const directory = await makeDirectory(t)
  const deps = await depsOf(connection, { PROMPTSYNC_DATA_DIR: join(directory, 'data') })
  await writeFile(join(directory, 'a-file'), '')
  const nowhere = await depsOf(connection, { PROMPTSYNC_DATA_DIR: join(directory, 'a-file', 'data') })
  const { apiKey } = connection.client
  await t.rejects(prepareDatabase(nowhere, { terminal: false }), { message: /PROMPTSYNC_ADMIN_KEY/ })
  t.equal(await apiKey.count(), 0)
  const shown = await prepareDatabase(nowhere, { terminal: true })
  t.match(shown, { secret: keyPattern }, 'a terminal needs no directory')
  t.equal(await prepareDatabase(deps, { terminal: true }), null)
  t.equal(await prepareDatabase(nowhere, { terminal: false }), null)

  const first = await apiKey.findFirstOrThrow()
  const change = (data: object) => apiKey.update({ where: { id: first.id }, data })
  for (const unusable of [{ revokedAt: new Date() }, { expiresAt: new Date(0) }, { scopes: ['prompts:read'] }]) {
    await change({ ...{ revokedAt: null, expiresAt: null, scopes: ['admin'] }, ...unusable })
    const { secret } = (await prepareDatabase(deps, { terminal: true })) as { secret: string }
    t.match(secret, keyPattern, Object.keys(unusable).join())
    await apiKey.deleteMany({ where: { NOT: { id: first.id } } })
  }
})

t.test('the key of the environment follows its variable', { buffered: true }, async (t) => {
  const connection = await openDatabase(t)
  const clock = createClock()
  const [first, second] = ['a'.repeat(32), 'b'.repeat(40)]
  const start = async (key: string) => {
    await prepareDatabase(await depsOf(connection, { PROMPTSYNC_ADMIN_KEY: key }, clock.now), { terminal: true })
    clock.advance(10_000)
  }
  const running = await startService(t, { connection, clock, env: { PROMPTSYNC_ADMIN_KEY: first } })
  const statusOf = async (key: string) => (await running.call('/keys', { key })).status
  const active = () => connection.client.apiKey.count({ where: { origin: 'environment', revokedAt: null } })
  t.strictSame([await statusOf(first), await statusOf(second), await active()], [200, 401, 1])
  const rows = await running.countRows()
  await start(first)
  t.strictSame(await running.countRows(), rows, 'the same value again changes nothing')
  await start(second)
  t.strictSame([await statusOf(first), await statusOf(second), await active()], [401, 200, 1])
  await start(first)
  t.strictSame([await statusOf(first), await statusOf(second), await active()], [200, 401, 1], 'a value may come back')
  await start('')
  t.strictSame(
    [await statusOf(first), await statusOf(second), await active()],
    [401, 401, 0],
    'without the variable there is none',
  )
})

t.test('of instances that start at once on a new database one makes the first key', { buffered: true }, async (t) => {
  const connection = await openDatabase(t)
  const starts = await Promise.all([1, 2, 3].map(() => depsOf(connection, {})))
  const keys = await Promise.all(starts.map((deps) => prepareDatabase(deps, { terminal: true })))
  t.equal(keys.filter((key) => key !== null).length, 1)
  t.equal(await connection.client.apiKey.count(), 1)
  t.equal(await connection.client.project.count(), 1)
})
