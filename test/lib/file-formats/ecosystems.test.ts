import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CORE_SCHEMA, load, mergeTag } from 'js-yaml'
import t from 'tap'
import { PushPrompt } from '../../../src/features/push/push.schema.js'
import { type FilePrompt, parsePromptFile } from '../../../src/lib/files.js'
import { packageRoot } from '../../../src/lib/package-root.js'
import { parseTemplate } from '../../../src/lib/template/parse.js'

type Message = { role: string; content: string } | { placeholder: string }

const folder = join(packageRoot, 'test/fixtures/files')
const files = ['github-models', 'prompty'].flatMap((format) =>
  readdirSync(join(folder, format)).map((name) => ({
    name,
    text: readFileSync(join(folder, format, name), 'utf8').replaceAll('\r\n', '\n'),
  })),
)
const textOf = (name: string) => files.find((file) => file.name === name)?.text ?? ''
const read = (name: string, text = textOf(name)) => parsePromptFile(name, text, 'files[0]')
const messagesOf = ({ fields }: FilePrompt) => (fields.messages ?? []) as Message[]
const shapeOf = (prompt: FilePrompt) => messagesOf(prompt).map((message) => ('role' in message ? message.role : message))

/** Every value and key of a mapping, as text. */
function* leavesOf(value: unknown): Generator<string> {
  if (value === null || value === undefined) return
  if (typeof value !== 'object') yield String(value).trim()
  else
    for (const [key, child] of Object.entries(value)) {
      if (child === null) continue
      if (!Array.isArray(value)) yield key
      yield* leavesOf(child)
    }
}

/** What the files say that the prompts say otherwise, by file. */
const translated: Record<string, string[]> = {
  'extract-invoice.prompt.yml': ['{'],
  'legacy-variables.prompt.yml': ['1.2'],
  'comments-and-anchors.prompty': ['marketing, outdoor'],
}
/** Words of the formats, which prompts have others for. */
const dissolved = new Set(
  'name title model modelParameters parameters options id type kind sample prompt variables inputs inputSchema required is_required optional format parser text role tags template true list'.split(
    ' ',
  ),
)

const warnings: Record<string, RegExp[]> = {
  'shared-settings.prompt.yml': [/unknown: x-settings/],
  'legacy-variables.prompt.yml': [/unknown: temperature/],
  'parts.prompt.yml': [/messageAttributes/],
  'sample-file.prompty': [/sample\.json.*kept as text|outputs\.json.*kept as text/, /kept as text/],
  'attributes.prompty': [/messageAttributes/],
  'thread-mark.prompty': [/messageAttributes/],
  'mustache.prompty': [/"mustache" is not Jinja/],
  'structured.prompty': [/`base`/, /json/, /json/],
  'comments-and-anchors.prompty': [/unknown: evaluator/],
  'agent.prompty': [/unknown: bindings/],
}

