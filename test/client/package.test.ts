import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { createContext, Script } from 'node:vm'
import { build, transform } from 'esbuild'
import t from 'tap'
import { packageRoot } from '../../src/lib/package-root.js'
import { startService } from '../helpers/service.js'

const runFile = promisify(execFile)
const timeoutMs = 60_000

/** The scripts of the build are programs without declarations of types. */
const { buildSdk, typescript } = await import(new URL('../../scripts/sdk.mjs', import.meta.url).href)

/** An application that has the package installed, built from the sources of now. */
const project = await mkdtemp(join(tmpdir(), 'promptsync-package-'))
t.teardown(() => rm(project, { recursive: true, force: true }))
const installed = join(project, 'node_modules', 'promptsync')
await buildSdk(join(installed, 'dist', 'sdk'))
for (const part of ['package.json', 'openapi', 'README.md', 'LICENSE']) {
  await cp(join(packageRoot, part), join(installed, part), { recursive: true })
}
await writeFile(join(project, 'package.json'), JSON.stringify({ private: true, dependencies: { promptsync: '*' } }))
const inSdk = (file: string) => join(installed, 'dist', 'sdk', file)

/** A service that holds a prompt with a variant, and what a program needs to read it. */
const service = await startService(t)
const env = { PROMPTSYNC_URL: service.url, PROMPTSYNC_TOKEN: service.adminKey }
await service.push({
  alias: 'production',
  prompts: [
    { name: 'greeting', content: 'Hello {{ name }}!', variants: [{ tags: { locale: 'de' }, content: 'Hallo {{ name }}!' }] },
  ],
})

/** What every program here does, whatever it is written as. */
const use = `async (PromptManager) => {
  const manager = new PromptManager()
  const first = await manager.getPrompt('greeting', { tags: { locale: 'de-AT' } })
  const second = await manager.getPrompt('greeting')
  return [first.servedFrom, first.format({ name: 'Ada' }), second.servedFrom, second.toOpenAI({ name: 'Bo' }).messages[0].content]
}`
const expected = ['network', 'Hallo Ada!', 'memory', 'Hello Bo!']

/** Runs a program of the application to its end, which has to come by itself. */
async function runProgram(
  file: string,
  text: string,
  env: Record<string, string>,
  command = [process.execPath],
): Promise<string> {
  await writeFile(join(project, file), text)
  const [program = '', ...args] = command
  const options = { cwd: project, env: { PATH: process.env.PATH ?? '', ...env }, timeout: timeoutMs }
  const { stdout } = await runFile(program, [...args, file], options)
  return stdout
}

/** The runtimes besides Node that this machine has, and how each runs a file. */
const runtimes = {
  bun: ['bun', 'run'],
  deno: ['deno', 'run', '--node-modules-dir=manual', '--allow-net', '--allow-env', '--allow-read'],
}
const onThisMachine = Object.entries(runtimes).filter(([name]) =>
  (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, name))),
)

t.test('an application gets prompts with a module of either kind, and ends when it has', async (t) => {
  const esm = `import { PromptManager } from 'promptsync/client'\nconsole.log(JSON.stringify(await (${use})(PromptManager)))`
  const cjs = `const { PromptManager } = require('promptsync/client')\n;(${use})(PromptManager).then((all) => console.log(JSON.stringify(all)))`
  t.strictSame(JSON.parse(await runProgram('app.mjs', esm, env)), expected)
  t.strictSame(JSON.parse(await runProgram('app.cjs', cjs, env)), expected)
  for (const [name, command] of onThisMachine) {
    t.strictSame(JSON.parse(await runProgram('app.mjs', esm, env, command)), expected, name)
  }
})

t.test('it runs where there is nothing of Node, with what browsers have', async (t) => {
  const module = { exports: {} as { PromptManager: new (options: object) => object } }
  const web = {
    ...{ fetch, Headers, Request, Response, URL, URLSearchParams, TextEncoder, TextDecoder, AbortController, AbortSignal },
    ...{ performance, setTimeout, clearTimeout, setInterval, clearInterval, queueMicrotask, crypto, structuredClone },
  }
  const context = createContext({ ...web, module, exports: module.exports })
  new Script(await readFile(inSdk('index.cjs'), 'utf8')).runInContext(context)
  const { PromptManager } = module.exports
  class Manager extends PromptManager {
    constructor() {
      super({ url: service.url, token: service.adminKey })
    }
  }
  const answered = await new Script(`(${use})`).runInContext(context)(Manager)
  t.same(answered, expected)
  t.throws(() => new PromptManager({ url: service.url, cacheDir: 'prompts' }), { code: 'client.invalid', message: /cacheDir/ })
})

