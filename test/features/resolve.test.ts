import fc from 'fast-check'
import t from 'tap'
import { refused, shows } from '../helpers/assertions.js'
import { readMetrics } from '../helpers/metrics.js'
import { type Ask, handledDuring, mostly, openReadPath } from '../helpers/read-path.js'
import { runs } from '../helpers/runs.js'
import {
  type Answer,
  type CallOptions,
  createStandingClock,
  openDatabase,
  type Service,
  startService,
} from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { watched } from '../helpers/watched.js'

const stalenessMs = 5_000
const day = 24 * 60 * 60 * 1_000
const base = await openDatabase(t)
const seen = watched(base)
/** It goes on by hand alone: how long a test takes makes no difference. */
const here = await startService(t, { connection: base, clock: createStandingClock() })
/** Without a Redis, so that what it knows is in its own memory. */
const there = await startService(t, { connection: seen.connection, clock: here.clock, env: { REDIS_URL: '' } })
const { overHttp, injected, compare } = openReadPath(t, here)

const path = (routes: string[], version = 'v1') => `version: ${version}\nroutes:\n${routes.map((one) => `  - ${one}\n`).join('')}`
const threeRoutes = path(['"prompts/{category}/{channel}.md"', '"prompts/{category}/default.md"', '"prompts/default.md"'])
const meetings = {
  PATH: threeRoutes,
  'prompts/meeting/standup.md': 'Stand-up of {{ team }}',
  'prompts/meeting/default.md': 'Any meeting',
}
const standup = 'category=meeting&channel=standup'
const anyMeeting = 'category=meeting&channel=retro'

let projectCount = 0

type Files = Record<string, string>

/** A project of its own for one test, and what is asked of it. */
async function makeProject(settings: object = {}) {
  projectCount += 1
  const slug = `resolve-${projectCount}`
  await here.call('/projects', { body: { slug, settings } })
  const { id } = await base.client.project.findUniqueOrThrow({ where: { slug } })
  const at =
    (instance: Service) =>
    (path: string, options: CallOptions = {}) =>
      instance.call(path, { project: slug, ...options })
  const call = at(here)
  const sync = async (files: Files, { name = 'team', ...more }: { name?: string } & Record<string, unknown> = {}) => {
    const put = await call(`/sources/${name}`, {
      method: 'PUT',
      body: { provider: 'inline', config: { files }, enabled: false, ...more },
    })
    if (put.status > 201) throw new Error(put.text)
    const run = await call(`/sources/${name}/sync`, { method: 'POST' })
    if (run.body.status !== 'success') throw new Error(run.text)
    return run.body
  }
  const resolve = (query: string, options: CallOptions = {}) => call(`/resolve?${query}`, options)
  // What nobody looks for is not missed: the state counts of sources that are enabled.
  const change = (data: object) =>
    base.client.source.updateMany({ where: { project: { slug } }, data: { enabled: true, ...data } })
  const alias = (body: object, name = 'production') => call(`/aliases/${name}`, { method: 'PUT', body })
  return { slug, id: `${id}`, call, there: at(there), sync, resolve, change, alias }
}

function waitForStaleness(): void {
  here.clock.advance(stalenessMs + 1)
}

/** That an answer came from this level, with this text. */
function comesFrom(t: Tap, { status, body, text }: Answer, level: string, content?: string | RegExp): void {
  t.equal(status, 200, `${level}: ${text.slice(0, 200)}`)
  t.equal(body.level, level)
  if (content !== undefined) t.match(body.content, content)
}
type Tap = Pick<typeof t, 'equal' | 'match'>

async function withoutBuiltins(instance: Service, names: string[], work: () => Promise<void>): Promise<void> {
  const { deps } = instance
  const all = deps.builtins
  deps.builtins = new Map([...all].filter(([name]) => !names.includes(name)))
  try {
    await work()
  } finally {
    deps.builtins = all
  }
}

/** For tests that change nothing of it. */
const common = await makeProject()
await common.sync({ ...meetings, 'prompts/meeting/planning.md': 'Planning', 'prompts/meeting/review.md': 'Review' })

t.test('a context gets the prompt of the first route whose file is there, and how it was found', async (t) => {
  const { resolve } = common
  const first = await resolve(standup)
  shows(t, first.body, {
    ...{ name: 'meeting/standup', ref: 'production', release: 'r1', content: 'Stand-up of {{ team }}', source: 'registry' },
    ...{ level: 'registry', stale: false, route: 'prompts/{category}/{channel}.md', tried: ['prompts/meeting/standup.md'] },
    origin: { source: 'team', paths: ['prompts/meeting/standup.md'] },
  })
  t.equal(first.headers.get('x-promptsync-version'), 'v1')
  t.equal(first.headers.get('x-promptsync-source'), 'registry')
  t.equal(first.headers.get('cache-control'), 'private, max-age=0, stale-if-error=86400')
  shows(t, (await resolve('category=Meeting&channel=Stand%20Up')).body, {
    ...{ name: 'meeting/default', route: 'prompts/{category}/default.md' },
    tried: ['prompts/meeting/stand-up.md', 'prompts/meeting/default.md'],
  })
})

