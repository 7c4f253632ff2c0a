import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { build } from 'esbuild'
import t from 'tap'
import { PromptManager, type PromptManagerOptions } from '../../src/client/index.js'
import { packageRoot } from '../../src/lib/package-root.js'
import { freePort } from '../helpers/free-port.js'
import { until } from '../helpers/until.js'
import { startFaultProxy } from './helpers/fault-proxy.js'
import { adminKey, buildPackage, makeDataDirectory, makeDirectory, servePromptsync } from './helpers/promptsync.js'
import { mountSmallDisk } from './helpers/small-disk.js'

const root = await buildPackage(t)
const clientFile = await bundleClient()
const deadlineMs = 30_000
/** For tests that leave it alone. */
const lasting = await servePromptsync(t, root, { env: { PROMPTSYNC_DATA_DIR: await makeDataDirectory(t) } })

async function bundleClient(): Promise<string> {
  const outfile = join(await makeDirectory(t), 'client.mjs')
  const banner = { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url)' }
  await build({
    ...{
      entryPoints: [join(packageRoot, 'src/client/index.ts')],
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile,
      banner,
    },
    ...{ external: ['@opentelemetry/api'], logLevel: 'error' },
  })
  return outfile
}

/** Runs a program that has `manager`, in a process of its own, and answers what it prints as JSON. */
async function runClient(options: PromptManagerOptions, program: string, enter: string[] = []): Promise<any> {
  const whole = `
    import { PromptManager } from ${JSON.stringify(clientFile)}
    const errors = []
    const manager = new PromptManager({ ...${JSON.stringify(options)}, onError: ({ code, message }) => errors.push({ code, message }) })
    ${program}`
  const [file = '', ...args] = [...enter, process.execPath, '--input-type=module', '-e', whole]
  const child = spawn(file, args, { env: { PATH: process.env.PATH }, stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`The client ended with ${code}.`)
  return JSON.parse(output)
}

function createManager(options: PromptManagerOptions): PromptManager {
  const manager = new PromptManager({ token: adminKey, ...options })
  t.teardown(() => manager.close())
  return manager
}

t.test(
  'a loop goes on through a server that is killed and comes back, and a process starts meanwhile from its disk',
  async (t) => {
    const [port, data, cacheDir] = [await freePort(), await makeDataDirectory(t), await makeDirectory(t)]
    const env = { PORT: String(port), PROMPTSYNC_DATA_DIR: data }
    const server = await servePromptsync(t, root, { env })
    const options = {
      url: server.url,
      cacheDir,
      project: 'default',
      refreshIntervalMs: 50,
      timeoutMs: 2_000,
      cacheStrategy: { memoryTtlMs: 200, fileTtlMs: 0 },
    }
    const manager = createManager({ ...options, events: true })
    await manager.push({ alias: 'production', prompts: [{ name: 'greeting', content: 'Hello!' }] })
    const served: { servedFrom: string; isStale: boolean; content: string | null }[] = []
    let isRunning = true
    const loop = (async () => {
      while (isRunning) {
        const { servedFrom, isStale, content } = await manager.getPrompt('greeting')
        const last = served.at(-1)
        if (last?.servedFrom !== servedFrom || last.isStale !== isStale || last.content !== content)
          served.push({ servedFrom, isStale, content })
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
    })()
    await until('it is served from memory', deadlineMs, () => served.at(-1)?.servedFrom === 'memory' && !served.at(-1)?.isStale)
    server.child.kill('SIGKILL')
    await server.exited
    await until('it is stale', deadlineMs, () => served.at(-1)?.isStale === true)
    const offline = await runClient(
      { ...options, token: adminKey },
      `const { servedFrom, isStale, content } = await manager.getPrompt('greeting')
     console.log(JSON.stringify({ servedFrom, isStale, content, errors: errors.map(({ code }) => code) }))`,
    )
    t.same(offline, { servedFrom: 'disk', isStale: true, content: 'Hello!', errors: ['client.unreachable'] })
    const back = await servePromptsync(t, root, { env })
    const other = createManager({ url: back.url, refreshIntervalMs: 0 })
    await other.push({ alias: 'production', prompts: [{ name: 'greeting', content: 'Back!' }] })
    await until('the loop has the new one', deadlineMs, () => served.at(-1)?.content === 'Back!' && !served.at(-1)?.isStale)
    isRunning = false
    await loop
    t.comment(
      served.map(({ servedFrom, isStale, content }) => `${servedFrom}${isStale ? ' (stale)' : ''}: ${content}`).join(' → '),
    )
    t.ok(served.every(({ content }) => content === 'Hello!' || content === 'Back!'))
    t.equal(served.filter(({ servedFrom }) => servedFrom === 'network').length, 1)
  },
)

t.test(
  'a network that swallows everything costs a call its timeout at most, and nothing where there is something in memory',
  async (t) => {
    const proxy = await startFaultProxy(t, lasting.url)
    const manager = createManager({ url: proxy.url, timeoutMs: 500, refreshIntervalMs: 50, cacheStrategy: { memoryTtlMs: 100 } })
    await manager.push({
      alias: 'production',
      prompts: [
        { name: 'one', content: 'One.' },
        { name: 'two', content: 'Two.' },
      ],
    })
    await manager.getPrompt('one')
    for (const fault of ['black-hole', 'half-open', { bytesPerSecond: 100 }] as const) {
      await proxy.set(fault)
      const startedAt = performance.now()
      await t.rejects(manager.getPrompt('two'), { code: 'client.timeout' })
      const tookMs = performance.now() - startedAt
      t.ok(tookMs < 1_500, `${JSON.stringify(fault)}: ${Math.round(tookMs)} ms`)
      let slowestMs = 0
      const endsAt = performance.now() + 700
      while (performance.now() < endsAt) {
        const askedAt = performance.now()
        t.equal((await manager.getPrompt('one')).servedFrom, 'memory')
        slowestMs = Math.max(slowestMs, performance.now() - askedAt)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      t.ok(slowestMs < 100, `${Math.round(slowestMs)} ms`)
    }
    t.equal((await manager.getPrompt('one')).isStale, true)
    await proxy.set('reset')
    await t.rejects(manager.getPrompt('two'), { code: 'client.unreachable' })
    await proxy.set('pass')
    t.equal((await manager.getPrompt('two')).servedFrom, 'network')
    await until('it is confirmed again', deadlineMs, async () => !(await manager.getPrompt('one')).isStale)
  },
)

t.test('a full disk fails no call, and is used again when there is room', async (t) => {
  const disk = await mountSmallDisk(t, 8)
  const setup = createManager({ url: lasting.url })
  const content = 'x'.repeat(200_000)
  const prompts = ['large-one', 'large-two'].map((name) => ({ name, content }))
  await setup.push({ alias: 'production', prompts })
  const options = { url: lasting.url, token: adminKey, cacheDir: join(disk.path, 'cache'), cacheStrategy: { fileTtlMs: 1e9 } }
  const read = `
    const prompts = [await manager.getPrompt('large-one'), await manager.getPrompt('large-two')]
    await manager.close()
    console.log(JSON.stringify({ from: prompts.map(({ servedFrom }) => servedFrom), isWhole: prompts.every(({ content }) => content.length === 200_000), errors }))`
  await disk.fill(100_000)
  const full = await runClient(options, read, disk.enter)
  t.match(full, { from: ['network', 'network'], isWhole: true, errors: [{ code: 'client.cache', message: /ENOSPC/ }] })
  t.equal(full.errors.length, 1, 'it is told of once')
  await disk.empty()
  t.match(await runClient(options, read, disk.enter), { from: ['network', 'network'], errors: [] })
  t.same(await runClient(options, read, disk.enter), { from: ['disk', 'disk'], isWhole: true, errors: [] })
})
