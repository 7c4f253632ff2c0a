import { once } from 'node:events'
import { type ClientRequest, get, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import { EventData, EventName } from '../../src/features/events/events.schema.js'
import { startDetachable } from '../helpers/detachable.js'
import { runs } from '../helpers/runs.js'
import { type Service, startService, type Teardown } from '../helpers/service.js'

const deadlineMs = 10_000
const origin = 'https://app.example.com'
const env = { PROMPTSYNC_MAX_STALENESS: '1s', PROMPTSYNC_CORS_ORIGINS: origin }
const service = await startService(t, { env })
/** Another instance on the same database, which hears of nothing but by asking. */
const second = await startService(t, { env, connection: service.deps.connection, clock: service.clock })

type Event = { id: string; name: string; data: any; text: string }
type Client = {
  status: number
  headers: IncomingMessage['headers']
  events: Event[]
  body(): string
  /** Resolves once the stream is as it should be. */
  until(isSo: (client: Client) => boolean, what: string): Promise<Client>
  ended: Promise<'ended' | 'cut'>
  close(): void
}
type Options = { key?: string | null; project?: string; lastEventId?: string; headers?: Record<string, string>; at?: Service }

/** Opens a stream, closed at the end; resolves when its head is there. */
async function open(t: Teardown, { key, project, lastEventId, headers = {}, at = service }: Options = {}): Promise<Client> {
  const request: ClientRequest = get(`${at.url}/events`, {
    agent: false,
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key ?? at.adminKey}` }),
      ...(project === undefined ? {} : { 'x-promptsync-project': project }),
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
      ...headers,
    },
  })
  t.teardown(() => request.destroy())
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return follow(request, response.setEncoding('utf8'))
}

function follow(request: ClientRequest, response: IncomingMessage): Client {
  let text = ''
  let rest = ''
  const waiting = new Set<() => void>()
  const ended = new Promise<'ended' | 'cut'>((resolve) => {
    response.on('end', () => resolve('ended')).on('error', () => resolve('cut'))
  })
  response.on('data', (chunk) => {
    text += chunk
    const blocks = (rest + chunk).split('\n\n')
    rest = blocks.pop() ?? ''
    client.events.push(...blocks.filter((block) => block.startsWith('id: ')).map(parseEvent))
    for (const look of [...waiting]) look()
  })
  const client: Client = {
    status: response.statusCode ?? 0,
    headers: response.headers,
    events: [],
    body: () => text,
    ended,
    close: () => void request.destroy(),
    until: (isSo, what) =>
      new Promise((resolve, reject) => {
        const late = setTimeout(() => {
          waiting.delete(look)
          reject(new Error(`${what}: not after ${deadlineMs} ms, but: ${text.slice(-2_000)}`))
        }, deadlineMs)
        const look = () => {
          if (!isSo(client)) return
          clearTimeout(late)
          waiting.delete(look)
          resolve(client)
        }
        waiting.add(look)
        look()
      }),
  }
  return client
}

function parseEvent(block: string): Event {
  const [, id = '', name = '', data = ''] = /^id: (.*)\nevent: (.*)\ndata: (.*)$/.exec(block) ?? []
  return { id, name, data: JSON.parse(data), text: block }
}

/** Asks again and again, for as long as it may take. */
async function eventually(isSo: () => Promise<boolean>, what: string): Promise<void> {
  const lastMs = performance.now() + deadlineMs
  while (!(await isSo())) {
    if (performance.now() > lastMs) throw new Error(`${what}: not after ${deadlineMs} ms.`)
    await delay(20)
  }
}

const isTold = (count: number) => (client: Client) => client.events.length >= count
const isPast = (epoch: number) => (client: Client) => (client.events.at(-1)?.data.epoch ?? -1) >= epoch

async function makeProject(slug: string, settings: object = {}): Promise<void> {
  const { status, text } = await service.call('/projects', { body: { slug, settings } })
  if (status !== 201) throw new Error(text)
}

async function epochOf(slug: string): Promise<number> {
  const { epoch } = await service.deps.db.project.findUniqueOrThrow({ where: { slug }, select: { epoch: true } })
  return Number(epoch)
}

let contents = 0

/** Makes so many changes, each in a call of its own. */
async function change(project: string, count: number, at: Service = service): Promise<void> {
  for (let made = 0; made < count; made += 1) {
    contents += 1
    await at.push({ alias: 'dev', prompts: [{ name: `p${made % 3}`, content: `Text ${contents}` }] }, { project })
  }
}

/** Entries as a project has them that changed so often, and its epoch after them, without the work. */
async function pretendChanges(slug: string, count: number): Promise<void> {
  const after = await epochOf(slug)
  await service.deps.db.$executeRawUnsafe(
    `INSERT INTO audit_entries (project, actor, action, target, request_id, epoch, epoch_token)
     SELECT $1, 'test', 'prompt.update', repeat('客', 200), 'test', n, gen_random_uuid() FROM generate_series($2::bigint, $3::bigint) n`,
    slug,
    after + 1,
    after + count,
  )
  await service.deps.db.$executeRaw`
    UPDATE projects SET epoch = ${after + count}::bigint, epoch_token = (
      SELECT epoch_token FROM audit_entries WHERE project = ${slug} AND epoch = ${after + count}::bigint) WHERE slug = ${slug}`
}

t.test('each change is told by name, in order, and nothing of what it holds', async (t) => {
  const project = 'told'
  await makeProject(project)
  const client = await open(t, { project })
  const secret = 'a-secret-nobody-may-see'
  const send = async (method: string, path: string, body?: object) => {
    const { status, text } = await service.call(path, { method, project, body })
    if (status > 201) throw new Error(text)
  }
  const push = (version: string, content: string, more: object = {}) =>
    send('POST', '/prompts', { version, message: secret, prompts: [{ name: 'a/b', content }], ...more })
  await push('one', `${secret} 1`, { alias: 'live' })
  await push('two', `${secret} 2`)
  await send('POST', '/prompts', { version: 'two', alias: 'next', prompts: [{ name: 'a/b', content: `${secret} 2` }] })
  await send('POST', '/canary', { alias: 'live', version: 'two', percentage: 12.5, reason: secret })
  await send('POST', '/canary/live/promote', { reason: secret })
  await send('POST', '/aliases/live/rollback', { reason: secret })
  await send('PUT', '/aliases/pinned', { prompt: 'a/b', version: 'one', reason: secret })
  await send('DELETE', '/aliases/live', { reason: secret })
  await send('PATCH', '/prompts/a%2Fb', { title: secret, metadata: { secret } })
  await send('POST', '/prompts/a%2Fb/one/purge', { reason: secret })
  await send('DELETE', '/prompts/a%2Fb/one/purge')
  await send('DELETE', '/prompts/a%2Fb')
  await send('PATCH', `/projects/${project}`, { name: secret })
  await service.createKey({ name: secret, project, scopes: ['prompts:read'] })
  await client.until(isPast(await epochOf(project)), 'all is told')

  const told = client.events.map(({ id, name, data: { project: slug, epoch, at, ...fields } }) => [id, name, fields])
  const live = { alias: 'live', prompt: null, version: null }
  t.strictSame(told, [
    ['1', 'hello', {}],
    ['2.1', 'release.created', { release: 'one', number: 1 }],
    ['2', 'alias.moved', { ...live, release: 'one', revision: 1, canary: null }],
    ['3', 'release.created', { release: 'two', number: 2 }],
    ['4.1', 'release.pushed', { release: 'two', number: 2 }],
    ['4', 'alias.moved', { alias: 'next', prompt: null, release: 'two', version: null, revision: 1, canary: null }],
    [
      '5',
      'canary.changed',
      { ...live, release: 'one', revision: 2, canary: { release: 'two', version: null, percentage: 12.5 } },
    ],
    ['6', 'alias.moved', { ...live, release: 'two', revision: 3, canary: null }],
    ['7', 'alias.moved', { ...live, release: 'one', revision: 4, canary: null }],
    ['8', 'alias.moved', { alias: 'pinned', prompt: 'a/b', release: null, version: 'one', revision: 1, canary: null }],
    ['9', 'alias.deleted', { ...live, release: null, revision: 5, canary: null }],
    ['10', 'prompt.updated', { prompt: 'a/b' }],
    ['11', 'version.purged', { prompt: 'a/b', version: 'one' }],
    ['12', 'version.allowed', { prompt: 'a/b', version: 'one' }],
    ['13', 'prompt.archived', { prompt: 'a/b' }],
    ['14', 'project.updated', {}],
  ])
  for (const { id, name, data } of client.events) {
    EventData.parse(data)
    EventName.parse(name)
    t.equal(`${data.epoch}`, id.split('.')[0])
    t.equal(data.project, project)
  }
  t.notMatch(client.body(), new RegExp(`${secret}|sha256|actor|keyId|requestId|PROMPTSYNC_ADMIN_KEY`))
})

t.test('several writers on two instances: each stream of either tells every change once, in order', async (t) => {
  const project = 'writers'
  await makeProject(project)
  const clients = await Promise.all([service, service, second, second].map((at) => open(t, { project, at })))
  await Promise.all([change(project, 8), change(project, 8, second), change(project, 8)])
  const last = await epochOf(project)
  await Promise.all(clients.map((client) => client.until(isPast(last), 'the last change')))
  const epochs = clients.map(({ events }) => [...new Set(events.map(({ data }) => data.epoch))])
  for (const seen of epochs)
    t.strictSame(
      seen,
      Array.from({ length: last }, (_, index) => index + 1),
    )
  const [first, ...others] = clients.map(({ events }) => events.slice(1).map(({ text }) => text))
  for (const other of others) t.strictSame(other, first)
  t.equal(new Set(first).size, first?.length)
})

t.test('whoever comes back is told what was missed, once, wherever the line broke and whichever instance answers', async (t) => {
  const project = 'resumed'
  await makeProject(project)
  const whole = await open(t, { project, lastEventId: '0' })
  const writing = change(project, 12)
  const cuts = fc.array(fc.record({ count: fc.integer({ min: 1, max: 6 }), isSecond: fc.boolean() }), {
    minLength: 1,
    maxLength: 6,
  })
  await fc.assert(
    fc.asyncProperty(cuts, async (parts) => {
      const ids: string[] = []
      for (const { count, isSecond } of parts) {
        const lastEventId = ids.at(-1) ?? '0'
        const client = await open(t, { project, lastEventId, at: isSecond ? second : service })
        const isAll = lastEventId === whole.events.at(-1)?.id && whole.events.length >= 25
        if (!isAll) await client.until(isTold(1), 'something more')
        client.close()
        ids.push(...client.events.slice(0, count).map(({ id }) => id))
      }
      await whole.until(isTold(ids.length), 'the same')
      t.strictSame(
        ids,
        whole.events.slice(0, ids.length).map(({ id }) => id),
      )
    }),
    { numRuns: runs(20), endOnFailure: true },
  )
  await writing
  await whole.until(isTold(25), 'all of them')
  t.equal(new Set(whole.events.map(({ id }) => id)).size, 25)
})

t.test('where a stream cannot go on without a gap it says so, and goes on from now', async (t) => {
  const project = 'gaps'
  await makeProject(project)
  await change(project, 1)
  for (const [why, lastEventId] of Object.entries({ 'of a later state': '900', 'of before the first': '0.1' })) {
    const client = await open(t, { project, lastEventId })
    await client.until(isTold(1), why)
    t.match(client.events, [{ id: '2', name: 'reset', data: { project, epoch: 2 } }], why)
    client.close()
  }
  const live = await open(t, { project })
  await service.deps.db.$executeRaw`
    UPDATE projects SET epoch = epoch + 1, epoch_token = gen_random_uuid() WHERE slug = ${project}`
  await live.until(isTold(2), 'a change that nothing tells of')
  t.match(live.events[1], { id: '3', name: 'reset' })
  await change(project, 1)
  await live.until(isPast(4), 'what comes after')
  t.strictSame(
    live.events.map(({ id }) => id),
    ['2', '3', '4.1', '4'],
  )
  await service.deps.db.$executeRaw`
    INSERT INTO audit_entries (project, actor, action, target, request_id, epoch, epoch_token)
    VALUES (${project}, 'test', 'prompt.update', 'x', 'test', 4, gen_random_uuid())`
  await change(project, 1)
  await live.until(isPast(5), 'another history')
  t.match(live.events.at(-1), { id: '5', name: 'reset' })
  await service.deps.db.$executeRaw`ALTER TABLE projects DISABLE TRIGGER projects_epoch_rises`
  await service.deps.db.$executeRaw`
    UPDATE projects SET epoch = epoch - 2, epoch_token = gen_random_uuid() WHERE slug = ${project}`
  await service.deps.db.$executeRaw`ALTER TABLE projects ENABLE TRIGGER projects_epoch_rises`
  await live.until(({ events }) => events.at(-1)?.id === '3', 'an earlier state')
  t.match(live.events.at(-1), { id: '3', name: 'reset' })
})

t.test('a stream is for whom reads are for', async (t) => {
  await makeProject('public', { publicRead: true })
  await makeProject('private')
  const key = async (project: string, scopes = ['prompts:read']) =>
    (await service.createKey({ name: 'k', project, scopes })).secret
  const bound = await key('private')
  const refusals: [Options, number, string][] = [
    [{ key: null, project: 'private' }, 401, 'auth.required'],
    [{ key: 'ps_nobody', project: 'public' }, 401, 'auth.invalid'],
    [{ key: await key('public'), project: 'private' }, 404, 'project.not_found'],
    [{ key: bound, project: 'nowhere' }, 404, 'project.not_found'],
    [{ key: await key('private', ['aliases:write']), project: 'private' }, 403, 'scope.missing'],
    [{ lastEventId: 'x' }, 422, 'validation.failed'],
  ]
  for (const [options, status, code] of refusals) {
    const client = await open(t, options)
    t.equal(await client.ended, 'ended')
    t.equal(`${client.status} ${JSON.parse(client.body()).code}`, `${status} ${code}`, JSON.stringify(options))
    t.equal(client.headers['content-type'], 'application/problem+json; charset=utf-8')
  }
  t.equal((await service.call('/events', { method: 'POST' })).headers.get('allow'), 'GET, HEAD')
  const head = await service.call('/events', { method: 'HEAD' })
  t.strictSame([head.status, head.headers.get('content-type'), head.text], [200, 'text/event-stream; charset=utf-8', ''])
  for (const options of [{ key: null, project: 'public' }, { key: bound, project: 'public' }, { key: bound }]) {
    const client = await open(t, { ...options, headers: { origin, 'x-request-id': 'abc' } })
    await client.until(isTold(1), 'hello')
    t.match(client.headers, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
      'x-content-type-options': 'nosniff',
      'x-request-id': 'abc',
      'access-control-allow-origin': origin,
      vary: 'Origin',
    })
    client.close()
  }
})

t.test('a stream ends with the right to it', async (t) => {
  await makeProject('rights', { publicRead: true })
  const [revoked, expired, kept] = await Promise.all([
    service.createKey({ name: 'revoked', project: 'rights', scopes: ['prompts:read'] }),
    service.createKey({
      name: 'expired',
      project: 'rights',
      scopes: ['prompts:read'],
      expiresAt: new Date(service.clock.now().getTime() + 60_000).toISOString(),
    }),
    service.createKey({ name: 'kept', project: 'rights', scopes: ['prompts:read'] }),
  ])
  const streams = {
    revoked: await open(t, { key: revoked.secret }),
    elsewhere: await open(t, { key: revoked.secret, at: second }),
    expired: await open(t, { key: expired.secret }),
    public: await open(t, { key: null, project: 'rights' }),
    kept: await open(t, { key: kept.secret }),
    admin: await open(t, { project: 'rights' }),
  }
  await service.call(`/keys/${revoked.id}`, { method: 'DELETE' })
  const revokedAtMs = performance.now()
  t.equal(await streams.revoked.ended, 'ended', 'of a key that was revoked')
  t.ok(performance.now() - revokedAtMs < 5_000, 'before the next heartbeat')
  service.clock.advance(16_000)
  t.equal(await streams.elsewhere.ended, 'ended', 'of a key that was revoked on another instance')
  service.clock.advance(60_000)
  t.equal(await streams.expired.ended, 'ended', 'of a key that expired')
  await service.call('/projects/rights', { method: 'PATCH', body: { settings: { publicRead: false } } })
  t.equal(await streams.public.ended, 'ended', 'of nobody, where the project is public no more')
  t.notMatch(streams.public.body(), /project\.updated/)
  await streams.kept.until(isTold(2), 'the others go on')
  await service.call('/projects/rights', { method: 'DELETE' })
  for (const client of [streams.kept, streams.admin]) {
    t.equal(await client.ended, 'ended')
    t.strictSame(
      client.events.map(({ name }) => name),
      ['hello', 'project.updated', 'project.deleted'],
    )
  }

  await makeProject('rights')
  const next = await service.createKey({ name: 'next', project: 'rights', scopes: ['prompts:read'] })
  const late = await open(t, { key: next.secret, lastEventId: '1' })
  await late.until(isTold(1), 'something')
  t.match(late.events, [{ name: 'reset', id: '4' }], 'of an earlier project of the name nothing is told')
})

t.test('a stream without news shows that it lives, and is not measured as a slow request', async (t) => {
  await makeProject('quiet')
  const client = await open(t, { project: 'quiet' })
  await client.until(isTold(1), 'hello')
  for (const count of [1, 2]) {
    service.clock.advance(15_000)
    await client.until(({ body }) => body().split('\n: \n').length > count, 'a heartbeat')
  }
  await service.call('/projects/quiet', { method: 'DELETE' })
  t.equal(await client.ended, 'ended')
  const { text } = await service.call('/metrics', { key: null })
  const [line = ''] = text.split('\n').filter((row) => /_sum\{method="GET",route="\/events",status="200"/.test(row))
  t.ok(Number(line.split(' ')[1]) < 1, line)
})

t.test('one caller holds so many streams and no more', async (t) => {
  await makeProject('many')
  const { secret } = await service.createKey({ name: 'many', project: 'many', scopes: ['prompts:read'] })
  const clients = await Promise.all(Array.from({ length: 50 }, () => open(t, { key: secret })))
  t.ok(clients.every(({ status }) => status === 200))
  const refused = await service.call('/events', { key: secret })
  t.strictSame([refused.status, refused.body.code], [429, 'rate.exceeded'])
  t.ok(refused.headers.get('retry-after'))
  t.equal(refused.headers.get('ratelimit-policy'), '"streams";q=50;qu="concurrent-requests"')
  t.equal(refused.headers.get('ratelimit'), '"streams";r=0')
  clients[0]?.close()
  await eventually(async () => {
    const next = await open(t, { key: secret })
    next.close()
    return next.status === 200
  }, 'room for another one')
  const count = countReads()
  await change('many', 1)
  for (const client of clients.slice(1)) await client.until(isPast(2), 'all are told')
  t.equal(count(), 1, 'by one reading')
})

t.test('callers without a key cannot take the streams of those that have one, however many addresses they have', async (t) => {
  const at = await startService(t, {
    env: { ...env, PROMPTSYNC_TRUST_PROXY: 'on' },
    connection: service.deps.connection,
    clock: service.clock,
  })
  await makeProject('crowded', { publicRead: true })
  const { secret } = await service.createKey({ name: 'crowded', project: 'crowded', scopes: ['prompts:read'] })
  const from = (address: number) => ({ at, project: 'crowded', headers: { 'x-forwarded-for': `192.0.2.${address}` } })
  for (let address = 1; address <= 10; address += 1) {
    const clients = await Promise.all(Array.from({ length: 50 }, () => open(t, { ...from(address), key: null })))
    t.ok(clients.every(({ status }) => status === 200))
  }
  const refused = await open(t, { ...from(11), key: null })
  t.equal(await refused.ended, 'ended')
  t.strictSame([refused.status, JSON.parse(refused.body()).code], [503, 'server.busy'])
  t.equal(refused.headers['retry-after'], '10')
  t.equal((await open(t, { ...from(1), key: secret })).status, 200, 'a key has room, also at such an address')
})

/** Counts how often the events of a project are read from now on. */
function countReads(): () => number {
  const { connection } = service.deps
  const { read } = connection
  let count = 0
  connection.read = (statement, ...rest) => {
    if (statement.name === 'read_events') count += 1
    return read(statement, ...rest)
  }
  return () => {
    connection.read = read
    return count
  }
}

t.test('what could not be read is read again soon', async (t) => {
  await makeProject('failing')
  const client = await open(t, { project: 'failing' })
  const { connection } = service.deps
  const { read } = connection
  let failures = 0
  connection.read = async (statement, ...rest) => {
    if (statement.name !== 'read_events') return read(statement, ...rest)
    connection.read = read
    failures += 1
    throw new Error('This one fails.')
  }
  await change('failing', 1)
  await client.until(isPast(2), 'it is told all the same')
  t.equal(failures, 1)
})

t.test('a client that never reads is cut off and holds nothing but what it was sent', async (t) => {
  await makeProject('deaf')
  await pretendChanges('deaf', 9_990)
  const { hostname, port } = new URL(service.url)
  const before = await connections()
  const socket = connect(Number(port), hostname).pause()
  t.teardown(() => socket.destroy())
  socket.on('error', () => undefined)
  socket.write(`GET /events?project=deaf&lastEventId=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${service.adminKey}\r\n\r\n`)
  await eventually(async () => (await connections()) > before, 'it is connected')
  await eventually(async () => {
    service.clock.advance(10_000)
    return (await connections()) <= before
  }, 'it is cut off')

  const reader = await open(t, { project: 'deaf', lastEventId: '1' })
  await reader.until(isPast(9_991), 'one that reads gets all of it')
  t.equal(reader.events.length, 9_990)
  await pretendChanges('deaf', 20)
  const late = await open(t, { project: 'deaf', lastEventId: '1' })
  await late.until(isTold(1), 'something')
  t.match(late.events, [{ name: 'reset', id: '10011' }], 'one that is too far behind begins anew')
})

function connections(): Promise<number> {
  return new Promise((resolve, reject) => {
    service.app.server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
  })
}

t.test('streams end at once when the service closes', async (t) => {
  const closing = await startService(t, { env, connection: service.deps.connection, clock: service.clock })
  const clients = await Promise.all([open(t, { at: closing }), open(t, { at: closing })])
  const startedMs = performance.now()
  await closing.app.close()
  t.ok(performance.now() - startedMs < 2_000)
  for (const client of clients) t.equal(await client.ended, 'ended')
})

t.test('while the database is away streams stay open; what happened meanwhile is told when it is back', async (t) => {
  const { detachable, takeAway, giveBack } = await startDetachable(t)
  const client = await open(t, { at: detachable })
  await client.until(isTold(1), 'hello')
  await detachable.push({ prompts: [{ name: 'x', content: '1' }] })
  await client.until(isTold(2), 'a first change')
  await takeAway()
  for (const count of [1, 2]) {
    detachable.clock.advance(15_000)
    await client.until(({ body }) => body().split('\n: \n').length > count, 'a heartbeat')
  }
  t.ok(detachable.deps.database.isAway())
  if (!giveBack) return
  await giveBack()
  await eventually(
    async () => (await detachable.call('/prompts', { body: { prompts: [{ name: 'x', content: '2' }] } })).status < 300,
    'a write',
  )
  await client.until(({ events }) => events.at(-1)?.data.number === 2, 'and what is new')
})
