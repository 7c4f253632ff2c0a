import fc from 'fast-check'
import t from 'tap'
import { AppError } from '../../src/errors.js'
import { type FilePrompt, parsePromptFile } from '../../src/lib/files.js'
import { runs } from '../helpers/runs.js'
import { stopwatch } from '../helpers/stopwatch.js'

const bom = '\ufeff'
const where = 'files[3]'

function parse(path: string, content: string): Omit<FilePrompt, 'locate'> {
  const { name, fields, warnings } = parsePromptFile(path, content, where)
  return { name, fields, warnings }
}
const contentOf = (path: string, content: string) => parse(path, content).fields.content

function errorOf(path: string, content = 'x'): AppError {
  try {
    parse(path, content)
  } catch (error) {
    if (error instanceof AppError) return error
    throw error
  }
  throw new Error(`This was read: ${path}`)
}

/** Checks that the error is one of the file, names it and says where in the request it stands. */
function checkInvalid(
  t: Pick<typeof import('tap').t, 'equal' | 'ok' | 'match' | 'same'>,
  path: string,
  content: string,
  message: RegExp,
): void {
  const error = errorOf(path, content)
  t.equal(error.code, 'file.invalid', error.message)
  t.ok(error.message.startsWith(`File "${path}": `), error.message)
  t.match(error.message, message)
  t.same(
    error.errors?.map(({ path }) => path),
    [where],
  )
}

/** Text with what editors, Windows and YAML put into files. */
const anyBody = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 6 }),
      fc.constantFrom(
        '\n',
        '\r\n',
        '\r',
        '---',
        '---\n',
        '\n---\n',
        '\t',
        '  ',
        '{{ x }}',
        bom,
        '\u2028',
        'title: x\n',
        '客服',
        '\u00a0',
      ),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(''))

const customerSupport = `name: Customer Support Prompt
description: Helps resolve customer issues
content: |
  You help customers of {{ company_name }}.
  {{ customer_name }} asks about {{ issue }}. Be {{ tone }} and {{ detail_level }}.
variants:
  - tags:
      locale: en
      tone: formal
    content: |
      I assist for {{ company_name }}.
      I understand that {{ customer_name }} has an issue with {{ issue }}.
  - tags:
      locale: cn
      tone: friendly
    content: |
      我是{{ company_name }}的友好助手。
      {{ customer_name }}遇到了关于{{ issue }}的问题。
`

const releasedSupport = `name: Customer Support
description: Handles customer inquiries
version: 1.0.0
git_commit: abc123  # Optional
content: |
  You help customers of {{ company_name }}.
variants:
  - tags:
      locale: en
      tone: formal
    content: |
      # Professional Customer Support

      I represent {{ company_name }}.

      ## Analysis
`

t.test('a YAML file with variants is a prompt whose title is its name', async (t) => {
  t.same(parse('customer_support.yaml', customerSupport), {
    name: 'customer_support',
    fields: {
      title: 'Customer Support Prompt',
      description: 'Helps resolve customer issues',
      content:
        'You help customers of {{ company_name }}.\n{{ customer_name }} asks about {{ issue }}. Be {{ tone }} and {{ detail_level }}.\n',
      variants: [
        {
          tags: { locale: 'en', tone: 'formal' },
          content: 'I assist for {{ company_name }}.\nI understand that {{ customer_name }} has an issue with {{ issue }}.\n',
        },
        {
          tags: { locale: 'cn', tone: 'friendly' },
          content: '我是{{ company_name }}的友好助手。\n{{ customer_name }}遇到了关于{{ issue }}的问题。\n',
        },
      ],
    },
    warnings: [],
  })
})

t.test('a version and a commit inside a YAML file go to metadata without a warning', async (t) => {
  const { fields, warnings } = parse('support/customer.yml', releasedSupport)
  t.same(fields.metadata, { version: '1.0.0', git_commit: 'abc123' })
  t.same(warnings, [])
  t.equal(fields.title, 'Customer Support')
  t.same(fields.variants, [
    {
      tags: { locale: 'en', tone: 'formal' },
      content: '# Professional Customer Support\n\nI represent {{ company_name }}.\n\n## Analysis\n',
    },
  ])
})

