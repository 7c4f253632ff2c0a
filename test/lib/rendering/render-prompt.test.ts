import fc from 'fast-check'
import t from 'tap'
import {
  createPromptCache,
  type PromptMessage,
  preparePrompt,
  type RenderablePrompt,
} from '../../../src/lib/rendering/prepared-prompt.js'
import { RenderError } from '../../../src/lib/rendering/render-error.js'
import { type RenderRequest, renderPrepared, renderPrompt } from '../../../src/lib/rendering/render-prompt.js'
import type { IncludedPrompt, IncludedPrompts } from '../../../src/lib/rendering/units.js'
import { parseTemplate } from '../../../src/lib/template/parse.js'
import { templateVariables } from '../../../src/lib/template/variables.js'
import { stopwatch } from '../../helpers/stopwatch.js'

const prompt = (fields: Partial<RenderablePrompt>): RenderablePrompt => ({
  type: fields.messages ? 'chat' : 'text',
  template: 'jinja',
  content: null,
  messages: null,
  inputs: null,
  variables: [],
  includes: {},
  ...fields,
})

const text = (content: string, fields: Partial<RenderablePrompt> = {}) =>
  prompt({ content, variables: templateVariables(parseTemplate(content)), ...fields })

const included = (
  content: string,
  includes: Record<string, string> = {},
  template: 'jinja' | 'none' = 'jinja',
): IncludedPrompt => ({
  name: 'part',
  version: 'v1',
  template,
  content,
  includes,
})

const chat = (messages: PromptMessage[], fields: Partial<RenderablePrompt> = {}) => prompt({ messages, ...fields })

function errorOf(renderable: RenderablePrompt, request: RenderRequest): RenderError {
  try {
    renderPrompt(renderable, request)
  } catch (error) {
    if (error instanceof RenderError) return error
    throw error
  }
  throw new Error('Nothing was thrown.')
}

const pathsOf = ({ code, findings }: RenderError) => [code, ...findings.map(({ path }) => path)]

t.test('a text is rendered, and one that is no template is left as it is', async (t) => {
  t.same(renderPrompt(text('Hello {{ name }}!'), { variables: { name: 'Ada' } }), { text: 'Hello Ada!' })
  t.same(renderPrompt(text('{{ x }}\n', { template: 'none', variables: [] }), { variables: {} }), { text: '{{ x }}\n' })
})

t.test('strict names every missing variable in one error, and otherwise they are empty', async (t) => {
  const renderable = text('{{ a }}{{ b }}{{ c|default("c") }}{% for d in ds %}{{ d }}{% endfor %}')
  const error = errorOf(renderable, { variables: { bb: 1 } })
  t.same(pathsOf(error), ['variables.missing', 'variables.a', 'variables.b', 'variables.ds'])
  t.match(error.findings[1]?.message, /"b" is missing.*Did you mean "bb"/)
  t.same(renderPrompt(renderable, { variables: {}, strict: false }), { text: 'c' })
  t.same(renderPrompt(renderable, { variables: { a: null, b: '', ds: [] } }), { text: 'Nonec' }, 'null is a value')
  t.same(pathsOf(errorOf(text('{{ constructor }}{{ toString }}'), { variables: {} })).length, 3)
})

t.test('what turns out to be missing only while rendering is named as well, all of it', async (t) => {
  const messages = [
    { role: 'system', content: '{{ a }}' },
    { role: 'user', content: '{{ b }}{{ a }}' },
  ]
  t.same(pathsOf(errorOf(chat(messages), { variables: {} })), ['variables.missing', 'variables.a', 'variables.b'])
  t.same(renderPrompt(chat(messages), { variables: {}, strict: false }), {
    messages: [
      { role: 'system', content: '' },
      { role: 'user', content: '' },
    ],
  })
})

