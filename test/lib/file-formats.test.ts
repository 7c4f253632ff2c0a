import fc from 'fast-check'
import t from 'tap'
import { AppError } from '../../src/errors.js'
import { PushPrompt } from '../../src/features/push/push.schema.js'
import { parsePromptFile } from '../../src/lib/files.js'
import { runs } from '../helpers/runs.js'
import { stopwatch } from '../helpers/stopwatch.js'

const where = 'files[0]'
/** A reference as Prompty writes it. */
const reference = (kind: string, name: string) => `\${${kind}:${name}}`
const lines = (...texts: string[]) => texts.join('\n')

function parse(path: string, content: string) {
  const { name, fields, warnings } = parsePromptFile(path, content, where)
  const prompt = PushPrompt.safeParse({ name, ...fields })
  if (!prompt.success) throw new Error(JSON.stringify(prompt.error.issues))
  return { fields, warnings }
}

const github = (...texts: string[]) => parse('a.prompt.yml', lines(...texts, 'messages: [{ role: user, content: Hi }]'))
const prompty = (...texts: string[]) => parse('a.prompty', lines('---', ...texts, '---', 'user:', 'Hi'))
const messagesOf = (body: string) => parse('a.prompty', `---\nname: T\n---\n${body}`).fields.messages
const message = (role: string, content: string) => ({ role, content })

function refusalOf(path: string, content: string): string {
  try {
    parsePromptFile(path, content, where)
  } catch (error) {
    if (error instanceof AppError && error.code === 'file.invalid') return error.message
    throw error
  }
  throw new Error(`This was read: ${content}`)
}

t.test('a prompt file of GitHub Models is a chat prompt with its settings, and its tests are metadata', async (t) => {
  const file = lines(
    'name: Sort tickets',
    'description: Tells how urgent a ticket is',
    'version: 1.10',
    'tags: [support, triage]',
    'model: openai/gpt-4o-mini',
    'modelParameters:',
    '  temperature: 0.2',
    '  maxCompletionTokens: 200',
    '  stop: ["#"]',
    'responseFormat: json_schema',
    'jsonSchema: |-',
    '  { "name": "urgency", "strict": true, "schema": { "type": "object" } }',
    'variables:',
    '  - { name: ticket, type: string, description: What was written, required: true }',
    '  - { name: language, default: en }',
    'messages:',
    '  - role: System',
    '    content: You sort tickets.',
    '  - role: user',
    '    content: |',
    '      {{ticket}}',
    'testData:',
    '  - { ticket: It burns, expected: urgent }',
    'evaluators:',
    '  - { name: Says it, string: { contains: urgent } }',
  )
  for (const path of ['sort.prompt.yml', 'sort.prompt.yaml']) {
    t.same(parse(path, file), {
      fields: {
        title: 'Sort tickets',
        description: 'Tells how urgent a ticket is',
        labels: ['support', 'triage'],
        messages: [message('system', 'You sort tickets.'), message('user', '{{ticket}}\n')],
        config: {
          model: 'openai/gpt-4o-mini',
          temperature: 0.2,
          maxCompletionTokens: 200,
          stop: ['#'],
          responseFormat: 'json_schema',
          jsonSchema: { name: 'urgency', strict: true, schema: { type: 'object' } },
        },
        inputs: {
          type: 'object',
          properties: { ticket: { type: 'string', description: 'What was written' }, language: { default: 'en' } },
          required: ['ticket'],
        },
        metadata: {
          testData: [{ ticket: 'It burns', expected: 'urgent' }],
          evaluators: [{ name: 'Says it', string: { contains: 'urgent' } }],
          version: '1.10',
        },
      },
      warnings: [],
    })
  }
})

t.test('a byte order mark, Windows line ends and rules around the YAML change nothing', async (t) => {
  const file = lines(
    '---',
    '# note',
    'model: gpt-4o # ours',
    'messages:',
    '  - role: user',
    '    content: |',
    '      a',
    '      b',
    '---',
    '',
  )
  const expected = { messages: [message('user', 'a\nb\n')], config: { model: 'gpt-4o' } }
  for (const text of [file, `\ufeff${file}`, file.replaceAll('\n', '\r\n')]) t.same(parse('a.prompt.yml', text).fields, expected)
})

