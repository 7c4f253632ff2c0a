import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { packageRoot } from '../../src/lib/package-root.js'
import { refused, shows } from '../helpers/assertions.js'
import { runs } from '../helpers/runs.js'
import { type CallOptions, startService } from '../helpers/service.js'

const service = await startService(t)
let projectCount = 0

/** An empty project of its own for one test. */
async function makeProject(settings: object = {}) {
  projectCount += 1
  const project = `fetch-${projectCount}`
  await service.call('/projects', { body: { slug: project, settings } })
  const call = (path: string, options: CallOptions = {}) => service.call(path, { project, ...options })
  return {
    call,
    project,
    push: (body: object) => service.push(body, { project }),
    fetch: (name: string, ref: string, query = '', options: CallOptions = {}) =>
      call(`/prompts/${encodeURIComponent(name)}/${encodeURIComponent(ref)}${query}`, options),
    move: (alias: string, version: string, prompt?: string) =>
      call(`/aliases/${alias}`, { method: 'PUT', body: { version, prompt } }),
  }
}

const prompts = (contents: Record<string, string>) => Object.entries(contents).map(([name, content]) => ({ name, content }))
const commitOf = (digit: string) => digit.repeat(40)

t.test('an answer has every field of the contract, in its order, and no other', async (t) => {
  const { fetch, push } = await makeProject()
  const version = {
    name: 'customer_support',
    content: 'You help {{ company_name }} {{ extra | default("") }}',
    config: { model: 'gpt-4o', temperature: 0.2 },
    inputs: { type: 'object', properties: { company_name: { type: 'string' } }, required: ['company_name'] },
    variants: [{ tags: { locale: 'cn', tone: 'friendly' }, content: '{{ company_name }} 你好' }],
  }
  const git = { repo: 'https://github.com/acme/app', commit: commitOf('a'), branch: 'main' }
  await push({
    version: 'v1.2.0',
    alias: 'production',
    git,
    files: [{ path: 'customer_support.yaml', content: JSON.stringify({ ...version, name: 'T' }) }],
  })
  const plain = await fetch('customer_support', 'production')
  t.equal(plain.status, 200)
  const { contentHash, createdAt } = plain.body
  t.match(contentHash, /^sha256:[0-9a-f]{64}$/)
  t.equal(new Date(createdAt).toISOString(), createdAt)
  const expected = {
    name: 'customer_support',
    version: 'v1.2.0',
    ref: 'production',
    release: 'v1.2.0',
    type: 'text',
    template: 'jinja',
    content: version.content,
    messages: null,
    config: version.config,
    inputs: version.inputs,
    variables: [
      { name: 'company_name', required: true },
      { name: 'extra', required: false },
    ],
    includes: {},
    tags: {},
    contentHash,
    source: 'registry',
    canary: null,
    git: { repo: git.repo, commit: git.commit, path: 'customer_support.yaml' },
    createdAt,
  }
  t.equal(plain.text, JSON.stringify(expected))

  const variant = await fetch('customer_support', 'production', '?tag=locale:cn&tag=tone:friendly')
  t.equal(
    variant.text,
    JSON.stringify({
      ...expected,
      content: '{{ company_name }} 你好',
      variables: [{ name: 'company_name', required: true }],
      tags: { locale: 'cn', tone: 'friendly' },
    }),
    'of a variant only its content, variables and tags differ; the hash is of the whole version',
  )
})

t.test('release is the one the ref names; by version, pin or latest the one that first held the version', async (t) => {
  const { fetch, push, move } = await makeProject()
  const git = (digit: string) => ({ repo: `https://git/${digit}`, commit: commitOf(digit) })
  await push({ version: 'one', git: git('1'), prompts: prompts({ x: 'a' }) })
  await push({ git: git('2'), prompts: prompts({ y: 'b' }) })
  await push({ version: 'three', alias: 'dev', git: git('3'), prompts: prompts({ x: 'a' }) })
  await move('pin', 'v1', 'x')
  const releases: Record<string, string> = {
    v1: 'one',
    one: 'one',
    latest: 'one',
    pin: 'one',
    r1: 'one',
    r2: 'r2',
    r3: 'three',
    three: 'three',
    dev: 'three',
    '1111111': 'one',
    '2222222': 'r2',
    '3333333': 'three',
  }
  for (const [ref, release] of Object.entries(releases)) {
    const { body } = await fetch('x', ref)
    const made = { repo: 'https://git/1', commit: commitOf('1'), path: null }
    shows(t, body, { name: 'x', ref, version: 'one', release, content: 'a', git: made })
  }
  shows(t, (await fetch('y', 'dev')).body, {
    version: 'v1',
    release: 'three',
    git: { repo: 'https://git/2', commit: commitOf('2'), path: null },
  })
  await push({ prompts: prompts({ z: 'c' }) })
  t.equal((await fetch('z', 'latest')).body.git, null, 'of a push without Git')
})

