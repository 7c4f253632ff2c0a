import { connect } from 'node:net'
import type { InjectOptions } from 'fastify'
import t from 'tap'
import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config.js'
import { AppError } from '../../src/errors.js'
import type { App } from '../../src/http.js'
import { tellsOfTheInside } from '../helpers/inside.js'
import { startService, type Teardown } from '../helpers/service.js'

const service = await startService(t)
await service.push({ alias: 'dev', prompts: [{ name: 'x', content: 'Text' }] })
const authorization = `Bearer ${service.adminKey}`
const page = 'https://app.example.com'

/** The service as it is with other settings, on the same database; to be injected, it does not listen. */
async function buildWith(t: Teardown, env: Record<string, string> = {}): Promise<App> {
  const app = await buildApp({ ...service.deps, config: loadConfig(env) })
  t.teardown(() => app.close())
  return app
}

const preflight: InjectOptions = {
  method: 'OPTIONS',
  headers: { origin: page, 'access-control-request-method': 'PUT', 'access-control-request-headers': 'authorization,if-match' },
}

function corsHeaders(headers: object): string[] {
  return Object.keys(headers).filter((name) => name.startsWith('access-control-'))
}

t.test('every answer forbids to guess its type: pages, JSON, refusals, and what no route ever sees', async (t) => {
  const paths = [
    '/livez',
    '/prompts/x/dev',
    '/docs',
    '/docs/static/swagger-ui.css',
    '/openapi.json',
    '/metrics',
    '/nothing',
    '/keys',
    '/%zz',
  ]
  for (const path of paths) {
    const { headers } = await service.call(path, { key: path === '/prompts/x/dev' ? service.adminKey : null })
    t.equal(headers.get('x-content-type-options'), 'nosniff', path)
  }
  t.equal((await service.call('/prompts', { method: 'PUT' })).headers.get('x-content-type-options'), 'nosniff', '405')
})

t.test('the pages run no script but their own, stand in no frame, and work over plain HTTP', async (t) => {
  for (const path of ['/docs', '/docs/', '/api/docs', '/docs/static/swagger-ui-bundle.js', '/docs/static/index.css']) {
    const { status, headers, text } = await service.call(path, { key: null })
    t.equal(status, 200, path)
    const policy = headers.get('content-security-policy') ?? ''
    t.match(policy, /default-src 'none'/, path)
    t.match(policy, /script-src 'self'(;|$)/, path)
    t.match(policy, /frame-ancestors 'none'/, path)
    t.notMatch(policy, /unsafe|upgrade-insecure-requests|https?:/, path)
    t.equal(headers.get('strict-transport-security'), null, 'the proxy that ends TLS says that')
    t.equal(headers.get('x-frame-options'), 'DENY')
    t.equal(headers.get('referrer-policy'), 'no-referrer')
    if (!headers.get('content-type')?.startsWith('text/html')) continue
    const own = new URL(service.url)
    const sources = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(
      ([, source = '']) => new URL(source, `${service.url}${path}`),
    )
    t.ok(sources.length >= 5)
    for (const { host, pathname } of sources) {
      t.equal(host, own.host)
      t.equal((await service.call(pathname, { key: null })).status, 200, pathname)
    }
    t.notMatch(text, /<script(?![^>]*\ssrc=)|<style|\son\w+=|\sstyle=/i, 'nothing that the policy would refuse')
  }
})

t.test('what is no page has no policy for one', async (t) => {
  for (const path of ['/livez', '/openapi.json', '/prompts', '/nothing', '/metrics']) {
    const { headers } = await service.call(path)
    t.notOk(headers.get('content-security-policy') ?? headers.get('x-frame-options'), path)
  }
})

t.test('unless it is set no answer lets the page of another origin read it, and OPTIONS is a method like others', async (t) => {
  const origin = { origin: page, authorization }
  const answers = [
    await service.app.inject({ url: '/prompts/x/dev', headers: origin }),
    await service.app.inject({ url: '/keys', headers: { origin: page } }),
    await service.app.inject({ url: '/docs', headers: origin }),
    await service.app.inject({ url: '/nothing', ...preflight }),
  ]
  for (const { headers } of answers) t.strictSame(corsHeaders(headers), [])
  t.equal(answers[0]?.headers.vary, 'Accept, Authorization, X-API-Key, X-Promptsync-Project')
  for (const [url, allow] of [
    ['/prompts', 'GET, HEAD, POST'],
    ['/prompts/x/dev', 'GET, HEAD'],
  ]) {
    const answer = await service.app.inject({ url, ...preflight })
    t.equal(answer.statusCode, 405)
    t.equal(answer.headers.allow, allow)
    t.strictSame(corsHeaders(answer.headers), [])
  }
})

