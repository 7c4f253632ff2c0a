import { applyPatch, parsePatch } from 'diff'
import fc from 'fast-check'
import t from 'tap'
import type { PromptMessage } from '../../src/lib/content-hash.js'
import { htmlDiff, htmlInSteps } from '../../src/lib/diff/html.js'
import { type Diffable, diffInSteps, diffPrompts, type PromptDiff, type TextDiff } from '../../src/lib/diff/prompt-diff.js'
import { layOut } from '../../src/lib/diff/structure.js'
import { sectionsOf, unifiedDiff, unifiedInSteps } from '../../src/lib/diff/unified.js'
import { runs } from '../helpers/runs.js'
import { stopwatch } from '../helpers/stopwatch.js'

const plain: Diffable = {
  name: 'support',
  ref: 'v1',
  version: 'v1',
  release: 'r1',
  type: 'text',
  template: 'jinja',
  content: '',
  messages: null,
  config: {},
  inputs: null,
  variables: [],
  variants: [],
  includes: {},
}

/** The diff of two contents, or null where they are equal. */
const diffContent = (from: string, to: string) => diffPrompts({ ...plain, content: from }, { ...plain, content: to }).content
const diffChats = (from: PromptMessage[], to: PromptMessage[]) => {
  const chat = { ...plain, type: 'chat', content: null } as const
  return diffPrompts({ ...chat, messages: from }, { ...chat, messages: to }).messages
}
const say = (role: string, content: string): PromptMessage => ({ role, content })

/** Few lines, so that random texts have some in common; line feeds, carriage returns and hostile markup among them. */
const line = fc.constantFrom(
  'a',
  'b',
  '',
  'be kind',
  'be very kind',
  '\r',
  '--- x',
  '+++ y',
  '@@ -1 +1 @@',
  '\\ No newline',
  '你好，我能',
  '<b>&"\'',
  '</td><script>alert(1)</script>',
)
const text = fc
  .tuple(fc.array(line, { maxLength: 30 }), fc.boolean())
  .map(([lines, isEnded]) => lines.join('\n') + (isEnded ? '\n' : ''))
const role = fc.constantFrom('system', 'user', 'assistant')
const message = fc.oneof(
  { weight: 4, arbitrary: fc.record({ role, content: text }) },
  { weight: 1, arbitrary: fc.record({ placeholder: fc.constantFrom('history', 'examples') }) },
)
const messages: fc.Arbitrary<PromptMessage[]> = fc.array(message, { minLength: 1, maxLength: 5 })
const json = fc.dictionary(fc.constantFrom('a', 'b', 'x.y', '', '__proto__', '<i>'), fc.jsonValue({ maxDepth: 3 }), {
  maxKeys: 4,
})
const tags = fc.dictionary(fc.constantFrom('locale', 'tone'), fc.constantFrom('cn', 'en', 'a b\n', '<u>'), { minKeys: 1 })

const body = (isChat: boolean) =>
  isChat
    ? fc.record({ content: fc.constant(null), messages })
    : fc.record({ content: text as fc.Arbitrary<string | null>, messages: fc.constant(null) })

const prompt: fc.Arbitrary<Diffable> = fc.boolean().chain((isChat) =>
  fc
    .record({
      own: body(isChat),
      template: fc.constantFrom('jinja' as const, 'none' as const),
      config: json,
      inputs: fc.option(json),
      variables: fc.uniqueArray(fc.record({ name: fc.constantFrom('a', 'b', 'c'), required: fc.boolean() }), {
        selector: ({ name }) => name,
      }),
      variants: fc.uniqueArray(fc.tuple(tags, body(isChat)), {
        selector: ([own]) => JSON.stringify(Object.entries(own).sort()),
        maxLength: 3,
      }),
      includes: fc.dictionary(
        fc.constantFrom('legal', 'tone'),
        fc.constantFrom({ name: 'x', version: 'v1' }, { name: 'x', version: 'v2' }),
      ),
    })
    .map(({ own, variants, ...rest }) => ({
      ...plain,
      ...rest,
      ...own,
      type: isChat ? 'chat' : 'text',
      variants: variants.map(([own, content]) => ({ tags: own, ...content })),
    })),
)

