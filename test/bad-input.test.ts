import { connect } from 'node:net'
import t from 'tap'
import { type Answer, type CallOptions, startService } from './helpers/service.js'

type Request = (CallOptions & { path: string }) | { raw: string }
/** What else holds for a row: a part of the detail, the place of a finding, header fields. */
type Also = { detail?: RegExp; place?: string; headers?: Record<string, string> }
type Row = Also & { title: string; request: Request; status: number; code: string }

const project = 'acme'
/** Nothing of these belongs into a detail. */
const internals =
  /\n\s+at |node_modules|\.[jt]s:\d|prisma|\b(SELECT|INSERT|UPDATE) |ZodError|\[object Object\]|not valid JSON: .*not valid JSON/i
const bodyLimitBytes = 1_536 * 1024
const maxContentBytes = 262_144
const maxLevels = 64
const reserved = ['v1', 'r12', 'latest', 'builtin', 'versions', 'diff', 'render', 'plan', 'fetch', 'purge', 'deadbeef']
const commits = { first: `abcdef0${'1'.repeat(33)}`, second: `abcdef0${'2'.repeat(33)}` }

const service = await startService(t, { env: { PROMPTSYNC_BODY_LIMIT: '1536kb' } })

t.test('bad input is refused by name and changes nothing', async (t) => {
  const world = await arrange()
  for (const [topic, rows] of Object.entries(topicsOf(world))) {
    const before = await service.countRows()
    for (const row of rows) {
      const title = `${topic}: ${row.title} is ${row.status} ${row.code}`
      t.same(complaintsAbout(await send(row.request), row), [], title)
    }
    t.same(await service.countRows(), before, `${topic}: no row was added or removed`)
  }
})

t.test('a push that fails at its last part leaves no version, release or prompt behind', async (t) => {
  const { send, push } = await makeProject('all-or-nothing')
  await push({ version: 'v1.0.0', alias: 'production', prompts: [{ name: 'greeting', content: 'One' }] })
  await push({ version: 'v2.0.0', prompts: [{ name: 'greeting', content: 'Two' }] })
  await send(call('POST', '/canary', { alias: 'production', version: 'v2.0.0', percentage: 10 }))
  const before = await service.countRows()
  const prompts = [
    { name: 'greeting', content: 'Three', title: 'Changed' },
    { name: 'new', content: 'Text' },
  ]
  const git = { commit: commits.first }
  const refused = await send(call('POST', '/prompts', { version: 'v3.0.0', alias: 'production', git, prompts }))
  t.equal(refused.body.code, 'canary.active')
  t.same(await service.countRows(), before)
  t.equal((await send(get('/prompts/new'))).status, 404)
  t.equal((await send(get('/releases/v3.0.0'))).status, 404)
  t.equal((await send(get(`/releases/${commits.first}`))).status, 404)
  t.match((await send(get('/prompts/greeting'))).body, { title: null, latest: { number: 2 } })
  const next = await push({ version: 'v3.0.0', prompts })
  t.match(next, { release: { number: 3 }, results: [{ number: 3 }, { number: 1 }] }, 'no number was lost')
})

t.test('a percentage of 1.1 is kept as exactly 110 basis points', async (t) => {
  const { send, push } = await makeProject('percentages')
  await push({ alias: 'production', prompts: [{ name: 'greeting', content: 'One' }] })
  await push({ prompts: [{ name: 'greeting', content: 'Two' }] })
  for (const [percentage, basisPoints] of [
    [1.1, 110],
    [0.01, 1],
    [0.29, 29],
    [33.33, 3_333],
    [99.99, 9_999],
    [100, 10_000],
  ] as const) {
    const { status, body } = await send(call('POST', '/canary', { alias: 'production', version: 'latest', percentage }))
    t.match({ status, body }, { status: percentage === 1.1 ? 201 : 200, body: { percentage } })
    const rows = await service.deps.db.alias.findMany({
      where: { canaryBasisPoints: { not: null }, project: { slug: 'percentages' } },
    })
    t.same(
      rows.map((row) => row.canaryBasisPoints),
      [basisPoints],
    )
  }
})

t.test('what stands exactly at a limit is accepted and comes back as it was', async (t) => {
  const { send, push } = await makeProject('limits')
  const longest = { name: '客'.repeat(200), label: `v${'1'.repeat(61)}.`, alias: 'a'.repeat(63), title: 'x'.repeat(200) }
  const contents = ['x'.repeat(maxContentBytes), `x${'客'.repeat((maxContentBytes - 1) / 3)}`]
  for (const content of contents) {
    t.equal(Buffer.byteLength(content), maxContentBytes)
    await push({ prompts: [{ name: 'long', content, variants: [{ tags: { tone: 'formal' }, content }] }] })
    t.ok((await send(get('/prompts/long/latest'))).body.content === content)
  }
  await push({
    version: longest.label,
    alias: longest.alias,
    prompts: [{ name: longest.name, title: longest.title, content: 'Text' }],
  })
  for (const ref of [longest.label, longest.alias])
    t.equal((await send(get(`/prompts/${segment(longest.name)}/${ref}`))).body.content, 'Text')
  const deepest = { list: nestedLists(maxLevels - 4) }
  await push({ prompts: [{ name: 'deep', content: 'Text', config: deepest }] })
  t.same((await send(get('/prompts/deep/latest'))).body.config, deepest)
  t.equal((await send(get('/prompts?limit=200'))).status, 200)
})

t.test('a project may have the name of a reserved word', async (t) => {
  for (const slug of reserved) t.equal((await service.call('/projects', { body: { slug } })).status, 201, slug)
  t.equal((await service.call('/projects/versions')).body.slug, 'versions')
})

t.test('a body over the limit is always answered before the connection closes', async (t) => {
  for (let attempt = 0; attempt < 10; attempt += 1) {
    t.equal((await send(call('POST', '/prompts', ' '.repeat(4 * bodyLimitBytes)))).status, 413)
  }
})

async function makeProject(slug: string) {
  await expectMade('POST', '/projects', { slug })
  return {
    send: (request: Request) => send({ project: slug, ...request }),
    push: (body: object) => service.push(body, { project: slug }),
  }
}

/** What is wrong with an answer; nothing if it is the problem that the row expects. */
function complaintsAbout({ status, headers, body, text }: Answer, row: Row): string[] {
  if (status !== row.status || body?.code !== row.code) return [`answered ${status} ${body?.code}: ${text.slice(0, 500)}`]
  const { type, title, detail, requestId, errors } = body
  const complaints: [isRight: unknown, complaint: string][] = [
    [headers.get('content-type') === 'application/problem+json; charset=utf-8', `content-type is ${headers.get('content-type')}`],
    [requestId && headers.get('x-request-id') === requestId, `x-request-id is ${headers.get('x-request-id')}, not ${requestId}`],
    [type === `urn:promptsync:problem:${row.code}` && title && body.status === status, `type, title or status is wrong: ${text}`],
    [detail && !internals.test(detail), `the detail shows internals or nothing: ${detail}`],
    [status !== 401 || headers.get('www-authenticate') === 'Bearer', 'www-authenticate is missing'],
    [row.code !== 'validation.failed' || errors?.length > 0, 'no findings are listed'],
    [(errors ?? []).every(({ path, message }: any) => typeof path === 'string' && message), `a finding lacks a part: ${text}`],
    [!row.detail || row.detail.test(detail), `the detail is: ${detail}`],
    [
      row.place === undefined || errors?.some(({ path }: any) => path.startsWith(row.place)),
      `${row.place} is not named: ${JSON.stringify(errors)}`,
    ],
    ...Object.entries(row.headers ?? {}).map(([name, value]): [boolean, string] => [
      headers.get(name) === value,
      `${name} is ${headers.get(name)}`,
    ]),
  ]
  return complaints.flatMap(([isRight, complaint]) => (isRight ? [] : [complaint]))
}

async function send(request: Request): Promise<Answer> {
  if ('raw' in request) return sendRaw(request.raw)
  const { path, ...options } = request
  return service.call(path, { project, ...options })
}

/** Sends bytes as they are, for what no HTTP client would send. The server closes the connection. */
async function sendRaw(bytes: string): Promise<Answer> {
  const { hostname, port } = new URL(service.url)
  const socket = connect(Number(port), hostname)
  socket.write(Buffer.from(bytes, 'latin1'))
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk)
  const answer = Buffer.concat(chunks).toString()
  const [head = '', text = ''] = answer.split('\r\n\r\n', 2)
  const [statusLine = '', ...fields] = head.split('\r\n')
  const headers = new Headers(
    fields.map((field): [string, string] => [field.slice(0, field.indexOf(':')), field.slice(field.indexOf(':') + 1)]),
  )
  return { status: Number(statusLine.split(' ')[1]), headers, text, body: text === '' ? {} : JSON.parse(text) }
}

type World = {
  keys: Record<'reader' | 'writer' | 'expired' | 'revoked' | 'other' | 'bound', string>
  cursors: Record<string, string>
}

/**
 * Project `acme`: releases v1.0.0 and v2.0.0 (of commits with the same first seven digits) and r3; `production` on v1.0.0 with a
 * canary on v2.0.0, `staging` on v2.0.0 and `dev` on r3, which never moved; `tested`, a pin of greeting; `gone`, a deleted alias.
 */
async function arrange(): Promise<World> {
  for (const slug of [project, 'other']) await expectMade('POST', '/projects', { slug })
  await expectMade('POST', '/projects', { slug: 'strict', settings: { scan: 'block' } })
  const chat = { name: 'chat', messages: [{ role: 'system', content: 'Be kind.' }] }
  const greeting = (content: string) => ({ name: 'greeting', content })
  const push = (body: object) => service.push(body, { project })
  await push({
    version: 'v1.0.0',
    alias: 'production',
    git: { commit: commits.first },
    prompts: [greeting('Hi {{ name }}'), chat],
  })
  await push({ version: 'v2.0.0', alias: 'staging', git: { commit: commits.second }, prompts: [greeting('Hello {{ name }}')] })
  await push({
    alias: 'dev',
    prompts: [
      greeting('Good day {{ name }}'),
      { name: 'folder/note', content: 'A note' },
      { name: 'doubled', content: '{{ name }}{{ name }}' },
    ],
  })
  await expectMade('POST', '/canary', { alias: 'production', version: 'v2.0.0', percentage: 10 })
  await expectMade('POST', '/canary', { alias: 'production', version: 'v2.0.0', percentage: 20 })
  for (const version of ['v1', 'v2']) await expectMade('PUT', '/aliases/tested', { prompt: 'greeting', version })
  await expectMade('POST', '/canary', { alias: 'tested', prompt: 'greeting', version: 'v3', percentage: 50 })
  await expectMade('PUT', '/aliases/gone', { version: 'v1.0.0' })
  await expectMade('DELETE', '/aliases/gone')
  const keys = await makeKeys()
  return { keys, cursors: await readCursors() }
}

