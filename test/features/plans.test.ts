import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import fc from 'fast-check'
import t from 'tap'
import { decide, type PromptPlan, type Subject } from '../../src/lib/prompt-plan.js'
import { refused } from '../helpers/assertions.js'
import { runs } from '../helpers/runs.js'
import { type Answer, type CallOptions, openDatabase, type Service, startService } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { remembers, watched } from '../helpers/watched.js'

type Tap = typeof t

const base = await openDatabase(t)
const service = await startService(t, { connection: base })
const seen = watched(base)
/** It has never read what the other one was told. */
const cold = await startService(t, { connection: seen.connection, clock: service.clock })
let projectCount = 0

async function makeProject() {
  projectCount += 1
  const project = `plans-${projectCount}`
  await service.call('/projects', { body: { slug: project } })
  const callOf =
    (on: Service) =>
    (path: string, options: CallOptions = {}) =>
      on.call(path, { project, ...options })
  const call = callOf(service)
  return {
    ...{ project, call, callCold: callOf(cold) },
    push: (body: object) => service.push(body, { project }),
    planOf: async (name: string, ref: string): Promise<PromptPlan> => (await call(`${pathOf(name, ref)}/plan`)).body,
    move: (version: string, alias = 'production', more: object = {}) =>
      call(`/aliases/${alias}`, { method: 'PUT', body: { version, ...more } }),
    fetchMany: (body: object, options: CallOptions = {}) => call('/prompts/fetch', { body, ...options }),
    fetchManyCold: (body: object, options: CallOptions = {}) => callOf(cold)('/prompts/fetch', { body, ...options }),
  }
}

const pathOf = (name: string, ref: string) => `/prompts/${encodeURIComponent(name)}/${ref}`

/** Names that are pushed, one that never is, and one that is a built-in unless it is pushed. */
const names = ['a', 'folder/b', 'chat', 'with-include', 'never', 'meeting']
const refs = ['production', 'v1.0.0', 'r2', 'v1', 'latest', 'builtin', 'c0ffee1', 'nowhere']
const anyTags = fc.dictionary(fc.constantFrom('locale', 'tone'), fc.constantFrom('en', 'en-US', 'de', 'formal'), {
  noNullPrototype: true,
})
const anyText = fc.constantFrom(
  'Hello {{ name }}!',
  '{% if x is defined %}{{ x.y }}{% endif %}',
  'No variable.',
  'Zwei: {{ a }}{{ b }}',
)
const anyVariants = fc
  .uniqueArray(
    anyTags.filter((tags) => Object.keys(tags).length > 0),
    { selector: (tags) => JSON.stringify(Object.entries(tags).sort()), maxLength: 3 },
  )
  .chain((list) => fc.tuple(...list.map((tags) => anyText.map((content) => ({ tags, content })))))
const anyConfig = fc.constantFrom({}, { temperature: 0.5, model: 'm' }, { '2': 'two', '1': { z: 1, a: [null] } })
const anyPush = fc
  .record({
    text: fc.option(
      fc.record({ name: fc.constantFrom('a', 'folder/b'), content: anyText, variants: anyVariants, config: anyConfig }),
    ),
    chat: fc.option(
      anyText.map((content) => ({ name: 'chat', messages: [{ role: 'system', content }, { placeholder: 'history' }] })),
    ),
    including: fc.option(anyText.map((content) => ({ name: 'with-include', content: `${content} {% include "part" %}` }))),
    builtin: fc.option(anyText.map((content) => ({ name: 'meeting', content }))),
  })
  .map((parts) => Object.values(parts).filter((prompt) => prompt !== null))
const anyShare = fc.constantFrom(0.01, 30, 50, 100)
const anyWorld = fc.record({
  pushes: fc.tuple(anyPush, anyPush),
  canary: fc.option(anyShare),
  pin: fc.constantFrom(null, 'plain', 'canary'),
  purged: fc.boolean(),
  archived: fc.boolean(),
})
const anySubject = fc.record({
  tags: anyTags,
  key: fc.string({ minLength: 1, maxLength: 8 }),
  canary: fc.constantFrom('on' as const, 'off' as const),
})

type World = typeof anyWorld extends fc.Arbitrary<infer T> ? T : never