/** What the project should hold, kept beside it: the oracle of the resolution order. */
class Model {
  readonly versions = new Map<string, { content: string; label: string | null; release: number }[]>()
  readonly releases: { label: string | null; snapshot: Map<string, number> }[] = []
  readonly aliases = new Map<string, number>()
  readonly pins = new Map<string, number>()
  readonly commits: { commit: string; release: number }[] = []
  readonly archived = new Set<string>()

  release(number: number) {
    const found = this.releases[number - 1]
    if (!found) throw new Error(`No release ${number} in the model.`)
    return found
  }

  releaseRef = (number: number) => this.release(number).label ?? `r${number}`

  resolve(name: string, ref: string): Record<string, unknown> {
    const versions = this.versions.get(name)
    if (!versions) return { status: 404, code: 'prompt.not_found' }
    const ofVersion = (number: number) => this.answer(name, number, versions[number - 1]?.release ?? 0)
    const labelled = versions.findIndex(({ label }) => label === ref) + 1
    if (labelled > 0) return ofVersion(labelled)
    const number = Number(/^v([1-9]\d*)$/.exec(ref)?.[1] ?? 0)
    if (number > 0 && number <= versions.length) return ofVersion(number)
    const pin = this.pins.get(`${ref} ${name}`)
    if (pin !== undefined) return ofVersion(pin)
    const release = this.aliases.get(ref) ?? this.findRelease(ref) ?? this.findCommit(ref)
    if (release === 'ambiguous') return { status: 409, code: 'commit.ambiguous' }
    if (release !== undefined) return this.inRelease(name, release)
    if (ref === 'latest') return this.archived.has(name) ? { status: 404, code: 'prompt.archived' } : ofVersion(versions.length)
    return { status: 404 }
  }

  private findRelease(ref: string): number | undefined {
    const labelled = this.releases.findIndex(({ label }) => label === ref) + 1
    const number = Number(/^r([1-9]\d*)$/.exec(ref)?.[1] ?? 0)
    return [labelled, number].find((candidate) => candidate > 0 && candidate <= this.releases.length)
  }

  private findCommit(ref: string): number | 'ambiguous' | undefined {
    if (!/^[0-9a-f]{7,40}$/i.test(ref)) return undefined
    const links = this.commits.filter(({ commit }) => commit.startsWith(ref.toLowerCase()))
    if (new Set(links.map(({ commit }) => commit)).size > 1) return 'ambiguous'
    return links.length === 0 ? undefined : Math.max(...links.map(({ release }) => release))
  }

  private inRelease(name: string, release: number) {
    const number = this.release(release).snapshot.get(name)
    return number === undefined ? { status: 404, code: 'prompt.not_in_release' } : this.answer(name, number, release)
  }

  private answer(name: string, number: number, release: number) {
    const version = this.versions.get(name)?.[number - 1]
    return { status: 200, content: version?.content, version: version?.label ?? `v${number}`, release: this.releaseRef(release) }
  }
}

const names = ['x', 'group/y', '名']
const labels = ['1.0', 'v1.1.0', 'B+2']
const aliasNames = ['dev', 'prod.eu']
const commits = [`aaaaaaa${'1'.repeat(33)}`, `aaaaaaab${'2'.repeat(32)}`, `1234567${'c'.repeat(33)}`]

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('push' as const),
      contents: fc.dictionary(fc.constantFrom(...names), fc.constantFrom('p', 'q', 'r'), { minKeys: 1, maxKeys: 2 }),
      version: fc.option(fc.constantFrom(...labels), { nil: undefined }),
      alias: fc.option(fc.constantFrom(...aliasNames), { nil: undefined }),
      commit: fc.option(fc.constantFrom(...commits), { nil: undefined }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('move' as const), alias: fc.constantFrom(...aliasNames), at: fc.nat(9) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('pin' as const),
      alias: fc.constantFrom(...aliasNames),
      name: fc.constantFrom(...names),
      at: fc.nat(9),
    }),
  },
  {
    arbitrary: fc.record({
      kind: fc.constant('delete' as const),
      alias: fc.constantFrom(...aliasNames),
      name: fc.option(fc.constantFrom(...names), { nil: undefined }),
    }),
    weight: 1,
  },
  { arbitrary: fc.record({ kind: fc.constant('archive' as const), name: fc.constantFrom(...names) }), weight: 1 },
)
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never
type TestProject = Awaited<ReturnType<typeof makeProject>>

