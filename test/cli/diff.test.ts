import { applyPatch, parsePatch } from 'diff'
import t from 'tap'
import { openProject } from '../helpers/cli.js'
import { startService, type Teardown } from '../helpers/service.js'

const shared = await startService(t)
const open = (t: Teardown) => openProject(t, shared)

const commit = 'a'.repeat(40)

t.test('local files are compared with the newest release, an alias, a version or a commit', { buffered: true }, async (t) => {
  const { service, shell } = await open(t)
  await service.push({
    prompts: [
      { name: 'a', content: 'One {{ x }}\ntwo\n' },
      { name: 'b', content: 'B\n' },
    ],
    alias: 'stable',
    git: { commit },
  })
  await service.push({ prompts: [{ name: 'a', content: 'One\ntwo\n' }], version: 'v2.0.0' })
  await shell.write({ 'prompts/a.md': 'One {{ x }}\n', 'prompts/b.txt': 'B\n', 'prompts/c.txt': 'New\n' })
  const newest = await shell.promptsync(['diff'])
  t.equal(newest.code, 0)
  t.match(newest.stdout, /^--- a@v2\.0\.0 outline/)
  t.match(newest.stdout, /^--- \/dev\/null\n\+\+\+ c@local content/m)
  t.notMatch(newest.stdout, 'b@')
  const [patch] = parsePatch(newest.stdout).filter(({ newFileName }) => newFileName === 'a@local content')
  t.equal(applyPatch('One\ntwo\n', patch as never), 'One {{ x }}\n', 'tools can apply it')
  const byCommit = await shell.promptsync(['diff', 'a', '--git-commit', commit.slice(0, 7), '--exit-code'])
  t.match(byCommit, {
    code: 2,
    stdout: `--- a@${commit.slice(0, 7)} content\t\n+++ a@local content\t\n@@ -1,2 +1,1 @@\n One {{ x }}\n-two\n`,
  })
  await service.push({ prompts: [{ name: 'b', content: 'Newer\n' }] })
  await service.call('/aliases/stable', { method: 'PUT', body: { version: 'v2', prompt: 'b' } })
  const pinned = await shell.promptsync(['diff', '--alias', 'stable', '--stat', '--quiet'])
  t.match(pinned, { code: 0, stdout: 'a\tchanged\t0\t1\nb\tchanged\t1\t1\nc\tadded\t3\t0\n' }, 'pins win')
  const stat = await shell.promptsync(['diff', '--version', 'r1', '--stat'])
  t.match(stat, { code: 0, stdout: 'a\tchanged\t0\t1\nc\tadded\t3\t0\n' })
  const json = JSON.parse((await shell.promptsync(['diff', '--version', 'v2.0.0', '--json'])).stdout)
  t.match(json, {
    from: { ref: 'v2.0.0', release: 'v2.0.0' },
    added: ['c'],
    removed: [],
    changed: ['a'],
    diffs: [{ name: 'a' }, { name: 'c' }],
  })
})

t.test('files that a push would store as they are differ in nothing, whatever they include', { buffered: true }, async (t) => {
  const { service, shell } = await open(t)
  const variants = [{ tags: { locale: 'cn' }, content: '你好 {{ name }}' }]
  const inputs = { type: 'object', properties: { name: { type: 'string' } } }
  await service.push({ prompts: [{ name: 'header', content: 'Dear {{ name }}' }] })
  await service.push({
    alias: 'dev',
    prompts: [
      { name: 'remote/footer', content: '{% if sign %}{{ sign }}{% endif %}' },
      {
        name: 'mail',
        content: '{% include "header" %}\n{% include "remote/footer" %}\n{% include "header@v1" %}',
        config: { model: 'm', t: 1.5 },
        inputs,
        variants,
      },
      { name: 'chat', messages: [{ role: 'system', content: 'Be {{ tone }}' }, { placeholder: 'history' }] },
    ],
  })
  await shell.write({
    'promptsync.config.yaml': 'alias: dev\n',
    'prompts/header.txt': 'Dear {{ name }}',
    'prompts/mail.yaml': `content: '{% include "header" %}\n\n  {% include "remote/footer" %}\n\n  {% include "header@v1" %}'\nconfig: {model: m, t: 1.5}\ninputs: ${JSON.stringify(inputs)}\nvariants: ${JSON.stringify(variants)}\n`,
    'prompts/chat.yaml': 'messages:\n- role: system\n  content: Be {{ tone }}\n- placeholder: history\n',
  })
  const same = await shell.promptsync(['diff', 'mail', '--exit-code', '--json'])
  t.equal(same.code, 0, same.stdout)
  const all = await shell.promptsync(['diff', '--exit-code'])
  t.match(all, { code: 2, stderr: /1 prompt of the release is not here\. A push keeps what is not here, unless it prunes\./ })
  t.notMatch(all.stdout, /@local/, 'only what is not here differs')
  await shell.write({ 'prompts/header.txt': 'Dear {{ title }}' })
  const changed = await shell.promptsync(['diff', 'mail'])
  t.match(changed.stdout, /^-include: header v1\n/m)
  t.match(changed.stdout, /^\+variable: title \(required\)\n/m)
  t.match(changed.stdout, /^\+include: header local\n/m)
})

