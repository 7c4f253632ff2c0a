import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { Connection, Statement } from '../../src/database/connect.js'
import { hearMessage } from '../../src/features/reads/changes.service.js'
import { isConfirmed, outdate, refresh } from '../../src/features/reads/held-projects.service.js'
import type { HeldProject } from '../../src/lib/read-cache.js'
import { hashHex } from '../../src/lib/secrets.js'
import { refused } from '../helpers/assertions.js'
import { type CallOptions, openDatabase, startService } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { remembers, watched } from '../helpers/watched.js'

const stalenessMs = 5_000
const patienceMs = 10_000
/** Longer than a read waits for the confirmation of its key. */
const slowMs = 300

type Disturb = (statement: Statement, values: unknown[], read: () => Promise<string | null>) => Promise<string | null>
const undisturbed: Disturb = (_statement, _values, read) => read()
let disturb = undisturbed

const base = await openDatabase(t)
const seen = watched(base)
/** What a test does to the database of `there` alone. */
const disturbed: Connection = {
  ...seen.connection,
  read: (statement, values, timeoutMs) => disturb(statement, values, () => seen.connection.read(statement, values, timeoutMs)),
}
const here = await startService(t, { connection: base })
const there = await startService(t, { connection: disturbed, clock: here.clock })

t.afterEach(() => {
  disturb = undisturbed
  seen.giveBack()
})

let projectCount = 0
const serverSaysTooLong = () => Promise.reject(new Error('Query read timeout'))
const isMarked = ({ headers }: { headers: Headers }) => headers.get('x-promptsync-source') === 'stale'
const numbered = (count: number) => Array.from({ length: count }, (_, number) => `p${number}`)

/** A project of its own for one test, of prompts that both instances know. */
async function makeProject(count = 1, settings: object = {}) {
  await until('the database is there', patienceMs, () => !there.deps.database.isAway())
  projectCount += 1
  const project = `availability-${projectCount}`
  await here.call('/projects', { body: { slug: project, settings } })
  const names = numbered(count)
  const push = (content: string, more: object = { alias: 'dev' }) =>
    here.push({ ...more, prompts: names.map((name) => ({ name, content: `${content} ${name}` })) }, { project })
  const ask = (path = '/prompts/p0/dev', options: CallOptions = {}) => there.call(path, { project, ...options })
  await push('one')
  for (const name of names) await ask(`/prompts/${name}/dev`)
  const held = [...there.deps.cache.projects.values()].find(({ pointers }) => pointers.project.slug === project) as HeldProject
  return { project, push, ask, held }
}

function waitForStaleness(): void {
  here.clock.advance(stalenessMs + 1)
}

t.test('what cannot be loaded ahead keeps no change from being served, and no write from being done', async (t) => {
  for (const failing of ['read_difference', 'read_versions']) {
    const { ask, push } = await makeProject(3)
    disturb = (statement, _values, read) => (statement.name === failing ? serverSaysTooLong() : read())
    const losses = there.deps.database.losses()
    await push('two')
    waitForStaleness()
    // With no record in memory each prompt would be asked for by the statement that fails.
    const answer = await ask('/prompts/p0/latest')
    t.equal(answer.body.content, 'two p0', failing)
    t.equal(isMarked(answer), false)
    t.equal(there.deps.database.losses(), losses, 'the database is there')
    const written = await ask('/aliases/other', { method: 'PUT', body: { version: 'r1' } })
    t.equal(written.status, 201)
    disturb = undisturbed
    t.equal((await ask('/prompts/p1/dev')).body.content, 'two p1')
  }
})

t.test('what is loaded ahead comes in pieces of a modest size', async (t) => {
  const { ask, push } = await makeProject(60)
  const sizes: number[] = []
  disturb = (statement, values, read) => {
    if (statement.name === 'read_versions') sizes.push((values[0] as unknown[]).length)
    return read()
  }
  await push('two')
  waitForStaleness()
  await until('it is known', patienceMs, async () => (await ask()).body.content === 'two p0')
  t.strictSame(sizes, [25, 25, 10])
})

t.test('what takes long to load ahead is not waited for', async (t) => {
  const { ask, push, held } = await makeProject(3)
  const { reached, release } = seen.holdNext('read_versions')
  await push('belated')
  waitForStaleness()
  const reading = ask('/prompts/p0/latest')
  await reached
  await until('the change is known', patienceMs, async () => held.pointers.aliases.get('dev')?.target.ref === 'r2')
  t.equal((await reading).status, 200)
  release()
  await new Promise(setImmediate)
  t.notOk(remembers(there.deps, 'belated p2'), 'what came too late is not kept')
  t.equal((await ask('/prompts/p2/dev')).body.content, 'belated p2')
})

