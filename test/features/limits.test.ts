import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config.js'
import type { Deps } from '../../src/deps.js'
import type { App } from '../../src/http.js'
import { type ServerLimits, serverLimits } from '../../src/plugins/limits.js'
import type { RedisLink } from '../../src/redis/connect.js'
import { openLink, redisUrl } from '../helpers/redis.js'
import { startService, type Teardown } from '../helpers/service.js'

const service = await startService(t, { env: { REDIS_URL: '' } })
await service.push({ alias: 'dev', prompts: [{ name: 'x', content: 'Hello {{ name }}' }] })
await service.call('/projects/default', { method: 'PATCH', body: { settings: { publicRead: true } } })
const reader = await service.createKey({ name: 'reader', scopes: ['prompts:read'] })
const other = await service.createKey({ name: 'other', scopes: ['prompts:read'] })
const writer = await service.createKey({ name: 'writer', scopes: ['prompts:write', 'prompts:read'] })

/** The service with other limits on the same database; `more` goes into its dependencies. */
async function buildWith(
  t: Teardown,
  env: Record<string, string>,
  more: Partial<Deps> = {},
  server?: ServerLimits,
): Promise<App> {
  const app = await buildApp({ ...service.deps, ...more, config: loadConfig(env) }, server)
  t.teardown(() => app.close())
  return app
}

const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` })

/** Asks for a prompt, or something else, with a key or without one. */
function read(
  app: App,
  { secret, url = '/prompts/x/dev', ...more }: { secret?: string; url?: string; [option: string]: unknown },
) {
  return app.inject({ url, headers: secret === undefined ? {} : bearer(secret), ...more })
}

function push(app: App, secret: string) {
  return app.inject({
    method: 'POST',
    url: '/prompts',
    headers: bearer(secret),
    payload: { prompts: [{ name: 'x', content: 'Hello {{ name }}' }] },
  })
}

t.test('reads are limited by key, and by address without one', async (t) => {
  const app = await buildWith(t, { PROMPTSYNC_READ_LIMIT: '4' })
  const { secret } = reader
  const statuses: (number | string | undefined)[][] = []
  for (let call = 0; call < 5; call += 1) {
    const { statusCode, headers } = await read(app, { secret })
    statuses.push([statusCode, headers['ratelimit-policy'] as string, String(headers.ratelimit).replace(/t=\d+$/, 't=')])
  }
  const policy = '"reads";q=4;w=60'
  t.strictSame(statuses, [
    [200, undefined, 'undefined'],
    [200, undefined, 'undefined'],
    [200, policy, '"reads";r=1;t='],
    [200, policy, '"reads";r=0;t='],
    [429, policy, '"reads";r=0;t='],
  ])
  const refused = await read(app, { secret })
  const wait = Number(refused.headers['retry-after'])
  t.ok(wait >= 1 && wait <= 15, `a call comes back every 15 s, ${wait} s are left`)
  t.equal(refused.headers.ratelimit, `"reads";r=0;t=${wait}`)
  t.match(refused.headers['content-type'], /^application\/problem\+json/)
  t.equal(refused.json().code, 'rate.exceeded')
  t.match(refused.json().detail, /^Key "reader" has made its 4 reads of a minute\. Wait \d+ s/)
  t.equal((await read(app, { secret: other.secret })).statusCode, 200, 'another key is not affected')

  const anonymous = (remoteAddress: string) => read(app, { remoteAddress })
  for (const status of [200, 200, 200, 200, 429]) t.equal((await anonymous('192.0.2.1')).statusCode, status)
  t.match((await anonymous('192.0.2.1')).json().detail, /^The address 192\.0\.2\.1 has/)
  t.equal((await anonymous('192.0.2.2')).statusCode, 200)
  for (const status of [200, 200, 200, 200, 429]) t.equal((await anonymous(`2001:db8::${status + 1}`)).statusCode, status)
  t.equal(app.limits.counts.reads, 5)
})

t.test('a read that is answered from memory counts like any other', async (t) => {
  const app = await buildWith(t, { PROMPTSYNC_READ_LIMIT: '4' })
  const port = await listen(app)
  const fields: (string | number | null | undefined)[][] = []
  for (let call = 0; call < 5; call += 1) {
    const { status, headers } = await fetch(`http://127.0.0.1:${port}/prompts/x/dev`, { headers: bearer(reader.secret) })
    fields.push([status, headers.get('ratelimit')?.replace(/t=\d+$/, 't=')])
  }
  t.strictSame(fields, [
    [200, undefined],
    [200, undefined],
    [200, '"reads";r=1;t='],
    [200, '"reads";r=0;t='],
    [429, '"reads";r=0;t='],
  ])
})

