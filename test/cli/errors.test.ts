import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { openShell, serviceEnv } from '../helpers/cli.js'
import { startService, type Teardown } from '../helpers/service.js'

// Starting processes is mostly waiting.
t.jobs = 2

const key = `ps_${'x'.repeat(43)}`

/** Something that is no promptsync. */
async function startOther(t: Teardown, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

t.test('whatever is on the way to the server is told apart, with what to do', { buffered: true }, async (t) => {
  const shell = await openShell(t, { PROMPTSYNC_TOKEN: key })
  const html = await startOther(t, (_, response) => response.setHeader('content-type', 'text/html').end('<h1>Sign in</h1>'))
  const gateway = await startOther(t, (_, response) =>
    response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>No</h1>'),
  )
  const redirect = await startOther(t, (_, response) => response.writeHead(308, { location: 'https://elsewhere.example/' }).end())
  const broken = await startOther(t, (_, response) => response.setHeader('content-type', 'application/json').end('{"items": ['))
  const other = await startOther(t, (_, response) =>
    response.setHeader('content-type', 'application/json').end('{"status":"ok"}'),
  )
  const empty = await startOther(t, (_, response) => response.writeHead(204).end())
  const halved = await startOther(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' })
    response.write('{"items":', () => response.socket?.destroy())
  })
  const silent = await startOther(t, () => {})
  const cases: [url: string, args: string[], says: RegExp][] = [
    ['http://127.0.0.1:1', [], /http:\/\/127\.0\.0\.1:1 cannot be reached/],
    ['http://no-such-host.invalid', [], /no-such-host\.invalid cannot be reached: \w+/],
    [html, [], /answered 200 with text\/html, which is no answer of promptsync\. Check the address, and proxies/],
    [gateway, [], /answered 502 with text\/html/],
    [redirect, [], /redirects to https:\/\/elsewhere\.example\/, which is not followed/],
    [broken, [], /JSON that ends too early/],
    [other, [], /answered no list to \/aliases: it is not promptsync, or not of this version\.\nCheck the address/],
    [empty, [], /answered 204 with no object, which is no answer of promptsync/],
    [halved, [], /cannot be reached: ECONNRESET/],
    [silent, ['--timeout', '0.2'], /did not answer within 0\.2 s/],
    ['prompts.example.com', [], /"prompts\.example\.com" is no address of a service\.\nGive one such as http/],
    ['ftp://ada:secret@example.com', [], /"ftp:\/\/example\.com" is no address/],
    ['https://ada:secret@example.com', [], /holds a user or a password/],
    ['https://example.com/?project=a', [], /"\?" or "#"/],
  ]
  for (const [url, args, says] of cases) {
    const ran = await shell.promptsync(['alias', 'list', ...args], { env: { PROMPTSYNC_URL: url } })
    t.match(ran, { code: 1, stdout: '', stderr: says }, url)
    t.match(ran.stderr, /^promptsync: /)
    t.notMatch(ran.stderr, /\n {4}at |secret|xxxx/, 'neither a stack nor a secret')
  }
  const elsewhere = { env: { PROMPTSYNC_URL: other } }
  const set = await shell.promptsync(['alias', 'set', 'production', 'r1'], elsewhere)
  t.match(set, { code: 1, stderr: /answered no alias to \/aliases\/production: it is not promptsync/ })
  const login = await shell.promptsync(['login', other], { stdin: key })
  t.match(login, { code: 1, stderr: /answered no list to \/keys: it is not promptsync/ })
  t.match(await shell.promptsync(['logout', other]), { code: 0, stderr: /No key is stored/ })
})

const service = await startService(t)