async function expectMade(method: string, path: string, body?: object): Promise<any> {
  const answer = await service.call(path, { method, project: path === '/projects' ? undefined : project, body })
  if (answer.status !== 200 && answer.status !== 201)
    throw new Error(`${method} ${path} answered ${answer.status}: ${answer.text}`)
  return answer.body
}

async function makeKeys(): Promise<World['keys']> {
  const make = async (name: string, scopes: string[], more: object = {}) => service.createKey({ name, project, scopes, ...more })
  const minuteMs = 60_000
  const expired = await make('expired', ['admin'], {
    expiresAt: new Date(service.clock.now().getTime() + minuteMs).toISOString(),
  })
  service.clock.advance(2 * minuteMs)
  const revoked = await make('revoked', ['admin'])
  await expectMade('DELETE', `/keys/${revoked.id}`)
  return {
    reader: (await make('reader', ['prompts:read'])).secret,
    writer: (await make('writer', ['prompts:read', 'prompts:write'])).secret,
    expired: expired.secret,
    revoked: revoked.secret,
    other: (await make('other', ['admin'], { project: 'other' })).secret,
    bound: (await make('bound', ['admin'])).secret,
  }
}

const lists = [
  ...['/prompts', '/prompts/greeting/versions', '/releases', '/releases/latest', '/aliases', '/aliases/production/history'],
  ...['/canary', '/projects', '/keys', '/audit'],
]

/** The cursor behind the first item of each list. */
async function readCursors(): Promise<Record<string, string>> {
  const cursors: Record<string, string> = {}
  for (const path of lists) {
    const { body } = await service.call(`${path}?limit=1`, { project })
    if (typeof body.nextCursor !== 'string') throw new Error(`${path} has no second page.`)
    cursors[path] = body.nextCursor
  }
  return cursors
}

function topicsOf(world: World): Record<string, Row[]> {
  return {
    transport: transportRows(),
    JSON: jsonRows(),
    fields: fieldRows(),
    names: nameRows(),
    contents: contentRows(),
    files: fileRows(),
    conflicts: conflictRows(),
    aliases: aliasRows(),
    refs: refRows(),
    queries: queryRows(world),
    cursors: cursorRows(world),
    access: accessRows(world),
    projects: projectRows(world),
    renderings: renderRows(),
    plans: planRows(),
  }
}

/** Rows that share an answer, by title. */
function refused(status: number, code: string, requests: Record<string, Request>, also: Also = {}): Row[] {
  return Object.entries(requests).map(([title, request]) => ({ title, request, status, code, ...also }))
}

/** Rows whose detail names something. */
const naming = (detail: RegExp, status: number, code: string, requests: Record<string, Request>): Row[] =>
  refused(status, code, requests, { detail })

/** A request for each of some values. */
const titled = <T>(values: readonly T[], row: (value: T) => [title: string, request: Request]): Record<string, Request> =>
  Object.fromEntries(values.map(row))

/** Rows of input that is off its type or grammar at a place, which a finding names. */
const invalid = (place: string, requests: Record<string, Request>): Row[] =>
  refused(422, 'validation.failed', requests, { place })

const get = (path: string, options: CallOptions = {}): Request => ({ path, ...options })
const call = (method: string, path: string, body?: unknown, options: CallOptions = {}): Request => ({
  method,
  path,
  body,
  ...options,
})
const push = (body: unknown, options: CallOptions = {}): Request => call('POST', '/prompts', body, options)
/** A push of one prompt; fields given as undefined are left out. */
const pushPrompt = (fields: object): Request => push({ prompts: [{ name: 'new', content: 'Text', ...fields }] })
const pushFile = (path: string, content = 'Text'): Request => push({ files: [{ path, content }] })
const segment = encodeURIComponent
/** A request as bytes, without a body. */
const http = (target: string, fields = '') => `${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${fields}\r\n`

function renderRows(): Row[] {
  const render = (body: unknown, path = 'greeting/latest', options: CallOptions = {}) =>
    call('POST', `/prompts/${path}/render`, body, options)
  return [
    ...refused(404, 'prompt.not_found', { 'a rendering of an unknown prompt': render({}, 'nothing/latest') }),
    ...refused(404, 'alias.not_found', { 'a rendering by an unknown alias': render({}, 'greeting/nowhere') }),
    ...refused(400, 'body.malformed', {
      'a rendering without a body': render(undefined),
      'a rendering of broken JSON': render('{'),
    }),
    ...refused(413, 'body.too_large', {
      'a rendering with 2 MiB of variables': render({ variables: { a: 'x'.repeat(2 * 1024 ** 2) } }),
    }),
    ...refused(422, 'variables.missing', { 'a rendering without its variable': render({}) }, { place: 'variables.name' }),
    ...refused(422, 'template.too_complex', {
      'a rendering of more than 1 MiB': render({ variables: { name: 'x'.repeat(900_000) } }, 'doubled/latest'),
    }),
    ...invalid('variables', {
      'variables that are a list': render({ variables: [] }),
      'variables that are null': render({ variables: null }),
    }),
    ...invalid('tags', {
      'tags that are no texts': render({ tags: { locale: 1 } }),
      'tags that are a list': render({ tags: ['a:b'] }),
    }),
    ...invalid('key', { 'an empty key': render({ key: '' }), 'a key that is a number': render({ key: 1 }) }),
    ...invalid('strict', { 'strict as a text': render({ strict: 'yes' }) }),
    ...invalid('variable', { 'an unknown field': render({ variable: {} }) }),
    ...invalid('tag', { 'tags in the query': call('POST', '/prompts/greeting/latest/render?tag=a:b', {}) }),
    ...refused(422, 'push.empty', { 'a validation of nothing': call('POST', '/validate', {}) }),
    ...refused(404, 'release.not_found', {
      'a validation on an unknown base': call('POST', '/validate', { base: 'nowhere', prompts: [{ name: 'x', content: '' }] }),
    }),
    ...refused(405, 'method.not_allowed', {
      'a GET of a rendering': get('/prompts/greeting/latest/render'),
      'a GET of a validation': get('/validate'),
    }),
  ]
}

function planRows(): Row[] {
  const fetchMany = (fields: object) => call('POST', '/prompts/fetch', { names: ['greeting'], ref: 'production', ...fields })
  const plans = (fields: object) => fetchMany({ as: 'plans', ...fields })
  return [
    ...refused(404, 'prompt.not_found', { 'a plan of an unknown prompt': get('/prompts/nothing/latest/plan') }),
    ...naming(/Did you mean "production"/, 404, 'alias.not_found', {
      'a plan by a misspelt alias': get('/prompts/greeting/prodution/plan'),
    }),
    ...invalid('key', { 'a plan for a key': get('/prompts/greeting/production/plan?key=user-1') }),
    ...invalid('tag', { 'a plan for a tag': get('/prompts/greeting/production/plan?tag=locale:en') }),
    ...invalid('canary', { 'a plan without its canary': get('/prompts/greeting/production/plan?canary=off') }),
    ...invalid('name', { 'a plan of what is no name': get('/prompts/UPPER/production/plan') }),
    ...invalid('ref', { 'a plan by what is no ref': get('/prompts/greeting/-/plan') }),
    ...invalid('names', {
      'many names that are none': fetchMany({ names: [] }),
      'more than 200 names': fetchMany({ names: Array.from({ length: 201 }, (_, index) => `x${index}`) }),
      'names that are no list': fetchMany({ names: 'greeting' }),
      'no names': fetchMany({ names: undefined }),
    }),
    ...invalid('names[1]', {
      'a name twice': fetchMany({ names: ['greeting', 'greeting'] }),
      'a name off its grammar': fetchMany({ names: ['greeting', 'UPPER'] }),
      'a name that is a number': fetchMany({ names: ['greeting', 1] }),
    }),
    ...invalid('ref', {
      'many names without a ref': fetchMany({ ref: undefined }),
      'a ref off its grammar': fetchMany({ ref: '-' }),
    }),
    ...invalid('tags', { 'tags that are a list': fetchMany({ tags: ['a:b'] }), 'plans for tags': plans({ tags: {} }) }),
    ...invalid('key', { 'an empty key of many': fetchMany({ key: '' }), 'plans for a key': plans({ key: 'user-1' }) }),
    ...invalid('canary', {
      'a canary that is on': fetchMany({ canary: 'on' }),
      'plans without canaries': plans({ canary: 'off' }),
    }),
    ...invalid('as', { 'many as something else': fetchMany({ as: 'texts' }) }),
    ...invalid('fallback', { 'many with a fallback': fetchMany({ fallback: 'default' }) }),
    ...invalid('key', {
      'a key in the query': call('POST', '/prompts/fetch?key=user-1', { names: ['greeting'], ref: 'latest' }),
    }),
    ...naming(/1024 KiB.*takes no more/, 413, 'body.too_large', {
      'names of 2 MiB': fetchMany({ names: ['x'.repeat(2 * 1024 ** 2)] }),
    }),
    ...refused(405, 'method.not_allowed', {
      'a POST to a plan': call('POST', '/prompts/greeting/production/plan', {}),
      'a PUT where many are fetched': call('PUT', '/prompts/fetch', {}),
    }),
  ]
}