async function makeWorld({ pushes, canary, pin, purged, archived }: World) {
  const made = await makeProject()
  const { call, push, move } = made
  const fixed = [
    { name: 'a', content: 'The first {{ one }}' },
    { name: 'part', content: 'Part {{ of_it }}', template: 'jinja' },
  ]
  await push({ version: 'v1.0.0', git: { repo: 'https://example.com/x', commit: 'c0ffee1'.padEnd(40, '1') }, prompts: fixed })
  await push({ prompts: [{ name: 'a', content: 'The second' }] })
  for (const [index, prompts] of pushes.entries()) if (prompts.length > 0) await push({ version: `v1.${index}.1`, prompts })
  await move('v1.0.0')
  if (canary !== null) await call('/canary', { body: { alias: 'production', version: 'latest', percentage: canary } })
  if (pin !== null) await move('v1', 'production', { prompt: 'a' })
  if (pin === 'canary') await call('/canary', { body: { alias: 'production', prompt: 'a', version: 'v2', percentage: 50 } })
  if (purged) await call('/prompts/a/v2/purge', { body: { reason: 'test' } })
  if (archived) await call('/prompts/a', { method: 'DELETE' })
  return made
}

const queryOf = ({ tags = {}, key, canary }: Subject): URLSearchParams => {
  const query = new URLSearchParams()
  for (const [tag, value] of Object.entries(tags)) query.append('tag', `${tag}:${value}`)
  if (key !== undefined) query.set('key', key)
  if (canary === 'off') query.set('canary', 'off')
  return query
}

const toldOf = ({ body: { status, code, title, detail } }: Answer) => ({ status, code, title, detail })

const isAnswered = ({ status }: Answer) => status === 200
/** The bodies of those that were answered, as a list. */
const listOf = (answers: Answer[]) => `[${answers.filter(isAnswered).map(({ text }) => text)}]`

t.test('what a plan decides for a subject, and what many are answered at once, is what single fetches answer', async (t) => {
  const someRefs = fc.shuffledSubarray(refs, { minLength: 4, maxLength: 4 })
  const anyCase = fc.record({ world: anyWorld, subjects: fc.tuple(anySubject, anySubject), refs: someRefs })
  for (const { world, subjects, refs } of fc.sample(anyCase, runs(8))) {
    const { call, fetchMany, fetchManyCold } = await makeWorld(world)
    for (const ref of refs) {
      const title = `${ref} in ${JSON.stringify(world)}`
      const planned = await fetchManyCold({ names, ref, as: 'plans' })
      const plans = await Promise.all(names.map((name) => call(`${pathOf(name, ref)}/plan`)))
      t.equal(JSON.stringify(planned.body.items), listOf(plans), title)
      for (const subject of subjects) {
        const { canary, ...rest } = subject
        const many = await fetchMany({ names, ref, ...rest, ...(canary === 'off' ? { canary } : {}) })
        const single = await Promise.all(names.map((name) => call(`${pathOf(name, ref)}?${queryOf(subject)}`)))
        t.equal(JSON.stringify(many.body.items), listOf(single), title)
        const problems = single.flatMap((one, index) => (isAnswered(one) ? [] : [{ name: names[index], ...toldOf(one) }]))
        t.strictSame(many.body.problems, problems, title)
        for (const [index, fetched] of single.entries()) compareDecided(t, plans[index] as Answer, fetched, subject)
      }
    }
  }
})

/** A plan that is refused has nothing for any subject; another one tells each what a fetch does, and its bucket. */
function compareDecided(t: Pick<Tap, 'equal' | 'strictSame'>, plan: Answer, fetched: Answer, subject: Subject): void {
  if (!isAnswered(plan)) {
    t.equal(fetched.status, plan.status, fetched.text)
    return
  }
  const { answer, problem, bucket } = decide(plan.body, subject)
  if (answer) {
    t.equal(JSON.stringify(answer), fetched.text)
    t.equal(bucket === null ? null : `${bucket}`, fetched.headers.get('x-promptsync-bucket'))
  } else t.strictSame(problem, toldOf(fetched))
}

const manyNames = Array.from({ length: 16 }, (_, index) => `many/${index}`)
const allOf = (text: string) => manyNames.map((name) => ({ name, content: `${text} of ${name}` }))
const releasesOf = ({ body }: Answer): string[] => [...new Set<string>(body.items.map(({ release }: any) => release))]