t.test(
  'everything that changes nothing is a read: HEAD, lists, renders, what is not there, and what only an admin sees',
  async (t) => {
    const app = await buildWith(t, { PROMPTSYNC_READ_LIMIT: '7', PROMPTSYNC_WRITE_LIMIT: '1' })
    const secret = service.adminKey
    const answers = [
      await read(app, { secret, method: 'HEAD' }),
      await read(app, { secret, url: '/prompts' }),
      await read(app, { secret, url: '/prompts/unknown/dev' }),
      await read(app, { secret, url: '/prompts/x/dev/render', method: 'POST', payload: { variables: { name: 'Ada' } } }),
      await read(app, { secret, url: '/validate', method: 'POST', payload: { prompts: [] } }),
      await read(app, { secret, url: '/keys' }),
      await read(app, { secret, url: '/audit' }),
      await read(app, { secret, url: '/prompts' }),
    ]
    t.strictSame(
      answers.map(({ statusCode }) => statusCode >= 429),
      [false, false, false, false, false, false, false, true],
    )
    t.equal((await push(app, secret)).statusCode, 200, 'writes are counted apart')
  },
)

t.test('a refusal that is the caller’s own comes before the limit, and what is public has none', async (t) => {
  const app = await buildWith(t, { PROMPTSYNC_READ_LIMIT: '1', PROMPTSYNC_WRITE_LIMIT: '1' })
  const { secret } = reader
  for (const status of [200, 429]) t.equal((await read(app, { secret })).statusCode, status)
  for (const status of [200, 429]) t.equal((await push(app, writer.secret)).statusCode, status)
  t.equal((await push(app, secret)).statusCode, 403)
  t.equal((await read(app, { secret: 'ps_unknown' })).statusCode, 401)
  t.equal((await read(app, { secret, url: '/nothing' })).statusCode, 404)
  t.equal((await read(app, { secret, url: '/prompts/x/dev?project=unknown' })).statusCode, 404)
  t.equal((await read(app, { secret, url: '/prompts/x/dev', method: 'PUT' })).statusCode, 405)
  for (const url of ['/livez', '/readyz', '/health', '/metrics', '/openapi.json', '/docs/']) {
    for (let call = 0; call < 3; call += 1) t.equal((await read(app, { secret, url })).statusCode, 200, url)
  }
})

t.test('writes are limited by key and always say what is left', async (t) => {
  const app = await buildWith(t, { PROMPTSYNC_WRITE_LIMIT: '2' })
  const answers = [await push(app, writer.secret), await push(app, writer.secret), await push(app, writer.secret)]
  t.strictSame(
    answers.map(({ statusCode, headers }) => [
      statusCode,
      headers['ratelimit-policy'],
      String(headers.ratelimit).replace(/t=\d+$/, 't='),
    ]),
    [
      [200, '"writes";q=2;w=60', '"writes";r=1;t='],
      [200, '"writes";q=2;w=60', '"writes";r=0;t='],
      [429, '"writes";q=2;w=60', '"writes";r=0;t='],
    ],
  )
  const wait = Number(answers[2]?.headers['retry-after'])
  t.ok(wait > 30 && wait <= 60, `${wait} s`)
  t.equal(answers[2]?.headers.ratelimit, `"writes";r=0;t=${wait}`)
  t.match(answers[2]?.json().detail, /^Key "writer" has made its 2 writes of a minute\. Wait \d+ s/)
  t.equal((await push(app, service.adminKey)).statusCode, 200, 'another key is not affected')
  t.equal((await read(app, { secret: writer.secret })).statusCode, 200, 'nor are reads')
})

