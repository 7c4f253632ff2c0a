import t, { type Test } from 'tap'
import { AppError } from '../../src/errors.js'
import type { Outbound } from '../../src/lib/outbound.js'
import { http } from '../../src/providers/http.js'
import { findKnown, readRevision, validatorsOf, writeRevision } from '../../src/providers/http-revision.js'
import { type Listing, maxRevisionLength, type ProviderContext } from '../../src/providers/provider.js'
import { type Files, type Peer, providerConforms } from './conformance.js'
import { providerContext } from './helpers/context.js'
import { type HttpPeer, startHttpPeer } from './helpers/http-peer.js'

providerConforms(t, {
  provider: http,
  makePeer: async (t): Promise<Peer> => {
    const peer = await startHttpPeer(t)
    const config = { manifest: `${peer.url}/manifest.json`, headers: { authorization: 'Bearer one-secret-of-many' } }
    peer.authorization = config.headers.authorization
    return {
      config,
      write: async (files) => {
        peer.files = files
      },
      breakDown: async (kind) => (kind === 'away' ? peer.leave() : peer.stall()),
      restore: peer.restore,
      wrongCredentials: { ...config, headers: { authorization: 'Bearer another-wrong-secret' } },
      echoSecrets: async () => {
        peer.answer = ({ headers }, response) => {
          const echo = `No ${headers.authorization}`
          response.writeHead(403, { 'x-why': echo, 'www-authenticate': echo }).end(echo)
        }
      },
    }
  },
})

const files: Files = { 'one.md': 'First.', 'deep/two.md': 'Second.', 'three.md': 'Third.' }

async function startFiles(t: Test, overrides: Partial<HttpPeer> = {}) {
  const peer = Object.assign(await startHttpPeer(t), { files, ...overrides })
  const statuses = () => peer.requests.splice(0).map(({ path, status }) => `${status} ${path}`)
  return { peer, config: { manifest: `${peer.url}/manifest.json` }, statuses }
}

async function listAll(t: Test, config: object, previous: string | null = null, overrides: Partial<ProviderContext> = {}) {
  const context = await providerContext(t, overrides)
  return { context, listing: await http.list(http.config.parse(config), previous, context) }
}

async function refused(t: Test, config: object, overrides: Partial<ProviderContext> = {}): Promise<AppError> {
  const context = await providerContext(t, overrides)
  const error = await http.list(http.config.parse(config), null, context).then(
    () => null,
    (error) => error,
  )
  if (!(error instanceof AppError)) throw new Error('It was to be refused.', { cause: error })
  return error
}

async function contents(config: object, listing: Listing, context: ProviderContext): Promise<Files> {
  if (listing.unchanged) throw new Error('Nothing was listed.')
  const found: Files = {}
  for await (const { path, bytes } of http.read(http.config.parse(config), listing.files, listing.revision, context))
    found[path] = String(bytes)
  return found
}

t.test('a URL is one file, which is called as its path ends', async (t) => {
  const { peer, statuses } = await startFiles(t, { files: { 'a b.md': 'One.' } })
  const config = { url: `${peer.url}/files/a%20b.md` }
  const { listing, context } = await listAll(t, config)
  t.match(listing, { unchanged: false, files: [{ path: 'a b.md', sizeBytes: 4 }] })
  t.same(await contents(config, listing, context), { 'a b.md': 'One.' })
  t.same(statuses(), ['200 /files/a b.md'])
  t.match((await listAll(t, config, listing.revision)).listing, { unchanged: true, revision: listing.revision })
  t.same(statuses(), ['304 /files/a b.md'])
})

for (const validators of ['etag', 'date'] as const) {
  t.test(`by ${validators} only what changed is sent, and read from where it was left`, async (t) => {
    const { peer, config, statuses } = await startFiles(t, { validators })
    const { listing } = await listAll(t, config)
    statuses()
    t.equal((await listAll(t, config, listing.revision)).listing.unchanged, true)
    t.same(statuses().filter((answer) => answer.startsWith('304 /files')).length, 3)
    peer.files = { ...files, 'three.md': 'Third, new.' }
    const next = await listAll(t, config, listing.revision)
    t.same(
      statuses().filter((answer) => answer.startsWith('200 /files')),
      ['200 /files/three.md'],
    )
    if (next.listing.unchanged || listing.unchanged) throw new Error('It changed.')
    const changed = { ...next.listing, files: next.listing.files.filter(({ path }) => path === 'three.md') }
    t.same(await contents(config, changed, next.context), { 'three.md': 'Third, new.' })
    t.same(statuses(), [], 'what was fetched is not fetched again')
    t.same(await contents(config, next.listing, next.context), peer.files)
    t.same(statuses().sort(), ['200 /files/deep/two.md', '200 /files/one.md'])
  })
}