t.test('origins that are named may call from pages, others not', async (t) => {
  const app = await buildWith(t, { PROMPTSYNC_CORS_ORIGINS: `http://localhost:5173,${page}` })

  t.test('a preflight is answered without a key, on every path', async (t) => {
    for (const url of ['/prompts', '/prompts/x/dev', '/api/aliases/dev', '/keys', '/projects/default', '/openapi.json']) {
      const { statusCode, headers, body } = await app.inject({ url, ...preflight })
      t.equal(statusCode, 204, url)
      t.equal(body, '')
      t.equal(headers['access-control-allow-origin'], page)
      t.equal(headers['access-control-allow-methods'], 'GET, HEAD, POST, PUT, PATCH, DELETE')
      t.equal(
        headers['access-control-allow-headers'],
        'Authorization, X-API-Key, X-Promptsync-Project, Content-Type, If-Match, If-None-Match, Last-Event-ID, X-Request-Id',
      )
      t.equal(headers['access-control-allow-credentials'], undefined)
      t.match(headers.vary, /\bOrigin\b/)
    }
  })

  t.test('answers and refusals can be read by the page, with the headers that say something', async (t) => {
    const answers = [
      await app.inject({ url: '/prompts/x/dev', headers: { origin: page, authorization } }),
      await app.inject({ url: '/prompts/x/dev', headers: { origin: page } }),
      await app.inject({ url: '/prompts/x/unknown', headers: { origin: page, authorization } }),
      await app.inject({ url: '/nothing', headers: { origin: page } }),
      await app.inject({ url: '/prompts', method: 'PUT', headers: { origin: page } }),
      await app.inject({
        url: '/prompts',
        method: 'POST',
        payload: '{',
        headers: { origin: page, authorization, 'content-type': 'application/json' },
      }),
    ]
    const anonymous = (await app.inject({ url: '/prompts/x/dev' })).statusCode
    t.strictSame(
      answers.map(({ statusCode }) => statusCode),
      [200, anonymous, 404, 404, 405, 400],
    )
    for (const { headers } of answers) {
      t.equal(headers['access-control-allow-origin'], page)
      t.equal(
        headers['access-control-expose-headers'],
        'ETag, Age, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id, X-Promptsync-Version, X-Promptsync-Source, X-Promptsync-Bucket',
      )
      t.match(headers.vary, /\bOrigin\b/)
    }
    t.equal(answers[0]?.headers.vary, 'Accept, Authorization, X-API-Key, X-Promptsync-Project, Origin')
    const etag = String(answers[0]?.headers.etag)
    const unchanged = await app.inject({ url: '/prompts/x/dev', headers: { origin: page, authorization, 'if-none-match': etag } })
    t.equal(unchanged.statusCode, 304)
    t.equal(unchanged.headers['access-control-allow-origin'], page)
    t.match(unchanged.headers.vary, /Accept.*Origin/)
  })

  t.test('an origin is compared whole', async (t) => {
    const others = [
      `${page}.evil.example`,
      `${page}:8443`,
      'http://app.example.com',
      'https://evil.example',
      'null',
      'HTTPS://APP.EXAMPLE.COM',
    ]
    for (const origin of others) {
      const read = await app.inject({ url: '/prompts/x/dev', headers: { origin, authorization } })
      t.equal(read.statusCode, 200)
      t.strictSame(corsHeaders(read.headers), [], origin)
      t.match(read.headers.vary, /\bOrigin\b/, 'or a cache would hand it to the page that may')
      const asked = await app.inject({ url: '/prompts', method: 'OPTIONS', headers: { ...preflight.headers, origin } })
      t.equal(asked.statusCode, 405)
      t.strictSame(corsHeaders(asked.headers), [], origin)
    }
    const program = await app.inject({ url: '/prompts/x/dev', headers: { authorization } })
    t.strictSame(corsHeaders(program.headers), [], 'a program sends none and is told nothing')
  })

  t.test('an OPTIONS that is no preflight is refused like before, in the form of every refusal', async (t) => {
    for (const headers of [{}, { origin: page }, { 'access-control-request-method': 'PUT' }]) {
      const answer = await app.inject({ method: 'OPTIONS', url: '/prompts', headers })
      t.equal(answer.statusCode, 405)
      t.equal(answer.json().code, 'method.not_allowed')
      t.equal(answer.headers.allow, 'GET, HEAD, POST')
    }
  })
})