t.test('each of the four levels answers, is named, and is counted', async (t) => {
  const { sync, resolve, change } = await makeProject()
  await sync(meetings, { ttlSeconds: 10, staleSeconds: 60 })
  const counted = async () => {
    const metrics = await readMetrics(here)
    const of = (level: string) => metrics(`promptsync_resolutions_total{level="${level}"}`)
    return { registry: of('registry'), stale: of('stale'), default: of('default'), fallback: of('fallback') }
  }
  const before = await counted()
  const told = async (query: string, level: string, source: string) => {
    for (const way of ['the route', 'again']) {
      const answer = await resolve(query)
      comesFrom(t, answer, level)
      shows(t, answer.body, { stale: level === 'stale', source })
      t.equal(answer.headers.get('x-promptsync-source'), level, way)
      t.equal(answer.headers.get('cache-control') === 'no-store', source !== 'registry')
    }
  }
  await told(standup, 'registry', 'registry')
  await change({ unreachableSince: here.clock.now() })
  here.clock.advance(11_000)
  await told(standup, 'stale', 'registry')
  here.clock.advance(60_000)
  await told(standup, 'default', 'default')
  await told('category=knitting', 'fallback', 'fallback')
  const after = await counted()
  const expected = { registry: 2, stale: 2, default: 2, fallback: 2 }
  t.strictSame(
    { ...expected },
    Object.fromEntries(Object.entries(after).map(([level, n]) => [level, n - before[level as 'stale']])),
  )
})

t.test('the last resort is the global built-in, and without it a fixed text', async (t) => {
  const { resolve } = await makeProject()
  comesFrom(t, await resolve('category=meeting'), 'default')
  for (const query of ['', 'category=default', 'category=knitting', 'category=', 'channel=meeting', 'category=..%2Fmeeting%2F..'])
    t.equal((await resolve(query)).body.level, query.includes('..') ? 'default' : 'fallback', query)
  await withoutBuiltins(here, ['meeting'], async () => {
    const answer = await resolve('category=meeting')
    comesFrom(t, answer, 'fallback')
    shows(t, answer.body, { name: 'default', version: 'builtin', route: null, origin: null, release: null })
  })
  await withoutBuiltins(here, ['meeting', 'default'], async () => {
    for (const query of ['category=meeting', '']) comesFrom(t, await resolve(query), 'fallback', /^You are a helpful assistant\./)
  })
})

t.test('a source out of reach is stale after its ttlSeconds, without end unless staleSeconds sets one', async (t) => {
  const { sync, resolve, change } = await makeProject()
  await sync(meetings, { ttlSeconds: 10 })
  comesFrom(t, await resolve(standup), 'registry')
  await change({ unreachableSince: here.clock.now() })
  here.clock.advance(9_000)
  comesFrom(t, await resolve(standup), 'registry')
  here.clock.advance(2_000)
  comesFrom(t, await resolve(standup), 'stale', /^Stand-up/)
  here.clock.advance(30 * day)
  comesFrom(t, await resolve(standup), 'stale', /^Stand-up/)
  await change({ staleSeconds: 31 * 24 * 3_600 })
  waitForStaleness()
  comesFrom(t, await resolve(standup), 'stale', /^Stand-up/)
  await change({ staleSeconds: 3_600 })
  waitForStaleness()
  comesFrom(t, await resolve(standup), 'default')
  await change({ unreachableSince: null })
  waitForStaleness()
  comesFrom(t, await resolve(standup), 'registry', /^Stand-up/)
})

t.test('a known caller gets an answer whatever is broken', async (t) => {
  const project = await makeProject()
  const { call, sync, resolve } = project
  const { secret } = await here.createKey({ name: 'reader', project: project.slug, scopes: ['prompts:read'] })
  const asReader = (query: string) => resolve(query, { key: secret })
  comesFrom(t, await asReader(standup), 'default')
  await sync(meetings)
  comesFrom(t, await asReader(standup), 'registry')
  for (const ref of ['nowhere', 'v1', 'r99', 'builtin', 'c0ffee1', 'x'.repeat(63)])
    comesFrom(t, await asReader(`${standup}&ref=${ref}`), 'default')
  for (const ref of ['production', 'r1', 'latest']) comesFrom(t, await asReader(`${standup}&ref=${ref}`), 'registry')

  await call('/prompts/meeting%2Fstandup', { method: 'DELETE' })
  comesFrom(t, await asReader(standup), 'registry', /^Stand-up/)
  await call('/prompts/meeting%2Fstandup/v1/purge', { body: { reason: 'a name' } })
  comesFrom(t, await asReader(standup), 'registry', 'Any meeting')
  await call('/prompts/meeting%2Fdefault/v1/purge', { body: { reason: 'a name' } })
  comesFrom(t, await asReader(standup), 'default')
  await call('/aliases/production', { method: 'DELETE' })
  comesFrom(t, await asReader(standup), 'default')
  await here.push({ alias: 'production', prompts: [{ name: 'pushed', content: 'x' }] }, { project: project.slug })
  comesFrom(t, await asReader(standup), 'default')
})

