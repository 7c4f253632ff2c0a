import { createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import pino from 'pino'
import t from 'tap'
import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config.js'
import type { Deps } from '../../src/deps.js'
import type { App } from '../../src/http.js'
import { createAvailability } from '../../src/lib/availability.js'
import { refused } from '../helpers/assertions.js'
import { type Answer, startService, type Teardown } from '../helpers/service.js'
import { until } from '../helpers/until.js'

const env = { PROMPTSYNC_ENCRYPTION_KEYS: randomBytes(32).toString('base64'), REDIS_URL: '' }
const service = await startService(t, { env })
const { call, deps, clock } = service
const secret = 'a secret of sixteen and more'
const maxBodyBytes = 5 * 1024 ** 2
const inTimeMs = 10_000

type SourceSettings = { webhookSecret?: string | null; enabled?: boolean }

let sources = 0

/** A source of its own for one test, in the project `default` unless another one is named. */
async function makeSource(settings: SourceSettings = {}, project = 'default') {
  sources += 1
  const name = `source-${sources}`
  const body = {
    provider: 'inline',
    config: { files: { 'prompts/x.md': 'One' } },
    prefix: name,
    webhookSecret: secret,
    ...settings,
  }
  const answer = await call(`/sources/${name}`, { method: 'PUT', project, body })
  if (answer.status !== 201) throw new Error(answer.text)
  const { id } = await deps.db.source.findFirstOrThrow({ where: { name } })
  await until('the source has been synced', inTimeMs, async () => (await openRuns(id)) === 0)
  return { name, id, project, runs: () => runsOf(id) }
}

async function openRuns(sourceId: bigint) {
  return deps.db.sourceRun.count({ where: { sourceId, finishedAt: null } })
}

/** The runs that webhooks asked for. */
async function runsOf(sourceId: bigint) {
  return deps.db.sourceRun.findMany({ where: { sourceId, trigger: 'webhook' }, orderBy: { id: 'asc' } })
}

function hmac(text: string | Uint8Array, by = secret): string {
  return `sha256=${createHmac('sha256', by).update(text).digest('hex')}`
}

/** The service with other limits on the same database; `more` goes into its dependencies. */
async function buildWith(t: Teardown, settings: Record<string, string>, more: Partial<Deps> = {}): Promise<App> {
  const config = loadConfig({ ...env, PROMPTSYNC_SYNC: 'off', ...settings })
  const app = await buildApp({ ...deps, shutdown: new AbortController(), ...more, config })
  t.teardown(() => app.close())
  return app
}

let deliveries = 0

const push = (ref = 'refs/heads/main', more: object = {}) =>
  JSON.stringify({ ref, repository: { full_name: 'acme/prompts', default_branch: 'main' }, commits: [], ...more })

type Sent = { body?: string; headers?: Record<string, string>; by?: string }

/** Delivers as GitHub does. */
function deliver(path: string, { body = push(), headers = {}, by }: Sent = {}): Promise<Answer> {
  deliveries += 1
  const delivery = `00000000-0000-4000-8000-${String(deliveries).padStart(12, '0')}`
  return call(`/hooks/github/${path}`, {
    key: null,
    method: 'POST',
    body,
    headers: {
      'x-github-event': 'push',
      'x-github-delivery': delivery,
      'x-hub-signature-256': hmac(body, by),
      'user-agent': 'GitHub-Hookshot/044aadd',
      ...headers,
    },
  })
}

const secondsAt = (offsetSeconds: number) => String(Math.floor(clock.now().getTime() / 1_000) + offsetSeconds)

/** Sends a webhook of our own form. */
function notify(
  path: string,
  { body = '', headers = {}, by, timestamp = secondsAt(0) }: Sent & { timestamp?: string } = {},
): Promise<Answer> {
  return call(`/hooks/${path}`, {
    key: null,
    method: 'POST',
    body,
    headers: {
      'x-promptsync-timestamp': timestamp,
      'x-promptsync-signature': hmac(`${timestamp}.${body}`, by),
      'content-type': 'text/plain',
      ...headers,
    },
  })
}

/** For tests that look at answers alone. */
const shared = await makeSource()

t.test('a push is answered at once, and the source is synced in the background', async (t) => {
  const { name, runs, id } = await makeSource()
  const { status, body } = await deliver(`default/${name}`)
  t.equal(status, 202)
  t.strictSame(body, { status: 'accepted', run: String((await runs())[0]?.id) })
  await until('the run has ended', inTimeMs, async () => (await openRuns(id)) === 0)
  const { body: run } = await call(`/sources/${name}/runs/${body.run}`)
  t.match(run, { status: 'unchanged', trigger: 'webhook', actor: 'webhook' })
})

t.test('a webhook of our own form does the same, whatever its body is', async (t) => {
  const { name } = shared
  const bodies: [string, Record<string, string>][] = [
    ['', {}],
    ['{"changed":true}', { 'content-type': 'application/json' }],
    ['a=1', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['\u{1f600} no JSON', { 'content-type': 'text/plain' }],
  ]
  for (const [body, headers] of bodies) {
    const answer = await notify(`default/${name}`, { body, headers })
    t.equal(answer.status, 202, answer.text)
    t.equal(answer.body.status, 'accepted', body)
  }
})

/** What an answer tells, but for what differs in each. */
function told({ status, headers, body }: Answer) {
  const { date: _, 'x-request-id': __, ...kept } = Object.fromEntries(headers)
  return JSON.stringify({ status, kept, body: { ...body, requestId: '' } })
}

t.test('whatever is wrong with a webhook, it is refused by the same answer, and nothing is stored', async (t) => {
  const { name } = await makeSource()
  const open = await makeSource({ webhookSecret: null })
  const disabled = await makeSource({ enabled: false })
  const damaged = await makeSource()
  await deps.db.$executeRaw`
    UPDATE sources SET secrets = '{"webhookSecret":{"k":"0","n":"AAAA","c":"AAAA"}}' WHERE id = ${damaged.id}`
  await call('/projects', { body: { slug: 'gone' } })
  const gone = await makeSource({}, 'gone')
  await call('/projects/gone', { method: 'DELETE' })
  const before = await service.countRows()
  const paths = [
    ...[`unknown/${name}`, 'default/unknown', `default/${open.name}`, `default/${disabled.name}`, `default/${damaged.name}`],
    ...[
      `gone/${gone.name}`,
      `DEFAULT/${name}`,
      `default/${name}%20`,
      'default/%00',
      `default/${'x'.repeat(9_000)}`,
      'a%2Fb/c%2Fd',
    ],
  ]
  const signatures = [
    '',
    'sha256=',
    hmac('else'),
    hmac(push()).slice(0, -2),
    `${hmac(push())}00`,
    hmac(push()).replace('256', '1'),
  ]
  const times = ['', 'now', '1e9', '-1', '0', '99999999999999999999', secondsAt(-330), secondsAt(330)]
  const answers = [
    ...(await Promise.all(paths.flatMap((path) => [deliver(path), notify(path)]))),
    await deliver(`default/${name}`, { by: 'another secret of sixteen' }),
    await notify(`default/${name}`, { by: 'another secret of sixteen' }),
    await deliver(`default/${name}`, { headers: { 'x-hub-signature-256': hmac(`${push()} `) } }),
    await notify(`default/${name}`, { headers: { 'x-promptsync-timestamp': secondsAt(1) } }),
    await notify(`default/${name}`, { timestamp: secondsAt(-330) }),
    await notify(`default/${name}`, { timestamp: secondsAt(330) }),
    ...(await Promise.all(signatures.map((value) => deliver(`default/${name}`, { headers: { 'x-hub-signature-256': value } })))),
    ...(await Promise.all(
      signatures.map((value) => notify(`default/${name}`, { headers: { 'x-promptsync-signature': value } })),
    )),
    ...(await Promise.all(times.map((timestamp) => notify(`default/${name}`, { timestamp })))),
    await call(`/hooks/github/default/${name}`, { key: null, method: 'POST' }),
    await call(`/hooks/default/${name}`, { method: 'POST' }),
  ]
  const [first] = answers
  refused(t, first as Answer, 401, 'hook.refused')
  t.equal(new Set(answers.map(told)).size, 1, [...new Set(answers.map(told))].join('\n'))
  t.strictSame(await service.countRows(), before)
})

t.test('why a webhook is refused stands in the log alone, and no secret and no signature does', async (t) => {
  const { name } = shared
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: (line) => void lines.push(line) })
  const app = await buildWith(t, {}, { log })
  for (const [path, body] of [
    ['default/unknown', ''],
    [`default/${name}`, ''],
    [`default/${name}`, 'late'],
  ]) {
    const time = secondsAt(body === 'late' ? -400 : 0)
    const signature = hmac(`${time}.${body}`, body === 'late' ? secret : 'another secret of sixteen')
    const headers = { 'x-promptsync-timestamp': time, 'x-promptsync-signature': signature, 'content-type': 'text/plain' }
    t.equal((await app.inject({ method: 'POST', url: `/hooks/${path}`, headers, payload: body })).statusCode, 401)
  }
  t.match(
    lines.map((line) => JSON.parse(line).wrong),
    ['no such source that is enabled', 'the signature', 'the timestamp'],
  )
  t.notMatch(lines.join(''), /secret of sixteen|sha256=|[0-9a-f]{64}/)
})

