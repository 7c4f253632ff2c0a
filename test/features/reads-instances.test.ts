import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { hearMessage, noteWritten } from '../../src/features/reads/changes.service.js'
import { refused } from '../helpers/assertions.js'
import { type CallOptions, openDatabase, type Service, startService } from '../helpers/service.js'
import { remembers, type Watched, watched } from '../helpers/watched.js'

const stalenessMs = 5_000
const base = await openDatabase(t)
const seen: Record<'here' | 'there', Watched> = { here: watched(base), there: watched(base) }
const [hereInstance, thereInstance] = await startBoth()

async function startBoth() {
  const here = await startService(t, { connection: seen.here.connection })
  return [here, await startService(t, { connection: seen.there.connection, clock: here.clock })] as const
}
let projectCount = 0

const prompts = (contents: Record<string, string>) => Object.entries(contents).map(([name, content]) => ({ name, content }))

/** A project of its own for one test: `a` is v1 to v<N> in r1 to r<N>, alias `dev` is at r1. */
async function makeProject(releases = 2) {
  projectCount += 1
  const project = `instances-${projectCount}`
  await hereInstance.call('/projects', { body: { slug: project } })
  const at =
    (instance: Service) =>
    (path: string, options: CallOptions = {}) =>
      instance.call(path, { project, ...options })
  for (let number = 1; number <= releases; number += 1) {
    await hereInstance.push(
      { prompts: prompts({ a: `${project} text ${number}`, b: `${project} other ${number}` }) },
      { project },
    )
  }
  if (releases > 0) await hereInstance.call('/aliases/dev', { project, method: 'PUT', body: { version: 'r1' } })
  const move = (version: string, alias = 'dev', more: object = {}) =>
    hereInstance.call(`/aliases/${alias}`, { project, method: 'PUT', body: { version, ...more } })
  const contentOf = async (instance: Service, path: string) => (await at(instance)(path)).body.content?.replace(`${project} `, '')
  return {
    project,
    here: at(hereInstance),
    there: at(thereInstance),
    move,
    contentOf,
    push: (body: object) => hereInstance.push(body, { project }),
  }
}

/** Nothing is confirmed any more: whoever reads has to ask. */
function waitForStaleness(): void {
  hereInstance.clock.advance(stalenessMs + 1)
}

/** Waits for what comes soon, and fails where it does not. */
async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 10_000
  while (!(await isTrue())) {
    if (performance.now() > deadlineMs) throw new Error('What was waited for has not happened.')
    await delay(10)
  }
}

const isMarked = ({ headers }: { headers: Headers }) => headers.get('x-promptsync-source') === 'stale'

t.test('what one instance writes it serves at once, and every other within the staleness', async (t) => {
  const { move, contentOf, push, there } = await makeProject()
  const both = async (path: string) => [await contentOf(hereInstance, path), await contentOf(thereInstance, path)]
  t.strictSame(await both('/prompts/a/dev'), ['text 1', 'text 1'])
  await move('r2')
  t.equal(await contentOf(hereInstance, '/prompts/a/dev'), 'text 2')
  waitForStaleness()
  t.strictSame(await both('/prompts/a/dev'), ['text 2', 'text 2'])

  t.strictSame(await both('/prompts/a/latest'), ['text 2', 'text 2'])
  await push({ prompts: [{ name: 'a', content: 'newest' }] })
  t.equal(await contentOf(hereInstance, '/prompts/a/latest'), 'newest')
  waitForStaleness()
  t.strictSame(await both('/prompts/a/latest'), ['newest', 'newest'])

  await move('v1', 'dev', { prompt: 'a' })
  t.equal(await contentOf(hereInstance, '/prompts/a/dev'), 'text 1')
  waitForStaleness()
  t.strictSame(await both('/prompts/a/dev'), ['text 1', 'text 1'])
  t.strictSame(await both('/prompts/b/dev'), ['other 2', 'other 2'])
  t.equal(isMarked(await there('/prompts/a/dev')), false)
})

t.test('an alias that is made, deleted or given a canary is so everywhere', async (t) => {
  const { here, there, move } = await makeProject()
  const statuses = async (path: string) => [(await here(path)).status, (await there(path)).status]
  t.strictSame(await statuses('/prompts/a/next'), [404, 404])
  await move('r2', 'next')
  waitForStaleness()
  t.strictSame(await statuses('/prompts/a/next'), [200, 200])
  await here('/canary', { body: { alias: 'next', version: 'r1', percentage: 100 } })
  waitForStaleness()
  t.equal((await there('/prompts/a/next?key=user-1')).body.canary?.selected, true)
  await here('/canary/next', { method: 'DELETE' })
  waitForStaleness()
  t.equal((await there('/prompts/a/next?key=user-1')).body.canary, null)
  await here('/aliases/next', { method: 'DELETE' })
  t.equal((await here('/prompts/a/next')).status, 404)
  waitForStaleness()
  t.strictSame(await statuses('/prompts/a/next'), [404, 404])
})

