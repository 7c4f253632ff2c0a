import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { lstat, mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import fc from 'fast-check'
import t from 'tap'
import { DiskCache, type Owner, type Stored } from '../../src/client/disk-cache.js'
import type { PromptsyncError } from '../../src/client/problem.js'
import { packageRoot } from '../../src/lib/package-root.js'
import { makeDirectory } from '../helpers/process.js'
import { runs } from '../helpers/runs.js'

const token = 'ps_a_secret_that_is_in_no_file'
const owner: Owner = { url: 'http://127.0.0.1:3000', token, project: 'acme' }

const storedOf = (content: string, confirmedAt = 1_700_000_000_000): Stored => {
  const prompt = {
    ...{
      content,
      messages: null,
      variables: [],
      version: 'v1',
      release: 'r1',
      type: 'text' as const,
      template: 'jinja' as const,
    },
    ...{ config: {}, inputs: null, includes: {}, variants: [], contentHash: 'sha256:0', git: null, createdAt: null },
  }
  const stable = { release: 'r1', version: 'v1', prompt, problem: null }
  return { plan: { name: 'one', ref: 'dev', by: 'alias', source: 'registry', stable, canary: null }, etag: '"1"', confirmedAt }
}

function open(folder: string, options: { owner?: Owner; maxBytes?: number } = {}) {
  const errors: PromptsyncError[] = []
  const cache = new DiskCache({ folder, owner, maxBytes: 1_000_000, onError: (error) => errors.push(error), ...options })
  return { cache, errors }
}

t.test('a plan is read as it was written, by its owner alone, from a file that nobody else may read', async (t) => {
  const folder = join(await makeDirectory(t), 'deep', 'cache')
  const { cache, errors } = open(folder)
  t.equal(await cache.read('one', 'dev'), null)
  await cache.write('one', 'dev', storedOf('Hello 客服!'))
  t.strictSame(await cache.read('one', 'dev'), storedOf('Hello 客服!'))
  t.equal(await cache.read('one', 'other'), null)
  t.equal(await cache.read('other', 'dev'), null)
  for (const other of [
    { ...owner, project: 'other' },
    { ...owner, url: 'http://127.0.0.1:3001' },
    { ...owner, project: null },
  ]) {
    t.equal(await open(folder, { owner: other }).cache.read('one', 'dev'), null)
  }
  t.strictSame(
    await open(folder, { owner: { ...owner, token: 'ps_the_next_key' } }).cache.read('one', 'dev'),
    storedOf('Hello 客服!'),
  )
  const [file = '', ...others] = await readdir(folder)
  t.same(others, [])
  t.equal((await stat(join(folder, file))).mode & 0o777, 0o600)
  t.equal((await stat(folder)).mode & 0o777, 0o700)
  t.notMatch((await readFile(join(folder, file), 'utf8')) + file, token)
  await cache.delete('one', 'dev')
  t.same(await readdir(folder), [])
  t.same(errors, [])
})

t.test('keys whose project nobody named read nothing of each other', async (t) => {
  const folder = await makeDirectory(t)
  const nameless = { ...owner, project: null }
  await open(folder, { owner: nameless }).cache.write('one', 'dev', storedOf('Mine.'))
  t.equal(await open(folder, { owner: { ...nameless, token: 'ps_of_another_project' } }).cache.read('one', 'dev'), null)
  t.ok(await open(folder, { owner: nameless }).cache.read('one', 'dev'))
})

t.test('whatever else stands in a file is no plan, and is removed', async (t) => {
  const folder = await makeDirectory(t)
  const { cache, errors } = open(folder)
  await cache.write('one', 'dev', storedOf('Hello!'))
  const [name = ''] = await readdir(folder)
  const file = join(folder, name)
  const whole = await readFile(file)
  const isIgnored = async (bytes: Uint8Array) => {
    await writeFile(file, bytes)
    t.equal(await cache.read('one', 'dev'), null)
    t.same(await readdir(folder), [])
  }
  const changed = fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, by]) => {
    const bytes = Buffer.from(whole)
    bytes[at] = (bytes[at] ?? 0) ^ by
    return bytes
  })
  const cut = fc.nat(whole.length - 1).map((length) => whole.subarray(0, length))
  await fc.assert(fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 200 }), changed, cut), isIgnored), { numRuns: runs(200) })
  const later = String(whole).replace('"format":1', '"format":2')
  await isIgnored(Buffer.from(later))
  t.same(errors, [])
})

t.test('a pipe or a folder in the place of a plan is waited for by nobody', async (t) => {
  const folder = await makeDirectory(t)
  const { cache, errors } = open(folder)
  await cache.write('one', 'dev', storedOf('Hello.'))
  const [file = ''] = await readdir(folder)
  for (const [put, rest] of [
    [() => promisify(execFile)('mkfifo', [join(folder, file)]), []],
    [() => mkdir(join(folder, file)), [file]],
  ] as const) {
    await rm(join(folder, file), { recursive: true, force: true })
    await put()
    t.equal(await cache.read('one', 'dev'), null)
    t.same(await readdir(folder), rest, 'a pipe is removed, a folder is not ours')
  }
  t.equal(errors.length, 1)
})

