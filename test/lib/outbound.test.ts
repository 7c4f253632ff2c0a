import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { createAllowedHosts } from '../../src/lib/allowed-hosts.js'
import { createOutbound, type OutboundOptions, type OutboundRequest } from '../../src/lib/outbound.js'
import { packageRoot } from '../../src/lib/package-root.js'
import type { Teardown } from '../helpers/service.js'

const fixture = (name: string) => readFile(join(packageRoot, 'test/fixtures/tls', `${name}.pem`))
const secret = 'Bearer a-secret-that-nobody-sees'

function outboundTo(t: Teardown, hosts: readonly string[], options: Partial<OutboundOptions> = {}) {
  const outbound = createOutbound({ allowedHosts: createAllowedHosts(hosts), ...options })
  t.teardown(() => outbound.close())
  return (url: string, request: Partial<OutboundRequest> = {}) =>
    outbound.send(url, { timeoutMs: 5_000, maxBytes: 100_000, signal: new AbortController().signal, ...request })
}

async function listening(t: Teardown, server: Server | ReturnType<typeof createTcpServer>): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  })
  return (server.address() as AddressInfo).port
}

/** A server and the requests that came to it. */
async function startServer(t: Teardown, listener: RequestListener) {
  const requests: { method: string; url: string; headers: Record<string, unknown>; body: string }[] = []
  const server = createHttpServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    requests.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body })
    listener(request, response)
  })
  const port = await listening(t, server)
  return { port, host: `127.0.0.1:${port}`, url: `http://127.0.0.1:${port}`, requests }
}

/** A server that says to each request what it is told to, as it stands. */
async function startRaw(t: Teardown, answer: (socket: Socket) => void) {
  const server = createTcpServer((socket) => {
    socket.once('data', () => answer(socket))
  })
  const port = await listening(t, server)
  return { host: `127.0.0.1:${port}`, url: `http://127.0.0.1:${port}` }
}

async function startTls(t: Teardown, certificate: string, listener: RequestListener = (_, response) => response.end('safe')) {
  const server = createHttpsServer({ key: await fixture('key'), cert: await fixture(certificate) }, listener)
  const port = await listening(t, server)
  return { host: `127.0.0.1:${port}`, url: `https://127.0.0.1:${port}` }
}

t.test('an answer comes with its status, its fields and the bytes of its body', async (t) => {
  const { url, host, requests } = await startServer(t, (_, response) => {
    response
      .writeHead(
        404,
        [
          ['X-One', 'a'],
          ['x-one', 'b'],
          ['ETag', '"1"'],
        ].flat(),
      )
      .end(Buffer.from([0, 255, 10]))
  })
  const send = outboundTo(t, [host])
  const answer = await send(`${url}/a%20b?c=d#e`, { headers: { accept: 'x/y' }, credentials: { Authorization: secret } })
  t.match(answer, { status: 404, headers: { 'x-one': 'a, b', etag: '"1"' }, body: Buffer.from([0, 255, 10]) })
  t.match(requests, [{ method: 'GET', url: '/a%20b?c=d', headers: { accept: 'x/y', authorization: secret } }])
  t.equal((await send(url, { method: 'HEAD' })).body.length, 0)
  await send(url, { method: 'POST', body: 'text', headers: { 'content-type': 'text/plain' } })
  t.match(requests[2], { method: 'POST', body: 'text', headers: { 'content-type': 'text/plain', 'content-length': '4' } })
})

t.test('what is compressed is decoded, within the same bound', async (t) => {
  const body = 'compressible '.repeat(1_000)
  const { url, host } = await startServer(t, (request, response) => {
    const [, encoding = '', size] = (request.url ?? '').split('/')
    const bytes = size === 'bomb' ? Buffer.alloc(2_000_000) : Buffer.from(body)
    const encoded = encoding === 'br' ? brotliCompressSync(bytes) : gzipSync(bytes)
    response.writeHead(200, { 'content-encoding': encoding }).end(size === 'cut' ? encoded.subarray(0, 12) : encoded)
  })
  const send = outboundTo(t, [host])
  for (const encoding of ['gzip', 'br', 'x-gzip', 'GZIP']) t.equal(String((await send(`${url}/${encoding}`)).body), body)
  for (const encoding of ['gzip', 'br']) {
    await t.rejects(send(`${url}/${encoding}/bomb`), { code: 'source.too_large' })
    await t.rejects(send(`${url}/${encoding}/cut`), { code: 'source.unreachable', message: /not whole/ })
  }
  await t.rejects(send(`${url}/zstd`), { code: 'source.invalid', message: /encoding/ })
  await t.rejects(send(`${url}/constructor`), { code: 'source.invalid', message: /encoding/ })
})