t.test('strict names exactly the required variables that are absent', async () => {
  const names = fc.uniqueArray(fc.stringMatching(/^v[a-z]{1,3}$/), { maxLength: 6 })
  fc.assert(
    fc.property(
      names,
      fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
      fc.array(fc.boolean(), { minLength: 6 }),
      (all, given, needed) => {
        const renderable = text(
          all.map((name, index) => (needed[index] ? `{{ ${name} }}` : `{{ ${name}|default('') }}`)).join(' '),
        )
        const variables = Object.fromEntries(all.filter((_, index) => given[index]).map((name) => [name, 'x']))
        const absent = all.filter((_, index) => needed[index] && !given[index]).map((name) => `variables.${name}`)
        if (absent.length === 0) return 'text' in renderPrompt(renderable, { variables })
        const error = errorOf(renderable, { variables })
        return error.code === 'variables.missing' && error.findings.map(({ path }) => path).join() === absent.join()
      },
    ),
    { numRuns: 60 },
  )
})

t.test('variables that break the schema are named by their paths, after the missing ones', async (t) => {
  const inputs = {
    type: 'object',
    properties: {
      docs: { type: 'array', items: { properties: { title: { type: 'string' } } } },
      tone: { default: 'warm', enum: ['warm', 'cold'] },
    },
    required: ['docs', 'user'],
  }
  const renderable = text('{{ tone }} {% for doc in docs %}{{ doc.title }}{% endfor %}', { inputs })
  t.same(pathsOf(errorOf(renderable, { variables: { tone: 'x' } })), ['variables.missing', 'variables.docs', 'variables.user'])
  const broken = { docs: [{ title: 'a' }, { title: 2 }], user: 1, tone: 'x' }
  t.same(pathsOf(errorOf(renderable, { variables: broken })), ['inputs.invalid', 'variables.docs[1].title', 'variables.tone'])
  t.same(renderPrompt(renderable, { variables: { docs: [{ title: 'a' }], user: 1 } }), { text: 'warm a' }, 'the default is taken')
  t.same(renderPrompt(renderable, { variables: { tone: 'cold' }, strict: false }), { text: 'cold ' })
  t.same(pathsOf(errorOf(renderable, { variables: { tone: 1 }, strict: false })), ['inputs.invalid', 'variables.tone'])
})

t.test('a placeholder inserts exactly the messages that are given, and renders nothing of them', async () => {
  const message = fc.record({
    role: fc.constantFrom('user', 'assistant', 'tool'),
    content: fc.oneof(
      fc.string(),
      fc.constant('{{ name }}'),
      fc.constant(null),
      fc.constant([{ type: 'text', text: '{{ x }}' }]),
    ),
    tool_calls: fc.constant([{ id: '1' }]),
  })
  const renderable = chat([{ role: 'system', content: '{{ name }}' }, { placeholder: 'history' }, { placeholder: 'more' }])
  fc.assert(
    fc.property(fc.array(message, { maxLength: 4 }), fc.array(message, { maxLength: 2 }), (history, more) => {
      const given = JSON.stringify([{ role: 'system', content: 'Ada' }, ...history, ...more])
      const rendered = renderPrompt(renderable, { variables: { name: 'Ada', history, more } })
      return 'messages' in rendered && JSON.stringify(rendered.messages) === given
    }),
    { numRuns: 60 },
  )
})