t.test('a prompt that is archived has no latest anywhere, and is revived everywhere', async (t) => {
  const { here, there, push } = await makeProject()
  t.equal((await there('/prompts/a/latest')).status, 200)
  await here('/prompts/a', { method: 'DELETE' })
  refused(t, await here('/prompts/a/latest'), 404, 'prompt.archived')
  waitForStaleness()
  refused(t, await there('/prompts/a/latest'), 404, 'prompt.archived')
  t.equal((await there('/prompts/a/dev')).status, 200, 'existing refs keep answering')
  await push({ prompts: prompts({ a: 'back' }) })
  waitForStaleness()
  t.equal((await there('/prompts/a/latest')).body.content, 'back')
})

t.test('a commit means its newest release everywhere, also where a push makes none', async (t) => {
  const { there, push } = await makeProject(0)
  const git = { repo: 'https://example.com/acme', commit: 'beef'.padEnd(40, '2') }
  await push({ git, prompts: prompts({ a: 'first' }) })
  t.equal((await there('/prompts/a/beef222')).body.content, 'first')
  await push({ prompts: prompts({ a: 'second' }) })
  const { release } = await push({ git, prompts: prompts({ a: 'second' }) })
  t.equal(release.number, 2, 'the release that is there already is linked')
  waitForStaleness()
  t.equal((await there('/prompts/a/beef222')).body.content, 'second')
  const other = { ...git, commit: 'beef222'.padEnd(40, '3') }
  await push({ git: other, prompts: prompts({ a: 'third' }) })
  waitForStaleness()
  refused(t, await there('/prompts/a/beef222'), 409, 'commit.ambiguous')
})

t.test('a project that is deleted is gone everywhere, and one made anew shows nothing of it', async (t) => {
  const { project, here, there } = await makeProject()
  const { secret } = await hereInstance.createKey({ name: 'reader', project, scopes: ['prompts:read'] })
  t.equal((await there('/prompts/a/dev', { key: secret })).status, 200)
  t.equal((await there('/prompts/a/dev')).status, 200)
  await here(`/projects/${project}`, { method: 'DELETE' })
  waitForStaleness()
  refused(t, await there('/prompts/a/dev'), 404, 'project.not_found')
  t.notOk(remembers(hereInstance.deps, `${project} text`))
  t.notOk(remembers(thereInstance.deps, `${project} text`))

  await hereInstance.call('/projects', { body: { slug: project } })
  refused(t, await here('/prompts/a/dev'), 404, 'prompt.not_found')
  waitForStaleness()
  refused(t, await there('/prompts/a/dev'), 404, 'prompt.not_found')
  refused(t, await there('/prompts/a/dev', { key: secret }), 401, 'auth.revoked')
  await hereInstance.push({ alias: 'dev', prompts: prompts({ a: 'anew' }) }, { project })
  waitForStaleness()
  t.strictSame([(await there('/prompts/a/dev')).body.content, (await there('/prompts/a/dev')).body.version], ['anew', 'v3'])
})

t.test('what is purged is gone everywhere within the staleness, from memory as well', async (t) => {
  const { project, here, there } = await makeProject()
  const render = { body: { variables: {} } }
  for (const call of [here, there]) {
    for (const ref of ['dev', 'v1', 'r1']) t.equal((await call(`/prompts/a/${ref}`)).status, 200)
    await call('/prompts/a/dev', { headers: { accept: 'text/plain' } })
    t.equal((await call('/prompts/a/dev/render', render)).status, 200)
  }
  t.ok(remembers(thereInstance.deps, `${project} text 1`), 'it was in memory')
  await here('/prompts/a/v1/purge', { body: { reason: 'a name' } })
  refused(t, await here('/prompts/a/dev'), 410, 'version.purged')
  t.notOk(remembers(hereInstance.deps, `${project} text 1`))
  waitForStaleness()
  for (const ref of ['dev', 'v1', 'r1']) refused(t, await there(`/prompts/a/${ref}`), 410, 'version.purged')
  refused(t, await there('/prompts/a/dev/render', render), 410, 'version.purged')
  t.notOk(remembers(thereInstance.deps, `${project} text 1`))
  t.equal((await there('/prompts/a/v2')).status, 200)
})

