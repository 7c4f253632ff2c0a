import { getEventListeners } from 'node:events'
import t from 'tap'
import { callApi } from '../../src/client/http.js'
import type { StaleServed } from '../../src/client/options.js'
import { PromptsyncError } from '../../src/client/problem.js'
import { makeDirectory } from '../helpers/process.js'
import { until } from '../helpers/until.js'
import { createManager, handClock, noting } from './helpers/manager.js'
import { cut, html, problem, startPlanPeer } from './helpers/plan-peer.js'

const token = 'ps_secret'
const minuteMs = 60_000
const dayMs = 86_400_000

/** Time enough for a busy machine to answer in, and for one timeout to be told from two. */
const timeoutMs = 1_500

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'answered',
    (error: unknown) => (error instanceof PromptsyncError ? error.code : String(error)),
  )

t.test('whoever answers in a service’s place is told apart, and a fallback serves in spite of it', async (t) => {
  const peer = await startPlanPeer(t)
  const errors: string[] = []
  const manager = createManager(t, { url: peer.url, token, onError: ({ code }) => errors.push(code) })
  const troubles = [
    ['client.not_promptsync', html],
    ['client.unreachable', cut],
    ['rate.exceeded', problem(429, 'rate.exceeded', { 'retry-after': '1' })],
    ['internal', problem(500, 'internal')],
    ['server.busy', problem(503, 'server.busy')],
    ['auth.revoked', problem(401, 'auth.revoked')],
    ['client.redirected', (_: unknown, response: any) => response.writeHead(302, { location: 'https://elsewhere.test/' }).end()],
    [
      'client.not_promptsync',
      (_: unknown, response: any) => response.writeHead(200, { 'content-type': 'application/json' }).end('{"name":1}'),
    ],
  ] as const
  for (const [code, trouble] of troubles) {
    peer.trouble = trouble
    const error = await manager.getPrompt('greeting').catch((error: unknown) => error)
    t.ok(error instanceof PromptsyncError, code)
    t.equal((error as PromptsyncError).code, code)
    t.notMatch((error as PromptsyncError).message, token)
    const prompt = await manager.getPrompt('greeting', { fallback: `Sorry: {{ name }}` })
    t.match(prompt, { servedFrom: 'fallback', version: 'fallback', isStale: true, type: 'text', release: null })
    t.equal(prompt.format({ name: 'Ada' }), 'Sorry: Ada')
  }
  t.same(
    errors,
    troubles.map(([code]) => code),
    'each answer in place of another is told of',
  )
  peer.trouble = () => undefined
  const hurried = createManager(t, { url: peer.url, token, timeoutMs: 50 })
  t.equal(await codeOf(hurried.getPrompt('greeting')), 'client.timeout')
  t.match(await hurried.getPrompt('greeting', { fallback: 'Sorry.' }), { servedFrom: 'fallback', content: 'Sorry.' })
  peer.trouble = null
  t.match(await manager.getPrompt('greeting'), { servedFrom: 'network', content: 'Hello!', isStale: false })
})

t.test('a black hole costs the timeout once: while nobody answers, who has another answer gets it at once', async (t) => {
  const peer = await startPlanPeer(t)
  peer.stall()
  const { fetch, sent } = noting()
  const manager = createManager(t, { url: peer.url, token, timeoutMs: 50, fetch }, handClock())
  t.equal((await manager.getPrompt('greeting', { fallback: 'Sorry.' })).content, 'Sorry.')
  for (let index = 0; index < 50; index += 1) await manager.getPrompt(`other-${index}`, { fallback: 'Sorry.' })
  t.equal(sent.length, 1, 'the others did not ask')
  t.equal(await codeOf(manager.getPrompt('greeting')), 'client.timeout', 'who has nothing else still asks')
  t.equal(sent.length, 2)
})

t.test('however many aliases are too old, a black hole costs their callers one timeout', async (t) => {
  const peer = await startPlanPeer(t)
  const clock = handClock()
  const manager = createManager(t, { url: peer.url, token, timeoutMs }, clock)
  const refs = Array.from({ length: 40 }, (_, index) => `alias-${index}`)
  await Promise.all(refs.map((ref) => manager.getPrompt('greeting', { ref })))
  peer.stall()
  clock.advance(dayMs)
  const startedAt = performance.now()
  const served = await Promise.all(refs.map((ref) => manager.getPrompt('greeting', { ref })))
  const tookMs = performance.now() - startedAt
  t.ok(tookMs < 2 * timeoutMs, `${Math.round(tookMs)} ms`)
  t.ok(served.every(({ servedFrom, isStale }) => servedFrom === 'memory' && isStale))
})