t.test('what is no push to what the source follows is ignored, and says so', async (t) => {
  const { name, runs } = await makeSource()
  const ignored = async (answer: Answer, reason: RegExp) => {
    t.equal(answer.status, 200, answer.text)
    t.match(answer.body, { status: 'ignored', run: null, reason })
  }
  await ignored(
    await deliver(`default/${name}`, { headers: { 'x-github-event': 'ping' }, body: '{"zen":"Keep it simple."}' }),
    /ping/,
  )
  for (const event of ['issues', '', 'PUSH']) {
    await ignored(await deliver(`default/${name}`, { headers: { 'x-github-event': event } }), /"push"/)
  }
  for (const ref of ['refs/heads/other', 'refs/tags/main', 'refs/heads/main/more', 'main']) {
    await ignored(await deliver(`default/${name}`, { body: push(ref) }), /follows "main"/)
  }
  t.equal((await runs()).length, 0)
  t.equal((await deliver(`default/${name}`)).body.status, 'accepted')
})

t.test('a source that names a branch, a tag or a commit follows that, and not the default branch', async (t) => {
  const cases: [ref: string, pushed: string, status: string][] = [
    ['release', 'refs/heads/release', 'accepted'],
    ['release', 'refs/heads/main', 'ignored'],
    ['v1', 'refs/tags/v1', 'accepted'],
    ['heads/release', 'refs/heads/release', 'accepted'],
    ['heads/release', 'refs/tags/release', 'ignored'],
    ['refs/heads/release', 'refs/heads/release', 'accepted'],
    ['a/b', 'refs/heads/a/b', 'accepted'],
    ['HEAD', 'refs/heads/main', 'accepted'],
    ['0123456789abcdef0123456789abcdef01234567', 'refs/heads/main', 'ignored'],
  ]
  const { name, id } = await makeSource()
  for (const [ref, pushed, status] of cases) {
    // Past its provider, which knows no branches.
    await deps.db.source.update({ where: { id }, data: { config: { files: {}, ref } } })
    t.equal((await deliver(`default/${name}`, { body: push(pushed) })).body.status, status, `${pushed} for ${ref}`)
  }
  await deps.db.source.update({ where: { id }, data: { config: { files: {} } } })
  const { body } = await deliver(`default/${name}`, { body: '{"ref":"refs/heads/any"}' })
  t.equal(body.status, 'accepted', 'whoever does not tell the default branch has the source looked at')
})