t.test('a star lets every page call, without ever naming it', async (t) => {
  const app = await buildWith(t, { PROMPTSYNC_CORS_ORIGINS: '*' })
  for (const origin of [page, 'https://evil.example', 'null']) {
    const asked = await app.inject({ url: '/prompts', method: 'OPTIONS', headers: { ...preflight.headers, origin } })
    t.equal(asked.statusCode, 204)
    const read = await app.inject({ url: '/prompts/x/dev', headers: { origin, authorization } })
    for (const { headers } of [asked, read]) {
      t.equal(headers['access-control-allow-origin'], '*')
      t.equal(headers['access-control-allow-credentials'], undefined)
    }
  }
})

t.test('the address of a caller is that of the connection, but for proxies that are trusted', async (t) => {
  const forwarded = '203.0.113.7, 10.1.2.3, 10.9.9.9'
  const cases: [setting: string, peer: string, ip: string][] = [
    ['', '127.0.0.1', '127.0.0.1'],
    ['on', '127.0.0.1', '203.0.113.7'],
    ['1', '127.0.0.1', '203.0.113.7'],
    ['2', '127.0.0.1', '10.1.2.3'],
    ['9', '127.0.0.1', '203.0.113.7'],
    ['loopback', '127.0.0.1', '10.9.9.9'],
    ['loopback,10.9.0.0/16', '127.0.0.1', '10.1.2.3'],
    ['loopback,uniquelocal', '::ffff:127.0.0.1', '203.0.113.7'],
    ['10.0.0.0/8', '127.0.0.1', '127.0.0.1'],
    ['192.0.2.1', '192.0.2.2', '192.0.2.2'],
    ['fd00::/8', 'fd12::1', '10.9.9.9'],
  ]
  for (const [setting, peer, ip] of cases) {
    const app = await buildWith(t, { PROMPTSYNC_TRUST_PROXY: setting })
    app.get('/whoami', { config: { scope: 'public' } }, async (request) => request.ip)
    const answer = await app.inject({ url: '/whoami', remoteAddress: peer, headers: { 'x-forwarded-for': forwarded } })
    t.equal(answer.body, ip, `${setting || 'unset'} behind ${peer}`)
  }
})

t.test('a route that does not say its scope stops the start and is named', async (t) => {
  const app = await buildWith(t)
  t.throws(() => app.get('/open-by-mistake', async () => 'x'), { message: /GET.* \/open-by-mistake does not say its scope/ })
  const inPlugin = await buildWith(t)
  inPlugin.register(async (plugin) => {
    plugin.post('/open-in-plugin', { config: { project: 'optional' } }, async () => 'x')
  })
  await t.rejects(async () => inPlugin.ready(), { message: /POST \/open-in-plugin does not say its scope/ })
})

t.test('a failure nobody foresaw tells nothing of the inside', async (t) => {
  const app = await buildWith(t)
  const failures: [name: string, fail: () => unknown][] = [
    ['error', () => new TypeError("Cannot read properties of undefined (reading 'secret_column') in /srv/app/src/x.ts:12")],
    [
      'query',
      () => Object.assign(new Error('relation "api_keys" does not exist: SELECT 1'), { code: 'P2010', meta: { sql: 'SELECT' } }),
    ],
    ['status', () => Object.assign(new Error('prisma in node_modules/x.js:1:1'), { statusCode: 418 })],
    ['cause', () => new AppError('internal', 'The server failed.', { cause: new Error('SELECT secret_hash FROM api_keys') })],
    ['text', () => 'pglite at /srv/app'],
  ]
  for (const [name, fail] of failures) {
    app.get(`/fails/${name}`, { config: { scope: 'public' } }, async () => {
      throw fail()
    })
  }
  for (const [name] of failures) {
    const answer = await app.inject({ url: `/fails/${name}` })
    t.ok(answer.statusCode >= 400, name)
    t.match(answer.headers['content-type'], /^application\/problem\+json/, name)
    t.equal(answer.json().requestId, answer.headers['x-request-id'], name)
    const all = `${answer.body}${JSON.stringify(answer.headers)}`
    t.notOk(tellsOfTheInside(all), `${name}: ${all}`)
    t.notMatch(all, /secret_|api_keys|TypeError|P2010|\/srv/, name)
  }
})

t.test('what is no HTTP at all is told no more', async (t) => {
  const { port } = new URL(service.url)
  for (const raw of [
    'NONSENSE\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n',
    `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
  ]) {
    const answer = await new Promise<string>((resolve, reject) => {
      let text = ''
      const socket = connect(Number(port), '127.0.0.1', () => socket.write(raw))
      socket
        .on('data', (chunk) => (text += chunk))
        .on('end', () => resolve(text))
        .on('error', reject)
    })
    t.match(answer, /^HTTP\/1\.1 4\d\d /)
    t.match(answer, /\r\nX-Content-Type-Options: nosniff\r\n/)
    t.notOk(tellsOfTheInside(answer), answer)
  }
})