t.test('a placeholder without its list is missing, and what is no list of messages is named by its path', async (t) => {
  const renderable = chat([{ placeholder: 'history' }])
  t.same(pathsOf(errorOf(renderable, { variables: {} })), ['variables.missing', 'variables.history'])
  t.same(renderPrompt(renderable, { variables: {}, strict: false }), { messages: [] })
  const cases: [value: unknown, paths: string[]][] = [
    [null, ['variables.history']],
    ['text', ['variables.history']],
    [{ role: 'user', content: 'x' }, ['variables.history']],
    [['x', { role: 'user', content: 'a' }], ['variables.history[0]']],
    [[{ role: 'User', content: 1 }], ['variables.history[0].role', 'variables.history[0].content']],
    [[{ role: 'user' }], ['variables.history[0].content']],
    [[{ role: 'user', content: [1] }], ['variables.history[0].content[0]']],
    [Array.from({ length: 1_001 }, () => ({ role: 'user', content: '' })), ['variables.history']],
    [[{ role: 'user', content: 'x'.repeat(1024 ** 2) }], ['variables.history']],
  ]
  for (const [history, paths] of cases) {
    t.same(pathsOf(errorOf(renderable, { variables: { history } })), ['inputs.invalid', ...paths])
  }
  t.same(renderPrompt(renderable, { variables: { history: [{ role: 'assistant', tool_calls: [] }] } }), {
    messages: [{ role: 'assistant', tool_calls: [] }],
  })
  const half = Array.from({ length: 600 }, () => ({ role: 'user', content: '' }))
  t.same(pathsOf(errorOf(chat([{ placeholder: 'a' }, { placeholder: 'b' }]), { variables: { a: half, b: half } })), [
    'inputs.invalid',
    'variables',
  ])
})

t.test('a template takes the versions that were sent with it, each under its own key', async (t) => {
  const includes: IncludedPrompts = {
    a: included('[{% include "c" %}{{ x }}]', { c: 'c@v1' }),
    c: included('{{ new }}', {}, 'none'),
    'c@v1': included('old'),
  }
  const renderable = text('{% include "a" %}{% include "c" %}{% include ["no", "a"] %}{% include "no" ignore missing %}', {
    includes,
  })
  t.same(renderPrompt(renderable, { variables: { x: 1 } }), { text: '[old1]{{ new }}[old1]' })
  const error = errorOf(text('{% include "a" %}', { includes: { a: included('{{ 1\n + }}') } }), { variables: {} })
  t.same(pathsOf(error), ['template.syntax', 'includes["a"].content'])
  const failing = errorOf(text('{% include "a" %}', { includes: { a: included('\n{{ 1 // 0 }}') } }), { variables: {} })
  t.same(pathsOf(failing), ['template.runtime', 'content'])
  t.match(failing.findings[0], { template: 'a', line: 2, message: /in "a", line 2/ })
})

t.test(
  'includes that come back to themselves, go too deep or were not sent are errors, and wide ones are compiled once',
  async (t) => {
    const ring = { a: included('{% include "b" %}', { b: 'b' }), b: included('{% include "a" %}', { a: 'a' }) }
    t.match(errorOf(text('{% include "a" %}', { includes: ring }), { variables: {} }).findings[0]?.message, /includes itself/)
    const chain = (length: number) =>
      Object.fromEntries(
        Array.from({ length }, (_, index) => {
          const next = `p${index + 1}`
          const content = index + 1 < length ? `${index}{% include "${next}" %}{% include "${next}" %}` : '.'
          return [`p${index}`, included(content, index + 1 < length ? { [next]: next } : {})]
        }),
      )
    t.ok(renderPrompt(text('{% include "p0" %}', { includes: chain(10) }), { variables: {} }))
    t.match(errorOf(text('{% include "p0" %}', { includes: chain(11) }), { variables: {} }).findings[0]?.message, /10 levels/)
    const late = { ...chain(10), q: included('{% include "p0" %}', { p0: 'p0' }) }
    t.match(errorOf(text('{% include "p0" %}{% include "q" %}', { includes: late }), { variables: {} }).message, /10 levels/)
    const lost = { a: included('{% include "constructor" %}', { constructor: 'constructor' }) }
    t.match(errorOf(text('{% include "a" %}', { includes: lost }), { variables: {} }).message, /not sent along/)
  },
)