t.test('a delivery counts once, of those that come at the same moment as well', async (t) => {
  const { name, runs } = await makeSource()
  const headers = { 'x-github-delivery': '72d3162e-cc78-11e3-81ab-4c9367dc0958' }
  const answers = await Promise.all([1, 2, 3].map(() => deliver(`default/${name}`, { headers })))
  t.strictSame(answers.map(({ body }) => body.status).sort(), ['accepted', 'duplicate', 'duplicate'])
  const again = await deliver(`default/${name}`, { headers })
  t.equal(again.status, 200)
  t.match(again.body, { status: 'duplicate', run: null })
  t.equal((await runs()).length, 1)
  const second = await makeSource()
  t.equal((await deliver(`default/${second.name}`, { headers })).body.status, 'accepted', 'of another source it is another one')
  for (const id of ['', 'x'.repeat(101), 'two words']) {
    const body = push('refs/heads/main', { after: id })
    const odd = { body, headers: { 'x-github-delivery': id } }
    t.equal((await deliver(`default/${name}`, odd)).body.status, 'accepted')
    t.equal((await deliver(`default/${name}`, odd)).body.status, 'duplicate', 'by its signature where it has no id')
  }
})

t.test('a signed webhook counts once and for five minutes either way', async (t) => {
  const { name, runs } = await makeSource()
  for (const at of [0, -270, 270]) {
    const timestamp = secondsAt(at)
    t.equal((await notify(`default/${name}`, { timestamp })).body.status, 'accepted', `${at} s`)
    t.equal((await notify(`default/${name}`, { timestamp })).body.status, 'duplicate', `${at} s again`)
  }
  t.equal((await notify(`default/${name}`, { body: 'another' })).body.status, 'accepted')
  t.ok((await runs()).length <= 4)
})