/** Takes one step in the project and notes in the model what the answer says was made. */
async function take(project: TestProject, model: Model, step: Step): Promise<void> {
  if (step.kind === 'push') return takePush(project, model, step)
  if (step.kind === 'archive') {
    if ((await project.call(`/prompts/${encodeURIComponent(step.name)}`, { method: 'DELETE' })).status === 200)
      model.archived.add(step.name)
    return
  }
  const query = 'name' in step && step.name ? `?prompt=${encodeURIComponent(step.name)}` : ''
  if (step.kind === 'delete') {
    const { status } = await project.call(`/aliases/${step.alias}${query}`, { method: 'DELETE' })
    if (status === 200) step.name ? model.pins.delete(`${step.alias} ${step.name}`) : model.aliases.delete(step.alias)
    return
  }
  const count = step.kind === 'pin' ? (model.versions.get(step.name)?.length ?? 0) : model.releases.length
  if (count === 0) return
  const number = (step.at % count) + 1
  const version = `${step.kind === 'pin' ? 'v' : 'r'}${number}`
  const { status, text } = await project.call(`/aliases/${step.alias}${query}`, { method: 'PUT', body: { version } })
  if (status > 201) throw new Error(text)
  if (step.kind === 'pin') model.pins.set(`${step.alias} ${step.name}`, number)
  else model.aliases.set(step.alias, number)
}

async function takePush(
  project: TestProject,
  model: Model,
  { contents, version, alias, commit }: Step & { kind: 'push' },
): Promise<void> {
  const git = commit && { commit: commit.toUpperCase() }
  const { status, body } = await project.call('/prompts', { body: { prompts: prompts(contents), version, alias, git } })
  if (status === 409) return
  if (status > 201) throw new Error(JSON.stringify(body))
  const { number, label } = body.release
  if (status === 201) {
    const base = (alias && model.aliases.get(alias)) || model.releases.length
    model.releases.push({ label, snapshot: new Map(base > 0 ? model.release(base).snapshot : []) })
  }
  for (const result of body.results) {
    const versions = model.versions.get(result.name) ?? []
    model.versions.set(result.name, versions)
    if (result.status === 'created')
      versions.push({ content: contents[result.name] ?? '', label: version ?? null, release: number })
    if (result.status === 'removed') model.release(number).snapshot.delete(result.name)
    else model.archived.delete(result.name)
    if (status === 201 && result.status !== 'removed') model.release(number).snapshot.set(result.name, result.number)
  }
  if (commit) model.commits.push({ commit, release: number })
  if (alias) model.aliases.set(alias, number)
}

function refsOf(model: Model): string[] {
  const numbers = (prefix: string, count: number) => Array.from({ length: count + 1 }, (_, index) => `${prefix}${index + 1}`)
  const mostVersions = Math.max(0, ...[...model.versions.values()].map((versions) => versions.length))
  const prefixes = commits.flatMap((commit) => [commit.slice(0, 7), commit.slice(0, 8).toUpperCase(), commit])
  return [
    ...labels,
    ...aliasNames,
    ...numbers('v', mostVersions),
    ...numbers('r', model.releases.length),
    ...new Set(prefixes),
    'latest',
    'unknown',
  ]
}

t.test('a ref resolves to version, pin, alias, release, commit or latest, in this order, whatever was done before', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 14, maxLength: 14 }), async (steps) => {
      const project = await makeProject()
      const model = new Model()
      for (const step of steps) await take(project, model, step)
      const pairs = names.flatMap((name) => refsOf(model).map((ref) => ({ name, ref })))
      await Promise.all(
        pairs.map(async ({ name, ref }) => {
          const { status, body } = await project.fetch(name, ref)
          const expected = model.resolve(name, ref)
          const got: Record<string, unknown> = { ...body, status }
          const differs = Object.keys(expected).some((field) => got[field] !== expected[field])
          if (differs)
            throw new Error(`${name}/${ref}: expected ${JSON.stringify(expected)}, got ${status} ${JSON.stringify(body)}`)
        }),
      )
    }),
    { numRuns: runs(5) },
  )
  t.pass('every ref answered as the model does')
})