t.test('a project that cannot be read keeps no other from being read', async (t) => {
  const projects: Awaited<ReturnType<typeof makeProject>>[] = []
  for (let number = 0; number < 12; number += 1) projects.push(await makeProject())
  // Enough of them to fill the first batch that is read at once, and those after it, from either end.
  const isBroken = (number: number) => number >= 3 && number < 9
  const broken = new Set(projects.filter((_, number) => isBroken(number)).map(({ held }) => `${held.pointers.project.id}`))
  disturb = (statement, values, read) =>
    statement.name === 'read_project' && broken.has(`${values[0]}`) ? Promise.reject(new Error('broken')) : read()
  for (const { push } of projects) await push('two')
  waitForStaleness()
  const isFollowed = ({ held }: { held: HeldProject }) => held.pointers.aliases.get('dev')?.target.ref === 'r2'
  await until('the others are followed', patienceMs, () => projects.every((one, number) => isBroken(number) || isFollowed(one)))
  for (const [number, { ask }] of projects.entries()) t.equal(isMarked(await ask()), isBroken(number))
})

t.test('reads that wait for their turn, and find none, say nothing of the database', async (t) => {
  const { project, ask } = await makeProject()
  const names = numbered(8)
  await here.push({ alias: 'dev', prompts: names.map((name) => ({ name, content: name })) }, { project })
  waitForStaleness()
  t.equal((await ask()).body.content, 'p0')
  const losses = there.deps.database.losses()
  const reads: (() => void)[] = []
  disturb = (statement, _values, read) =>
    statement.name === 'read_held' ? new Promise<void>((resolve) => reads.push(resolve)).then(read) : read()
  const answers = await Promise.all(names.slice(1).map((name) => ask(`/prompts/${name}/dev`)))
  for (const answer of answers) refused(t, answer, 503, 'read.busy')
  t.equal(reads.length, 4, 'no more are asked for at once than there are connections')
  t.equal(there.deps.database.losses(), losses)
  for (const read of reads) read()
  disturb = undisturbed
  for (const name of names) t.equal((await ask(`/prompts/${name}/dev`)).body.content, name)
})

t.test('a key that was revoked is not believed because others write while a slow database is asked', async (t) => {
  const { project, ask } = await makeProject()
  const scopes = ['prompts:read']
  const [revoked, good] = await Promise.all(['revoked', 'good'].map((name) => here.createKey({ name, project, scopes })))
  for (const key of [revoked?.secret, good?.secret]) t.equal((await ask(undefined, { key })).status, 200)
  await here.call(`/keys/${revoked?.id}`, { method: 'DELETE' })
  disturb = async (statement, _values, read) => {
    const answer = await read()
    if (statement.name !== 'read_epochs') return answer
    hearMessage(there.deps, JSON.stringify({ project: '999999', epoch: 1, token: null, purges: 0 }))
    await delay(slowMs)
    return answer
  }
  here.clock.advance(9_000)
  await until('it is refused', patienceMs, async () => (await ask(undefined, { key: revoked?.secret })).status === 401)
  refused(t, await ask(undefined, { key: revoked?.secret }), 401, 'auth.revoked')
  t.equal((await ask(undefined, { key: good?.secret })).status, 200)
  const hash = hashHex(good?.secret ?? '')
  await until('the other one is confirmed', patienceMs, () => {
    const { checkedAtMs = 0 } = there.deps.keys.peek(hash) ?? {}
    return there.deps.elapsed() - checkedAtMs < 4_000
  })
})

t.test('a key that the database no longer has is forgotten, asked for or not', async (t) => {
  const { project, ask } = await makeProject()
  const keys = await Promise.all(['asked', 'unasked'].map((name) => here.createKey({ name, project, scopes: ['prompts:read'] })))
  for (const { secret } of keys) t.equal((await ask(undefined, { key: secret })).status, 200)
  const [asked = '', unasked = ''] = keys.map(({ secret }) => secret)
  await base.client.$executeRawUnsafe('ALTER TABLE api_keys DISABLE TRIGGER USER')
  await base.client.apiKey.deleteMany({ where: { id: { in: keys.map(({ id }) => id) } } })
  await base.client.$executeRawUnsafe('ALTER TABLE api_keys ENABLE TRIGGER USER')
  here.clock.advance(9_000)
  refused(t, await ask(undefined, { key: asked }), 401, 'auth.invalid')
  await until('the other one is forgotten', patienceMs, () => !there.deps.keys.has(hashHex(unasked)))
  seen.takeAway()
  waitForStaleness()
  for (const key of [asked, unasked]) refused(t, await ask(undefined, { key }), 503, 'database.unavailable')
})