t.test('what comes while a run is waiting becomes that run', async (t) => {
  const { name, id, runs } = await makeSource()
  const lock = await deps.connection.tryLock(`promptsync source ${id}`)
  const answers = [...(await Promise.all([1, 2, 3].map(() => deliver(`default/${name}`)))), await notify(`default/${name}`)]
  t.equal(new Set(answers.map(({ body }) => body.run)).size, 1)
  t.strictSame(
    answers.map(({ body }) => body.status),
    Array(4).fill('accepted'),
  )
  t.equal((await runs()).length, 1)
  await lock?.release()
})

t.test('however often a source is pushed to, one sync of it waits for its turn', async (t) => {
  const { name } = await makeSource()
  const waiting: (() => void)[] = []
  const syncs = { run: () => new Promise<never>((resolve) => waiting.push(() => resolve(undefined as never))) }
  const app = await buildWith(t, {}, { syncs })
  const send = async (after: string) => {
    const payload = push('refs/heads/main', { after })
    const headers = { 'x-github-event': 'push', 'x-hub-signature-256': hmac(payload), 'content-type': 'application/json' }
    return (await app.inject({ method: 'POST', url: `/hooks/github/default/${name}`, headers, payload })).json().status
  }
  for (const after of ['a', 'b', 'c']) t.equal(await send(after), 'accepted')
  await until('one waits', inTimeMs, () => waiting.length === 1)
  waiting[0]?.()
  await until('it is looked once more', inTimeMs, () => waiting.length === 2)
  waiting[1]?.()
  await nextTurn()
  t.equal(await send('d'), 'accepted')
  await until('a push begins anew once that is over', inTimeMs, () => waiting.length === 3)
  waiting[2]?.()
})