t.test('a pin wins over the project alias of its name until it is deleted', async (t) => {
  const { call, fetch, push, move } = await makeProject()
  await push({ alias: 'dev', prompts: prompts({ x: 'a', y: 'c' }) })
  await push({ prompts: prompts({ x: 'b' }) })
  await move('dev', 'v2', 'x')
  shows(t, (await fetch('x', 'dev')).body, { content: 'b', version: 'v2', release: 'r2' })
  shows(t, (await fetch('y', 'dev')).body, { content: 'c', version: 'v1', release: 'r1' })
  await call('/aliases/dev?prompt=x', { method: 'DELETE' })
  shows(t, (await fetch('x', 'dev')).body, { content: 'a', version: 'v1', release: 'r1' })
})

t.test('a prompt that the release of an alias lacks is 404 and the answer says so', async (t) => {
  const { fetch, push } = await makeProject()
  await push({ alias: 'production', prompts: prompts({ x: 'a' }) })
  await push({ version: 'two', prompts: prompts({ y: 'b' }) })
  const answer = await fetch('y', 'production')
  refused(t, answer, 404, 'prompt.not_in_release')
  t.match(answer.body.detail, /r1.*"production".*"y"/)
  refused(t, await fetch('y', 'r1'), 404, 'prompt.not_in_release')
  t.equal((await fetch('y', 'two')).status, 200)
})

t.test('an unknown prompt or ref is 404, naming it and what may have been meant', async (t) => {
  const { fetch, push, project } = await makeProject()
  await push({ version: 'v1.2.0', alias: 'production', prompts: prompts({ customer_support: 'a' }) })
  const alias = await fetch('customer_support', 'prodution')
  refused(t, alias, 404, 'alias.not_found')
  t.equal(alias.body.detail, `No alias "prodution" in project "${project}". Did you mean "production"?`)
  const label = await fetch('customer_support', 'v1.2')
  t.equal(label.status, 404)
  t.match(label.body.detail, /"?v1\.2"?/)
  const name = await fetch('customer_suport', 'production')
  refused(t, name, 404, 'prompt.not_found')
  t.match(name.body.detail, /No prompt "customer_suport".*Did you mean "customer_support"\?/)
  refused(t, await fetch('customer_support', 'v2'), 404, 'ref.not_found')
  refused(t, await fetch('customer_support', 'r2'), 404, 'release.not_found')
  refused(t, await fetch('customer_support', 'abcdef1'), 404, 'release.not_found')
  refused(t, await fetch('customer_support', 'builtin'), 404, 'prompt.not_found')
  t.notMatch((await fetch('customer_support', 'zebra')).body.detail, /Did you mean/)
})

t.test('a commit answers by 7 to 40 of its digits in either case, and is ambiguous where two begin so', async (t) => {
  const { fetch, push } = await makeProject()
  const commit = '0123456789abcdef0123456789abcdef01234567'
  await push({ git: { commit }, prompts: prompts({ x: 'a' }) })
  for (let digits = 7; digits <= 40; digits += 3)
    t.equal((await fetch('x', commit.slice(0, digits))).body.content, 'a', `${digits} digits`)
  t.equal((await fetch('x', commit.toUpperCase())).body.content, 'a')
  t.equal((await fetch('x', commit.slice(0, 12).toUpperCase())).body.content, 'a')
  refused(t, await fetch('x', commit.slice(0, 6)), 404, 'ref.not_found')
  await push({ git: { commit: `${commit.slice(0, 39)}8` }, prompts: prompts({ x: 'b' }) })
  const ambiguous = await fetch('x', commit.slice(0, 10))
  refused(t, ambiguous, 409, 'commit.ambiguous')
  t.match(ambiguous.body.detail, /more digits/)
  t.equal((await fetch('x', commit)).body.content, 'a')
  await push({ git: { commit }, prompts: prompts({ x: 'c' }) })
  t.equal((await fetch('x', commit)).body.content, 'c', 'the newest release of a commit')
})

t.test('an archived prompt has no latest, and every other ref keeps answering', async (t) => {
  const { call, fetch, push, move } = await makeProject()
  await push({ version: 'one', alias: 'dev', git: { commit: commitOf('a') }, prompts: prompts({ x: 'a' }) })
  await move('pin', 'v1', 'x')
  await call('/prompts/x', { method: 'DELETE' })
  const latest = await fetch('x', 'latest')
  refused(t, latest, 404, 'prompt.archived')
  for (const ref of ['one', 'v1', 'r1', 'dev', 'pin', 'aaaaaaa']) t.equal((await fetch('x', ref)).body.content, 'a', ref)
  await push({ prompts: prompts({ x: 'a' }) })
  t.equal((await fetch('x', 'latest')).body.content, 'a')
})