t.test('a project that is written to all the time is served unmarked, within the bound', async (t) => {
  const { ask, held } = await makeProject()
  const hear = () => {
    const project = `${held.pointers.project.id}`
    hearMessage(there.deps, JSON.stringify({ project, epoch: null, token: null, purges: null }))
  }
  let under = seen.holdNext('read_project')
  /** What is announced now is read after what is being read. */
  const announceDuring = async (afterMs: number) => {
    await under.reached
    const { release } = under
    under = seen.holdNext('read_project')
    here.clock.advance(afterMs)
    hear()
    release()
    await under.reached
  }
  hear()
  await announceDuring(300)
  await announceDuring(100)
  here.clock.advance(300)
  t.equal(isMarked(await ask()), false, 'the oldest that is not read yet is 400 ms old')
  here.clock.advance(200)
  t.equal(isMarked(await ask()), true, 'now it is 600 ms old')
  under.release()
  await until('all is read', patienceMs, async () => !isMarked(await ask()) && held.outdated === null)
})

t.test('after a write here no reading that began before it confirms anything', async (t) => {
  const { held } = await makeProject()
  const { deps } = there
  const { reached, release } = seen.holdNext('read_project')
  outdate(deps, held, 'us')
  const first = refresh(deps, held)
  await reached
  outdate(deps, held, 'others')
  outdate(deps, held, 'us')
  release()
  await first
  t.equal(isConfirmed(deps, held, deps.elapsed()), false)
  outdate(deps, held, 'others')
  t.equal(isConfirmed(deps, held, deps.elapsed()), false)
  await refresh(deps, held)
  t.equal(isConfirmed(deps, held, deps.elapsed()), true)
})

t.test('a read needs to know of no write that came after it', async (t) => {
  const { ask, held } = await makeProject()
  const { reached, release } = seen.holdNext('read_project')
  outdate(there.deps, held, 'us')
  const reading = ask()
  await reached
  outdate(there.deps, held, 'us')
  release()
  t.equal(isMarked(await reading), false)
  t.equal(isConfirmed(there.deps, held, there.deps.elapsed()), false, 'the next one does')
  t.equal(isMarked(await ask()), false)
})

t.test('while the database is away a stranger is told of no project that may not be read', async (t) => {
  const secret = await makeProject()
  const gone = await makeProject()
  const shown = await makeProject(1, { publicRead: true })
  const own = await makeProject()
  const { secret: key } = await here.createKey({ name: 'bound', project: own.project, scopes: ['prompts:read', 'prompts:write'] })
  t.equal((await own.ask(undefined, { key })).status, 200)
  await here.call(`/projects/${gone.project}`, { method: 'DELETE' })
  waitForStaleness()
  refused(t, await gone.ask(), 404, 'project.not_found')
  for (const { ask } of [secret, shown, own]) t.equal((await ask()).status, 200)
  refused(t, await secret.ask(undefined, { key: null }), 401, 'auth.required')

  seen.takeAway()
  await until('it is away', patienceMs, () => there.deps.database.isAway())
  const alike = ({ status, headers, body }: Awaited<ReturnType<typeof own.ask>>) => {
    const { requestId: _, ...problem } = body
    return { status, problem, retryAfter: headers.get('retry-after'), source: headers.get('x-promptsync-source') }
  }
  for (const options of [{ key: null }, { key }, { key, body: { prompts: [] }, path: '/prompts' }]) {
    const { path = '/prompts/p0/dev', ...call } = options
    const unknown = await there.call(path, { project: 'nobody-knows-it', ...call })
    refused(t, unknown, 503, 'database.unavailable')
    for (const { project } of [secret, gone]) t.strictSame(alike(await there.call(path, { project, ...call })), alike(unknown))
  }
  for (const project of [secret.project, shown.project, 'nobody-knows-it']) {
    refused(t, await there.call('/prompts', { project, key: null, body: { prompts: [] } }), 401, 'auth.required')
  }
  t.equal((await shown.ask(undefined, { key: null })).status, 200)
  t.equal((await shown.ask(undefined, { key })).status, 200)
  t.equal((await own.ask(undefined, { key })).status, 200)
})