/** What the hunks make of a text. */
function apply(from: string, diff: TextDiff | null): string {
  if (!diff) return from
  const lines = from.match(/[^\n]*\n|[^\n]+$/g) ?? []
  const made: string[] = []
  let at = 0
  for (const { fromLine, fromCount, lines: told } of diff.hunks) {
    const start = fromCount === 0 ? fromLine : fromLine - 1
    made.push(...lines.slice(at, start))
    for (const { kind, text, noNewline } of told) {
      if (kind !== 'removed') made.push(noNewline ? text : `${text}\n`)
    }
    at = start + fromCount
  }
  return [...made, ...lines.slice(at)].join('')
}

const everyLine = (diff: TextDiff | null) => diff?.hunks.flatMap(({ lines }) => lines) ?? []

t.test('the hunks of a diff turn the one text into the other, and back', async () => {
  fc.assert(
    fc.property(text, text, (from, to) => {
      if (apply(from, diffContent(from, to)) !== to) return false
      return everyLine(diffContent(from, to))
        .filter(({ kind }) => kind !== 'added')
        .every(({ text }) => from.includes(text))
    }),
    { numRuns: runs(1_000) },
  )
})

t.test('the counts of a diff are those of its lines, and no fewer lines would do', async (t) => {
  fc.assert(
    fc.property(text, text, (from, to) => {
      const diff = diffContent(from, to)
      const lines = everyLine(diff)
      for (const hunk of diff?.hunks ?? []) {
        if (hunk.lines.filter(({ kind }) => kind !== 'added').length !== hunk.fromCount) return false
        if (hunk.lines.filter(({ kind }) => kind !== 'removed').length !== hunk.toCount) return false
      }
      const count = (wanted: string) => lines.filter(({ kind }) => kind === wanted).length
      return count('added') === (diff?.added ?? 0) && count('removed') === (diff?.removed ?? 0)
    }),
    { numRuns: runs(500) },
  )
  const shuffled = diffContent('a\nb\nc\nd\n', 'b\nc\nx\nd\na\n')
  t.strictSame([shuffled?.added, shuffled?.removed], [2, 1])
})

t.test('the words of a line are that line, and what stays the same is the same on both sides', async (t) => {
  fc.assert(
    fc.property(text, text, (from, to) => {
      for (const { text: whole, words } of everyLine(diffContent(from, to))) {
        if (words && words.map(({ text }) => text).join('') !== whole) return false
      }
      const kept = (kind: string) =>
        everyLine(diffContent(from, to))
          .filter((line) => line.kind === kind)
          .flatMap(({ words = [] }) => words.filter(({ kind }) => kind === 'same').map(({ text }) => text))
          .join('')
      return kept('removed') === kept('added')
    }),
    { numRuns: runs(500) },
  )
  const [removed, added] = everyLine(diffContent('我能帮你什么？', '我可以帮你什么？'))
  t.strictSame(removed?.words, [
    { kind: 'same', text: '我' },
    { kind: 'changed', text: '能' },
    { kind: 'same', text: '帮你什么？' },
  ])
  t.strictSame(added?.words?.[1], { kind: 'changed', text: '可以' })
})

t.test('lines that have little in common are not compared by words', async (t) => {
  const lines = everyLine(diffContent('You are a helpful assistant.\n', 'Translate into French:\n'))
  t.strictSame(
    lines.map(({ words }) => words),
    [undefined, undefined],
  )
})

/** The texts of both sides of every part of a prompt that can differ. */
function textsOf(from: Diffable, to: Diffable, diff: PromptDiff): [string, string][] {
  const configs = layOut(
    Object.keys(from.config).length > 0 ? from.config : null,
    Object.keys(to.config).length > 0 ? to.config : null,
  )
  const inputs = layOut(from.inputs, to.inputs)
  const textAt = (list: PromptMessage[] | null | undefined, index: number | null) => {
    const found = index === null ? undefined : list?.[index]
    return found && 'content' in found ? found.content : ''
  }
  const inChats = (found: PromptDiff['messages'], before: PromptMessage[] | null | undefined, after: typeof before) =>
    found
      .filter(({ content }) => content)
      .map(({ index }): [string, string] => [textAt(before, index.from), textAt(after, index.to)])
  const same = (one: object, other: object) =>
    JSON.stringify(Object.entries(one).sort()) === JSON.stringify(Object.entries(other).sort())
  return [
    ...(diff.content ? [[from.content ?? '', to.content ?? ''] as [string, string]] : []),
    ...inChats(diff.messages, from.messages, to.messages),
    ...(diff.configLines ? [[configs.from, configs.to] as [string, string]] : []),
    ...(diff.inputsLines ? [[inputs.from, inputs.to] as [string, string]] : []),
    ...diff.variants.flatMap(({ tags, content, messages }) => {
      const [before, after] = [from, to].map(({ variants }) => variants.find((variant) => same(variant.tags, tags)))
      const own: [string, string][] = content ? [[before?.content ?? '', after?.content ?? '']] : []
      return [...own, ...inChats(messages, before?.messages, after?.messages)]
    }),
  ]
}

