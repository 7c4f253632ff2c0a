import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import t from 'tap'
import { bin, openShell, serviceEnv } from '../helpers/cli.js'
import { startService, type Teardown } from '../helpers/service.js'
import { startGitHub } from '../providers/helpers/github-server.js'

t.jobs = 2

async function openRegistry(t: Teardown, env: Record<string, string> = {}) {
  const service = await startService(t, { env })
  const variables = serviceEnv(service, service.adminKey)
  const shell = await openShell(t, variables)
  const source = async (name: string) => (await service.call(`/sources/${name}`)).body
  /** Runs the command that a line of `Undo:` names, as somebody would who pastes it into a shell. */
  const paste = async (stderr: string, more: Record<string, string> = {}) => {
    const [, line = ''] = /^Undo: (.*)$/m.exec(stderr) ?? []
    const script = `promptsync() { '${process.execPath}' '${bin}' "$@"; }\n${line}`
    const { stdout, stderr: said } = await promisify(execFile)('sh', ['-c', script], {
      ...{ cwd: shell.directory, env: { PATH: process.env.PATH, HOME: shell.directory, ...variables, ...more } },
    })
    return stdout + said
  }
  return { service, shell, source, paste, run: shell.promptsync }
}

t.test('a source is tried, added, synced, looked at and removed, and each step can be undone', { buffered: true }, async (t) => {
  const { service, shell, source, paste, run } = await openRegistry(t)
  await shell.write({ 'greeting.md': "Greet {{ name }}, it's late.", 'notes.txt': 'Take notes.' })
  const settings = [
    '--provider',
    'inline',
    '--file',
    'greeting.md',
    '--file',
    './notes.txt',
    '--prefix',
    'in',
    '--interval',
    '1h',
  ]

  const tried = await run(['source', 'test', 'desk', ...settings])
  t.match(tried, {
    code: 0,
    stdout: 'in/greeting\tcreated\nin/notes\tcreated\n',
    stderr: /2 created.*\nNothing was changed\.\n$/,
  })
  t.equal((await service.call('/sources/desk')).status, 404)

  const added = await run(['source', 'add', 'desk', ...settings])
  t.match(added, {
    code: 0,
    stdout: '',
    stderr: /^Made the source "desk" \(inline\)\. It is looked at every 3600 s\.\nUndo: promptsync source remove desk\n/,
  })
  t.match(await source('desk'), { prefix: 'in', ttlSeconds: 3_600, config: { files: { 'notes.txt': 'Take notes.' } } })
  t.match(await run(['source', 'add', 'desk', ...settings]), {
    code: 1,
    stderr: /There is a source "desk" already.*\n.*--replace/,
  })
  t.match((await run(['source', 'add', 'desk', ...settings, '--replace'])).stderr, 'is so already. Nothing changed.')

  const changed = await run(['source', 'add', 'desk', ...settings, '--replace', '--interval', '10m'])
  t.match(changed.stderr, /^Changed the source "desk"/)
  await paste(changed.stderr)
  t.equal((await source('desk')).ttlSeconds, 3_600)

  const synced = await run(['source', 'sync', 'desk', '--force'])
  t.match(synced, { code: 0, stdout: '', stderr: /"desk" as release r1/ })
  t.match(JSON.parse((await run(['source', 'sync', 'desk', '--json'])).stdout), { source: 'desk', status: 'unchanged' })
  t.match((await run(['source', 'list'])).stdout, /^desk\tsuccess\t2\tr1\t\S+\tinline\n$/)
  t.strictSame(JSON.parse((await run(['source', 'show', 'desk', '--json'])).stdout), await source('desk'))
  t.match((await shell.onTerminal(['source', 'show', 'desk'])).stdout, /ttlSeconds +3600/)

  t.match(await run(['source', 'remove', 'desk']), { code: 1, stderr: /Add --yes/ })
  const removed = await run(['source', 'remove', 'desk', '--yes'])
  t.match(removed.stderr, /^Removed the source "desk" \(inline\)\. Its prompts stay\.\nUndo: printf %s /)
  t.equal((await service.call('/prompts/in%2Fnotes/production')).status, 200)
  await paste(removed.stderr)
  const test = await run(['source', 'test', 'desk', '--json'])
  t.match(JSON.parse(test.stdout), { ok: true, counts: { files: 2 } })
  t.match(JSON.parse((await run(['source', 'add', 'desk', '--replace', ...settings, '--json'])).stdout), {
    name: 'desk',
    prefix: 'in',
  })
  t.match(await source('desk'), { config: { files: { 'greeting.md': "Greet {{ name }}, it's late." } }, ttlSeconds: 3_600 })
})

