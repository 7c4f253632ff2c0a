import t from 'tap'
import { refused, shows } from '../helpers/assertions.js'
import { openPushProjects, type PushResult, prompt, statusesOf } from '../helpers/push-projects.js'
import { startService } from '../helpers/service.js'

const service = await startService(t)
const { makeProject, changesNothing } = openPushProjects(service)

t.test('every kind of file becomes a prompt named after its path without the extension', async (t) => {
  const { call, push } = await makeProject()
  const files: Record<string, string> = {
    'plain.txt': 'a plain text\n',
    'bare.md': '# no front matter\n',
    'notes/rule.md': '---\nnot: [closed\n',
    'front.md': '---\nname: A title\ndescription: What it is\nlabels: [x, y]\nmetadata: { owner: me }\n---\nthe content\n',
    'one.j2': 'Hi {{ name }}',
    'two.jinja': '{% if x %}y{% endif %}',
    'full.yaml':
      'name: Full\ndescription: All of it\ncontent: |\n  line one\n  line two\nconfig: { b: 1, a: 2 }\ninputs: { type: object }\n',
    'short.yml': 'content: short',
  }
  await push({ files: Object.entries(files).map(([path, content]) => ({ path, content })) })
  const fetched = async (name: string) => (await call(`/prompts/${encodeURIComponent(name)}/latest`)).body
  t.equal((await fetched('plain')).content, 'a plain text\n')
  t.equal((await fetched('bare')).content, '# no front matter\n')
  t.equal((await fetched('notes/rule')).content, '---\nnot: [closed\n', 'a rule that opens no front matter is content')
  t.equal((await fetched('front')).content, 'the content\n')
  t.equal((await fetched('one')).content, 'Hi {{ name }}')
  t.equal((await fetched('two')).content, '{% if x %}y{% endif %}')
  shows(t, await fetched('full'), {
    content: 'line one\nline two\n',
    config: { b: 1, a: 2 },
    inputs: { type: 'object' },
    type: 'text',
  })
  t.equal((await fetched('short')).content, 'short')

  const shown = async (name: string) => (await call(`/prompts/${encodeURIComponent(name)}`)).body
  shows(t, await shown('front'), { title: 'A title', description: 'What it is', labels: ['x', 'y'], metadata: { owner: 'me' } })
  shows(t, await shown('full'), { title: 'Full', description: 'All of it', labels: [], metadata: {} })
  shows(t, await shown('plain'), { title: null, description: null })
})

t.test('a YAML file carries messages, variants and a template, and what a version says of itself goes to metadata', async (t) => {
  const { call, push } = await makeProject()
  const chat = [
    'name: Chat',
    'version: v2.1.0',
    'git_commit: abc1234',
    'messages:',
    '  - { role: system, content: Be kind }',
    '  - { role: user, content: "{{ question }}" }',
    'variants:',
    '  - tags: { locale: cn }',
    '    messages: [{ role: system, content: 友善 }]',
  ].join('\n')
  const raw = 'template: none\ncontent: "{{Hostname}} {% raw"\n'
  const body = await push({
    files: [
      { path: 'chat.yaml', content: chat },
      { path: 'raw.yaml', content: raw },
    ],
  })
  t.strictSame(body.warnings, [])
  t.strictSame((await call('/prompts/chat')).body.metadata, { version: 'v2.1.0', git_commit: 'abc1234' })
  t.equal((await call('/prompts/chat')).body.title, 'Chat')
  t.hasStrict((await call('/prompts/chat/latest')).body, {
    version: 'v1',
    type: 'chat',
    content: null,
    messages: [
      { role: 'system', content: 'Be kind' },
      { role: 'user', content: '{{ question }}' },
    ],
    variables: [{ name: 'question', required: true }],
  })
  t.strictSame((await call('/prompts/chat/latest?tag=locale:cn')).body.messages, [{ role: 'system', content: '友善' }])
  shows(t, (await call('/prompts/raw/latest')).body, { template: 'none', content: '{{Hostname}} {% raw', variables: [] })
})

t.test('prompt files of GitHub Models and of Prompty become chat prompts', async (t) => {
  const { call, push } = await makeProject()
  const triage = [
    'name: Triage',
    'model: openai/gpt-4o',
    'modelParameters: { temperature: 0.2 }',
    'messages:',
    '  - { role: system, content: Sort the ticket }',
    '  - { role: user, content: "{{ticket}}" }',
    'testData: [{ ticket: It burns, expected: urgent }]',
  ].join('\n')
  const greet = [
    '---',
    'name: Greet',
    'tags: [demo]',
    'inputs: { guest: { type: string } }',
    '---',
    'system:',
    'Be kind.',
    '',
    'user:',
    'I am {{guest}}.',
    '',
  ].join('\n')
  const body = await push({
    files: [
      { path: 'support/Triage.prompt.yml', content: triage },
      { path: 'greet.prompty', content: greet },
    ],
  })
  t.strictSame(body.warnings, [])
  t.strictSame(statusesOf(body), ['support/triage v1 created', 'greet v1 created'])
  shows(t, (await call('/prompts/support%2Ftriage/latest')).body, {
    type: 'chat',
    template: 'jinja',
    messages: [
      { role: 'system', content: 'Sort the ticket' },
      { role: 'user', content: '{{ticket}}' },
    ],
    config: { model: 'openai/gpt-4o', temperature: 0.2 },
  })
  t.strictSame((await call('/prompts/support%2Ftriage')).body.metadata, {
    testData: [{ ticket: 'It burns', expected: 'urgent' }],
  })
  shows(t, (await call('/prompts/greet/latest')).body, {
    messages: [
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: 'I am {{guest}}.' },
    ],
    inputs: { type: 'object', properties: { guest: { type: 'string' } } },
  })
  shows(t, (await call('/prompts/greet')).body, { title: 'Greet', labels: ['demo'] })
})

