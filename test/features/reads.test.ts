import { request as send } from 'node:http'
import { connect } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { type Ask, handledDuring, mostly, openReadPath } from '../helpers/read-path.js'
import { runs } from '../helpers/runs.js'
import { createStandingClock, openDatabase, type Service, startService } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { type Watched, watched } from '../helpers/watched.js'

const base = await openDatabase(t)
const service = await startService(t, { connection: base })
const { injected, compare } = openReadPath(t, service)

/** Another instance on the same database, with what it asks of it. */
async function startOther(env: Record<string, string> = {}, clock = service.clock): Promise<{ other: Service; seen: Watched }> {
  const seen = watched(base)
  const other = await startService(t, { connection: seen.connection, clock, env })
  // The start itself asks as well.
  seen.forget()
  return { other, seen }
}

const prompts = (contents: Record<string, string>) => Object.entries(contents).map(([name, content]) => ({ name, content }))

/** A project with all that a fetch can be of, its keys, and a public one. */
async function makeKnown(acme = 'acme', open = 'open') {
  await service.call('/projects', { body: { slug: acme } })
  await service.call('/projects', { body: { slug: open, settings: { publicRead: true } } })
  const variants = [
    { tags: { locale: 'cn' }, content: '你好' },
    { tags: { locale: 'en', tone: 'friendly' }, content: 'Hi {{ name }}' },
  ]
  const greeting = { name: 'greeting', content: 'Hello {{ name }}', variants, config: { model: 'm' } }
  const chat = { name: 'chat', messages: [{ role: 'system', content: 'Be kind.' }] }
  const others = prompts({ 'meeting/standup': 'What did you do?', 客服: 'Help.' })
  const git = { repo: 'https://example.com/acme', commit: 'c0ffee'.padEnd(40, '1') }
  for (const project of [acme, open]) {
    await service.push({ version: 'v1.0.0', git, prompts: [greeting, chat, ...others] }, { project })
    await service.push({ prompts: [{ ...greeting, content: 'Good day {{ name }}' }] }, { project })
    await service.call('/aliases/production', { project, method: 'PUT', body: { version: 'r1' } })
    await service.call('/aliases/dev', { project, method: 'PUT', body: { version: 'r2' } })
    await service.call('/aliases/pinned', { project, method: 'PUT', body: { version: 'v1', prompt: 'greeting' } })
    await service.call('/canary', { project, body: { alias: 'production', version: 'r2', percentage: 50 } })
  }
  const keyOf = async (key: object) => (await service.createKey({ name: 'k', ...key })).secret
  const revoked = await service.createKey({ name: 'k', project: acme, scopes: ['prompts:read'] })
  const secrets = {
    reader: await keyOf({ project: acme, scopes: ['prompts:read'] }),
    writer: await keyOf({ project: acme, scopes: ['prompts:write'] }),
    stranger: await keyOf({ project: open, scopes: ['prompts:read'] }),
    global: await keyOf({ scopes: ['prompts:read'] }),
    expired: await keyOf({
      ...{ project: acme, scopes: ['prompts:read'] },
      expiresAt: new Date(service.clock.now().getTime() + 60_000).toISOString(),
    }),
    revoked: revoked.secret,
  }
  // Each of them was good once, so that it is known.
  for (const secret of Object.values(secrets)) await service.call('/prompts/greeting/v1', { key: secret })
  await service.call(`/keys/${revoked.id}`, { method: 'DELETE' })
  service.clock.advance(61_000)
  return secrets
}