t.test('an address that is not public is not asked, however it is written', async (t) => {
  const { port, requests } = await startServer(t, (_, response) => response.end())
  const resolve = async (name: string) => [
    { address: name.startsWith('six') ? '::1' : '127.0.0.1', family: name.startsWith('six') ? 6 : 4 },
  ]
  const send = outboundTo(t, ['other.example', `127.0.0.1:${port + 1}`], { resolve })
  const hosts = [
    '127.0.0.1',
    'localhost',
    '127.1',
    '0x7f.1',
    '2130706433',
    '0177.0.0.1',
    '0.0.0.0',
    '[::1]',
    '[::ffff:127.0.0.1]',
  ]
  const others = [
    '[::ffff:7f00:1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
    '169.254.169.254',
    '10.0.0.1',
    'private.example',
    'six.example',
  ]
  for (const host of [...hosts, ...others]) {
    for (const scheme of ['http', 'https']) {
      await t.rejects(send(`${scheme}://${host}:${port}/x`), { code: 'source.blocked' }, `${scheme}://${host}`)
    }
  }
  t.same(requests, [])
})

t.test('what is no https or http URL, or holds credentials, is not asked', async (t) => {
  const send = outboundTo(t, ['127.0.0.1'])
  for (const url of ['file:///etc/passwd', 'ftp://127.0.0.1/', 'data:,x', 'gopher://127.0.0.1', 'http://127.0.0.1:0/']) {
    await t.rejects(send(url), { code: 'source.blocked' }, url)
  }
  for (const url of ['', '/path', 'https://', 'https://a b', 'http://127.0.0.1:65536/']) {
    await t.rejects(send(url), { code: 'source.invalid' }, url)
  }
  const rejected: Error = await send('http://user:hunter2secret@127.0.0.1/').then(fail, (error) => error)
  t.match(rejected, { code: 'source.blocked', message: /credentials/ })
  t.notMatch(inspect(rejected), /hunter2secret/)
  for (const name of ['Host', 'content-length', 'Transfer-Encoding', 'connection', 'proxy-authorization']) {
    await t.rejects(send('http://127.0.0.1/', { headers: { [name]: 'x' } }), { code: 'source.invalid' }, name)
  }
  await t.rejects(send('http://127.0.0.1:9/', { headers: { x: 'a\r\nhost: b' } }), { code: 'source.invalid' })
})

t.test('an allowed name is connected to where it was found to be, and is looked up once for a connection', async (t) => {
  const { port, requests } = await startServer(t, (_, response) => response.end('inner'))
  const asked: string[] = []
  const resolve = async (name: string) => {
    asked.push(name)
    return [{ address: asked.length === 1 ? '127.0.0.1' : '127.0.0.9', family: 4 }]
  }
  const send = outboundTo(t, [`inner.example:${port}`], { resolve })
  t.equal(String((await send(`http://inner.example:${port}/`)).body), 'inner')
  t.same(asked, ['inner.example'])
  t.match(requests, [{ headers: { host: `inner.example:${port}` } }])
})

t.test('of the addresses of a name one that answers is found', async (t) => {
  const { port } = await startServer(t, (_, response) => response.end('inner'))
  const addresses = ['127.0.0.9', '::1', '127.0.0.1'].map((address) => ({ address, family: address === '::1' ? 6 : 4 }))
  const send = outboundTo(t, ['inner.example'], { resolve: async () => addresses })
  t.equal(String((await send(`http://inner.example:${port}/`)).body), 'inner')
})

t.test('a request that was given up before there was a connection is never sent', async (t) => {
  const { port, requests } = await startServer(t, (_, response) => response.end())
  let resolveNow: () => void = () => undefined
  const resolving = new Promise<void>((resolve) => {
    resolveNow = resolve
  })
  const resolve = async () => resolving.then(() => [{ address: '127.0.0.1', family: 4 }])
  const send = outboundTo(t, ['slow.example'], { resolve })
  const url = `http://slow.example:${port}`
  await t.rejects(send(`${url}/first`, { timeoutMs: 10 }), { code: 'source.unreachable' })
  resolveNow()
  await send(`${url}/second`)
  t.same(
    requests.map(({ url }) => url),
    ['/second'],
  )
})

