import t from 'tap'
import { openProject, openShell } from '../helpers/cli.js'
import { startService, type Teardown } from '../helpers/service.js'

const shared = await startService(t)
const open = (t: Teardown) => openProject(t, shared)

const commit = 'b'.repeat(40)

t.test('good files are said to be good, and nothing is stored', { buffered: true }, async (t) => {
  const { service, shell } = await open(t)
  await shell.write({ 'prompts/a.md': 'Hello {{ name }}\n' })
  const before = await service.countRows()
  t.strictSame(await shell.promptsync(['validate']), { code: 0, stdout: '', stderr: '1 file: nothing is wrong.\n' })
  t.match(JSON.parse((await shell.promptsync(['validate', '--json', '--quiet'])).stdout), { valid: true, findings: [] })
  t.same(await service.countRows(), before)
})

t.test('every finding has its file, line and column; warnings fail only where they are to', { buffered: true }, async (t) => {
  const { shell } = await open(t)
  await shell.write({
    'prompts/deep/a.md': '---\ntitle: A\n---\nHello {{ name \n',
    'prompts/b.md': '<script>x</script>\n',
    'prompts/B.txt': 'B',
  })
  const ran = await shell.promptsync(['validate'])
  t.equal(ran.code, 3)
  t.match(ran.stdout, /^prompts\/deep\/a\.md:4:7: error: .*\(template\.syntax\)$/m)
  t.match(ran.stdout, /^prompts\/b\.md: warning: .*\(content\.suspicious\)$/m)
  t.match(ran.stdout, /^prompts\/B\.txt: error: .*\(file\.collision\)$/m)
  const json = await shell.promptsync(['validate', '--json'])
  t.equal(json.code, 3)
  const place = { severity: 'error', file: 'deep/a.md', line: 4, column: 7 }
  t.match(
    JSON.parse(json.stdout).findings.filter(({ code }: { code: string }) => code === 'template.syntax'),
    [place],
  )
  await shell.write({ 'good/b.md': '<script>x</script>\n' })
  t.match(await shell.promptsync(['validate', '--path', 'good']), { code: 0, stderr: '1 file: 1 warning.\n' })
  t.match(await shell.promptsync(['validate', '--path', 'good', '--strict']), { code: 3 })
})

t.test('without a server files and templates are checked', { buffered: true }, async (t) => {
  const shell = await openShell(t, { PROMPTSYNC_URL: 'http://127.0.0.1:9' })
  await shell.write({
    'prompts/a.yaml': 'content: |\n  x\n  {{ y | nope }}\n',
    'prompts/b.yaml': 'a: [\n',
    'prompts/c.txt': 'C',
    'prompts/C.md': 'C',
  })
  const ran = await shell.promptsync(['validate', '--offline'])
  t.equal(ran.code, 3)
  t.match(ran.stdout, /^prompts\/a\.yaml:3:\d+: error: .*nope/m)
  t.match(ran.stdout, /^prompts\/b\.yaml:\d+:\d+: error: /m)
  t.match(ran.stdout, /^prompts\/c\.txt: error: .*\(file\.collision\)$/m)
  t.match(await shell.promptsync(['validate']), { code: 1, stdout: /^$/, stderr: /cannot be reached/ })
})

t.test('variables that applications of a ref do not give are told of', { buffered: true }, async (t) => {
  const { service, shell } = await open(t)
  await service.push({
    alias: 'production',
    git: { commit },
    prompts: [
      { name: 'mail', content: 'Dear {{ name }}{% if sign %}{{ sign }}{% endif %}' },
      { name: 'chat', content: 'C' },
      { name: 'other', content: 'O' },
    ],
  })
  await shell.write({
    'prompts/mail.yaml': 'content: Dear {{ name }}, {{ sign }}\nvariants:\n- tags: {locale: cn}\n  content: "{{ issue }}"\n',
    'prompts/chat.yaml': 'messages:\n- role: user\n  content: C\n',
    'prompts/new.txt': '{{ anything }}',
  })
  const ran = await shell.promptsync(['validate', '--alias', 'production'])
  t.equal(ran.code, 3)
  t.strictSame(ran.stdout.split('\n').sort(), [
    '',
    'other: warning: Prompt "other" is in production and not here: a push keeps it, unless it prunes. (compatibility.prompt)',
    'prompts/chat.yaml: error: Prompt "chat" is chat and was text in production. (compatibility.type)',
    'prompts/mail.yaml: error: Prompt "mail" needs "issue", which applications written for production do not give. (compatibility.variable)',
    'prompts/mail.yaml: warning: Prompt "mail" needs "sign", which applications written for production could leave out. (compatibility.variable)',
  ])
  t.match(await shell.promptsync(['push', '--prune', '--alias', 'dev', '--version', 'v1.2.3']), { code: 0 })
  const between = await shell.promptsync(['validate', '--git-commit', commit.slice(0, 8), '--alias', 'dev'])
  t.equal(between.code, 3)
  t.match(between.stdout, `other: error: Prompt "other" is in bbbbbbbb only: applications that ask for it get nothing.`)
  t.match(between.stdout, 'mail: error: Prompt "mail" needs "issue"')
  t.match(await shell.promptsync(['validate', '--version', 'v1.2.3', '--alias', 'dev']), {
    code: 0,
    stdout: /^$/,
    stderr: 'v1.2.3 → dev: nothing is wrong.\n',
  })
  t.match(await shell.promptsync(['validate', '--git-commit', 'abc123']), { code: 1, stderr: /Write 7 to 40 hex digits/ })
  t.match(await shell.promptsync(['validate', '--alias', 'prodction']), { code: 1, stderr: /Did you mean "production"\?/ })
})

t.test('ten thousand files are no trouble', { buffered: true }, async (t) => {
  const shell = await openShell(t, { PROMPTSYNC_URL: 'http://127.0.0.1:9' })
  await shell.write(
    Object.fromEntries(
      Array.from({ length: 10_000 }, (_, index) => [`prompts/a${index % 50}/p${index}.txt`, `{{ x }} ${index}`]),
    ),
  )
  t.match(await shell.promptsync(['validate', '--offline']), {
    code: 0,
    stdout: /^$/,
    stderr: '10,000 files: nothing is wrong.\n',
  })
})