function transportRows(): Row[] {
  const typed = (contentType: string) => push('{"prompts":[]}', { headers: { 'content-type': contentType } })
  const notAllowed = (allow: string, requests: Record<string, Request>) =>
    refused(405, 'method.not_allowed', requests, { headers: { allow } })
  const rawPush = (fields: string, body: string) => ({
    raw: http('POST /prompts', `X-API-Key: ${service.adminKey}\r\n${fields}`) + body,
  })
  const oneChunk = (body: string) => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  return [
    ...refused(400, 'request.malformed', {
      'bytes that are not HTTP': { raw: 'How do you do?\r\n\r\n' },
      'the first bytes of TLS': { raw: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' },
      'another version of HTTP': { raw: 'GET /prompts HTTP/7.3\r\nHost: localhost\r\n\r\n' },
      'a header field without a colon': { raw: http('GET /prompts', 'no colon here\r\n') },
      'a Content-Length that is no number': { raw: http('POST /prompts', 'Content-Length: many\r\n') },
      'two lengths of one body': { raw: http('POST /prompts', 'Content-Length: 2\r\nTransfer-Encoding: chunked\r\n') },
      'percent-encoding in a name that is cut off': get('/prompts/a%2/latest'),
      'percent-encoding in a name that is no hex': get('/prompts/a%zz/latest'),
      'percent-encoding in a name that is no UTF-8': get('/prompts/caf%E9/latest'),
      'percent-encoding in a query value that is no hex': get('/prompts?search=%zz'),
      'percent-encoding in a query value that is no UTF-8': get('/prompts/greeting/latest?key=caf%E9'),
    }),
    ...refused(431, 'header.too_large', { 'headers of 20 kB': get('/prompts', { headers: { 'x-filler': 'x'.repeat(20_000) } }) }),
    ...refused(404, 'route.not_found', {
      'an unknown route': get('/promptz'),
      'an unknown route without a key': get('/promptz', { key: null }),
      'an unknown route below /api': get('/api/promptz'),
      'a POST to an unknown route': call('POST', '/promptz', {}),
      'a route with one segment too many': get('/prompts/greeting/latest/raw'),
      'a route with a trailing slash': get('/prompts/greeting/latest/'),
      'a route that starts with two slashes': { raw: http('GET //prompts') },
    }),
    ...notAllowed('GET, HEAD, POST', {
      'PUT of all prompts': call('PUT', '/prompts', {}),
      'TRACE of all prompts': { raw: http('TRACE /prompts') },
    }),
    ...notAllowed('GET, HEAD, POST', { 'PUT of all prompts without a key': call('PUT', '/prompts', {}, { key: null }) }),
    ...notAllowed('DELETE, GET, HEAD, PATCH', { 'POST to a prompt': call('POST', '/prompts/new', {}) }),
    ...notAllowed('DELETE, GET, HEAD, PUT', { 'POST to an alias': call('POST', '/aliases/dev', {}) }),
    ...notAllowed('POST', {
      'GET of a rollback': get('/aliases/dev/rollback'),
      'DELETE of a promotion': call('DELETE', '/canary/production/promote'),
    }),
    ...notAllowed('GET, HEAD', {
      'DELETE of a version': call('DELETE', '/prompts/greeting/v1'),
      'DELETE of a release': call('DELETE', '/releases/r1'),
      'DELETE of the audit': call('DELETE', '/audit'),
      'POST to an alias history': call('POST', '/aliases/dev/history', {}),
      'POST to the events': call('POST', '/events', {}),
    }),
    ...refused(415, 'body.unsupported_type', {
      'a body of plain text': typed('text/plain'),
      'a body of a form': typed('application/x-www-form-urlencoded'),
      'a body of a multipart form': typed('multipart/form-data; boundary=x'),
      'a body of JSON lines': typed('application/jsonl'),
      'a body of YAML': typed('application/yaml'),
      'a body whose type is no type': typed('json'),
      'a body without a type': rawPush('Content-Length: 14\r\n', '{"prompts":[]}'),
    }),
    ...naming(/1536 KiB.*raise PROMPTSYNC_BODY_LIMIT/, 413, 'body.too_large', {
      'a body over the limit': push(' '.repeat(bodyLimitBytes + 1)),
      'a body over the limit that does not tell its length': rawPush(
        'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n',
        oneChunk(' '.repeat(bodyLimitBytes + 1)),
      ),
    }),
  ]
}

function jsonRows(): Row[] {
  const nested = (levels: number) =>
    push({ prompts: [{ name: 'new', content: 'Text', config: { list: nestedLists(levels - 4) } }] })
  return [
    ...refused(400, 'body.malformed', {
      'no body': call('POST', '/prompts'),
      'an empty body': push(''),
      'an empty body of an alias move': call('PUT', '/aliases/new', ''),
      'a body of spaces': push(' \n'),
      'JSON that is cut off': push('{"prompts":[{"name":"new","content":"Te'),
      'JSON that lacks a closing bracket': push('{"prompts":[{"name":"new","content":"Text"}'),
      'JSON with a closing bracket too many': push('{"prompts":[]}]'),
      'JSON with brackets that do not match': push('{"prompts":[}]'),
      'JSON with a trailing comma in an object': push('{"prompts":[],}'),
      'JSON with a trailing comma in a list': push('{"prompts":[{"name":"new","content":"Text"},]}'),
      'JSON with a trailing comma in a prompt': push('{"prompts":[{"name":"new","content":"Text",}]}'),
      'JSON without a comma between prompts': push(
        '{"prompts":[{"name":"new","content":"Text"}{"name":"newer","content":"Text"}]}',
      ),
      'JSON with two roots': push('{"prompts":[]}{"prompts":[]}'),
      'JSON with single quotes': push("{'prompts':[]}"),
      'JSON with a key without quotes': push('{prompts:[]}'),
      'JSON with NaN': push('{"prompts":[{"name":"new","content":"Text","config":{"temperature":NaN}}]}'),
      'JSON with Infinity': push('{"prompts":[{"name":"new","content":"Text","config":{"temperature":-Infinity}}]}'),
      'JSON with a comment': push('{"prompts":[] /* none */}'),
      'JSON with a tab within a text': push('{"prompts":[{"name":"new","content":"a\tb"}]}'),
      'JSON with a bad escape': push('{"prompts":[{"name":"new","content":"\\x41"}]}'),
      'JSON with a number that starts with 0': call('POST', '/canary', '{"alias":"dev","version":"v1.0.0","percentage":010}'),
      'a form as JSON': push('prompts=none'),
      'a key that sets the prototype': push('{"__proto__":{"prompts":[]}}'),
      'a key that sets the prototype, within a prompt': push(
        '{"prompts":[{"name":"new","content":"Text","config":{"__proto__":{"admin":true}}}]}',
      ),
      'a key that sets the prototype of the constructor': push(
        '{"prompts":[{"name":"new","content":"Text","config":{"constructor":{"prototype":{}}}}]}',
      ),
    }),
    ...refused(400, 'body.encoding', {
      'a body in Latin-1': push(Buffer.from('{"prompts":[{"name":"new","content":"café"}]}', 'latin1')),
      'a body in UTF-16': push(Buffer.concat([Buffer.from('"'), Buffer.from([0xff, 0xfe]), Buffer.from('"')])),
      'a body with half of a surrogate pair in UTF-8': push(Buffer.from('{"message":"\xed\xa0\x80","prompts":[]}', 'latin1')),
    }),
    ...refused(400, 'body.nesting', {
      'lists nested 10,000 deep': push('['.repeat(10_000) + ']'.repeat(10_000)),
      'objects nested 10,000 deep': push(`${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`),
      'lists nested 10,000 deep and never closed': push('['.repeat(10_000)),
      'JSON nested 65 deep': nested(maxLevels + 1),
    }),
    ...refused(422, 'text.invalid', {
      'NUL in a prompt name': pushPrompt({ name: 'a\0b' }),
      'NUL in a content': pushPrompt({ content: 'a\0b' }),
      'NUL in a key of config': pushPrompt({ config: { 'a\0b': 1 } }),
      'NUL in a value of metadata': pushPrompt({ metadata: { list: ['a\0b'] } }),
      'NUL in a message': push({ message: 'a\0b', prompts: [{ name: 'new', content: 'Text' }] }),
      'NUL in the path of a file': pushFile('a\0b.md'),
      'NUL in the name of a key': call('POST', '/keys', { name: 'a\0b', project, scopes: ['prompts:read'] }),
      'half of a surrogate pair in a content': push('{"prompts":[{"name":"new","content":"\\ud83d"}]}'),
      'half of a surrogate pair in a key of config': push('{"prompts":[{"name":"new","content":"Text","config":{"\\udc00":1}}]}'),
      'surrogates the wrong way round in a title': call('PATCH', '/prompts/greeting', '{"title":"\\ude00\\ud83d"}'),
      'an integer too large to be kept': push(
        '{"prompts":[{"name":"new","content":"Text","config":{"id":1098765432109876543}}]}',
      ),
      'a number too large to be kept': push('{"prompts":[{"name":"new","content":"Text","config":{"most":1e400}}]}'),
    }),
  ]
}

/** An empty list in lists: this many levels in all. */
function nestedLists(levels: number): unknown {
  let list: unknown[] = []
  for (let level = 1; level < levels; level += 1) list = [list]
  return list
}

/** Each field with values of a wrong type or out of its bounds; the finding names its place. */
function wrongFields(
  what: string,
  fields: Record<string, unknown[]>,
  place: (field: string) => string,
  request: (fields: object) => Request,
): Row[] {
  return Object.entries(fields).flatMap(([field, values]) =>
    values.flatMap((value) => invalid(place(field), { [`${what} with ${field} ${show(value)}`]: request({ [field]: value }) })),
  )
}

function show(value: unknown): string {
  const json = value === undefined ? 'left out' : JSON.stringify(value)
  return json.length > 60 ? `${json.slice(0, 40)}… (${json.length})` : json
}

const same = (field: string) => field
const notText = [1, ['x'], { x: 'x' }]

function fieldRows(): Row[] {
  const valid = { name: 'new', content: 'Text' }
  const bodies: Record<string, (body: unknown) => Request> = {
    'a push': (body) => push(body),
    'a change of a prompt': (body) => call('PATCH', '/prompts/greeting', body),
    'an alias move': (body) => call('PUT', '/aliases/new', body),
    'a canary': (body) => call('POST', '/canary', body),
    'a new project': (body) => call('POST', '/projects', body),
    'a change of a project': (body) => call('PATCH', `/projects/${project}`, body),
    'a new key': (body) => call('POST', '/keys', body),
  }
  return [
    ...Object.entries(bodies).flatMap(([what, request]) => [
      ...invalid(
        '',
        titled(['[]', '"text"', 'null'], (body) => [`${what} that is ${body}`, request(body)]),
      ),
      ...invalid('colour', { [`${what} with an unknown field`]: request({ colour: 'red' }) }),
    ]),
    ...invalid('version', { 'a rollback with an unknown field': call('POST', '/aliases/dev/rollback', { version: 'r1' }) }),
    ...invalid('percentage', {
      'a promotion with an unknown field': call('POST', '/canary/production/promote', { percentage: 1 }),
    }),
    ...invalid('prompts[0].colour', { 'a prompt with an unknown field': pushPrompt({ colour: 'red' }) }),
    ...invalid('content', { 'a change of a prompt that gives content': call('PATCH', '/prompts/greeting', { content: 'Text' }) }),
    ...pushFieldRows(valid),
    ...wrongFields(
      'a file',
      { path: [undefined, ...notText, null, '', 'x'.repeat(1_001)], content: [undefined, ...notText, null], colour: ['red'] },
      (field) => `files[0].${field}`,
      (fields) => push({ files: [{ path: 'new.md', content: 'Text', ...fields }] }),
    ),
    ...wrongFields(
      'a change of a prompt',
      { title: [...notText, 'x'.repeat(201)], description: notText, labels: ['x', [1], [''], null], metadata: ['x', [], null] },
      same,
      (fields) => call('PATCH', '/prompts/greeting', fields),
    ),
    ...wrongFields(
      'an alias move',
      {
        version: [undefined, ...notText, null, ''],
        prompt: [...notText, null, ''],
        reason: [...notText, null, 'x'.repeat(1_001)],
        dryRun: [1, 'true', null],
      },
      same,
      (fields) => call('PUT', '/aliases/new', { version: 'v1.0.0', ...fields }),
    ),
    ...wrongFields('a rollback', { reason: notText }, same, (fields) =>
      call('POST', '/aliases/tested/rollback?prompt=greeting', fields),
    ),
    ...wrongFields(
      'a canary',
      {
        alias: [undefined, ...notText, null, ''],
        version: [undefined, ...notText, null, ''],
        percentage: [undefined, null, true, '10', [10], 101, 100.01, -1, 0, 0.001, 0.014, 1.005, 33.333, 1e300],
        prompt: [...notText, null],
        reason: notText,
      },
      same,
      (fields) => call('POST', '/canary', { alias: 'dev', version: 'v1.0.0', percentage: 10, ...fields }),
    ),
    ...wrongFields(
      'a new project',
      {
        slug: [undefined, ...notText, null, '', 'Acme', '-acme', 'ac me', 'a_b', 'x'.repeat(64)],
        name: [...notText, 'x'.repeat(201)],
        settings: ['x', [], null, { publicRead: 'yes' }, { scan: 'maybe' }, { defaultAlias: 'Prod' }, { colour: 'red' }],
      },
      same,
      (fields) => call('POST', '/projects', { slug: 'new', ...fields }, { project: undefined }),
    ),
    ...wrongFields(
      'a change of a project',
      { slug: ['renamed'], name: notText, settings: ['x', null, { publicRead: null }, { scan: 1 }, { defaultAlias: 1 }] },
      same,
      (fields) => call('PATCH', `/projects/${project}`, fields),
    ),
    ...wrongFields(
      'a new key',
      {
        name: [undefined, ...notText, null, '', 'x'.repeat(101)],
        project: [...notText, '', 'Acme'],
        scopes: [undefined, null, 'admin', [], [1], ['root'], ['prompts:read', 'prompts']],
        expiresAt: [1, true, '', 'tomorrow', '2030-01-01', '2030-13-01T00:00:00Z'],
      },
      same,
      (fields) => call('POST', '/keys', { name: 'new', project, scopes: ['prompts:read'], ...fields }),
    ),
  ]
}

function pushFieldRows(valid: object): Row[] {
  const message = { role: 'user', content: 'Text' }
  const variant = { tags: { tone: 'formal' }, content: 'Text' }
  const inPrompt = (path: string) => (field: string) => `prompts[0].${path}${field}`
  return [
    ...wrongFields(
      'a push',
      {
        version: [...notText, null, ''],
        alias: [...notText, null, ''],
        base: [...notText, null, ''],
        prune: [1, 'true', null],
        dryRun: [1, 'false', null],
        message: [...notText, null, 'x'.repeat(2_001)],
        template: [...notText, null, 'handlebars'],
        git: [...notText, null],
        prompts: ['x', {}, null, 1],
        files: ['x', {}, null, 1],
      },
      same,
      (fields) => push({ prompts: [valid], ...fields }),
    ),
    ...invalid('prompts', { 'a push of 20,001 prompts': push({ prompts: Array.from({ length: 20_001 }, () => 0) }) }),
    ...wrongFields(
      'a list of prompts',
      { '[0]': [1, 'x', null, [], true] },
      () => 'prompts[0]',
      (fields) => push({ prompts: Object.values(fields) }),
    ),
    ...wrongFields(
      'a list of files',
      { '[0]': [1, 'x', null, [], true] },
      () => 'files[0]',
      (fields) => push({ files: Object.values(fields) }),
    ),
    ...wrongFields(
      'git',
      {
        commit: [undefined, ...notText, null, 'a'.repeat(39), 'a'.repeat(41), `${'a'.repeat(39)}g`, 'main'],
        repo: notText,
        branch: notText,
        dirty: [1, 'no'],
        colour: ['red'],
      },
      (field) => `git.${field}`,
      (fields) => push({ prompts: [valid], git: { commit: 'a'.repeat(40), ...fields } }),
    ),
    ...wrongFields(
      'a prompt',
      {
        name: [undefined, ...notText, null],
        title: [...notText, 'x'.repeat(201)],
        description: [...notText, 'x'.repeat(10_001)],
        labels: ['x', {}, null, [1], [''], ['x'.repeat(101)], Array.from({ length: 51 }, () => 'x')],
        metadata: ['x', [], null, { text: 'x'.repeat(65_536) }],
        content: [undefined, ...notText, null],
        messages: [[message]],
        template: [...notText, 'mustache'],
        config: ['x', [], null, 1],
        inputs: ['x', [], 1],
        variants: ['x', {}, null, [1], [null], ['x']],
      },
      (field) => (field === 'messages' ? 'prompts[0]' : `prompts[0].${field}`),
      (fields) => push({ prompts: [{ ...valid, ...fields }] }),
    ),
    ...wrongFields(
      'a chat prompt',
      { messages: ['x', {}, [], [1], [null], Array.from({ length: 501 }, () => message)], variants: [[variant]] },
      inPrompt(''),
      (fields) => push({ prompts: [{ name: 'new', messages: [message], ...fields }] }),
    ),
    ...wrongFields(
      'a message',
      { role: [undefined, ...notText, null, '', 'User', 'the user'], content: [undefined, ...notText, null], colour: ['red'] },
      inPrompt('messages[0].'),
      (fields) => push({ prompts: [{ name: 'new', messages: [{ ...message, ...fields }] }] }),
    ),
    ...wrongFields(
      'a variant',
      {
        tags: [
          undefined,
          'x',
          [],
          null,
          {},
          { tone: 1 },
          { tone: null },
          { tone: '' },
          { '': 'x' },
          { 'a:b': 'x' },
          { ['x'.repeat(65)]: 'x' },
          { tone: 'x'.repeat(257) },
        ],
        content: [undefined, ...notText, null],
        messages: [[message]],
        colour: ['red'],
      },
      (field) => (field === 'messages' || field === 'content' ? 'prompts[0].variants[0]' : `prompts[0].variants[0].${field}`),
      (fields) => push({ prompts: [{ ...valid, variants: [{ ...variant, ...fields }] }] }),
    ),
    ...invalid('prompts[0].variants[1].tags', {
      'two variants of equal tags': pushPrompt({ variants: [variant, { ...variant, content: 'Other' }] }),
      'two variants of equal tags in another order': pushPrompt({
        variants: [
          { tags: { tone: 'formal', locale: 'cn' }, content: 'One' },
          { tags: { locale: 'cn', tone: 'formal' }, content: 'Two' },
        ],
      }),
      'two variants of one locale in another case': pushPrompt({
        variants: [
          { tags: { locale: 'en-US' }, content: 'One' },
          { tags: { locale: 'en-us' }, content: 'Two' },
        ],
      }),
    }),
  ]
}

const badNames = {
  empty: '',
  'upper case': 'Greeting',
  'with a leading dot': '.greeting',
  'with a leading dash': '-greeting',
  'with a leading underscore': '_greeting',
  'with an empty segment': 'a//b',
  'with a leading slash': '/a',
  'with a trailing slash': 'a/',
  'that climbs up': '../a',
  'that climbs up in the middle': 'a/../b',
  'with a space': 'a b',
  'with a line break': 'a\n',
  'with a colon': 'a:b',
  'with a backslash': 'a\\b',
  'with a percent sign': 'a%2Fb',
  'with an emoji': 'a😀',
  'of 201 characters': 'x'.repeat(201),
  'with a ligature, which NFKC undoes': 'ﬁle',
  'with a full-width letter, which NFKC undoes': 'ａ',
  'with a decomposed letter, which NFKC composes': 'cafe\u0301',
}
const badAliases = ['Prod', '1st', '-x', '.x', '_x', 'a b', 'a/b', 'ä', 'a+b', 'x'.repeat(64)]
const badLabels = ['-v', '.v', '_v', 'v 1', 'v/1', 'ü', 'v1:0', 'x'.repeat(64)]

function nameRows(): Row[] {
  const reservedName = (place: string, requests: Record<string, Request>) => refused(422, 'name.reserved', requests, { place })
  const prompts = [{ name: 'new', content: 'Text' }]
  return [
    ...invalid(
      'prompts[0].name',
      titled(Object.entries(badNames), ([what, name]) => [`a prompt name ${what}`, pushPrompt({ name })]),
    ),
    ...invalid(
      'name',
      titled(Object.entries(badNames), ([what, name]) => [
        `a prompt name ${what}, in a URL`,
        get(`/prompts/${segment(name)}/latest`),
      ]),
    ),
    ...invalid('name', {
      'a prompt to be archived, off its grammar': call('DELETE', '/prompts/Greeting'),
      'a prompt to be changed, off its grammar': call('PATCH', '/prompts/Greeting', { title: 'x' }),
    }),
    ...invalid('prompt', {
      'a prompt of a pin, off its grammar': call('PUT', '/aliases/tested', { prompt: 'Greeting', version: 'v1' }),
    }),
    ...refused(422, 'validation.failed', {
      'dots as a prompt name': { raw: http('GET /prompts/../latest', `X-API-Key: ${service.adminKey}\r\n`) },
      'a prompt name of 3,000 characters, in a URL': get(`/prompts/${'x'.repeat(3_000)}/latest`),
      'a prompt name of 12,000 characters, in a URL': get(`/prompts/${'x'.repeat(12_000)}/latest`),
      'NUL as a prompt name, in a URL': get('/prompts/%00/latest'),
    }),
    ...invalid(
      'alias',
      titled(badAliases, (alias) => [`an alias ${show(alias)}, of a push`, push({ alias, prompts })]),
    ),
    ...invalid(
      'alias',
      titled(badAliases, (alias) => [
        `an alias ${show(alias)}`,
        call('PUT', `/aliases/${segment(alias)}`, { version: 'v1.0.0' }),
      ]),
    ),
    ...invalid(
      'version',
      titled(badLabels, (version) => [`a label ${show(version)}`, push({ version, prompts })]),
    ),
    ...invalid(
      'ref',
      titled(badLabels, (ref) => [`a ref ${show(ref)}`, get(`/prompts/greeting/${segment(ref)}`)]),
    ),
    ...invalid('alias', { 'an alias to be shown, off its grammar': get('/aliases/Prod') }),
    ...invalid('ref', { 'a release off its grammar': get('/releases/v%201') }),
    ...invalid('base', { 'a base off its grammar': push({ base: 'v 1', prompts }) }),
    ...reservedName(
      'alias',
      titled(reserved, (alias) => [`the alias ${alias}, of a push`, push({ alias, prompts })]),
    ),
    ...reservedName(
      'alias',
      titled(reserved, (alias) => [`the alias ${alias}`, call('PUT', `/aliases/${alias}`, { version: 'v1.0.0' })]),
    ),
    ...reservedName(
      'version',
      titled(reserved, (version) => [`the label ${version}`, push({ version, prompts })]),
    ),
    ...reservedName('alias', { 'the pin latest': call('PUT', '/aliases/latest', { version: 'v1', prompt: 'greeting' }) }),
    ...reservedName('settings.defaultAlias', {
      'the default alias latest': call('PATCH', `/projects/${project}`, { settings: { defaultAlias: 'latest' } }),
    }),
  ]
}

function contentRows(): Row[] {
  const large = 'x'.repeat(maxContentBytes + 1)
  /** Few characters, many bytes. */
  const wide = '客'.repeat(Math.floor(maxContentBytes / 3) + 1)
  const chat = { content: undefined, messages: [{ role: 'user', content: large }] }
  return [
    ...naming(/256 KiB/, 422, 'content.too_large', {
      'a content over 256 KiB': pushPrompt({ content: large }),
      'a content over 256 KiB in few characters': pushPrompt({ content: wide }),
      'a content over 256 KiB that is no template': pushPrompt({ content: large, template: 'none' }),
      'a message over 256 KiB': pushPrompt(chat),
      'a variant over 256 KiB': pushPrompt({ variants: [{ tags: { tone: 'formal' }, content: wide }] }),
      'a config over 256 KiB': pushPrompt({ config: { text: large } }),
      'inputs over 256 KiB': pushPrompt({ inputs: { description: wide } }),
    }),
    ...naming(/long\.txt.*256 KiB/, 422, 'content.too_large', {
      'a file with a content over 256 KiB': pushFile('long.txt', large),
    }),
    ...refused(
      422,
      'template.syntax',
      { 'a template that is never closed': pushPrompt({ content: 'One\nTwo {{ name' }) },
      { detail: /"new".*line 2, column 5/, place: 'prompts[0].content' },
    ),
    ...naming(/line 1, column \d.*shout/, 422, 'template.syntax', {
      'a template with an unknown tag': pushPrompt({ content: '{% shout %}' }),
    }),
    ...naming(/line 1, column 1.*endif/, 422, 'template.syntax', {
      'a template with an if without an end': pushPrompt({ content: '{% if x %}Text' }),
    }),
    ...refused(
      422,
      'template.syntax',
      { 'a template error in a variant': pushPrompt({ variants: [{ tags: { tone: 'formal' }, content: '{{ }}' }] }) },
      { place: 'prompts[0].variants[0].content' },
    ),
    ...refused(
      422,
      'template.syntax',
      { 'a template error in a message': pushPrompt({ content: undefined, messages: [{ role: 'user', content: '{{ a b }}' }] }) },
      { place: 'prompts[0].messages[0].content' },
    ),
    ...naming(/letter\.j2.*line 1, column 1/, 422, 'template.syntax', {
      'a template error in a file': pushFile('letter.j2', '{{ a'),
    }),
    ...refused(422, 'template.unsupported', {
      'an include of what a variable names': pushPrompt({ content: '{% include greeting %}' }),
      'an extends of what is calculated': pushPrompt({ content: '{% extends "greet" ~ "ing" %}' }),
      'a filter that there is not': pushPrompt({ content: '{{ a|nofilter }}' }),
      'a test that there is not': pushPrompt({ content: '{{ a is notest }}' }),
    }),
    ...refused(422, 'include.not_found', {
      'an include of what is not there': pushPrompt({ content: '{% include "nowhere" %}' }),
      'an extends of what is not there': pushPrompt({ content: '{% extends "nowhere" %}' }),
      'an import of what is not there': pushPrompt({ content: '{% import "nowhere" as g %}' }),
      'an import of a name from what is not there': pushPrompt({ content: '{% from "nowhere" import g %}' }),
      'an include of an alias': pushPrompt({ content: '{% include "greeting@production" %}' }),
      'an include of the latest version': pushPrompt({ content: '{% include "greeting@latest" %}' }),
      'an include of a version that is not there': pushPrompt({ content: '{% include "greeting@v99" %}' }),
    }),
    ...refused(422, 'include.unfit', { 'an include of a chat prompt': pushPrompt({ content: '{% include "chat" %}' }) }),
    ...refused(422, 'include.cycle', { 'an include of itself': pushPrompt({ content: '{% include "new" %}' }) }),
    ...refused(422, 'inputs.schema', {
      'inputs with a pattern': pushPrompt({ inputs: { properties: { a: { type: 'string', pattern: 'x' } } } }),
      'inputs with a reference elsewhere': pushPrompt({ inputs: { properties: { a: { $ref: 'https://example.com/a' } } } }),
      'inputs of an unknown type': pushPrompt({ inputs: { properties: { a: { type: 'text' } } } }),
    }),
    ...invalid('prompts[0].messages[0]', {
      'a placeholder that is no name': pushPrompt({ content: undefined, messages: [{ placeholder: 'my history' }] }),
      'a placeholder with a role': pushPrompt({ content: undefined, messages: [{ placeholder: 'history', role: 'user' }] }),
      'a message without content': pushPrompt({ content: undefined, messages: [{ role: 'user' }] }),
    }),
    ...refused(422, 'template.too_complex', {
      'brackets nested 10,000 deep in a template': pushPrompt({ content: `{{ ${'('.repeat(10_000)} }}` }),
      'a template of 20,000 tags': pushPrompt({ content: '{{ a }}'.repeat(20_000) }),
    }),
    ...naming(/script/, 422, 'content.blocked', {
      'a script where the project blocks it': push({ prompts: [{ name: 'new', content: '<script>' }] }, { project: 'strict' }),
    }),
    ...refused(406, 'representation.unavailable', {
      'a chat prompt as plain text': get('/prompts/chat/latest', { headers: { accept: 'text/plain' } }),
    }),
  ]
}

function fileRows(): Row[] {
  const files = (...paths: string[]) => push({ files: paths.map((path) => ({ path, content: 'Text' })) })
  const bomb = [
    'a: &a [x, x, x, x, x, x, x, x, x]',
    ...[...'bcdefgh'].map((name, index) => `${name}: &${name} [${`*${'abcdefg'[index]}, `.repeat(9)}]`),
  ].join('\n')
  return [
    ...refused(
      422,
      'file.invalid',
      {
        'a file path that climbs up': pushFile('../a.md'),
        'a file path that climbs up in the middle': pushFile('a/../b.md'),
        'a file path that climbs up in full-width dots': pushFile('a/．．/b.md'),
        'a file path with a dot segment': pushFile('./a.md'),
        'a file path with an empty segment': pushFile('a//b.md'),
        'an absolute file path': pushFile('/etc/a.md'),
        'an absolute file path of Windows': pushFile('C:/a.md'),
        'a file path with backslashes': pushFile('a\\b.md'),
        'a file path that makes no name': pushFile('---.md'),
        'a file without a name': pushFile('.md'),
        'a file path that makes a name of 201 characters': pushFile(`${'x'.repeat(201)}.md`),
        'a file over 512 KiB': pushFile('a.md', 'x'.repeat(512 * 1024 + 1)),
      },
      { detail: /File "/, place: 'files[0]' },
    ),
    ...refused(
      422,
      'file.unsupported',
      {
        'a file of an unknown format': pushFile('a.docx'),
        'a file without an extension': pushFile('Makefile'),
        'a file whose extension is a word of JavaScript': pushFile('a.constructor'),
      },
      { place: 'files[0]' },
    ),
    ...naming(/"a\.md".*"a\.txt".*"a"/, 422, 'file.collision', { 'two files of one name': files('a.md', 'b.md', 'a.txt') }),
    ...naming(/"A\.md".*"a\.md"/, 422, 'file.collision', { 'two files of one name in another case': files('A.md', 'a.md') }),
    ...naming(/"my note\.md".*"my-note\.md"/, 422, 'file.collision', {
      'two files whose paths make one name': files('my note.md', 'my-note.md'),
    }),
    ...naming(/prompts\[0\].*"a\.md".*"a"/, 422, 'prompt.duplicate', {
      'a file and a prompt of one name': push({
        prompts: [{ name: 'a', content: 'Text' }],
        files: [{ path: 'a.md', content: 'Text' }],
      }),
    }),
    ...naming(/prompts\[0\].*prompts\[1\].*"a"/, 422, 'prompt.duplicate', {
      'two prompts of one name': push({ prompts: ['One', 'Two'].map((content) => ({ name: 'a', content })) }),
    }),
    ...naming(/a\.yaml.*line [34]/, 422, 'file.invalid', {
      'broken YAML': pushFile('a.yaml', 'name: a\ncontent: text\nlabels: [a\n'),
    }),
    ...naming(/a\.yaml.*line 2/, 422, 'file.invalid', {
      'YAML with a key twice': pushFile('a.yaml', 'content: a\ncontent: b\n'),
    }),
    ...naming(/a\.md.*line [234]/, 422, 'file.invalid', {
      'broken YAML as front matter': pushFile('a.md', '---\ntitle: "a\n---\nText'),
    }),
    ...refused(422, 'file.invalid', {
      'YAML that is text alone': pushFile('a.yaml', 'Just text'),
      'YAML that is empty': pushFile('a.yaml', ''),
      'YAML without content': pushFile('a.yaml', 'name: a'),
      'YAML of two documents': pushFile('a.yaml', 'content: a\n---\ncontent: b\n'),
      'YAML with a tag that makes an object of JavaScript': pushFile('a.yaml', 'content: !!js/function "function () {}"'),
      'YAML that expands without end': pushFile('a.yaml', `content: Text\n${bomb}\n`),
      'YAML that holds itself': pushFile('a.yaml', 'content: Text\nmetadata: &m\n  m: *m\n'),
      'YAML nested 65 deep': pushFile('a.yaml', `content: Text\nconfig: { list: ${'['.repeat(63)}${']'.repeat(63)} }`),
      'YAML nested 100,000 deep': pushFile('a.yaml', `content: Text\nconfig: ${'['.repeat(100_000)}`),
      'YAML with NUL': pushFile('a.yaml', 'content: "a\\0b"'),
      'YAML with half of a surrogate pair': pushFile('a.yaml', 'content: "a\\ud83d"'),
      'YAML with infinity': pushFile('a.yaml', 'content: Text\nconfig: { temperature: .inf }'),
      'YAML with a key that sets the prototype': pushFile('a.yaml', 'content: Text\nconfig: { __proto__: { admin: true } }'),
      'YAML with a key that sets the prototype of the whole': pushFile('a.yaml', 'content: Text\n__proto__: { admin: true }'),
    }),
    ...refused(
      422,
      'validation.failed',
      {
        'a file with content that is no text': pushFile('a.yaml', 'content: 5'),
        'a file with content and messages': pushFile('a.yaml', 'content: Text\nmessages: [{ role: user, content: Text }]'),
        'a file with labels that are no list': pushFile('a.yaml', 'content: Text\nlabels: support'),
      },
      { detail: /a\.yaml/, place: 'files[0]' },
    ),
  ]
}

function conflictRows(): Row[] {
  const prompts = [{ name: 'new', content: 'Text' }]
  return [
    ...refused(422, 'push.empty', {
      'a push of nothing': push({}),
      'a push of empty lists': push({ prompts: [], files: [] }),
      'a push of a label alone': push({ version: 'v9.9.9' }),
      'a push that prunes everything': push({ prune: true, prompts: [] }),
    }),
    ...naming(/"v1\.0\.0"/, 409, 'label.taken', {
      'a label with other content': push({ version: 'v1.0.0', prompts: [{ name: 'greeting', content: 'Another' }] }),
      'a label with another prompt': push({ version: 'v1.0.0', prompts }),
      'a label with less content, pruned': push({
        version: 'v1.0.0',
        prune: true,
        prompts: [{ name: 'greeting', content: 'Hi {{ name }}' }],
      }),
      'a label with other content, dry': push({ version: 'v1.0.0', dryRun: true, prompts }),
    }),
    ...naming(/"dev"/, 409, 'label.taken', { 'a label with the name of an alias': push({ version: 'dev', prompts }) }),
    ...naming(/"tested"/, 409, 'label.taken', { 'a label with the name of a pin': push({ version: 'tested', prompts }) }),
    ...naming(/"beta"/, 409, 'label.taken', {
      'a label and an alias that are equal': push({ version: 'beta', alias: 'beta', prompts }),
    }),
    ...naming(/"v1\.0\.0"/, 409, 'alias.taken', {
      'an alias with the name of a label': call('PUT', '/aliases/v1.0.0', { version: 'r3' }),
      'a pin with the name of a label': call('PUT', '/aliases/v1.0.0', { version: 'v1', prompt: 'greeting' }),
      'an alias with the name of a label, of a push': push({ alias: 'v1.0.0', prompts }),
    }),
    ...naming(new RegExp(`${commits.first}.*${commits.second}`), 409, 'commit.ambiguous', {
      'an ambiguous commit as a ref': get('/prompts/greeting/abcdef0'),
      'an ambiguous commit in upper case': get('/prompts/greeting/ABCDEF0'),
      'an ambiguous commit as a release': get('/releases/abcdef0'),
      'an ambiguous commit as the target of an alias': call('PUT', '/aliases/new', { version: 'abcdef0' }),
      'an ambiguous commit as the target of a pin': call('PUT', '/aliases/new', { version: 'abcdef0', prompt: 'greeting' }),
      'an ambiguous commit as the target of a canary': call('POST', '/canary', {
        alias: 'dev',
        version: 'abcdef0',
        percentage: 1,
      }),
      'an ambiguous commit as the base of a push': push({ base: 'abcdef0', prompts }),
    }),
    ...naming(/"acme"/, 409, 'project.exists', {
      'a project that exists': call('POST', '/projects', { slug: project }, { project: undefined }),
    }),
  ]
}

function aliasRows(): Row[] {
  const prompts = [{ name: 'new', content: 'Text' }]
  const ifMatch = (revision: string) => ({ headers: { 'if-match': revision } })
  const malformed = ['1', '"x"', '""', '"-1"', '"1" "2"', '"1",', 'revision 1']
  return [
    ...refused(409, 'canary.same_target', {
      'a canary on the target of its alias': call('POST', '/canary', { alias: 'dev', version: 'r3', percentage: 10 }),
      'a canary on the target of its alias by another name': call('POST', '/canary', {
        alias: 'dev',
        version: 'dev',
        percentage: 10,
      }),
      'a canary on the target of its pin': call('POST', '/canary', {
        alias: 'tested',
        version: 'v2',
        percentage: 10,
        prompt: 'greeting',
      }),
    }),
    ...refused(
      409,
      'canary.active',
      {
        'a move under a canary': call('PUT', '/aliases/production', { version: 'r3' }),
        'a move to the target of the canary': call('PUT', '/aliases/production', { version: 'v2.0.0' }),
        'a move of a pin under a canary': call('PUT', '/aliases/tested', { version: 'v1', prompt: 'greeting' }),
        'a dry move under a canary': call('PUT', '/aliases/production', { version: 'r3', dryRun: true }),
        'a push that moves an alias under a canary': push({ alias: 'production', prompts }),
        'a dry push that moves an alias under a canary': push({ alias: 'production', dryRun: true, prompts }),
      },
      { detail: /promote/i },
    ),
    ...naming(/"dev"/, 409, 'rollback.empty', { 'a rollback to nothing': call('POST', '/aliases/dev/rollback') }),
    ...refused(412, 'alias.moved', {
      'a move that lost': call('PUT', '/aliases/dev', { version: 'v1.0.0' }, ifMatch('"7"')),
      'a move that lost to one of several': call('PUT', '/aliases/dev', { version: 'v1.0.0' }, ifMatch('"7", "8"')),
      'a dry move that lost': call('PUT', '/aliases/dev', { version: 'v1.0.0', dryRun: true }, ifMatch('"7"')),
      'a move of an alias that does not exist, by revision': call('PUT', '/aliases/new', { version: 'v1.0.0' }, ifMatch('"1"')),
      'a move of an alias that does not exist, by *': call('PUT', '/aliases/new', { version: 'v1.0.0' }, ifMatch('*')),
      'a move of an alias that was deleted': call('PUT', '/aliases/gone', { version: 'v1.0.0' }, ifMatch('"2"')),
      'a push whose move lost': push({ alias: 'dev', prompts }, ifMatch('"7"')),
      'a rollback that lost': call('POST', '/aliases/tested/rollback?prompt=greeting', undefined, ifMatch('"7"')),
      'a deletion that lost': call('DELETE', '/aliases/dev', undefined, ifMatch('"7"')),
      'a canary that lost': call('POST', '/canary', { alias: 'dev', version: 'v1.0.0', percentage: 1 }, ifMatch('"7"')),
      'an end of a canary that lost': call('DELETE', '/canary/production', undefined, ifMatch('"7"')),
      'a promotion that lost': call('POST', '/canary/production/promote', undefined, ifMatch('"7"')),
    }),
    ...malformed.flatMap((revision) =>
      invalid('if-match', {
        [`If-Match ${revision} of a move`]: call('PUT', '/aliases/dev', { version: 'v1.0.0' }, ifMatch(revision)),
        [`If-Match ${revision} of a push`]: push({ alias: 'dev', prompts }, ifMatch(revision)),
        [`If-Match ${revision} of a deletion`]: call('DELETE', '/aliases/dev', undefined, ifMatch(revision)),
      }),
    ),
    ...naming(/No alias/, 404, 'alias.not_found', {
      'an unknown alias': get('/aliases/new'),
      'the history of an unknown alias': get('/aliases/new/history'),
      'an alias that was deleted': get('/aliases/gone'),
      'a rollback of an unknown alias': call('POST', '/aliases/new/rollback'),
      'a rollback of an alias that was deleted': call('POST', '/aliases/gone/rollback'),
      'a deletion of an unknown alias': call('DELETE', '/aliases/new'),
      'a second deletion of an alias': call('DELETE', '/aliases/gone'),
      'a canary on an unknown alias': call('POST', '/canary', { alias: 'new', version: 'v1.0.0', percentage: 1 }),
      'a canary on an alias that was deleted': call('POST', '/canary', { alias: 'gone', version: 'v2.0.0', percentage: 1 }),
      'a canary on a pin that does not exist': call('POST', '/canary', {
        alias: 'dev',
        version: 'v1',
        percentage: 1,
        prompt: 'greeting',
      }),
      'a canary on a pin without its prompt': call('POST', '/canary', { alias: 'tested', version: 'v1.0.0', percentage: 1 }),
      'an end of the canary of an unknown alias': call('DELETE', '/canary/new'),
      'a promotion of an unknown alias': call('POST', '/canary/new/promote'),
    }),
    ...naming(/Did you mean "production"\?/, 404, 'alias.not_found', { 'a mistyped alias': get('/aliases/prodution') }),
    ...naming(/"dev"/, 404, 'canary.not_found', {
      'an end of a canary that is not running': call('DELETE', '/canary/dev'),
      'a promotion of a canary that is not running': call('POST', '/canary/dev/promote'),
    }),
    ...invalid('prompt', {
      'a move that names two prompts': call('PUT', '/aliases/tested?prompt=greeting', { version: 'v1', prompt: 'chat' }),
    }),
  ]
}

function refRows(): Row[] {
  const prompts = [{ name: 'new', content: 'Text' }]
  return [
    ...refused(404, 'release.not_found', {
      'a release that does not exist, by number': get('/releases/r99'),
      'a release that does not exist, by a huge number': get('/releases/r99999999999999999999'),
      'a release that does not exist, by label': get('/releases/v9.9.9'),
      'a release that does not exist, by commit': get(`/releases/${'f'.repeat(40)}`),
      'a release of a version number': get('/releases/v1'),
      'an alias to nothing': call('PUT', '/aliases/new', { version: 'nothing' }),
      'an alias to a release that does not exist': call('PUT', '/aliases/new', { version: 'r99' }),
      'an alias to the built-ins': call('PUT', '/aliases/new', { version: 'builtin' }),
      'a canary to nothing': call('POST', '/canary', { alias: 'dev', version: 'nothing', percentage: 1 }),
      'a base that does not exist': push({ base: 'nothing', prompts }),
      'a base that is a pin': push({ base: 'tested', prompts }),
      'a prompt of a release that does not exist': get('/prompts/greeting/r99'),
      'a prompt of a commit that does not exist': get(`/prompts/greeting/${'f'.repeat(40)}`),
    }),
    ...refused(404, 'ref.not_found', {
      'a version that does not exist': get('/prompts/greeting/v99'),
      'a version of a huge number': get('/prompts/greeting/v99999999999999999999'),
      'a pin to a version that does not exist': call('PUT', '/aliases/tested', { version: 'v99', prompt: 'greeting' }),
      'a canary of a pin to a version that does not exist': call('POST', '/canary', {
        alias: 'tested',
        version: 'v99',
        percentage: 1,
        prompt: 'greeting',
      }),
    }),
    ...naming(/"prodution".*"production"/, 404, 'alias.not_found', {
      'a prompt of an unknown alias': get('/prompts/greeting/prodution'),
    }),
    ...naming(/"folder\/note"/, 404, 'prompt.not_in_release', {
      'a prompt that the release lacks': get('/prompts/folder%2Fnote/r1'),
      'a prompt that the release of the alias lacks': get('/prompts/folder%2Fnote/staging'),
    }),
    ...naming(/"greetng"/, 404, 'prompt.not_found', {
      'an unknown prompt': get('/prompts/greetng/latest'),
      'an unknown prompt to be shown': get('/prompts/greetng'),
      'the versions of an unknown prompt': get('/prompts/greetng/versions'),
      'a change of an unknown prompt': call('PATCH', '/prompts/greetng', { title: 'x' }),
      'a deletion of an unknown prompt': call('DELETE', '/prompts/greetng'),
      'a pin of an unknown prompt': call('PUT', '/aliases/new', { version: 'v1', prompt: 'greetng' }),
      'the pin of an unknown prompt': get('/aliases/tested?prompt=greetng'),
      'a built-in that does not exist': get('/prompts/greetng/builtin'),
    }),
    ...refused(404, 'key.not_found', {
      'a key that does not exist': call('DELETE', '/keys/00000000-0000-4000-8000-000000000000'),
    }),
    ...invalid('id', { 'a key by its name': call('DELETE', '/keys/reader') }),
  ]
}

function queryRows({ cursors }: World): Row[] {
  const routes: Record<string, string[]> = {
    GET: [...lists, '/prompts/greeting', '/prompts/greeting/latest', '/aliases/dev', `/projects/${project}`, '/events'],
    POST: ['/prompts', '/aliases/dev/rollback', '/canary', '/canary/production/promote', '/projects', '/keys'],
    PUT: ['/aliases/dev'],
    PATCH: ['/prompts/greeting', `/projects/${project}`],
    DELETE: ['/prompts/greeting', '/aliases/dev', '/canary/production', '/keys/00000000-0000-4000-8000-000000000000'],
  }
  /** A good body of each write, so that nothing but the query is wrong. */
  const bodies: Record<string, object> = {
    '/prompts': { prompts: [{ name: 'new', content: 'Text' }] },
    '/canary': { alias: 'dev', version: 'v1.0.0', percentage: 1 },
    '/projects': { slug: 'new' },
    '/keys': { name: 'new', project, scopes: ['prompts:read'] },
    '/aliases/dev': { version: 'v1.0.0' },
    '/prompts/greeting': { title: 'New' },
    [`/projects/${project}`]: { name: 'New' },
  }
  const everyRoute = Object.entries(routes).flatMap(([method, paths]) => paths.map((path) => ({ method, path })))
  const limits = ['-1', 'abc', '1.5', '1e2', '', '%2050', '1000', '1&limit=2'].map((limit) => `/prompts?limit=${limit}`)
  const outOfBounds = lists.flatMap((path) => [`${path}?limit=0`, `${path}?limit=201`])
  return [
    ...invalid(
      'colour',
      titled(everyRoute, ({ method, path }) => [
        `an unknown query parameter of ${method} ${path}`,
        call(method, `${path}?colour=red`, method === 'GET' || method === 'DELETE' ? undefined : bodies[path]),
      ]),
    ),
    ...invalid(
      'limit',
      titled([...limits, ...outOfBounds], (path) => [path, get(path)]),
    ),
    ...invalid(
      'lastEventId',
      titled(['', 'x', '-1', '1e3', '1.0', '1.', '1.2.3', '9'.repeat(16), '1&lastEventId=2'], (id) => [
        `the id of an event ${id}`,
        get(`/events?lastEventId=${id}`),
      ]),
    ),
    ...invalid(
      'last-event-id',
      titled(['', 'x', '1, 2', '9'.repeat(16)], (id) => [
        `a Last-Event-ID ${id}`,
        get('/events', { headers: { 'last-event-id': id } }),
      ]),
    ),
    ...invalid('project', {
      'a project given twice to a list': get(`/prompts?project=${project}&project=${project}`),
      'a project given twice to a fetch': get(`/prompts/greeting/latest?project=${project}&project=${project}`),
      'a project given twice to a push': call('POST', `/prompts?project=${project}&project=${project}`, bodies['/prompts']),
    }),
    ...refused(422, 'validation.failed', {
      'a cursor given twice': get(`/prompts?cursor=${cursors['/prompts']}&cursor=${cursors['/prompts']}`),
      'a search given twice': get('/prompts?search=a&search=b'),
      'a search for nothing': get('/prompts?search='),
      'a search for NUL': get('/prompts?search=%00'),
      'a search of 201 characters': get(`/prompts?search=${'x'.repeat(201)}`),
      'a label of prompts given twice': get('/prompts?label=a&label=b'),
      'a prompt of aliases given twice': get('/aliases?prompt=chat&prompt=greeting'),
      'a prompt of aliases off its grammar': get('/aliases?prompt=Greeting'),
      'a prompt of canaries off its grammar': get('/canary?prompt=Greeting'),
      'an action of the audit given twice': get('/audit?action=a&action=b'),
      'a key of a fetch given twice': get('/prompts/greeting/latest?key=a&key=b'),
      'an empty key of a fetch': get('/prompts/greeting/latest?key='),
      'a key of 1,025 characters': get(`/prompts/greeting/latest?key=${'x'.repeat(1_025)}`),
      'a canary that is on': get('/prompts/greeting/latest?canary=on'),
      'a canary off twice': get('/prompts/greeting/latest?canary=off&canary=off'),
      'a fallback that is unknown': get('/prompts/greeting/latest?fallback=none'),
      'the fields of another kind of query': get('/prompts/greeting/latest?limit=5'),
      'a query that sets the prototype': get('/prompts?__proto__=x'),
    }),
    ...invalid('tag', {
      'a tag without a colon': get('/prompts/greeting/latest?tag=formal'),
      'a tag without a name': get('/prompts/greeting/latest?tag=:formal'),
      'a tag without a value': get('/prompts/greeting/latest?tag=tone:'),
      'an empty tag': get('/prompts/greeting/latest?tag='),
      'a tag given twice': get('/prompts/greeting/latest?tag=tone:formal&tag=tone:friendly'),
      'a tag given twice with one value': get('/prompts/greeting/latest?tag=tone:formal&tag=tone:formal'),
      'a tag given twice, unknown to the prompt': get('/prompts/greeting/latest?tag=__proto__:a&tag=__proto__:b'),
      '33 tags': get(`/prompts/greeting/latest?${Array.from({ length: 33 }, (_, index) => `tag=t${index}:x`).join('&')}`),
    }),
  ]
}

function cursorRows({ cursors }: World): Row[] {
  const cursorOf = (position: unknown) => Buffer.from(JSON.stringify(position)).toString('base64url')
  const sameShape: [list: string, other: string][] = [
    ['/prompts', '/projects'],
    ['/audit', '/prompts'],
    ['/releases/latest', '/audit'],
    ['/releases', '/prompts/greeting/versions'],
    ['/aliases/production/history', '/releases'],
    ['/aliases', '/keys'],
    ['/keys', '/canary'],
  ]
  return [
    ...refused(
      422,
      'cursor.invalid',
      titled(lists, (path) => [`a cursor of ${path} that is none`, get(`${path}?cursor=garbage`)]),
    ),
    ...refused(
      422,
      'cursor.invalid',
      titled(lists, (path) => [`an empty cursor of ${path}`, get(`${path}?cursor=`)]),
    ),
    ...refused(
      422,
      'cursor.invalid',
      titled(sameShape, ([path, other]) => [`a cursor of ${other} given to ${path}`, get(`${path}?cursor=${cursors[other]}`)]),
    ),
    ...refused(422, 'cursor.invalid', {
      'a cursor of an object': get(`/prompts?cursor=${cursorOf({ name: 'a' })}`),
      'a cursor of NUL': get(`/prompts?cursor=${cursorOf(['\0'])}`),
      'a cursor of a huge number': get(`/releases?cursor=${cursorOf([1e300])}`),
      'keys behind a year that no calendar has': get(
        `/keys?cursor=${cursorOf(['+275760-09-13T00:00:00.000Z', '00000000-0000-4000-8000-000000000000'])}`,
      ),
      'keys behind what is no date': get(`/keys?cursor=${cursorOf(['yesterday', '00000000-0000-4000-8000-000000000000'])}`),
      'aliases behind what is no id': get(`/aliases?cursor=${cursorOf(['dev', 'x'])}`),
      'audit behind what is no id': get(`/audit?cursor=${cursorOf(['x'])}`),
    }),
  ]
}

/** Every kind of write, good but for who asks. */
function writes(who: string, options: CallOptions): Record<string, Request> {
  return {
    [`a push ${who}`]: push({ prompts: [{ name: 'new', content: 'Text' }] }, options),
    [`a change of a prompt ${who}`]: call('PATCH', '/prompts/greeting', { title: 'x' }, options),
    [`a deletion of a prompt ${who}`]: call('DELETE', '/prompts/greeting', undefined, options),
    [`a move ${who}`]: call('PUT', '/aliases/dev', { version: 'v1.0.0' }, options),
    [`a rollback ${who}`]: call('POST', '/aliases/tested/rollback?prompt=greeting', undefined, options),
    [`a deletion of an alias ${who}`]: call('DELETE', '/aliases/dev', undefined, options),
    [`a canary ${who}`]: call('POST', '/canary', { alias: 'dev', version: 'v1.0.0', percentage: 1 }, options),
    [`an end of a canary ${who}`]: call('DELETE', '/canary/production', undefined, options),
    [`a promotion ${who}`]: call('POST', '/canary/production/promote', undefined, options),
    [`a change of a project ${who}`]: call('PATCH', `/projects/${project}`, { name: 'x' }, options),
    [`a new key ${who}`]: call('POST', '/keys', { name: 'new', project, scopes: ['prompts:read'] }, options),
  }
}

function accessRows({ keys }: World): Row[] {
  const prompts = [{ name: 'new', content: 'Text' }]
  const as = (authorization: string) => get('/prompts', { key: null, headers: { authorization } })
  return [
    ...refused(401, 'auth.required', {
      ...writes('without a key', { key: null }),
      'a read of a private project without a key': get('/prompts/greeting/latest', { key: null }),
      'a read of an unknown project without a key': get('/prompts/greeting/latest', { key: null, project: 'nowhere' }),
      'a read of a project off its grammar without a key': get('/prompts', { key: null, project: 'No Where' }),
      'a write to an unknown project without a key': push({ prompts }, { key: null, project: 'nowhere' }),
      'a new project without a key': call('POST', '/projects', { slug: 'new' }, { key: null, project: undefined }),
      'the keys without a key': get('/keys', { key: null }),
      'the audit without a key': get('/audit', { key: null, project: undefined }),
      'a body that is not JSON without a key': push('{', { key: null }),
      'a body over the limit without a key': push(' '.repeat(bodyLimitBytes + 1), { key: null }),
    }),
    ...refused(401, 'auth.invalid', {
      'a push with an unknown key': push({ prompts }, { key: `ps_${'x'.repeat(43)}` }),
      'a read with an unknown key': get('/prompts', { key: 'ps_unknown' }),
      'a read of a public project with an unknown key': get('/prompts', { key: 'ps_unknown', project: 'default' }),
      'an unknown key in X-API-Key': get('/prompts', { key: null, headers: { 'x-api-key': 'ps_unknown' } }),
      'Authorization without a scheme': as(keys.reader),
      'Authorization of another scheme': as('Basic cHM6eA=='),
      'Authorization without a key': as('Bearer'),
      'Authorization with two keys': as(`Bearer ${keys.reader} ${keys.reader}`),
      'a key with something behind it': get('/prompts', { key: `${keys.reader}x` }),
      'a key of 10,000 characters': get('/prompts', { key: 'x'.repeat(10_000) }),
    }),
    ...refused(401, 'auth.expired', {
      'a push with an expired key': push({ prompts }, { key: keys.expired }),
      'a push of what is no JSON with an expired key': push('{', { key: keys.expired }),
      'a read with an expired key': get('/prompts', { key: keys.expired }),
      'an unknown project with an expired key': get('/prompts', { key: keys.expired, project: 'nowhere' }),
    }),
    ...refused(401, 'auth.revoked', {
      'a push with a revoked key': push({ prompts }, { key: keys.revoked }),
      'a new key with a revoked key': call('POST', '/keys', { name: 'new', project, scopes: ['admin'] }, { key: keys.revoked }),
      'a read with a revoked key': get('/prompts', { key: keys.revoked }),
      'a read of a public project with a revoked key': get('/prompts', { key: keys.revoked, project: 'default' }),
    }),
    ...naming(/scope/, 403, 'scope.missing', writes('with a key that only reads', { key: keys.reader })),
    ...naming(/aliases:write/, 403, 'scope.missing', {
      'a push with an alias by a key that may not move one': push({ alias: 'dev', prompts }, { key: keys.writer }),
      'a dry push with an alias by a key that may not move one': push(
        { alias: 'dev', dryRun: true, prompts },
        { key: keys.writer },
      ),
      'a push with an alias and a bad prompt by a key that may not move one': push(
        { alias: 'dev', prompts: [{ name: 'New' }] },
        { key: keys.writer },
      ),
      'a push of nothing with an alias by a key that may not move one': push({ alias: 'dev' }, { key: keys.writer }),
      'a move by a key that only pushes': call('PUT', '/aliases/dev', { version: 'v1.0.0' }, { key: keys.writer }),
      'a canary by a key that only pushes': call(
        'POST',
        '/canary',
        { alias: 'dev', version: 'v1.0.0', percentage: 1 },
        { key: keys.writer },
      ),
    }),
    ...refused(403, 'scope.missing', {
      'a bad push by a key that only reads': push({}, { key: keys.reader }),
      'the keys by a key that only pushes': get('/keys', { key: keys.writer }),
      'the audit by a key that only pushes': get('/audit', { key: keys.writer }),
      'the projects by a key that only pushes': get('/projects', { key: keys.writer, project: undefined }),
      'a new project by a key that only pushes': call(
        'POST',
        '/projects',
        { slug: 'new' },
        { key: keys.writer, project: undefined },
      ),
    }),
    ...refused(403, 'scope.global', {
      'a global key made by a key of one project': call(
        'POST',
        '/keys',
        { name: 'new', scopes: ['admin'] },
        { key: keys.bound, project: undefined },
      ),
      'a project made by a key of one project': call(
        'POST',
        '/projects',
        { slug: 'new' },
        { key: keys.bound, project: undefined },
      ),
      'a project that exists made by a key of one project': call(
        'POST',
        '/projects',
        { slug: 'other' },
        { key: keys.bound, project: undefined },
      ),
    }),
  ]
}

function projectRows({ keys }: World): Row[] {
  const prompts = [{ name: 'new', content: 'Text' }]
  const inQuery = (path: string, header: string | undefined) => get(path, { project: header })
  return [
    ...refused(404, 'project.not_found', {
      ...writes('with a key of another project', { key: keys.other }),
      'a push to an unknown project': push({ prompts }, { project: 'nowhere' }),
      'a read with a key of another project': get('/prompts/greeting/latest', { key: keys.other }),
      'a read of an unknown project': get('/prompts/greeting/latest', { project: 'nowhere' }),
      'a change of an unknown project': call('PATCH', '/projects/nowhere', { name: 'x' }, { project: undefined }),
      'another project to be shown': get(`/projects/${project}`, { key: keys.other, project: undefined }),
      'the keys of another project': get('/keys', { key: keys.other }),
      'the audit of another project': get('/audit', { key: keys.other }),
      'a key for an unknown project': call(
        'POST',
        '/keys',
        { name: 'new', project: 'nowhere', scopes: ['admin'] },
        { project: undefined },
      ),
      'a key for another project': call(
        'POST',
        '/keys',
        { name: 'new', project, scopes: ['admin'] },
        { key: keys.other, project: undefined },
      ),
    }),
    ...refused(400, 'project.conflict', {
      'projects that differ in query and header': inQuery('/prompts?project=other', project),
      'projects that differ in query and header, one unknown': inQuery('/prompts?project=nowhere', project),
      'projects that differ in path and header': get(`/projects/${project}`, { project: 'other' }),
      'projects that differ in path and query': inQuery(`/projects/${project}?project=other`, undefined),
      'projects that differ within the query': inQuery(`/prompts?project=${project}&project=other`, undefined),
      'projects of a key that differ in body and header': call('POST', '/keys', {
        name: 'new',
        project: 'other',
        scopes: ['admin'],
      }),
    }),
    ...invalid('project', {
      'a project off its grammar in the header': get('/prompts', { project: 'ACME' }),
      'a project off its grammar in the query': inQuery('/prompts?project=a_b', undefined),
      'an empty project in the query': inQuery('/prompts?project=', undefined),
      'a project with NUL': inQuery('/prompts?project=%00', undefined),
      'a project of 64 characters': get('/prompts', { project: 'x'.repeat(64) }),
      'a list of projects in the header': get('/prompts', { project: `${project}, other` }),
    }),
    ...refused(422, 'validation.failed', {
      'a project off its grammar in the path': get('/projects/ACME', { project: undefined }),
    }),
  ]
}