t.test('who may not read the project is told what a fetch tells', async (t) => {
  const [project, other] = [common, await makeProject()]
  const keyOf = async (key: object) => (await here.createKey({ name: 'k', ...key })).secret
  const strangers = {
    nobody: null,
    unknown: 'ps_nobody',
    ofAnother: await keyOf({ project: other.slug, scopes: ['prompts:read'] }),
    withoutScope: await keyOf({ project: project.slug, scopes: ['prompts:write'] }),
  }
  for (const [who, key] of Object.entries(strangers)) {
    for (const slug of [project.slug, 'nowhere']) {
      const fetched = await here.call('/prompts/x/production', { key, project: slug })
      for (const body of [undefined, {}]) {
        const answer = await here.call(`/resolve?${standup}`, { key, project: slug, body })
        t.strictSame(
          [answer.status, answer.body.code, answer.body.detail],
          [fetched.status, fetched.body.code, fetched.body.detail],
          who,
        )
        t.ok(answer.status >= 400, who)
      }
    }
  }
  const open = await makeProject({ publicRead: true })
  comesFrom(t, await open.resolve(standup, { key: null }), 'default')
  refused(t, await open.call(`/resolve/preview?${standup}`, { key: null }), 401, 'auth.required')
  const { secret } = await here.createKey({ name: 'k', project: project.slug, scopes: ['prompts:read'] })
  refused(t, await project.call(`/resolve/preview?${standup}`, { key: secret }), 403, 'scope.missing')
})

t.test('a context off its grammar is 422, in the query as in the body', async (t) => {
  const { resolve, call } = common
  const many = (count: number) => Array.from({ length: count }, (_, index) => `v${index}=x`).join('&')
  const bad = [
    ...[`category=${'x'.repeat(101)}`, 'a-b=1', '1a=x', 'a%20b=x', '=x', `${'v'.repeat(65)}=x`, 'category=a&category=b', 'a=%00'],
    ...[many(51), 'ref=!', 'ref=', 'key=', 'canary=on', 'tag=x'],
  ]
  for (const query of bad) {
    t.equal((await resolve(query)).status, 422, query)
    t.equal((await resolve(query, { body: {} })).status, 422, `POST ${query}`)
  }
  for (const query of [many(50), `category=${'x'.repeat(100)}`, 'a%20b'.replace('%20', '_'), '__proto__=x', 'constructor=y'])
    t.equal((await resolve(query)).status, 200, query)
  const bodies = [
    ...[{ context: { 'a-b': 'x' } }, { context: { a: 'x'.repeat(101) } }, { context: { a: 1 } }, { context: [] }, { other: 1 }],
    ...[
      {
        context: Object.fromEntries(
          many(51)
            .split('&')
            .map((pair) => pair.split('=')),
        ),
      },
      { ref: '!' },
      { canary: 'on' },
    ],
  ]
  for (const body of bodies) refused(t, await call('/resolve', { body }), 422, 'validation.failed')
})

t.test('HEAD, If-None-Match, Accept and /api do what they do for a fetch', async (t) => {
  const { resolve, call, slug } = common
  for (const way of ['the route', 'again']) {
    const answer = await resolve(standup)
    const etag = answer.headers.get('etag') ?? ''
    t.equal((await call(`/api/resolve?${standup}`)).text, answer.text, way)
    const headers = { authorization: `Bearer ${here.adminKey}`, 'x-promptsync-project': slug }
    const head = await overHttp({ method: 'HEAD', path: `/resolve?${standup}`, headers })
    t.strictSame([head.status, head.body, head.headers.etag], [200, '', etag])
    const same = await overHttp({
      method: 'GET',
      path: `/resolve?${standup}`,
      headers: { ...headers, 'if-none-match': `W/${etag}` },
    })
    t.strictSame([same.status, same.body, same.headers.etag], [304, '', etag])
    t.equal((await resolve(standup, { headers: { 'if-none-match': '"other"' } })).status, 200)
    const text = await resolve(standup, { headers: { accept: 'text/plain' } })
    t.strictSame([text.text, text.headers.get('content-type')], ['Stand-up of {{ team }}', 'text/plain; charset=utf-8'])
    t.not(text.headers.get('etag'), etag)
    t.match(text.headers.get('vary'), /^Accept, /)
  }
  refused(t, await call('/resolve', { method: 'DELETE' }), 405, 'method.not_allowed')
})