t.test(
  'a sync says what it moved, and how to move it back; one that fails ends with 1 and names the file',
  { buffered: true },
  async (t) => {
    const { service, shell, run } = await openRegistry(t)
    const put = (files: object, alias = 'live') =>
      service.call('/sources/desk', { method: 'PUT', body: { provider: 'inline', config: { files }, alias } })
    await service.push({ alias: 'live', prompts: [{ name: 'a', content: '1' }] })
    // The first sync is that of the source itself: it is over when another one has been waited for.
    await put({ 'a.md': 'The same' })
    await run(['source', 'sync', 'desk'])
    await service.call('/aliases/live/rollback', { method: 'POST', body: {} })
    const { stderr } = await run(['source', 'sync', 'desk', '--force'])
    t.match(
      stderr,
      /^Synced "desk" as release (r\d+): 0 created, 1 unchanged, 0 removed, out of 1 files\.\n(Warning: .*\n)?Moved live from r1 to \1\.\nUndo: promptsync alias rollback live\n$/,
    )

    await put({ 'a.md': 'Fine', 'b.md': 'Not {{ fine' })
    const failed = await run(['source', 'sync', 'desk'])
    t.match(failed, { code: 1, stdout: '', stderr: /^promptsync: The sync of "desk" failed, and nothing moved\.\nb\.md:1: / })
    t.match(await run(['source', 'test', 'desk']), {
      code: 1,
      stdout: '',
      stderr: /^promptsync: "desk" cannot be synced:\nb\.md:1: /,
    })
    t.match(await run(['source', 'show', 'desk']), { code: 0, stdout: /^status\tfailed$/m, stderr: /^b\.md:1: / })
    t.match(await run(['source', 'sync', 'desk', '--no-wait']), {
      code: 0,
      stderr: /How it is: promptsync source show desk|failed/,
    })

    const { secret } = await service.createKey({ name: 'reader', project: 'default', scopes: ['prompts:read'] })
    t.match(await run(['source', 'list'], { env: { PROMPTSYNC_TOKEN: secret } }), {
      code: 4,
      stdout: '',
      stderr: /sources:write/,
    })
    t.match(await run(['source', 'sync', 'dest']), { code: 1, stderr: /Did you mean "desk"\?/ })
    t.match(JSON.parse((await run(['source', 'sync', 'desk', '--json'])).stdout), {
      status: 'failed',
      errors: [{ path: 'b.md' }],
    })
    t.match(await shell.onTerminal(['source', 'remove', 'desk'], { stdin: 'n\n' }), { code: 1, stdout: /Nothing was changed/ })
  },
)

t.test(
  'a secret comes from a variable or from stdin, is shown by nothing, and is asked for again by an undo',
  { buffered: true },
  async (t) => {
    const github = await startGitHub(t)
    github.settings.token = 'github_pat_example'
    github.create('acme/prompts').commit({ 'a.md': 'A.' })
    const env = { PROMPTSYNC_ENCRYPTION_KEYS: randomBytes(32).toString('base64'), PROMPTSYNC_ALLOWED_HOSTS: '127.0.0.1' }
    const { source, shell, paste, run } = await openRegistry(t, env)
    await shell.write({
      'settings.json': JSON.stringify({ config: { baseUrl: github.baseUrl } }),
      'broken.json': '{ "token": "hush',
    })
    const settings = ['--config', 'settings.json', '--provider', 'github', '--url', 'https://github.com/acme/prompts']
    const secret = { env: { TOKEN: 'github_pat_example' } }

    const added = await run(['source', 'add', 'team', ...settings, '--secret-env', 'TOKEN', '--curl'], secret)
    t.match(added, { code: 0, stderr: /^Made the source "team" \(github: acme\/prompts\)/m })
    t.match(await source('team'), { config: { repo: 'acme/prompts', token: 'set' } })

    const changed = await run(['source', 'add', 'team', ...settings, '--secret-stdin', '--replace', '--branch', 'main'], {
      stdin: 'github_pat_example\n',
    })
    t.match(changed, { code: 0, stderr: /--replace --secret-env SECRET\nIts credentials are not told again/ })
    await paste(changed.stderr, { SECRET: 'github_pat_example' })
    t.notHas((await source('team')).config, { ref: 'main' })
    const removed = await run(['source', 'remove', 'team', '--yes'])
    for (const { stdout, stderr } of [changed, removed]) t.notMatch(stdout + stderr, 'github_pat_example')
    await paste(removed.stderr, { SECRET: 'github_pat_example' })
    t.match(await source('team'), { config: { repo: 'acme/prompts', token: 'set' } })

    for (const [args, stderr, options] of [
      [[...settings, '--secret-env', 'NOTHING'], 'The variable NOTHING is not set.', {}],
      [[...settings, '--secret-stdin'], 'holds no secret', { stdin: '\n' }],
      [[...settings, '--secret-stdin', '--secret-env', 'TOKEN'], 'said twice', secret],
      [['--config', '-', '--secret-stdin'], 'cannot both come from stdin', {}],
      [['--config', 'broken.json'], 'The file broken.json is no JSON', {}],
      [['--config', 'nowhere.json'], 'The file nowhere.json cannot be read', {}],
      [['--provider', 'inline', '--file', 'settings.json', '--secret-env', 'TOKEN'], 'take no secret', secret],
      [['--url', 'acme/prompts'], 'what kind of place', {}],
      [['--provider', 'github', '--url', 'acme/prompts', '--interval', 'soon'], '"soon" is no span of time', {}],
      [['--provider', 'githup', '--url', 'acme/prompts'], 'Allowed choices are github', {}],
      [[], 'It is not said what the source is', {}],
    ] as const) {
      const ran = await run(['source', 'add', 'other', ...args], options)
      t.match(ran, { code: 1, stdout: '', stderr }, args.join(' '))
      t.notMatch(ran.stderr, 'hush')
    }
  },
)