/** Releases r1 and r2 hold other versions of all names; `production` is at r1. */
async function makeMany() {
  const made = await makeProject()
  await made.push({ prompts: allOf('One') })
  await made.push({ prompts: allOf('Two') })
  await made.move('r1')
  return made
}

t.test('without a key one request draws one side for all of its prompts', async (t) => {
  const { call, fetchMany } = await makeMany()
  await call('/canary', { body: { alias: 'production', version: 'r2', percentage: 50 } })
  const drawn = new Set<string>()
  await until('both sides were drawn', 10_000, async () => {
    const answer = await fetchMany({ names: manyNames, ref: 'production' })
    if (releasesOf(answer).join() !== answer.body.release) t.strictSame(releasesOf(answer), [answer.body.release])
    t.equal(answer.headers.get('x-promptsync-bucket'), null)
    drawn.add(answer.body.release)
    return drawn.size === 2
  })
  const off = await fetchMany({ names: manyNames, ref: 'production', canary: 'off' })
  t.strictSame([off.body.release, releasesOf(off)], ['r1', ['r1']])
  const plans = await fetchMany({ names: manyNames, ref: 'production', as: 'plans' })
  t.equal(plans.body.release, 'r1', 'that of the stable target, since nobody draws')
})

t.test('no batch mixes two releases, however the alias moves while batches are read', async (t) => {
  const { move, fetchMany, fetchManyCold } = await makeMany()
  let isMoving = true
  const counts = { batches: 0, moves: 0 }
  let newest = ''
  const read = async (ask: typeof fetchMany) => {
    while (isMoving) {
      const answer = await ask({ names: manyNames, ref: 'production' })
      if (answer.status !== 200 || answer.body.items.length !== manyNames.length) t.fail(answer.text)
      if (releasesOf(answer).join() !== answer.body.release) t.strictSame(releasesOf(answer), [answer.body.release])
      newest = answer.body.release
      counts.batches += 1
    }
  }
  const readers = [read(fetchMany), read(fetchMany), read(fetchManyCold)]
  while (counts.moves < 6) {
    const release = counts.moves % 2 === 0 ? 'r2' : 'r1'
    await move(release)
    counts.moves += 1
    await until('a batch of the release it moved to was answered', 10_000, () => newest === release)
  }
  isMoving = false
  await Promise.all(readers)
  t.comment(`${counts.batches} batches beside ${counts.moves} moves`)
})

t.test('a batch that is being loaded while the alias moves is of the release that it moved to', async (t) => {
  const { call, callCold, fetchManyCold } = await makeMany()
  await callCold('/aliases')
  for (const statement of ['read_held_of_many', 'read_versions']) {
    const before = (await callCold('/prompts/many%2F0/production')).body.release
    const after = before === 'r1' ? 'r2' : 'r1'
    cold.deps.cache.entries.clear()
    const { reached, release } = seen.holdNext(statement)
    const answering = fetchManyCold({ names: manyNames, ref: 'production' })
    await reached
    await callCold('/aliases/production', { method: 'PUT', body: { version: after } })
    release()
    const answer = await answering
    t.strictSame([answer.body.release, releasesOf(answer)], [after, [after]], statement)
  }
  t.equal((await call('/aliases/production')).status, 200)
})

t.test('what is written to the project beside does not keep a batch from being read, unless it may be of it', async (t) => {
  const { callCold, fetchManyCold } = await makeMany()
  const write = () => callCold('/prompts', { body: { prompts: [{ name: 'beside', content: `${Math.random()}` }] } })
  const readBesideWrites = async (ref: string, statement: string, times: number) => {
    cold.deps.cache.entries.clear()
    const first = seen.holdNext(statement)
    const answering = fetchManyCold({ names: manyNames, ref })
    for (let held = first, time = 1; ; time += 1) {
      await held.reached
      await write()
      const next = time < times ? seen.holdNext(statement) : null
      held.release()
      if (!next) return answering
      held = next
    }
  }
  await callCold('/aliases')
  const byAlias = await readBesideWrites('production', 'read_versions', 1)
  t.strictSame(releasesOf(byAlias), ['r1'])
  const once = await readBesideWrites('latest', 'read_named_of_many', 1)
  t.equal(once.body.items.length, manyNames.length)
  const always = await readBesideWrites('latest', 'read_named_of_many', 5)
  refused(t, always, 503, 'database.unavailable')
})