t.test('a redirect is followed as its status says, and a body is sent again by 307 and 308 only', async (t) => {
  const { url, host, requests } = await startServer(t, (request, response) => {
    const [, status] = (request.url ?? '').split('/')
    if (request.url === '/end') response.end('end')
    else response.writeHead(Number(status), { location: '../end#part' }).end('elsewhere')
  })
  const send = outboundTo(t, [host])
  const methods = { 301: 'GET', 302: 'GET', 303: 'GET', 307: 'POST', 308: 'POST' }
  for (const [status, method] of Object.entries(methods)) {
    for (const asked of ['POST', 'GET', 'HEAD'] as const) {
      requests.length = 0
      const fields = { headers: { 'content-type': 'a/b', 'x-kept': '1' }, credentials: { cookie: secret } }
      const answer = await send(
        `${url}/${status}`,
        asked === 'POST' ? { ...fields, method: asked, body: 'b' } : { ...fields, method: asked },
      )
      t.equal(answer.url, `${url}/end`)
      const expected = asked === 'POST' ? method : asked
      t.match(requests[1], { method: expected, body: expected === 'POST' ? 'b' : '', headers: { 'x-kept': '1', cookie: secret } })
      if (asked === 'POST') t.equal(requests[1]?.headers['content-type'], expected === 'POST' ? 'a/b' : undefined)
    }
  }
  t.match(await send(`${url}/302`, { maxRedirects: 0 }), { status: 302, headers: { location: '../end#part' }, url: `${url}/302` })
})

t.test('credentials do not follow a redirect to another origin, nor come back from there', async (t) => {
  const other = await startServer(t, (_, response) => response.writeHead(302, { location: `${first.url}/end` }).end())
  const first = await startServer(t, (request, response) => {
    if (request.url === '/end') response.end()
    else response.writeHead(301, { location: other.url }).end()
  })
  await outboundTo(t, [first.host, other.host])(first.url, {
    headers: { 'x-open': 'open', Authorization: 'as below' },
    credentials: { authorization: secret, 'x-key': secret },
  })
  const seen = [first.requests[0], other.requests[0], first.requests[1]].map((request) => request?.headers)
  t.match(seen[0], { authorization: secret, 'x-key': secret, 'x-open': 'open' })
  for (const headers of seen.slice(1)) {
    t.match(headers, { authorization: undefined, 'x-key': undefined, 'x-open': 'open' })
  }
})

t.test('a redirect to where one may not go, or without end, is refused', async (t) => {
  const inner = await startServer(t, (_, response) => response.end('inner'))
  let location = ''
  const { url, host, requests } = await startServer(t, (_, response) => response.writeHead(302, { location }).end())
  const resolve = async () => [{ address: '127.0.0.1', family: 4 }]
  const send = outboundTo(t, [host], { resolve })
  const blocked = [
    ...[
      inner.url,
      `http://localhost:${inner.port}/`,
      'https://169.254.169.254/latest',
      `https://[::ffff:127.0.0.1]:${inner.port}/`,
    ],
    ...[`https://private.example:${inner.port}/`, 'file:///etc/passwd', 'data:,x', `http://user:password@${host}/`, 'https://'],
  ]
  for (location of blocked) await t.rejects(send(url), { code: 'source.blocked' }, location)
  t.same(inner.requests, [])
  requests.length = 0
  location = '/again'
  await t.rejects(send(url), { code: 'source.invalid', message: /more than 5 times/ })
  t.equal(requests.length, 6)
  await t.rejects(send(url, { maxRedirects: 1 }), { code: 'source.invalid' })
  t.equal(requests.length, 8)
})

t.test('a place that is not public is not reached by way of one that is not allowed', async (t) => {
  const inner = await startServer(t, (_, response) => response.end('inner'))
  const send = outboundTo(t, [inner.host])
  t.equal((await send(inner.url, { learntFrom: `${inner.url}/manifest.json` })).status, 200)
  await t.rejects(send(inner.url, { learntFrom: 'https://public.example/manifest.json' }), { code: 'source.blocked' })
  t.equal(inner.requests.length, 1)
})