t.test('variables are those of the chosen content; template none has none', async (t) => {
  const { fetch, push } = await makeProject()
  await push({
    prompts: [
      {
        name: 'chat',
        messages: [
          { role: 'system', content: '{{ a }}{{ b | default(1) }}' },
          { role: 'user', content: '{{ b }}' },
        ],
      },
      { name: 'raw', template: 'none', content: '{{ a }}' },
      { name: 'plain', content: 'no braces' },
    ],
  })
  t.strictSame((await fetch('chat', 'v1')).body.variables, [
    { name: 'a', required: true },
    { name: 'b', required: true },
  ])
  t.strictSame((await fetch('raw', 'v1')).body.variables, [])
  t.strictSame((await fetch('plain', 'v1')).body.variables, [])
})

t.test('the variant that matches most is chosen; without a match it is the version’s own content', async (t) => {
  const { fetch, push } = await makeProject()
  const variants = [
    { tags: { tone: 'formal' }, content: 'formal' },
    { tags: { locale: 'en' }, content: 'en' },
    { tags: { locale: 'en-US' }, content: 'en-US' },
    { tags: { locale: 'en', tone: 'formal' }, content: 'en formal' },
    { tags: { locale: 'de', tone: 'formal', x: 'a:b' }, content: 'de formal' },
  ]
  await push({ prompts: [{ name: 'x', content: 'own', variants }] })
  const chosen: Record<string, string> = {
    '': 'own',
    '?tag=locale:fr': 'own',
    '?tag=locale:en': 'en',
    '?tag=locale:en-GB': 'en',
    '?tag=locale:en-us-posix': 'en-US',
    '?tag=tone:formal': 'formal',
    '?tag=tone:formal&tag=locale:en-US': 'en formal',
    '?tag=tone:formal&tag=locale:fr': 'formal',
    '?tag=locale:de': 'de formal',
    '?tag=x:a:b': 'de formal',
    '?tag=unknown:1&tag=locale:en': 'en',
  }
  for (const [query, content] of Object.entries(chosen)) t.equal((await fetch('x', 'v1', query)).body.content, content, query)
})

t.test('names with slashes and of any script are fetched percent-encoded', async (t) => {
  const { call, push } = await makeProject()
  await push({ alias: 'dev', prompts: prompts({ 'meeting/standup': 'a', 客服: 'b', 'ñ/é.b-c_d': 'c', a: 'd' }) })
  t.equal((await call('/prompts/meeting%2Fstandup/dev')).body.content, 'a')
  t.equal((await call('/prompts/meeting%2fstandup/dev')).body.content, 'a')
  t.equal((await call('/prompts/%E5%AE%A2%E6%9C%8D/dev')).body.content, 'b')
  t.equal((await call(`/prompts/${encodeURIComponent('ñ/é.b-c_d')}/dev`)).body.name, 'ñ/é.b-c_d')
  const longest = `${'客'.repeat(99)}/${'ß'.repeat(100)}`
  await push({ prompts: prompts({ [longest]: 'e' }) })
  t.equal((await call(`/prompts/${encodeURIComponent(longest)}/latest`)).body.content, 'e')
})

t.test('names, refs and queries off their grammar are 422, a path that is no UTF-8 is 400', async (t) => {
  const { call, push } = await makeProject()
  await push({ prompts: prompts({ x: 'a' }) })
  const off = [
    '/prompts/Upper/latest',
    '/prompts/a%2F/latest',
    '/prompts/%2Fa/latest',
    '/prompts/a%2F%2Fb/latest',
    '/prompts/-a/latest',
    `/prompts/${encodeURIComponent('ﬁ')}/latest`,
    `/prompts/${encodeURIComponent('e\u0301')}/latest`,
    `/prompts/${'a'.repeat(201)}/latest`,
    '/prompts/x/-latest',
    '/prompts/x/a%20b',
    `/prompts/x/${'a'.repeat(64)}`,
    '/prompts/x/latest?tag=locale',
    '/prompts/x/latest?tag=:cn',
    '/prompts/x/latest?tag=locale:',
    '/prompts/x/latest?tag=locale:cn&tag=locale:de',
    '/prompts/x/latest?canary=on',
    '/prompts/x/latest?fallback=builtin',
    '/prompts/x/latest?key=',
    '/prompts/x/latest?key=a&key=b',
    '/prompts/x/latest?unknown=1',
    '/prompts/x/latest?limit=1',
  ]
  for (const path of off) refused(t, await call(path), 422, 'validation.failed')
  t.equal((await call('/prompts/%ff/latest')).status, 400)
  t.equal((await call('/prompts/%zz/latest')).status, 400)
})

