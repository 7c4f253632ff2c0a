import { execFileSync, spawn } from 'node:child_process'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { load } from 'js-yaml'
import t from 'tap'
import { bin, openShell, type Shell, serviceEnv } from '../helpers/cli.js'
import { startService } from '../helpers/service.js'
import { until } from '../helpers/until.js'

// Starting processes is mostly waiting.
t.jobs = 2

const secret = 'ps_typed_by_hand_and_shown_nowhere'
const answerTimeoutMs = 20_000

function loginFileOf(shell: Shell): string {
  return join(shell.directory, '..', 'config', 'promptsync', 'login.json')
}

function git(shell: Shell, ...args: string[]): void {
  const env = { PATH: process.env.PATH, HOME: shell.directory, GIT_CONFIG_GLOBAL: '/dev/null' }
  const identity = ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.com', '-c', 'init.defaultBranch=trunk']
  execFileSync('git', [...identity, ...args], { cwd: shell.directory, stdio: 'ignore', env })
}

t.test('a key is checked, stored for its server alone and read by nobody else, and forgotten', { buffered: true }, async (t) => {
  const service = await startService(t)
  const reader = await service.createKey({ name: 'reader', scopes: ['prompts:read', 'aliases:write'] })
  const shell = await openShell(t)
  const none = await shell.promptsync(['login', service.url])
  t.match(none, { code: 4, stderr: /No key was given\.\nPass it by stdin/ })
  const bad = await shell.promptsync(['login', service.url], { stdin: secret })
  t.match(bad, { code: 4, stdout: '', stderr: /not known.*\nNothing was stored/ })
  t.notMatch(bad.stderr, secret)
  await t.rejects(stat(loginFileOf(shell)), 'a bad key is not stored')
  const done = await shell.promptsync(['login', `${service.url}/`], { stdin: `${reader.secret}\n` })
  t.match(done, { code: 0, stdout: '', stderr: /the key "reader" with prompts:read, aliases:write.*Undo: promptsync logout\n$/s })
  t.notMatch(done.stderr, reader.secret)
  t.equal((await stat(loginFileOf(shell))).mode & 0o777, 0o600)
  const used = JSON.parse((await shell.promptsync(['status', '--json'])).stdout)
  t.match(used, { server: { url: service.url, from: 'the login' }, key: { name: 'reader', from: 'the login' } })
  const elsewhere = await shell.promptsync(['status', '--json'], { env: { PROMPTSYNC_URL: 'http://127.0.0.1:1' } })
  t.equal(JSON.parse(elsewhere.stdout).key, null, 'the key goes to no other server')
  const again = await shell.promptsync(['login', service.url, '--json'], { stdin: service.adminKey })
  t.match(JSON.parse(again.stdout), { url: service.url, key: { scopes: ['admin'] } })
  t.match(again.stderr, /replaces the one before/)
  const same = await shell.promptsync(['login', service.url], { stdin: service.adminKey })
  t.match(same, { code: 0, stderr: /The key was stored already in/ })
  t.notMatch(same.stderr, /Undo/, 'a logout would forget a key that was there before')
  t.match(await shell.promptsync(['logout']), { code: 0, stderr: new RegExp(`Forgot the key for ${service.url}`) })
  t.match(await shell.promptsync(['logout']), { code: 0, stderr: /Nobody is logged in/ })
  const other = service.url.replace('127.0.0.1', 'localhost')
  await shell.promptsync(['login', other], { stdin: reader.secret })
  const second = await shell.promptsync(['login', service.url], { stdin: reader.secret })
  const back = `promptsync login ${other}`
  t.match(second.stderr, `\nUndo: promptsync logout\nAnd for commands to go to ${other} again: ${back}\n`)
  t.match(
    (await shell.promptsync(['login', other], { stdin: reader.secret })).stderr,
    `\nUndo: promptsync login ${service.url}\n`,
  )
  await shell.promptsync(['logout', service.url])
  await shell.promptsync(['logout', other])
  t.notMatch(await readFile(loginFileOf(shell), 'utf8'), 'ps_')
  await writeFile(loginFileOf(shell), '{"tokens": ps_secret')
  const broken = await shell.promptsync(['status'])
  t.match(broken, { code: 1, stderr: /login\.json cannot be read: it is no JSON\.\n.*log in again/ })
  t.notMatch(broken.stderr, 'ps_secret')
})

