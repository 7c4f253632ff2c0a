import { execFileSync, spawn } from 'node:child_process'
import { chmod, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { bin, openProject, openShell, type Ran, type Shell, serviceEnv } from '../helpers/cli.js'
import { type Service, startService, type Teardown } from '../helpers/service.js'
import { startProxy } from './helpers/proxy.js'

const shared = await startService(t)
const open = (t: Teardown) => openProject(t, shared)

const hello = { 'prompts/hello.md': 'Hello {{ name }}.\n' }
const releases = async (service: Service) => (await service.call('/releases')).body.items

t.test('a push makes one release, moves the alias, and repeating it makes nothing', { buffered: true }, async (t) => {
  const { service, slug, shell } = await open(t)
  await shell.write({ ...hello, 'prompts/support/refund.yaml': 'name: Refunds\ncontent: "Refund {{ amount }}"\n' })
  const first = await shell.promptsync(['push', '--path', './prompts/', '--alias', 'dev', '--message', 'why'])
  t.strictSame(first, {
    code: 0,
    stdout: 'created\thello\tv1\t\ncreated\tsupport/refund\tv1\t\n',
    stderr: 'Release r1: 2 created.\nMoved dev to r1 (revision 1).\nUndo: promptsync alias delete dev\n',
  })
  t.match(await releases(service), [{ ref: 'r1', message: 'why' }])
  const again = await shell.promptsync(['push', '--alias', 'dev'])
  t.strictSame(again, {
    code: 0,
    stdout: '',
    stderr: 'Nothing changed: release r1 holds all of it (2 unchanged).\ndev is at r1 already.\n',
  })
  await shell.write({ 'prompts/hello.md': 'Hi {{ name }}.\n' })
  const moved = await shell.promptsync(['push', '--alias', 'dev', '--version', 'v1.1.0', '--project', slug])
  const undo = `promptsync alias rollback dev --project ${slug}`
  t.match(moved.stderr, `Release v1.1.0: 1 created, 1 unchanged.\nMoved dev from r1 to v1.1.0 (revision 2).\nUndo: ${undo}\n`)
  t.match(await shell.promptsync(undo.split(' ').slice(1)), { code: 0 })
  t.match((await service.call('/aliases/dev')).body, { release: 'r1' })
})

t.test('a dry run stores nothing, and a prune drops what the folder does not hold', { buffered: true }, async (t) => {
  const { service, shell } = await open(t)
  await service.push({ prompts: [{ name: 'old', content: 'O' }], alias: 'dev' })
  await shell.write(hello)
  const before = await service.countRows()
  const dry = await shell.promptsync(['push', '--prune', '--dry-run'])
  t.match(dry, { code: 0, stdout: 'created\thello\t\t\nremoved\told\tv1\t\n', stderr: /Nothing was stored/ })
  t.same(await service.countRows(), before)
  const ran = await shell.promptsync(['push', '--prune', '--json'])
  t.equal(ran.code, 0)
  t.match(JSON.parse(ran.stdout), {
    release: { ref: 'r2' },
    results: [{ name: 'hello' }, { name: 'old', status: 'removed' }],
    alias: null,
  })
  t.equal(ran.stderr, '')
})

t.test('the settings name the folder, the alias and the language of files', { buffered: true }, async (t) => {
  const { service, shell } = await open(t)
  await shell.write({
    'promptsync.config.json': '{"path": "texts", "alias": "dev", "template": "none"}',
    'texts/a.txt': '{{Hostname}}',
    'x/y': '',
  })
  t.match(await shell.promptsync(['push']), { code: 0, stderr: /Moved dev to r1/ })
  t.match((await service.call('/prompts/a/dev')).body, { template: 'none', content: '{{Hostname}}' })
  t.equal((await service.call('/prompts/b')).status, 404, 'rules beside the settings hold')
})

t.test('the state of Git is recorded, without its password, for the folder that is pushed', { buffered: true }, async (t) => {
  const { service, slug, shell } = await open(t)
  await shell.write(hello)
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b.c', ...args], { cwd: shell.directory })
  git('init', '--quiet', '--initial-branch', 'main')
  git('remote', 'add', 'origin', 'https://user:s3cret@git.example.com/acme/app.git')
  git('add', '.')
  git('commit', '--quiet', '--message', 'one')
  const commit = `${git('rev-parse', 'HEAD')}`.trim()
  await shell.write({ 'elsewhere.txt': 'new' })
  t.match(await shell.promptsync(['push', '--project', slug]), { code: 0 })
  const repo = 'https://git.example.com/acme/app.git'
  t.match(await releases(service), [{ git: { repo, commit, branch: 'main', dirty: false } }])
  await shell.write({ 'prompts/hello.md': 'Changed {{ name }}.\n' })
  t.match(await shell.promptsync(['push', '--project', slug]), { code: 0 })
  t.match(await releases(service), [{ git: { commit, dirty: true } }, {}])
  await shell.write({ 'prompts/hello.md': 'Once more.\n' })
  t.match(await shell.promptsync(['push', '--project', slug, '--no-git']), { code: 0 })
  t.match(await releases(service), [{ git: null }, {}, {}])
})

t.test('what is ignored, hidden, linked from outside or a README is left out', { buffered: true }, async (t) => {
  const { service, slug, shell } = await open(t)
  await shell.write({
    ...hello,
    '.promptsyncignore': 'prompts/drafts/\nprompts/known\n',
    'prompts/.promptsyncignore': '*.old.md\n!keep.old.md\n',
    'prompts/drafts/a.md': 'D',
    'prompts/b.old.md': 'B',
    'prompts/keep.old.md': 'K',
    'prompts/README.md': 'R',
    'prompts/.hidden.md': 'H',
    'prompts/node_modules/x/y.md': 'N',
    'prompts/settings.json': '{}',
    'outside/secret.md': 'S',
  })
  await symlink('../outside/secret.md', join(shell.directory, 'prompts', 'linked.md'))
  await symlink('hello.md', join(shell.directory, 'prompts', 'same.md'))
  await symlink('.', join(shell.directory, 'prompts', 'circle'))
  await symlink('..', join(shell.directory, 'prompts', 'known'))
  // The rules of folders above hold within a repository only.
  execFileSync('git', ['init', '--quiet'], { cwd: shell.directory })
  const ran = await shell.promptsync(['push', '--project', slug])
  t.match(ran, { code: 0, stderr: /Left out, as no prompts: .*settings\.json/ })
  t.match(ran.stderr, /linked\.md \(a link that leads out of the folder, or nowhere\)/)
  t.notMatch(ran.stderr, 'known', 'an ignored link is not told of')
  const names = (await service.call('/prompts')).body.items.map(({ name }: { name: string }) => name)
  t.same(names, ['hello', 'keep.old', 'same'])
})

t.test('a single file is called as in its folder', { buffered: true }, async (t) => {
  const { service, shell } = await open(t)
  await shell.write({ ...hello, 'prompts/support/refund.txt': 'R', 'other.txt': 'O' })
  t.match(await shell.promptsync(['push', '--path', 'prompts/support/refund.txt']), { code: 0 })
  t.match(await shell.promptsync(['push', '--path', 'other.txt']), { code: 0 })
  const names = (await service.call('/prompts')).body.items.map(({ name }: { name: string }) => name)
  t.same(names, ['other', 'support/refund'])
  const pruned = await shell.promptsync(['push', '--path', 'other.txt', '--prune'])
  t.match(pruned, { code: 1, stdout: '', stderr: /--prune would drop all prompts but that of the one file\./ })
})

t.test('all that is wrong is told with file, line and column, and nothing is stored', { buffered: true }, async (t) => {
  const { service, shell } = await open(t)
  const before = await service.countRows()
  await shell.write({
    'prompts/a.md': 'Hello {{ name \n',
    'prompts/b.yaml': 'content: |\n  One\n  {% nope %}\n',
    'prompts/c.yaml': 'x: [\n',
  })
  const ran = await shell.promptsync(['push'])
  t.equal(ran.code, 3)
  t.match(ran.stderr, 'prompts/a.md:1:7: error: ')
  t.match(ran.stderr, 'prompts/b.yaml:3:6: error: The tag "nope"')
  t.match(ran.stderr, /prompts\/c\.yaml:\d+:\d+: error: /)
  t.match(ran.stderr, /promptsync: The push was refused, and nothing was stored: 3 errors\.\n/)
  const json = await shell.promptsync(['push', '--json'])
  t.match(json, { code: 3, stdout: /^$/ })
  t.match(JSON.parse(json.stderr), { error: { status: 422 } })
  t.same(await service.countRows(), before)
})

/** Runs it without the power of the superuser to read whatever there is. */
function runHeldBack(shell: Shell, args: string[], env: Record<string, string>): Promise<Ran> {
  const heldBack = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search'] : []
  const [command = '', ...rest] = [...heldBack, process.execPath, bin, ...args]
  const child = spawn(command, rest, { cwd: shell.directory, env: { PATH: process.env.PATH ?? '', ...env } })
  const ran = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (ran.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (ran.stderr += text))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, ...ran }))
  })
}