t.test('without limits nothing is refused and nothing is said of any', async (t) => {
  const app = await buildWith(t, { PROMPTSYNC_READ_LIMIT: 'off', PROMPTSYNC_WRITE_LIMIT: 'off' })
  for (const answer of [await push(app, writer.secret), await read(app, { secret: reader.secret })]) {
    t.equal(answer.statusCode, 200)
    t.strictSame(
      Object.keys(answer.headers).filter((name) => name.startsWith('ratelimit')),
      [],
    )
  }
})

t.test('a Redis that is lost refuses no write, and the limit holds on each instance', async (t) => {
  const link = openLink(t, ['redis://127.0.0.1:1']).link
  const notYetNoticed: RedisLink = { ...link, state: () => ({ ...link.state(), commands: 'up', breaker: 'closed' }) }
  for (const redis of [link, notYetNoticed]) {
    const app = await buildWith(t, { PROMPTSYNC_WRITE_LIMIT: '2' }, { redis })
    for (const status of [200, 200, 429]) t.equal((await push(app, writer.secret)).statusCode, status)
    t.equal(app.limits.counts.writesCountedAlone, 3)
  }
})

t.test('instances that share a Redis share the limit of writes', async (t) => {
  if (redisUrl === undefined) return t.pass('no server is named by TEST_REDIS_URL')
  const links = [openLink(t, [redisUrl]).link, openLink(t, [redisUrl]).link]
  const apps: App[] = []
  for (const redis of links) {
    if (redis.state().commands === 'down') await once(redis.client, 'ready')
    apps.push(await buildWith(t, { PROMPTSYNC_WRITE_LIMIT: '3' }, { redis }))
  }
  const statuses: number[] = []
  for (const app of [...apps, ...apps]) statuses.push((await push(app, writer.secret)).statusCode)
  t.strictSame(statuses, [200, 200, 200, 429])
  const leftMs = await links[0]?.client.pttl(`promptsync:limit:${writer.id}`)
  t.ok(leftMs !== undefined && leftMs > 0 && leftMs <= 60_000, `${leftMs} ms`)
  for (const app of apps) t.equal(app.limits.counts.writesCountedAlone, 0)
})

t.test('guessing keys is slow for an address, and locks nobody out who has one', async (t) => {
  const app = await buildWith(t, {})
  const remoteAddress = '192.0.2.9'
  t.equal((await read(app, { secret: reader.secret, remoteAddress })).statusCode, 200)
  const guessUntilRefused = async (authorization: string) => {
    for (let calls = 1; calls < 3_000; calls += 1) {
      const answer = await app.inject({ url: '/prompts', remoteAddress, headers: { authorization } })
      if (answer.statusCode === 429) return { calls, answer }
      if (answer.statusCode !== 401) break
    }
    throw new Error('Guesses are never refused.')
  }
  // What is no key at all counts like an unknown one, and asks no database.
  t.ok((await guessUntilRefused('Basic x')).calls > 600)
  const { answer } = await guessUntilRefused('Bearer ps_guess')
  t.equal(answer.json().code, 'rate.exceeded')
  t.equal(answer.headers['retry-after'], '1')
  t.match(answer.headers.ratelimit, /^"unknown-keys";r=0;t=1$/)
  t.equal((await read(app, { secret: 'ps_guess', remoteAddress: '192.0.2.10' })).statusCode, 401)
  t.equal((await read(app, { secret: reader.secret, remoteAddress })).statusCode, 200)
  t.equal((await read(app, { remoteAddress })).statusCode, 200, 'nor without a key')
})

/** A turn of the event loop that takes so long. */
async function longTurn(ms: number): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end; );
  await nextTurn()
}