const names = [
  'greeting',
  'greeting',
  'greeting',
  'meeting%2Fstandup',
  '%E5%AE%A2%E6%9C%8D',
  '%e5%ae%a2%e6%9c%8d',
  'chat',
  'greet%69ng',
]
const oddNames = [
  'unknown',
  'meeting/standup',
  'meeting%252Fstandup',
  '%zz',
  '%FF',
  '',
  'GREETING',
  'default',
  'x'.repeat(300),
  '..%2Fkeys',
]
const refs = ['production', 'production', 'dev', 'v1', 'v2', 'v1.0.0', 'r1', 'latest', 'pinned', 'c0ffee1', 'C0FFEE1']
const oddRefs = ['nowhere', 'builtin', 'v%31', 'v9', '!!', '', 'latest/', 'latest;a', 'render', 'v1%2F', 'versions']
const queries = [
  ...['', '?', '?key=user-1', '?key=user-2&tag=locale:cn', '?tag=locale%3Aen&tag=tone:friendly&key=user-3', '?canary=off'],
  ...['?project=acme&key=user-4', '?tag=locale:en-US&canary=off', '?tag=nothing:x&key=user-5'],
]
const oddQueries = [
  ...['?tag=__proto__:x', '?tag=constructor:x', '?project=open', '?key=user%201', '?key=a+b', '?tag=locale:cn&tag=locale:en'],
  ...['?keyx', '?projectacme', '?key', '?key=', '?canary=on', '?fallback=default', '?unknown=1', '?project=nowhere', '?key=a?'],
  ...['?project=Acme', '?key=%zz', '?key=%00', '?project=acme&project=open', '?key=a&key=b', '??key=a', '?canary=off&canary=off'],
]
const accepts = [undefined, '*/*', 'application/json', 'application/json, text/plain, */*']
const oddAccepts = [
  ...['text/plain', 'text/plain, application/json;q=0.5', 'text/html', 'application/json;q=0, text/plain', 'text/*', ''],
  ...['APPLICATION/JSON', 'application/json, text/plain;q=2', 'a'.repeat(2_001)],
]
const slugs = [undefined, undefined, 'acme']
const oddSlugs = ['open', 'nowhere', '', 'Acme', 'acme, open']
const oddMethods = ['HEAD', 'POST', 'DELETE', 'OPTIONS']
const prefixes = ['', '', '/api']
const oddPrefixes = ['/api/api', '/API', '/', '/prompts']