t.test('a schema of the answer may be a mapping, and one that is no JSON stays text with a warning', async (t) => {
  t.same(github('jsonSchema: { type: object }').fields.config, { jsonSchema: { type: 'object' } })
  for (const schema of ["{ 'type': 'object' }", '[]', '{ "__proto__": {} }', '{ "a": 12345678901234567890 }']) {
    const { fields, warnings } = github(`jsonSchema: >-\n  ${schema}`)
    t.same(fields.config, { jsonSchema: schema })
    t.match(warnings.join(), /"a\.prompt\.yml".*`jsonSchema`.*text/)
  }
})

t.test('messages keep what they have besides role and content in the metadata, and parts of text are one text', async (t) => {
  const { fields, warnings } = parse(
    'a.prompt.yml',
    lines(
      'messages:',
      '  - { role: user, content: [{ type: text, text: a }, { type: text, text: b }], name: Ann }',
      '  - { role: assistant, content: null, tool_calls: [{ id: x }] }',
      '  - { role: tool, content: 42 }',
    ),
  )
  t.same(fields.messages, [message('user', 'a\nb'), message('assistant', ''), message('tool', '42')])
  t.same(fields.metadata, {
    messageAttributes: [
      { message: 0, name: 'Ann' },
      { message: 1, tool_calls: [{ id: 'x' }] },
    ],
  })
  t.match(warnings.join(), /messageAttributes/)
  const image = 'messages: [{ role: user, content: [{ type: image_url, image_url: { url: "https://x" } }] }]'
  t.match(refusalOf('a.prompt.yml', image), /message 1 .*no text/)
})

t.test('a prompt file may give one text instead of messages, and has to give one of them', async (t) => {
  t.same(parse('a.prompt.yml', 'content: Hi').fields, { content: 'Hi' })
  t.same(parse('a.prompt.yml', 'prompt: Hi').fields, { content: 'Hi' })
  t.same(parse('a.prompt.yml', 'prompts: [{ role: user, content: Hi }]').fields, { messages: [message('user', 'Hi')] })
  t.match(refusalOf('a.prompt.yml', 'model: gpt-4o'), /`messages`/)
  t.match(refusalOf('a.prompt.yml', ''), /YAML mapping/)
  t.match(refusalOf('a.prompt.yml', 'messages: []\nmodelParameters: [1]'), /`modelParameters`/)
  t.match(refusalOf('a.prompt.yml', 'messages: []\nconfig: 1'), /`config`/)
})

t.test('unknown fields of either format are kept in the metadata with a warning that names them', async (t) => {
  for (const { fields, warnings } of [
    github('owner: ann', 'metadata: { team: a }'),
    prompty('owner: ann', 'metadata: { team: a }'),
  ]) {
    t.same(fields.metadata, { owner: 'ann', team: 'a' })
    t.match(warnings.join(), /unknown: owner\./)
  }
})

t.test('a title, description or tags that a prompt cannot have are kept in the metadata', async (t) => {
  const long = 'x'.repeat(201)
  const { fields, warnings } = prompty(`name: ${long}`, 'description: [a]', 'tags: { a: 1 }', 'metadata: { tags: [] }')
  t.same(fields.metadata, { name: long, description: ['a'], tags: [] })
  t.match(warnings.join(), /`name`.*`description`/)
  t.equal(prompty('name: 42').fields.title, '42')
  t.same(prompty('tags: a, b,a').fields.labels, ['a', 'b'])
  t.same(prompty('metadata: { tags: [a, 2] }').fields.labels, ['a', '2'])
  t.same(prompty('metadata: text').fields.metadata, { metadata: 'text' })
})