t.test(
  'an event loop that drowns refuses what costs, not its own state, and recovers by itself',
  { timeout: 20_000 },
  async (t) => {
    const drowning = { ...serverLimits, maxEventLoopDelayMs: 25, pressureSampleMs: 50 }
    const app = await buildApp(service.deps, drowning)
    t.teardown(() => app.close())
    const port = await listen(app)
    const known = { secret: reader.secret }
    const costly = { secret: reader.secret, url: '/prompts/x' }
    t.equal((await read(app, known)).statusCode, 200)
    await longTurn(100)
    t.equal((await read(app, costly)).statusCode, 200, 'one long turn is no reason')
    let shed = await read(app, costly)
    for (let turn = 0; turn < 100 && shed.statusCode === 200; turn += 1) {
      await longTurn(60)
      shed = await read(app, costly)
    }
    t.equal(shed.statusCode, 503)
    t.equal(shed.json().code, 'server.busy')
    t.equal(shed.headers['retry-after'], '1')
    for (const url of ['/livez', '/readyz', '/health', '/metrics']) {
      await longTurn(60)
      t.equal((await read(app, { url })).statusCode, 200, url)
    }
    const asks: Record<string, string>[] = [{}, { accept: 'text/plain' }, { accept: 'application/json;q=0.5, text/plain, */*' }]
    for (const more of asks) {
      await longTurn(60)
      const headers = { ...bearer(reader.secret), ...more }
      t.equal((await fetch(`http://127.0.0.1:${port}/prompts/x/dev`, { headers })).status, 200, 'what is in memory')
    }
    await longTurn(60)
    t.equal((await read(app, { ...known, method: 'HEAD' })).statusCode, 200)
    t.equal((await read(app, { ...known, url: '/prompts/x/r1' })).statusCode, 503, 'what is not')
    t.equal((await read(app, { secret: 'ps_unknown' })).statusCode, 503, 'a key that is not')
    const resolve = { ...known, url: '/resolve?category=meeting' }
    const resolved = await read(app, resolve)
    t.equal(resolved.statusCode, 200, 'a known caller always gets a prompt')
    t.equal(resolved.json().level, 'default')
    t.equal((await read(app, { ...resolve, secret: 'ps_unknown' })).statusCode, 503, 'others do not')
    t.equal((await read(app, { ...resolve, method: 'POST', payload: {} })).statusCode, 503, 'nor is it rendered')
    t.equal((await read(app, costly)).statusCode, 503, 'it was drowning all the while')
    t.ok(app.limits.counts.shed >= 2)
    let after = shed
    for (const end = performance.now() + 10_000; after.statusCode !== 200 && performance.now() < end; ) {
      await nextTurn()
      after = await read(app, costly)
    }
    t.equal(after.statusCode, 200)
  },
)

/** A connection on which bytes are sent as they are, and all that came back once it has ended. */
function raw(port: number, bytes: string | Buffer = '') {
  const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
  let text = ''
  socket.on('data', (chunk) => (text += chunk))
  const ended = new Promise<string>((resolve) => socket.on('error', () => undefined).on('close', () => resolve(text)))
  return { socket, ended }
}

const hurried: ServerLimits = {
  ...serverLimits,
  headersTimeoutMs: 400,
  requestTimeoutMs: 600,
  idleTimeoutMs: 800,
  keepAliveTimeoutMs: 200,
  connectionsCheckingIntervalMs: 50,
}

async function listen(app: App): Promise<number> {
  return Number(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port)
}