t.test('files as both ecosystems write them are accepted, and nothing of them is lost', async (t) => {
  t.ok(files.length >= 30)
  for (const { name, text } of files) {
    const prompt = read(name, text)
    const pushed = PushPrompt.safeParse({ name: prompt.name, ...prompt.fields })
    t.ok(pushed.success, `${name}: ${JSON.stringify(pushed.error?.issues)}`)
    const texts = messagesOf(prompt).flatMap((message) => ('content' in message ? [message.content] : []))
    if (prompt.fields.template !== 'none')
      for (const source of [...texts, String(prompt.fields.content ?? '')]) t.ok(parseTemplate(source), name)
    const [frontMatter, body] = name.endsWith('.prompty')
      ? (/^(?:---\n([\s\S]*?)\n---\n)?([\s\S]*)$/.exec(text)?.slice(1) ?? [])
      : [text, '']
    const said = frontMatter?.trim() ? load(frontMatter, { schema: CORE_SCHEMA.withTags(mergeTag) }) : {}
    const kept = [...leavesOf(prompt.fields)].join('\n').toLowerCase()
    const isKept = (leaf: string) =>
      kept.includes(leaf.toLowerCase()) || dissolved.has(leaf) || (translated[name] ?? []).some((start) => leaf.startsWith(start))
    t.same(
      [...leavesOf(said)].filter((leaf) => !isKept(leaf)),
      [],
      `${name} is kept`,
    )
    const isHeader = (line: string) => /^(#? ?\w+ ?(\[.*\])? ?:|\{.*\}:?|!\[thread\]|)$/.test(line)
    const lines = (body ?? '').split('\n').map((line) => line.trim())
    t.same(
      lines.filter((line) => !isHeader(line) && !kept.includes(line.toLowerCase())),
      [],
      `${name} has its body`,
    )
  }
})

t.test('files of both ecosystems bring the warnings that they deserve, and no others', async (t) => {
  for (const { name } of files) {
    const expected = warnings[name] ?? []
    const found = read(name).warnings
    t.equal(found.length, expected.length, `${name}: ${found.join()}`)
    for (const [index, warning] of found.entries()) t.match(warning, expected[index] ?? /^$/)
  }
})

t.test('Windows line ends and a byte order mark change nothing of a file but its line ends', async (t) => {
  const withLineFeeds = (value: unknown) => JSON.parse(JSON.stringify(value).replaceAll('\\r\\n', '\\n'))
  for (const { name, text } of files) {
    t.same(read(name, `\ufeff${text}`).fields, read(name).fields, name)
    t.same(withLineFeeds(read(name, text.replaceAll('\n', '\r\n')).fields), read(name).fields, name)
  }
})

t.test('messages, settings and inputs of the files are where a prompt has them', async (t) => {
  t.same(read('shared-settings.prompt.yml').fields.config, {
    model: 'meta/Llama-3.3-70B-Instruct',
    temperature: 0.7,
    topP: 0.9,
    maxTokens: 60,
  })
  t.same(read('options.prompty').fields.config, {
    model: 'gpt-4o',
    temperature: 0.5,
    maxOutputTokens: 500,
    additionalProperties: { logit_bias: { '50256': -100 } },
    provider: 'azure',
    connection: { kind: 'key', endpoint: `\${env:ENDPOINT}`, apiKey: `\${env:API_KEY}` },
    outputs: [{ name: 'answer', kind: 'string', description: 'The answer' }],
  })
  t.same(read('legacy-variables.prompt.yml').fields.inputs, {
    type: 'object',
    properties: { mail: { type: 'string', description: 'What was received' }, tone: { default: 'friendly' } },
    required: ['mail'],
  })
  t.equal((read('legacy-variables.prompt.yml').fields.metadata as Record<string, unknown>).version, '1.20')
  t.equal((read('extract-invoice.prompt.yml').fields.config as any).jsonSchema.schema.required.length, 2)
  t.same(shapeOf(read('attributes.prompty')), ['system', 'user', 'assistant', 'function'])
  t.same(shapeOf(read('evaluation.prompty')), ['system', 'user'], 'a line with more than a role is text')
  t.same(shapeOf(read('body-only.prompty')), ['system'])
  t.same(shapeOf(read('parts.prompt.yml')), ['developer', 'user'])
  t.equal(read('completion.prompty').fields.content, 'Go on.\n\n{{start}}\n')
  t.same(read('comments-and-anchors.prompty').fields.labels, ['marketing', 'outdoor'])
})

t.test('a conversation is a placeholder, however a format writes it', async (t) => {
  t.same(shapeOf(read('conversation.prompt.yml')), ['system', { placeholder: 'history' }, 'user'])
  t.same(shapeOf(read('chat-history.prompty')), ['system', { placeholder: 'history' }, 'user'])
  t.same(shapeOf(read('thread-input.prompty')), ['system', { placeholder: 'conversation' }, 'user'])
  t.same(shapeOf(read('thread-mark.prompty')), ['system', { placeholder: 'thread' }, 'user'])
  const yaml = read('a.yaml', 'messages: [{ placeholder: history }, { role: user, content: Hi }]')
  t.same(yaml.fields.messages, [{ placeholder: 'history' }, { role: 'user', content: 'Hi' }])
  const loop = `{%- for m in turns -%}\r\n# {{ m['role'] }} :\r\n  {{ m["content"] }}\r\n{%- endfor %}  \r\n`
  t.same(shapeOf(read('a.prompty', `a\r\n${loop}\r\nuser:\r\nb`)), ['system', { placeholder: 'turns' }, 'user'])
  t.same(shapeOf(read('a.prompty', `${loop}${loop}`)), [{ placeholder: 'turns' }, { placeholder: 'turns' }])
})

t.test('what is no conversation for certain stays the text it is', async (t) => {
  const loop = '{% for m in turns %}\n{{m.role}}:\n{{m.content}}\n{% endfor %}'
  for (const body of [
    `system:\n![thread]\n{{query}}`,
    `system:\n![thread]\n![thread]\n{{query}}`,
    `system:\n${loop}\nmore`,
    `system:\n${loop.replace('m.content', 'm.text')}`,
    `system:\n${loop.replace(':\n', ': ')}`,
    `system:\n${loop.replace('%}\n', '%}')}`,
    `system:\n${loop.replace('m.role', 'n.role')}`,
    `system:\n${loop.replace('in turns', 'in turns[1:]')}`,
    `system:\n${loop.replace('in turns', 'in turns if m.content')}`,
    `system:\n{% if x %}\n${loop}\n{% endif %}`,
    'system:\n{% if x %}\n![thread]\n{% endif %}',
    'system:\n{# \n![thread]\n#}',
    'system:\n{{turns}}',
  ])
    t.same(messagesOf(read('a.prompty', body)), [{ role: 'system', content: body.replace('system:\n', '') }], body)
  const thread = (body: string, more = '') =>
    messagesOf(read('a.prompty', `---\ninputs: { turns: { kind: thread } }\n${more}\n---\n${body}`))
  t.same(thread('{{ turns }}'), [{ placeholder: 'turns' }])
  for (const body of ['see {{turns}}', '{{turns}} {{x}}', '{{ turns | tojson }}', '{{turns}}\nuser'])
    t.same(thread(body), [{ role: 'system', content: body }], body)
  t.same(thread(loop, 'template: mustache'), [{ role: 'system', content: loop }], 'another engine has no such loop')
  t.match(read('a.prompty', 'a\n![thread]\nb').warnings.join(), /"!\[thread\]" at line 2 stays text/)
})

t.test('a YAML file with the parameters of GitHub Models is read as one of theirs', async (t) => {
  const text = 'name: T\nmodel: m\nmodelParameters: { topP: 1 }\nmessages: [{ role: User, content: Hi }]\ntestData: [{ a: 1 }]\n'
  const { fields, warnings } = read('a.yml', text)
  t.same(fields, read('a.prompt.yml', text).fields)
  t.same(fields.config, { model: 'm', topP: 1 })
  t.same(warnings, [])
  const own = read('a.yaml', `${text}config: { model: n }\n`)
  t.same(own.fields.config, { model: 'n' }, 'with a `config` it is an ordinary file')
  t.match(own.warnings.join(), /unknown: model, modelParameters, testData/)
  const nested = 'model: m\nmodelParameters: { responseFormat: text, tools: [] }\nmessages: [{ role: user, content: Hi }]'
  t.same(read('a.prompt.yml', nested).fields.config, { model: 'm', responseFormat: 'text', tools: [] })
})

t.test('what metadata has no room for is left out with a warning, the largest first', async (t) => {
  const large = (length: number) => `testData: [{ text: "${'x'.repeat(length)}" }]\nevaluators: [{ name: e }]\n`
  const head = 'messages: [{ role: user, content: Hi }]\n'
  const { fields, warnings } = read('a.prompt.yml', head + large(70_000))
  t.same(fields.metadata, { evaluators: [{ name: 'e' }] })
  t.match(warnings.join(), /"a\.prompt\.yml": `testData` is left out: metadata holds at most 64 KiB/)
  t.ok(PushPrompt.safeParse({ name: 'a', ...fields }).success)
  for (let length = 65_440; length < 65_530; length += 3) {
    const prompt = read('a.prompt.yml', `${head}metadata: { evaluators: 1 }\n${large(length)}`)
    const size = JSON.stringify({ testData: [{ text: 'x'.repeat(length) }], evaluators: 1 }).length
    t.equal(prompt.warnings.length === 0, size <= 65_536, `${size}`)
    t.ok(PushPrompt.safeParse({ name: 'a', ...prompt.fields }).success)
  }
  const sample = read('a.prompty', `---\nsample: { text: "${'ä'.repeat(66_000)}" }\n---\nuser:\nHi`)
  t.equal(sample.fields.metadata, undefined)
  t.ok(PushPrompt.safeParse({ name: 'a', ...sample.fields }).success)
  const meant = read('a.yaml', `content: x\nmetadata: { notes: "${'x'.repeat(70_000)}" }\n`)
  t.notOk(PushPrompt.safeParse({ name: 'a', ...meant.fields }).success, 'what is meant to be metadata is not dropped')
})

t.test('a name that Jinja takes for a subtraction brings a warning, unless the text is sent as it is', async (t) => {
  const text = 'messages: [{ role: user, content: "{{user-name}} {{ a - b }} {{ ok }} {{ first-of-all }}" }]\n'
  t.match(read('a.prompt.yml', text).warnings, [/\{\{user-name\}\} is no name/, /\{\{first-of-all\}\}/])
  t.equal(read('a.prompt.yml', text).warnings.length, 2)
  t.same(read('a.prompt.yml', `${text}template: none`).warnings, [])
})