t.test('a subject is on one side of a canary in fetch and in resolve; a pin wins, and tags choose variants', async (t) => {
  const { sync, call, alias } = await makeProject()
  const styled = (tone: string) => `content: Plain ${tone}\nvariants:\n  - tags: { tone: kind }\n    content: Kind ${tone}\n`
  const PATH = path(['"prompts/{category}/{channel}.yaml"', '"prompts/{category}/default.md"'])
  await sync({
    PATH,
    'prompts/meeting/standup.yaml': styled('one'),
    'prompts/meeting/retro.yaml': styled('r'),
    'prompts/meeting/default.md': 'Any',
  })
  await sync(
    { PATH, 'prompts/meeting/standup.yaml': styled('two'), 'prompts/meeting/default.md': 'Any of two' },
    { alias: 'dev' },
  )
  await call('/canary', { body: { alias: 'production', version: 'r2', percentage: 50 } })
  const sides = new Set<boolean>()
  for (let subject = 0; subject < 6; subject += 1) {
    const query = `key=user-${subject}&tag=tone:kind`
    const fetched = await call(`/prompts/meeting%2Fstandup/production?${query}`)
    const { selected } = fetched.body.canary
    sides.add(selected)
    for (const way of ['the route', 'again']) {
      const answer = await call(`/resolve?${standup}&${query}`)
      shows(t, answer.body, { canary: fetched.body.canary, content: selected ? 'Kind two' : 'Kind one', tags: { tone: 'kind' } })
      t.equal(answer.headers.get('x-promptsync-bucket'), fetched.headers.get('x-promptsync-bucket'), way)
      const lacking = await call(`/resolve?${anyMeeting}&${query}`)
      t.equal(lacking.body.content, selected ? 'Any of two' : 'Kind r', 'the side without the file goes on by its own routes')
    }
    const rendered = await call('/resolve', {
      body: { context: { category: 'meeting', channel: 'standup' }, key: `user-${subject}` },
    })
    t.equal(rendered.body.text, selected ? 'Plain two' : 'Plain one')
  }
  t.equal(sides.size, 2)
  const off = await call(`/resolve?${standup}&key=user-1&canary=off`)
  t.strictSame([off.body.content, off.body.canary, off.headers.get('x-promptsync-bucket')], ['Plain one', null, null])
  const drawn = new Set<string>()
  for (let times = 0; times < 60 && drawn.size < 2; times += 1) drawn.add((await call(`/resolve?${standup}`)).body.content)
  t.equal(drawn.size, 2, 'without a key every request draws anew')

  await alias({ prompt: 'meeting/standup', version: 'v2' })
  for (let subject = 0; subject < 6; subject += 1)
    t.equal((await call(`/resolve?${standup}&key=user-${subject}`)).body.content, 'Plain two', 'pinned')
  await call('/canary', { body: { alias: 'production', prompt: 'meeting/standup', version: 'v1', percentage: 50 } })
  for (const way of ['the route', 'again']) {
    for (let subject = 0; subject < 6; subject += 1) {
      const fetched = await call(`/prompts/meeting%2Fstandup/production?key=user-${subject}`)
      const answer = await call(`/resolve?${standup}&key=user-${subject}`)
      // On the canary side of the alias the same pin holds.
      t.strictSame([answer.body.content, answer.body.canary], [fetched.body.content, fetched.body.canary], way)
    }
  }
})

t.test('what answers instead of the refused side of a pin is for the subjects of that side alone', async (t) => {
  const { sync, call, alias } = await makeProject()
  await sync({ ...meetings, 'prompts/meeting/standup.md': 'One' })
  await sync({ ...meetings, 'prompts/meeting/standup.md': 'Two' }, { alias: 'dev' })
  await alias({ prompt: 'meeting/standup', version: 'v1' })
  await call('/canary', { body: { alias: 'production', prompt: 'meeting/standup', version: 'v2', percentage: 50 } })
  await call('/prompts/meeting%2Fstandup/v2/purge', { body: { reason: 'a name' } })
  const answers = new Set<string>()
  for (const way of ['the route', 'again']) {
    for (let subject = 0; subject < 8; subject += 1) {
      const { status } = await call(`/prompts/meeting%2Fstandup/production?key=user-${subject}`)
      const { content } = (await call(`/resolve?${standup}&key=user-${subject}`)).body
      t.equal(content, status === 200 ? 'One' : 'Any meeting', `${way}, ${subject}`)
      answers.add(content)
    }
  }
  t.equal(answers.size, 2)
})

t.test(
  'what is written is in the next answer: pushes, moves, pins, purges, settings, and sources that are removed',
  async (t) => {
    const { sync, call, resolve, slug, alias, there: ofThere } = await makeProject()
    await sync(meetings)
    const content = async (query = standup) => {
      // The second one is the one that was kept.
      await resolve(query)
      return (await resolve(query)).body.content
    }
    t.match(await content(), /^Stand-up/)
    here.clock.advance(day)
    t.match(await content(), /^Stand-up/, 'a source that is disabled stays')
    await sync({ ...meetings, PATH: path(['"prompts/{category}/{channel}.md"']), 'prompts/meeting/standup.md': 'Changed' })
    t.equal(await content(), 'Changed')
    t.match(await content(anyMeeting), /^You are the secretary/, 'routing is versioned')
    t.equal((await resolve(`${anyMeeting}&ref=r1`)).body.content, 'Any meeting')
    await call('/aliases/production/rollback', { method: 'POST' })
    t.match(await content(), /^Stand-up/)
    t.equal(await content(anyMeeting), 'Any meeting')
    t.equal((await resolve(`${standup}&ref=latest`)).body.content, 'Changed')

    await call('/prompts', { body: { alias: 'dev', prompts: [{ name: 'other', content: 'x' }] } })
    t.ok((await handledDuring(() => content())) <= 1, 'another alias that moves cools no answer for long')
    await alias({ prompt: 'meeting/standup', version: 'v2' })
    t.equal(await content(), 'Changed')
    await call('/aliases/production?prompt=meeting%2Fstandup', { method: 'DELETE' })
    t.match(await content(), /^Stand-up/)
    await call(`/projects/${slug}`, { method: 'PATCH', body: { settings: { defaultAlias: 'dev' } } })
    t.equal((await resolve(standup)).body.ref, 'dev')
    await call(`/projects/${slug}`, { method: 'PATCH', body: { settings: { defaultAlias: 'production' } } })
    await call('/prompts/meeting%2Fstandup/v1/purge', { body: { reason: 'a name' } })
    t.equal(await content(), 'Any meeting')
    comesFrom(t, await ofThere(`/resolve?${standup}`), 'registry')
    await call('/sources/team', { method: 'DELETE' })
    comesFrom(t, await resolve(standup), 'default')
    waitForStaleness()
    comesFrom(t, await ofThere(`/resolve?${standup}`), 'default')
  },
)