t.test('without validators the bytes decide', async (t) => {
  const { peer, config, statuses } = await startFiles(t, { validators: 'none' })
  const { listing } = await listAll(t, config)
  t.equal((await listAll(t, config, listing.revision)).listing.unchanged, true)
  t.notOk(statuses().some((answer) => answer.startsWith('304')))
  peer.files = { ...files, 'one.md': 'first.' }
  t.equal((await listAll(t, config, listing.revision)).listing.unchanged, false)
})

t.test('a validator of one URL does not stand for another one', async (t) => {
  const { peer } = await startFiles(t)
  let target = 'one'
  peer.answer = ({ url, headers }, response) => {
    if (url === '/manifest.json') return void response.end(JSON.stringify({ files: [{ path: 'a.md', url: `/${target}` }] }))
    response.writeHead(headers['if-none-match'] === '"1"' ? 304 : 200, { etag: '"1"' }).end(headers['if-none-match'] ? '' : url)
  }
  const config = { manifest: `${peer.url}/manifest.json` }
  const { listing } = await listAll(t, config)
  target = 'two'
  t.equal((await listAll(t, config, listing.revision)).listing.unchanged, false)
})

t.test('what the workspace lost is fetched again, and refused if it changed', async (t) => {
  const { peer, config } = await startFiles(t)
  const { listing } = await listAll(t, config)
  t.same(await contents(config, listing, await providerContext(t)), files)
  peer.files = { ...files, 'one.md': 'first.' }
  await t.rejects(contents(config, listing, await providerContext(t)), { code: 'source.changed', message: /one\.md/ })
  peer.files = { 'three.md': 'Third.' }
  await t.rejects(contents(config, listing, await providerContext(t)), { code: 'source.changed' })
})

t.test('credentials go to the origin of the config, and to no other one', async (t) => {
  const other = await startHttpPeer(t)
  other.files = { 'far.md': 'Far.' }
  const peer = await startHttpPeer(t)
  peer.authorization = 'Bearer of-one-origin'
  peer.answer = ({ url }, response) => {
    const far = `${other.url}/files/far.md`
    const entries = [
      { path: 'near.md', url: '/near' },
      { path: 'far.md', url: far },
      { path: 'moved.md', url: '/moved' },
    ]
    if (url === '/manifest.json') response.end(JSON.stringify({ files: entries }))
    else if (url === '/moved') response.writeHead(302, { location: far }).end()
    else response.end('Near.')
  }
  const config = { manifest: `${peer.url}/manifest.json`, headers: { Authorization: 'Bearer of-one-origin' } }
  const { listing, context } = await listAll(t, config)
  t.same(await contents(config, listing, context), { 'near.md': 'Near.', 'far.md': 'Far.', 'moved.md': 'Far.' })
  t.equal(peer.requests.length, 3)
  for (const { headers } of peer.requests) t.equal(headers.authorization, 'Bearer of-one-origin')
  t.equal(other.requests.length, 2)
  for (const { headers } of other.requests) t.equal(headers.authorization, undefined)
})

t.test('what a manifest names is known to be learnt from it', async (t) => {
  const { config } = await startFiles(t)
  const inner = (await providerContext(t)).outbound
  const asked: (string | undefined)[] = []
  const send: Outbound['send'] = (url, request) => {
    asked.push(request.learntFrom)
    return inner.send(url, request)
  }
  await listAll(t, config, null, { outbound: { send, close: async () => undefined } })
  t.same(asked, [undefined, config.manifest, config.manifest, config.manifest])
})

t.test('at most six requests are under way, and when one fails no other begins', async (t) => {
  const { peer, config } = await startFiles(t)
  const names = Array.from({ length: 30 }, (_, index) => `${index}.md`)
  const waiting: (() => void)[] = []
  let most = 0
  peer.answer = ({ url }, response) => {
    if (url === '/manifest.json') return void response.end(JSON.stringify({ files: names }))
    waiting.push(() => response.writeHead(url === '/20.md' ? 500 : 200).end('Text.'))
    most = Math.max(most, waiting.length)
    if (waiting.length === 6) setImmediate(() => waiting.splice(0).map((answer) => answer()))
  }
  t.match(await refused(t, config), { code: 'source.unreachable', message: /"20\.md"/ })
  t.equal(most, 6)
  const begun = peer.requests.length
  t.ok(begun < names.length)
})