t.test('the ETag is strong, the same for the same answer, and another for any other', async (t) => {
  const { fetch, push } = await makeProject()
  await push({ alias: 'dev', prompts: [{ name: 'x', content: 'a', variants: [{ tags: { a: 'b' }, content: 'v' }] }] })
  const etagOf = async (ref: string, query = '', headers = {}) => (await fetch('x', ref, query, { headers })).headers.get('etag')
  const etag = await etagOf('dev')
  t.match(etag, /^"[\x21\x23-\x7e]+"$/)
  t.equal(await etagOf('dev'), etag)
  await push({ prompts: prompts({ y: 'elsewhere' }) })
  t.equal(await etagOf('dev'), etag, 'what does not change the answer does not change its ETag')
  const others = [await etagOf('v1'), await etagOf('dev', '?tag=a:b'), await etagOf('dev', '', { accept: 'text/plain' })]
  t.equal(new Set([etag, ...others]).size, 4)
  await push({ alias: 'dev', prompts: prompts({ x: 'b' }) })
  t.not(await etagOf('dev'), etag)
})

t.test('If-None-Match gives 304 without a body, with the headers of the 200', async (t) => {
  const { fetch, push } = await makeProject()
  await push({ alias: 'dev', prompts: prompts({ x: 'a' }) })
  const full = await fetch('x', 'dev')
  const etag = full.headers.get('etag') ?? ''
  for (const given of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const answer = await fetch('x', 'dev', '', { headers: { 'if-none-match': given } })
    t.equal(answer.status, 304, given)
    t.equal(answer.text, '')
    for (const name of ['etag', 'vary', 'cache-control']) t.equal(answer.headers.get(name), full.headers.get(name), name)
  }
  for (const given of ['"other"', etag.slice(1, -1), 'W/"other"']) {
    t.equal((await fetch('x', 'dev', '', { headers: { 'if-none-match': given } })).status, 200, given)
  }
  const plain = await fetch('x', 'dev', '', { headers: { accept: 'text/plain', 'if-none-match': etag } })
  t.equal(plain.status, 200, 'the text is another representation')
})

t.test('HEAD answers the headers of GET without a body', async (t) => {
  const { fetch, push, project } = await makeProject()
  await push({ alias: 'dev', prompts: prompts({ x: 'a' }) })
  const get = await fetch('x', 'dev')
  const headers = { authorization: `Bearer ${service.adminKey}`, 'x-promptsync-project': project }
  const head = await globalThis.fetch(`${service.url}/prompts/x/dev`, { method: 'HEAD', headers })
  t.equal(head.status, 200)
  t.equal(await head.text(), '')
  for (const name of [
    'etag',
    'vary',
    'cache-control',
    'content-type',
    'content-length',
    'x-promptsync-version',
    'x-promptsync-source',
  ]) {
    t.equal(head.headers.get(name), get.headers.get(name), name)
  }
  const missing = await globalThis.fetch(`${service.url}/prompts/nothing/dev`, { method: 'HEAD', headers })
  t.equal(missing.status, 404)
})

t.test('the content alone is sent where Accept ranks text/plain above JSON', async (t) => {
  const { fetch, push } = await makeProject()
  const content = 'Grüße {{ name }}\r\n '
  await push({
    prompts: [
      { name: 'x', content },
      { name: 'chat', messages: [{ role: 'user', content: 'hi' }] },
    ],
  })
  const accepted = (name: string, accept: string) => fetch(name, 'v1', '', { headers: { accept } })
  for (const accept of [
    'text/plain',
    'text/*',
    'application/json;q=0.5, text/plain',
    'TEXT/PLAIN;q=0.2',
    '*/*;q=0.1, text/plain;q=0.2',
  ]) {
    const answer = await accepted('x', accept)
    t.equal(answer.text, content, accept)
    t.equal(answer.headers.get('content-type'), 'text/plain; charset=utf-8')
    t.equal(answer.headers.get('x-promptsync-version'), 'v1')
  }
  for (const accept of [
    'application/json',
    '*/*',
    'text/plain, application/json',
    'text/plain;q=0.5, application/json',
    'text/plain;q=0, */*',
  ]) {
    const answer = await accepted('x', accept)
    t.match(answer.headers.get('content-type'), /^application\/json/, accept)
    t.equal(answer.body.content, content)
  }
  const chat = await accepted('chat', 'text/plain')
  refused(t, chat, 406, 'representation.unavailable')
  t.match(chat.headers.get('content-type'), /^application\/problem\+json/)
  t.equal((await accepted('chat', 'text/plain, application/json;q=0.1')).body.type, 'chat')
})