t.test('clients that are slow are cut off, and those that wait for work are not', { timeout: 20_000, jobs: 8 }, async (t) => {
  const app = await buildApp(service.deps, hurried)
  t.teardown(() => app.close())
  app.post('/works-long', { config: { scope: 'prompts:read' } }, async (request) => {
    await once(request.raw.socket, 'timeout')
    return 'done'
  })
  app.get('/stream', { config: { scope: 'public' } }, async (_request, reply) => {
    reply.hijack()
    let beats = 0
    const timer = setInterval(() => {
      beats += 1
      reply.raw.write(`:${beats}\n\n`)
      if (beats === 12) reply.raw.end()
    }, 100)
    reply.raw.on('close', () => clearInterval(timer))
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream', connection: 'close' })
  })
  const large = Buffer.alloc(1024 ** 2, 'x')
  app.get('/large', { config: { scope: 'public' } }, async () => large)
  const accepted = new Map<number | undefined, Promise<unknown>>()
  app.server.on('connection', (socket: Socket) => accepted.set(socket.remotePort, once(socket, 'close')))
  const port = await listen(app)
  const start = 'POST /works-long HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'

  for (const [what, bytes] of [
    ['sends nothing', ''],
    ['stops within the headers', 'GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow'],
    ['stops within the body', `${start}Content-Length: 20\r\n\r\n{"a":`],
  ]) {
    t.test(`who ${what} is told that time is up`, async (t) => {
      const answer = await raw(port, bytes).ended
      t.match(answer, /^HTTP\/1\.1 408 /)
      t.match(answer, /"code":"request\.timeout"/)
    })
  }

  t.test('who never reads is cut off', async (t) => {
    const { socket, ended } = raw(port)
    await once(socket, 'connect')
    socket.pause()
    socket.write('GET /large HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(100))
    while (!accepted.has(socket.localPort)) await once(app.server, 'connection')
    await accepted.get(socket.localPort)
    socket.resume()
    t.ok((await ended).startsWith('HTTP/1.1 200 '))
  })

  t.test('who is idle between requests is let go', async (t) => {
    t.match(await raw(port, 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n').ended, /^HTTP\/1\.1 200 /)
  })

  t.test('an answer that takes its time arrives', async (t) => {
    const answer = await raw(port, `${start}Content-Length: 2\r\nConnection: close\r\n\r\n{}`).ended
    t.match(answer, /^HTTP\/1\.1 200 .*\r\n\r\ndone$/s)
  })

  t.test('a stream whose heart beats goes on', async (t) => {
    t.match(await raw(port, 'GET /stream HTTP/1.1\r\nHost: x\r\n\r\n').ended, /:12\n/)
  })
})

t.test('connections over the bound are closed, and leave room for others when they end', async (t) => {
  const app = await buildApp(service.deps, { ...serverLimits, maxConnections: 1 })
  t.teardown(() => app.close())
  const port = await listen(app)
  const first = raw(port, 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(first.socket, 'data')
  t.equal(await raw(port, 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n').ended, '')
  first.socket.destroy()
  await first.ended
  let answer = ''
  for (const end = performance.now() + 5_000; answer === '' && performance.now() < end; ) {
    answer = await raw(port, 'GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n').ended
  }
  t.match(answer, /^HTTP\/1\.1 200 /)
})

t.test('a read with absurd input is answered like any other', async (t) => {
  const ask = (query: string, headers: Record<string, string> = {}) => service.call(`/prompts/x/dev${query}`, { headers })
  const etag = (await ask('')).headers.get('etag') ?? ''
  const many = (count: number) => Array.from({ length: count }, (_, index) => `"etag-${index}"`).join(', ')
  const cases: [what: string, status: number, query: string, headers?: Record<string, string>][] = [
    ['a thousand tags', 422, `?${Array.from({ length: 1_000 }, (_, index) => `tag=t${index}:v`).join('&')}`],
    ['the most tags', 200, `?${Array.from({ length: 32 }, (_, index) => `tag=t${index}:v`).join('&')}`],
    ['one tag more', 422, `?${Array.from({ length: 33 }, (_, index) => `tag=t${index}:v`).join('&')}`],
    ['a key of 10 KB', 422, `?key=${'k'.repeat(10_240)}`],
    ['a thousand keys', 422, `?${'key=k&'.repeat(1_000)}`],
    ['a thousand other fields', 422, `?${Array.from({ length: 1_000 }, (_, index) => `f${index}=1`).join('&')}`],
    ['any ETag', 304, '', { 'if-none-match': '*' }],
    ['a list with the ETag', 304, '', { 'if-none-match': `${many(300)}, W/${etag}` }],
    ['a list without it', 200, '', { 'if-none-match': many(300) }],
    ['a list of commas', 200, '', { 'if-none-match': ','.repeat(5_000) }],
    ['no list at all', 200, '', { 'if-none-match': '"'.repeat(5_000) }],
    ['a list that is too long', 422, '', { 'if-none-match': many(900) }],
    ['an Accept that is too long', 422, '', { accept: 'text/plain,'.repeat(900) }],
    ['a project of 10 KB', 422, '', { 'x-promptsync-project': 'p'.repeat(10_240) }],
    ['a request id of 10 KB', 200, '', { 'x-request-id': 'r'.repeat(10_240) }],
    ['two thousand headers', 200, '', Object.fromEntries(Array.from({ length: 1_500 }, (_, index) => [`h${index}`, '']))],
    ['headers of 20 KB', 431, '', { 'x-large': 'x'.repeat(20_000) }],
    ['an address of 20 KB', 431, `?key=${'k'.repeat(20_000)}`],
  ]
  for (const [what, status, query, headers] of cases) t.equal((await ask(query, headers)).status, status, what)
  t.equal((await ask('', { authorization: `Bearer ${'k'.repeat(10_240)}` })).status, 401)
})

t.test('requests that are pipelined are answered in their order', async (t) => {
  const port = Number(new URL(service.url).port)
  const requests = Array.from(
    { length: 20 },
    (_, id) =>
      `GET /prompts/x/dev?key=user-${id} HTTP/1.1\r\nHost: x\r\nX-Request-Id: id-${id}\r\nConnection: ${id < 19 ? 'keep-alive' : 'close'}\r\n\r\n`,
  )
  const answer = await raw(port, requests.join('')).ended
  t.strictSame(
    [...answer.matchAll(/x-request-id: id-(\d+)/g)].map(([, id]) => Number(id)),
    requests.map((_, id) => id),
  )
})

t.test('what is sent by halves, twice or in disguise is refused or cut off, and the next one is served', async (t) => {
  const port = Number(new URL(service.url).port)
  const get = 'GET /livez HTTP/1.1\r\nHost: x\r\n'
  const cases: [bytes: string, answer: RegExp][] = [
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', /^HTTP\/1\.1 400 /],
    ['GET /livez\r\n\r\n', /^HTTP\/1\.1 200 /],
    [`${get}\r\nNONSENSE\r\n\r\n`, /^$|^HTTP\/1\.1 200 .*HTTP\/1\.1 400 .*"code":"request\.malformed"/s],
    ['GET /livez HTTP/9.9\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 400 /],
    ['CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n', /^$/],
    [`${get}X-Nul: a\0b\r\n\r\n`, /^HTTP\/1\.1 400 /],
    [`${get}X-Folded: a\r\n b\r\n\r\n`, /^HTTP\/1\.1 400 /],
    [`${get}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, /^HTTP\/1\.1 400 /],
    [`${get}Content-Length: 5\r\nContent-Length: 6\r\n\r\n`, /^HTTP\/1\.1 400 /],
    [`${get}Content-Length: -1\r\n\r\n`, /^HTTP\/1\.1 400 /],
    ['GET /livez HTTP/1.1\r\n\r\n', /^HTTP\/1\.1 400 /],
  ]
  for (const [bytes, expected] of cases) {
    const { socket, ended } = raw(port, bytes)
    const timer = setTimeout(() => socket.destroy(new Error('still open')), 5_000)
    t.match(await ended, expected, JSON.stringify(bytes))
    clearTimeout(timer)
  }
  const { socket, ended } = raw(port, `${get}X-Half: `)
  await once(socket, 'connect')
  socket.end()
  t.match(await ended, /^(HTTP\/1\.1 400 |$)/)
  t.equal((await service.call('/livez')).status, 200)
})