t.test('hundreds of prompts at once take tens of calls at once, and a black hole costs them one timeout', async (t) => {
  const names = Array.from({ length: 300 }, (_, index) => `prompt-${index}`)
  const peer = await startPlanPeer(t, Object.fromEntries(names.map((name) => [name, name])))
  let [underWay, most] = [0, 0]
  const counting: typeof fetch = (input, init) => {
    underWay += 1
    most = Math.max(most, underWay)
    return fetch(input, init).finally(() => {
      underWay -= 1
    })
  }
  const manager = createManager(t, { url: peer.url, token, fetch: counting })
  const found = await Promise.all(names.map((name) => manager.getPrompt(name)))
  t.same(
    found.map(({ content }) => content),
    names,
  )
  t.ok(most > 4 && most <= 32, `${most} at once`)
  peer.stall()
  const impatient = createManager(t, { url: peer.url, token, timeoutMs })
  const startedAt = performance.now()
  const codes = new Set(await Promise.all(names.map((name) => codeOf(impatient.getPrompt(name)))))
  t.same([...codes], ['client.timeout'])
  t.ok(performance.now() - startedAt < 2 * timeoutMs)
})

t.test('who asks for all to be renewed while that is being done waits for one more call, not for one each', async (t) => {
  const peer = await startPlanPeer(t)
  const manager = createManager(t, { url: peer.url, token })
  await manager.getPrompt('greeting')
  const before = peer.received()
  peer.contents.set('greeting', 'New!')
  await Promise.all(Array.from({ length: 50 }, () => manager.refresh()))
  t.ok(peer.received() - before <= 2, `${peer.received() - before} calls`)
  t.equal(manager.peekPrompt('greeting')?.content, 'New!')
})

t.test('with the service gone from the start each call says so, or has its fallback, until the service is there', async (t) => {
  const peer = await startPlanPeer(t)
  await peer.leave()
  const clock = handClock()
  const manager = createManager(t, { url: peer.url, token, cacheDir: await makeDirectory(t) }, clock)
  t.equal(await codeOf(manager.getPrompt('greeting')), 'client.unreachable')
  t.equal(await codeOf(manager.getPrompts(['greeting'])), 'client.unreachable')
  t.same(await manager.getPrompts(['greeting'], { partial: true }), [null])
  t.equal(manager.peekPrompt('greeting'), null)
  t.match(await manager.getPrompt('greeting', { fallback: 'Sorry.' }), { servedFrom: 'fallback' })
  await peer.restore()
  t.match(await manager.getPrompt('greeting'), { servedFrom: 'network', content: 'Hello!' })
  t.match(await manager.getPrompts(['greeting']), [{ servedFrom: 'memory', content: 'Hello!' }])
})

t.test('what is renewed behind the caller’s back ends with the manager, and is no error', async (t) => {
  const peer = await startPlanPeer(t)
  const clock = handClock()
  const [signals, errors]: [(AbortSignal | null | undefined)[], string[]] = [[], []]
  const noted: typeof fetch = (input, init) => {
    signals.push(init?.signal)
    return fetch(input, init)
  }
  const manager = createManager(t, { url: peer.url, token, fetch: noted, onError: ({ code }) => errors.push(code) }, clock)
  const all = () =>
    Promise.all(Array.from({ length: 10 }, (_, index) => manager.getPrompt('greeting', { ref: `alias-${index}` })))
  await all()
  peer.stall()
  clock.advance(minuteMs)
  t.ok((await all()).every(({ servedFrom }) => servedFrom === 'memory'))
  const under = signals.slice(10)
  t.ok(under.length > 0 && under.length < 10, `${under.length} are under way, the others wait for their turn`)
  await manager.close()
  await new Promise((resolve) => setImmediate(resolve))
  t.ok(under.every((signal) => signal?.aborted))
  t.equal(signals.length, 10 + under.length, 'none was begun since')
  t.ok((await all()).every(({ servedFrom, isStale }) => servedFrom === 'memory' && isStale))
  t.same(errors, [])
})