/** One of the plain values, and now and then an odd one. */
t.test('what is answered from memory is, byte for byte, what the route answers', async (t) => {
  const secrets = await makeKnown()
  const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` })
  type Credential = Record<string, string>
  const credentials: Credential[] = [bearer(secrets.reader), { 'x-api-key': secrets.reader }, bearer(secrets.reader)]
  const oddCredentials: Credential[] = [
    ...[bearer(secrets.global), {}, bearer(secrets.writer), bearer(secrets.stranger), bearer(secrets.expired)],
    ...[
      bearer(secrets.revoked),
      bearer('ps_unknown'),
      { authorization: 'Basic eA==' },
      { authorization: '' },
      { 'x-api-key': '' },
    ],
    ...[{ authorization: `bearer ${secrets.reader}` }, { authorization: `Bearer  ${secrets.reader} ` }],
    { ...bearer(secrets.stranger), 'x-api-key': secrets.reader },
  ]
  const { etag = '' } = (await injected({ method: 'GET', path: '/prompts/greeting/v1', headers: bearer(secrets.reader) })).headers
  const conditions = [
    undefined,
    undefined,
    `${etag}`,
    `W/${etag}`,
    '*',
    '"other"',
    `"other", ${etag}`,
    `"other",W/${etag} , "more"`,
  ]
  const oddConditions = ['', String(etag).slice(1, -1), `${'"o", '.repeat(60)}${etag}`, '"'.repeat(8_001), 'W/*']
  const asks = fc
    .record({
      method: mostly(['GET'], oddMethods),
      prefix: mostly(prefixes, oddPrefixes),
      name: mostly(names, oddNames),
      ref: mostly(refs, oddRefs),
      query: mostly(queries, oddQueries),
      accept: mostly<string | undefined>(accepts, oddAccepts),
      condition: mostly<string | undefined>(conditions, oddConditions),
      slug: mostly<string | undefined>(slugs, oddSlugs),
      credential: mostly(credentials, oddCredentials),
    })
    .map(
      ({ method, prefix, name, ref, query, accept, condition, slug, credential }): Ask => ({
        method,
        path: `${prefix}/prompts/${name}/${ref}${query}`,
        headers: {
          ...{ host: 'localhost', 'x-request-id': 'the-same', ...credential },
          ...(accept === undefined ? {} : { accept }),
          ...(condition === undefined ? {} : { 'if-none-match': condition }),
          ...(slug === undefined ? {} : { 'x-promptsync-project': slug }),
        },
      }),
    )
  // Where every request draws its side, two of them may differ.
  const isDrawn = ({ path }: Ask) => path.includes('/production') && !/key=user-|canary=off/.test(path)
  // Of those that are let through, three requests each, only the injected one has to reach the route.
  const handled = await compare(t, { asks, isDrawn, numRuns: runs(800) })
  t.ok(handled < 2, `${handled} of 3`)
})

const renderings = [
  ...['{}', '{"variables":{}}', '{"variables":{"name":"Ada"}}', '{"variables":{"name":"你好 \\u00e9"},"key":"user-1"}'],
  ...['{"tags":{"locale":"cn"},"key":"user 2"}', '{"variables":{"name":"Ada"},"tags":{"locale":"en","tone":"friendly"}}'],
  ...['{"strict":false,"key":"user-3"}', '{ "strict" : true, "variables" : { "name" : ["a", {"b": 1.50}], "more": null } }'],
]
const oddRenderings = [
  ...['', '[]', 'null', '{"variables":', '{"variables":[]}', '{"key":""}', '{"key":1}', '{"unknown":1}', '{"strict":null}'],
  ...['{"tags":{"":"x"}}', '{"tags":{"locale":1}}', '{"tags":{"__proto__":"x"}}', '{"__proto__":{}}', '{"tags":{"a b":"c d"}}'],
  ...['{"variables":{"name":"\\u0000"}}', '{"key":"\\ud800"}', '{"variables":{"name":"x"},"variables":{"name":"y"}}', '\ufeff{}'],
  ...[`{"key":"${'x'.repeat(1_025)}"}`, `{"variables":{"name":"${'x'.repeat(70_000)}"}}`, `${'['.repeat(100)}${']'.repeat(100)}`],
  JSON.stringify({ tags: Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`t${index}`, 'x'])) }),
]
const oddTypes = ['application/json; charset=utf-8', 'text/plain', 'application/jsonx', 'APPLICATION/JSON', '']
const renderQueries = ['', '', '?canary=off', '?project=acme']
const oddRenderQueries = ['?key=user-1', '?tag=locale:cn', '?fallback=default', '?project=open', '?unknown=1']

t.test('what is rendered from memory is, byte for byte, what the route answers', async (t) => {
  const secrets = await makeKnown('rendered', 'rendered-open')
  const asks = fc
    .record({
      prefix: mostly(prefixes, oddPrefixes),
      name: mostly(names, oddNames),
      ref: mostly(['production', 'dev', 'v1', 'latest'], oddRefs),
      ending: mostly(['/render'], ['/render/', '/renders', '//render']),
      query: mostly(renderQueries, oddRenderQueries),
      body: mostly(renderings, oddRenderings),
      type: mostly(['application/json'], oddTypes),
      secret: mostly([secrets.reader, secrets.global], [secrets.writer, secrets.stranger, secrets.revoked, 'ps_unknown']),
    })
    .map(({ prefix, name, ref, ending, query, body, type, secret }): Ask => {
      const headers = { host: 'localhost', 'x-request-id': 'the-same', authorization: `Bearer ${secret}` }
      const ofBody = { 'content-type': type, 'content-length': String(Buffer.byteLength(body)) }
      const path = `${prefix}/prompts/${name}/${ref}${ending}${query.replace('acme', 'rendered')}`
      return { method: 'POST', path, headers: { ...headers, ...ofBody, 'x-promptsync-project': 'rendered' }, body }
    })
  const isDrawn = ({ path, body = '' }: Ask) =>
    path.includes('/production') && !/canary=off/.test(path) && !body.includes('"user')
  const handled = await compare(t, { asks, isDrawn, numRuns: runs(600) })
  t.ok(handled < 2, `${handled} of 3`)
})

t.test('a rendering whose prompt is known does not reach the framework, however its body comes', async (t) => {
  const project = 'warm-rendering'
  await service.call('/projects', { body: { slug: project } })
  await service.push({ alias: 'dev', prompts: prompts({ a: 'Hello {{ name }}' }) }, { project })
  await service.call('/prompts/a/dev', { project })
  const { hostname, port } = new URL(service.url)
  const text = '{"variables":{"name":"Ada"}}'
  const headers = {
    ...{ authorization: `Bearer ${service.adminKey}`, 'x-promptsync-project': project },
    ...{ 'content-type': 'application/json', 'content-length': text.length },
  }
  const inPieces = (pieces: string[]) =>
    new Promise<string>((resolve, reject) => {
      const outgoing = send({ hostname, port, method: 'POST', path: '/prompts/a/dev/render', headers }, (answer) => {
        answer.setEncoding('utf8').on('data', (chunk) => resolve(chunk))
      })
      outgoing.on('error', reject)
      for (const piece of pieces) outgoing.write(piece)
      outgoing.end()
    })
  const handled = await handledDuring(async () => {
    for (const pieces of [[text], [text.slice(0, 9), text.slice(9)], [...text]])
      t.equal(JSON.parse(await inPieces(pieces)).text, 'Hello Ada')
  })
  t.equal(handled, 0)
})

t.test('an answer from memory ends a connection that is not to stay', async (t) => {
  await service.call('/projects', { body: { slug: 'ending' } })
  await service.push(
    { alias: 'dev', prompts: prompts({ a: '你好'.repeat(20), long: 'é'.repeat(20_000) }) },
    { project: 'ending' },
  )
  const { hostname, port } = new URL(service.url)
  for (const name of ['a', 'long']) {
    const path = `/prompts/${name}/dev`
    const { text: known } = await service.call(path, { project: 'ending' })
    const key = `host: x\r\nx-api-key: ${service.adminKey}\r\nx-promptsync-project: ending\r\n`
    for (const request of [`GET ${path} HTTP/1.0\r\n${key}\r\n`, `GET ${path} HTTP/1.1\r\n${key}connection: close\r\n\r\n`]) {
      const socket = connect(Number(port), hostname, () => socket.write(request))
      const chunks: Buffer[] = []
      for await (const chunk of socket) chunks.push(chunk)
      const [head = '', body] = Buffer.concat(chunks).toString('utf8').split('\r\n\r\n')
      t.equal(body, known)
      t.match(head, /^HTTP\/1\.1 200 OK\r\n/)
      t.match(head, /\r\nconnection: close(\r\n|$)/i)
    }
  }
})

t.test('an answer that is loaded while the service closes ends its connection', async (t) => {
  const { other, seen } = await startOther()
  await service.call('/projects', { body: { slug: 'closing' } })
  await service.push({ alias: 'dev', prompts: prompts({ a: 'x', b: 'y' }) }, { project: 'closing' })
  const headers = { authorization: `Bearer ${service.adminKey}`, 'x-promptsync-project': 'closing' }
  t.equal((await fetch(`${other.url}/prompts/a/dev`, { headers })).status, 200)
  const { reached, release } = seen.holdNext('read_held')
  const loading = fetch(`${other.url}/prompts/b/dev`, { headers })
  await reached
  const closed = other.app.close()
  await until('it closes', 2_000, () => other.app.isClosing())
  release()
  const answer = await loading
  t.strictSame([answer.status, answer.headers.get('connection')], [200, 'close'])
  await answer.text()
  await closed
})

t.test('a fetch that is known does not reach the framework, with or without a body to send', async (t) => {
  const project = 'warm'
  await service.call('/projects', { body: { slug: project } })
  await service.push({ alias: 'dev', prompts: prompts({ a: 'Hello', 'b/c': 'There' }) }, { project })
  const paths = [
    '/prompts/a/dev',
    '/api/prompts/b%2Fc/dev?key=user-1',
    '/prompts/a/v1?tag=locale:cn',
    '/prompts/a/latest?project=warm',
  ]
  const first = await Promise.all(paths.map((path) => service.call(path, { project })))
  const etags = first.map(({ headers }) => headers.get('etag') ?? '')
  t.notOk(etags.includes(''))
  const handled = await handledDuring(async () => {
    for (const [index, path] of paths.entries()) {
      const warm = await service.call(path, { project })
      t.strictSame([warm.status, warm.text], [200, first[index]?.text])
      const same = await service.call(path, { project, headers: { 'if-none-match': `"x", W/${etags[index]}` } })
      t.strictSame([same.status, same.text], [304, ''])
    }
  })
  t.equal(handled, 0)
})

t.test('an answer from memory has the request id that was given, else one of its own', async (t) => {
  const headers = { 'x-request-id': 'mine-1' }
  await service.call('/prompts/greeting/v1', { project: 'acme' })
  t.equal((await service.call('/prompts/greeting/v1', { project: 'acme', headers })).headers.get('x-request-id'), 'mine-1')
  const drawn = async () => (await service.call('/prompts/greeting/v1', { project: 'acme' })).headers.get('x-request-id') ?? ''
  const ids = [await drawn(), await drawn()]
  t.match(ids[0], /^[\da-f-]{36}$/)
  t.not(ids[0], ids[1])
})

t.test('a cold read is one statement, key and all, and a warm one none', async (t) => {
  const project = 'cold'
  await service.call('/projects', { body: { slug: project } })
  const variants = [{ tags: { locale: 'cn' }, content: '你好' }]
  await service.push(
    { alias: 'dev', prompts: [{ name: 'a', content: 'Hello', variants }, ...prompts({ b: 'There' })] },
    { project },
  )
  await service.push({ alias: 'next', prompts: prompts({ a: 'Good day' }) }, { project })
  await service.call('/canary', { project, body: { alias: 'dev', version: 'r2', percentage: 50 } })
  await service.call('/aliases/pinned', { project, method: 'PUT', body: { version: 'v1', prompt: 'a' } })
  const { secret } = await service.createKey({ name: 'reader', project, scopes: ['prompts:read'] })
  for (const ref of ['dev', 'pinned', 'latest', 'v1', 'r1']) {
    const { other, seen } = await startOther()
    const whole = async (path: string) => {
      const answer = await other.call(path, { key: secret })
      return [answer.status, seen.reads().length, seen.clientUses()]
    }
    t.strictSame(await whole(`/prompts/a/${ref}?key=user-1`), [200, 1, 0], ref)
    // Both sides of a canary, and all variants, came with the first.
    for (const query of ['?key=user-1', '?key=user-2', '?key=user-3&tag=locale:cn', '?canary=off', '?tag=locale:cn']) {
      t.strictSame(await whole(`/prompts/a/${ref}${query}`), [200, 1, 0], `${ref}${query}`)
    }
    await other.app.close()
  }
})

t.test('those who ask for what is being loaded wait for one load, be it there or not', async (t) => {
  const project = 'together'
  await service.call('/projects', { body: { slug: project } })
  await service.push({ alias: 'dev', prompts: prompts({ a: 'Hello', b: 'There' }) }, { project })
  const { other, seen } = await startOther()
  await other.call('/prompts/a/dev', { project })
  seen.forget()
  const all = async (path: string) => {
    seen.forget()
    const answers = await Promise.all(Array.from({ length: 40 }, () => other.call(path, { project })))
    return [...new Set(answers.map(({ status }) => status))]
  }
  t.strictSame(await all('/prompts/b/dev'), [200])
  t.strictSame([seen.reads().length, seen.clientUses()], [1, 0])
  for (const path of ['/prompts/nobody/dev', '/prompts/a/nowhere', '/prompts/a/v9']) {
    t.strictSame(await all(path), [404])
    // Those who come while it is found out why there is nothing may ask once more.
    t.ok(seen.reads().length <= 8 && seen.clientUses() <= 12, `${path}: ${seen.reads()}, and ${seen.clientUses()} of the client`)
  }
})

t.test('a moved alias costs an instance what changed, and reads of another alias nothing', async (t) => {
  const project = 'moved'
  await service.call('/projects', { body: { slug: project } })
  const contents = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`p${index}`, `Text ${index}`]))
  await service.push({ alias: 'dev', prompts: prompts(contents) }, { project })
  await service.call('/aliases/production', { project, method: 'PUT', body: { version: 'r1' } })
  const { other, seen } = await startOther()
  const names = Object.keys(contents)
  // Of the alias that nobody moves, some are enough.
  const readAll = async (alias: string, count = names.length) => {
    const told: string[] = []
    for (let at = 0; at < count; at += 25) {
      const paths = names.slice(at, at + 25).map((name) => `/prompts/${name}/${alias}`)
      const answers = await Promise.all(paths.map((path) => other.call(path, { project })))
      told.push(...answers.map(({ body }) => body.content))
    }
    return told
  }
  await readAll('dev')
  await readAll('production', 50)
  const changed = { p3: 'New 3', p50: 'New 50', p199: 'New 199' }
  await service.push({ alias: 'dev', prompts: prompts(changed) }, { project })

  seen.forget()
  service.clock.advance(5_001)
  t.strictSame(await readAll('production', 50), Object.values(contents).slice(0, 50))
  t.strictSame(await readAll('dev'), Object.values({ ...contents, ...changed }))
  // Keys have to be checked again some time, by statements of their own. A message and the clock may each have it read.
  const times = (name: string) => seen.reads().filter((one) => one === name).length
  const costs = () => ['read_project', 'read_difference', 'read_versions', 'read_held'].map(times)
  const isAtMost = (most: number[]) => costs().every((count, index) => count <= (most[index] ?? 0))
  t.ok(isAtMost([2, 1, 1, 0]), `${seen.reads()}`)
  t.equal(seen.clientUses(), 0)

  seen.forget()
  const handled = await handledDuring(async () => {
    t.strictSame(await readAll('production', 50), Object.values(contents).slice(0, 50))
    t.strictSame(await readAll('dev'), Object.values({ ...contents, ...changed }))
  })
  t.strictSame(costs(), [0, 0, 0, 0])
  t.ok(handled <= 25, 'but for those that checked the key')

  await service.call('/aliases/dev/rollback', { project, method: 'POST' })
  seen.forget()
  service.clock.advance(5_001)
  t.strictSame(await readAll('dev'), Object.values(contents))
  t.ok(isAtMost([2, 1, 0, 0]), `what it goes back to is still known: ${seen.reads()}`)
})

t.test('a scan of unknown names puts nothing out of memory, and takes little of it', async (t) => {
  const project = 'scanned'
  await service.call('/projects', { body: { slug: project } })
  await service.push({ alias: 'dev', prompts: prompts({ hot: 'Hello' }) }, { project })
  const { other, seen } = await startOther({ PROMPTSYNC_CACHE_BYTES: '1mb' }, createStandingClock())
  await other.call('/prompts/hot/dev', { project })
  const misspelt = async (name: string) => (await other.call(`/prompts/${name}/dev`, { project })).body.detail
  t.match(await misspelt('hott'), /Did you mean "hot"\?/)
  const { cache } = other.deps
  const { clientUses } = seen
  for (let index = 0; index < 120; index += 10) {
    const scan = Array.from({ length: 10 }, (_, at) => `/prompts/${'n'.repeat(150)}${index + at}/dev`)
    const statuses = await Promise.all(scan.map(async (path) => (await other.call(path, { project })).status))
    t.strictSame(new Set(statuses), new Set([404]))
  }
  t.ok(clientUses() <= 100, 'the nearest name is looked for a bounded number of times')
  t.notMatch(await misspelt('hots'), /Did you mean/)
  other.clock.advance(60_000)
  t.match(await misspelt('hat'), /Did you mean "hot"\?/)
  t.ok(cache.misses.size <= 100)
  t.ok((cache.entries.calculatedSize ?? 0) + (cache.projects.calculatedSize ?? 0) <= 1024 ** 2)
  seen.forget()
  t.equal((await other.call('/prompts/hot/dev', { project })).body.content, 'Hello')
  t.strictSame(seen.reads(), [])
})

t.test('what is too large to be kept is answered all the same, on both sides of a canary', async (t) => {
  const project = 'large'
  await service.call('/projects', { body: { slug: project } })
  const variants = Array.from({ length: 5 }, (_, index) => ({ tags: { size: `${index}` }, content: `${index}`.repeat(200_000) }))
  await service.push({ alias: 'dev', prompts: prompts({ a: 'Small' }) }, { project })
  await service.push({ prompts: [{ name: 'a', content: 'Large', variants }] }, { project })
  await service.call('/canary', { project, body: { alias: 'dev', version: 'r2', percentage: 100 } })
  const { other } = await startOther({ PROMPTSYNC_CACHE_BYTES: '1mb' })
  for (const query of ['?key=user-1', '?key=user-1&tag=size:3', '?canary=off']) {
    const { status, body } = await other.call(`/prompts/a/dev${query}`, { project })
    t.equal(status, 200, body.detail)
    t.equal(body.content.slice(0, 5), { '?key=user-1': 'Large', '?canary=off': 'Small' }[query] ?? '33333')
  }
  t.ok((other.deps.cache.entries.calculatedSize ?? 0) <= 1024 ** 2)
})