t.test('a Prompty file gives its model settings, inputs and samples, and nothing of it is lost', async (t) => {
  const { fields, warnings } = parse(
    'a.prompty',
    lines(
      '---',
      'name: Answer',
      'authors: [ann]',
      'version: 2.0',
      'model:',
      '  api: chat',
      `  configuration: { type: azure_openai, azure_deployment: gpt-4o, api_key: "${reference('env', 'KEY')}" }`,
      '  parameters: { max_tokens: 100, response_format: { type: json_object }, tools: [{ type: function }] }',
      '  response: first',
      'inputs:',
      '  question: { type: string, description: What is asked, is_required: true, sample: Why? }',
      '  count: { type: int, default: 3 }',
      '  documents: { type: List, optional: true, required: true }',
      '  picture: { kind: image }',
      '  place: { type: object, properties: { city: { type: string } }, required: [city] }',
      'outputs: { score: { type: number } }',
      'sample: { question: Who?, extra: [1] }',
      'template: jinja2',
      '---',
      'Answer in one line.',
      '',
      'user:',
      '![a map](map.png) {{question}}',
    ),
  )
  t.same(warnings, [])
  t.same(fields, {
    title: 'Answer',
    template: 'jinja',
    messages: [message('system', 'Answer in one line.'), message('user', '![a map](map.png) {{question}}')],
    config: {
      model: 'gpt-4o',
      max_tokens: 100,
      response_format: { type: 'json_object' },
      tools: [{ type: 'function' }],
      api: 'chat',
      configuration: { type: 'azure_openai', azure_deployment: 'gpt-4o', api_key: reference('env', 'KEY') },
      response: 'first',
      outputs: { score: { type: 'number' } },
    },
    inputs: {
      type: 'object',
      properties: {
        question: { type: 'string', description: 'What is asked', examples: ['Why?'] },
        count: { type: 'integer', default: 3 },
        documents: { type: 'array' },
        picture: { kind: 'image' },
        place: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
        extra: { type: 'array', examples: [[1]] },
      },
      required: ['question'],
    },
    metadata: { version: '2.0', authors: ['ann'], sample: { question: 'Who?', extra: [1] } },
  })
})

t.test('inputs may be samples, a list, a schema, or what only the file knows', async (t) => {
  const inputsOf = (...texts: string[]) => prompty(...texts).fields.inputs
  t.same(inputsOf('inputs: { who: Ann, count: 2, is: true, list: [], map: {}, nothing: null }'), {
    type: 'object',
    properties: {
      who: { type: 'string', examples: ['Ann'] },
      count: { type: 'number', examples: [2] },
      is: { type: 'boolean', examples: [true] },
      list: { type: 'array', examples: [[]] },
      map: {},
      nothing: {},
    },
  })
  const listed = { type: 'object', properties: { a: { type: 'string', enum: ['x'] }, b: {} }, required: ['a'] }
  t.same(inputsOf('inputs: [{ name: a, kind: string, required: true, enumValues: [x] }, b]'), listed)
  t.same(
    inputsOf('inputSchema: { properties: [{ name: a, kind: string, required: true, enumValues: [x] }, { name: b }] }'),
    listed,
  )
  const schema = { type: 'object', properties: { a: { type: 'string' } }, additionalProperties: false }
  t.same(inputsOf(`inputs: ${JSON.stringify(schema)}`), schema)
  t.same(inputsOf('inputs: { properties: { type: string } }'), { type: 'object', properties: { properties: { type: 'string' } } })
  for (const list of ['[__proto__]', '[{ name: __proto__ }]'])
    t.match(refusalOf('a.prompty', `---\ninputs: ${list}\n---\nhi`), /__proto__/)
  t.same(prompty('inputs: [1]').fields.metadata, { inputs: [1] })
  t.equal(prompty('inputs: {}').fields.inputs, undefined)
})

t.test('a type that its own default or sample contradicts is kept but not checked', async (t) => {
  const { fields } = prompty(
    'inputs:',
    '  research: { type: object, default: " " }',
    '  products: { type: object }',
    '  count: { type: int, sample: 1.5 }',
    '  right: { type: int, default: 2 }',
    `  file: { type: object, default: "${reference('file', 'x.json')}" }`,
    'sample: { products: [a] }',
  )
  t.same(fields.inputs, {
    type: 'object',
    properties: {
      research: { kind: 'object', default: ' ' },
      products: { kind: 'object', examples: [['a']] },
      count: { kind: 'integer', examples: [1.5] },
      right: { type: 'integer', default: 2 },
      file: { type: 'object', default: reference('file', 'x.json') },
    },
  })
})

t.test('a model is a name, or a mapping that may only be resolved where the file is run', async (t) => {
  t.same(prompty('model: gpt-4o').fields.config, { model: 'gpt-4o' })
  t.same(prompty('model: { id: gpt-4o, provider: azure, options: { temperature: 0 } }').fields.config, {
    model: 'gpt-4o',
    temperature: 0,
    provider: 'azure',
  })
  const unresolved = { configuration: { azure_deployment: reference('env', 'DEPLOYMENT') } }
  t.same(prompty(`model: ${JSON.stringify(unresolved)}`).fields.config, unresolved)
  t.same(prompty('model: gpt-4o', 'config: { model: other, seed: 1 }').fields.config, { model: 'other', seed: 1 })
})

