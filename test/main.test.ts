import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { makeDirectory, makeEnvironment, run, serve } from './helpers/process.js'
import { isPostgres } from './helpers/service.js'
import { until } from './helpers/until.js'

// Starting processes is slow and mostly waiting: these tests run side by side.
t.jobs = 3

/** Runs a pasted line in a shell. */
async function paste(line: string, env: Record<string, string> = {}): Promise<string> {
  const child = spawn('sh', ['-c', line], { env: { PATH: process.env.PATH ?? '', ...env }, stdio: ['ignore', 'pipe', 'ignore'] })
  let output = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  await new Promise((resolve) => child.on('close', resolve))
  return output
}

t.test('a first start on nothing', { buffered: true }, async (t) => {
  const { directory, env } = await makeEnvironment(t)

  await t.test('may be preceded by migrate, which brings the database up to date and says what it did', async (t) => {
    const once = run(['migrate'], env)
    t.equal(await once.exited, 0)
    t.match(once.stdout(), isPostgres ? /up to date/ : /Applied 0001_registry/, 'the test server gives migrated databases')
    const twice = run(['migrate'], env)
    t.equal(await twice.exited, 0)
    t.match(twice.stdout(), /up to date/)
  })

  const first = await serve(t, env)
  const secret = (await readFile(join(directory, 'admin-key'), 'utf8')).trim()

  t.test('prints two curl lines that work when pasted', async (t) => {
    const lines = first
      .stdout()
      .split('\n')
      .filter((line) => line.startsWith('  curl '))
    t.equal(lines.length, 2)
    t.equal(JSON.parse(await paste(`${lines[0]} -s`)).source, 'default')
    t.equal(JSON.parse(await paste(`${lines[1]} -s`)).alias.name, 'production')
  })

  if (!isPostgres) {
    t.test('refuses a second process on its directory, naming the first', async (t) => {
      const second = run(['serve'], env)
      t.equal(await second.exited, 1)
      t.match(second.stderr(), new RegExp(`in use by process ${first.child.pid} `))
      t.match(second.stderr(), /PROMPTSYNC_DATA_DIR|DATABASE_URL/)
      t.equal(second.stderr().trim().split('\n').length, 1, 'one clear line')
    })
  }

  t.test('survives kill -9: what was acknowledged is served after the next start, whose lock is taken over', async (t) => {
    first.child.kill('SIGKILL')
    await first.exited
    const second = await serve(t, env)
    const answer = await fetch(`${second.url}/prompts/hello/production`, { headers: { authorization: `Bearer ${secret}` } })
    t.equal(((await answer.json()) as { content: string }).content, 'Hello {{ name }}!')
    t.notMatch(second.stdout(), /admin key/, 'no second key is made')
    second.child.kill('SIGTERM')
    t.equal(await second.exited, 0)
    if (!isPostgres) t.notOk(existsSync(join(directory, 'lock')), 'the lock is gone')
  })
})

t.test('the command line', { buffered: true }, async (t) => {
  const directory = await makeDirectory(t)
  const cases: { args: string[]; env?: Record<string, string>; code: number; says: RegExp }[] = [
    { args: ['--version'], code: 0, says: /^\d+\.\d+\.\d+\n$/ },
    { args: ['sevre'], code: 1, says: /unknown command 'sevre'/ },
    { args: ['admin', 'export'], code: 1, says: /^promptsync: PROMPTSYNC_DATA_DIR \S+ holds no database\./ },
    {
      args: ['migrate'],
      env: { DATABASE_URL: 'postgres://u:secret@127.0.0.1:1/d' },
      code: 1,
      says: /^promptsync: The database of DATABASE_URL does not answer/,
    },
  ]
  await Promise.all(
    cases.map(async ({ args, env, code, says }) => {
      const started = run(args, { PROMPTSYNC_DATA_DIR: directory, ...env })
      t.equal(await started.exited, code, `${args.join(' ')} ${JSON.stringify(env ?? {})}`)
      t.match(started.stdout() + started.stderr(), says)
      t.notMatch(started.stdout() + started.stderr(), /secret/)
    }),
  )
})

t.test(
  'a start waits for a database that does not answer, says so, and ends when it is told to',
  { buffered: true },
  async (t) => {
    const directory = await makeDirectory(t)
    const started = run(['serve'], { PROMPTSYNC_DATA_DIR: directory, DATABASE_URL: 'postgres://u:secret@127.0.0.1:1/d' })
    t.teardown(() => started.child.kill('SIGKILL'))
    await until('it has tried twice', 30_000, () => started.stderr().split('Trying again').length > 2)
    t.match(started.stderr(), /^promptsync: The database of DATABASE_URL does not answer.* Trying again in 0\.5 s\.$/m)
    t.notMatch(started.stdout() + started.stderr(), /secret/)
    started.child.kill('SIGTERM')
    t.not(await started.exited, 0)
  },
)
