import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import { PromptsyncError } from '../../src/client/index.js'
import { parseTemplate } from '../../src/lib/template/parse.js'
import { runs } from '../helpers/runs.js'
import { startService } from '../helpers/service.js'
import { createManager } from './helpers/manager.js'

const service = await startService(t)
const { url, adminKey: token } = service

const fixture = (name: string) => JSON.parse(readFileSync(new URL(`../fixtures/jinja2/${name}.json`, import.meta.url), 'utf8'))

const isTemplate = (text: string) => {
  try {
    return Boolean(parseTemplate(text))
  } catch {
    return false
  }
}

/** What there is of a prompt beside what is of this client alone. */
const told = [
  'name',
  'ref',
  'type',
  'template',
  'content',
  'messages',
  'config',
  'inputs',
  'variables',
  'version',
  'release',
  'tags',
  'canary',
  'contentHash',
]
const pick = (from: object) => Object.fromEntries(told.map((field) => [field, (from as Record<string, unknown>)[field]]))

t.test('any subject gets what the service would answer it, or its refusal: side of a canary, variant and pin', async (t) => {
  const inProject = { project: 'decided' }
  await service.call('/projects', { body: { slug: 'decided' } })
  const tagSets = fc.uniqueArray(
    fc
      .record(
        { locale: fc.constantFrom('en', 'en-US', 'de', 'zh'), tone: fc.constantFrom('kind', 'brief') },
        { requiredKeys: [] },
      )
      .filter((tags) => Object.keys(tags).length > 0),
    { maxLength: 4, selector: (tags) => JSON.stringify(Object.entries(tags).sort()) },
  )
  const setup = fc.record({
    stable: tagSets,
    canary: tagSets,
    isPinned: fc.boolean(),
    isLacking: fc.boolean(),
    percentage: fc.constantFrom(0, 1, 33.33, 100),
  })
  const subject = fc.record(
    {
      key: fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' }),
      tags: fc.dictionary(fc.constantFrom('locale', 'tone', 'other'), fc.constantFrom('en', 'en-us', 'de_CH', 'kind', 'x')),
    },
    { requiredKeys: [] },
  )
  let round = 0
  await fc.assert(
    fc.asyncProperty(
      setup,
      fc.array(subject, { minLength: 5, maxLength: 12 }),
      async ({ stable, canary, isPinned, isLacking, percentage }, subjects) => {
        round += 1
        const [alias, name] = [`alias-${round}`, `prompt-${round}`]
        const variants = (sets: object[], side: string) => sets.map((tags, index) => ({ tags, content: `${side} ${index}` }))
        await service.push({ alias, prompts: [{ name, content: 'stable', variants: variants(stable, 's') }] }, inProject)
        const next = isLacking
          ? { version: `next-${round}`, prune: true, prompts: [{ name: 'other', content: `${round}` }] }
          : { version: `next-${round}`, prompts: [{ name, content: 'canary', variants: variants(canary, 'c') }] }
        await service.push(next, inProject)
        if (isPinned)
          await service.call(`/aliases/${alias}?prompt=${name}`, {
            ...inProject,
            method: 'PUT',
            body: { version: 'v1', prompt: name },
          })
        if (percentage > 0) await service.call('/canary', { ...inProject, body: { alias, version: `next-${round}`, percentage } })
        const manager = createManager(t, { url, token, project: 'decided' })
        const deaf = createManager(t, { url, token, project: 'decided', respectCanary: false })
        for (const { key, tags } of subjects) {
          const query = new URLSearchParams(
            Object.entries(tags ?? {}).map(([tag, value]) => ['tag', `${tag}:${value}`] as [string, string]),
          )
          // Without a key each side draws anew.
          if (key === undefined) query.append('canary', 'off')
          else query.append('key', key)
          const answer = await service.call(`/prompts/${name}/${alias}?${query}`, inProject)
          const asked = { ref: alias, ...(key === undefined ? {} : { key }), ...(tags === undefined ? {} : { tags }) }
          const found = await (key === undefined ? deaf : manager).getPrompt(name, asked).catch((error: unknown) => error)
          if (answer.status === 200) t.strictSame(pick(found as object), pick(answer.body))
          else t.match(found, { code: answer.body.code, message: answer.body.detail, status: answer.status })
        }
      },
    ),
    { numRuns: runs(40) },
  )
})