t.test('a folder without prompts, and files that cannot be read, are told by their names', { buffered: true }, async (t) => {
  const shell = await openShell(t, { PROMPTSYNC_URL: 'http://127.0.0.1:9', PROMPTSYNC_TOKEN: 'ps_x' })
  const run = async (...args: string[]) => {
    const ran = await shell.promptsync(['push', ...args])
    t.match(ran, { code: 1, stdout: /^$/ })
    t.notMatch(ran.stderr, /^\s+at /m, 'no stack')
    return ran.stderr
  }
  t.match(await run(), /There are no prompts in prompts\.\n.*promptsync init/)
  t.match(await run('--path', 'nowhere'), 'There is no nowhere.')
  await shell.write({ 'latin/a.md': Uint8Array.from([0x68, 0xe9, 0x6a]), 'large/b.md': 'x'.repeat(1024 ** 2 + 1) })
  t.match(await run('--path', 'latin'), 'latin/a.md is not UTF-8.')
  t.match(await run('--path', 'large'), 'large/b.md is over 1024 KiB.')
  await shell.write({ 'closed/c.md': 'C' })
  await chmod(join(shell.directory, 'closed', 'c.md'), 0)
  const ran = await runHeldBack(shell, ['push', '--path', 'closed'], { HOME: shell.directory })
  t.match(ran, { code: 1, stderr: /closed\/c\.md cannot be read: you may not read it\./ })
})