t.test('many prompts that are not in memory are loaded by few statements, and by none after that', async (t) => {
  const { call, callCold, fetchManyCold } = await makeMany()
  await call('/canary', { body: { alias: 'production', version: 'r2', percentage: 50 } })
  await callCold('/aliases')
  for (const [ref, statements] of [
    ['production', 7],
    ['r2', 1],
    ['latest', 1],
  ] as const) {
    seen.forget()
    const { body } = await fetchManyCold({ names: manyNames, ref, as: 'plans' })
    t.equal(body.items.length, manyNames.length)
    t.ok(seen.reads().length <= statements, `${ref}: ${seen.reads()}`)
    seen.forget()
    await fetchManyCold({ names: manyNames, ref, as: 'plans' })
    await callCold(`/prompts/many%2F7/${ref}/plan`)
    t.strictSame(seen.reads(), [], ref)
  }
})

t.test('a batch by what moved elsewhere is read again as a whole, not name by name', async (t) => {
  const { push, callCold, fetchManyCold } = await makeMany()
  await callCold('/aliases')
  await push({ prompts: allOf('Three') })
  seen.forget()
  const { body } = await fetchManyCold({ names: manyNames, ref: 'latest' })
  t.strictSame([...new Set(body.items.map(({ version }: any) => version))], ['v3'])
  t.ok(seen.reads().length <= 6, `${seen.reads()}`)
})

t.test('names of no prompt cost a batch one statement, and a ref that there is none of little more', async (t) => {
  const { callCold, fetchManyCold } = await makeMany()
  await callCold('/aliases')
  const unknown = manyNames.map((name) => `un${name}`)
  seen.forget()
  const { body } = await fetchManyCold({ names: [...unknown, 'many/0'], ref: 'production' })
  t.equal(body.problems.length, unknown.length)
  t.ok(body.problems.every(({ code, status }: any) => code === 'prompt.not_found' && status === 404))
  t.ok(seen.reads().length <= 3, `${seen.reads()}`)
  seen.forget()
  const nowhere = await fetchManyCold({ names: manyNames, ref: 'prodution' })
  t.strictSame([nowhere.status, nowhere.body.release, nowhere.body.items], [200, null, []])
  t.match(nowhere.body.problems[15], { name: 'many/15', code: 'alias.not_found', detail: /Did you mean "production"/ })
  t.ok(seen.reads().length <= 3 && seen.clientUses() <= 5, `${seen.reads()} ${seen.clientUses()}`)
})

t.test('a plan and a batch have strong tags that hold until what they tell changes', async (t) => {
  const { call, push, move, fetchMany } = await makeProject()
  await push({
    version: 'v1.0.0',
    alias: 'production',
    prompts: [
      { name: 'a', content: 'One' },
      { name: 'b', content: 'B' },
    ],
  })
  await push({ prompts: [{ name: 'a', content: 'Two' }] })
  const many = { names: ['a', 'b', 'unknown'], ref: 'production' }
  const asks = {
    plan: (headers = {}) => call('/prompts/a/production/plan', { headers }),
    prompts: (headers = {}) => fetchMany(many, { headers }),
    plans: (headers = {}) => fetchMany({ ...many, as: 'plans' }, { headers }),
  }
  const headersOf = (answer: Answer) =>
    ['cache-control', 'vary', 'x-promptsync-source', 'age'].map((name) => answer.headers.get(name))
  const expected = [
    'private, max-age=0, stale-if-error=86400',
    'Accept, Authorization, X-API-Key, X-Promptsync-Project',
    'registry',
    null,
  ]
  const kept = new Map<string, { etag: string; text: string }>()
  for (const [title, ask] of Object.entries(asks)) {
    const first = await ask()
    kept.set(title, { etag: first.headers.get('etag') ?? '', text: first.text })
    t.match(first.headers.get('etag'), /^"[\w-]{27}"$/, title)
    t.strictSame(headersOf(first), expected, title)
  }
  await push({ alias: 'elsewhere', prompts: [{ name: 'c', content: 'C' }] })
  for (const [title, ask] of Object.entries(asks)) {
    const { etag, text } = kept.get(title) ?? { etag: '', text: '' }
    const again = await ask({ 'if-none-match': `"other", W/${etag}` })
    t.strictSame([again.status, again.text, again.headers.get('etag')], [304, '', etag], title)
    t.strictSame(headersOf(again), expected, title)
    t.equal((await ask()).text, text, title)
  }
  await move('r2')
  for (const [title, ask] of Object.entries(asks)) {
    const etag = kept.get(title)?.etag ?? ''
    const moved = await ask({ 'if-none-match': etag })
    t.equal(moved.status, 200, title)
    t.not(moved.headers.get('etag'), etag, title)
  }
  for (const ref of ['v1.0.0', 'r2', 'v1']) {
    t.equal((await call(`/prompts/a/${ref}/plan`)).headers.get('cache-control'), 'private, max-age=86400, immutable', ref)
  }
})