t.test('a form with the field payload is as good as JSON: what is signed are the bytes', async (t) => {
  const { name } = shared
  const form = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' }
  const body = new URLSearchParams({ payload: push('refs/heads/main', { text: '100 % + & \u{1f600}' }) }).toString()
  t.equal((await deliver(`default/${name}`, { body, headers: form })).body.status, 'accepted')
  const other = new URLSearchParams({ payload: push('refs/heads/other') }).toString()
  t.equal((await deliver(`default/${name}`, { body: other, headers: form })).body.status, 'ignored')
  const spelled = `a=payload=1&payload=${Array.from(push('refs/heads/other'), (c) => `%${c.charCodeAt(0).toString(16)}`).join('')}&b=2`
  t.match((await deliver(`default/${name}`, { body: spelled, headers: form })).body, { reason: /refs\/heads\/other/ })
  for (const body of ['a=1', 'payload=', 'payload=%7', 'payload=%zz{}', 'apayload={}']) {
    refused(t, await deliver(`default/${name}`, { body, headers: form }), 400, 'body.malformed')
  }
})

t.test('a signed push that cannot be read is refused by name', async (t) => {
  const { name } = shared
  const cases: [body: string, status: number, code: string][] = [
    ['', 400, 'body.malformed'],
    ['{', 400, 'body.malformed'],
    ['[]', 422, 'validation.failed'],
    ['{"ref":1}', 422, 'validation.failed'],
    ['{"ref":"refs/heads/main","repository":"acme"}', 422, 'validation.failed'],
  ]
  for (const [body, status, code] of cases) refused(t, await deliver(`default/${name}`, { body }), status, code)
})

t.test('pushes of two thousand commits are taken, and no more than 5 MiB', async (t) => {
  const { name } = shared
  const commit = { id: '0'.repeat(40), message: 'm'.repeat(1_000), added: Array(20).fill('prompts/a/long/path/to/a/file.md') }
  const large = push('refs/heads/main', { commits: Array(2_000).fill(commit) })
  t.ok(large.length > 3 * 1024 ** 2)
  t.equal((await deliver(`default/${name}`, { body: large })).body.status, 'accepted')
  const tooLarge = 'x'.repeat(maxBodyBytes + 1)
  refused(t, await notify(`default/${name}`, { body: tooLarge }), 413, 'body.too_large')
  refused(t, await notify('default/unknown', { body: tooLarge }), 413, 'body.too_large')
  t.equal((await notify(`default/${name}`, { body: tooLarge.slice(1) })).body.status, 'accepted')
})

t.test('a project may be called "github", and so may a source', async (t) => {
  await call('/projects', { body: { slug: 'github' } })
  const { name } = await makeSource({}, 'github')
  t.equal((await notify(`github/${name}`)).body.status, 'accepted')
  t.equal((await deliver(`github/${name}`)).body.status, 'accepted')
  refused(t, await deliver(name), 401, 'hook.refused')
})

t.test('while the database is away every webhook is to come again', async (t) => {
  const { name } = shared
  const database = { ...createAvailability(), isAway: () => true }
  const app = await buildWith(t, {}, { database })
  for (const path of [`default/${name}`, 'default/unknown', 'DEFAULT/unknown', `github/default/${name}`]) {
    const { statusCode, headers, json } = await app.inject({ method: 'POST', url: `/hooks/${path}` })
    t.strictSame([statusCode, json().code, headers['retry-after']], [503, 'database.unavailable', '1'], path)
  }
  const loss = () => Promise.reject(Object.assign(new Error('lost'), { code: 'ECONNRESET' }))
  const lost = Object.create(deps.db, { $queryRaw: { value: loss } })
  const failing = await buildWith(t, {}, { db: lost })
  const { statusCode, headers } = await failing.inject({ method: 'POST', url: `/hooks/default/${name}` })
  t.strictSame([statusCode, headers['retry-after']], [503, '1'])
})