t.test('who is on a side that lacks the prompt gets its fallback, from memory as well', async (t) => {
  const inProject = { project: 'sided' }
  await service.call('/projects', { body: { slug: 'sided' } })
  await service.push({ alias: 'production', prompts: [{ name: 'one', content: 'One.' }] }, inProject)
  await service.push({ version: 'without', prune: true, prompts: [{ name: 'two', content: 'Two.' }] }, inProject)
  await service.call('/canary', { ...inProject, body: { alias: 'production', version: 'without', percentage: 50 } })
  const manager = createManager(t, { url, token, project: 'sided' })
  const found = new Set<string>()
  for (let index = 0; index < 40; index += 1) {
    const { status } = await service.call(`/prompts/one/production?key=k${index}`, inProject)
    const { servedFrom, content } = await manager.getPrompt('one', { key: `k${index}`, fallback: 'Fallback.' })
    t.equal(content, status === 200 ? 'One.' : 'Fallback.')
    found.add(servedFrom)
    if (status !== 200) await t.rejects(manager.getPrompt('one', { key: `k${index}` }), { code: 'prompt.not_in_release' })
  }
  t.ok(found.has('memory') && found.has('fallback'))
})

t.test('without a key each call draws anew, and takes part as often as it should', async (t) => {
  const inProject = { project: 'drawn' }
  await service.call('/projects', { body: { slug: 'drawn' } })
  await service.push(
    {
      alias: 'production',
      prompts: [
        { name: 'one', content: 'a' },
        { name: 'two', content: 'a' },
      ],
    },
    inProject,
  )
  await service.push(
    {
      version: 'next',
      prompts: [
        { name: 'one', content: 'b' },
        { name: 'two', content: 'b' },
      ],
    },
    inProject,
  )
  await service.call('/canary', { ...inProject, body: { alias: 'production', version: 'next', percentage: 50 } })
  const manager = createManager(t, { url, token, project: 'drawn' })
  let selected = 0
  for (let index = 0; index < 2_000; index += 1) selected += (await manager.getPrompt('one')).content === 'b' ? 1 : 0
  t.ok(selected > 850 && selected < 1_150, `${selected} of 2,000`)
  for (let index = 0; index < 50; index += 1) {
    const [one, two] = await manager.getPrompts(['one', 'two'])
    t.equal(one?.content, two?.content, 'prompts that are asked for together are on one side')
  }
})

