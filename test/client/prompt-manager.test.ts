import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { type PromptManagerOptions, PromptsyncError } from '../../src/client/index.js'
import { makeDirectory } from '../helpers/process.js'
import { startService } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { createManager, handClock, noting } from './helpers/manager.js'
import { startPlanPeer } from './helpers/plan-peer.js'

const service = await startService(t)
const { url, adminKey: token } = service
const minuteMs = 60_000

/** A project of its own, so that no test meets what another one pushed. */
async function project(slug: string) {
  await service.call('/projects', { body: { slug } })
  const inProject = { project: slug }
  return {
    options: { url, token, project: slug } satisfies PromptManagerOptions,
    push: (...prompts: object[]) => service.push({ alias: 'production', prompts }, inProject),
    call: (path: string, body?: object, method?: string) =>
      service.call(path, { ...inProject, ...(body ? { body } : {}), ...(method ? { method } : {}) }),
  }
}

async function afterTurns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await setImmediate()
}

const errorOf = (work: Promise<unknown>): Promise<PromptsyncError> =>
  work.then(
    () => Promise.reject(new Error('Nothing was thrown.')),
    (error) => (error instanceof PromptsyncError ? error : Promise.reject(error)),
  )

t.test('a prompt comes over the network once, then from memory', async (t) => {
  const { options, push } = await project('once')
  await push({ name: 'support/greeting', content: 'Hello {{ name }}!', config: { model: 'm-1' } })
  const { fetch, sent } = noting()
  const manager = createManager(t, { ...options, fetch })
  t.equal(manager.peekPrompt('support/greeting'), null)
  const prompt = await manager.getPrompt('support/greeting')
  t.match(prompt, {
    name: 'support/greeting',
    ref: 'production',
    type: 'text',
    version: 'v1',
    release: 'r1',
    tags: {},
    canary: null,
  })
  t.match(prompt, {
    servedFrom: 'network',
    isStale: false,
    config: { model: 'm-1' },
    variables: [{ name: 'name', required: true }],
  })
  t.equal(prompt.format({ name: 'Ada' }), 'Hello Ada!')
  t.match(await manager.getPrompt('support/greeting'), { servedFrom: 'memory', version: 'v1' })
  t.match(manager.peekPrompt('support/greeting'), { servedFrom: 'memory', version: 'v1' })
  t.same(
    sent.map(({ path }) => path),
    ['/prompts/support%2Fgreeting/production/plan'],
  )
})

t.test('a hundred callers at once make one call, of a failure as well, and the next one asks again', async (t) => {
  const { options, push } = await project('flights')
  const { fetch, sent } = noting()
  const clock = handClock()
  const manager = createManager(t, { ...options, fetch }, clock)
  const all = () => Promise.allSettled(Array.from({ length: 100 }, () => manager.getPrompt('greeting')))
  for (const { status } of await all()) t.equal(status, 'rejected')
  t.equal(sent.length, 1)
  await push({ name: 'greeting', content: 'Hello!' })
  t.match(await errorOf(manager.getPrompt('greeting')), { code: 'prompt.not_found', status: 404 })
  t.equal(sent.length, 1, 'for a second it is known that there is nothing')
  clock.advance(1_000)
  for (const { status } of await all()) t.equal(status, 'fulfilled')
  t.equal(sent.length, 2)
})