t.test('a load that began before a purge and ends after it leaves the text in no memory', async (t) => {
  const { project, here, there } = await makeProject()
  await there('/prompts/b/dev')
  for (const [instance, call] of [
    [thereInstance, there],
    [hereInstance, here],
  ] as const) {
    const ref = instance === thereInstance ? 'v1' : 'v2'
    // The key is checked, so that it is the prompt that is read.
    await call('/prompts/b/dev')
    const { reached, release } = (instance === thereInstance ? seen.there : seen.here).holdNext('read_all')
    const reading = call(`/prompts/a/${ref}`)
    await reached
    await here(`/prompts/a/${ref}/purge`, { body: { reason: 'a name' } })
    waitForStaleness()
    await call('/prompts/b/dev')
    release()
    t.ok([200, 410].includes((await reading).status))
    t.notOk(remembers(instance.deps, `${project} text ${ref.slice(1)}`))
    refused(t, await call(`/prompts/a/${ref}`), 410, 'version.purged')
  }
})

t.test(
  'what is purged while an instance holds contents but not their project is forgotten when it holds that again',
  async (t) => {
    const { project, here, there } = await makeProject()
    await there('/prompts/a/dev')
    const { id } = await base.client.project.findUniqueOrThrow({ where: { slug: project } })
    thereInstance.deps.cache.projects.delete(`${id}`)
    await here('/prompts/a/v1/purge', { body: { reason: 'a name' } })
    waitForStaleness()
    refused(t, await there('/prompts/a/dev'), 410, 'version.purged')
    t.notOk(remembers(thereInstance.deps, `${project} text 1`))
  },
)

t.test('a key that is revoked stops at once where it was, and elsewhere within ten seconds', async (t) => {
  const { project, here, there } = await makeProject()
  const { id, secret } = await hereInstance.createKey({ name: 'reader', project, scopes: ['prompts:read'] })
  for (const call of [here, there]) t.equal((await call('/prompts/a/dev', { key: secret })).status, 200)
  await here(`/keys/${id}`, { method: 'DELETE' })
  refused(t, await here('/prompts/a/dev', { key: secret }), 401, 'auth.revoked')
  hereInstance.clock.advance(10_000)
  refused(t, await there('/prompts/a/dev', { key: secret }), 401, 'auth.revoked')
})

t.test('a key that is revoked while it is read for the first time is not believed after that', async (t) => {
  const { project, there } = await makeProject()
  const { id, secret } = await hereInstance.createKey({ name: 'reader', project, scopes: ['prompts:read'] })
  await there('/prompts/a/dev')
  const { reached, release } = seen.there.holdNext('read_all')
  const reading = there('/prompts/a/dev', { key: secret })
  await reached
  await there(`/keys/${id}`, { method: 'DELETE' })
  release()
  await reading
  refused(t, await there('/prompts/a/dev', { key: secret }), 401, 'auth.revoked')
})

t.test('a project that is made while somebody asks for it is there for whoever asks next', async (t) => {
  const project = 'instances-made'
  await hereInstance.call('/prompts/nobody/dev')
  const { reached, release } = seen.here.holdNext('read_all')
  const early = hereInstance.call('/prompts/a/dev', { project })
  await reached
  await hereInstance.call('/projects', { body: { slug: project } })
  const next = hereInstance.call('/prompts/a/dev', { project })
  release()
  refused(t, await early, 404, 'project.not_found')
  refused(t, await next, 404, 'prompt.not_found')
  await hereInstance.push({ alias: 'dev', prompts: prompts({ a: 'made' }) }, { project })
  t.equal((await hereInstance.call('/prompts/a/dev', { project })).body.content, 'made')
})

/** Brings a project to a state that its instances did not come to by writes, as a backup does. */
async function restore(project: string, ...statements: string[]): Promise<void> {
  const tables = ['projects', 'aliases', 'versions', 'prompts']
  for (const table of tables) await base.client.$executeRawUnsafe(`ALTER TABLE ${table} DISABLE TRIGGER USER`)
  try {
    for (const statement of statements) {
      await base.client.$executeRawUnsafe(statement.replaceAll('$project', `(SELECT id FROM projects WHERE slug = '${project}')`))
    }
  } finally {
    for (const table of tables) await base.client.$executeRawUnsafe(`ALTER TABLE ${table} ENABLE TRIGGER USER`)
  }
}