t.test('built-ins have plans as fetches have them, and say where they are from', async (t) => {
  const { call, push, planOf, fetchMany } = await makeProject()
  for (const [ref, by] of [
    ['latest', 'latest'],
    ['builtin', 'builtin'],
  ] as const) {
    const { body, headers } = await call(`/prompts/meeting/${ref}/plan`)
    t.match(body, { by, source: 'default', canary: null, stable: { release: null, version: 'builtin', problem: null } })
    t.equal(headers.get('x-promptsync-source'), 'default')
  }
  refused(t, await call('/prompts/meeting/production/plan'), 404, 'prompt.not_found')
  const batch = await fetchMany({ names: ['meeting', 'nothing'], ref: 'builtin' })
  t.equal(batch.headers.get('x-promptsync-source'), 'default')
  t.match(batch.body, { release: null, items: [{ version: 'builtin' }], problems: [{ name: 'nothing', status: 404 }] })
  await push({ prompts: [{ name: 'meeting', content: 'Ours' }] })
  t.match(await planOf('meeting', 'latest'), { by: 'latest', source: 'registry', stable: { prompt: { content: 'Ours' } } })
})

t.test(
  'a side that has nothing to answer is told in the plan; where no side has, the plan is refused as a fetch is',
  async (t) => {
    const { call, push, planOf, move } = await makeProject()
    await push({ prompts: [{ name: 'a', content: 'secret wisdom 1' }] })
    await push({
      prompts: [
        { name: 'a', content: 'secret wisdom 2' },
        { name: 'b', content: 'B' },
      ],
    })
    await move('r1')
    await call('/canary', { body: { alias: 'production', version: 'r2', percentage: 50 } })
    const missing = await planOf('b', 'production')
    t.match(missing, {
      stable: { release: 'r1', version: null, prompt: null, problem: { status: 404, code: 'prompt.not_in_release' } },
    })
    t.match(missing.canary, { target: { release: 'r2', version: 'v1', problem: null } })
    t.match(await planOf('a', 'production'), { stable: { prompt: { content: 'secret wisdom 1' } } })
    t.equal(remembers(service.deps, 'secret wisdom 1'), true)
    await call('/prompts/a/v1/purge', { body: { reason: 'It was secret.' } })
    t.equal(remembers(service.deps, 'secret wisdom 1'), false)
    t.match(await planOf('a', 'production'), {
      stable: { release: 'r1', version: 'v1', prompt: null, problem: { status: 410, code: 'version.purged' } },
    })
    await call('/prompts/a/v2/purge', { body: { reason: 'It was secret.' } })
    refused(t, await call('/prompts/a/production/plan'), 410, 'version.purged')
    refused(t, await call('/prompts/a/v1/plan'), 410, 'version.purged')
    refused(t, await call('/prompts/b/r1/plan'), 404, 'prompt.not_in_release')
  },
)