t.test('https is checked, and what is wrong with a certificate is said', async (t) => {
  const ca = await fixture('authority')
  const good = await startTls(t, 'loopback')
  t.equal(String((await outboundTo(t, [good.host], { ca })(good.url)).body), 'safe')
  const wrong: [certificate: string, message: RegExp][] = [
    ['expired', /^https:.* has a certificate that has expired/],
    ['self-signed', /is signed by itself/],
    ['other-name', /is of another name/],
  ]
  for (const [certificate, message] of wrong) {
    const { host, url } = await startTls(t, certificate)
    const error: Error = await outboundTo(t, [host], { ca })(url).then(fail, (error) => error)
    t.match(error, { code: 'source.invalid', message }, certificate)
    t.ok(inspect(error, { depth: 9 }).length < 3_000, 'without the certificate itself')
  }
  const untrusted = outboundTo(t, [good.host])(good.url)
  await t.rejects(untrusted, { code: 'source.invalid', message: /not trusted/ })
})

t.test('plain http is for allowed hosts, and nothing leads to it from https', async (t) => {
  const plain = await startServer(t, (_, response) => response.end('plain'))
  const safe = await startTls(t, 'loopback', (_, response) => response.writeHead(302, { location: plain.url }).end())
  const send = outboundTo(t, [safe.host, plain.host], { ca: await fixture('authority') })
  await t.rejects(send(safe.url), { code: 'source.blocked', message: /https to plain http/ })
  t.same(plain.requests, [])
  await t.rejects(outboundTo(t, [])('http://8.8.8.8/'), { code: 'source.blocked', message: /plain http/ })
  await t.rejects(send(plain.url.replace('http:', 'https:')), { code: 'source.invalid', message: /TLS/ })
})

t.test('an answer that is no HTTP, or is not whole, is an error', async (t) => {
  const head = 'HTTP/1.1 200 OK\r\n'
  const answers: [answer: string, code: string][] = [
    [`${head}content-length: 10\r\n\r\nfour`, 'source.unreachable'],
    [`${head}transfer-encoding: chunked\r\n\r\n4\r\nfour\r\n`, 'source.unreachable'],
    [`${head}connection: close\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n`, 'source.unreachable'],
    [`${head}connection: close\r\ncontent-length: 10\r\n\r\nfour`, 'source.unreachable'],
    [`${head}transfer-encoding: chunked\r\n\r\nzz\r\n`, 'source.invalid'],
    [`${head}\r\nno end that can be seen`, 'source.invalid'],
    [`${head}content-length: 1\r\ncontent-length: 2\r\n\r\nx`, 'source.unreachable'],
    ['SSH-2.0-OpenSSH_9.2\r\n', 'source.invalid'],
    [`${head}x: ${'y'.repeat(40_000)}\r\n\r\n`, 'source.invalid'],
    [head, 'source.unreachable'],
    ['', 'source.unreachable'],
  ]
  for (const [answer, code] of answers) {
    const { host, url } = await startRaw(t, (socket) => socket.end(answer))
    await t.rejects(outboundTo(t, [host])(url), { code }, answer.slice(0, 80))
  }
  const { host, url } = await startRaw(t, (socket) =>
    socket.write(`${head}content-length: 9\r\n\r\nx`, () => socket.resetAndDestroy()),
  )
  await t.rejects(outboundTo(t, [host])(url), { code: 'source.unreachable' })
})

t.test('an answer without end costs no more than its bound, in bytes and in time', async (t) => {
  const pour = (socket: Socket, start: string, more: string) => {
    socket.write(start)
    const write = () => {
      while (!socket.destroyed && socket.write(more));
      socket.once('drain', write)
    }
    write()
  }
  const drip = (socket: Socket, start: string, more: string) => {
    socket.write(start)
    const timer = setInterval(() => socket.write(more), 5)
    socket.on('close', () => clearInterval(timer))
  }
  const chunked = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'
  const answers: [name: string, code: string, answer: (socket: Socket) => void][] = [
    ['a large body', 'source.too_large', (socket) => socket.end(`HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\n`)],
    ['an endless body', 'source.too_large', (socket) => pour(socket, chunked, `400\r\n${'x'.repeat(1024)}\r\n`)],
    ['a body of single bytes', 'source.too_large', (socket) => pour(socket, chunked, '1\r\nx\r\n'.repeat(1_000))],
    ['endless fields', 'source.invalid', (socket) => pour(socket, 'HTTP/1.1 200 OK\r\n', 'x: y\r\n'.repeat(1_000))],
    ['a drip of a body', 'source.unreachable', (socket) => drip(socket, chunked, '1\r\nx\r\n')],
    ['a drip of fields', 'source.unreachable', (socket) => drip(socket, 'HTTP/1.1 200 OK\r\n', 'x: y\r\n')],
    ['a drip of interim answers', 'source.unreachable', (socket) => drip(socket, '', 'HTTP/1.1 103 Early Hints\r\n\r\n')],
    ['nothing', 'source.unreachable', () => undefined],
  ]
  await Promise.all(
    answers.map(async ([name, code, answer]) => {
      const { host, url } = await startRaw(t, answer)
      const started = performance.now()
      await t.rejects(outboundTo(t, [host])(url, { timeoutMs: code === 'source.unreachable' ? 200 : 10_000 }), { code }, name)
      t.ok(performance.now() - started < 5_000, `${name} is left`)
    }),
  )
})

