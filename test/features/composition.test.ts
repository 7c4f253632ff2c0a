import fc from 'fast-check'
import t from 'tap'
import { refused } from '../helpers/assertions.js'
import { runs } from '../helpers/runs.js'
import { type CallOptions, startService } from '../helpers/service.js'

const service = await startService(t)
let projectCount = 0

async function makeProject() {
  projectCount += 1
  const project = `composed-${projectCount}`
  await service.call('/projects', { body: { slug: project } })
  const call = (path: string, options: CallOptions = {}) => service.call(path, { project, ...options })
  const send = (contents: Record<string, string>, more: object = {}) =>
    call('/prompts', { body: { prompts: promptsOf(contents), ...more } })
  return {
    project,
    call,
    send,
    push: (contents: Record<string, string>, more: object = {}) =>
      service.push({ prompts: promptsOf(contents), ...more }, { project }),
    fetch: async (name: string, ref: string) => (await call(`/prompts/${encodeURIComponent(name)}/${ref}`)).body,
  }
}

const promptsOf = (contents: Record<string, string>) => Object.entries(contents).map(([name, content]) => ({ name, content }))
const include = (...names: string[]) => names.map((name) => `{% include "${name}" %}`).join(' ')
type Result = { name: string; version: string; status: string; cause?: string }
const outcomes = ({ results }: { results: Result[] }) =>
  results.map(({ name, version, status, cause }) => [name, version, status, ...(cause ? [cause] : [])].join(' '))
const versionsOf = ({ includes }: { includes: Record<string, { name: string; version: string }> }) =>
  Object.fromEntries(Object.entries(includes).map(([key, { name, version }]) => [key, `${name} ${version}`]))

t.test('what a version includes is resolved in the release being made, and a fetch answers all of it', async (t) => {
  const { push, fetch } = await makeProject()
  await push({ page: include('header', 'parts/legal'), header: `H ${include('footer')}`, footer: 'F', 'parts/legal': 'L' })
  const page = await fetch('page', 'latest')
  t.strictSame(versionsOf(page), { footer: 'footer v1', header: 'header v1', 'parts/legal': 'parts/legal v1' })
  const { contentHash: hash, ...header } = page.includes.header
  t.match(hash, /^sha256:[0-9a-f]{64}$/)
  t.strictSame(header, {
    ...{ name: 'header', version: 'v1', template: 'jinja', content: `H ${include('footer')}` },
    includes: { footer: 'footer' },
  })
  t.equal(hash, (await fetch('header', 'v1')).contentHash)
})

t.test('when an included prompt changes, those that include it get new versions that say why, and no others', async (t) => {
  const { push, fetch, call } = await makeProject()
  await push({ page: include('header'), header: include('footer'), footer: 'F', other: 'O' })
  await push({ pinned: include('footer@v1') })
  const before = await fetch('page', 'v1')
  const dry = await call('/prompts', { body: { dryRun: true, prompts: promptsOf({ footer: 'F2' }) } })
  const changed = await push({ footer: 'F2' })
  t.strictSame(outcomes(changed), [
    'footer v2 created',
    'header v2 created includes "footer", which changed',
    'page v2 created includes "header", which changed',
  ])
  t.strictSame(
    dry.body.results.map(({ name, cause }: Result) => [name, cause]),
    changed.results.map(({ name, cause }: Result) => [name, cause]),
    'a dry run tells the same',
  )
  t.strictSame(await fetch('page', 'v1'), before, 'a version means one thing for ever')
  t.strictSame(versionsOf(await fetch('page', 'latest')), { footer: 'footer v2', header: 'header v2' })
  t.strictSame(versionsOf(await fetch('pinned', 'latest')), { 'footer@v1': 'footer v1' })
  t.not((await fetch('page', 'v2')).contentHash, before.contentHash, 'the hash covers what is included')
  t.strictSame(outcomes(await push({ footer: 'F2' })), ['footer v2 unchanged'])
  t.strictSame(
    outcomes(await push({ page: include('header'), footer: 'F3' })),
    [
      'page v3 created includes "header", which changed',
      'footer v3 created',
      'header v3 created includes "footer", which changed',
    ],
    'pushed with its own text as it was, it says why as well',
  )
})