t.test('a fetch that minds no signal is given up all the same', async (t) => {
  const { url } = await startPlanPeer(t)
  const manager = createManager(t, { url, token, timeoutMs: 50, fetch: () => new Promise(() => undefined) })
  t.equal(await codeOf(manager.getPrompt('greeting')), 'client.timeout')
})

t.test(
  'what is in memory is served while the service is away, and is stale from when it should have been confirmed',
  async (t) => {
    const peer = await startPlanPeer(t)
    const clock = handClock()
    const errors: string[] = []
    const manager = createManager(t, { url: peer.url, token, onError: ({ code }) => errors.push(code) }, clock)
    t.match(await manager.getPrompt('greeting'), { servedFrom: 'network', ageMs: 0, isStale: false })
    await peer.leave()
    clock.advance(minuteMs - 1)
    t.match(await manager.getPrompt('greeting'), { servedFrom: 'memory', ageMs: minuteMs - 1, isStale: false })
    clock.advance(1)
    t.match(
      await manager.getPrompt('greeting'),
      { servedFrom: 'memory', isStale: false },
      'it is not known yet that it cannot be',
    )
    await until('the refresh failed', 5_000, () => errors.length > 0)
    t.match(await manager.getPrompt('greeting'), { servedFrom: 'memory', ageMs: minuteMs, isStale: true })
    t.same(errors, ['client.unreachable'])
    peer.contents.set('greeting', 'Back!')
    await peer.restore()
    clock.advance(2_000)
    await until('the new one is there', 5_000, async () => (await manager.getPrompt('greeting')).content === 'Back!')
    t.match(await manager.getPrompt('greeting'), { servedFrom: 'memory', isStale: false })
  },
)

t.test('past maxStaleMs a call asks first, and serves what there is where that fails', async (t) => {
  const peer = await startPlanPeer(t)
  const clock = handClock()
  const stale: StaleServed[] = []
  const manager = createManager(t, { url: peer.url, token, onStale: (served) => stale.push(served) }, clock)
  await manager.getPrompt('greeting')
  peer.contents.set('greeting', 'New!')
  clock.advance(dayMs)
  t.match(await manager.getPrompt('greeting'), { servedFrom: 'network', content: 'New!', isStale: false })
  await peer.leave()
  clock.advance(dayMs)
  t.match(await manager.getPrompt('greeting'), { servedFrom: 'memory', content: 'New!', isStale: true, ageMs: dayMs })
  t.match(await manager.getPrompt('greeting'), { servedFrom: 'memory', isStale: true }, 'it is left alone for a moment')
  t.match(await manager.getPrompts(['greeting']), [{ servedFrom: 'memory', isStale: true }])
  t.match(stale, [{ name: 'greeting', ref: 'production', ageMs: dayMs, error: { code: 'client.unreachable' } }])
  t.equal(stale.length, 1, 'told once for each time that it was asked in vain')
  clock.advance(minuteMs)
  await manager.getPrompts(['greeting'])
  t.equal(stale.length, 2)
})

t.test('what a call confirmed is not too old for it, however long the call took', async (t) => {
  const peer = await startPlanPeer(t)
  const clock = handClock()
  const slow: typeof fetch = async (...request) => {
    clock.advance(200)
    return fetch(...request)
  }
  const stale: StaleServed[] = []
  const onStale = (served: StaleServed) => stale.push(served)
  const manager = createManager(t, { url: peer.url, token, fetch: slow, maxStaleMs: 0, onStale }, clock)
  for (let call = 0; call < 3; call += 1) {
    t.match(await manager.getPrompt('greeting'), { servedFrom: 'network', ageMs: 200, isStale: false })
  }
  t.same([peer.received(), stale], [3, []])
  peer.trouble = problem(500, 'internal')
  t.match(await manager.getPrompt('greeting'), { servedFrom: 'memory', isStale: true })
  t.match(stale, [{ error: { code: 'internal' } }])
})

