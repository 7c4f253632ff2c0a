import t from 'tap'
import { hearMessage } from '../../src/features/reads/changes.service.js'
import type { RedisLink } from '../../src/redis/connect.js'
import { refused } from '../helpers/assertions.js'
import { type CallOptions, openDatabase, type Service, startService, type Teardown } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { type Watched, watched } from '../helpers/watched.js'

/** Whose project it is: slugs are given again, and after a restore so are ids. */

const stalenessMs = 5_000
const base = await openDatabase(t)
const seen: Record<'here' | 'there', Watched> = { here: watched(base), there: watched(base) }
const here = await startService(t, { connection: seen.here.connection })
const there = await startService(t, { connection: seen.there.connection, clock: here.clock })
let projectCount = 0

const prompts = (contents: Record<string, string>) => Object.entries(contents).map(([name, content]) => ({ name, content }))

/** A project of its own for one test. */
async function makeProject() {
  projectCount += 1
  const project = `identity-${projectCount}`
  const make = () => here.call('/projects', { body: { slug: project } })
  await make()
  const { id } = await base.client.project.findUniqueOrThrow({ where: { slug: project } })
  const at =
    (instance: Service) =>
    (path: string, options: CallOptions = {}) =>
      instance.call(path, { project, ...options })
  return {
    ...{ project, id: `${id}`, make, here: at(here), there: at(there) },
    remove: () => here.call(`/projects/${project}`, { method: 'DELETE' }),
    push: (body: object) => here.push(body, { project }),
    createKey: () => here.createKey({ name: 'k', project, scopes: ['prompts:read', 'prompts:write'] }),
  }
}

/** Nothing is confirmed any more, while keys are still believed. */
function waitForStaleness(): void {
  here.clock.advance(stalenessMs + 1)
}

t.test('a project made anew has no alias and no pin of the one before, wherever that was known', async (t) => {
  const project = await makeProject()
  await project.push({ alias: 'production', prompts: prompts({ x: 'old 1', y: 'old' }) })
  await project.push({ alias: 'beta', prompts: prompts({ x: 'old 2' }) })
  await project.here('/aliases/production', { method: 'PUT', body: { version: 'v2', prompt: 'x' } })
  for (const call of [project.here, project.there]) t.equal((await call('/prompts/x/production')).body.content, 'old 2')

  await project.remove()
  await project.make()
  // A label may have the name of an alias that is gone.
  await project.push({ version: 'beta', alias: 'production', prompts: prompts({ x: 'new', z: 'new' }) })
  for (const [instance, call] of [
    ['here', project.here],
    ['there', project.there],
  ] as const) {
    if (instance === 'there') waitForStaleness()
    for (const ref of ['production', 'beta']) t.equal((await call(`/prompts/x/${ref}`)).body.content, 'new', `${instance} ${ref}`)
    refused(t, await call('/prompts/y/production'), 404, 'prompt.not_found')
  }
})

t.test('a project that was seen deleted is followed when it is made anew', async (t) => {
  const project = await makeProject()
  await project.push({ alias: 'production', prompts: prompts({ x: 'old' }) })
  t.equal((await project.there('/prompts/x/production')).status, 200)
  await project.remove()
  waitForStaleness()
  refused(t, await project.there('/prompts/x/production'), 404, 'project.not_found')
  await project.make()
  await project.push({ alias: 'dev', prompts: prompts({ x: 'new' }) })
  waitForStaleness()
  t.equal((await project.there('/prompts/x/dev')).body.content, 'new')
  refused(t, await project.there('/prompts/x/production'), 404, 'alias.not_found')
})

t.test('after a purge aliases and pins are as they were', async (t) => {
  const project = await makeProject()
  await project.push({ alias: 'production', prompts: prompts({ x: 'first', y: 'other' }) })
  await project.push({ alias: 'dev', prompts: prompts({ x: 'second' }) })
  await project.here('/aliases/pinned', { method: 'PUT', body: { version: 'v2', prompt: 'x' } })
  await project.there('/prompts/x/production')
  await project.here('/aliases/dev', { method: 'DELETE' })
  await project.here('/prompts/x/v1/purge', { body: { reason: 'a name' } })
  waitForStaleness()
  for (const call of [project.here, project.there]) {
    refused(t, await call('/prompts/x/production'), 410, 'version.purged')
    t.equal((await call('/prompts/y/production')).body.content, 'other')
    t.equal((await call('/prompts/x/pinned')).body.content, 'second')
    refused(t, await call('/prompts/x/dev'), 404, 'alias.not_found')
  }
})