t.test('what is old is confirmed by its ETag, all of a ref by one call, and goes over to a new release together', async (t) => {
  const { options, push } = await project('together')
  await push({ name: 'one', content: 'One.' }, { name: 'two', content: 'Two.' })
  const { fetch, sent } = noting()
  const clock = handClock()
  const manager = createManager(t, { ...options, fetch }, clock)
  await manager.getPrompt('one')
  clock.advance(minuteMs)
  await manager.getPrompt('one')
  await until('it was confirmed', 5_000, () => sent.at(-1)?.status === 304)
  t.match(sent.at(-1), { method: 'GET', etag: /^"/ })
  await manager.getPrompt('two')
  for (const status of [200, 304]) {
    clock.advance(minuteMs)
    const before = sent.length
    await manager.getPrompt('two')
    await until('both were asked for', 5_000, () => sent.length > before && sent.at(-1)?.status !== null)
    t.match(sent.slice(before), [{ method: 'POST', path: '/prompts/fetch', status }])
    await until('it is fresh', 5_000, async () => (await manager.getPrompt('two')).ageMs === 0)
  }
  await push({ name: 'one', content: 'Eins.' }, { name: 'two', content: 'Zwei.' })
  clock.advance(minuteMs)
  await manager.getPrompt('one')
  await until('one is new', 5_000, () => manager.peekPrompt('one')?.content === 'Eins.')
  t.equal(manager.peekPrompt('two')?.content, 'Zwei.')
})

t.test('many prompts are of one release, by one call, in the order of their names', async (t) => {
  const { options, push } = await project('many')
  await push({ name: 'one', content: 'One.' }, { name: 'two', content: 'Two.' }, { name: 'three', content: 'Three.' })
  const { fetch, sent } = noting()
  const manager = createManager(t, { ...options, fetch })
  const first = await manager.getPrompts(['two', 'one'])
  t.match(first, [
    { name: 'two', release: 'r1', servedFrom: 'network' },
    { name: 'one', release: 'r1', servedFrom: 'network' },
  ])
  t.match(await manager.getPrompts(['one', 'two']), [{ servedFrom: 'memory' }, { servedFrom: 'memory' }])
  t.equal(sent.length, 1)
  const other = createManager(t, { ...options, fetch })
  const orders = [
    ['one', 'two'],
    ['two', 'one'],
  ]
  const all = await Promise.all(Array.from({ length: 50 }, (_, index) => other.getPrompts(orders[index % 2] ?? [])))
  for (const [index, prompts] of all.entries())
    t.match(
      prompts,
      (orders[index % 2] ?? []).map((name) => ({ name })),
    )
  t.equal(sent.length, 2, 'callers at once make one call')
  await push({ name: 'one', content: 'Eins.' }, { name: 'three', content: 'Drei.' })
  t.match(await manager.getPrompts(['one', 'three']), [
    { release: 'r2', content: 'Eins.' },
    { release: 'r2', content: 'Drei.' },
  ])
  t.match(
    await manager.getPrompts(['two', 'one']),
    [{ release: 'r2' }, { release: 'r2', content: 'Eins.' }],
    'what is held of an old release is not mixed in',
  )
  t.match(await errorOf(manager.getPrompts(['one', 'lacking'])), { code: 'prompt.not_found', message: /"lacking"/ })
  t.match(await manager.getPrompts(['lacking', 'one'], { partial: true }), [null, { content: 'Eins.' }])
  for (const names of [[], ['one', 'one'], ['No Name'], Array.from({ length: 201 }, (_, index) => `n${index}`)]) {
    t.match(await errorOf(manager.getPrompts(names)), { code: 'client.invalid' })
  }
})

t.test('whoever has seen one prompt of a new release gets no other one of the old, however an alias moves', async (t) => {
  const names = Array.from({ length: 12 }, (_, index) => `p${index}`)
  const peer = await startPlanPeer(t)
  const release = (number: number) => {
    peer.release = `r${number}`
    for (const name of names) peer.contents.set(name, `${number}`)
  }
  const { answer } = peer
  // Every third question finds the alias moved.
  peer.answer = (request, response) => {
    if (peer.received() % 3 === 0) release(peer.received())
    const end = response.end.bind(response)
    // Answers overtake each other.
    const turns = (peer.received() * 7) % 23
    response.end = ((body?: string) => {
      void afterTurns(turns).then(() => end(body))
      return response
    }) as typeof response.end
    answer?.(request, response)
  }
  const manager = createManager(t, { url: peer.url, token, refreshIntervalMs: 3, cacheStrategy: { memoryTtlMs: 2 } })
  let newest = 0
  const sees = (content: string | null | undefined) => {
    if (Number(content) < newest) t.fail(`${content} after ${newest}`)
    newest = Math.max(newest, Number(content))
  }
  for (let index = 0; index < 1_500; index += 1) {
    const [one = '', two = '', three = ''] = [index, index * 5 + 1, index * 7 + 2].map((at) => names[at % 12])
    sees((await manager.getPrompt(one)).content)
    const together = await manager.getPrompts([...new Set([two, three])])
    if (new Set(together.map(({ content }) => content)).size > 1) t.fail('two releases at once')
    sees(together[0]?.content)
    if (index % 4 === 0) await setImmediate()
  }
  t.ok(newest > 20, `${newest} releases, ${peer.received()} calls`)
})

t.test('what another process wrote to the disk before an alias moved is not served after what was answered since', async (t) => {
  const peer = await startPlanPeer(t, { one: 'Old.', two: 'Old.' })
  const options = { url: peer.url, token: 'ps_secret', cacheDir: await makeDirectory(t) }
  const other = createManager(t, options)
  await other.getPrompt('two')
  await other.close()
  peer.release = 'r2'
  for (const name of ['one', 'two']) peer.contents.set(name, 'New.')
  const manager = createManager(t, options)
  t.match(await manager.getPrompt('one'), { servedFrom: 'network', release: 'r2' })
  t.match(await manager.getPrompt('two'), { servedFrom: 'network', release: 'r2', content: 'New.' })
})

t.test('a version is confirmed once a day, and a purge reaches it then', async (t) => {
  const { options, push, call } = await project('purged')
  await push({ name: 'secret', content: 'Something that leaked.' })
  const { fetch, sent } = noting()
  const clock = handClock()
  const manager = createManager(t, { ...options, fetch }, clock)
  await manager.getPrompt('secret', { ref: 'v1' })
  await call('/prompts/secret/v1/purge', { reason: 'leaked' })
  clock.advance(86_399_000)
  t.match(await manager.getPrompt('secret', { ref: 'v1' }), { servedFrom: 'memory', isStale: false })
  t.equal(sent.length, 1)
  clock.advance(1_000)
  await manager.getPrompt('secret', { ref: 'v1' })
  await until('it is gone', 5_000, () => manager.peekPrompt('secret', { ref: 'v1' }) === null)
  t.match(await errorOf(manager.getPrompt('secret', { ref: 'v1' })), { code: 'version.purged', status: 410 })
})

t.test('polls bring what is in use to a moved alias, all of it by one call, and end with the manager', async (t) => {
  const { options, push } = await project('polled')
  await push({ name: 'one', content: 'One.' }, { name: 'two', content: 'Two.' })
  const { fetch, sent } = noting()
  const manager = createManager(t, { ...options, fetch, refreshIntervalMs: 20 })
  await manager.getPrompts(['one', 'two'])
  await push({ name: 'one', content: 'Eins.' })
  await until('the poll brought it', 5_000, () => manager.peekPrompt('one')?.release === 'r2')
  t.equal(manager.peekPrompt('two')?.release, 'r2')
  t.ok(sent.every(({ path }) => path === '/prompts/fetch'))
  await manager.close()
  const before = sent.length
  t.match(await manager.getPrompt('one'), { servedFrom: 'memory' })
  await push({ name: 'one', content: 'Uno.' })
  t.equal(sent.length, before, 'what is closed asks no more by itself')
})

t.test('a file of the application is served where the service has nothing, with its variants and includes', async (t) => {
  const { options } = await project('local')
  const folder = await makeDirectory(t)
  await mkdir(join(folder, 'team'))
  await writeFile(
    join(folder, 'team', 'Letter.yaml'),
    'content: "{% include \'tone\' %} Dear {{ name }}"\nvariants:\n  - tags: { locale: de }\n    content: "Liebe {{ name }}"\n',
  )
  await writeFile(join(folder, 'tone.md'), 'Be kind.')
  await writeFile(join(folder, 'broken.yaml'), 'content: [')
  await writeFile(join(folder, 'raw.txt'), 'Ends with a line\r\n')
  const errors: string[] = []
  const manager = createManager(t, { ...options, promptsDir: folder, onError: ({ code }) => errors.push(code) })
  const prompt = await manager.getPrompt('team/letter', { fallbackToLocal: true, fallback: 'unused' })
  t.match(prompt, { servedFrom: 'local', version: 'local', release: null, contentHash: null, isStale: true })
  t.equal(prompt.format({ name: 'Ada' }), 'Be kind. Dear Ada')
  t.throws(() => prompt.format({}), { code: 'variables.missing' })
  const german = await manager.getPrompt('team/letter', { fallbackToLocal: folder, tags: { locale: 'de-CH' } })
  t.equal(german.format({ name: 'Ada' }), 'Liebe Ada')
  t.equal((await manager.getPrompt('raw', { fallbackToLocal: true })).content, 'Ends with a line\r\n')
  t.match(await manager.getPrompt('absent', { fallbackToLocal: true, fallback: 'At last.' }), {
    servedFrom: 'fallback',
    content: 'At last.',
  })
  t.match(await errorOf(manager.getPrompt('absent', { fallbackToLocal: true })), { code: 'prompt.not_found' })
  t.match(await errorOf(manager.getPrompt('broken', { fallbackToLocal: true })), {
    code: 'client.invalid',
    message: /broken\.yaml/,
  })
  t.same([...new Set(errors)], ['prompt.not_found'])
  const wrong = ['variants: 5', 'variants: [null]', 'variants: [{ content: x, tags: { locale: 5 } }]', 'config: 5', 'inputs: []']
  for (const [index, line] of wrong.entries()) {
    await writeFile(join(folder, `wrong-${index}.yaml`), `content: x\n${line}\n`)
    const asked = manager.getPrompt(`wrong-${index}`, { fallbackToLocal: true, tags: { locale: 'de' } })
    t.match(await errorOf(asked), { code: 'client.invalid', message: /"wrong-\d"/ }, line)
  }
  errors.length = 0
  for (const [name, fallbackToLocal] of [['broken', true] as const, ['absent', join(folder, 'nowhere')] as const]) {
    errors.length = 0
    t.match(await manager.getPrompt(name, { fallbackToLocal, fallback: 'At last.' }), { servedFrom: 'fallback' })
    t.same(errors, ['client.invalid', 'prompt.not_found'], 'what cannot be read is told of, and stops no fallback')
  }
})

t.test('a fallback may be a chat, or be made of the error', async (t) => {
  const { options } = await project('fallen')
  const manager = createManager(t, options)
  const given = {
    messages: [{ role: 'system', content: 'Help {{ name }}.' }, { placeholder: 'history' }],
    config: { model: 'm-2' },
  }
  const chat = await manager.getPrompt('absent', { type: 'chat', fallback: given })
  t.same(chat.format({ name: 'Ada', history: [{ role: 'user', content: '{{ hi }}' }] }), [
    { role: 'system', content: 'Help Ada.' },
    { role: 'user', content: '{{ hi }}' },
  ])
  t.match(chat, { config: { model: 'm-2' }, servedFrom: 'fallback' })
  given.config.model = 'm-3'
  t.equal(chat.config.model, 'm-2')
  const text = await manager.getPrompt('absent', {
    fallback: async ({ code }) => ({ content: `{{ ${code} }}`, template: 'none' }),
  })
  t.equal(text.format(), '{{ prompt.not_found }}')
  for (const fallback of [{}, { content: 'A text.', config: { call: () => 1 } }]) {
    t.match(await errorOf(manager.getPrompt('absent', { fallback: fallback as never })), {
      code: 'client.invalid',
      message: /^fallback/,
    })
  }
  t.match(await errorOf(manager.getPrompt('absent', { type: 'chat', fallback: 'A text.' })), {
    code: 'client.invalid',
    message: /"text", not "chat"/,
  })
})

t.test('what is answered cannot be changed for others', async (t) => {
  const { options, push } = await project('frozen')
  await push({ name: 'shared', messages: [{ role: 'system', content: 'Hi.' }], config: { tools: [{ name: 'one' }] } })
  const manager = createManager(t, options)
  const prompt = await manager.getPrompt('shared', { type: 'chat' })
  t.throws(() => ((prompt.config as any).tools[0].name = 'two'), TypeError)
  t.throws(() => (prompt.messages as any).push({}), TypeError)
  const request = prompt.toOpenAI()
  t.match(request.messages, [{ role: 'system', content: 'Hi.' }])
})

t.test('prompts are pushed and compared, and what was pushed is served at once', async (t) => {
  const { options } = await project('pushed')
  const manager = createManager(t, options)
  t.match(await errorOf(manager.getPrompt('note')), { code: 'prompt.not_found' })
  const pushed = await manager.push({ alias: 'production', prompts: [{ name: 'note', content: 'One.' }] })
  t.match(pushed, { release: { ref: 'r1' }, results: [{ name: 'note', status: 'created' }] })
  t.equal((await manager.getPrompt('note')).content, 'One.')
  await manager.push({ alias: 'production', prompts: [{ name: 'note', content: 'Two.' }] })
  await until('the new one is there', 5_000, async () => (await manager.getPrompt('note')).content === 'Two.')
  const diff = await manager.diff('note', 'v1', 'v2')
  t.match(diff, { name: 'note', identical: false, content: { added: 1, removed: 1 } })
  t.match(await errorOf(manager.diff('note', 'v1', 'v9')), { status: 404 })
  t.match(await errorOf(manager.diff('note', 'v1', '..')), { code: 'client.invalid' })
  t.match(await errorOf(manager.push({ prompts: [{ name: 'Bad Name', content: '' }] })), {
    code: 'validation.failed',
    status: 422,
  })
  const metadata = manager.createTrackingMetadata(await manager.getPrompt('note'), { customer: 'c-1' })
  t.match(metadata, { prompt_name: 'note', prompt_version: 'v2', customer: 'c-1' })
})

t.test('what no service would take is refused before it is sent', async (t) => {
  const { fetch, sent } = noting()
  const manager = createManager(t, { url, token, fetch })
  const calls: [unknown, object?][] = [
    ['../keys'],
    ['Customer Support'],
    [7],
    ['one', { ref: '..' }],
    ['one', { tag: { locale: 'de' } }],
    ['one', { tags: { locale: 7 } }],
    ['one', { tags: 'locale:de' }],
    ['one', { key: '' }],
    ['one', { key: 7 }],
  ]
  for (const [name, options] of calls) {
    t.match(
      await errorOf(manager.getPrompt(name as string, options as object)),
      { code: 'client.invalid', status: null },
      JSON.stringify([name, options]),
    )
  }
  t.match((await errorOf(manager.getPrompt('Customer Support'))).message, /Did you mean "customer-support"/)
  t.equal(sent.length, 0)
})

t.test('memory stays within its bound, and drops what was not used for longest', async (t) => {
  const { options, push } = await project('bounded')
  await push(...Array.from({ length: 10 }, (_, index) => ({ name: `p${index}`, content: `${index} `.repeat(5_000) })))
  const clock = handClock()
  const manager = createManager(t, { ...options, cacheStrategy: { maxCacheSizeBytes: 120_000 } }, clock)
  for (let index = 0; index < 10; index += 1) {
    clock.advance(1)
    await manager.getPrompt(`p${index}`)
    clock.advance(1)
    manager.peekPrompt('p0')
  }
  const held = Array.from({ length: 10 }, (_, index) => manager.peekPrompt(`p${index}`) !== null)
  t.ok(held[0] && held[9] && !held[1])
  t.ok(held.filter(Boolean).length <= 5)
})