t.test('what the server refuses keeps its reason, its remedy and its exit code', { buffered: true }, async (t) => {
  const service = await startService(t, { env: { PROMPTSYNC_BODY_LIMIT: '4kb' } })
  const shell = await openShell(t, serviceEnv(service, service.adminKey))
  await shell.write(hello)
  const { secret } = await service.createKey({ name: 'r', project: 'default', scopes: ['prompts:read'] })
  t.match(await shell.promptsync(['push'], { env: { PROMPTSYNC_TOKEN: secret } }), { code: 4, stderr: /prompts:write/ })
  t.match(await shell.promptsync(['push', '--base', 'nope']), { code: 1, stderr: /nope/ })
  await shell.write({ 'prompts/long.txt': 'x'.repeat(5_000) })
  t.match(await shell.promptsync(['push']), { code: 1, stderr: /PROMPTSYNC_BODY_LIMIT/ })
})

t.test(
  'a server that is busy for a moment is asked again; one that may have stored it is said so of',
  { buffered: true },
  async (t) => {
    const { service, shell } = await open(t)
    await shell.write(hello)
    const problem = (code: string) => ({ status: 503, code, detail: `It is so: ${code}.` })
    const busy = await startProxy(t, service.url, [problem('database.unavailable'), problem('database.unavailable')])
    const ran = await shell.promptsync(['push'], { env: { PROMPTSYNC_URL: busy.url } })
    t.match(ran, { code: 0, stdout: 'created\thello\tv1\t\n', stderr: /Trying again in 0 s \(2 of 4\)\.\nRelease r1/ })
    const never = await startProxy(
      t,
      service.url,
      Array.from({ length: 9 }, () => problem('write.unknown')),
    )
    const unknown = await shell.promptsync(['push'], { env: { PROMPTSYNC_URL: never.url } })
    t.match(unknown, { code: 1, stderr: /Push again: what is stored already makes nothing new\./ })
    t.equal(never.refused(), 5)
  },
)

t.test('on a terminal a push shows how far it is, and tables have headings', { buffered: true }, async (t) => {
  const { shell } = await open(t)
  await shell.write(hello)
  const { code, stdout } = await shell.onTerminal(['push'])
  t.equal(code, 0)
  t.match(stdout, /Sending 1 file \(1 KiB\) to http/)
  t.match(stdout, /STATUS +PROMPT +VERSION/)
})