t.test('a unified diff is read by other programs, and turns every text of one prompt into that of the other', async () => {
  fc.assert(
    fc.property(prompt, prompt, (from, to) => {
      const diff = diffPrompts(from, to)
      const files = parsePatch(unifiedDiff([diff]))
      if (files.length !== sectionsOf(diff).length) return false
      const texts = textsOf(from, to, diff)
      const patches = diff.outline ? files.slice(1) : files
      return (
        patches.length === texts.length && texts.every(([before, after], at) => applyPatch(before, patches[at] ?? '') === after)
      )
    }),
    { numRuns: runs(400) },
  )
})

/** All that makes a prompt what it is; an empty config is none, and the order of includes counts for nothing. */
const made = ({ ref, version, release, includes, ...rest }: Diffable) =>
  JSON.stringify([
    rest,
    Object.entries(includes)
      .map(([name, { version }]) => `${name} ${version}`)
      .sort(),
  ])

t.test('prompts are identical just if they are equal, and then nothing is told', async () => {
  const pair = fc.oneof(
    fc.tuple(prompt, prompt),
    prompt.map((one): [Diffable, Diffable] => [one, { ...structuredClone(one), ref: 'v2', version: 'v2' }]),
  )
  fc.assert(
    fc.property(pair, ([from, to]) => {
      const diff = diffPrompts(from, to)
      const isSame = made(from) === made(to)
      return diff.identical === isSame && (unifiedDiff([diff]) === '') === isSame
    }),
    { numRuns: runs(800) },
  )
})

t.test('a prompt that is not there on one side is all added or all removed', async (t) => {
  fc.assert(
    fc.property(prompt, (only) => {
      const [added, removed] = [diffPrompts(null, only), diffPrompts(only, null)]
      const sums = (diff: PromptDiff) => sectionsOf(diff).map(({ text }) => [text.added, text.removed])
      return (
        added.from === null &&
        removed.to === null &&
        !added.identical &&
        sums(added).every(([, less]) => less === 0) &&
        sums(removed).every(([more]) => more === 0)
      )
    }),
    { numRuns: runs(400) },
  )
  t.match(
    unifiedDiff([diffPrompts(null, { ...plain, content: 'New' })]),
    '--- /dev/null\n+++ support@v1 content\t\n@@ -0,0 +1,1 @@\n+New\n',
  )
  t.throws(() => diffPrompts(null, null))
})

t.test('a message that was put in between is one that was added', async (t) => {
  const chat = [say('system', 'Be kind.'), say('user', 'Hi'), say('assistant', 'Hello')]
  const told = diffChats(chat, [chat[0] as PromptMessage, say('user', 'An example'), ...chat.slice(1)])
  t.strictSame(
    told.map(({ status, index, role }) => ({ status, index, role })),
    [{ status: 'added', index: { from: null, to: 1 }, role: { from: null, to: 'user' } }],
  )
})

t.test('a message keeps its place though its text, its role or both change', async (t) => {
  const told = diffChats(
    [say('system', 'You help people with their mail.'), say('user', 'Hi'), { placeholder: 'history' }],
    [say('developer', 'You help people with their mail.'), say('user', 'Hello'), { placeholder: 'examples' }],
  )
  t.strictSame(
    told.map(({ status, role, placeholder, content }) => ({ status, role, placeholder, hasText: content !== null })),
    [
      { status: 'changed', role: { from: 'system', to: 'developer' }, placeholder: { from: null, to: null }, hasText: false },
      { status: 'changed', role: { from: 'user', to: 'user' }, placeholder: { from: null, to: null }, hasText: true },
      { status: 'changed', role: { from: null, to: null }, placeholder: { from: 'history', to: 'examples' }, hasText: false },
    ],
  )
})