t.test('Vary names what the answer depends on, and Cache-Control whether the ref can move', async (t) => {
  const { fetch, push, move } = await makeProject()
  await push({ version: 'one', alias: 'dev', git: { commit: commitOf('a') }, prompts: prompts({ x: 'a' }) })
  await move('pin', 'v1', 'x')
  const immutable = 'private, max-age=86400, immutable'
  const movable = 'private, max-age=0, stale-if-error=86400'
  const kinds: Record<string, string> = {
    one: immutable,
    v1: immutable,
    r1: immutable,
    dev: movable,
    pin: movable,
    latest: movable,
    aaaaaaa: movable,
  }
  for (const [ref, expected] of Object.entries(kinds)) {
    for (const accept of ['application/json', 'text/plain']) {
      const { headers } = await fetch('x', ref, '', { headers: { accept } })
      t.equal(headers.get('cache-control'), expected, ref)
      t.equal(headers.get('vary'), 'Accept, Authorization, X-API-Key, X-Promptsync-Project')
    }
  }
  t.equal(
    (await fetch('x', 'v1', '?fallback=default')).headers.get('cache-control'),
    immutable,
    'what the registry has is not out of the fallback chain',
  )
  t.equal((await fetch('x', 'nothing', '?fallback=default')).headers.get('cache-control'), 'no-store')
  t.equal((await fetch('x', 'nothing')).headers.get('cache-control'), 'no-store', 'a refusal is not kept')
})

t.test('what depends on the subject or the moment is in headers', async (t) => {
  const { call, fetch, push } = await makeProject()
  await push({ version: 'one', alias: 'dev', prompts: prompts({ x: 'a' }) })
  const plain = await fetch('x', 'dev', '?key=user-1')
  t.equal(plain.headers.get('x-promptsync-version'), 'one')
  t.equal(plain.headers.get('x-promptsync-source'), 'registry')
  await push({ version: 'two', prompts: prompts({ x: 'b' }) })
  await call('/canary', { body: { alias: 'dev', version: 'two', percentage: 50 } })
  t.match((await fetch('x', 'dev', '?key=user-1')).headers.get('x-promptsync-bucket'), /^\d{1,4}$/)
  for (const query of ['', '?key=user-1&canary=off'])
    t.equal((await fetch('x', 'dev', query)).headers.get('x-promptsync-bucket'), null, query)
})

t.test('subjects on one side of a canary get the same bytes and the same ETag', async (t) => {
  const { call, fetch, push } = await makeProject()
  await push({ version: 'one', alias: 'dev', prompts: prompts({ x: 'a' }) })
  await push({ version: 'two', prompts: prompts({ x: 'b' }) })
  await call('/canary', { body: { alias: 'dev', version: 'two', percentage: 50 } })
  const answers = await Promise.all(Array.from({ length: 40 }, (_, index) => fetch('x', 'dev', `?key=user-${index}`)))
  const variants = new Set(answers.map(({ text, headers }) => `${headers.get('etag')} ${text}`))
  t.equal(variants.size, 2, 'one answer for each side')
  t.ok(new Set(answers.map(({ headers }) => headers.get('x-promptsync-bucket'))).size > 2)
})

t.test('every path also works under /api', async (t) => {
  const { call, push } = await makeProject()
  await push({ alias: 'dev', prompts: prompts({ 'a/b': 'x' }) })
  const direct = await call('/prompts/a%2Fb/dev?tag=l:x')
  const below = await call('/api/prompts/a%2Fb/dev?tag=l:x')
  t.equal(below.status, 200)
  t.equal(below.text, direct.text)
  t.equal(below.headers.get('etag'), direct.headers.get('etag'))
  t.equal((await call('/api/prompts', { body: { prompts: prompts({ c: 'y' }) } })).status, 201)
  t.equal((await call('/api/livez')).status, 200)
})

const builtinOf = async (name: string) => {
  const text = await readFile(join(packageRoot, 'defaults', `${name}.md`), 'utf8')
  return text.slice(text.indexOf('\n---\n', 3) + '\n---\n'.length)
}