t.test('an alias that moves while it is followed is followed anew, and never half of it', async (t) => {
  const { sync, there: ofThere } = await makeProject()
  const both = (text: string, first: string) => ({
    ...{ PATH: path([`"prompts/${first}.md"`]), 'prompts/a.md': `a ${text}`, 'prompts/b.md': `b ${text}` },
  })
  await sync(both('one', 'a'))
  await sync(both('two', 'b'), { alias: 'dev' })
  const { reached, release } = seen.holdNext('read_routing')
  const asked = ofThere('/resolve')
  await reached
  t.equal((await ofThere('/aliases/production', { method: 'PUT', body: { version: 'r2' } })).status, 200)
  release()
  shows(t, (await asked).body, { content: 'b two', release: 'r2', route: 'prompts/b.md', tried: ['prompts/b.md'] })
})

t.test('a route of version 2 looks into another source, and joins files; one that cannot be answered is passed by', async (t) => {
  const { sync, resolve, call, change, there: ofThere } = await makeProject()
  const chat = 'messages:\n  - role: system\n    content: Be kind.\n'
  await sync(
    { PATH: path(['"prompts/{own}.md"']), 'prompts/meeting.md': 'Of the company' },
    { name: 'company', prefix: 'company' },
  )
  const routes = [
    '{ compose: ["prompts/tone.md", "prompts/chat-{category}.prompt.yml"] }',
    '{ compose: ["prompts/tone.md", "prompts/{category}/{channel}.md"] }',
    '{ pattern: "prompts/{category}.md", source: company }',
    '{ pattern: "prompts/chat-{category}.prompt.yml" }',
  ]
  const files = {
    'prompts/tone.md': 'Be {{ tone }}.\n',
    'prompts/meeting/standup.md': '\nStand-up of {{ team }} {{ tone | default("x") }}',
  }
  await sync({
    ...files,
    PATH: path(routes, 'v2'),
    'prompts/chat-meeting.prompt.yml': chat,
    'prompts/chat-talk.prompt.yml': chat,
  })
  for (const way of ['the route', 'again']) {
    const joined = await resolve(standup)
    shows(t, joined.body, {
      ...{
        level: 'registry',
        name: 'tone',
        content: 'Be {{ tone }}.\n\nStand-up of {{ team }} {{ tone | default("x") }}',
        type: 'text',
      },
      origin: { source: 'team', paths: ['prompts/tone.md', 'prompts/meeting/standup.md'] },
      tried: ['prompts/tone.md', 'prompts/chat-meeting.prompt.yml', 'prompts/tone.md', 'prompts/meeting/standup.md'],
    })
    t.strictSame(
      joined.body.variables.map(({ name, required }: { name: string; required: boolean }) => [name, required]),
      [
        ['tone', true],
        ['team', true],
      ],
      way,
    )
    t.equal(
      (await resolve(standup, { body: { variables: { tone: 'brief', team: 'A' } } })).body.text,
      'Be brief.\n\nStand-up of A brief',
    )
    shows(t, (await resolve('category=meeting')).body, {
      ...{ name: 'company/meeting', content: 'Of the company', origin: { source: 'company', paths: ['prompts/meeting.md'] } },
    })
  }
  const preview = (await call(`/resolve/preview?${standup}`)).body
  t.equal(preview.level, 'registry')
  t.strictSame(
    preview.steps.map(({ outcome }: { outcome: string }) => outcome),
    ['skipped', 'refused', 'chosen'],
  )
  t.match(preview.steps[1].why, /"chat-meeting" is a chat prompt/)
  const talk = await resolve('category=talk', { headers: { accept: 'text/plain' } })
  t.equal(talk.body.messages[0].content, 'Be kind.', 'a chat is JSON whatever is asked for')
  await change({ unreachableSince: here.clock.now(), checkedAt: new Date(here.clock.now().getTime() - day) })
  waitForStaleness()
  comesFrom(t, await resolve('category=meeting'), 'stale')

  const { connection } = there.deps
  const { read } = connection
  t.teardown(() => {
    connection.read = read
  })
  connection.read = async (statement, values, timeoutMs) => {
    const answer = await read(statement, values, timeoutMs)
    return statement.name === 'read_routing' && answer ? answer.replace('version: v2', 'version: v9') : answer
  }
  const broken = (query: string) => ofThere(`/resolve?${query}`)
  comesFrom(t, await broken(standup), 'default')
  comesFrom(t, await broken('own=meeting'), 'stale', 'Of the company')
})