t.test('config is compared by keys and indexes, whatever the keys are', async (t) => {
  const from = { temperature: 0.2, response_format: { type: 'text' }, tools: [{ name: 'a' }], 'x.y': 1, stop: null }
  const to = { temperature: 0.2, response_format: { type: 'json' }, tools: [{ name: 'b' }, 'c'], stop: ['.'], 你: true }
  t.strictSame(diffPrompts({ ...plain, config: from }, { ...plain, config: to }).config, [
    { path: 'response_format.type', op: 'changed', from: 'text', to: 'json' },
    { path: 'tools[0].name', op: 'changed', from: 'a', to: 'b' },
    { path: 'tools[1]', op: 'added', to: 'c' },
    { path: '["x.y"]', op: 'removed', from: 1 },
    { path: 'stop', op: 'changed', from: null, to: ['.'] },
    { path: '你', op: 'added', to: true },
  ])
  const many = (by: number) => ({ list: Array.from({ length: 2_000 }, (_, index) => index + by) })
  t.strictSame(
    diffPrompts({ ...plain, config: many(0) }, { ...plain, config: many(1) }).config.map(({ path }) => path),
    [''],
  )
})

t.test('the order of keys alone makes a config another one', async (t) => {
  const diff = diffPrompts({ ...plain, config: { a: 1, b: 2 } }, { ...plain, config: { b: 2, a: 1 } })
  t.strictSame(diff.config, [])
  t.notOk(diff.identical)
  t.match(unifiedDiff([diff]), 'support@v1 config')
})

t.test('variants are matched by equal tags, however those are written', async (t) => {
  const variant = (tags: Record<string, string>, content: string) => ({ tags, content, messages: null })
  const { variants } = diffPrompts(
    { ...plain, variants: [variant({ locale: 'en-US', tone: 'a' }, 'One'), variant({ tone: 'b' }, 'Gone')] },
    { ...plain, variants: [variant({ tone: 'c' }, 'New'), variant({ tone: 'a', locale: 'en_us' }, 'Two')] },
  )
  t.strictSame(
    variants.map(({ tags, status }) => [status, tags]),
    [
      ['added', { tone: 'c' }],
      ['changed', { tone: 'a', locale: 'en_us' }],
      ['removed', { tone: 'b' }],
    ],
  )
})

t.test('variables and includes are compared by name', async (t) => {
  const from = {
    variables: [
      { name: 'a', required: true },
      { name: 'b', required: true },
    ],
    includes: { legal: { name: 'legal', version: 'v1' }, tone: { name: 'tone', version: 'v3' } },
  }
  const to = {
    variables: [
      { name: 'b', required: false },
      { name: 'c', required: true },
    ],
    includes: { legal: { name: 'legal', version: 'v2' }, rules: { name: 'rules', version: 'v1' } },
  }
  const { variables, includes } = diffPrompts({ ...plain, ...from }, { ...plain, ...to })
  t.strictSame(variables, {
    added: [{ name: 'c', required: true }],
    removed: [{ name: 'a', required: true }],
    changed: [{ name: 'b', from: { required: true }, to: { required: false } }],
  })
  t.strictSame(includes, [
    { name: 'legal', from: 'v1', to: 'v2' },
    { name: 'tone', from: 'v3', to: null },
    { name: 'rules', from: null, to: 'v1' },
  ])
})

const elements = new Set(
  'html head meta title style body header h1 h2 h3 p span main section strong small table thead tbody tr th td del ins'.split(
    ' ',
  ),
)

