import fc from 'fast-check'
import t from 'tap'
import { refused, shows } from '../helpers/assertions.js'
import { runs } from '../helpers/runs.js'
import { type CallOptions, startService } from '../helpers/service.js'

const service = await startService(t)
await service.call('/projects', { body: { slug: 'rendered' } })
const call = (path: string, options: CallOptions = {}) => service.call(path, { project: 'rendered', ...options })
const push = (...prompts: object[]) => service.push({ alias: 'dev', prompts }, { project: 'rendered' })
const render = (name: string, body: object, ref = 'dev', query = '') => call(`/prompts/${name}/${ref}/render${query}`, { body })
const pathsOf = ({ body }: { body: { errors: { path: string }[] } }) => body.errors.map(({ path }) => path)

t.test('a rendering answers what a fetch does, with the text in place of the content, and is not kept', async (t) => {
  await push(
    { name: 'tone', content: 'Be {{ tone|default("brief") }}.' },
    {
      name: 'page',
      content: '{% include "tone" %} {{ user.name }}{% for d in docs %}\n- {{ d.title }}{% endfor %}',
      variants: [{ tags: { locale: 'de' }, content: 'Hallo {{ user.name }}{% if docs %}!{% endif %}' }],
    },
  )
  const variables = { user: { name: 'Ada' }, docs: [{ title: 'One' }, { title: 'Two' }] }
  const { content: _, messages: __, ...fetched } = (await call('/prompts/page/dev')).body
  const answer = await render('page', { variables })
  t.equal(answer.status, 200)
  t.strictSame(answer.body, { ...fetched, text: 'Be brief. Ada\n- One\n- Two', messages: null })
  t.equal(answer.headers.get('cache-control'), 'no-store')
  t.equal(answer.headers.get('x-promptsync-version'), 'v1')
  const german = await render('page', { variables, tags: { locale: 'de' } })
  shows(t, german.body, { text: 'Hallo Ada!', tags: { locale: 'de' } })
  t.strictSame((await render('page', { variables })).body, answer.body, 'each variant is kept apart')
  t.equal((await render('page', { variables: { ...variables, tone: 'kind' } })).body.text.slice(0, 8), 'Be kind.')
})

t.test('all missing variables are named at once, or rendered empty where it is not strict', async (t) => {
  await push({
    name: 'letter',
    content: 'Dear {{ title }} {{ name }},{% for x in items %}{{ x }}{% endfor %}{{ note|default("") }}',
  })
  const answer = await render('letter', { variables: { nam: 'Ada' } })
  refused(t, answer, 422, 'variables.missing')
  t.strictSame(pathsOf(answer), ['variables.title', 'variables.name', 'variables.items'])
  t.match(answer.body.detail, /"letter" v1: .*title, name, items/)
  t.match(answer.body.errors[1].message, 'Did you mean "nam"?')
  t.equal((await render('letter', { strict: false })).body.text, 'Dear  ,')
  const many = Array.from({ length: 150 }, (_, index) => `v${index}`)
  await push({ name: 'many', content: many.map((name) => `{{ ${name} }}`).join('') })
  t.strictSame(
    pathsOf(await render('many', {})),
    many.map((name) => `variables.${name}`),
  )
})

t.test('strict names exactly the required variables that a fetch tells of and the request lacks', async (t) => {
  const names = ['a', 'b', 'c', 'd']
  const use = fc.constantFrom(
    (name: string) => `{{ ${name} }}`,
    (name: string) => `{{ ${name}|default(1) }}`,
    (name: string) => `{% if ${name} %}{{ ${name} }}{% endif %}`,
    (name: string) => `{% for x in ${name} %}{{ x }}{% endfor %}`,
  )
  const template = fc.array(fc.tuple(use, fc.constantFrom(...names)), { minLength: 1, maxLength: 5 })
  const check = async (uses: [(name: string) => string, string][], given: string[]) => {
    await push({ name: 'any', content: uses.map(([write, name]) => write(name)).join('') })
    const { variables } = (await call('/prompts/any/latest')).body
    const lacking = variables
      .filter((one: any) => one.required && !given.includes(one.name))
      .map((one: any) => `variables.${one.name}`)
    const answer = await render('any', { variables: Object.fromEntries(given.map((name) => [name, 'x'])) }, 'latest')
    t.equal(answer.status, lacking.length === 0 ? 200 : 422)
    if (lacking.length > 0) t.strictSame(pathsOf(answer), lacking)
  }
  await fc.assert(fc.asyncProperty(template, fc.subarray(names), check), { numRuns: runs(24) })
})