t.test('a route of certain hours is chosen in these hours, to the minute', async (t) => {
  const { sync, resolve } = await makeProject()
  const minute = 60_000
  here.clock.advance(minute - (here.clock.now().getTime() % minute) - 1_000)
  const at = (ms: number) => new Date(here.clock.now().getTime() + ms).toISOString().slice(11, 16)
  const when = `{ hours: "${at(minute)}-${at(3 * minute)}" }`
  const routes = [`{ pattern: "prompts/night.md", when: ${when} }`, '{ pattern: "prompts/day.md" }']
  await sync({ PATH: path(routes, 'v2'), 'prompts/night.md': 'Night', 'prompts/day.md': 'Day' })
  const answers = async () => [(await resolve('a=b')).body.content, (await resolve('a=b')).body.content]
  t.strictSame(await answers(), ['Day', 'Day'])
  // Little enough that what is known is still believed.
  here.clock.advance(1_000)
  t.strictSame(await answers(), ['Night', 'Night'])
  here.clock.advance(2 * minute - 1_000)
  t.strictSame(await answers(), ['Night', 'Night'])
  here.clock.advance(1_000)
  t.strictSame(await answers(), ['Day', 'Day'])
})

t.test('a POST renders what is resolved: what is missing is 422, unless strict is false', async (t) => {
  const { call } = common
  const context = { category: 'meeting', channel: 'standup' }
  const rendered = await call('/resolve', { body: { context, variables: { team: 'A' } } })
  shows(t, rendered.body, { text: 'Stand-up of A', messages: null, level: 'registry', route: 'prompts/{category}/{channel}.md' })
  t.notOk('content' in rendered.body)
  t.equal(rendered.headers.get('cache-control'), 'no-store')
  t.equal((await call(`/resolve?${standup}`, { body: { variables: { team: 'B' } } })).body.text, 'Stand-up of B')
  t.equal((await call(`/resolve?${anyMeeting}`, { body: { context, variables: { team: 'C' } } })).body.text, 'Stand-up of C')
  const missing = await call('/resolve', { body: { context } })
  refused(t, missing, 422, 'variables.missing')
  t.strictSame(
    missing.body.errors.map((one: { path: string }) => one.path),
    ['variables.team'],
  )
  t.equal((await call('/resolve', { body: { context, strict: false } })).body.text, 'Stand-up of ')
  const builtin = await call('/resolve', { body: { context: { category: 'knitting' }, variables: { messages: 'hi' } } })
  comesFrom(t, builtin, 'fallback')
  t.match(builtin.body.text, /hi/)
})

t.test('the preview tells every step, and counts for nothing', async (t) => {
  const { sync, call } = await makeProject()
  const preview = async (query: string) => (await call(`/resolve/preview?${query}`)).body
  t.match((await preview(standup)).problem, /There is no release "production"/)
  await call('/prompts', { body: { alias: 'production', prompts: [{ name: 'x', content: 'x' }] } })
  t.match((await preview(standup)).problem, /No source of release r1 has a PATH file/)
  await sync(meetings, { staleSeconds: 0, ttlSeconds: 10 })
  const before = JSON.stringify(here.deps.cache.counts.resolved)
  t.strictSame(await preview(anyMeeting), {
    ...{ ref: 'production', release: 'r2', context: { category: 'meeting', channel: 'retro' }, level: 'registry' },
    ...{ prompt: 'meeting/default', version: 'v1', problem: null },
    sources: [{ name: 'team', freshness: 'fresh', hasPathFile: true, files: 2 }],
    steps: [
      {
        ...{ source: 'team', route: 'prompts/{category}/{channel}.md', outcome: 'missing', paths: ['prompts/meeting/retro.md'] },
        why: 'Source "team" has no file "prompts/meeting/retro.md" in this release.',
      },
      {
        ...{ source: 'team', route: 'prompts/{category}/default.md', outcome: 'chosen', paths: ['prompts/meeting/default.md'] },
        why: 'All of its files are in source "team".',
      },
    ],
  })
  shows(t, await preview('channel=x'), { level: 'fallback', problem: 'No route leads to files that are there.' })
  await call('/prompts/meeting%2Fdefault/v1/purge', { body: { reason: 'a name' } })
  const purged = await preview(anyMeeting)
  t.strictSame(
    purged.steps.map(({ outcome }: { outcome: string }) => outcome),
    ['missing', 'refused', 'missing'],
  )
  t.match(purged.steps[1].why, /was purged/)
  t.equal(purged.problem, 'No route leads to a prompt that can be answered.')
  t.equal(JSON.stringify(here.deps.cache.counts.resolved), before)
})

t.test('a resolution that is known asks the database nothing, whatever else the context says', async (t) => {
  const project = common
  const ask = (query: string) => project.there(`/resolve?${query}`)
  await ask('category=x')
  there.deps.cache.projects.clear()
  there.deps.cache.entries.clear()
  seen.forget()
  await ask(standup)
  t.strictSame(seen.reads(), ['read_all', 'read_sources', 'read_routing', 'read_held'])
  seen.forget()
  for (const query of [standup, `${standup}&guild=1`, `guild=2&channel=standup&category=meeting`, `${standup}&key=user-1`])
    await ask(query)
  for (let times = 0; times < 20; times += 1) await ask(`category=scan-${times}&channel=${times}`)
  t.strictSame(seen.reads(), [])
  await ask(`${standup}&ref=r1`)
  await ask(`${standup}&ref=nowhere`)
  seen.forget()
  for (const ref of ['r1', 'nowhere']) await ask(`${standup}&ref=${ref}`)
  t.strictSame(seen.reads(), [], 'nor does one by the number of a release, or by one that is none')
  const handled = await handledDuring(() => ask(`guild=3&${standup}`))
  t.equal(handled, 0, 'variables that no route reads make no difference')
})