t.test('a secret in a connection is removed with a warning that does not hold it', async (t) => {
  for (const key of ['api_key', 'apiKey', 'key', 'token', 'password', 'client_secret', 'connection_string']) {
    for (const value of ['sk-123456', reference('env', 'KEY:sk-123456')]) {
      const file = { model: { configuration: { type: 'openai', [key]: value } } }
      const { fields, warnings } = prompty(...Object.entries(file).map(([name, said]) => `${name}: ${JSON.stringify(said)}`))
      t.same(fields.config, { configuration: { type: 'openai' } })
      t.match(warnings.join(), `configuration.${key}`)
      t.notMatch(JSON.stringify({ fields, warnings }), /123456/)
    }
  }
  t.notMatch(JSON.stringify(prompty('tools: [{ name: a, connection: { kind: key, apiKey: sk-123456 } }]')), /123456/)
})

t.test('the template engine is Jinja, none, or another one whose text is sent as it is', async (t) => {
  for (const template of ['jinja2', 'Jinja2', 'jinja', '{ format: jinja2 }', '{ type: jinja2 }', '{ format: { kind: jinja2 } }'])
    t.equal(prompty(`template: ${template}`).fields.template, 'jinja', template)
  t.equal(prompty('template: none').fields.template, 'none')
  t.equal(prompty('name: T').fields.template, undefined, 'what says nothing is left to the push')
  for (const template of ['mustache', '{ format: mustache, parser: prompty }', 'handlebars']) {
    const { fields, warnings } = prompty(`template: ${template}`)
    t.equal(fields.template, 'none', template)
    t.match(warnings.join(), /is not Jinja/)
  }
  t.same(prompty('template: [1]').fields.metadata, { template: [1] })
})

t.test('environment variables and other files are never read', async (t) => {
  const { fields, warnings } = prompty(
    `model: { api: chat, parameters: { tools: "${reference('file', 'tools.json')}" }, connection: { endpoint: "${reference('env', 'HOME')}" } }`,
    'base: ../base.prompty',
    'sample: sample.json',
  )
  t.same(fields.config, {
    tools: reference('file', 'tools.json'),
    api: 'chat',
    connection: { endpoint: reference('env', 'HOME') },
  })
  t.same(fields.metadata, { base: '../base.prompty', sample: 'sample.json' })
  t.equal(warnings.length, 3)
  for (const name of [reference('file', 'tools.json'), '`base`', '`sample`']) t.ok(warnings.join().includes(name), name)
})

t.test('role headers stand on lines of their own, in any case, indented or with a hash', async (t) => {
  const body = lines('System:', 'a', '  USER:  ', 'b', '# assistant:', 'c', 'developer :', 'd', 'function:', 'e', 'tool:', 'f')
  const expected = ['system', 'user', 'assistant', 'developer', 'function', 'tool'].map((role, index) =>
    message(role, 'abcdef'.charAt(index)),
  )
  t.same(messagesOf(body), expected)
  t.same(messagesOf(body.replaceAll('\n', '\r\n')), expected)
  for (const text of ['User: hello', 'users:', 'user', '**user:**', '- user:', 'user::', 'tools:\nhammer'])
    t.same(messagesOf(text), [message('system', text)], text)
})

t.test('what stands before the first header is the system message, as is a body without any', async (t) => {
  t.same(messagesOf('be brief\nuser:\nhi'), [message('system', 'be brief'), message('user', 'hi')])
  t.same(messagesOf('just text\n'), [message('system', 'just text')])
  t.same(messagesOf(''), [message('system', '')])
  t.same(messagesOf('user:\n'), [message('user', '')])
  t.same(messagesOf('system:\n\n\nuser:\nhi'), [message('user', 'hi')], 'a header without text makes no message')
})

t.test('the text of a message is kept byte for byte, the empty lines around it aside', async (t) => {
  t.same(messagesOf('user:\n\n  a\r\n\r\n b \n \t\nassistant:\n\tc'), [
    message('user', '  a\r\n\r\n b '),
    message('assistant', '\tc'),
  ])
})

t.test('attributes of a header are kept in the metadata with a warning', async (t) => {
  const { fields, warnings } = parse('a.prompty', 'system[cached=true]:\na\nuser[name="Ann", n=2]:\nb\nassistant[]:\nc')
  t.same(fields.messages, [message('system', 'a'), message('user', 'b'), message('assistant', 'c')])
  t.same(fields.metadata, {
    messageAttributes: [
      { message: 0, attributes: 'cached=true' },
      { message: 1, attributes: 'name="Ann", n=2' },
    ],
  })
  t.match(warnings.join(), /messageAttributes/)
})