t.test('a key that is refused stops nothing at once, and everything past maxStaleMs', async (t) => {
  const peer = await startPlanPeer(t)
  const clock = handClock()
  const errors: string[] = []
  const cacheDir = await makeDirectory(t)
  const options = { url: peer.url, token, cacheDir, onError: ({ code }: PromptsyncError) => errors.push(code) }
  const manager = createManager(t, options, clock)
  await manager.getPrompt('greeting')
  peer.trouble = problem(401, 'auth.revoked')
  clock.advance(2 * minuteMs)
  await until('it is stale', 5_000, async () => (await manager.getPrompt('greeting')).isStale)
  t.same(errors, ['auth.revoked'])
  await manager.close()
  const second = createManager(t, options, clock)
  t.match(await second.getPrompt('greeting'), { servedFrom: 'disk', isStale: true })
  t.same(errors.slice(-1), ['auth.revoked'])
  clock.advance(dayMs)
  t.equal(await codeOf(second.getPrompt('greeting')), 'auth.revoked')
  const third = createManager(t, options, clock)
  t.equal(await codeOf(third.getPrompt('greeting')), 'auth.revoked')
})

t.test('what is gone is dropped from memory and disk, and is asked for again a second later', async (t) => {
  const peer = await startPlanPeer(t)
  const clock = handClock()
  const cacheDir = await makeDirectory(t)
  const manager = createManager(t, { url: peer.url, token, cacheDir, cacheStrategy: { refreshStrategy: 'blocking' } }, clock)
  await manager.getPrompt('greeting')
  peer.trouble = problem(410, 'version.purged')
  clock.advance(minuteMs)
  t.equal(await codeOf(manager.getPrompt('greeting')), 'version.purged')
  t.equal(manager.peekPrompt('greeting'), null)
  t.equal(await codeOf(manager.getPrompt('greeting')), 'version.purged')
  await manager.close()
  peer.trouble = null
  await peer.leave()
  const other = createManager(t, { url: peer.url, token, cacheDir }, clock)
  t.equal(await codeOf(other.getPrompt('greeting')), 'client.unreachable', 'nothing of it is left on disk')
  await peer.restore()
  const before = peer.received()
  t.equal(await codeOf(manager.getPrompt('greeting')), 'version.purged')
  t.equal(peer.received(), before, 'it was answered just now')
  clock.advance(1_000)
  t.match(await manager.getPrompt('greeting'), { servedFrom: 'network' })
})

t.test('with “blocking” a call waits for what is new, and gets what is old where that fails', async (t) => {
  const peer = await startPlanPeer(t)
  const clock = handClock()
  const manager = createManager(t, { url: peer.url, token, cacheStrategy: { refreshStrategy: 'blocking' } }, clock)
  await manager.getPrompt('greeting')
  peer.contents.set('greeting', 'New!')
  clock.advance(minuteMs)
  t.match(await manager.getPrompt('greeting'), { servedFrom: 'network', content: 'New!' })
  peer.trouble = problem(503, 'server.busy')
  clock.advance(minuteMs)
  t.match(await manager.getPrompt('greeting'), { servedFrom: 'memory', content: 'New!', isStale: true })
  const before = peer.received()
  t.match(await manager.getPrompt('greeting'), { servedFrom: 'memory', isStale: true })
  t.equal(peer.received(), before, 'a service that fails is left alone for a moment')
})

t.test('with “none” nothing is asked again for its age, but by refresh()', async (t) => {
  const peer = await startPlanPeer(t)
  const clock = handClock()
  const options = { url: peer.url, token, refreshIntervalMs: 1, cacheStrategy: { refreshStrategy: 'none' as const } }
  const manager = createManager(t, options, clock)
  await manager.getPrompt('greeting')
  clock.advance(10 * dayMs)
  t.match(await manager.getPrompt('greeting'), { servedFrom: 'memory', isStale: true, ageMs: 10 * dayMs })
  t.equal(peer.received(), 1)
  peer.contents.set('greeting', 'New!')
  await manager.refresh()
  t.match(await manager.getPrompt('greeting'), { servedFrom: 'memory', content: 'New!', isStale: false })
  await peer.leave()
  t.equal(await codeOf(manager.refresh()), 'client.unreachable')
})