t.test('a change of title makes no version, neither of the prompt nor of those that include it', async (t) => {
  const { push, call } = await makeProject()
  await push({ page: include('footer'), footer: 'F' })
  const { body } = await call('/prompts', { body: { prompts: [{ name: 'footer', content: 'F', title: 'T' }] } })
  t.strictSame(outcomes(body), ['footer v1 unchanged'])
})

t.test('a pin names a version or release by number or label; what moves is no pin', async (t) => {
  const { push, fetch, send } = await makeProject()
  await push({ footer: 'F' }, { version: '1.0', alias: 'dev', git: { commit: 'a'.repeat(40) } })
  await push({ other: 'O' }, { version: '2.0' })
  await push({ footer: 'F2' })
  const pins = ['footer@1.0', 'footer@v1', 'footer@r1', 'footer@2.0', 'footer@r3', 'footer@v2']
  await push({ page: include(...pins) })
  t.strictSame(versionsOf(await fetch('page', 'latest')), {
    ...{ 'footer@1.0': 'footer 1.0', 'footer@v1': 'footer 1.0', 'footer@r1': 'footer 1.0', 'footer@2.0': 'footer 1.0' },
    ...{ 'footer@r3': 'footer v2', 'footer@v2': 'footer v2' },
  })
  for (const pin of ['footer@dev', 'footer@latest', 'footer@aaaaaaa', 'footer@v9', 'none@v1', 'footer@3.0']) {
    const refusal = await send({ page: include(pin) })
    refused(t, refusal, 422, 'include.not_found')
    t.match(refusal.body.detail, /line 1, column 4.*Pin a version or a release/)
  }
})

t.test('what was included under another version stands under its number', async (t) => {
  const { push, fetch } = await makeProject()
  await push({ header: include('footer'), footer: 'F' })
  await push({ footer: 'F2' })
  await push({ page: include('header@v1', 'footer') })
  const page = await fetch('page', 'latest')
  t.strictSame(versionsOf(page), { footer: 'footer v2', 'footer@v1': 'footer v1', 'header@v1': 'header v1' })
  t.strictSame(page.includes['header@v1'].includes, { footer: 'footer@v1' })
})

t.test('a name that is not there, a chat and a cycle are refused with their place, and nothing is stored', async (t) => {
  const { push, send, call } = await makeProject()
  await push({ a: include('b'), b: 'B', raw: 'raw' })
  await call('/prompts', {
    body: {
      prompts: [
        { name: 'chat', messages: [{ role: 'user', content: 'x' }] },
        { name: 'raw', content: '{{', template: 'none' },
      ],
    },
  })
  const before = await service.countRows()
  const missing = await send({ x: `one\n ${include('bb', 'none')}`, y: include('a') })
  refused(t, missing, 422, 'include.not_found')
  t.match(missing.body.errors, [
    { path: 'prompts[0].content', message: /Prompt "x", line 2, column 5: "bb" .* Did you mean "b"\?/ },
    { path: 'prompts[0].content', message: /"none"/ },
  ])
  const cycle = await send({ b: include('a') })
  refused(t, cycle, 422, 'include.cycle')
  t.match(cycle.body.detail, '"b" includes "a" includes "b"')
  refused(t, await send({ self: include('self') }), 422, 'include.cycle')
  refused(t, await send({ x: include('chat') }), 422, 'include.unfit')
  refused(t, await send({ x: '{% extends "raw" %}' }), 422, 'include.unfit')
  refused(t, await send({ x: '{% import "raw" as r %}' }), 422, 'include.unfit')
  refused(t, await send({ x: include('../b') }), 422, 'template.syntax')
  t.strictSame(await service.countRows(), before)
})