t.test('a header within a block or a comment of the template stays text, with a warning that names its lines', async (t) => {
  const body = lines(
    'system:',
    'Be kind.',
    '{% for turn in history %}',
    'user:',
    '{{ turn.question }}',
    '{% endfor %}',
    'user:',
    'hi',
  )
  const { fields, warnings } = parse('a.prompty', lines('---', 'name: T', '---', body))
  t.same(fields.messages, [
    message('system', 'Be kind.\n{% for turn in history %}\nuser:\n{{ turn.question }}\n{% endfor %}'),
    message('user', 'hi'),
  ])
  t.match(warnings.join(), /line 7 stay text/)
  t.same(messagesOf('{#\nuser:\n#}\nuser:\nhi'), [message('system', '{#\nuser:\n#}'), message('user', 'hi')])
  t.same(messagesOf('{% set a = 1 %}\nuser:\n{% if a %}x{% endif %}\nuser:\nhi'), [
    message('system', '{% set a = 1 %}'),
    message('user', '{% if a %}x{% endif %}'),
    message('user', 'hi'),
  ])
  const rendered = parse('a.prompty', '{% for item in history %}\n{{item.role}}:\n- {{item.content}}\n{% endfor %}')
  t.match(rendered.warnings.join(), /line 2 stay text/)
})

t.test('tools that the body declares are added to those of the front matter', async (t) => {
  const { fields } = parse(
    'a.prompty',
    lines('---', 'tools: [{ id: a }]', '---', 'tools:', '  - id: b', '    type: function', 'system:', 'hi'),
  )
  t.same(fields.config, { tools: [{ id: 'a' }, { id: 'b', type: 'function' }] })
  t.same(fields.messages, [message('system', 'hi')])
  t.match(refusalOf('a.prompty', lines('---', 'name: T', '---', 'tools:', '  - id: "b" c', 'user:', 'hi')), /line 5\b/)
})

t.test('a model that takes one text has a content, byte for byte', async (t) => {
  for (const api of ['completion', 'embedding', 'image']) {
    const { fields } = parse('a.prompty', `---\nmodel: { api: ${api} }\n---\n user:\n{{text}}\n`)
    t.same(fields, { content: ' user:\n{{text}}\n', config: { api } })
  }
})

t.test('front matter may be missing or empty, and one that is begun has to be closed and to be a mapping', async (t) => {
  const user = { messages: [message('user', 'hi')] }
  for (const file of [
    'user:\nhi',
    '---\n---\nuser:\nhi',
    '\ufeff---\r\n---\r\nuser:\r\nhi\r\n',
    '\n\n---\n# none\n---\nuser:\nhi',
  ])
    t.same(parse('a.prompty', file).fields, user, JSON.stringify(file))
  t.match(refusalOf('a.prompty', '---\nname: T\nuser:\nhi'), /line 1 opens is never closed/)
  t.match(refusalOf('a.prompty', '\n---'), /line 2 opens is never closed/)
  t.match(refusalOf('a.prompty', '---\ntext\n---\nhi'), /not a YAML mapping/)
  t.match(refusalOf('a.prompty', '---\nmessages: []\n---\nhi'), /`messages`/)
  t.match(refusalOf('a.prompty', ''.padEnd(4, '\n').concat('---\nname: "x" y\n---\nhi')), /line 6, column \d/)
})

t.test('broken YAML is refused by its line and column in the file', async (t) => {
  t.match(refusalOf('a.prompty', '---\r\nname: T\r\nmodel: "x" y\r\n---\r\nhi'), /line 3, column 12\b/)
  t.match(refusalOf('a.prompt.yml', 'name: T\nname: U\nmessages: []'), /line 2, column 1\b.*duplicated/)
  t.match(refusalOf('a.prompt.yml', 'messages:\n\t- a'), /line 2\b/)
  t.match(refusalOf('a.prompty', '---\na: &a [x]\nb: !!js/function x\n---\nhi'), /line 3\b/)
})

