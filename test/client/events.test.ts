import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { build } from 'esbuild'
import fc from 'fast-check'
import t from 'tap'
import { EventReader, followEvents, type OpenStream } from '../../src/client/events.js'
import type { PromptsyncEvent } from '../../src/client/index.js'
import { packageRoot } from '../../src/lib/package-root.js'
import { runs } from '../helpers/runs.js'
import { startService } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { listen } from '../providers/helpers/http-peer.js'
import { createManager, handClock, noting } from './helpers/manager.js'

const env = { PROMPTSYNC_MAX_STALENESS: '1s' }
const service = await startService(t, { env })
const { url, adminKey: token } = service
const deadlineMs = 10_000

async function project(slug: string) {
  await service.call('/projects', { body: { slug } })
  const inProject = { project: slug }
  return {
    options: { url, token, project: slug },
    push: (alias: string, ...prompts: object[]) => service.push({ alias, prompts }, inProject),
    call: (path: string, body?: object, method?: string) =>
      service.call(path, { ...inProject, ...(body ? { body } : {}), ...(method ? { method } : {}) }),
  }
}

t.test('events are read however their stream is cut', (t) => {
  const blocks = [
    'retry: 2000\n\n',
    'id: 1\nevent: hello\ndata: {"project":"default","epoch":1,"at":"x"}\n\n',
    ': \n\n',
    'id: 2.1\r\nevent: alias.moved\r\ndata: {"project":"default","epoch":2,"at":"客服","alias":"dev"}\r\n\r\n',
  ]
  const whole = blocks.join('')
  const expected = [
    { id: '1', type: 'hello', data: { project: 'default', epoch: 1, at: 'x' } },
    { id: '2.1', type: 'alias.moved', data: { project: 'default', epoch: 2, at: '客服', alias: 'dev' } },
  ]
  fc.assert(
    fc.property(fc.array(fc.nat(whole.length)), (cuts) => {
      const reader = new EventReader()
      const places = [0, ...cuts.sort((one, other) => one - other), whole.length]
      const pieces = places.slice(1).map((end, index) => whole.slice(places[index], end))
      t.strictSame(
        pieces.flatMap((piece) => reader.read(piece)),
        expected,
      )
    }),
    { numRuns: runs(200) },
  )
  t.throws(() => new EventReader().read('data: no JSON\n\n'), { code: 'client.not_promptsync' })
  t.throws(() => new EventReader().read(`data: ${'x'.repeat(1024 ** 2)}`), { code: 'client.not_promptsync' })
  t.end()
})

t.test('a moved alias, a canary, a pin and a purge reach the cache at once, and nothing else is asked for', async (t) => {
  const { options, push, call } = await project('heard')
  await push('live', { name: 'one', content: 'One.' }, { name: 'two', content: 'Two.' })
  const { fetch, sent } = noting()
  const manager = createManager(t, { ...options, defaultAlias: 'live', events: true })
  const observer = createManager(t, { ...options, fetch })
  const heard: PromptsyncEvent[] = []
  const following = (async () => {
    for await (const event of observer.events()) heard.push(event)
  })()
  await until('both listen', deadlineMs, () => heard.length > 0)
  await manager.getPrompts(['one', 'two'])
  const becomes = (what: string, isSo: () => unknown) => until(what, deadlineMs, () => Boolean(isSo()))
  const peek = (name: string, ref = 'live') => manager.peekPrompt(name, { ref, key: 'user-1' })
  // The stream opens with the first use, and what was loaded before it did is confirmed once.
  await push('live', { name: 'one', content: 'Eins.' })
  await becomes('the push is there', () => peek('one')?.content === 'Eins.')
  t.equal(peek('two')?.release, peek('one')?.release)
  await push('next', { name: 'two', content: 'Zwei.' })
  await call('/canary', { alias: 'live', version: 'r3', percentage: 100 })
  await becomes('the canary is there', () => peek('two')?.canary?.selected && peek('two')?.content === 'Zwei.')
  await call('/canary/live', undefined, 'DELETE')
  await becomes('the canary is gone', () => peek('two')?.content === 'Two.')
  await call('/aliases/live', { version: 'v2', prompt: 'two' }, 'PUT')
  await becomes('the pin is there', () => peek('two')?.content === 'Zwei.')
  await manager.getPrompt('one', { ref: 'v1' })
  await call('/prompts/one/v1/purge', { reason: 'test' })
  await becomes('the purge is there', () => peek('one', 'v1') === null)
  await call('/aliases/live?prompt=two', undefined, 'DELETE')
  await becomes('the pin is gone', () => peek('two')?.content === 'Two.')
  await becomes('all was told', () => heard.at(-1)?.type === 'alias.deleted')
  t.ok(heard.map(({ type }) => type).includes('canary.changed'))
  await observer.close()
  await following
  t.same([...new Set(sent.map(({ path }) => path))], ['/events'])
})