t.test('a database restored from an older backup is followed back, and forward again', async (t) => {
  const { project, there, contentOf, move } = await makeProject()
  await move('r2')
  t.strictSame(await Promise.all([hereInstance, thereInstance].map((one) => contentOf(one, '/prompts/a/dev'))), [
    'text 2',
    'text 2',
  ])
  await restore(
    project,
    'UPDATE aliases SET release_id = (SELECT id FROM releases WHERE project_id = $project AND number = 1) WHERE project_id = $project',
    'UPDATE projects SET epoch = epoch - 1, epoch_token = gen_random_uuid() WHERE id = $project',
  )
  waitForStaleness()
  t.strictSame(await Promise.all([hereInstance, thereInstance].map((one) => contentOf(one, '/prompts/a/dev'))), [
    'text 1',
    'text 1',
  ])
  t.equal(isMarked(await there('/prompts/a/dev')), false)
  await move('r2')
  waitForStaleness()
  t.strictSame(await Promise.all([hereInstance, thereInstance].map((one) => contentOf(one, '/prompts/a/dev'))), [
    'text 2',
    'text 2',
  ])
})

t.test('of another history nothing is believed, though it counts its epochs and purges alike', async (t) => {
  const { project, there, here, move } = await makeProject(3)
  await move('v2', 'pinned', { prompt: 'a' })
  await here('/prompts/a/v3/purge', { body: { reason: 'a name' } })
  for (const ref of ['pinned', 'v2']) t.equal((await there(`/prompts/a/${ref}`)).status, 200)
  await restore(
    project,
    `UPDATE versions SET purged_at = now(), content = NULL, content_hash = NULL
     WHERE number = 2 AND prompt_id = (SELECT id FROM prompts WHERE project_id = $project AND name = 'a')`,
    'UPDATE projects SET epoch_token = gen_random_uuid() WHERE id = $project',
  )
  waitForStaleness()
  for (const ref of ['pinned', 'v2']) refused(t, await there(`/prompts/a/${ref}`), 410, 'version.purged')
  t.notOk(remembers(thereInstance.deps, `${project} text 2`))
})

t.test('a moved alias has what is asked for loaded ahead, and what nobody asks for not', async (t) => {
  const { there, move, push, contentOf } = await makeProject(1)
  t.equal(await contentOf(thereInstance, '/prompts/a/dev'), 'text 1')
  await push({ prompts: prompts({ a: 'hot', b: 'cold' }) })
  await move('r2')
  waitForStaleness()
  // Whoever comes first has the project read, and all of it that is asked for.
  t.equal((await there('/prompts/a/v1')).status, 200)
  t.ok(remembers(thereInstance.deps, 'hot'))
  t.notOk(remembers(thereInstance.deps, 'cold'))
  seen.there.forget()
  t.equal((await there('/prompts/a/dev')).body.content, 'hot')
  t.strictSame(
    seen.there.reads().filter((name) => name !== 'read_all'),
    [],
  )
})

t.test('no reader sees one prompt of a new release and then another of the old one', async (t) => {
  const { there, push } = await makeProject(1)
  const numberOf = async (name: string) => Number((await there(`/prompts/${name}/live`)).body.content)
  await push({ alias: 'live', prompts: prompts({ x: '0', y: '0' }) })
  let isDone = false
  const read = async () => {
    for (let last = 0, turn = 0; !isDone; turn += 1) {
      const number = await numberOf(turn % 2 === 0 ? 'x' : 'y')
      if (!(number >= last)) throw new Error(`${number} came after ${last}`)
      last = number
    }
  }
  const readers = Array.from({ length: 4 }, read)
  for (let number = 1; number <= 8; number += 1) {
    await push({ alias: 'live', prompts: prompts({ x: `${number}`, y: `${number}` }) })
    waitForStaleness()
    await numberOf('x')
  }
  isDone = true
  await Promise.all(readers)
  t.strictSame([await numberOf('x'), await numberOf('y')], [8, 8])
})