t.test('a manifest may be YAML, name files beside it, and give others a URL', async (t) => {
  const { peer, config } = await startFiles(t)
  const manifest = 'files:\n  - "a b#?.md"\n  - deep/客服.md\n  - { path: c.md, url: "../x/y?z=1" }\n'
  const paths: (string | undefined)[] = []
  peer.answer = ({ url }, response) => {
    paths.push(url)
    response.end(url === '/list/all' ? manifest : `Of ${url}`)
  }
  const { listing, context } = await listAll(t, { manifest: `${peer.url}/list/all` })
  t.same(Object.keys(await contents(config, listing, context)).sort(), ['a b#?.md', 'c.md', 'deep/客服.md'])
  t.same(paths.sort(), ['/list/a%20b%23%3F.md', '/list/all', `/list/deep/${encodeURIComponent('客服')}.md`, '/x/y?z=1'])
})

t.test('a manifest that is none, or names what cannot be, is refused with what is wrong', async (t) => {
  const { peer, config } = await startFiles(t)
  const cases: [manifest: string | Buffer, message: RegExp][] = [
    ['', /no list `files`/],
    ['<html><body>Not found</body></html>', /no list `files`/],
    ['{ "files": {} }', /no list `files`/],
    ['[ "a.md" ]', /no list `files`/],
    ['files: [a.md', /cannot be read.* line 1/],
    [Buffer.from([0xff, 0xfe, 0x00]), /UTF-8/],
    [JSON.stringify({ files: ['a.md', 1] }), /files\[1\].*neither/],
    [JSON.stringify({ files: ['../a.md'] }), /files\[0\].*"\.\."/],
    [JSON.stringify({ files: ['/etc/passwd'] }), /absolute/],
    [JSON.stringify({ files: ['a\\b.md'] }), /backslash/],
    [JSON.stringify({ files: ['a//b.md'] }), /empty/],
    [JSON.stringify({ files: [`${'a'.repeat(1_001)}`] }), /1000 characters/],
    [JSON.stringify({ files: ['a\u0007.md'] }), /control character|cannot be kept|stored/],
    [JSON.stringify({ files: ['a.md', 'a.md'] }), /"a\.md" twice/],
    [JSON.stringify({ files: [{ path: 'a.md', url: 'http://[' }] }), /URL is not valid/],
    [JSON.stringify({ files: [{ path: 'a.md', url: 'https://u:p@h/' }] }), /credentials/],
    [JSON.stringify({ files: [{ path: 'a.md', url: 7 }] }), /URL is not valid/],
  ]
  for (const [manifest, message] of cases) {
    peer.answer = (_, response) => response.end(manifest)
    t.match(await refused(t, config), { code: 'source.invalid', message }, String(manifest).slice(0, 60))
  }
  for (const url of ['file:///etc/passwd', 'http://169.254.169.254/latest', 'http://127.0.0.1:0/']) {
    peer.answer = (_, response) => response.end(JSON.stringify({ files: [{ path: 'a.md', url }] }))
    t.match(await refused(t, config), { code: 'source.blocked' }, url)
  }
  const many = Array.from({ length: 11 }, (_, index) => `${index}.md`)
  peer.answer = (_, response) => response.end(JSON.stringify({ files: many }))
  const limits = { files: 10, fileBytes: 1_000, totalBytes: 10_000 }
  t.match(await refused(t, config, { limits }), { code: 'source.too_large', message: /11 files; at most 10/ })
})

t.test('what a status means is said, with the file and when to try again', async (t) => {
  const { peer, config } = await startFiles(t)
  const cases: [status: number, fields: Record<string, string>, expected: object][] = [
    [401, {}, { code: 'source.denied' }],
    [403, {}, { code: 'source.denied' }],
    [404, {}, { code: 'source.missing' }],
    [410, {}, { code: 'source.missing' }],
    [429, { 'retry-after': '17' }, { code: 'source.limited', headers: { 'retry-after': '17' } }],
    [429, { 'retry-after': '99999999' }, { code: 'source.limited', headers: { 'retry-after': '3600' } }],
    [500, { 'retry-after': 'soon' }, { code: 'source.unreachable', headers: { 'retry-after': '60' } }],
    [503, {}, { code: 'source.unreachable' }],
    [204, {}, { code: 'source.invalid' }],
    [206, {}, { code: 'source.invalid' }],
    [304, {}, { code: 'source.invalid' }],
    [302, {}, { code: 'source.invalid' }],
    [418, {}, { code: 'source.invalid' }],
  ]
  for (const [status, fields, expected] of cases) {
    peer.answer = ({ url }, response) => {
      if (url === '/manifest.json') response.end('files: [only.md]')
      else response.writeHead(status, fields).end()
    }
    const error = await refused(t, config)
    t.match(error, expected, String(status))
    t.match(error.message, /"only\.md" at http:\/\/127\.0\.0\.1/)
  }
})