/** A login on a terminal: what it shows, and a way to type as soon as something is shown. */
function logInByHand(shell: Shell) {
  const env = { PATH: process.env.PATH ?? '', HOME: shell.directory, TERM: 'xterm', SHELL: '/bin/sh' }
  const child = spawn('script', ['-qefc', `'${process.execPath}' '${bin}' login`, '/dev/null'], { cwd: shell.directory, env })
  let shown = ''
  child.stdout.on('data', (chunk) => (shown += chunk))
  const ended = new Promise((resolve) => child.on('close', resolve))
  const answer = async (question: string, typed: string) => {
    await until(`it asks for the ${question}`, answerTimeoutMs, () => shown.includes(question))
    child.stdin.write(typed)
  }
  return { answer, ended, shown: () => shown, kill: () => child.kill('SIGKILL') }
}

t.test('on a terminal a login asks, and shows nothing of the key that is typed', { buffered: true }, async (t) => {
  const service = await startService(t)
  const shell = await openShell(t)
  const login = logInByHand(shell)
  t.teardown(login.kill)
  await login.answer('Address of the server', `${service.url}\r`)
  await login.answer('Key (it is not shown)', `${service.adminKey}\r`)
  t.equal(await login.ended, 0)
  t.match(login.shown(), /Logged in to .* by an admin key/)
  t.notMatch(login.shown(), service.adminKey)
  const interrupted = logInByHand(shell)
  t.teardown(interrupted.kill)
  await interrupted.answer('Address of the server', '\r')
  await interrupted.answer('Key (it is not shown)', '\u0003')
  t.equal(await interrupted.ended, 130)
  t.match(interrupted.shown(), /interrupted/)
})

t.test('init writes what a first push needs, and overwrites nothing', { buffered: true }, async (t) => {
  const service = await startService(t)
  const shell = await openShell(t, serviceEnv(service, service.adminKey))
  const files = ['promptsync.config.yaml', 'prompts/greeting.yaml', '.github/workflows/prompts.yml']
  const read = () => Promise.all(files.map((file) => readFile(join(shell.directory, file), 'utf8')))
  const first = await shell.promptsync(['init'])
  t.match(first, { code: 0, stdout: '', stderr: new RegExp(`Undo: rm ${files.join(' ')}\n\nNext:\n`) })
  const written = await read()
  t.match(load(written[0] ?? ''), { path: 'prompts', alias: 'dev' })
  const workflow = load(written[2] ?? '') as { jobs: Record<string, { steps: { run?: string }[] }> }
  t.same(Object.keys(workflow.jobs), ['validate', 'push', 'release'])
  t.match(await shell.promptsync(['push']), { code: 0 }, 'what was written can be pushed')
  t.match(await shell.promptsync(['validate', '--strict']), { code: 0 })
  for (const file of files)
    await writeFile(join(shell.directory, file), `${await readFile(join(shell.directory, file), 'utf8')}\n# mine\n`)
  const changed = await read()
  const second = await shell.promptsync(['init', '--json'])
  t.match(JSON.parse(second.stdout), { written: [], kept: files })
  t.match(second.stderr, /Kept promptsync\.config\.yaml as it is: the settings are in promptsync\.config\.yaml\./)
  t.same(await read(), changed)
  t.match(await shell.promptsync(['init', '--force']), { code: 0, stderr: /Overwrote prompts\/greeting\.yaml/ })
  t.same(await read(), written)
  t.match(await shell.promptsync(['init', '--path', '../elsewhere']), { code: 1, stderr: /no folder below this one/ })
})

t.test(
  'init in a package of a repository leads the workflow to it, and keeps the settings there are',
  { buffered: true },
  async (t) => {
    const shell = await openShell(t)
    git(shell, 'init')
    await shell.write({
      'packages/bot/package.json': '{ "name": "bot", "promptsync": { "path": "texts" } }',
      'other/promptsync.config.ts': 'export default {}',
    })
    const cwd = join(shell.directory, 'packages/bot')
    const ran = await shell.promptsync(['init', '--project', 'on', '--json'], { cwd })
    t.match(JSON.parse(ran.stdout), {
      written: ['texts/greeting.yaml', '../../.github/workflows/prompts.yml'],
      kept: ['promptsync.config.yaml'],
    })
    t.match(ran.stderr, /the settings are in package\.json/)
    const workflow = load(await readFile(join(shell.directory, '.github/workflows/prompts.yml'), 'utf8')) as any
    t.match(workflow.defaults, { run: { 'working-directory': 'packages/bot' } })
    t.match(workflow.on.push, { branches: ['trunk'], paths: ['packages/bot/texts/**'] })
    const forced = await shell.promptsync(['init', '--force', '--json'], { cwd: join(shell.directory, 'other') })
    t.match(JSON.parse(forced.stdout), { kept: ['promptsync.config.yaml'] }, 'a second file of settings would be an error')
    await shell.promptsync(['init', '--project', 'on'])
    const settings = await readFile(join(shell.directory, 'promptsync.config.yaml'), 'utf8')
    t.match(load(settings), { project: 'on' }, 'a slug that YAML takes for something else is quoted')
  },
)