t.test('includes go 10 levels deep and 100 prompts or 1 MiB far', async (t) => {
  const { push, send } = await makeProject()
  const chain = (length: number) =>
    Object.fromEntries(Array.from({ length }, (_, index) => [`n${index}`, index === 0 ? 'end' : include(`n${index - 1}`)]))
  await push(chain(11))
  refused(t, await send({ n11: include('n10') }), 422, 'include.limit')
  refused(t, await send(chain(2_000)), 422, 'include.limit')
  const many = Array.from({ length: 101 }, (_, index) => `m${index}`)
  await push(Object.fromEntries(many.map((name) => [name, name])))
  await push({ page: include(...many.slice(1)) })
  refused(t, await send({ page: include(...many) }), 422, 'include.limit')
  const large = many.slice(0, 5)
  await push(Object.fromEntries(large.map((name) => [name, 'x'.repeat(250_000)])))
  refused(t, await send({ page: include(...large) }), 422, 'include.limit')
})

t.test('what is too much to be rendered at once is refused when it is pushed', async (t) => {
  const { push, send, call } = await makeProject()
  const dense = '{{ a.b }}'.repeat(1_000)
  const parts = ['one', 'two', 'three', 'four']
  await push(Object.fromEntries(parts.map((name) => [name, `${dense}${name}`])))
  await push({ page: include('one', 'two') })
  const refusal = await send({ page: include(...parts) })
  refused(t, refusal, 422, 'include.limit')
  t.match(refusal.body.detail, /"page": The prompt has more than 15000 .* with all that it includes/)
  const grown = await send({ two: dense + '{{ c.d }}'.repeat(900), one: dense + '{{ c.d }}'.repeat(900) })
  refused(t, grown, 422, 'include.limit')
  t.match(grown.body.detail, '"page"', 'what follows is named')
  const messages = parts.map((content) => ({ role: 'user', content: `${dense}${content}` }))
  refused(t, await call('/prompts', { body: { prompts: [{ name: 'chat', messages }] } }), 422, 'template.too_complex')
})

t.test('a prompt that others of the release include is neither dropped nor archived, until they go or change', async (t) => {
  const { push, send, call } = await makeProject()
  await push({ page: include('footer'), footer: 'F', other: 'O' })
  await push({ pinned: include('other@v1') })
  const archived = await call('/prompts/footer', { method: 'DELETE' })
  refused(t, archived, 409, 'prompt.included')
  t.match(archived.body.detail, '"footer" cannot be dropped or archived while "page" of the same release includes it')
  const whole = await send({ footer: 'F2', page: include('footer') }, { prune: true, dryRun: true })
  t.equal(whole.status, 200, 'what is pushed gets its includes anew')
  refused(t, await send({ page: include('footer') }, { prune: true }), 422, 'include.not_found')
  t.equal((await call('/prompts/other', { method: 'DELETE' })).status, 200, 'a pin needs no place in the release')
  t.equal((await call('/prompts/page', { method: 'DELETE' })).status, 200)
  t.equal((await call('/prompts/footer', { method: 'DELETE' })).status, 200, 'what includes it goes as well')
  t.strictSame(outcomes(await push({ x: 'X' })), ['x v1 created', 'footer v1 removed', 'other v1 removed', 'page v1 removed'])
  refused(t, await send({ y: include('footer') }), 422, 'include.not_found')
})

t.test('a prune that would take an included prompt from under one that a later base holds is refused', async (t) => {
  const { push, send, call } = await makeProject()
  await push({ page: include('footer'), footer: 'F' })
  await push({ page: 'plain' })
  t.equal((await call('/prompts/footer', { method: 'DELETE' })).status, 200, 'the newest release has nobody who includes it')
  const refusal = await send({ x: 'X' }, { base: 'r1' })
  refused(t, refusal, 409, 'prompt.included')
  t.match(refusal.body.detail, '"page"')
})