t.test('an aborted request ends at once, wherever it is', async (t) => {
  const places: Record<string, (socket: Socket) => void> = {
    'before the answer': () => undefined,
    'within the fields': (socket) => socket.write('HTTP/1.1 200 OK\r\nx'),
    'within the body': (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx'),
  }
  for (const [place, answer] of Object.entries(places)) {
    const abort = new AbortController()
    const { host, url } = await startRaw(t, (socket) => {
      answer(socket)
      setImmediate(() => abort.abort())
    })
    const started = performance.now()
    await t.rejects(
      outboundTo(t, [host])(url, { signal: abort.signal }),
      { code: 'source.unreachable', message: /stopped/ },
      place,
    )
    t.ok(performance.now() - started < 1_000, place)
  }
  const started = performance.now()
  const hanging = outboundTo(t, [], { resolve: () => new Promise(() => undefined) })
  await t.rejects(
    hanging('https://slow.example/', { signal: AbortSignal.timeout(20) }),
    { message: /stopped/ },
    'within the look-up',
  )
  await t.rejects(hanging('https://slow.example/', { signal: AbortSignal.abort() }), { message: /stopped/ }, 'before it began')
  await t.rejects(hanging('https://slow.example/', { timeoutMs: 20 }), { message: /within 20 ms/ }, 'or when the time is over')
  t.ok(performance.now() - started < 1_000)
})

t.test('a host that is away or not known is said to be so', async (t) => {
  const server = createTcpServer()
  const port = await listening(t, server)
  const { url, host } = { url: `http://127.0.0.1:${port}`, host: '127.0.0.1' }
  const closed = once(server, 'close')
  server.close()
  await closed
  server.listen = () => server
  await t.rejects(outboundTo(t, [host])(url), {
    code: 'source.unreachable',
    message: /refuses connections/,
    headers: { 'retry-after': '60' },
  })
  const resolve = async () => Promise.reject(Object.assign(new Error(), { code: 'ENOTFOUND' }))
  await t.rejects(outboundTo(t, [], { resolve })('https://nowhere.example/'), { message: /"nowhere.example" is not known/ })
})

t.test('no error tells a credential, even when the other side repeats it', async (t) => {
  const word = secret.split(' ')[1] ?? ''
  const answers = [
    `HTTP/1.1 302 Found\r\nlocation: https://127.0.0.1/${word}\r\ncontent-length: 0\r\n\r\n`,
    `HTTP/1.1 302 Found\r\nlocation: http://${word}.example/\r\ncontent-length: 0\r\n\r\n`,
    `HTTP/1.1 302 Found\r\nlocation: ${word}://x\r\ncontent-length: 0\r\n\r\n`,
    `HTTP/1.1 ${word}\r\n\r\n`,
    `HTTP/1.1 200 OK\r\n${word} : bad\r\n\r\n`,
    `${word}\r\n`,
    `HTTP/1.1 200 OK\r\ncontent-encoding: ${word}\r\ncontent-length: 1\r\n\r\nx`,
    `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${word}\r\n`,
  ]
  for (const answer of answers) {
    const { host, url } = await startRaw(t, (socket) => socket.end(answer))
    const error: Error = await outboundTo(t, [host])(url, { credentials: { authorization: secret } }).then(fail, (error) => error)
    t.match(error, { code: /^source\./ })
    t.notMatch(inspect(error, { depth: 9, showHidden: true }), word, answer)
  }
})

function fail(): never {
  throw new Error('It was to be refused.')
}