t.test('variables are checked against the inputs, with a path for each breach', async (t) => {
  const inputs = {
    type: 'object',
    properties: {
      docs: { type: 'array', items: { type: 'object', properties: { title: { type: 'string' } }, required: ['title'] } },
      tone: { enum: ['kind', 'brief'], default: 'brief' },
    },
    additionalProperties: false,
  }
  await push({ name: 'checked', content: '{{ tone }}{% for d in docs %} {{ d.title }}{% endfor %}', inputs })
  t.equal((await render('checked', { variables: { docs: [{ title: 'T' }] } })).body.text, 'brief T', 'a default is taken')
  const answer = await render('checked', { variables: { docs: [{ title: 1 }, 'x'], tone: 'loud', more: 1 } })
  refused(t, answer, 422, 'inputs.invalid')
  t.strictSame(pathsOf(answer).sort(), ['variables.docs[0].title', 'variables.docs[1]', 'variables.more', 'variables.tone'])
})

t.test('messages are rendered one by one, and a placeholder takes a list of them as they are', async (t) => {
  const messages = [
    { role: 'system', content: 'For {{ who }}' },
    { placeholder: 'history' },
    { role: 'user', content: '{{ question }}' },
  ]
  await push({ name: 'chat', messages })
  const history = [
    { role: 'user', content: '{{ who }} is not rendered', name: 'ada' },
    { role: 'assistant', content: null, tool_calls: [{ id: 'x' }] },
  ]
  const answer = await render('chat', { variables: { who: 'Ada', question: 'Why?', history } })
  shows(t, answer.body, {
    text: null,
    messages: [{ role: 'system', content: 'For Ada' }, ...history, { role: 'user', content: 'Why?' }],
  })
  const { variables } = (await call('/prompts/chat/dev')).body
  t.strictSame(variables, [
    { name: 'who', required: true },
    { name: 'history', required: true, paths: ['history[].role', 'history[].content'] },
    { name: 'question', required: true },
  ])
  t.strictSame(pathsOf(await render('chat', { variables: { who: 'Ada', question: 'x' } })), ['variables.history'])
  const wrong = await render('chat', { variables: { who: 'Ada', question: 'x', history: [{ role: 'user' }, 'x'] } })
  refused(t, wrong, 422, 'inputs.invalid')
  t.strictSame(pathsOf(wrong), ['variables.history[0].content', 'variables.history[1]'])
})

t.test('what fails while rendering is an error with its place, never an answer', async (t) => {
  await push(
    { name: 'broken', content: 'one\n{{ 1 // number }}' },
    { name: 'outer', content: '{% include "broken" %}' },
    { name: 'endless', content: '{% for a in range(5000) %}{% for b in range(5000) %}{% endfor %}{% endfor %}' },
  )
  const answer = await render('broken', { variables: { number: 0 } })
  refused(t, answer, 422, 'template.runtime')
  t.match(answer.body.detail, /"broken" v1: .*ZeroDivisionError.*line 2, column \d+/)
  t.match((await render('outer', { variables: { number: 0 } })).body.detail, /in "broken", line 2/)
  refused(t, await render('endless', {}), 422, 'template.too_complex')
})

t.test('a canary, a fallback, a built-in and a purge hold for a rendering as for a fetch', async (t) => {
  const other = (path: string, options: CallOptions = {}) => service.call(path, { project: 'sides', ...options })
  await service.call('/projects', { body: { slug: 'sides' } })
  await service.push({ version: 'one', alias: 'dev', prompts: [{ name: 'x', content: 'old {{ a }}' }] }, { project: 'sides' })
  await service.push({ version: 'two', prompts: [{ name: 'x', content: 'new {{ a }}' }] }, { project: 'sides' })
  await other('/canary', { body: { alias: 'dev', version: 'two', percentage: 100 } })
  const drawn = await other('/prompts/x/dev/render', { body: { variables: { a: 1 }, key: 'user-1' } })
  t.equal(drawn.body.text, 'new 1')
  t.match(drawn.headers.get('x-promptsync-bucket'), /^\d+$/)
  t.equal((await other('/prompts/x/dev/render?canary=off', { body: { variables: { a: 1 } } })).body.text, 'old 1')
  const fallback = await other('/prompts/nowhere/dev/render?fallback=default', { body: { strict: false } })
  t.equal(fallback.body.source, 'fallback')
  t.equal((await other('/prompts/x/one/purge', { body: { reason: 'test' } })).status, 200)
  refused(t, await other('/prompts/x/one/render', { body: { variables: { a: 1 } } }), 410, 'version.purged')
})