t.test('a purge reaches whatever includes the version, and a new version of it ends that', async (t) => {
  const { push, call, fetch } = await makeProject()
  await push({
    page: include('header'),
    header: include('footer'),
    footer: 'secret',
    twin: include('footer', 'other'),
    other: 'O',
  })
  const purged = await call('/prompts/footer/v1/purge', { body: { reason: 'test' } })
  t.strictSame(
    purged.body.includers.map(({ name, version }: Result) => `${name} ${version}`),
    ['header v1', 'page v1', 'twin v1'],
  )
  const versions = (await call('/prompts/page/versions')).body.items
  t.equal(versions[0].contentHash, null, 'a hash of what includes it would confirm a guess of it')
  const listed = (await call('/prompts')).body.items.map((one: any) => [one.name, typeof one.latest.contentHash])
  t.strictSame(Object.fromEntries(listed), {
    page: 'object',
    header: 'object',
    footer: 'object',
    twin: 'object',
    other: 'string',
  })
  const gone = await call('/prompts/page/v1')
  refused(t, gone, 410, 'version.purged')
  t.match(gone.body.detail, /includes version v1 of "footer", which was purged/)
  const kept = await push({ other: 'O2' })
  t.strictSame(outcomes(kept), ['other v2 created'])
  t.match(kept.warnings, [/"twin" keeps its version/])
  t.strictSame(outcomes(await push({ footer: 'clean' })).length, 4)
  t.strictSame(versionsOf(await fetch('twin', 'latest')), { footer: 'footer v2', other: 'other v2' })
  t.equal((await call('/prompts/page/latest')).status, 200)
})

t.test('a push warns where a prompt follows from an older base with its older content', async (t) => {
  const { push } = await makeProject()
  await push({ page: `old ${include('footer')}`, footer: 'F' }, { alias: 'production' })
  await push({ page: `new ${include('footer')}` }, { alias: 'production' })
  const { warnings } = await push({ footer: 'F2' }, { alias: 'production', base: 'r1' })
  t.match(warnings, [/older version: "page" \(v2 to v1\)/])
})

t.test('what is archived does not follow', async (t) => {
  const { push, call } = await makeProject()
  await push({ page: include('footer'), footer: 'F' })
  await call('/prompts/page', { method: 'DELETE' })
  t.strictSame(outcomes(await push({ footer: 'F2' })), ['footer v2 created', 'page v1 removed'])
})

t.test('a project whose prompts include each other can be deleted', async (t) => {
  const { push, call, project } = await makeProject()
  await push({ page: include('footer'), footer: 'F' })
  t.equal((await call(`/projects/${project}`, { method: 'DELETE' })).status, 200)
})

t.test('a reference that the template can do without follows the prompt once it is there', async (t) => {
  const { push, fetch } = await makeProject()
  await push({ page: '{% include "extra" ignore missing %}{% include ["own", "common"] %}', common: 'C' })
  t.strictSame(versionsOf(await fetch('page', 'latest')), { common: 'common v1' })
  t.strictSame(outcomes(await push({ own: 'O' })), ['own v1 created', 'page v2 created includes "own", which changed'])
  t.strictSame(versionsOf(await fetch('page', 'latest')), { own: 'own v1' })
  t.strictSame(outcomes(await push({ common: 'C2' })), ['common v2 created'], 'it is not used any more')
  t.strictSame(outcomes(await push({ extra: 'E' })), ['extra v1 created', 'page v3 created includes "extra", which changed'])
})

t.test('an unchanged prompt is composed anew where what it did without is pushed along', async (t) => {
  const { push, fetch } = await makeProject()
  const page = '{% include "extra" ignore missing %}!'
  await push({ page, book: include('page') })
  t.strictSame(outcomes(await push({ page, extra: 'E' })), [
    'page v2 created includes "extra", which changed',
    'extra v1 created',
    'book v2 created includes "page", which changed',
  ])
  t.strictSame(versionsOf(await fetch('book', 'latest')), { extra: 'extra v1', page: 'page v2' })
  t.strictSame(
    outcomes(await push({ extra: 'E2' })).map((outcome) => outcome.slice(0, 6)),
    ['extra ', 'book v', 'page v'],
  )
})