t.test('a YAML file may give every field of a prompt, chat messages too', async (t) => {
  const file = [
    'title: Stand-up',
    'labels: [meeting, daily]',
    'metadata: { owner: ana }',
    'template: none',
    'messages:',
    '  - { role: system, content: "You take minutes" }',
    'config: { model: gpt-4o, temperature: 0.2, stop: ["#"], stream: false, seed: null }',
    'inputs: { type: object, required: [team] }',
  ].join('\r\n')
  t.same(parse('meeting/standup.yaml', file), {
    name: 'meeting/standup',
    fields: {
      title: 'Stand-up',
      labels: ['meeting', 'daily'],
      metadata: { owner: 'ana' },
      template: 'none',
      messages: [{ role: 'system', content: 'You take minutes' }],
      config: { model: 'gpt-4o', temperature: 0.2, stop: ['#'], stream: false, seed: null },
      inputs: { type: 'object', required: ['team'] },
    },
    warnings: [],
  })
})

t.test('the order of keys in config is that of the file', async (t) => {
  const { fields } = parse('a.yaml', 'content: x\nconfig: { zebra: 1, apple: { y: 1, b: 2 }, mango: 3 }\n')
  t.equal(JSON.stringify(fields.config), '{"zebra":1,"apple":{"y":1,"b":2},"mango":3}')
})

t.test('dates, versions and yes or no stay the text they are', async (t) => {
  const { fields } = parse(
    'a.yaml',
    'content: x\nconfig: { date: 2024-01-01, version: 1.2.3, answer: no, time: 12:30:00, octal: 0o17, on: on }\n',
  )
  t.same(fields.config, { date: '2024-01-01', version: '1.2.3', answer: 'no', time: '12:30:00', octal: 15, on: 'on' })
})

t.test('a title wins over a name, in either order, and empty fields count as absent', async (t) => {
  t.equal(parse('a.yaml', 'name: N\ntitle: T\ncontent: x').fields.title, 'T')
  t.equal(parse('a.yaml', 'title: T\nname: N\ncontent: x').fields.title, 'T')
  t.same(parse('a.yaml', 'title:\ndescription: ~\nfoo: null\ncontent: x').fields, { content: 'x' })
})

t.test('unknown fields are kept in metadata with a warning that names file and fields', async (t) => {
  const { fields, warnings } = parse('a.yaml', 'content: x\nmodel: gpt-4o\nowner: { team: a }\nauthor: ana\n')
  t.same(fields, { content: 'x', metadata: { model: 'gpt-4o', owner: { team: 'a' }, author: 'ana' } })
  t.equal(warnings.length, 1)
  t.match(warnings[0], /"a\.yaml".*model, owner/)
  t.notMatch(warnings[0], /author/)
})

t.test('metadata given as such wins over an unknown field of the same name', async (t) => {
  const { fields } = parse('a.yaml', 'content: x\nowner: outer\nextra: 1\nmetadata: { owner: inner }\n')
  t.same(fields.metadata, { owner: 'inner', extra: 1 })
})

t.test('front matter is read with LF and with CRLF, and the content keeps its own line ends', async (t) => {
  for (const end of ['\n', '\r\n']) {
    const { name, fields, warnings } = parse(
      'Help Desk.md',
      ['---', 'name: Help', 'labels: [a]', '---', '', '# Help {{ name }}', ''].join(end),
    )
    t.equal(name, 'help-desk')
    t.same(fields, { title: 'Help', labels: ['a'], content: `${end}# Help {{ name }}${end}` })
    t.same(warnings, [])
  }
})

t.test('front matter may be empty, hold only a comment, and end with the file', async (t) => {
  t.same(parse('a.md', '---\n---\nbody').fields, { content: 'body' })
  t.same(parse('a.md', '---\n\n---\nbody').fields, { content: 'body' })
  t.same(parse('a.md', '---\n# draft\n---\nbody').fields, { content: 'body' })
  t.same(parse('a.md', '---\ntitle: T\n---').fields, { title: 'T', content: '' })
  t.same(parse('a.md', '--- \ntitle: T\n---\t\nbody').fields, { title: 'T', content: 'body' })
})