t.test('format gives the bytes of a rendering by the service, or its error with all that it names', async (t) => {
  const inProject = { project: 'formatted' }
  await service.call('/projects', { body: { slug: 'formatted' } })
  type Case = { template: string; variables: Record<string, unknown> }
  const documented = (fixture('documented').cases as Case[]).filter((_, index) => index % 6 === 0)
  const hostile = Object.values(fixture('hostile-templates') as Record<string, Record<string, string>>)
    .flatMap((group) => Object.values(group))
    .map((template) => ({ template, variables: { name: 'x', xs: [1, 2] } }))
  const cases = [...(fixture('jinja2').cases as Case[]), ...documented, ...hostile].filter(
    ({ template }) => typeof template === 'string' && isTemplate(template),
  )
  const candidates = cases.map((one, index) => ({ ...one, name: `p${index}` }))
  const body = { prompts: candidates.map(({ name, template }) => ({ name, content: template })) }
  const { findings } = (await service.call('/validate', { ...inProject, body })).body as {
    findings: { severity: string; prompt: string }[]
  }
  const refused = new Set(findings.filter(({ severity }) => severity === 'error').map(({ prompt }) => prompt))
  const accepted = candidates.filter(({ name }) => !refused.has(name))
  t.ok(accepted.length > 120, `${accepted.length} templates`)
  const chat = [{ role: 'system', content: 'Help {{ name }}{{ other.member }}.' }, { placeholder: 'history' }]
  const inputs = { type: 'object', properties: { name: { type: 'string', maxLength: 3 }, size: { type: 'integer', default: 3 } } }
  const prompts = [
    ...accepted.map(({ name, template }) => ({ name, content: template })),
    { name: 'part', content: '{{ part_variable }} and {{ name }}' },
    { name: 'whole', content: '{% include "part" %} {{ name }} {{ size }}', inputs },
    { name: 'chat', messages: chat },
  ]
  await service.push({ alias: 'production', prompts }, inProject)
  const history = [{ role: 'user', content: 'Hi {{ x }}', name: 'u-1' }]
  const more = [
    { name: 'whole', variables: { name: 'Ada', part_variable: [1, { a: null }] } },
    { name: 'whole', variables: { name: 'Adelaide' } },
    { name: 'whole', variables: { size: '3' } },
    { name: 'chat', variables: { name: 'Ada', other: { member: 1.5 }, history } },
    { name: 'chat', variables: { nam: 'Ada', history: 'none' } },
    { name: 'chat', variables: { name: 'Ada', other: {}, history: [{ role: 'No' }] } },
  ]
  const manager = createManager(t, { url, token, project: 'formatted' })
  await manager.getPrompts(prompts.map(({ name }) => name))
  for (const { name, variables } of [...accepted, ...more]) {
    const prompt = await manager.getPrompt(name)
    for (const strict of [true, false]) {
      const { status, body } = await service.call(`/prompts/${name}/production/render`, {
        ...inProject,
        body: { variables, strict },
      })
      try {
        t.strictSame(prompt.format(variables, { strict }), body.text ?? body.messages, name)
        // What lacks nothing is rendered alike.
        break
      } catch (error) {
        if (!(error instanceof PromptsyncError)) throw error
        t.strictSame(
          { status, code: body.code, detail: body.detail, errors: body.errors },
          { status: error.status, code: error.code, detail: error.message, errors: error.errors },
          name,
        )
      }
    }
  }
})

t.test('variables become what JSON makes of them, and what it cannot write is refused', async (t) => {
  const inProject = { project: 'variables' }
  await service.call('/projects', { body: { slug: 'variables' } })
  await service.push({ alias: 'production', prompts: [{ name: 'any', content: '{{ x }} {{ y|default("none") }}' }] }, inProject)
  const manager = createManager(t, { url, token, project: 'variables' })
  const prompt = await manager.getPrompt('any')
  const date = new Date(0)
  for (const x of [
    date,
    { at: date },
    new Map([['a', 1]]),
    [undefined],
    -0,
    2 ** 53 - 1,
    [1e21, -1e300, 2 ** 52 + 0.5],
    Number.NaN,
    { a: undefined, b: 1 },
    Object.create(null),
    [[new Set([1])]],
  ]) {
    const variables = { x, y: undefined }
    const { body } = await service.call('/prompts/any/production/render', { ...inProject, body: { variables } })
    t.equal(prompt.format(variables), body.text)
  }
  for (const x of ['\0', ['a', { b: '\ud800' }], { '\udc00': 1 }]) {
    const { status, body } = await service.call('/prompts/any/production/render', { ...inProject, body: { variables: { x } } })
    t.throws(() => prompt.format({ x }), { code: body.code, message: body.detail, status, errors: body.errors })
  }
  for (const x of [2 ** 53, -(2 ** 60), { a: [1e20] }]) {
    const { status, body } = await service.call('/prompts/any/production/render', { ...inProject, body: { variables: { x } } })
    t.throws(() => prompt.format({ x }), {
      code: body.code,
      status,
      message: /^The number -?\d+ is too large to be kept exactly/,
    })
    t.match(body.detail, /^The number \d+ at byte \d+ is too large to be kept exactly/)
  }
  let deep: unknown = 1
  for (let level = 0; level < 20_000; level += 1) deep = [deep]
  t.throws(() => prompt.format({ x: deep }), { code: 'client.invalid' })
  const circular: Record<string, unknown> = {}
  circular.self = circular
  for (const x of [circular, 1n, { deep: [2n] }]) t.throws(() => prompt.format({ x }), { code: 'client.invalid' })
  t.throws(() => prompt.format('x' as never), { code: 'client.invalid' })
})