t.test('a path becomes a name: NFKC, lower case, other characters as dashes, segments kept', async (t) => {
  const { push } = await makeProject()
  const names: Record<string, string> = {
    'Customer Support.md': 'customer-support',
    'Meeting/Stand Up!.md': 'meeting/stand-up',
    'ＦＵＬＬ/Ünï.md': 'full/ünï',
    '客服/问候.md': '客服/问候',
    'a.b.c.md': 'a.b.c',
    '_x_/--y--.md': 'x/y',
  }
  const body = await push({ files: Object.keys(names).map((path) => ({ path, content: path })) })
  t.strictSame(
    body.results.map((result: PushResult) => result.name),
    Object.values(names),
  )
})

t.test('the content of a file is kept byte for byte after its front matter, a byte order mark aside', async (t) => {
  const { push, contentOf } = await makeProject()
  const content = '  \r\n\ttext \r\n---\r\n\n é\u0301 \u200b end  \n\n'
  await push({
    files: [
      { path: 'a.md', content: `\ufeff---\r\nname: x\r\n---\r\n${content}` },
      { path: 'b.txt', content: `\ufeff${content}` },
      { path: 'c.j2', content },
      { path: 'd.md', content: '---\n---\n' },
    ],
  })
  for (const name of ['a', 'b', 'c']) t.equal(await contentOf(name, 'latest'), content, name)
  t.equal(await contentOf('d', 'latest'), '')
})

t.test('files that become one prompt are refused by an error that names both', async (t) => {
  const { send } = await makeProject()
  const answer = await changesNothing(t, () =>
    send({
      files: [
        { path: 'Hello World.md', content: 'a' },
        { path: 'x.md', content: 'x' },
        { path: 'hello-world.txt', content: 'b' },
      ],
    }),
  )
  refused(t, answer, 422, 'file.collision')
  t.match(answer.body.detail, /"Hello World\.md".*"hello-world\.txt"/)
  t.strictSame(
    answer.body.errors.map(({ path }: { path: string }) => path),
    ['files[0]', 'files[2]'],
  )
})

t.test('a prompt given twice is refused, also as a prompt and a file', async (t) => {
  const { send } = await makeProject()
  refused(t, await send({ prompts: [prompt('a', '1'), prompt('a', '1')] }), 422, 'prompt.duplicate')
  refused(t, await send({ prompts: [prompt('a', '1')], files: [{ path: 'a.md', content: '1' }] }), 422, 'prompt.duplicate')
})

t.test('a file that cannot be read is refused by an error that names it and its place', async (t) => {
  const { send } = await makeProject()
  const cases: [path: string, content: string, code: string][] = [
    ['a.prompty', '---\nname: x\nuser:\nHi', 'file.invalid'],
    ['a.prompt.yml', 'messages: []', 'validation.failed'],
    ['a.prompt.yaml', 'model: gpt-4o', 'file.invalid'],
    ['b.prompt.yml', 'messages:\n  - role: user\n    content: "{{ x"', 'template.syntax'],
    ['a.docx', 'x', 'file.unsupported'],
    ['noextension', 'x', 'file.unsupported'],
    ['../a.md', 'x', 'file.invalid'],
    ['a/../../b.md', 'x', 'file.invalid'],
    ['/etc/a.md', 'x', 'file.invalid'],
    ['C:/a.md', 'x', 'file.invalid'],
    ['a\\b.md', 'x', 'file.invalid'],
    ['a//b.md', 'x', 'file.invalid'],
    ['!!!.md', 'x', 'file.invalid'],
    ['a.yaml', 'content: [', 'file.invalid'],
    ['a.yaml', '- a\n- b', 'file.invalid'],
    ['a.yaml', 'name: nothing else', 'file.invalid'],
    ['a.md', '---\nname: [\n---\nx', 'file.invalid'],
    ['a.yaml', 'content: x\nlabels: text', 'validation.failed'],
    ['a.yaml', 'content: x\ntemplate: erb', 'validation.failed'],
  ]
  await changesNothing(t, async () => {
    for (const [path, content, code] of cases) {
      const answer = await send({
        files: [
          { path: 'good.md', content: 'x' },
          { path, content },
        ],
      })
      refused(t, answer, 422, code)
      t.ok(answer.body.detail.includes(path), answer.body.detail)
      t.match(answer.body.errors[0].path, /^files\[1\]/, path)
    }
  })
})
