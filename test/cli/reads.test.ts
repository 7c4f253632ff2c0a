import t from 'tap'
import { openProject } from '../helpers/cli.js'
import { startService, type Teardown } from '../helpers/service.js'

const shared = await startService(t)
const open = (t: Teardown) => openProject(t, shared)

const prompts = [
  {
    ...{ name: 'support/mail', title: 'Mail', labels: ['billing'], content: 'Dear {{ name }}\n' },
    variants: [{ tags: { locale: 'cn' }, content: '你好 {{ name }}' }],
  },
  { name: 'chat', messages: [{ role: 'system', content: 'Be {{ tone }}' }, { placeholder: 'history' }] },
]

t.test('prompts are listed for people and for programs, page after page', { buffered: true }, async (t) => {
  const { service, shell } = await open(t)
  t.strictSame(await shell.promptsync(['list']), {
    code: 0,
    stdout: '',
    stderr: 'There are no prompts yet. Push some: promptsync push\n',
  })
  const many = Array.from({ length: 230 }, (_, index) => ({ name: `many/p${index}`, content: `${index}` }))
  await service.push({ prompts: [...prompts, ...many], alias: 'production' })
  const all = await shell.promptsync(['list'])
  t.equal(all.stdout.trimEnd().split('\n').length, 232)
  t.match(all.stdout, 'support/mail\tv1\tproduction=v1\tMail\n')
  t.match(await shell.promptsync(['list', '--search', 'mail', '--label', 'billing']), {
    stdout: 'support/mail\tv1\tproduction=v1\tMail\n',
  })
  const first = await shell.promptsync(['list', '--limit', '3', '--json'])
  t.equal(JSON.parse(first.stdout).items.length, 3)
  t.match(first.stderr, /there are more/)
  t.match((await shell.onTerminal(['list', '--search', 'mail'])).stdout, /PROMPT +LATEST +ALIASES +TITLE/)
})

t.test('a prompt is printed as applications get it, byte for byte where it goes into a pipe', { buffered: true }, async (t) => {
  const { service, shell } = await open(t)
  await service.push({ prompts, alias: 'production' })
  t.strictSame(await shell.promptsync(['get', 'support/mail']), {
    ...{ code: 0, stdout: 'Dear {{ name }}\n', stderr: 'support/mail v1 · by production · release r1 · text\n' },
  })
  t.match(await shell.promptsync(['get', 'support/mail', 'v1', '--tag', 'locale:zh', '--tag', 'locale:cn']), {
    code: 1,
    stderr: /"locale" is given twice/,
  })
  const variant = await shell.promptsync(['get', 'support/mail', 'v1', '--tag', 'locale:cn', '--text'])
  t.strictSame(variant, { code: 0, stdout: '你好 {{ name }}', stderr: '' })
  t.match(await shell.promptsync(['get', 'chat']), { code: 0, stdout: '[system]\nBe {{ tone }}\n\n[messages of history]\n' })
  t.match(await shell.promptsync(['get', 'chat', '--text']), { code: 1, stdout: /^$/, stderr: /is a chat prompt/ })
  const json = JSON.parse((await shell.promptsync(['get', 'chat', 'r1', '--key', 'user-1', '--json'])).stdout)
  t.same(json, (await service.call('/prompts/chat/r1')).body)
  t.match(await shell.promptsync(['get', 'suport/mail']), { code: 1, stdout: /^$/, stderr: /Did you mean "support\/mail"\?/ })
  t.match(await shell.promptsync(['get', 'chat', 'prodution']), { code: 1, stdout: /^$/, stderr: /Did you mean "production"\?/ })
})

t.test('a key stays on its side of a canary, and a canary can be left out', { buffered: true }, async (t) => {
  const { service, shell } = await open(t)
  await service.push({ prompts: [{ name: 'a', content: 'old' }], alias: 'production' })
  await service.push({ prompts: [{ name: 'a', content: 'new' }], version: 'v2.0.0' })
  await service.call('/canary', { body: { alias: 'production', version: 'v2.0.0', percentage: 100 } })
  t.match(await shell.promptsync(['get', 'a', '--key', 'user-1']), { stdout: 'new', stderr: /canary v2\.0\.0 at 100 %, chosen/ })
  t.match(await shell.promptsync(['get', 'a', '--key', 'user-1', '--no-canary']), { stdout: 'old' })
})