t.test(
  'while the database is away what is in memory is answered and said to be stale, and a batch with anything else is 503',
  async (t) => {
    const { callCold, fetchManyCold } = await makeMany()
    const names = manyNames.slice(0, 10)
    await fetchManyCold({ names, ref: 'production' })
    const known = await fetchManyCold({ names, ref: 'production', as: 'plans' })
    seen.takeAway()
    t.teardown(() => seen.giveBack())
    service.clock.advance(60_000)
    const isStale = (answer: Answer) => {
      t.equal(answer.status, 200, answer.text)
      t.equal(answer.headers.get('x-promptsync-source'), 'stale')
      t.ok(Number(answer.headers.get('age')) >= 59)
      return answer
    }
    isStale(await callCold('/prompts/many%2F1/production/plan'))
    t.equal(isStale(await fetchManyCold({ names, ref: 'production', as: 'plans' })).text, known.text)
    isStale(await fetchManyCold({ names, ref: 'production' }))
    refused(t, await fetchManyCold({ names: manyNames, ref: 'production' }), 503, 'database.unavailable')
    refused(t, await fetchManyCold({ names: [...names, 'many/11'], ref: 'production' }), 503, 'database.unavailable')
    refused(t, await callCold('/prompts/many%2F11/production/plan'), 503, 'database.unavailable')
    const builtin = await fetchManyCold({ names: ['meeting'], ref: 'builtin' })
    t.strictSame([builtin.status, builtin.headers.get('x-promptsync-source'), builtin.headers.get('age')], [200, 'default', null])
  },
)

t.test('a prompt may be called fetch', async (t) => {
  const { call, push, fetchMany } = await makeProject()
  await push({ alias: 'production', prompts: [{ name: 'fetch', content: 'Go.' }] })
  t.equal((await call('/prompts/fetch')).body.name, 'fetch')
  t.equal((await call('/prompts/fetch', { method: 'PATCH', body: { title: 'Fetch' } })).body.title, 'Fetch')
  t.equal((await call('/prompts/fetch/production/plan')).body.name, 'fetch')
  t.equal((await fetchMany({ names: ['fetch'], ref: 'production' })).body.items[0].content, 'Go.')
  const put = await call('/prompts/fetch', { method: 'PUT', body: {} })
  refused(t, put, 405, 'method.not_allowed')
  t.equal(put.headers.get('allow'), 'DELETE, GET, HEAD, PATCH, POST')
  t.equal((await call('/prompts/fetch', { method: 'DELETE' })).status, 200)
})

t.test('an answer of more than 64 MiB is refused, and fewer of the same names are answered', async (t) => {
  const { project, call, push, fetchMany } = await makeProject()
  const parts = ['a', 'b', 'c', 'd'].map((name) => ({ name, content: name.repeat(250 * 1024), template: 'none' }))
  const content = parts.map(({ name }) => `{% include "${name}" %}`).join('')
  const names = Array.from({ length: 34 }, (_, index) => `large/${index}`)
  await push({ alias: 'production', prompts: [...parts, ...names.map((name) => ({ name, content }))] })
  await push({ prompts: [{ name: 'other', content: 'Text' }] })
  // Both sides of each plan hold the same megabyte.
  await call('/canary', { body: { alias: 'production', version: 'r2', percentage: 50 } })
  const refusal = await fetchMany({ names, ref: 'production', as: 'plans' })
  refused(t, refusal, 422, 'answer.too_large')
  t.match(refusal.body.detail, /34 names.*64 MiB.*fewer names/)
  const { status, text } = await fetchMany({ names: names.slice(0, 2), ref: 'production', as: 'plans' })
  t.equal(status, 200)
  t.ok(text.length > 4 * 1_000 * 1_000)

  await t.test('large answers that nobody reads do not fill the memory: one more is refused until they end', async (t) => {
    const body = { names: names.slice(0, 31), ref: 'production', as: 'plans' }
    const url = `${service.url}/prompts/fetch?project=${project}`
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${service.adminKey}` }
    /** Answers once the head of an answer is there, of which no more is read. */
    const ask = async () => {
      const call = request(url, { method: 'POST', headers, agent: false }).end(JSON.stringify(body))
      const [{ statusCode }] = (await once(call, 'response')) as [IncomingMessage]
      return { status: statusCode, leave: () => call.destroy() }
    }
    const unread: Awaited<ReturnType<typeof ask>>[] = []
    for (let count = 0; count < 4; count += 1) unread.push(await ask())
    t.same([...new Set(unread.map(({ status }) => status))], [200])
    refused(t, await fetchMany(body), 503, 'read.busy')
    t.equal((await fetchMany({ ...body, names: ['other'], ref: 'latest' })).status, 200, 'small ones still get in')
    for (const { leave } of unread) leave()
    await until('another one is answered', 10_000, async () => {
      const { status, leave } = await ask()
      leave()
      return status === 200
    })
  })
})