t.test('while the database is away what is known is answered and marked, and what is not is 503', async (t) => {
  const { project, there } = await makeProject()
  const { secret } = await hereInstance.createKey({ name: 'reader', project, scopes: ['prompts:read'] })
  const known = ['/prompts/a/dev', '/prompts/a/v1', '/prompts/a/latest']
  const ask = (path: string, options: CallOptions = {}) => there(path, { key: secret, ...options })
  const before = await Promise.all(known.map((path) => ask(path)))
  const render = { body: { variables: {} } }
  t.equal((await ask('/prompts/a/dev/render', render)).status, 200)

  seen.there.takeAway()
  waitForStaleness()
  hereInstance.clock.advance(20_000)
  for (const [index, path] of known.entries()) {
    const answer = await ask(path)
    t.strictSame([answer.status, answer.text, isMarked(answer)], [200, before[index]?.text, true], path)
    t.ok(Number(answer.headers.get('age')) >= 25, answer.headers.get('age') ?? 'no age')
    const same = await ask(path, { headers: { 'if-none-match': before[index]?.headers.get('etag') ?? '' } })
    t.strictSame([same.status, isMarked(same)], [304, true])
  }
  const rendered = await ask('/prompts/a/dev/render', render)
  t.strictSame([rendered.status, isMarked(rendered), rendered.headers.has('age')], [200, true, true])
  for (const path of ['/prompts/b/dev', '/prompts/a/unheard-of', '/prompts/unheard-of/dev']) {
    const unknown = await ask(path)
    refused(t, unknown, 503, 'database.unavailable')
    t.equal(unknown.headers.get('retry-after'), '1')
  }
  const fallback = await ask('/prompts/unheard-of/dev?fallback=default')
  t.strictSame([fallback.status, fallback.body.source, fallback.headers.get('cache-control')], [200, 'fallback', 'no-store'])
  refused(t, await there('/prompts/a/dev', { key: 'ps_nobody-knows-this-one' }), 503, 'database.unavailable')
  t.equal((await hereInstance.call('/prompts/a/dev', { project })).status, 200, 'another instance goes on')

  seen.there.giveBack()
  await until(async () => !isMarked(await ask('/prompts/a/dev')))
  t.equal((await ask('/prompts/b/dev')).status, 200)
})

t.test('a ref that is known to have nothing does not wait for a database that is away', async (t) => {
  const { there, push, move } = await makeProject(1)
  await push({ alias: 'dev', prune: true, prompts: prompts({ b: 'alone' }) })
  await move('r1')
  t.equal((await there('/prompts/a/dev')).status, 200)
  await move('r2')
  waitForStaleness()
  refused(t, await there('/prompts/a/dev'), 404, 'prompt.not_in_release')
  seen.there.takeAway()
  waitForStaleness()
  await there('/prompts/b/v1')
  seen.there.forget()
  refused(t, await there('/prompts/a/dev'), 503, 'database.unavailable')
  t.equal(seen.there.clientUses(), 0, 'nobody asks the client of writes')
  seen.there.giveBack()
  await until(async () => (await there('/prompts/a/dev')).status === 404)
})

t.test('a write that could not be read back is served marked at most, and announced without what was before', async (t) => {
  const { project, here } = await makeProject()
  t.equal((await here('/prompts/a/dev')).status, 200)
  const published: string[] = []
  const redis = { publish: (_channel: string, message: string) => void published.push(message) }
  const announcing = { ...hereInstance.deps, redis: redis as never }
  const row = await base.client.project.findUniqueOrThrow({ where: { slug: project } })
  seen.here.takeAway()
  await noteWritten(announcing, row)
  t.strictSame(
    published.map((message) => JSON.parse(message)),
    [{ project: `${row.id}`, epoch: null, token: null, purges: null }],
  )
  t.ok(isMarked(await here('/prompts/a/dev')))
  seen.here.giveBack()
  await until(async () => !isMarked(await here('/prompts/a/dev')))
  await noteWritten(announcing, row)
  t.strictSame(JSON.parse(published[1] ?? ''), {
    ...{ project: `${row.id}`, epoch: Number(row.epoch), token: row.epochToken, purges: 0 },
  })
})

t.test('a message has what is held read anew, and what is no message of ours changes nothing', async (t) => {
  const { project, move, contentOf } = await makeProject()
  t.equal(await contentOf(thereInstance, '/prompts/a/dev'), 'text 1')
  const { id, epoch, epochToken } = await base.client.project.findUniqueOrThrow({ where: { slug: project } })
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '{"project":7}',
    '{"key":7}',
    `{"project":"${id}"}`,
    '{"project":"999999","epoch":1,"token":null,"purges":9}',
  ]) {
    hearMessage(thereInstance.deps, text)
  }
  const told = (fields: object) => JSON.stringify({ project: `${id}`, epoch: null, token: null, purges: null, ...fields })
  seen.there.forget()
  hearMessage(thereInstance.deps, told({ epoch: Number(epoch), token: epochToken }))
  hearMessage(thereInstance.deps, told({ epoch: 1, token: '00000000-0000-0000-0000-000000000000' }))
  t.equal(await contentOf(thereInstance, '/prompts/a/dev'), 'text 1')
  t.notOk(seen.there.reads().includes('read_project'), 'what is known, or was before, is not asked for')

  await move('r2')
  hearMessage(thereInstance.deps, told({}))
  await until(async () => (await contentOf(thereInstance, '/prompts/a/dev')) === 'text 2')
})