t.test('a key of a deleted project neither reads nor writes the one made anew, though it is still believed', async (t) => {
  const project = await makeProject()
  await project.push({ alias: 'production', prompts: prompts({ x: 'of one' }) })
  const keys = [await project.createKey(), await project.createKey(), await project.createKey()].map(({ secret }) => secret)
  const [reader = '', writer = '', follower = ''] = keys
  for (const key of keys) t.equal((await project.there('/prompts/x/production', { key })).status, 200)

  await project.remove()
  await project.make()
  await project.push({ alias: 'production', prompts: prompts({ y: 'of another' }) })
  waitForStaleness()
  // It is this call that finds out.
  refused(t, await there.call('/prompts', { key: writer, body: { prompts: prompts({ z: 'intruder' }) } }), 401, 'auth.revoked')
  refused(t, await there.call('/prompts/y/production', { key: reader }), 401, 'auth.revoked')
  refused(t, await there.call('/prompts/y/production', { key: follower }), 401, 'auth.revoked')
  t.equal((await here.call('/prompts/z/v1', { project: project.project })).status, 404, 'nothing was written')

  const { secret } = await project.createKey()
  t.equal((await there.call('/prompts/y/production', { key: secret })).body.content, 'of another')
})

t.test('the same of a read that finds out by itself, and where the project is not held any more', async (t) => {
  for (const isHeld of [true, false]) {
    const project = await makeProject()
    await project.push({ alias: 'production', prompts: prompts({ x: 'of one' }) })
    const { secret } = await project.createKey()
    t.equal((await there.call('/prompts/x/production', { key: secret })).status, 200)
    if (!isHeld) there.deps.cache.projects.delete(project.id)
    await project.remove()
    await project.make()
    await project.push({ alias: 'production', prompts: prompts({ y: 'of another' }) })
    waitForStaleness()
    refused(t, await there.call('/prompts/y/production', { key: secret }), 401, 'auth.revoked')
  }
})

/** A link to one other instance alone, which remembers what was stored. */
function linkTo(other: Service) {
  const stored: { key: string; ttlMs: number }[] = []
  const link: Partial<RedisLink> = {
    get: async () => null,
    set: (key, _value, ttlMs) => void stored.push({ key, ttlMs }),
    publish: (_channel, message) => hearMessage(other.deps, message),
    removeAll: async () => 0,
  }
  return { link: link as RedisLink, stored }
}

/** Gives an instance such a link for the time of one test. */
async function linked(t: Teardown, instance: Service, other: Service) {
  await until('the database is known', 5_000, () => instance.deps.cache.databaseId !== null)
  const { redis } = instance.deps
  const { link, stored } = linkTo(other)
  instance.deps.redis = link
  t.teardown(() => {
    instance.deps.redis = redis
  })
  return stored
}

t.test(
  'an instance that has not heard of it writes nothing into the project made anew for a key of the one before',
  async (t) => {
    const project = await makeProject()
    await project.push({ alias: 'production', prompts: prompts({ x: 'old' }) })
    const { secret } = await project.createKey()
    t.equal((await project.there('/prompts/x/production', { key: secret })).status, 200)
    const { createdAt } = await base.client.project.findUniqueOrThrow({ where: { slug: project.project } })
    // What was announced is lost here: to this instance the project is the one it was.
    await base.client.project.update({
      where: { slug: project.project },
      data: { createdAt: new Date(createdAt.getTime() + 1) },
    })
    const body = { prompts: prompts({ x: 'of the old tenant' }) }
    refused(t, await project.there('/prompts', { key: secret, body }), 404, 'project.not_found')
    t.equal((await project.here('/prompts/x/latest')).body.content, 'old')
  },
)

t.test('who deletes a project tells the others of all its keys, also of those it has never seen', async (t) => {
  const project = await makeProject()
  await project.push({ alias: 'production', prompts: prompts({ x: 'text' }) })
  const { secret } = await project.createKey()
  const other = await makeProject()
  const { secret: secretOfOther } = await other.createKey()
  t.equal((await there.call('/prompts/x/production', { key: secret })).status, 200)
  refused(t, await there.call('/prompts/x/production', { key: secretOfOther }), 404, 'prompt.not_found')
  const isOpen = { publicRead: true }
  await other.here(`/projects/${other.project}`, { method: 'PATCH', body: { settings: isOpen } })
  waitForStaleness()
  await other.push({ alias: 'production', prompts: prompts({ x: 'for all' }) })
  t.equal((await other.there('/prompts/x/production', { key: secret })).body.content, 'for all')
  await linked(t, here, there)
  // Who does not hold the project does not find out by itself, and the other one tells nothing of it.
  there.deps.cache.projects.delete(project.id)
  await project.remove()
  refused(t, await other.there('/prompts/x/production', { key: secret }), 401, 'auth.revoked')
  seen.there.forget()
  t.equal((await there.call('/prompts/x/production', { key: secretOfOther })).body.content, 'for all')
  t.strictSame(seen.there.reads(), [], 'keys of other projects are believed as before')
})