t.test('an instance that is overloaded answers from memory alone: what it answered lately, or a built-in', async (t) => {
  const { there: ofThere } = common
  // Plain text is answered by the route.
  const ask = (query: string) => ofThere(`/resolve?${query}`, { headers: { accept: 'text/plain' } })
  await ask(standup)
  const { limits } = there.app
  t.teardown(() => Object.defineProperty(limits, 'isShedding', { value: false, writable: true }))
  Object.defineProperty(limits, 'isShedding', { get: () => true, set: () => undefined, configurable: true })
  seen.forget()
  const known = await ask(standup)
  t.strictSame([known.text, known.headers.get('x-promptsync-source')], ['Stand-up of {{ team }}', 'registry'])
  const unknown = await ask('category=meeting&channel=overloaded')
  t.strictSame([unknown.status, unknown.headers.get('x-promptsync-source')], [200, 'default'])
  t.strictSame(seen.reads(), [])
})

t.test('contexts without end push nothing out that is asked for, and take no more than their part of the memory', async (t) => {
  const project = common
  const own = watched(base)
  const small = await startService(t, { connection: own.connection, clock: here.clock, env: { PROMPTSYNC_CACHE_BYTES: '1mb' } })
  const ask = (query: string) => small.call(`/resolve?${query}`, { project: project.slug })
  for (const query of [standup, anyMeeting]) await ask(query)
  await small.call('/prompts/meeting%2Fdefault/production', { project: project.slug })
  own.forget()
  const bytes = () => small.deps.cache.entries.calculatedSize ?? 0
  const before = bytes()
  for (let times = 0; times < 150; times += 1) {
    await ask(`category=meeting&channel=scan-${times}`)
    if (times % 5 === 0) t.equal(await handledDuring(() => ask(standup)), 0)
  }
  t.strictSame(own.reads(), [])
  const grown = bytes() - before
  t.ok(grown < 1024 ** 2 / 8, `${grown} bytes`)
})

/** A project with all that a resolution can be of, and a key to read it. */
async function makeKnown() {
  const { sync, call, alias, slug } = await makeProject()
  const styled = (text: string) => `content: ${text}\nvariants:\n  - tags: { locale: cn }\n    content: 你好\n`
  const routes = [
    '{ pattern: "prompts/{category}/{channel}.yaml" }',
    '{ compose: ["prompts/tone.md", "prompts/{category}.md"], when: { role: admin } }',
    '{ pattern: "prompts/{category}.md" }',
    '{ pattern: "prompts/old.md", source: old, when: { category: [old, older] } }',
  ]
  const files = (text: string) => ({
    PATH: path(routes, 'v2'),
    ...{ 'prompts/meeting/standup.yaml': styled(text), 'prompts/meeting/客服.yaml': styled(`客服 ${text}`) },
    ...{ 'prompts/tone.md': 'Be kind.', 'prompts/meeting.md': `Meeting ${text}` },
  })
  await sync({ 'prompts/old.md': 'Old' }, { name: 'old', prefix: 'old' })
  await sync(files('one'))
  await sync({ ...files('two'), 'prompts/retro.md': 'Retro' }, { alias: 'dev' })
  await alias({ version: 'v1', prompt: 'tone' })
  await call('/canary', { body: { alias: 'production', version: 'r3', percentage: 50 } })
  await base.client.source.updateMany({
    where: { name: 'old', project: { slug } },
    data: { enabled: true, unreachableSince: here.clock.now(), checkedAt: new Date(here.clock.now().getTime() - day) },
  })
  const { secret } = await here.createKey({ name: 'k', project: slug, scopes: ['prompts:read'] })
  return { slug, secret }
}