t.test('the limits of YAML hold for front matter and prompt files', async (t) => {
  const bomb = Array.from(
    { length: 10 },
    (_, level) => `l${level}: &l${level} [${Array(9).fill(level === 0 ? 'lol' : `*l${level - 1}`)}]`,
  ).join('\n')
  for (const yaml of [bomb, `a: ${'['.repeat(70)}${']'.repeat(70)}`, '__proto__: { polluted: 1 }', 'a: .inf']) {
    t.ok(refusalOf('a.prompty', `---\n${yaml}\n---\nhi`))
    t.ok(refusalOf('a.prompt.yml', `messages: []\n${yaml}`))
  }
  t.equal(({} as Record<string, unknown>).polluted, undefined)
})

t.test('a hostile body is split in no more time than its size deserves', async (t) => {
  const size = 250_000
  const elapsedMs = stopwatch()
  for (const unit of [
    '{#',
    '{% if a %}',
    '{% if',
    ' ',
    '\n',
    'user:\n',
    'user[',
    `user${' '.repeat(200)}`,
    '![thread]\n',
    '![thread]\nx\n',
    '{% for a in b %}\n{{a.role}}:\n{{a.content}}\n{% endfor %}\n',
    `{% for a in b %}${' '.repeat(99)}`,
    '{{ role',
  ])
    parsePromptFile('a.prompty', unit.repeat(size / unit.length), where)
  t.ok(elapsedMs() < 2_000)
})

/** Files of pieces that the formats give a meaning to. */
const anyFile = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 5 }),
      fc.constantFrom(
        ...[
          '---\n',
          '\n',
          '\r\n',
          ' ',
          '  ',
          '- ',
          ': ',
          '\ufeff',
          '[',
          ']',
          '{',
          '}',
          '&a ',
          '*a',
          '"',
          '|\n',
          '{% for x in y %}',
          '{% endfor %}',
        ],
        ...[
          '{#',
          '#}',
          'user:\n',
          'system[a=1]:\n',
          'tools:\n',
          'name',
          'model',
          'api',
          'configuration',
          'parameters',
          'inputs',
          'sample',
        ],
        ...[
          'template',
          'tags',
          'metadata',
          'messages',
          'content',
          'role',
          'modelParameters',
          'jsonSchema',
          '__proto__',
          'constructor',
          'null',
        ],
      ),
    ),
    { maxLength: 30 },
  )
  .map((parts) => parts.join(''))

const anyYaml = fc
  .tuple(
    fc.dictionary(
      fc.constantFrom(
        'name',
        'model',
        'inputs',
        'variables',
        'sample',
        'template',
        'tags',
        'metadata',
        'messages',
        'tools',
        'config',
        'base',
      ),
      fc.jsonValue({ maxDepth: 4 }),
    ),
    fc.boolean(),
  )
  .map(([said, isFrontMatter]) => (isFrontMatter ? `---\n${JSON.stringify(said)}\n---\nuser:\nhi` : JSON.stringify(said)))

t.test('any file is read or refused by an error that names it, and nothing else happens', async (t) => {
  fc.assert(
    fc.property(fc.oneof(anyFile, anyYaml), fc.constantFrom('a.prompty', 'a.prompt.yml', 'a.yaml', 'a.md'), (file, path) => {
      try {
        const { fields, warnings } = parsePromptFile(path, file, where)
        return JSON.stringify(fields) !== undefined && warnings.every((warning) => warning.startsWith(`File "${path}": `))
      } catch (error) {
        return error instanceof AppError && error.code === 'file.invalid' && error.message.startsWith(`File "${path}": `)
      }
    }),
    { numRuns: runs(2_000) },
  )
  t.pass()
})

t.test('any bytes of a body are in its messages', async (t) => {
  const anyBody = fc.array(
    fc.oneof(fc.string({ maxLength: 6 }), fc.constantFrom('\n', '\r\n', 'user:\n', '{% if a %}', '{% endif %}', '\t')),
    {
      maxLength: 15,
    },
  )
  fc.assert(
    fc.property(anyBody, (parts) => {
      const body = parts.join('')
      if (/^\s*(---|tools:)/.test(body) || body.includes('\0')) return true
      const { messages } = parsePromptFile('a.prompty', body, where).fields as { messages: { content: string }[] }
      const isHeader = (line: string) => /^#?\s*user\s*:$/i.test(line.trim())
      const kept = (text: string) =>
        text
          .split('\n')
          .filter((line) => !isHeader(line))
          .join('')
          .replace(/\s/g, '')
      return messages.map(({ content }) => kept(content)).join('') === kept(body)
    }),
    { numRuns: runs(2_000) },
  )
  t.pass()
})