t.test('two refs are compared by arguments or options, in every format', { buffered: true }, async (t) => {
  const { service, shell } = await open(t)
  await service.push({ prompts: [{ name: 'a', content: 'Say <b> one word\n' }], git: { commit } })
  await service.push({ prompts: [{ name: 'a', content: 'Say <b> two words\n' }], alias: 'stable' })
  const unified = '--- a@v1 content\t\n+++ a@v2 content\t\n@@ -1,1 +1,1 @@\n-Say <b> one word\n+Say <b> two words\n'
  t.match(await shell.promptsync(['diff', 'a', 'v1', 'v2', '--exit-code']), { code: 2, stdout: unified })
  const html = await shell.promptsync(['diff', 'a', '--git-commit', 'aaaaaaa', '--alias', 'stable', '--format', 'html'])
  t.match(html.stdout, /^<!doctype html>/i)
  t.match(html.stdout, '&lt;b&gt;')
  const backwards = await shell.promptsync(['diff', 'a', '--alias', 'stable', '--git-commit', 'aaaaaaa', '--json'])
  t.match(JSON.parse(backwards.stdout), { from: { ref: 'stable', version: 'v2' }, to: { ref: 'aaaaaaa', version: 'v1' } })
  t.match(await shell.promptsync(['diff', 'r1', 'r2']), {
    code: 0,
    stdout: /^\+Say <b> two words$/m,
    stderr: /1 changed, 0 added, 0 removed/,
  })
  const none = await shell.promptsync(['diff', 'r2', 'stable', '--exit-code'])
  t.match(none, { code: 0, stdout: /^$/, stderr: 'No differences between r2 and stable.\n' })
})

t.test(
  'a terminal gets colours, what changed within a line set off, and no control characters of a prompt',
  { buffered: true },
  async (t) => {
    const { service, shell } = await open(t)
    await service.push({ prompts: [{ name: 'a', content: 'Say one word to them.\n' }] })
    await shell.write({ 'prompts/a.txt': 'Say two words to them.\u001b[2J\n' })
    const { stdout } = await shell.onTerminal(['diff'])
    t.match(stdout, '\u001b[31m-Say \u001b[7mone word\u001b[27m to them.\u001b[39m')
    t.match(stdout, '\\x1b[2J')
    t.notMatch(stdout, '\u001b[2J')
    const plain = await shell.onTerminal(['diff'], { env: { NO_COLOR: '1' } })
    t.match(plain.stdout, /^-Say one word to them\.\r$/m)
  },
)

t.test('what cannot be compared is said, with the nearest name', { buffered: true }, async (t) => {
  const { service, shell } = await open(t)
  await service.push({ prompts: [{ name: 'greeting', content: 'G\n' }], alias: 'stable' })
  await shell.write({ 'prompts/greeting.txt': 'G\n', 'bad/a.yaml': 'content: [1]\n', 'empty/a.json': '{}' })
  const cases: [string[], number, RegExp][] = [
    [['diff', '--alias', 'stabel'], 1, /Did you mean "stable"\?/],
    [['diff', 'greetin'], 1, /Did you mean "greeting"\?/],
    [['diff', 'a', 'b', 'c', 'd'], 1, /4 arguments are given/],
    [['diff', 'r1', 'r2', '--alias', 'stable'], 1, /as arguments and as options/],
    [['diff', '--path', 'empty'], 1, /There are no prompts in empty\./],
    [['diff', '--path', 'bad'], 3, /File "a\.yaml"/],
    [['diff', '--format', 'pdf'], 1, /unified, json, html/],
  ]
  for (const [args, code, stderr] of cases) t.match(await shell.promptsync(args), { code, stdout: /^$/, stderr }, args.join(' '))
})

t.test('what local files differ in is what the server tells once they are pushed', { buffered: true }, async (t) => {
  const { service, shell } = await open(t)
  const inputs = { type: 'object', properties: { name: { type: 'string' } } }
  const variants = [
    { tags: { locale: 'cn' }, content: '你好 {{ name }}\n' },
    { tags: { tone: 'dry' }, content: 'Hm.' },
  ]
  const mail = {
    content: 'Dear {{ name }},\n{% if sign %}{{ sign }}{% endif %}\n',
    config: { model: 'm', list: [1, 2] },
    inputs,
    variants,
  }
  const chat = [
    { role: 'system', content: 'Be {{ tone }}' },
    { placeholder: 'history' },
    { role: 'user', content: '{{ question }}' },
  ]
  await service.push({
    prompts: [
      { name: 'mail', ...mail },
      { name: 'chat', messages: chat },
    ],
    alias: 'dev',
  })
  const changed = {
    ...mail,
    content: 'Dear {{ title }} {{ name }},\n{{ sign }}',
    config: { model: 'n', list: [1], t: 0.5 },
    inputs: null,
    variants: variants.slice(1),
  }
  await shell.write({
    'prompts/mail.yaml': JSON.stringify({ ...changed, template: 'jinja' }),
    'prompts/chat.yaml': JSON.stringify({
      messages: [chat[0], { role: 'user', content: 'New {{ x }}' }, ...chat.slice(1)],
      template: 'none',
    }),
  })
  const local = JSON.parse((await shell.promptsync(['diff', '--alias', 'dev', '--json'])).stdout).diffs
  t.match(await shell.promptsync(['push']), { code: 0 })
  for (const diff of local) {
    const { body } = await service.call(`/prompts/${diff.name}/diff?from=dev&to=latest`)
    t.strictSame({ ...diff, from: null, to: null }, { ...body, from: null, to: null })
    t.match(
      [diff.from, diff.to],
      [
        { ref: 'dev', version: 'v1' },
        { ref: 'local', version: null },
      ],
    )
  }
  t.equal(local.length, 2)
})
