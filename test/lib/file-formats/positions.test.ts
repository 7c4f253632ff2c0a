import fc from 'fast-check'
import t from 'tap'
import { type FilePrompt, parsePromptFile } from '../../../src/lib/files.js'
import { parseTemplate } from '../../../src/lib/template/parse.js'
import { TemplateError } from '../../../src/lib/template/template-error.js'
import { runs } from '../../helpers/runs.js'

const lines = (...texts: string[]) => texts.join('\n')
const splitLines = (text: string) => text.split(/\r\n?|\n/)

function textOf({ fields }: FilePrompt, field: string): string {
  const value = field.split(/[.[\]]+/).reduce<any>((parent, step) => parent[step], fields)
  if (typeof value !== 'string') throw new Error(`${field} is no text`)
  return value
}

/** What stands in the file where the marker of the field is said to be; null where the place is not known. */
function foundAt(file: string, prompt: FilePrompt, field: string, marker: string): string | null {
  const texts = splitLines(textOf(prompt, field))
  const index = texts.findIndex((line) => line.includes(marker))
  const place = prompt.locate(field, index + 1, (texts[index] ?? '').indexOf(marker) + 1)
  return (
    place &&
    (splitLines(file.replace(/^\ufeff/, ''))[place.line - 1] ?? '').slice(place.column - 1, place.column - 1 + marker.length)
  )
}

const placeOf = (path: string, file: string, field: string, marker: string) =>
  foundAt(file, parsePromptFile(path, file, 'files[0]'), field, marker)

/** The place in the file of the error that the template of a field has. */
function placeOfError(path: string, file: string, field: string) {
  const prompt = parsePromptFile(path, file, 'files[0]')
  try {
    parseTemplate(textOf(prompt, field))
  } catch (error) {
    if (error instanceof TemplateError) return prompt.locate(field, error.line, error.column)
    throw error
  }
  throw new Error('The template was parsed')
}

t.test('a position in a text file or after front matter is that of the file, a byte order mark aside', async (t) => {
  for (const end of ['\n', '\r\n', '\r']) {
    for (const extension of ['txt', 'j2', 'jinja', 'md'])
      t.equal(placeOf(`a.${extension}`, `\ufeffa${end}${end}b{{ x`, 'content', '{{ x'), '{{ x')
  }
  for (const end of ['\n', '\r\n']) {
    const file = ['\ufeff---', 'title: T', 'variants:', '- tags: { a: b }', '  content: x {{ v', '---', '', 'b {{ x'].join(end)
    t.same(placeOfError('a.md', file, 'content'), { line: 8, column: 3 })
    t.same(placeOfError('a.md', file, 'variants[0].content'), { line: 5, column: 14 })
  }
})

t.test('a position in a message of a Prompty file is that of the file', async (t) => {
  const file = lines(
    '',
    '---',
    'name: T',
    'variants: [{ tags: { a: b }, messages: [{ role: user, content: "v {{ y" }] }]',
    '---',
    'before {{ a',
    '',
    'system:',
    '',
    '   s {{ b',
    '![thread]',
    '# user:',
    'u',
    '  {{ c',
    '',
  )
  for (const text of [file, `\ufeff${file}`, file.replaceAll('\n', '\r\n')]) {
    t.same(placeOfError('a.prompty', text, 'messages[0].content'), { line: 6, column: 8 })
    t.same(placeOfError('a.prompty', text, 'messages[1].content'), { line: 10, column: 6 })
    t.same(placeOfError('a.prompty', text, 'messages[3].content'), { line: 14, column: 3 })
    t.same(placeOfError('a.prompty', text, 'variants[0].messages[0].content'), { line: 4, column: 67 })
  }
  t.same(placeOfError('a.prompty', '---\nmodel: { api: completion }\n---\n\n{{ a', 'content'), { line: 5, column: 1 })
  t.same(placeOfError('a.prompty', 'user:\n{{ a', 'messages[0].content'), { line: 2, column: 1 })
  t.equal(parsePromptFile('a.prompty', '![thread]', 'files[0]').locate('messages[0].content', 1, 1), null)
})

/** The same text in every way that YAML has to write it. */
const spellings: Record<string, string[]> = {
  literal: ['content: |', '  first', '', '    more {{ x', '  last'],
  'literal with a header': ['content: |2+ # note', '   first', '  \t{{ x', '', ''],
  'literal after empty lines': ['content: |-', '', '', '  first', '  {{ x'],
  folded: ['content: >', '  first', '  second {{ x', '', '', '  third'],
  'folded and indented': ['content: >-', '  first', '', '     more {{ x', '     most', '  last'],
  plain: ['content: first {{ x'],
  'plain below': ['content:', '  first', '  second', '', '', '  third {{ x', 'title: T'],
  single: ["content: 'it''s  {{ x'"],
  'single over lines': ["content: 'first", "  it''s   ", '', "     '' {{ x'"],
  double: ['content: "\\u0041\\n\\t\\x41 \\"q\\" \\U0001F600 {{ x \\n z"'],
  'double over lines': ['content: "first   ', '', '  second\\', '    joined\\ ', '  \\ third {{ x"'],
  anchored: ['content: &text !!str |', '  first {{ x'],
  flow: ['{ "content": "a {{ x", title: T }'],
  complex: ['? content', ': |', '  first {{ x'],
}