const validate = (body: object) => call('/validate', { body })

t.test('a validation tells every finding with its place and stores nothing', async (t) => {
  const before = await service.countRows()
  const answer = await validate({
    prompts: [
      { name: 'fine', content: 'ok' },
      { name: 'one', content: 'a\n  {{ b' },
      { name: 'two', content: '{{ x|nofilter }} {% include "tone" %}', inputs: { properties: { y: { type: 'strng' } } } },
      { name: 'Three', content: '' },
    ],
    files: [
      { path: 'four.md', content: '---\ntitle: T\n---\n\nHello {{ name }!\n' },
      { path: 'five.exe', content: '' },
    ],
  })
  t.equal(answer.status, 200)
  t.equal(answer.body.valid, false)
  const found = answer.body.findings.map(({ severity, code, path, prompt, file, line, column }: any) =>
    [severity, code, path, prompt, file, line, column].join(' '),
  )
  t.strictSame(found.sort(), [
    'error file.unsupported files[1]  five.exe  ',
    'error inputs.schema prompts[2].inputs.properties.y.type two   ',
    'error template.syntax files[0].content four four.md 5 15',
    'error template.syntax prompts[1].content one  2 3',
    'error template.unsupported prompts[2].content two  1 6',
    'error validation.failed prompts[3].name    ',
  ])
  const [markdown] = answer.body.findings.filter(({ file }: any) => file === 'four.md')
  t.match(markdown.message, /^File "four\.md", line 5, column 15: .*\n5 \| Hello \{\{ name \}!\n {2}\| {15}\^$/s)
  t.strictSame(await service.countRows(), before)
})

t.test('a validation warns as a push does, and knows what the project holds', async (t) => {
  await push({ name: 'held', content: '{{ used }}' })
  const inputs = { type: 'object', properties: { used: {}, unused: {} } }
  const good = await validate({ prompts: [{ name: 'new', content: '{% include "held" %}{{ other }}<script>', inputs }] })
  t.equal(good.body.valid, true)
  t.strictSame(
    good.body.findings.map(({ severity, prompt }: any) => `${severity} ${prompt}`),
    ['warning new', 'warning new', 'warning new'],
  )
  t.match(good.body.findings.map(({ message }: any) => message).join('\n'), /<script.*"other".*"unused"/s)
  const bad = await validate({ prompts: [{ name: 'new', content: '{% include "hold" %}' }] })
  t.match(bad.body, {
    valid: false,
    findings: [{ code: 'include.not_found', line: 1, column: 4, message: /Did you mean "held"/ }],
  })
  refused(t, await validate({}), 422, 'push.empty')
  refused(t, await validate({ prompts: [{ name: 'x', content: '' }], base: 'nowhere' }), 404, 'release.not_found')
})

t.test('a validation knows what was purged and which labels are taken', async (t) => {
  await push({ name: 'leak', content: 'a secret' })
  await call('/prompts/leak/v1/purge', { body: { reason: 'test' } })
  const purged = await validate({ prompts: [{ name: 'copy', content: 'a secret' }] })
  t.match(purged.body, { valid: false, findings: [{ code: 'content.purged', prompt: 'copy' }] })
  await service.push({ version: 'v9.0', prompts: [{ name: 'labelled', content: 'one' }] }, { project: 'rendered' })
  const taken = await validate({ version: 'v9.0', prompts: [{ name: 'labelled', content: 'two' }] })
  t.match(taken.body, { valid: false, findings: [{ code: 'label.taken' }] })
})

t.test('whatever a validation calls valid can be pushed, and what it does not is refused', async (t) => {
  const content = fc.constantFrom(
    'plain',
    '{{ a }}',
    '{{ a',
    '{% include "tone" %}',
    '{% include "nowhere" %}',
    '{{ a|upper }}',
    '{{ a|x }}',
  )
  const check = async (texts: string[]) => {
    const prompts = texts.map((text, index) => ({ name: `p${index}`, content: text }))
    const { valid } = (await validate({ prompts })).body
    const pushed = await call('/prompts', { body: { prompts, dryRun: true } })
    t.equal(pushed.status === 200, valid, texts.join(' | '))
  }
  await fc.assert(fc.asyncProperty(fc.array(content, { minLength: 1, maxLength: 3 }), check), { numRuns: runs(32) })
})
