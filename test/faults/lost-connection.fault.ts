import t from 'tap'
import { connectPostgres } from '../../src/database/connect.js'
import { migrate } from '../../src/database/migrate.js'
import { startService } from '../helpers/service.js'
import { countRows, refusedForNow } from './helpers/calls.js'
import { type Cut, startCuttingProxy } from './helpers/cutting-proxy.js'
import { startPostgres } from './helpers/postgres-server.js'

const server = await startPostgres(t)
const proxy = await startCuttingProxy(t, await server.createDatabase('cuts'))
const connection = await connectPostgres(proxy.url)
t.teardown(() => connection.close())
await migrate(connection)
const service = await startService(t, { connection })
const beside = await server.connect('cuts')
await service.push({ alias: 'production', prompts: [{ name: 'ground', content: 'stays' }] })

/** The call as it answers when its connection is cut, which it must be. */
async function callCut(cut: Cut, path: string, options: { method?: string; body: object }) {
  const wasCut = proxy.cutOnce(cut)
  const answer = await service.call(path, options)
  await wasCut
  return { ...answer, retryAfter: answer.headers.get('retry-after') }
}

const pushOf = (name: string) => ({ alias: 'production', prompts: [{ name, content: `content of ${name}` }] })
const inserting: Cut = { when: 'sent', text: 'INSERT INTO versions' }
const committing: Cut = { when: 'sent', text: 'COMMIT' }
const committed: Cut = { when: 'answered', text: 'COMMIT' }

t.test('a connection lost in the middle of a push changes nothing, and the answer says so', async (t) => {
  const before = await countRows(beside)
  const answer = await callCut(inserting, '/prompts', { body: pushOf('middle') })
  refusedForNow(t, answer, 'database.unavailable')
  t.strictSame(await countRows(beside), before)
  t.equal((await service.call('/prompts/middle/latest')).status, 404)
  const again = await service.call('/prompts', { body: pushOf('middle') })
  t.equal(again.status, 201, 'and the same push succeeds without a restart')
})

t.test('a connection lost before the commit reaches the server: unknown to the caller, and nothing changed', async (t) => {
  const before = await countRows(beside)
  const answer = await callCut(committing, '/prompts', { body: pushOf('before-commit') })
  refusedForNow(t, answer, 'write.unknown')
  t.strictSame(await countRows(beside), before)
  t.equal((await service.call('/prompts', { body: pushOf('before-commit') })).status, 201)
  t.equal(await releasesOf('before-commit'), 1)
})

t.test(
  'a connection lost after the commit: unknown to the caller, the release is there, and a retry makes no second one',
  async (t) => {
    const answer = await callCut(committed, '/prompts', { body: pushOf('after-commit') })
    refusedForNow(t, answer, 'write.unknown')
    const fetched = await service.call('/prompts/after-commit/production')
    t.equal(fetched.body.content, 'content of after-commit', 'the instance that did not know serves it at once')
    const after = await countRows(beside)
    const again = await service.call('/prompts', { body: pushOf('after-commit') })
    t.equal(again.status, 200)
    t.equal(again.body.release.ref, fetched.body.release)
    t.strictSame(await countRows(beside), after)
    t.equal(await releasesOf('after-commit'), 1)
  },
)

/** How many releases were the first to hold a version of this prompt. */
async function releasesOf(name: string): Promise<number> {
  const { rows } = await beside.query(
    'SELECT v.release_id FROM versions v JOIN prompts p ON p.id = v.prompt_id WHERE p.name = $1',
    [name],
  )
  return rows.length
}

t.test('every other write keeps the same promise', async (t) => {
  await service.push({ version: 'v-target', prompts: [{ name: 'target', content: 'two' }] })
  const writes = [
    { path: '/aliases/production', options: { method: 'PUT', body: { version: 'v-target' } }, again: 200 },
    { path: '/projects', options: { body: { slug: 'cut' } }, again: 409 },
    { path: '/keys', options: { body: { name: 'cut', scopes: ['prompts:read'] } }, again: 201 },
  ]
  for (const { path, options, again } of writes) {
    const before = await countRows(beside)
    refusedForNow(t, await callCut(committing, path, options), 'write.unknown')
    t.strictSame(await countRows(beside), before, `${path}: cut before the commit, nothing changed`)
    refusedForNow(t, await callCut(committed, path, options), 'write.unknown')
    t.notSame(await countRows(beside), before, `${path}: cut after the commit, it is there`)
    t.equal((await service.call(path, options)).status, again, `${path}: repeated without a restart`)
  }
})

t.test('release numbers have no gap after all that', async (t) => {
  const { rows } = await beside.query<{ number: number }>('SELECT number FROM releases ORDER BY number')
  t.strictSame(
    rows.map(({ number }) => number),
    rows.map((_, index) => index + 1),
  )
})