t.test('a position in a text of YAML is that of the file, however the text is written', async (t) => {
  for (const [name, written] of Object.entries(spellings)) {
    for (const end of ['\n', '\r\n'])
      for (const frame of [
        ['', ''],
        ['---', ''],
        ['# note', '---'],
        ['%YAML 1.2', '---', ''],
      ]) {
        const file = `\ufeff${[...frame.slice(0, -1), ...written, ''].join(end)}`
        t.equal(placeOf('a.yaml', file, 'content', '{{ x'), '{{ x', `${name}: ${JSON.stringify(file)}`)
      }
  }
})

t.test('the line of a position at the end of a text is right too', async (t) => {
  const endOf = (file: string) => {
    const prompt = parsePromptFile('a.yaml', file, 'files[0]')
    const texts = splitLines(textOf(prompt, 'content'))
    return prompt.locate('content', texts.length, (texts.at(-1) ?? '').length + 1)
  }
  t.same(endOf('content: |\n  a\n  b\ntitle: T'), { line: 4, column: 1 })
  t.same(endOf('content: |-\n  a\n  b\ntitle: T'), { line: 3, column: 4 })
  t.same(endOf('content: |+\n  a\n\n\ntitle: T'), { line: 5, column: 1 })
  t.same(endOf('content: ab\n'), { line: 1, column: 12 })
  t.same(endOf('content: "ab"\n'), { line: 1, column: 13 })
})

t.test('messages, variants and parts of texts are found by their place', async (t) => {
  const file = lines(
    'messages:',
    '  - { role: system, content: s0 }',
    '  - placeholder: history',
    '  - role: user',
    '    content: >',
    '      u2',
    'variants:',
    '- tags: { locale: cn }',
    '  messages:',
    '  - content: |',
    '        v0',
    '    role: user',
    '  - {role: user, content: "v1"}',
  )
  t.equal(placeOf('a.yaml', file, 'messages[0].content', 's0'), 's0')
  t.equal(placeOf('a.yml', file, 'messages[2].content', 'u2'), 'u2')
  for (const marker of ['v0', 'v1'])
    t.equal(placeOf('a.yaml', file, `variants[0].messages[${marker.at(1)}].content`, marker), marker)
  t.equal(placeOf('a.prompt.yml', file, 'messages[2].content', 'u2'), 'u2')
  t.equal(placeOf('a.prompt.yml', 'prompts: [{ role: user, content: u0 }]', 'messages[0].content', 'u0'), 'u0')
  t.equal(placeOf('a.prompt.yml', 'model: m\nprompt: |\n  p', 'content', 'p'), 'p')
  const parts = lines('messages:', '- role: user', '  content:', '  - { type: text, text: "a" }', '  - |', '    b', '', '  - c')
  for (const marker of ['a', 'b', 'c']) t.equal(placeOf('a.prompt.yml', parts, 'messages[0].content', marker), marker)
  t.equal(placeOf('a.yml', 'messages: [{ content: u0, role: user }]\nmodelParameters: {}', 'messages[0].content', 'u0'), 'u0')
})

t.test('where a place is not certain there is none', async (t) => {
  const file = lines(
    'metadata: { shared: &shared text, all: &all { role: user, content: merged } }',
    'messages:',
    '- { role: user, content: *shared }',
    '- *all',
    '- { <<: *all, role: system }',
  )
  const { locate, fields } = parsePromptFile('a.yaml', file, 'files[0]')
  t.same(
    (fields.messages as { content: string }[]).map(({ content }) => content),
    ['text', 'merged', 'merged'],
  )
  for (const index of [0, 1, 2, 3]) t.equal(locate(`messages[${index}].content`, 1, 1), null)
  const { locate: find } = parsePromptFile('a.yaml', 'content: >\n  a\n\n\n  b\nname: "T"', 'files[0]')
  for (const field of [
    'title',
    'name',
    '',
    'messages[0].content',
    'variants[0].content',
    'content.length',
    '__proto__',
    'content[0]',
  ])
    t.equal(find(field, 1, 1), null, field)
  for (const [line, column] of [
    [0, 1],
    [9, 1],
    [1, 0],
    [1, Number.NaN],
    [1, 9],
    [1, Number.POSITIVE_INFINITY],
    [Number.POSITIVE_INFINITY, 1],
    [Number.NaN, 1],
    [2, 1],
  ] as const)
    t.equal(find('content', line, column), null, `${line}:${column}`)
})