t.test('nothing is imported: a bundler has nothing to look for', async (t) => {
  for (const file of ['index.js', 'index.cjs']) {
    const { metafile } = await build({
      entryPoints: [inSdk(file)],
      ...{
        bundle: true,
        write: false,
        metafile: true,
        external: ['*'],
        platform: 'neutral',
        outfile: 'out.js',
        logLevel: 'silent',
      },
    })
    const imports = Object.values(metafile.inputs).flatMap((input) => input.imports.map(({ path, kind }) => ({ path, kind })))
    t.strictSame(imports, [], file)
  }
  const licences = await readFile(inSdk('LICENSES.txt'), 'utf8')
  for (const name of ['@cfworker/json-schema', '@noble/hashes', 'lru-cache', 'nunjucks']) {
    t.match(licences, new RegExp(`^${name} \\d`, 'm'), `the licence of ${name} is there`)
  }
})

t.test('an application with OpenTelemetry finds the prompt on its span', async (t) => {
  const program = `
    import { AsyncLocalStorage } from 'node:async_hooks'
    import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api'
    import { PromptManager } from 'promptsync/client'
    const storage = new AsyncLocalStorage()
    context.setGlobalContextManager({
      active: () => storage.getStore() ?? ROOT_CONTEXT,
      with: (active, work, self, ...args) => storage.run(active, () => work.call(self, ...args)),
    })
    const span = { setAttribute: (...attribute) => console.log(attribute.join(' ')) }
    const manager = new PromptManager()
    await context.with(trace.setSpan(ROOT_CONTEXT, span), () => manager.getPrompt('greeting'))`
  const otel = join('node_modules', '@opentelemetry', 'api')
  await cp(join(packageRoot, otel), join(project, otel), {
    recursive: true,
  })
  const said = 'gen_ai.prompt.name greeting\ngen_ai.prompt.version v1\n'
  t.equal(await runProgram('traced.mjs', program, env), said)
})

const typed = `
interface Visitor { name: string }
/** As the packages of others declare messages. */
interface Calling { role: 'assistant'; content?: string | null; tool_calls?: { id: string }[] }
const calling: Calling = { role: 'assistant' }
const manager: PromptManager = new PromptManager({ url: 'https://prompts.example.com', cacheStrategy: { refreshStrategy: 'blocking' } })
export async function answer(): Promise<string> {
  const prompt: Prompt = await manager.getPrompt('greeting', { ref: 'production', tags: { locale: 'de' }, key: 'user-1' })
  const from: 'memory' | 'disk' | 'network' | 'fallback' | 'local' = prompt.servedFrom
  const request = { model: 'gpt-4o', ...prompt.toOpenAI({ name: 'Ada' }) }
  const model: string = request.model
  const { max_tokens: tokens }: { max_tokens: number } = prompt.toAnthropic({ name: 'Ada' })
  const visitor: Visitor = { name: 'Ada' }
  prompt.toOpenAI(visitor, { messages: [calling, { role: 'tool', content: '8 to 18', tool_call_id: 'call-1' }] })
  const { system }: { system?: string } = prompt.toAISDK({ name: 'Ada' })
  const metadata: Record<string, string> = manager.createTrackingMetadata(prompt, { customer_id: '12345' })
  // @ts-expect-error: an option that does not exist
  await manager.getPrompt('greeting', { alias: 'production' })
  return [from, model, tokens, system, metadata.prompt_name].join()
}
export const isMissing = (error: unknown) => error instanceof PromptsyncError && error.code === 'prompt.not_found'
`

t.test(
  'TypeScript knows its types as a module of either kind, with all libraries checked and without those of Node',
  async (t) => {
    const imports = "import { PromptManager, PromptsyncError, type Prompt } from 'promptsync/client'\n"
    const files = { 'typed.mts': imports + typed, 'typed.cts': imports + typed, 'typed.ts': imports + typed }
    for (const [file, text] of Object.entries(files)) await writeFile(join(project, file), text)
    const strict = {
      strict: true,
      noEmit: true,
      skipLibCheck: false,
      types: [],
      target: 'es2022',
      lib: ['es2022', 'dom', 'dom.iterable'],
    }
    const projects = {
      nodenext: { compilerOptions: { ...strict, module: 'nodenext' }, files: ['typed.mts', 'typed.cts'] },
      bundler: { compilerOptions: { ...strict, module: 'esnext', moduleResolution: 'bundler' }, files: ['typed.ts'] },
    }
    for (const [name, settings] of Object.entries(projects)) {
      const file = join(project, `tsconfig.${name}.json`)
      await writeFile(file, JSON.stringify(settings))
      t.equal(await compile(file), '', name)
    }
  },
)

/** What the compiler has to say. */
async function compile(file: string): Promise<string> {
  const child = spawn(process.execPath, [typescript, '-p', file], { env: { PATH: process.env.PATH ?? '' }, timeout: timeoutMs })
  let output = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  await new Promise((resolve) => child.on('close', resolve))
  return output
}