/** Brings the projects to a state that instances did not come to by writes, as a backup does. */
async function restore(...statements: string[]): Promise<void> {
  await base.client.$executeRawUnsafe('ALTER TABLE projects DISABLE TRIGGER USER')
  try {
    for (const statement of statements) await base.client.$executeRawUnsafe(statement)
  } finally {
    await base.client.$executeRawUnsafe('ALTER TABLE projects ENABLE TRIGGER USER')
  }
}

t.test('a slug that belongs to another id after a restore leads to no project of before', async (t) => {
  const [first, second] = [await makeProject(), await makeProject()]
  await first.push({ alias: 'production', prompts: prompts({ x: 'of the first' }) })
  await second.push({ alias: 'production', prompts: prompts({ x: 'of the second' }) })
  const { secret } = await first.createKey()
  t.equal((await there.call('/prompts/x/production', { key: secret })).status, 200)
  for (const project of [first, second]) t.equal((await project.there('/prompts/x/production')).status, 200)
  const rename = (id: string, slug: string) =>
    `UPDATE projects SET slug = '${slug}', epoch_token = gen_random_uuid() WHERE id = ${id}`
  await restore(rename(first.id, 'identity-given'), rename(second.id, first.project))
  waitForStaleness()
  t.equal((await there.call('/prompts/x/production', { project: first.project })).body.content, 'of the second')
  t.equal((await there.call('/prompts/x/production', { project: 'identity-given' })).body.content, 'of the first')
  refused(t, await there.call('/prompts/x/production', { project: second.project }), 404, 'project.not_found')
})

t.test('a slug that was given to another id while nobody held either leads to that one', async (t) => {
  const [first, second] = [await makeProject(), await makeProject()]
  await first.push({ alias: 'production', prompts: prompts({ x: 'of the first' }) })
  await second.push({ alias: 'production', prompts: prompts({ x: 'of the second' }) })
  for (const project of [first, second]) {
    t.equal((await project.there('/prompts/x/production')).status, 200)
    there.deps.cache.projects.delete(project.id)
  }
  const rename = (id: string, slug: string) =>
    `UPDATE projects SET slug = '${slug}', epoch_token = gen_random_uuid() WHERE id = ${id}`
  await restore(rename(first.id, 'identity-taken'), rename(second.id, first.project))
  t.equal((await there.call('/prompts/x/production', { project: 'identity-taken' })).body.content, 'of the first')
  t.equal((await first.there('/prompts/x/production')).body.content, 'of the second')
})

t.test('an id that is gone after a restore leaves its slug to the project that has it', async (t) => {
  const [first, second] = [await makeProject(), await makeProject()]
  await second.push({ alias: 'production', prompts: prompts({ x: 'of the second' }) })
  refused(t, await first.there('/prompts/x/production'), 404, 'prompt.not_found')
  await restore(
    `UPDATE projects SET slug = 'identity-${second.id}-old', deleted_at = now() WHERE id = ${first.id}`,
    `UPDATE projects SET slug = '${first.project}', epoch_token = gen_random_uuid() WHERE id = ${second.id}`,
    `UPDATE projects SET epoch_token = gen_random_uuid() WHERE id = ${first.id}`,
  )
  waitForStaleness()
  t.equal((await first.there('/prompts/x/production')).body.content, 'of the second')
})

t.test('what moves is shared for an hour, and again while it is confirmed, but not all the time', async (t) => {
  const project = await makeProject()
  await project.push({ alias: 'production', prompts: prompts({ x: 'text' }) })
  const stored = await linked(t, here, there)
  const shared = async () => {
    stored.length = 0
    waitForStaleness()
    await project.here('/prompts/x/production')
    return stored.filter(({ key }) => key.endsWith(`:p:${project.project}`) || key.endsWith(`:i:${project.id}`))
  }
  await project.push({ prompts: prompts({ x: 'more' }) })
  const afterWrite = stored.filter(({ key }) => key.endsWith(`:p:${project.project}`))
  t.ok(afterWrite.length > 0 && afterWrite.every(({ ttlMs }) => ttlMs <= 60 * 60 * 1_000 && ttlMs > 50 * 60 * 1_000))
  t.strictSame(await shared(), [])
  here.clock.advance(40 * 60 * 1_000)
  t.equal((await shared()).length, 2)
  t.strictSame(await shared(), [])
})