t.test(
  'status tells the server, the key, the project, aliases with canaries, and what is not pushed',
  { buffered: true },
  async (t) => {
    const service = await startService(t)
    const shell = await openShell(t, serviceEnv(service, service.adminKey))
    const read = async (...args: string[]) => JSON.parse((await shell.promptsync(['status', '--json', ...args])).stdout)
    t.match(await read(), {
      newest: { release: null },
      aliases: { items: [] },
      local: { count: 0, comparedWith: null },
      git: null,
    })
    await service.push({
      version: 'one',
      alias: 'production',
      prompts: [
        { name: 'a', content: 'A' },
        { name: 'gone', content: 'G' },
      ],
    })
    await service.push({ version: 'two', alias: 'dev', prompts: [{ name: 'b', content: 'B' }] })
    await service.call('/canary', { body: { alias: 'production', version: 'two', percentage: 12.5 } })
    await shell.write({
      'promptsync.config.yaml': 'project: default\nalias: dev\n',
      'prompts/a.md': 'A',
      'prompts/b.md': 'changed',
      'prompts/c.md': 'new',
    })
    git(shell, 'init')
    git(shell, 'add', 'prompts')
    git(shell, 'commit', '-m', 'One')
    const state = await read()
    t.match(state, {
      server: { url: service.url, from: 'PROMPTSYNC_URL', status: 'ok', version: /^\d/ },
      key: { from: 'PROMPTSYNC_TOKEN', scopes: ['admin'] },
      newest: { release: { ref: 'two' } },
      local: { count: 3, comparedWith: { ref: 'dev', release: 'two' }, changed: ['b'], added: ['c'], missing: ['gone'] },
      git: { commit: /^[0-9a-f]{40}$/, branch: 'trunk', dirty: true },
    })
    const shown = await shell.promptsync(['status', '--project', 'default'])
    t.match(shown, { code: 0, stderr: '' })
    for (const line of [
      /^Server {4}http:\S+ \(from PROMPTSYNC_URL\): ok, version \d/m,
      /^Project {3}default \(from --project\)$/m,
      /^ *(Aliases)? +production {2}one, canary two for 12\.5 %$/m,
      /^Local {5}3 prompts in prompts, 2 not as in dev \(two\)\n +changed: b\n +new: c\n +only in dev: gone$/m,
      /^Git {7}trunk at [0-9a-f]{7}, with changes that are not committed$/m,
    ])
      t.match(shown.stdout, line)
    t.match((await shell.onTerminal(['status'])).stdout, '\u001b[1mServer')
  },
)

t.test('status tells what it can where a part is away or refused', { buffered: true }, async (t) => {
  const service = await startService(t)
  const shell = await openShell(t, { PROMPTSYNC_TOKEN: service.adminKey })
  await shell.write({ 'prompts/a.md': 'A' })
  const run = (args: string[], env: Record<string, string>) => shell.promptsync(['status', ...args], { env })
  const away = await run([], { PROMPTSYNC_URL: 'http://127.0.0.1:1' })
  t.match(away, { code: 1, stdout: /cannot be reached.*\nLocal {5}1 prompt in prompts, not compared\n/s })
  const bad = await run([], { PROMPTSYNC_URL: service.url, PROMPTSYNC_TOKEN: 'ps_bad' })
  t.match(bad, { code: 4, stdout: /\nKey {7}The key is not known here/ })
  t.equal(bad.stdout.match(/not known/g)?.length, 1, 'what is wrong is said once')
  const unknown = await run(['--project', 'nope'], { PROMPTSYNC_URL: service.url })
  t.match(unknown, { code: 1, stdout: /No project "nope" is known/ })
  await shell.write({ 'prompts/b.md': new Uint8Array([0xff, 0xfe, 0x41]) })
  const unreadable = await run([], { PROMPTSYNC_URL: service.url })
  t.match(unreadable.stdout, /^Local {5}.*b\.md/m)
  t.not(unreadable.code, 0)
})