t.test('what includes something purged by way of another is neither made nor made anew', async (t) => {
  const { push, send, call } = await makeProject()
  await push({ page: include('header', 'other'), header: include('footer'), footer: 'secret', other: 'O' })
  await call('/prompts/footer/v1/purge', { body: { reason: 'test' } })
  refused(t, await send({ x: include('header') }), 422, 'include.unfit')
  const kept = await push({ other: 'O2' })
  t.strictSame(outcomes(kept), ['other v2 created'])
  t.match(kept.warnings, [/"page" keeps its version/])
})

t.test('references in messages and variants count as well', async (t) => {
  const { push, call, fetch } = await makeProject()
  const { body } = await call('/prompts', {
    body: {
      prompts: [
        {
          name: 'chat',
          messages: [{ placeholder: 'history' }, { role: 'system', content: include('a') }],
          variants: [{ tags: { locale: 'de' }, messages: [{ role: 'system', content: include('b') }] }],
        },
        ...promptsOf({ a: 'A', b: 'B' }),
      ],
    },
  })
  t.equal(body.results.length, 3)
  const chat = await fetch('chat', 'latest')
  t.strictSame(chat.messages[0], { placeholder: 'history' })
  t.strictSame(versionsOf(chat), { a: 'a v1', b: 'b v1' })
  t.strictSame(outcomes(await push({ b: 'B2' })), ['b v2 created', 'chat v2 created includes "b", which changed'])
})

type Pushed = { at: number; text: string; includes: string[]; isOptional: boolean }

t.test('whatever is pushed, every release is consistent in itself, and versions never change', async (t) => {
  const names = ['a', 'b', 'c', 'd', 'e']
  // A prompt includes only such as come later in the list: without cycles, and often missing.
  const graph = fc.uniqueArray(
    fc.record({
      at: fc.nat(names.length - 1),
      text: fc.constantFrom('x', 'y'),
      includes: fc.subarray(names, { maxLength: 3 }),
      isOptional: fc.boolean(),
    }),
    { selector: ({ at }) => at, minLength: 1, maxLength: 3 },
  )
  const written = (name: string, isOptional: boolean) => `{% include "${name}"${isOptional ? ' ignore missing' : ''} %}`
  const pushed = ({ at, text, includes, isOptional }: Pushed) => {
    const later = includes.filter((name) => names.indexOf(name) > at)
    return [names[at] ?? '', `${text} ${later.map((name) => written(name, isOptional)).join('')}`] as const
  }
  const run = async (pushes: Pushed[][]) => {
    const { send, fetch, call } = await makeProject()
    const seen = new Map<string, string>()
    for (const prompts of pushes) {
      const contents = Object.fromEntries(prompts.map(pushed))
      const first = await send(contents)
      if (first.status === 422) continue
      const again = await send(contents)
      t.equal(again.status, 200)
      t.ok(again.body.results.every(({ status }: Result) => status === 'unchanged'))
      const { body: release } = await call('/releases/latest')
      const held = new Map<string, string>(release.items.map(({ name, version }: Result) => [name, version]))
      for (const [name, version] of held) {
        const body = await fetch(name, version)
        const included = Object.values<{ name: string; version: string }>(body.includes)
        t.ok(included.every((entry) => held.get(entry.name) === entry.version))
        const wanted = [...body.content.matchAll(/include "(\w)"/g)]
          .map(([, reference]) => reference)
          .filter((one) => held.has(one))
        t.ok(
          wanted.every((one) => one in body.includes),
          'what is there is included',
        )
        const { ref: _, ...bytes } = body
        t.equal(JSON.stringify(bytes), seen.get(`${name} ${version}`) ?? JSON.stringify(bytes))
        seen.set(`${name} ${version}`, JSON.stringify(bytes))
      }
    }
  }
  await fc.assert(fc.asyncProperty(fc.array(graph, { minLength: 3, maxLength: 7 }), run), { numRuns: runs(8) })
})