t.test('a rule that opens no front matter is content', async (t) => {
  for (const file of [
    '---\nOnce upon a time\n---\nbody',
    '---\n- a list\n---\n',
    '---\n',
    '---',
    '---\ntitle: never closed\nbody',
    '----\ntitle: T\n----\nbody',
    ' ---\ntitle: T\n---\nbody',
    '\n---\ntitle: T\n---\nbody',
    'text\n---\ntitle: T\n---\n',
    '---title: T\n---\n',
    '',
    '\r\n',
  ]) {
    t.same(parse('a.md', file).fields, { content: file }, JSON.stringify(file))
  }
})

t.test('only the first block is front matter, and a dash line that is longer does not close it', async (t) => {
  t.same(parse('a.md', '---\ntitle: T\n---\n---\ntitle: U\n---\n').fields, { title: 'T', content: '---\ntitle: U\n---\n' })
  t.same(parse('a.md', '---\ntitle: |\n  ---\n  x\n---\nbody').fields, { title: '---\nx\n', content: 'body' })
  t.match(errorOf('a.md', '---\ntitle: T\n----\nnote: x\n---\nbody').message, /line [34]/)
})

t.test('a content field in front matter, which has a body of its own, is refused by name', async (t) => {
  checkInvalid(t, 'a.md', '---\ntitle: T\ncontent: from above\n---\nfrom below', /content/)
})

t.test('the body after front matter comes back byte for byte', async (t) => {
  fc.assert(
    fc.property(anyBody, fc.constantFrom('\n', '\r\n'), fc.boolean(), (body, end, hasBom) => {
      const file = `${hasBom ? bom : ''}---${end}title: T${end}description: D${end}---${end}${body}`
      const { fields } = parse('a.md', file)
      return fields.content === body && fields.title === 'T' && fields.description === 'D'
    }),
    { numRuns: runs(2_000) },
  )
  t.pass()
})

t.test('a text or template file comes back byte for byte, one BOM aside', async (t) => {
  fc.assert(
    fc.property(anyBody, fc.constantFrom('txt', 'j2', 'jinja', 'TXT'), (body, extension) => {
      const kept = body.startsWith(bom) ? body.slice(1) : body
      return contentOf(`a.${extension}`, body) === kept && contentOf(`a.${extension}`, bom + body) === body
    }),
    { numRuns: runs(2_000) },
  )
  t.same(parse('a.txt', '---\ntitle: T\n---\nx'), { name: 'a', fields: { content: '---\ntitle: T\n---\nx' }, warnings: [] })
})

t.test('a markdown file without front matter comes back byte for byte', async (t) => {
  fc.assert(
    fc.property(anyBody, (body) => contentOf('a.md', `# Title\n${body}`) === `# Title\n${body}`),
    { numRuns: runs(1_000) },
  )
  t.pass()
})

t.test('a BOM hides neither front matter nor YAML', async (t) => {
  t.same(parse('a.md', `${bom}---\ntitle: T\n---\n${bom}body`).fields, { title: 'T', content: `${bom}body` })
  t.same(parse('a.yaml', `${bom}content: x`).fields, { content: 'x' })
})

t.test('an error of the YAML names the line of the file', async (t) => {
  checkInvalid(t, 'a.yaml', 'title: T\ncontent: "x" y\n', /line 2\b/)
  checkInvalid(t, 'a.yaml', 'title: T\n\ncontent: x\ntitle: U\n', /line 4\b.*duplicated/)
  checkInvalid(t, 'a.yml', 'content: [1, 2\nnext: 3\n', /line \d/)
  checkInvalid(t, 'a.yaml', 'content: x\n\tb: 1\n', /line 2\b/)
  checkInvalid(t, 'a.md', '---\ntitle: T\nlabels: "x" y\n---\nbody', /line 3\b/)
  checkInvalid(t, 'a.md', '---\r\ntitle: T\r\nlabels: "x" y\r\n---\r\nbody', /line 3\b/)
  checkInvalid(t, 'a.md', `${bom}---\ntitle: T\ntitle: U\n---\nbody`, /line 3, column 1\b/)
})