t.test('an answer that the service could not confirm is as old as it says', async (t) => {
  const peer = await startPlanPeer(t)
  peer.fields = { 'x-promptsync-source': 'stale', age: '30' }
  const manager = createManager(t, { url: peer.url, token }, handClock())
  t.match(await manager.getPrompt('greeting'), { servedFrom: 'network', isStale: true, ageMs: 30_000 })
})

t.test('an application starts from its disk while the service is gone, and goes on when it is back', async (t) => {
  const peer = await startPlanPeer(t, { greeting: 'Hello!', other: 'Other.' })
  const cacheDir = await makeDirectory(t)
  const clock = handClock()
  const first = createManager(t, { url: peer.url, token, cacheDir }, clock)
  await first.getPrompts(['greeting', 'other'])
  await first.close()
  await peer.leave()
  clock.advance(minuteMs / 2)
  const fresh = createManager(t, { url: peer.url, token, cacheDir }, clock)
  t.match(
    await fresh.getPrompt('greeting'),
    { servedFrom: 'disk', isStale: false, ageMs: minuteMs / 2 },
    'it was confirmed just now',
  )
  const strict = createManager(t, { url: peer.url, token, cacheDir, cacheStrategy: { fileTtlMs: 0 } }, clock)
  t.match(await strict.getPrompt('greeting'), { servedFrom: 'disk', isStale: true }, 'it was not to be served unasked')
  clock.advance(minuteMs)
  const second = createManager(t, { url: peer.url, token, cacheDir }, clock)
  t.match(await second.getPrompt('greeting'), { servedFrom: 'disk', content: 'Hello!', isStale: true })
  t.match(await second.getPrompt('greeting'), { servedFrom: 'memory', content: 'Hello!', isStale: true })
  t.match(await second.getPrompts(['other', 'greeting']), [
    { name: 'other', servedFrom: 'disk', isStale: true },
    { name: 'greeting', servedFrom: 'memory', isStale: true },
  ])
  t.equal(await codeOf(second.getPrompt('unknown')), 'client.unreachable')
  peer.contents.set('greeting', 'Back!')
  await peer.restore()
  clock.advance(minuteMs)
  await until('the new one is there', 5_000, async () => (await second.getPrompt('greeting')).content === 'Back!')
})

t.test('a system clock that jumps makes nothing fresh for ever, and nothing fail', async (t) => {
  const peer = await startPlanPeer(t)
  const cacheDir = await makeDirectory(t)
  const clock = handClock()
  const manager = createManager(t, { url: peer.url, token, cacheDir }, clock)
  await manager.getPrompt('greeting')
  for (const [jumpMs, servedFrom] of [
    [-400 * dayMs, 'memory'],
    [800 * dayMs, 'network'],
    [-400 * dayMs, 'memory'],
  ] as const) {
    clock.jump(jumpMs)
    t.match(await manager.getPrompt('greeting'), { servedFrom, ageMs: 0, isStale: false }, 'forward it may have slept: it asks')
  }
  await manager.close()
  peer.contents.set('greeting', 'New!')
  clock.jump(-400 * dayMs)
  const behind = createManager(t, { url: peer.url, token, cacheDir }, clock)
  t.match(await behind.getPrompt('greeting'), { servedFrom: 'network', content: 'New!' }, 'a plan of the future is asked for')
  await behind.close()
  clock.jump(-400 * dayMs)
  await peer.leave()
  const stale: StaleServed[] = []
  const offline = createManager(t, { url: peer.url, token, cacheDir, onStale: (served) => stale.push(served) }, clock)
  const prompt = await offline.getPrompt('greeting')
  t.match(prompt, { servedFrom: 'disk', content: 'New!', isStale: true })
  t.ok(Number.isSafeInteger(prompt.ageMs) && prompt.ageMs >= dayMs)
  t.equal(stale.length, 1)
})

t.test(
  'what a computer slept through, or a function was frozen for, counts as age, however short it was each time',
  async (t) => {
    const peer = await startPlanPeer(t)
    const clock = handClock()
    const manager = createManager(t, { url: peer.url, token, cacheStrategy: { refreshStrategy: 'blocking' } }, clock)
    await manager.getPrompt('greeting')
    peer.contents.set('greeting', 'New!')
    for (let sleptMs = 0; sleptMs < minuteMs - 400; sleptMs += 400) {
      clock.jump(400)
      t.match(await manager.getPrompt('greeting'), { servedFrom: 'memory' })
    }
    clock.jump(1_400)
    t.match(await manager.getPrompt('greeting'), { servedFrom: 'network', content: 'New!' })
  },
)