t.test('what is answered from memory is, byte for byte, what the route answers', async (t) => {
  const { slug, secret } = await makeKnown()
  waitForStaleness()
  const maybe = (...pairs: string[]) => fc.option(fc.constantFrom(...pairs), { nil: '' })
  const plain = fc.tuple(
    fc.constantFrom('category=meeting', 'category=meeting', 'category=meeting', 'category=old', 'category=retro', 'role=guest'),
    fc.constantFrom('key=user-1', 'key=user-2', 'key=user-3', 'key=user-4', 'key=user-5', 'canary=off'),
    maybe('channel=standup', 'channel='),
    maybe('role=admin'),
    maybe('tag=locale:cn', 'tag=locale%3Aen'),
    maybe('ref=dev', 'ref=production'),
    maybe('guild=1', 'guild=2', `project=${slug}`),
  )
  const oddPairs = [
    ...[
      'category=Meeting',
      'channel=%E5%AE%A2%E6%9C%8D',
      'channel=stand+up',
      'ref=r1',
      'ref=nowhere',
      'ref=!',
      'ref=latest',
      'a-b=1',
    ],
    ...[
      '__proto__=x',
      'constructor=y',
      'tag=__proto__:x',
      'tag=x',
      'key=',
      'key=user%201',
      'canary=on',
      'x',
      '',
      'fallback=default',
    ],
    ...[`x=${'y'.repeat(101)}`, 'role=%00', 'role=%zz', 'project=nowhere', 'role=a%26b%3Dc', 'tag=a:b%20c:d', '=x'],
  ]
  const { etag = '' } = (
    await injected({ method: 'GET', path: `/resolve?${standup}&key=user-1`, headers: { authorization: `Bearer ${secret}` } })
  ).headers
  const asks = fc
    .record({
      method: mostly(['GET'], ['HEAD', 'DELETE', 'OPTIONS']),
      start: mostly(
        ['/resolve', '/resolve', '/api/resolve'],
        ['/resolve/', '/resolved', '/resolve/preview', '/Resolve', '//resolve'],
      ),
      pairs: plain.chain((pairs) => fc.shuffledSubarray(pairs, { minLength: 5 })),
      odd: fc.option(fc.constantFrom(...oddPairs), { nil: null, freq: 3 }),
      accept: mostly<string | undefined>(
        [undefined, '*/*', 'application/json'],
        ['text/plain', 'text/html', '', 'a'.repeat(2_001)],
      ),
      condition: mostly<string | undefined>(
        [undefined, undefined, String(etag), `W/${etag}`],
        ['*', '"other"', '"'.repeat(8_001)],
      ),
    })
    .map(({ method, start, pairs, odd, accept, condition }): Ask => {
      const query = [...pairs.filter((pair) => pair !== ''), ...(odd === null ? [] : [odd])].join('&')
      const headers = { host: 'localhost', 'x-request-id': 'the-same', authorization: `Bearer ${secret}` }
      return {
        method,
        path: `${start}?${query}`,
        headers: {
          ...headers,
          ...(accept === undefined ? {} : { accept }),
          ...(condition === undefined ? {} : { 'if-none-match': condition }),
        },
      }
    })
  // Where every request draws its side, two of them may differ.
  const isDrawn = ({ path }: Ask) => !/key=user-|canary=off/.test(path)
  const handled = await compare(t, { asks, isDrawn, numRuns: runs(400) })
  t.ok(handled < 2.5, `${handled} of 3`)
})

t.test('where pages of other origins may ask, the route answers, and says so', async (t) => {
  const project = common
  const origin = 'https://app.example.com'
  const own = await startService(t, { connection: base, clock: here.clock, env: { PROMPTSYNC_CORS_ORIGINS: origin } })
  const ask = () => own.call(`/resolve?${standup}`, { project: project.slug, headers: { origin } })
  await ask()
  const handled = await handledDuring(async () => {
    const answer = await ask()
    comesFrom(t, answer, 'registry')
    t.equal(answer.headers.get('access-control-allow-origin'), origin)
  })
  t.equal(handled, 1)
})

t.test('while the database is away, what is known is answered as stale, and then the built-ins', async (t) => {
  const project = common
  const { secret } = await here.createKey({ name: 'reader', project: project.slug, scopes: ['prompts:read'] })
  const other = await makeProject()
  const { secret: stranger } = await here.createKey({ name: 'stranger', project: other.slug, scopes: ['prompts:read'] })
  comesFrom(t, await other.there('/resolve', { key: stranger }), 'fallback')
  const ask = (query: string, options: CallOptions = {}) => project.there(`/resolve?${query}`, { key: secret, ...options })
  comesFrom(t, await ask(standup), 'registry')
  comesFrom(t, await ask(anyMeeting, { key: there.adminKey }), 'registry')
  comesFrom(t, await ask(`${standup}&ref=r1`), 'registry')
  const isBack = () => until('the database is there', 10_000, () => !there.deps.database.isAway())
  seen.takeAway()
  comesFrom(t, await ask('category=meeting&channel=review'), 'stale', 'Any meeting')
  seen.giveBack()
  await isBack()
  comesFrom(t, await ask('category=meeting&channel=review'), 'registry', 'Review')
  waitForStaleness()
  seen.takeAway()
  try {
    for (const query of [standup, `${standup}&ref=r1`]) {
      const answer = await ask(query)
      comesFrom(t, answer, 'stale', /^Stand-up/)
      t.equal(answer.headers.get('x-promptsync-source'), 'stale')
      t.equal(answer.headers.get('age'), '5')
    }
    comesFrom(t, await ask('category=meeting&channel=planning'), 'stale', 'Any meeting')
    comesFrom(t, await ask('category=discussion'), 'default')
    comesFrom(t, await ask(`${standup}&ref=r2`), 'default')
    t.equal((await ask(standup, { body: { variables: { team: 'A' } } })).body.text, 'Stand-up of A')
    there.deps.cache.projects.delete(project.id)
    for (const key of [secret, here.adminKey]) {
      comesFrom(t, await ask(standup, { key }), 'default')
      comesFrom(t, await ask('category=knitting', { key }), 'fallback')
    }
    comesFrom(t, await ask(standup, { method: 'POST', body: { strict: false } }), 'default')
    // Who is not known is told no more than by a fetch.
    for (const key of [null, 'ps_nobody', stranger]) {
      const fetched = await project.there('/prompts/x/production', { key })
      const resolved = await ask(standup, { key })
      refused(t, resolved, fetched.status, fetched.body.code)
      t.equal(resolved.status, 503)
    }
  } finally {
    seen.giveBack()
    await isBack()
  }
  comesFrom(t, await ask('category=meeting&channel=planning'), 'registry', 'Planning')
})