t.test('a YAML file that is no prompt says what is missing', async (t) => {
  for (const file of ['', ' \n', '# only a comment\n', '[]', 'just text', '42', 'null', '--- !!str\nx']) {
    const error = errorOf('a.yaml', file)
    t.equal(error.code, 'file.invalid', JSON.stringify(file))
  }
  checkInvalid(t, 'a.yaml', 'title: T\n', /`content`.*`messages`/)
  checkInvalid(t, 'a.yaml', 'content:\n', /`content`.*`messages`/)
  checkInvalid(t, 'a.yaml', 'content: x\n---\ncontent: y\n', /document/)
  checkInvalid(t, 'a.yaml', 'content: x\nmetadata: [a]\nextra: 1\n', /`metadata`/)
})

t.test('a rule at the end of a YAML file begins no second document', async (t) => {
  for (const file of ['content: x\n---', 'content: x\n---\n', '---\r\ncontent: x\r\n---\r\n\r\n'])
    t.same(parse('a.yaml', file).fields, { content: 'x' }, JSON.stringify(file))
  t.same(parse('a.yaml', 'version: 1.10\ncontent: x\n---\n').fields.metadata, { version: '1.10' })
})

t.test('tags that would run code or make other objects are refused', async (t) => {
  for (const tag of [
    '!!js/function "function () {}"',
    '!!js/regexp /a/',
    '!!python/object:os.system x',
    '!!binary aGk=',
    '!!set {a, b}',
    '!Custom {a: 1}',
  ]) {
    checkInvalid(t, 'a.yaml', `content: x\nconfig:\n  a: ${tag}\n`, /line 3\b/)
  }
})

t.test('a YAML bomb is refused quickly, whatever it expands to', async (t) => {
  const grow = (levels: number, width: number) =>
    Array.from(
      { length: levels },
      (_, level) => `l${level}: &l${level} [${Array(width).fill(level === 0 ? 'lol' : `*l${level - 1}`)}]`,
    ).join('\n')
  const elapsedMs = stopwatch()
  for (const bomb of [grow(10, 9), grow(18, 10), grow(60, 3), grow(3, 60)])
    checkInvalid(t, 'a.yaml', `content: x\n${bomb}\n`, /expands|alias|nested/)
  t.ok(elapsedMs() < 1_000)
})

t.test('an alias used a few times is fine', async (t) => {
  const { fields } = parse('a.yaml', 'config: { a: &shared { x: 1 }, b: *shared }\ncontent: x\n')
  t.same(fields.config, { a: { x: 1 }, b: { x: 1 } })
})

t.test('YAML nested too deeply or into itself is refused', async (t) => {
  const nested = (open: string, depth: number, close = '') =>
    `content: x\nconfig: { a: ${open.repeat(depth)}1${close.repeat(depth)} }\n`
  for (const depth of [70, 1_000, 100_000]) {
    checkInvalid(t, 'a.yaml', nested('[', depth, ']'), /nest/)
    checkInvalid(t, 'a.yaml', nested('{a: ', depth, '}'), /nest/)
  }
  checkInvalid(t, 'a.yaml', `${'- '.repeat(50_000)}x`, /nest/)
  checkInvalid(t, 'a.yaml', 'content: x\nconfig: &self\n  me: *self\n', /nest/)
  t.same(parse('a.yaml', nested('[', 50, ']')).fields.content, 'x')
})

t.test('numbers that JSON cannot hold exactly are refused', async (t) => {
  for (const number of ['.inf', '-.inf', '.nan', '.NaN'])
    checkInvalid(t, 'a.yaml', `content: x\nconfig: { a: [${number}] }\n`, /number/)
  checkInvalid(t, 'a.yaml', 'content: x\nconfig: { guild: 1098765432109876543 }\n', /too large/)
  checkInvalid(t, 'a.md', '---\nguild: 1098765432109876543\n---\nbody', /too large/)
  t.same(
    parse('a.yaml', 'content: x\nconfig: { a: 9007199254740991, b: -0.5, c: "1098765432109876543", d: 1.5e3 }').fields.config,
    {
      a: 9_007_199_254_740_991,
      b: -0.5,
      c: '1098765432109876543',
      d: 1_500,
    },
  )
})