t.test('a disk that counts as fresh for ever is no reason to serve past maxStaleMs unasked', async (t) => {
  const peer = await startPlanPeer(t)
  const cacheStrategy = { fileTtlMs: Number.POSITIVE_INFINITY }
  const stale: StaleServed[] = []
  const options = { url: peer.url, token, cacheDir: await makeDirectory(t), cacheStrategy }
  const clock = handClock()
  const manager = createManager(t, options, clock)
  await manager.getPrompt('greeting')
  await manager.close()
  clock.advance(dayMs - 1)
  t.match(await createManager(t, options, clock).getPrompt('greeting'), { servedFrom: 'disk', isStale: false })
  clock.advance(1)
  await peer.leave()
  const offline = createManager(t, { ...options, onStale: (served) => stale.push(served) }, clock)
  t.match(await offline.getPrompt('greeting'), { servedFrom: 'disk', isStale: true, ageMs: dayMs })
  t.match(stale, [{ error: { code: 'client.unreachable' } }])
  await peer.restore()
  t.match(await createManager(t, options, clock).getPrompt('greeting'), { servedFrom: 'network' })
})

t.test('a fetch without streams, as of a test or of React Native, does', async (t) => {
  const { url } = await startPlanPeer(t)
  const streamless: typeof fetch = async (input, init) => {
    const { status, headers, ...response } = await fetch(input, init).then(async (found) => {
      return { status: found.status, headers: found.headers, text: await found.text() }
    })
    return { status, headers, text: async () => response.text } as Response
  }
  const manager = createManager(t, { url, token, fetch: streamless })
  t.match(await manager.getPrompt('greeting'), { servedFrom: 'network', content: 'Hello!' })
})

t.test('whatever an answer holds becomes a prompt or an error of this client, and changes nothing else', async (t) => {
  const peer = await startPlanPeer(t)
  const manager = createManager(t, { url: peer.url, token })
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  const plan = JSON.stringify(await (await fetch(`${peer.url}/prompts/greeting/production/plan`)).json())
  const answers = [
    ...['null', '[]', '{"__proto__":{"polluted":1}}', deep, `{"items":[],"problems":[null]}`, `{"items":[null],"problems":[]}`],
    plan.replace('"variants":[]', '"variants":[{"tags":{"locale":1},"content":"x","variables":[]}]'),
    ...[plan.replace('"Hello!","messages":null', 'null,"messages":[{}]'), plan.replace('"variants":[]', '"variants":[1]')],
    ...[plan.replace('{}', deep), plan.replace('"stable":{', '"stable":{"a":')],
    `{"items":[],"problems":[{"name":"greeting","status":404}]}`,
  ]
  for (const answer of answers) {
    peer.trouble = (_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end(answer)
    for (const call of [() => manager.getPrompt('greeting'), () => manager.getPrompts(['greeting'])]) {
      t.equal(await codeOf(call()), 'client.not_promptsync', answer.slice(0, 60))
    }
  }
  const hostile = plan.replace('"config":{}', '"config":{"__proto__":{"polluted":1}},"__proto__":{"polluted":1}')
  peer.trouble = (_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end(hostile)
  const prompt = await manager.getPrompt('greeting', { tags: { ['__proto__']: 'polluted' } })
  prompt.toOpenAI({ ['__proto__']: { polluted: 1 } })
  t.equal(({} as { polluted?: unknown }).polluted, undefined)
})

t.test('a call lets go of the signal that it was given', async (t) => {
  const { url } = await startPlanPeer(t)
  const { signal } = new AbortController()
  const connection = { url, token, project: null, timeoutMs: 5_000, fetch }
  for (const path of ['/prompts/greeting/production/plan', '/prompts/none/production/plan']) {
    await codeOf(callApi(connection, { path, signal }))
  }
  t.equal(getEventListeners(signal, 'abort').length, 0)
  t.equal(await codeOf(callApi(connection, { path: '/', signal: AbortSignal.abort() })), 'client.aborted')
})