t.test('the package has what its exports name, and publishes it', async (t) => {
  const { exports, typesVersions } = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'))
  const targetsOf = (value: unknown): string[] =>
    typeof value === 'string' ? [value.replace('./', '')] : Object.values(value as object).flatMap(targetsOf)
  const targets = [...targetsOf(exports), ...targetsOf(typesVersions)]
  t.equal(targets.length, 7, 'found them')
  const env = { PATH: process.env.PATH ?? '', HOME: project }
  const packing = await runFile('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: installed,
    env,
    timeout: timeoutMs,
  })
  const packed = JSON.parse(packing.stdout)[0].files.map(({ path }: { path: string }) => path) as string[]
  const besides = (await readdir(inSdk('types-cjs'), { recursive: true })).filter((path) => path.endsWith('.d.ts'))
  const needed = [...targets, 'dist/sdk/LICENSES.txt', 'dist/sdk/types-cjs/package.json']
  for (const path of [...needed, ...besides.map((file) => `dist/sdk/types-cjs/${file}`)]) t.ok(packed.includes(path), path)
  const resolved = `for (const name of ['', '/client', '/package.json', '/openapi.json', '/dist/main.js'])
    try { require.resolve('promptsync' + name), console.log(name) } catch (error) { console.log(error.code) }`
  t.strictSame((await runProgram('resolve.cjs', resolved, {})).trim().split('\n'), [
    'ERR_PACKAGE_PATH_NOT_EXPORTED',
    '/client',
    '/package.json',
    '/openapi.json',
    'ERR_PACKAGE_PATH_NOT_EXPORTED',
  ])
})

/** Blocks of a guide in one language. */
function blocksOf(text: string, language: string): string[] {
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
    .filter(([, found]) => found === language)
    .map(([, , block = '']) => block)
}

/** Packages of others that the guide names, as far as it uses them: each shows what it was called with. */
const others = {
  openai: `export default class OpenAI { chat = { completions: { create: async (body) => ({ body }) } } }`,
  '@anthropic-ai/sdk': `export default class Anthropic { messages = { create: async (body) => ({ body }) } }`,
  ai: `export const generateText = async (settings) => ({ settings })`,
  '@ai-sdk/openai': `export const openai = (model) => ({ model })`,
}

t.test('every program in the guide runs and is typed', async (t) => {
  const guide = await readFile(join(packageRoot, 'docs', 'typescript.md'), 'utf8')
  await installOthers()
  await runCommands(blocksOf(guide, 'sh').filter((block) => block.startsWith('curl')))
  const programs = blocksOf(guide, 'ts')
  t.ok(programs.length >= 8, 'found them')
  for (const [index, program] of programs.entries()) {
    await writeFile(join(project, `guide-${index}.mts`), program)
    const { code } = await transform(program, { loader: 'ts', format: 'esm' })
    await writeFile(join(project, `guide-${index}.mjs`), code)
  }
  // One after the other in one process: what one pushes is no concern of the next, and starting a process for each takes long.
  const all = programs.map((_, index) => `await import('./guide-${index}.mjs')\nconsole.log('program ${index}')\n`)
  const said = await runProgram('guide.mjs', all.join(''), env)
  for (const [index, program] of programs.entries()) t.match(said, new RegExp(`^program ${index}$`, 'm'), program)
  const compilerOptions = { strict: true, noEmit: true, types: [], target: 'es2022', module: 'nodenext', lib: ['es2022', 'dom'] }
  const files = ['others.d.ts', ...programs.map((_, index) => `guide-${index}.mts`)]
  await writeFile(join(project, 'tsconfig.guide.json'), JSON.stringify({ compilerOptions, files }))
  t.equal(await compile(join(project, 'tsconfig.guide.json')), '')
})

async function installOthers(): Promise<void> {
  for (const [name, text] of Object.entries(others)) {
    const folder = join(project, 'node_modules', name)
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'package.json'), JSON.stringify({ name, type: 'module', exports: './index.js' }))
    await writeFile(join(folder, 'index.js'), text)
  }
  const declared = Object.keys(others).map((name) => `declare module '${name}'\n`)
  await writeFile(join(project, 'others.d.ts'), declared.join(''))
}

/** Runs commands as the documents have them. */
async function runCommands(commands: readonly string[]): Promise<void> {
  const curl = 'set -euo pipefail\ncurl() { command curl --silent --show-error --fail-with-body "$@"; }\n'
  const script = ['--norc', '-c', curl + commands.join('\n')]
  const variables = { PATH: process.env.PATH ?? '', URL: service.url, KEY: service.adminKey }
  await runFile('bash', script, { cwd: project, env: variables, timeout: timeoutMs })
}