t.test('a stream that breaks is taken up behind the last event; one that is refused is told of and tried again', async (t) => {
  const asked: (string | undefined)[] = []
  const streams: ServerResponse[] = []
  const server = createServer((request, response) => {
    asked.push(request.headers['last-event-id'] as string | undefined)
    if (asked.length === 2)
      return void response.writeHead(429, { 'content-type': 'text/plain', 'retry-after': '0' }).end('Too many')
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(`id: ${asked.length}\nevent: project.updated\ndata: {"project":"p","epoch":1,"at":""}\n\n`)
    streams.push(response)
  })
  await listen(server, 0)
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as { port: number }
  const manager = createManager(t, { url: `http://127.0.0.1:${port}`, token })
  const ids: (string | null)[] = []
  for await (const event of manager.events({ lastEventId: '0' })) {
    ids.push(event.id)
    if (ids.length === 2) break
    streams[0]?.destroy()
  }
  t.same(ids, ['1', '3'])
  t.same(asked, ['0', '1', '1'])
  await until('the stream was closed', deadlineMs, () => streams.every((stream) => stream.destroyed))
})

t.test('a stream that held for a while is taken up soon, one that ends at once is left alone for longer each time', async (t) => {
  const clock = handClock()
  const lastsMs = [0, 0, 0, 60_000, 60_000, 0]
  const waitsMs: number[] = []
  const ended = new AbortController()
  const open: OpenStream = async function* () {
    yield new TextEncoder().encode(': \n\n')
    clock.advance(lastsMs[waitsMs.length] ?? 0)
  }
  const following = followEvents({
    ...{ connection: { url, token, project: null, timeoutMs: deadlineMs, fetch }, open, clock, signal: ended.signal },
    setTimer: (work, delayMs) => {
      if (waitsMs.push(delayMs) === lastsMs.length) ended.abort()
      return setTimeout(work, 0)
    },
    onBreak: () => 'gives up',
  })
  t.same(await following.next(), { done: true, value: undefined })
  t.same(waitsMs, [375, 750, 1_500, 375, 375, 750])
})

t.test('who may not listen is told why', async (t) => {
  await service.call('/projects', { body: { slug: 'closed' } })
  const manager = createManager(t, { url, token: null, project: 'closed' })
  await t.rejects(manager.events().next(), { name: 'PromptsyncError' })
})

t.test(
  'a process whose last statement is getPrompt ends by itself at once, with polls and events and a cache on disk',
  async (t) => {
    const { options, push } = await project('ending')
    await push('production', { name: 'one', content: 'One.' })
    const directory = t.testdir()
    const entry = join(packageRoot, 'src/client/index.ts')
    const file = join(directory, 'client.mjs')
    const banner = { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url)' }
    await build({
      ...{ entryPoints: [entry], bundle: true, platform: 'node', format: 'esm', outfile: file, banner, logLevel: 'error' },
      external: ['@opentelemetry/api'],
    })
    const given = JSON.stringify({ ...options, events: true, refreshIntervalMs: 100, cacheDir: join(directory, 'cache') })
    const program = `
    import { PromptManager } from ${JSON.stringify(file)}
    const manager = new PromptManager(${given})
    process.on('exit', () => console.log(performance.now() - readAt < 3_000 ? 'ended' : 'late'))
    await manager.getPrompt('one')
    // The stream is open by then.
    for await (const event of manager.events()) break
    const readAt = performance.now()
    console.log((await manager.getPrompt('one')).content)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      env: { PATH: process.env.PATH },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    t.teardown(() => child.kill('SIGKILL'))
    let output = ''
    child.stdout.on('data', (chunk) => (output += chunk))
    const [code] = await once(child, 'close')
    t.same({ code, output }, { code: 0, output: 'One.\nended\n' })
  },
)
