import t from 'tap'
import { openShell, serviceEnv, undoOf } from '../helpers/cli.js'
import { startService } from '../helpers/service.js'

t.jobs = 2

t.test('a key is made, used, listed and revoked; its secret stands alone on stdout', { buffered: true }, async (t) => {
  const service = await startService(t)
  const shell = await openShell(t, serviceEnv(service, service.adminKey))
  const run = shell.promptsync
  await service.call('/projects', { body: { slug: 'acme' } })

  const made = await run([
    'key',
    'create',
    '--name',
    'CI',
    '--project',
    'acme',
    '--scope',
    'prompts:read',
    '--scope',
    'aliases:write',
    '--expires-in',
    '90d',
  ])
  t.match(made, { code: 0, stdout: /^ps_[A-Za-z0-9]+\n$/ })
  t.match(made.stderr, /^Made the key "CI" \(\S+\) for the project "acme" with prompts:read, aliases:write\. It stops at \d{4}/)
  t.notMatch(made.stderr, made.stdout.trim())
  const key = made.stdout.trim()
  t.equal((await service.call('/prompts', { key })).status, 200)
  const days = (Date.parse(/stops at (\S+)\./.exec(made.stderr)?.[1] ?? '') - Date.now()) / 86_400_000
  t.ok(days > 89.9 && days <= 90, `${days} days`)

  const [id = ''] = /[0-9a-f-]{36}/.exec(made.stderr) ?? []
  t.match(
    (await run(['key', 'list', '--project', 'acme'])).stdout,
    new RegExp(`^${id}\tCI\tgood\tacme\tprompts:read,aliases:write\t`),
  )
  t.match(await shell.onTerminal(['key', 'list', '--project', 'acme']), { code: 0, stdout: /ID +NAME +STATE/ })
  t.match(await run(undoOf(made.stderr)), {
    code: 1,
    stderr: /Revoke the key "CI" for the project "acme" for good\?.*\nAdd --yes/,
  })
  const revoked = await run([...undoOf(made.stderr), '--yes'])
  t.match(revoked, {
    code: 0,
    stdout: '',
    stderr:
      /^Revoked the key "CI".*\nThis cannot be undone\. Another one like it: promptsync key create --name CI --scope prompts:read --scope aliases:write --project acme\n$/,
  })
  t.equal((await service.call('/prompts', { key })).status, 401)
  t.match(JSON.parse((await run(['key', 'revoke', id, '--json'])).stdout), { id, revokedAt: String })
  t.match(await run(['key', 'revoke', id, '--yes']), { code: 0, stderr: /was revoked at \S+ already\. Nothing changed/ })
  t.match(await run(['alias', 'list'], { env: { PROMPTSYNC_TOKEN: key } }), { code: 4, stdout: '' })

  const json = await run(['key', 'create', '--name', 'reader', '--global', '--expires-at', '2099-12-31', '--json'])
  t.match(JSON.parse(json.stdout), {
    secret: String,
    project: null,
    scopes: ['prompts:read'],
    expiresAt: '2099-12-31T00:00:00.000Z',
  })
  t.equal(json.stderr, '')
  t.match(
    JSON.parse((await run(['key', 'list', '--global', '--json'])).stdout).items.map(({ name }: { name: string }) => name),
    ['PROMPTSYNC_ADMIN_KEY', 'CI', 'reader'],
  )
})