t.test('all messages share one budget, and what fails is named with its message, line and column', async (t) => {
  const half = '{{ "x" * 600000 }}'
  const large = errorOf(
    chat([
      { role: 'user', content: half },
      { role: 'user', content: half },
    ]),
    { variables: {} },
  )
  t.same(pathsOf(large), ['template.too_complex', 'messages[1].content'])
  const inserted = { variables: { h: [{ role: 'user', content: 'x'.repeat(900_000) }] } }
  t.same(pathsOf(errorOf(chat([{ role: 'user', content: half }, { placeholder: 'h' }]), inserted)), [
    'template.too_complex',
    'variables.h',
  ])
  const messages = ['{{ 1 // 0 }}', 'fine', '\n {{ "a" + 1 }}'].map((content) => ({ role: 'user', content }))
  const error = errorOf(chat(messages), { variables: {} })
  t.same(pathsOf(error), ['template.runtime', 'messages[0].content', 'messages[2].content'])
  t.match(error.findings[1], { line: 2, message: /line 2, column/ })
  const docs = Array.from({ length: 20_000 }, () => [1])
  const many = Array.from({ length: 500 }, () => ({ role: 'user', content: '{{ docs|length }}' }))
  const elapsedMs = stopwatch()
  t.same(renderPrompt(chat(many), { variables: { docs } }), {
    messages: many.map(({ role }) => ({ role, content: '20000' })),
  })
  t.ok(elapsedMs() < 1_000, 'what is given is made a value once for all of them')
})

t.test('a prompt whose templates are too many together is refused, however they are divided', async (t) => {
  const dense = '{{ a }}'.repeat(2_400)
  const includes = Object.fromEntries(['a', 'b', 'c'].map((name) => [name, included(dense)]))
  const including = errorOf(text('{% include "a" %}{% include "b" %}{% include "c" %}', { includes }), { variables: {} })
  t.same(pathsOf(including), ['template.too_complex', 'includes["c"].content'])
  const messages = Array.from({ length: 3 }, () => ({ role: 'user', content: dense }))
  t.same(pathsOf(errorOf(chat(messages), { variables: {} })), ['template.too_complex', 'messages[2].content'])
  const once = text('{% include "a" %}'.repeat(9), { includes })
  t.ok(renderPrompt(once, { variables: { a: 1 } }), 'what is included several times counts once')
  t.ok(renderPrompt(text(`{{ a }}${'words '.repeat(40_000)}`), { variables: { a: 1 } }), 'a text counts little')
})

t.test('rendering twice gives the same bytes, whether it is kept or made anew', async (t) => {
  const part = fc.constantFrom(
    '{{ a }}',
    '{% if b %}b{% endif %}',
    '{% for i in c %}{{ loop.index }}{{ i }}{% endfor %}',
    ' text ',
    '{{ a|upper }}',
  )
  const variables = fc.record({ a: fc.string(), b: fc.boolean(), c: fc.array(fc.integer(), { maxLength: 3 }) })
  fc.assert(
    fc.property(fc.array(part, { maxLength: 5 }), variables, (parts, given) => {
      const renderable = text(parts.join(''))
      const prepared = preparePrompt(renderable)
      const before = JSON.stringify(given)
      const results = [prepared, prepared, preparePrompt(renderable)].map((one) =>
        JSON.stringify(renderPrepared(one, { variables: given })),
      )
      return new Set(results).size === 1 && JSON.stringify(given) === before
    }),
    { numRuns: 60 },
  )
  const small = createPromptCache(1_000)
  small.set('large', preparePrompt(text('x'.repeat(2_000))))
  t.equal(small.get('large'), undefined, 'what is too large is not kept')
})

t.test('the names of variables reach nothing but what was given', async (t) => {
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']
  const renderable = text(names.map((name) => `{{ ${name} }}`).join(' '))
  t.same(errorOf(renderable, { variables: {} }).findings.length, names.length)
  const variables = JSON.parse('{"__proto__":"a","constructor":"b","toString":"c","hasOwnProperty":"d"}')
  t.same(renderPrompt(renderable, { variables }), { text: 'a b c d' })
  const twice = chat([{ role: 'user', content: '{{ __proto__ }}' }, { placeholder: 'constructor' }])
  const given = JSON.parse('{"__proto__":{"x":1},"constructor":[]}')
  t.same(renderPrompt(twice, { variables: given }), { messages: [{ role: 'user', content: "{'x': 1}" }] })
  t.equal(({} as Record<string, unknown>).x, undefined)
})