t.test('a built-in answers to latest and builtin in every project, and to no alias, version or release', async (t) => {
  const { fetch, push } = await makeProject()
  for (const ref of ['latest', 'builtin']) {
    const { status, body, headers } = await fetch('meeting', ref)
    t.equal(status, 200)
    shows(t, body, {
      name: 'meeting',
      version: 'builtin',
      ref,
      release: null,
      type: 'text',
      template: 'jinja',
      content: await builtinOf('meeting'),
      messages: null,
      config: {},
      includes: {},
      tags: {},
      source: 'default',
      canary: null,
      git: null,
    })
    t.match(body.contentHash, /^sha256:/)
    t.ok(body.variables.some(({ name, required }: { name: string; required: boolean }) => name === 'messages' && required))
    t.equal(headers.get('x-promptsync-source'), 'default')
    t.equal(headers.get('x-promptsync-version'), 'builtin')
    t.equal(headers.get('cache-control'), 'private, max-age=0, stale-if-error=86400')
  }
  for (const ref of ['production', 'v1', 'r1']) t.equal((await fetch('meeting', ref)).status, 404, ref)
  refused(t, await fetch('meeting', 'production'), 404, 'prompt.not_found')

  await push({ alias: 'production', prompts: prompts({ meeting: 'ours' }) })
  shows(t, (await fetch('meeting', 'latest')).body, { content: 'ours', source: 'registry', version: 'v1' })
  shows(t, (await fetch('meeting', 'builtin')).body, {
    content: await builtinOf('meeting'),
    source: 'default',
    version: 'builtin',
  })
})

t.test('fallback=default answers the built-in of the name, of its first segment, or the default one', async (t) => {
  const { call, fetch, push } = await makeProject()
  await push({ version: 'one', alias: 'production', prompts: prompts({ x: 'a' }) })
  await push({ prompts: prompts({ later: 'b' }) })
  await call('/prompts/later', { method: 'DELETE' })
  const cases: [name: string, ref: string, builtin: string, source: string][] = [
    ['meeting', 'production', 'meeting', 'default'],
    ['meeting', 'v7', 'meeting', 'default'],
    ['meeting/unknown', 'production', 'meeting', 'default'],
    ['meeting/a/b', 'latest', 'meeting', 'default'],
    ['default', 'production', 'default', 'default'],
    ['zzz', 'production', 'default', 'fallback'],
    ['zzz/meeting', 'latest', 'default', 'fallback'],
    ['zzz', 'builtin', 'default', 'fallback'],
    ['later', 'production', 'default', 'fallback'],
    ['later', 'latest', 'default', 'fallback'],
    ['x', 'unknown-alias', 'default', 'fallback'],
    ['x', 'abcdef1', 'default', 'fallback'],
  ]
  for (const [name, ref, builtin, source] of cases) {
    t.equal((await fetch(name, ref)).status, 404, `${name}/${ref} is 404 without it`)
    const { status, body, headers } = await fetch(name, ref, '?fallback=default')
    t.equal(status, 200, `${name}/${ref}`)
    shows(t, body, {
      name,
      ref,
      version: 'builtin',
      release: null,
      source,
      content: await builtinOf(builtin),
      canary: null,
      git: null,
    })
    t.equal(headers.get('cache-control'), 'no-store')
    t.equal(headers.get('x-promptsync-source'), source)
  }
  const known = await fetch('x', 'production', '?fallback=default')
  t.equal(known.text, (await fetch('x', 'production')).text, 'what the registry knows is answered as ever')
  t.equal((await fetch('Upper', 'latest', '?fallback=default')).status, 422, 'a bad request stays one')
})

t.test('an acknowledged write is served at once', async (t) => {
  const { call, fetch, push, move } = await makeProject()
  for (let number = 1; number <= 5; number += 1) {
    await push({ alias: 'dev', prompts: prompts({ x: `${number}` }) })
    t.equal((await fetch('x', 'dev')).body.content, `${number}`)
    t.equal((await fetch('x', 'latest')).body.content, `${number}`)
  }
  await move('dev', 'r2')
  t.equal((await fetch('x', 'dev')).body.content, '2')
  await call('/aliases/dev/rollback', { method: 'POST' })
  t.equal((await fetch('x', 'dev')).body.content, '5')
  await move('dev', 'v1', 'x')
  t.equal((await fetch('x', 'dev')).body.content, '1')
})

t.test('nobody sees one prompt of a new release and then another of the old one through the same alias', async (t) => {
  const { fetch, push } = await makeProject()
  await push({ alias: 'dev', prompts: prompts({ a: '0', b: '0' }) })
  let writing = true
  const seen: [a: number, b: number][] = []
  const read = async () => {
    while (writing) {
      const a = Number((await fetch('a', 'dev')).body.content)
      const b = Number((await fetch('b', 'dev')).body.content)
      seen.push([a, b])
    }
  }
  const readers = [read(), read(), read()]
  for (let number = 1; number <= 12; number += 1)
    await push({ alias: 'dev', prompts: prompts({ a: `${number}`, b: `${number}` }) })
  writing = false
  await Promise.all(readers)
  t.ok(seen.length > 5)
  t.strictSame(
    seen.filter(([a, b]) => b < a),
    [],
  )
})