t.test('a project is made, changed, shown and erased; each change names what undoes it', { buffered: true }, async (t) => {
  const service = await startService(t)
  const shell = await openShell(t, serviceEnv(service, service.adminKey))
  const run = shell.promptsync

  const made = await run(['project', 'create', 'acme', '--name', 'Acme Inc', '--public-read'])
  t.match(
    made.stderr,
    'Made the project "acme".\nUndo: promptsync project delete acme\nA key for it: promptsync key create --name NAME --project acme\n',
  )
  const set = await run(['project', 'set', 'acme', '--public-read=false', '--scan', 'block', '--default-alias', 'live'])
  t.match(set.stderr, 'Changed public-read of "acme" from "true" to "false".\nChanged scan of "acme" from "warn" to "block".\n')
  t.match(await run(['project', 'show', 'acme']), {
    code: 0,
    stdout: /^project\tacme\nname\tAcme Inc\npublic-read\tfalse\nscan\tblock\ndefault-alias\tlive\nmade\t\S+\n$/,
  })
  await run(undoOf(set.stderr))
  const { body } = await service.call('/projects/acme')
  t.match(body, { name: 'Acme Inc', settings: { publicRead: true, scan: 'warn', defaultAlias: 'production' } })
  t.strictSame(JSON.parse((await run(['project', 'show', '--project', 'acme', '--json'])).stdout), body)
  t.match(await run(['project', 'set', 'acme', '--scan', 'warn']), {
    code: 0,
    stderr: 'The project "acme" is so already. Nothing changed.\n',
  })
  t.match((await run(['project', 'list'])).stdout, /^acme\tAcme Inc\ttrue\twarn\tproduction\t\S+\ndefault\t/)

  const refused = await run(undoOf(made.stderr))
  t.match(refused, { code: 1, stderr: /Erase all that the project "acme" holds.*\nAdd --yes/ })
  const kept = await shell.onTerminal(['project', 'delete', 'acme'], { stdin: '\n' })
  t.match(kept, { code: 1, stdout: /Nothing was changed/ })
  const gone = await run(['project', 'delete', 'acme', '--yes'])
  t.match(gone, { code: 0, stderr: /^Erased the project "acme": 0 prompts.*This cannot be undone\.\n$/ })
  t.equal((await service.call('/projects/acme')).status, 404)

  for (const [args, answer] of [
    [['create', 'acme'], { slug: 'acme', name: null }],
    [['set', 'acme', '--name', 'Acme'], { slug: 'acme', name: 'Acme' }],
    [['delete', 'acme', '--yes'], { slug: 'acme', erased: { prompts: 0 } }],
  ] as const) {
    const { stdout, stderr } = await run(['project', ...args, '--json'])
    t.match(JSON.parse(stdout), answer)
    t.equal(stderr, '')
  }
})

t.test('what is wrong with a key or a project is said with its remedy, and nothing changes', { buffered: true }, async (t) => {
  const service = await startService(t)
  const shell = await openShell(t, serviceEnv(service, service.adminKey))
  const { secret } = await service.createKey({ name: 'pusher', project: 'default', scopes: ['prompts:write'] })
  const weak = { env: { PROMPTSYNC_TOKEN: secret } }
  const before = await service.countRows()
  for (const [args, code, stderr, options] of [
    [['key', 'create', '--name', 'x'], 1, 'which project the key is for.\nName it by --project, or', {}],
    [['key', 'create', '--name', 'x', '--global', '--project', 'default'], 1, 'Leave one of the two out', {}],
    [['key', 'create', '--name', 'x', '--project', 'nowhere'], 1, 'No project "nowhere"', {}],
    [['key', 'create', '--name', 'x', '--global', '--scope', 'prompts:rite'], 1, 'Allowed choices are prompts:read', {}],
    [['key', 'create', '--name', 'x', '--global', '--expires-at', '2001-01-01'], 1, 'is over already', {}],
    [['key', 'create', '--name', 'x', '--global', '--expires-at', 'soon'], 1, '"soon" is no date', {}],
    [['key', 'create', '--name', 'x', '--global', '--expires-at', '2999-02-30'], 1, '"2999-02-30" is no date', {}],
    [['key', 'create', '--name', 'x', '--global', '--expires-in', 'soon'], 1, '"soon" is no span of time', {}],
    [['key', 'create', '--name', 'x', '--global', '--expires-in', '0s'], 1, 'cannot stop after 0s', {}],
    [['key', 'create', '--name', 'x', '--global', '--expires-in', '999999999d'], 1, 'cannot stop after 999999999d', {}],
    [['key', 'create', '--name', 'x', '--global', '--expires-in', '1d', '--expires-at', '2099-01-01'], 1, 'said twice', {}],
    [['key', 'create'], 1, "required option '--name <text>' not specified", {}],
    [['key', 'create', '--name', 'x', '--global'], 4, 'admin', weak],
    [['key', 'revoke', '0199f4a2-7c1e-7d51-9b0c-3f6f1d1c2b3a', '--yes'], 1, 'No key has the id', {}],
    [['project', 'create', 'Acme'], 1, 'lower-case', {}],
    [['project', 'create', 'default'], 1, 'exists', {}],
    [['project', 'set', 'default'], 1, 'what to change', {}],
    [['project', 'set', 'default', '--scan', 'always'], 1, 'Allowed choices are warn, block, off', {}],
    [['project', 'set', 'default', '--public-read=perhaps'], 1, 'is true or false, not "perhaps"', {}],
    [['project', 'show', 'default', '--project', 'acme'], 1, 'Two projects are named', {}],
    [['project', 'delete', 'nowhere', '--yes'], 1, 'nowhere', {}],
    [['project', 'list'], 4, 'admin', weak],
  ] as const) {
    t.match(await shell.promptsync([...args], options), { code, stdout: '', stderr }, args.join(' '))
  }
  t.strictSame(await service.countRows(), before)
})