t.test('the oldest plans go when the folder is full, and drafts that nobody finished', async (t) => {
  const folder = await makeDirectory(t)
  const { cache, errors } = open(folder, { maxBytes: 100_000 })
  await writeFile(join(folder, 'notes.txt'), 'Not ours.')
  const loop = join(folder, `${'c'.repeat(64)}.plan.json`)
  await symlink(loop, loop)
  const [draft, foreign] = [
    join(folder, `${'a'.repeat(64)}.plan.json.11-22.tmp`),
    join(folder, `${'b'.repeat(64)}.plan.json.33-44.tmp`),
  ]
  await Promise.all([writeFile(draft, 'x'), writeFile(foreign, 'x')])
  await utimes(draft, 0, 0)
  const sizeOf = async (file: string) => (await lstat(join(folder, file))).size
  for (let index = 0; index < 40; index += 1) {
    const stored = storedOf('客'.repeat(3_000))
    await cache.write('one', `r${index + 1}`, { ...stored, plan: { ...stored.plan, ref: `r${index + 1}` } })
    const sizes = await Promise.all((await readdir(folder)).map(sizeOf))
    t.ok(sizes.reduce((sum, size) => sum + size, 0) <= 110_000)
  }
  t.same(errors, [], 'a link that leads nowhere is in nobody’s way')
  await rm(loop)
  const files = await readdir(folder)
  t.ok(files.includes('notes.txt') && files.some((file) => foreign.endsWith(file)) && !files.some((file) => draft.endsWith(file)))
  t.ok(await cache.read('one', 'r40'))
  t.equal(await cache.read('one', 'r1'), null)
})

t.test('a folder that cannot be used is told of once, and fails nothing', async (t) => {
  const folder = await makeDirectory(t)
  await writeFile(join(folder, 'file'), '')
  const { cache, errors } = open(join(folder, 'file', 'cache'))
  for (let index = 0; index < 3; index += 1) {
    await cache.write('one', 'dev', storedOf('Hello!'))
    t.equal(await cache.read('one', 'dev'), null)
    await cache.delete('one', 'dev')
  }
  t.match(errors, [{ code: 'client.cache', message: /ENOTDIR/ }])
  t.equal(errors.length, 1)
  const other = open(folder)
  await other.cache.write('one', 'dev', storedOf('Hello!'))
  const name = (await readdir(folder)).find((entry) => entry.endsWith('.json')) ?? ''
  await other.cache.delete('one', 'dev')
  await mkdir(join(folder, name))
  t.equal(await other.cache.read('one', 'dev'), null)
  t.equal(other.errors.length, 1)
})

t.test('processes that share a folder never read half a plan', async (t) => {
  const directory = await makeDirectory(t)
  const module = join(directory, 'disk-cache.mjs')
  const entryPoints = [join(packageRoot, 'src/client/disk-cache.ts')]
  await build({ entryPoints, bundle: true, platform: 'node', format: 'esm', outfile: module, logLevel: 'error' })
  const program = `
    import { DiskCache } from ${JSON.stringify(module)}
    const [folder, letter] = process.argv.slice(1)
    const errors = []
    const cache = new DiskCache({ folder, owner: ${JSON.stringify(owner)}, maxBytes: 500_000, onError: (error) => errors.push(error) })
    const stored = ${JSON.stringify(storedOf(''))}
    let found = 0
    for (let turn = 0; turn < 250; turn += 1) {
      const ref = 'r' + (1 + (turn % 3))
      const read = await cache.read('one', ref)
      const content = read?.plan.stable.prompt.content
      if (read) found += 1
      if (read && !/^(a{60000}|b{50000})$/.test(content)) throw new Error('Half a plan: ' + content.length)
      stored.plan.ref = ref
      stored.plan.stable.prompt.content = letter.repeat(letter === 'a' ? 60_000 : 50_000)
      await cache.write('one', ref, structuredClone(stored))
      if (turn % 50 === 49) await cache.delete('one', ref)
    }
    console.log(JSON.stringify({ isFound: found > 200, errors }))`
  const outputs = await Promise.all(
    ['a', 'b', 'a'].map(async (letter) => {
      const args = ['--input-type=module', '-e', program, join(directory, 'cache'), letter]
      const child = spawn(process.execPath, args, { env: { PATH: process.env.PATH }, stdio: ['ignore', 'pipe', 'inherit'] })
      t.teardown(() => child.kill('SIGKILL'))
      let output = ''
      child.stdout.on('data', (chunk) => (output += chunk))
      const [code] = await once(child, 'close')
      return { code, ...JSON.parse(output || '{}') }
    }),
  )
  t.same(outputs, Array(3).fill({ code: 0, isFound: true, errors: [] }))
  t.same(
    (await readdir(join(directory, 'cache'))).filter((file) => file.endsWith('.tmp')),
    [],
  )
})