/** Checks that a page is made of elements that are known, all of them closed, with no attribute that could run or load. */
function isSafe(page: string): boolean {
  const open: string[] = []
  const text = page.replace(/<style>[^<]*<\/style>/, '')
  for (const [whole, slash, name = '', attributes = ''] of text.matchAll(/<(\/?)([a-z0-9]*)((?: [a-z-]+="[^"<>]*")*)>|<|>/g)) {
    if (whole.length === 1 || !elements.has(name)) return false
    if (!/^( (class|colspan|scope|lang|charset|name|content)="[^"]*")*$/.test(attributes)) return false
    if (name === 'meta') continue
    if (!slash) open.push(name)
    else if (open.pop() !== name) return false
  }
  return open.length === 0
}

t.test('a page is well formed and safe, whatever the prompts hold', async () => {
  const hostile = fc.oneof(
    text,
    fc.array(fc.integer({ min: 0, max: 0x10ffff }), { maxLength: 40 }).map((codes) => String.fromCodePoint(...codes)),
    fc.constantFrom('"><img src=x onerror=alert(1)>', '<!--', ']]>', '&lt;'),
  )
  fc.assert(
    fc.property(prompt, prompt, hostile, (from, to, title) => {
      const [before, after] = [
        { ...from, ref: title },
        { ...to, config: { [title]: title }, version: title },
      ]
      const page = htmlDiff(title, [diffPrompts(before, after), diffPrompts(null, after), diffPrompts(after, after)])
      return (
        isSafe(page.replace('<!doctype html>', '')) &&
        !/<script|https?:|javascript:|url\(|@import/i.test(page.replaceAll('javascript:alert', ''))
      )
    }),
    { numRuns: runs(200) },
  )
})

t.test('what cannot be seen is put in words on a page', async (t) => {
  const hidden = 'a\u202Eb\u0007c\u200B\u200Bd\te👩\u200D👧f\u2028g\u3164h\u{E0101}i❤\uFE0F'
  const page = htmlDiff('A', [diffPrompts(plain, { ...plain, content: hidden })])
  t.match(page, 'a⟨U+202E⟩b⟨U+0007⟩c⟨U+200B⟩⟨U+200B⟩d\te👩\u200D👧f⟨U+2028⟩g⟨U+3164⟩h⟨U+E0101⟩i❤\uFE0F')
})

t.test('a page tells what changed in variants beside their texts, whatever else changed', async (t) => {
  const chat = (role: string, placeholder: string): Diffable['variants'][number] => ({
    ...{ tags: { locale: 'de' }, content: null },
    messages: [say(role, 'Hallo'), { placeholder }],
  })
  const text = (locale: string) => ({ tags: { locale }, content: locale, messages: null })
  const variable = [{ name: 'a', required: true }]
  const page = (from: Partial<Diffable>, to: Partial<Diffable>) =>
    htmlDiff('A', [diffPrompts({ ...plain, ...from }, { ...plain, variables: variable, ...to })])
  const roles = page({ variants: [chat('user', 'old')] }, { variants: [chat('system', 'new')] })
  t.match(roles, '<th scope="row">variable a</th>')
  t.match(roles, 'variant {locale: de} message 1</th><td><del>user</del></td><td><ins>system</ins></td>')
  t.match(roles, 'message 2</th><td><del>placeholder old</del></td><td><ins>placeholder new</ins></td>')
  t.notMatch(roles, 'Outline')
  const places = page({ variants: [text('de'), text('fr')] }, { variants: [text('fr'), text('de')] })
  t.match(places, /<h3>Outline.*variant: \{locale: de\}/s)
})

t.test('texts of any size and shape are compared in a moment, and the hunks still lead from one to the other', async (t) => {
  const lines = (count: number, make: (index: number) => string) =>
    Array.from({ length: count }, (_, index) => make(index)).join('\n')
  const shapes: Record<string, [string, string]> = {
    'line feeds alone': ['\n'.repeat(262_144), 'x\n'.repeat(131_072)],
    'two lines in turn': ['a\nb\n'.repeat(3_500), 'b\nb\na\n'.repeat(2_300)],
    'lines in another order': [lines(3_000, (n) => `line ${n}`), lines(3_000, (n) => `line ${(n * 7_919) % 3_000}`)],
    'other lines': [lines(3_000, (n) => `line ${n} of this`), lines(3_000, (n) => `line ${n} of that`)],
    'one long line': ['word '.repeat(52_000), 'word, '.repeat(43_000)],
    'long lines of signs': [lines(130, (n) => '!?'.repeat(950) + n), lines(130, (n) => '?!!'.repeat(630) + n)],
  }
  for (const [shape, [from, to]] of Object.entries(shapes)) {
    const elapsedMs = stopwatch()
    const diff = diffContent(from, to)
    const tookMs = elapsedMs()
    t.ok(tookMs < 1_000, `${shape}: ${Math.round(tookMs)} ms`)
    if (diff && diff.hunks.length > 0) t.ok(apply(from, diff) === to, shape)
    else t.ok(diff?.isCoarse, `${shape}: it is said that the lines are not told`)
  }
})

t.test('what stands above or beside many changes is not told with each of them', async (t) => {
  const nested = (leaf: number) => ({ ['k'.repeat(200_000)]: Array.from({ length: 900 }, (_, index) => index + leaf) })
  const config = diffPrompts({ ...plain, config: nested(0) }, { ...plain, config: nested(1) })
  t.strictSame(
    config.config.map(({ path }) => path),
    [''],
  )
  const long = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`tag${index}`, 'x'.repeat(250)]))
  const chat = (text: string): Diffable => ({
    ...{ ...plain, type: 'chat', content: null, messages: [] },
    variants: [
      { tags: long, content: null, messages: Array.from({ length: 400 }, (_, index) => say('user', `${text} ${index}`)) },
    ],
  })
  const variants = diffPrompts(chat('a'), chat('b'))
  const names = Array.from({ length: 5_000 }, (_, index) => ({ name: `v${index}`, required: true }))
  const variables = diffPrompts(plain, { ...plain, variables: names })
  for (const diff of [config, variants, variables]) {
    for (const told of [JSON.stringify(diff), unifiedDiff([diff]), htmlDiff('A', [diff])])
      t.ok(told.length < 1_500_000, `${told.length}`)
  }
  t.match(htmlDiff('A', [variables]), '4000 more are not shown.')
})

t.test('the work is cut into steps, and each does little of it', async (t) => {
  const variants = Array.from({ length: 100 }, (_, index) => ({ tags: { n: `${index}` }, content: `${index}\n`, messages: null }))
  const content = Array.from({ length: 2_000 }, (_, index) => `line ${index}\n`).join('')
  const steps = [...diffInSteps({ ...plain, content }, { ...plain, variants })]
  t.ok(steps.length > variants.length, `${steps.length} steps`)
  const diff = diffPrompts({ ...plain, content }, { ...plain, variants })
  for (const parts of [unifiedInSteps(diff), htmlInSteps(diff)]) t.ok([...parts].length > variants.length)
})

t.test('what is too much to tell is said so in every form', async (t) => {
  const diff = diffPrompts({ ...plain, content: 'a\n'.repeat(100_000) }, { ...plain, content: 'b\n'.repeat(90_000) })
  t.strictSame(diff.content, { added: 90_000, removed: 100_000, hunks: [], isCoarse: true })
  t.equal(
    unifiedDiff([diff]),
    'diff support@v1 content support@v1 content\nToo many lines to show: 100000 removed, 90000 added.\n',
  )
  t.strictSame(
    parsePatch(unifiedDiff([diff])).flatMap(({ hunks }) => hunks),
    [],
  )
  t.match(htmlDiff('A', [diff]), 'Too many lines to show.')
})

t.test('of many long texts each line that changed is told, and so is what stands beside them', async (t) => {
  const made = (line: string, temperature: number): Diffable => ({
    ...{ ...plain, config: { model: 'm', temperature } },
    variants: Array.from({ length: 8 }, (_, n) => ({
      ...{ tags: { n: `${n}` }, messages: null },
      content: Array.from({ length: 10_000 }, (_, at) => (at === n * 1_428 ? line : `${at % 7}`)).join('\n'),
    })),
  })
  const [from, to] = [made('old', 0.2), made('new', 0.7)]
  const diff = diffPrompts(from, to)
  for (const { text } of sectionsOf(diff)) t.match(text, { added: 1, removed: 1, isCoarse: false })
  t.equal(sectionsOf(diff).length, 9)
  for (const [at, { content }] of diff.variants.entries())
    t.equal(apply(from.variants[at]?.content ?? '', content), to.variants[at]?.content)
})

t.test('texts too different to align are told as replaced between what they begin and end with', async (t) => {
  const middle = (step: number) => Array.from({ length: 2_500 }, (_, n) => `line ${(n * step) % 2_500}\n`).join('')
  const [from, to] = [`first\n${middle(1)}last\n`, `first\n${middle(1_237)}last\n`]
  const diff = diffContent(from, to)
  t.ok(diff?.isCoarse)
  t.equal(diff?.hunks.length, 1)
  t.equal(apply(from, diff ?? null), to)
  t.strictSame(
    everyLine(diff ?? null)
      .filter(({ kind }) => kind === 'same')
      .map(({ text }) => text),
    ['first', 'line 0', 'last'],
  )
})