/** Lines that each spelling can hold, among them such as need escapes or look like YAML. */
const anyLine = fc.oneof(
  fc.constantFrom(
    'a',
    'it is "so"',
    "it's",
    'ä 客服 😀',
    '- b',
    'c: d',
    '# e',
    '  in',
    '\\n',
    '{ f }',
    'g # h',
    '',
    '  ',
    '\tt',
    'x  ',
  ),
  fc.stringMatching(/^[ -~]{0,12}$/),
)
const anyText = fc
  .tuple(fc.array(anyLine, { maxLength: 5 }), fc.array(anyLine, { maxLength: 5 }))
  .map(([before, after]) => [...before, '§', ...after])

const writers: Record<string, (texts: string[]) => string[]> = {
  literal: (texts) => ['|2', ...texts.map((line) => (line === '' ? '' : `    ${line}`))],
  kept: (texts) => ['|2+', ...texts.map((line) => `    ${line}`), ''],
  folded: (texts) => ['>2-', ...texts.map((line) => `    ${line}`)],
  single: (texts) => texts.map((line, index) => `${index === 0 ? "'" : '    '}${line.replaceAll("'", "''")}`).concat("    '"),
  double: (texts) => [JSON.stringify(texts.join('\n'))],
  folding: (texts) =>
    texts.map((line, index) => `${index === 0 ? '"' : '    '}${JSON.stringify(line).slice(1, -1)}`).concat('    "'),
}

t.test('any text is found where it stands, in every spelling', async (t) => {
  for (const [name, write] of Object.entries(writers)) {
    fc.assert(
      fc.property(anyText, fc.constantFrom('\n', '\r\n'), (texts, end) => {
        const [first = '', ...rest] = write(texts)
        const file = ['# head', 'messages:', '- role: user', `  content: ${first}`, ...rest, '- { role: user, content: x }'].join(
          end,
        )
        return placeOf('a.yaml', file, 'messages[0].content', '§') === '§'
      }),
      { numRuns: 60 },
    )
    t.pass(name)
  }
})

t.test('any file has a place for any position or none, and finding it throws nothing', async (t) => {
  const piece = fc.constantFrom(
    'content: ',
    'messages:\n- ',
    'role: user\n',
    '|\n',
    '>-\n',
    '  ',
    'x',
    '\n',
    '\r',
    '"',
    "'",
    '\\',
    '{{',
    '---\n',
    '- ',
    'user:\n',
  )
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 14 }),
      fc.constantFrom('yaml', 'md', 'prompty', 'prompt.yml'),
      fc.nat(5),
      fc.nat(9),
      (parts, extension, line, column) => {
        let prompt: FilePrompt
        try {
          prompt = parsePromptFile(`a.${extension}`, parts.join(''), 'files[0]')
        } catch {
          return true
        }
        const places = ['content', 'messages[0].content'].map((field) => prompt.locate(field, line, column))
        const count = splitLines(parts.join('')).length
        return places.every((place) => place === null || (place.line >= 1 && place.line <= count && place.column >= 1))
      },
    ),
    { numRuns: runs(500) },
  )
  t.pass()
})

t.test('places in the largest files are found quickly, again and again', async (t) => {
  const messages = Array.from({ length: 500 }, (_, index) => `- role: user\n  content: |\n${`    line ${index}\n`.repeat(30)}`)
  const files = [
    { path: 'a.yaml', file: `messages:\n${messages.join('')}`, field: 'messages[499].content', line: 30 },
    { path: 'a.yaml', file: `content: "${'\\n'.repeat(200_000)}"`, field: 'content', line: 200_001 },
    { path: 'a.yaml', file: `content: ${'a '.repeat(200_000)}b`, field: 'content', line: 1 },
    { path: 'a.yaml', file: `content: "${'a\n\n '.repeat(9_000)}b"`, field: 'content', line: 9_001 },
    { path: 'a.yaml', file: `content: 'a${' '.repeat(400_000)}\n  b'`, field: 'content', line: 1 },
    { path: 'a.txt', file: '\n'.repeat(500_000), field: 'content', line: 500_000 },
  ]
  for (const { path, file, field, line } of files) {
    const { locate } = parsePromptFile(path, file, 'files[0]')
    const startedAt = process.cpuUsage()
    for (let repetition = 0; repetition < 3; repetition += 1) t.ok(locate(field, line, 1))
    const { user, system } = process.cpuUsage(startedAt)
    const spentMs = (user + system) / 1_000
    t.ok(spentMs < 1_500, `${field} of ${file.length} characters took ${Math.round(spentMs)} ms of a processor`)
  }
})