t.test('text that cannot be stored is refused, in keys too', async (t) => {
  checkInvalid(t, 'a.yaml', 'content: "a\\0b"\n', /content.*NUL/)
  checkInvalid(t, 'a.yaml', 'content: x\nconfig: { "a\\0": 1 }\n', /config.*NUL/)
  checkInvalid(t, 'a.yaml', 'content: x\nlabels: ["\\ud800"]\n', /labels\[0\].*surrogate/)
})

t.test('a key named __proto__ is refused at every depth, and no object is changed', async (t) => {
  for (const file of [
    'content: x\n__proto__: { polluted: 1 }\n',
    'content: x\nconfig: { __proto__: { polluted: 1 } }\n',
    'content: x\nmetadata: { a: [{ __proto__: 1 }] }\n',
  ]) {
    checkInvalid(t, 'a.yaml', file, /__proto__/)
  }
  checkInvalid(t, 'a.md', '---\n__proto__: { polluted: 1 }\n---\nbody', /__proto__/)
  t.equal(({} as Record<string, unknown>).polluted, undefined)
  t.same(parse('a.yaml', 'content: x\nconstructor: a\ntoString: b\n').fields.metadata, { constructor: 'a', toString: 'b' })
})

t.test('a path that leaves its folder, or is not relative, is refused', async (t) => {
  for (const path of [
    '../a.txt',
    'a/../b.txt',
    'a/..',
    '..',
    './a.txt',
    'a/./b.txt',
    '/etc/passwd.txt',
    '//a.txt',
    'a//b.txt',
    'a/',
    '',
    'C:/a.txt',
    'c:a.txt',
    'C:\\a.txt',
    'a\\..\\b.txt',
    '..\\a.txt',
    '\uff0e\uff0e/a.txt',
    'a/\u2025/b.txt',
  ]) {
    t.equal(errorOf(path).code, 'file.invalid', JSON.stringify(path))
  }
})

t.test('a name is the path without its extension, as one slug a segment', async (t) => {
  const names = {
    'customer_support.txt': 'customer_support',
    'Meeting Notes/Stand Up.md': 'meeting-notes/stand-up',
    'a.b.c.j2': 'a.b.c',
    'v1.2/prompt.yaml': 'v1.2/prompt',
    'ÀB/Ç.TXT': 'àb/ç',
    '客服/退款.jinja': '客服/退款',
    '.hidden.txt': 'hidden',
    'triage.prompt.yml': 'triage',
    'Triage.PROMPT.YAML': 'triage',
    'v1.2/prompt.yml': 'v1.2/prompt',
    'chat.prompt.txt': 'chat.prompt',
    'a .txt': 'a',
  }
  for (const [path, name] of Object.entries(names)) t.equal(parse(path, 'content: x').name, name, path)
})

t.test('a path that makes no name, or a name too long, is refused', async (t) => {
  for (const path of [
    '.txt',
    'a/.md',
    '.prompt.yml',
    'a/.prompty',
    '!!!.txt',
    '😀.yaml',
    'a/!!!/b.txt',
    `${'x'.repeat(201)}.txt`,
    `${'x/'.repeat(600)}a.txt`,
  ]) {
    t.equal(errorOf(path).code, 'file.invalid', path.slice(0, 20))
  }
  t.equal(parse(`${'x'.repeat(200)}.txt`, '').name.length, 200)
})

t.test('a format that is not read is refused with those that are', async (t) => {
  for (const path of ['README', 'a.docx', 'a.json', 'a.', 'a.txt.bak', 'a.constructor', 'a.__proto__']) {
    const error = errorOf(path)
    t.equal(error.code, 'file.unsupported', path)
    t.match(error.message, /\.txt.*\.md.*\.yaml/)
  }
})

t.test('a file over half a mebibyte is refused', async (t) => {
  checkInvalid(t, 'a.txt', 'x'.repeat(512 * 1024 + 1), /512 KiB/)
  checkInvalid(t, 'a.txt', '客'.repeat(200_000), /512 KiB/)
  t.equal((contentOf('a.txt', 'x'.repeat(512 * 1024)) as string).length, 512 * 1024)
})