t.test('webhooks are counted by address as writes are, and refused ones as guesses of keys are', async (t) => {
  const { name } = shared
  const send = (app: App, remoteAddress: string, path = 'default/unknown', by = secret) => {
    const timestamp = secondsAt(0)
    const headers = { 'x-promptsync-timestamp': timestamp, 'x-promptsync-signature': hmac(`${timestamp}.`, by) }
    return app.inject({ method: 'POST', url: `/hooks/${path}`, headers, remoteAddress })
  }
  const limited = await buildWith(t, { PROMPTSYNC_WRITE_LIMIT: '2' }, { elapsed: () => 0 })
  const codes: number[] = []
  for (const path of [`default/${name}`, 'default/unknown', `default/${name}`]) {
    codes.push((await send(limited, '192.0.2.1', path)).statusCode)
  }
  t.strictSame(codes, [202, 401, 429])
  const { statusCode, headers, json } = await send(limited, '192.0.2.1')
  t.match([statusCode, json().code, headers['retry-after']], [429, 'rate.exceeded', /^\d+$/])
  t.equal((await send(limited, '192.0.2.2')).statusCode, 401, 'another address is not affected')

  const guessed = await buildWith(t, { PROMPTSYNC_WRITE_LIMIT: 'off' }, { elapsed: () => 0 })
  for (let guess = 0; guess < 600; guess += 1) guessed.limits.guesses.take('192.0.2.3')
  t.equal((await send(guessed, '192.0.2.3', `default/${name}`)).statusCode, 429)
  const left = () => guessed.limits.guesses.remaining('192.0.2.4')
  const before = left()
  await send(guessed, '192.0.2.4', 'DEFAULT/unknown')
  t.equal(left(), before - 1)
})

t.test('bodies that are on their way are bounded together, whoever sends them', async (t) => {
  const { port, hostname } = new URL(service.url)
  const head = `POST /hooks/default/x HTTP/1.1\r\nHost: ${hostname}\r\nContent-Length: ${maxBodyBytes}\r\n\r\n`
  const sockets: Socket[] = []
  const begin = async () => {
    const socket = connect(Number(port), hostname)
    sockets.push(socket)
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    socket.write(head)
  }
  await Promise.all(Array.from({ length: 25 }, begin))
  const large = () => notify('default/unknown', { body: 'x'.repeat(maxBodyBytes) })
  await until('the others hold what there is', inTimeMs, async () => {
    const { body } = await large()
    if (body.code !== 'write.busy') await begin()
    return body.code === 'write.busy'
  })
  const { status, headers } = await large()
  t.strictSame([status, headers.get('retry-after')], [503, '1'])
  refused(t, await notify('default/unknown', { body: 'small' }), 401, 'hook.refused')
  for (const socket of sockets) socket.destroy()
  await until('there is room again', inTimeMs, async () => (await large()).status === 401)
})

// Last: it moves the clock of all.
t.test('deliveries are known for a day, and of a source no more than a thousand', async (t) => {
  const { name, id } = await makeSource()
  const left = await makeSource()
  const known = (sourceId: bigint) => deps.db.sourceDelivery.count({ where: { sourceId } })
  const headers = { 'x-github-delivery': 'the-first' }
  await deliver(`default/${name}`, { headers })
  await deliver(`default/${left.name}`)
  clock.advance(24 * 60 * 60_000 + 1_000)
  t.equal((await deliver(`default/${name}`, { headers })).body.status, 'accepted')
  t.strictSame([await known(id), await known(left.id)], [1, 0], 'those of others are cleared away as well')
  await deps.db.$executeRaw`
    INSERT INTO source_deliveries (source_id, delivery, received_at)
    SELECT ${id}, 'old ' || n, ${clock.now()}::timestamptz - n * interval '1 second' FROM generate_series(1, 1100) n`
  t.equal((await deliver(`default/${name}`)).body.status, 'accepted')
  t.equal(await known(id), 1_000)
  t.equal((await deliver(`default/${name}`, { headers })).body.status, 'duplicate', 'the newest are kept')
})