t.test('a prompt is rendered with variables of the command line, a file or stdin', { buffered: true }, async (t) => {
  const { service, shell } = await open(t)
  const content = '{{ name }} has {{ docs | length }} of {{ limit + 1 }}{% if note %} ({{ note }}){% endif %}'
  await service.push({ prompts: [{ name: 'a', content }, ...prompts], alias: 'production' })
  await shell.write({ 'vars.json': '{"name": "File", "docs": ["x"], "limit": 1}', 'list.json': '[1]', 'bad.json': '{' })
  const given = ['--var', 'name=A=B', '--var', 'docs:=[1,2]', '--var', 'limit:=4', '--var', 'note=']
  t.match(await shell.promptsync(['render', 'a', ...given]), { code: 0, stdout: 'A=B has 2 of 5' })
  t.match(await shell.promptsync(['render', 'a', '--vars', 'vars.json', '--var', 'name=Over']), {
    code: 0,
    stdout: 'Over has 1 of 2',
  })
  t.match(await shell.promptsync(['render', 'a', '--vars', '-'], { stdin: '{"name": "In", "docs": [], "limit": 0}' }), {
    stdout: 'In has 0 of 1',
  })
  t.match(await shell.promptsync(['render', 'a', '--var', 'name=N']), { code: 1, stdout: /^$/, stderr: /docs[\s\S]*limit/ })
  t.match(await shell.promptsync(['render', 'support/mail', '--no-strict', '--tag', 'locale:cn']), { code: 0, stdout: '你好 ' })
  const chat = ['render', 'chat', '--var', 'tone=dry', '--var', 'history:=[{"role":"user","content":"Hi"}]']
  t.match(await shell.promptsync(chat), { code: 0, stdout: '[system]\nBe dry\n\n[user]\nHi\n' })
  for (const [args, stderr] of [
    [['--var', 'name'], /'name' is invalid\. Write name=value/],
    [['--var', '1x=2'], /A name is letters/],
    [['--var', 'docs:=[1'], /"docs" is no JSON/],
    [['--var', 'a=1', '--var', 'a=2'], /"a" is given twice/],
    [['--vars', 'nowhere.json'], /nowhere\.json/],
    [['--vars', 'list.json'], /list\.json holds no JSON object/],
    [['--vars', 'bad.json'], /bad\.json is no JSON/],
  ] as const) {
    t.match(await shell.promptsync(['render', 'a', ...args]), { code: 1, stdout: /^$/, stderr }, args.join(' '))
  }
})

t.test('releases and versions are listed, and the ref alone is printed for scripts', async (t) => {
  const { service, slug, shell } = await open(t)
  const run = shell.promptsync
  const commit = 'c0ffee0000000000000000000000000000000001'
  const git = { repo: 'https://github.com/acme/app', commit, branch: 'main', dirty: true }
  const many = Array.from({ length: 230 }, (_, index) => ({ name: `p${index}`, content: `${index}` }))
  await service.push({ version: 'v-one', alias: 'dev', message: 'The first\nof all', git, prompts: many })
  await service.push({ prompts: [{ name: 'p0', content: 'again' }] })

  for (const ref of ['dev', 'r1', 'v-one', commit.slice(0, 7)])
    t.match(await run(['version', 'get', ref]), { code: 0, stdout: 'v-one\n', stderr: '' }, ref)
  t.match(await run(['version', 'get', 'latest']), { code: 0, stdout: 'r2\n' })
  t.match(await run(['version', 'get', 'latest', '--prompt', 'p0']), { code: 0, stdout: 'v2\n' })
  t.strictSame(JSON.parse((await run(['version', 'get', 'dev', '--json'])).stdout), {
    ...{ ref: 'dev', release: 'v-one', prompt: null, version: null },
  })

  const list = await run(['release', 'list'])
  const [second = '', first = ''] = list.stdout.split('\n').map((row) => row.split('\t'))
  t.strictSame([second[0], second[1], first[0], first[1]], ['r2', 'r2', 'v-one', 'r1'])
  t.strictSame(first.slice(3), [commit, 'main', slug, 'The first of all'])
  const limited = await run(['release', 'list', '--limit', '1', '--json'])
  t.match(JSON.parse(limited.stdout), { items: [{ ref: 'r2' }], nextCursor: String })

  const show = await run(['release', 'show', 'dev'])
  t.equal(show.stdout.trimEnd().split('\n').length, 230)
  t.match(show.stdout, /^p0\tv-one\tv1$/m)
  t.match(
    show.stderr,
    /^Release v-one \(r1\): 230 prompts, made \S+ by .*\nFrom commit c0ffee0\d+ on main of https:\/\/github\.com\/acme\/app with changes\.\nMessage: The first/,
  )
  t.match(JSON.parse((await run(['release', 'show', 'v-one', '--json'])).stdout), {
    promptCount: 230,
    items: { length: 230 },
    nextCursor: null,
  })

  const versions = await run(['version', 'list', 'p0'])
  t.match(versions.stdout, /^v2\tv2\tr2\ttext\t.*\nv-one\tv1\tv-one\ttext\t/)
  t.match(await shell.onTerminal(['version', 'list', 'p0']), { code: 0, stdout: /VERSION +NUMBER +FIRST IN/ })

  t.match(await run(['release', 'show', 'v-on']), { code: 1, stdout: '', stderr: /Did you mean "v-one"\?/ })
  t.match(await run(['version', 'list', 'p00']), { code: 1, stdout: '', stderr: /Did you mean "p/ })
})