t.test('a config that cannot work is refused, with the field', async (t) => {
  const cases: [config: object, path: string][] = [
    [{}, 'url'],
    [{ url: 'https://a.example/a.md', manifest: 'https://a.example/m' }, 'url'],
    [{ url: 'https://a.example/' }, 'url'],
    [{ url: 'https://a.example/%2e%2e' }, 'url'],
    [{ url: 'https://a.example/a%2Fb.md' }, 'url'],
    [{ url: 'https://a.example/%ff.md' }, 'url'],
    [{ url: 'a.example/a.md' }, 'url'],
    [{ url: 'file:///etc/passwd' }, 'url'],
    [{ url: 'https://user:password@a.example/a.md' }, 'url'],
    [{ url: 'https://a.example/a.md#part' }, 'url'],
    [{ url: `https://a.example/${'a'.repeat(2_000)}.md` }, 'url'],
    [{ manifest: 'ftp://a.example/m' }, 'manifest'],
    [{ url: 'https://a.example/a.md', headers: { Host: 'b' } }, 'headers.Host'],
    [{ url: 'https://a.example/a.md', headers: { 'If-None-Match': '"1"' } }, 'headers.If-None-Match'],
    [{ url: 'https://a.example/a.md', headers: { 'a b': 'c' } }, 'headers.a b'],
    [{ url: 'https://a.example/a.md', headers: { a: 'b\r\nc: d' } }, 'headers.a'],
    [{ url: 'https://a.example/a.md', headers: { a: '客' } }, 'headers.a'],
    [
      { url: 'https://a.example/a.md', headers: Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`x-${n}`, 'y'])) },
      'headers',
    ],
  ]
  for (const [config, path] of cases) {
    const { error } = http.config.safeParse(config)
    t.ok(
      error?.issues.some((issue) => issue.path.join('.') === path),
      `${JSON.stringify(config).slice(0, 80)}: ${path}`,
    )
  }
})

t.test('a revision stays within its bound, and tells any number of files apart', async (t) => {
  const known = Array.from({ length: 5_000 }, (_, index) => ({
    path: `prompts/of-a-long-name/${index}.md`,
    hash: index.toString(16).padStart(64, '0'),
    sizeBytes: index,
    url: `https://files.example/${index}`,
    etag: `"${index}-${'e'.repeat(100)}"`,
    lastModified: null,
  }))
  const revision = writeRevision(known)
  t.ok(revision.length <= maxRevisionLength)
  const saved = readRevision(revision)
  t.same(findKnown(saved, known[7]?.path ?? '', known[7]?.url ?? ''), known[7])
  t.equal(findKnown(saved, known[4_999]?.path ?? '', known[4_999]?.url ?? ''), null)
  t.not(
    saved.digest,
    readRevision(writeRevision(known.map((file, index) => (index === 4_999 ? { ...file, hash: 'f' } : file)))).digest,
  )
  for (const text of [null, '', '{', '[]', '{"digest":1}', 'null', '{"digest":"","known":{"a":[]}}']) {
    t.same(readRevision(text), { digest: '', known: {} })
  }
  t.equal(findKnown(saved, '__proto__', ''), null)
})

t.test('a date is a validator only when the answer was given later than the second it names', async (t) => {
  const modified = 'Sat, 21 Nov 2026 10:00:00 GMT'
  const dated = (date: string) => validatorsOf({ 'last-modified': modified, date })
  t.same(dated('Sat, 21 Nov 2026 10:00:02 GMT'), { etag: null, lastModified: modified })
  t.same(dated('Sat, 21 Nov 2026 10:00:01 GMT'), { etag: null, lastModified: null })
  t.same(dated('no date'), { etag: null, lastModified: null })
  t.same(validatorsOf({ 'last-modified': modified }), { etag: null, lastModified: null })
  t.same(validatorsOf({ etag: 'W/"1"', 'last-modified': modified }), { etag: 'W/"1"', lastModified: null })
  t.same(validatorsOf({ etag: `"${'x'.repeat(300)}"` }), { etag: null, lastModified: null })
})