t.test('keys and projects that are not good are told apart, with where they came from', { buffered: true }, async (t) => {
  const reader = await service.createKey({ name: 'reader', scopes: ['prompts:read'] })
  const expired = await service.createKey({
    ...{ name: 'old', scopes: ['prompts:read'] },
    expiresAt: new Date(Date.now() + 60_000).toISOString(),
  })
  service.clock.advance(120_000)
  const shell = await openShell(t, { PROMPTSYNC_URL: service.url })
  const run = (args: string[], env: Record<string, string>) => shell.promptsync(args, { env })
  const remedy = /The key is that of PROMPTSYNC_TOKEN\. Log in with another one/
  t.match(await run(['key', 'list'], {}), { code: 4, stderr: /Log in with a key of http.*promptsync login/ })
  t.match(await run(['alias', 'list'], { PROMPTSYNC_TOKEN: key }), { code: 4, stderr: remedy })
  t.match(await run(['alias', 'list'], { PROMPTSYNC_TOKEN: expired.secret }), { code: 4, stderr: /expired/ })
  const spaced = await run(['alias', 'list'], { PROMPTSYNC_TOKEN: `${key}\n${key}` })
  t.match(spaced, { code: 4, stderr: /^promptsync: PROMPTSYNC_TOKEN holds no key/ })
  t.notMatch(spaced.stderr, key)
  const refused = await run(['alias', 'set', 'dev', 'latest'], { PROMPTSYNC_TOKEN: reader.secret })
  t.match(refused, {
    code: 4,
    stderr: /"aliases:write", which key "reader" lacks.*\nUse a key that has the scope: promptsync login/,
  })
  const unknown = await run(['alias', 'list', '--project', 'nope'], { PROMPTSYNC_TOKEN: service.adminKey })
  t.match(unknown, { code: 1, stderr: /"nope" comes from --project\. Name another one .*: promptsync project create nope/ })
  const json = await run(['alias', 'list', '--project', 'nope', '--json'], { PROMPTSYNC_TOKEN: service.adminKey })
  t.match(json, { code: 1, stdout: '' })
  t.match(JSON.parse(json.stderr), { error: { code: 'project.not_found', status: 404, detail: /nope/, remedy: /--project/ } })
})

t.test('what commands end with is what the help says', { buffered: true }, async (t) => {
  const shell = await openShell(t, serviceEnv(service, service.adminKey))
  await service.push({ alias: 'dev', prompts: [{ name: 'a', content: 'A' }] })
  await service.push({ alias: 'dev', prompts: [{ name: 'a', content: 'B' }] })
  await shell.write({ 'prompts/a.md': 'Local', 'broken/a.md': '{% if %}' })
  const cases: [code: number, args: string[]][] = [
    [0, ['alias', 'list']],
    [1, ['alias', 'history', 'nope']],
    [2, ['diff', '--alias', 'dev', '--exit-code']],
    [3, ['validate', '--path', 'broken']],
    [5, ['alias', 'set', 'dev', 'r1', '--if-revision', '1']],
  ]
  const help = (await shell.promptsync(['help', 'exit-codes'])).stdout
  for (const [code, args] of cases) {
    const ran = await shell.promptsync(args)
    t.equal(ran.code, code, `${args.join(' ')}: ${ran.stderr}`)
    t.match(help, new RegExp(`^ +${code}  `, 'm'))
  }
})

t.test('Ctrl-C ends a command that waits for the server', { buffered: true }, async (t) => {
  const arrived = { now: () => {} }
  const silent = await startOther(t, () => arrived.now())
  const shell = await openShell(t, { PROMPTSYNC_URL: silent, PROMPTSYNC_TOKEN: key })
  const ran = await shell.promptsync(['alias', 'list'], {
    started: (child) => {
      arrived.now = () => child.kill('SIGINT')
    },
  })
  t.match(ran, { code: 130, stdout: '', stderr: /^promptsync: interrupted\. Nothing was half done/ })
})

t.test('Ctrl-C ends a command that reads stdin, and so does a request to terminate', { buffered: true }, async (t) => {
  const shell = await openShell(t, { PROMPTSYNC_URL: 'http://127.0.0.1:1', PROMPTSYNC_TOKEN: key })
  // More than a pipe holds: once all of it is gone, the command has begun to read.
  const much = ' '.repeat(2_000_000)
  for (const [signal, args] of [
    ['SIGINT', ['source', 'add', 'a', '--config', '-']],
    ['SIGTERM', ['render', 'a', '--vars', '-']],
  ] as const) {
    const started = (child: ChildProcess) => child.stdin?.write(much, () => child.kill(signal))
    t.match(await shell.promptsync([...args], { stdin: null, started }), { code: 130, stdout: '', stderr: /interrupted/ }, signal)
  }
})
