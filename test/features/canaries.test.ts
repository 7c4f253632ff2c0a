import { createHash } from 'node:crypto'
import t from 'tap'
import { refused, shows } from '../helpers/assertions.js'
import { type CallOptions, startService } from '../helpers/service.js'

type Tap = typeof t

const service = await startService(t)
let projectCount = 0

const prompts = (contents: Record<string, string>) => Object.entries(contents).map(([name, content]) => ({ name, content }))

/** A project of its own for one test: alias `prod` is at r1, prompt `x` is v1 to v<N> in r1 to r<N>. */
async function makeProject(releases = 3) {
  projectCount += 1
  const project = `canaries-${projectCount}`
  await service.call('/projects', { body: { slug: project } })
  const call = (path: string, options: CallOptions = {}) => service.call(path, { project, ...options })
  const push = (body: object) => service.push(body, { project })
  for (let number = 1; number <= releases; number += 1) await push({ prompts: prompts({ x: `${number}` }) })
  if (releases > 0) await call('/aliases/prod', { method: 'PUT', body: { version: 'r1' } })
  return {
    call,
    push,
    project,
    start: (version: string, percentage: unknown, more: object = {}, headers: Record<string, string> = {}) =>
      call('/canary', { body: { alias: 'prod', version, percentage, ...more }, headers }),
    put: (version: string, more: object = {}) => call('/aliases/prod', { method: 'PUT', body: { version, ...more } }),
    fetch: (name: string, query = '') => call(`/prompts/${encodeURIComponent(name)}/prod${query}`),
    salt: async () => {
      const row = await service.deps.db.alias.findFirstOrThrow({
        where: { name: 'prod', promptId: null, project: { slug: project } },
      })
      return row.canarySalt
    },
  }
}
type TestProject = Awaited<ReturnType<typeof makeProject>>

/** Runs `work` and checks that it left every table as it was. */
async function changesNothing<T>(t: Pick<Tap, 'strictSame'>, work: () => Promise<T>): Promise<T> {
  const before = await service.countRows()
  const result = await work()
  t.strictSame(await service.countRows(), before, 'no table has gained or lost a row')
  return result
}

type Side = { bucket: number; selected: boolean; content: string }

/** What each of `count` subjects gets. */
async function sidesOf({ fetch }: TestProject, name: string, count: number): Promise<Side[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const { body, headers } = await fetch(name, `?key=user-${index}`)
      return { bucket: Number(headers.get('x-promptsync-bucket')), selected: body.canary.selected, content: body.content }
    }),
  )
}

/** One key in the canary and one outside of it. */
async function keysOf(project: TestProject): Promise<{ inside: string; outside: string }> {
  const found = new Map<boolean, string>()
  for (let index = 0; found.size < 2 && index < 200; index += 1) {
    const { body } = await project.fetch('x', `?key=user-${index}`)
    if (!found.has(body.canary.selected)) found.set(body.canary.selected, `?key=user-${index}`)
  }
  return { inside: found.get(true) ?? '', outside: found.get(false) ?? '' }
}

t.test('POST /canary starts one with 201, and its answer, the alias and the list show it', async (t) => {
  const { call, start, project } = await makeProject()
  const answer = await start('r2', 12.5, { reason: 'try it' })
  t.equal(answer.status, 201)
  t.equal(answer.headers.get('etag'), '"2"')
  const { startedAt } = answer.body
  t.equal(new Date(startedAt).toISOString(), startedAt)
  const expected = { alias: 'prod', prompt: null, release: 'r2', version: null, percentage: 12.5, revision: 2, startedAt }
  t.strictSame(answer.body, expected)
  const alias = (await call('/aliases/prod')).body
  shows(t, alias, { release: 'r1', revision: 2, canary: { release: 'r2', version: null, percentage: 12.5, startedAt } })
  const reader = await service.createKey({ name: 'reader', project, scopes: ['prompts:read'] })
  const list = await call('/canary', { key: reader.secret })
  t.strictSame(list.body, { items: [expected], nextCursor: null })
})

t.test(
  'a canary needs an alias, a release that exists and is not its target, and a percentage of at most two decimals',
  async (t) => {
    const { start } = await makeProject()
    await changesNothing(t, async () => {
      refused(t, await start('r2', 10, { alias: 'prud' }), 404, 'alias.not_found')
      refused(t, await start('v2', 10, { prompt: 'x' }), 404, 'alias.not_found')
      refused(t, await start('v2', 10, { prompt: 'unknown' }), 404, 'prompt.not_found')
      refused(t, await start('r9', 10), 404, 'release.not_found')
      refused(t, await start('v2', 10), 404, 'release.not_found')
      for (const own of ['r1', 'prod']) refused(t, await start(own, 10), 409, 'canary.same_target')
      for (const percentage of [0, -1, 100.01, 101, 0.001, 0.005, 12.345, 99.999, '10', null, true, undefined]) {
        refused(t, await start('r2', percentage), 422, 'validation.failed')
      }
      refused(t, await start('r2', 10, { extra: 1 }), 422, 'validation.failed')
      refused(t, await start('r2', 10, { alias: 'Upper' }), 422, 'validation.failed')
    })
    for (const percentage of [0.01, 0.29, 0.57, 1.1, 33.33, 57.3, 99.99, 100]) {
      t.equal((await start('r2', percentage)).body.percentage, percentage, 'is kept exactly')
    }
  },
)

t.test('the target is a number, label, commit, latest or another alias, resolved once', async (t) => {
  const { call, push, start } = await makeProject(1)
  await push({ version: 'two', git: { commit: 'd'.repeat(40) }, prompts: prompts({ x: '2' }) })
  await push({ alias: 'dev', prompts: prompts({ x: '3' }) })
  const targets: [version: string, release: string][] = [
    ['r2', 'two'],
    ['dev', 'r3'],
    ['two', 'two'],
    ['latest', 'r3'],
    ['ddddddd', 'two'],
    ['dev', 'r3'],
  ]
  for (const [version, release] of targets) t.equal((await start(version, 50)).body.release, release, version)
  await call('/aliases/dev', { method: 'PUT', body: { version: 'r1' } })
  await push({ prompts: prompts({ x: '4' }) })
  t.equal((await call('/aliases/prod')).body.canary.release, 'r3')
})

t.test('the side of a subject is that of the formula over its salt and key', async (t) => {
  const project = await makeProject()
  await project.start('r2', 37.5)
  const salt = await project.salt()
  const sides = await sidesOf(project, 'x', 60)
  const wrong = sides.filter(({ bucket, selected, content }, index) => {
    const digest = createHash('sha256').update(`${salt}:user-${index}`).digest()
    const expected = Math.floor((digest.readUInt32BE(0) * 10_000) / 2 ** 32)
    return bucket !== expected || selected !== expected < 3_750 || content !== (selected ? '2' : '1')
  })
  t.strictSame(wrong, [])
  const share = sides.filter(({ selected }) => selected).length / sides.length
  t.ok(share > 0.12 && share < 0.63, `${share} is near 0.375`)
  const unicode = await project.fetch('x', `?key=${encodeURIComponent('用户 1:2&é')}`)
  const digest = createHash('sha256').update(`${salt}:用户 1:2&é`).digest()
  t.equal(unicode.headers.get('x-promptsync-bucket'), String(Math.floor((digest.readUInt32BE(0) * 10_000) / 2 ** 32)))
})

t.test('raising the percentage only moves subjects in, and a subject keeps its bucket', async (t) => {
  const project = await makeProject()
  const rounds: Side[][] = []
  for (const percentage of [10, 40, 75, 100]) {
    await project.start('r2', percentage)
    rounds.push(await sidesOf(project, 'x', 20))
  }
  for (const [round, sides] of rounds.entries()) {
    const before = rounds[round - 1] ?? sides
    t.strictSame(
      sides.map(({ bucket }) => bucket),
      before.map(({ bucket }) => bucket),
    )
    t.notOk(
      before.some(({ selected }, index) => selected && !sides[index]?.selected),
      'nobody moves out',
    )
  }
  t.ok(
    rounds[3]?.every(({ selected }) => selected),
    'at 100 everybody is in',
  )
})

t.test('a new target, or a canary started anew, draws new sides', async (t) => {
  const project = await makeProject()
  const salts = new Set<string | null>()
  const note = async () => salts.add(await project.salt())
  await project.start('r2', 50)
  await note()
  const first = await sidesOf(project, 'x', 20)
  t.equal((await project.start('r3', 50)).status, 200)
  await note()
  const second = await sidesOf(project, 'x', 20)
  t.notSame(
    second.map(({ bucket }) => bucket),
    first.map(({ bucket }) => bucket),
  )
  await project.start('r2', 50)
  await note()
  await project.call('/canary/prod', { method: 'DELETE' })
  await project.start('r2', 50)
  await note()
  t.equal(salts.size, 4)
  for (const salt of salts) t.ok(salt !== null && salt.length >= 16)
})

t.test('a new percentage keeps startedAt and counts as a move; the same once more changes nothing', async (t) => {
  const { call, start } = await makeProject()
  const first = await start('r2', 10)
  const raised = await start('r2', 20)
  t.equal(raised.status, 200)
  shows(t, raised.body, { percentage: 20, revision: 3, startedAt: first.body.startedAt })
  const again = await changesNothing(t, () => start('r2', 20, {}, { 'if-match': '"99"' }))
  t.equal(again.status, 200)
  t.strictSame(again.body, raised.body)
  t.equal((await call('/aliases/prod')).body.revision, 3)
})

t.test('all prompts of a subject move together, pins excepted', async (t) => {
  const project = await makeProject(0)
  await project.push({ prompts: prompts({ x: '1', y: '1', pinned: '1' }) })
  await project.push({ prompts: prompts({ x: '2', y: '2', pinned: '2' }) })
  await project.put('r1')
  await project.put('v1', { prompt: 'pinned' })
  await project.start('r2', 50)
  const [x, y] = [await sidesOf(project, 'x', 25), await sidesOf(project, 'y', 25)]
  t.strictSame(y, x)
  t.equal(new Set(x.map(({ content }) => content)).size, 2)
  for (let index = 0; index < 10; index += 1) {
    const { body, headers } = await project.fetch('pinned', `?key=user-${index}`)
    shows(t, body, { content: '1', canary: null })
    t.equal(headers.get('x-promptsync-bucket'), null)
  }
})

t.test('without a key every request draws at random, and no bucket is told', async (t) => {
  const { start, fetch } = await makeProject()
  await start('r2', 50)
  const answers = await Promise.all(Array.from({ length: 40 }, () => fetch('x')))
  t.strictSame([...new Set(answers.map(({ body }) => body.content))].sort(), ['1', '2'])
  t.ok(answers.every(({ headers }) => headers.get('x-promptsync-bucket') === null))
})

t.test('canary=off gives the stable target as if there were no canary', async (t) => {
  const { start, fetch } = await makeProject()
  const before = await fetch('x', '?key=user-1')
  await start('r2', 100)
  t.equal((await fetch('x', '?key=user-1')).body.content, '2')
  const off = await fetch('x', '?key=user-1&canary=off')
  t.equal(off.text, before.text)
  t.equal(off.headers.get('etag'), before.headers.get('etag'))
  t.equal(off.headers.get('x-promptsync-bucket'), null)
})

t.test('the answer tells of the canary on either side', async (t) => {
  const project = await makeProject(1)
  await project.push({ version: 'v2.0.0', prompts: prompts({ x: '2' }) })
  await project.start('v2.0.0', 50)
  const { inside, outside } = await keysOf(project)
  const canary = { release: 'v2.0.0', version: 'v2.0.0', percentage: 50 }
  const selected = await project.fetch('x', inside)
  shows(t, selected.body, {
    ref: 'prod',
    version: 'v2.0.0',
    release: 'v2.0.0',
    content: '2',
    canary: { ...canary, selected: true },
  })
  t.equal(selected.headers.get('x-promptsync-version'), 'v2.0.0')
  const stable = await project.fetch('x', outside)
  shows(t, stable.body, { ref: 'prod', version: 'v1', release: 'r1', content: '1', canary: { ...canary, selected: false } })
  t.equal(stable.headers.get('x-promptsync-version'), 'v1')
  for (const { headers } of [selected, stable]) t.equal(headers.get('cache-control'), 'private, max-age=0, stale-if-error=86400')
})

t.test('the canary of a pin is on a version, for that prompt alone', async (t) => {
  const { call, push, put, start, fetch } = await makeProject()
  await push({ prompts: prompts({ y: '1' }) })
  await put('r4')
  await put('v1', { prompt: 'x' })
  const answer = await start('v3', 100, { prompt: 'x' })
  t.equal(answer.status, 201)
  shows(t, answer.body, { alias: 'prod', prompt: 'x', release: null, version: 'v3', percentage: 100 })
  const { body, headers } = await fetch('x', '?key=user-1')
  shows(t, body, {
    version: 'v3',
    release: 'r3',
    content: '3',
    canary: { release: null, version: 'v3', percentage: 100, selected: true },
  })
  t.match(headers.get('x-promptsync-bucket'), /^\d+$/)
  t.equal((await fetch('y', '?key=user-1')).body.canary, null)
  refused(t, await start('v1', 10, { prompt: 'x' }), 409, 'canary.same_target')
  t.equal((await call('/aliases/prod')).body.canary, null)
  const promoted = await call('/canary/prod/promote?prompt=x', { method: 'POST' })
  shows(t, promoted.body, { prompt: 'x', version: 'v3', canary: null, warnings: [] })
  t.equal((await call('/aliases/prod/rollback?prompt=x', { method: 'POST' })).body.version, 'v1')
})

t.test('a prompt that the drawn release lacks is 404, whatever the other side holds', async (t) => {
  const project = await makeProject(0)
  await project.push({ prompts: prompts({ x: '1', old: '1' }) })
  await project.push({ prune: true, prompts: prompts({ x: '2', fresh: '1' }) })
  await project.put('r1')
  await project.start('r2', 50)
  const { inside, outside } = await keysOf(project)
  const lacking = await project.fetch('old', inside)
  refused(t, lacking, 404, 'prompt.not_in_release')
  t.match(lacking.body.detail, /r2/)
  refused(t, await project.fetch('fresh', outside), 404, 'prompt.not_in_release')
  shows(t, (await project.fetch('old', outside)).body, {
    content: '1',
    canary: { release: 'r2', version: null, percentage: 50, selected: false },
  })
  t.equal((await project.fetch('fresh', inside)).body.content, '1')
  t.equal((await project.fetch('old', `${inside}&fallback=default`)).body.version, 'builtin')
})

t.test('while a canary runs a PUT or push that would move its alias is 409; one that leaves it is 200', async (t) => {
  const { call, start, put } = await makeProject()
  await put('r3')
  await start('r2', 10)
  const push = (content: string, more: object = {}) =>
    call('/prompts', { body: { alias: 'prod', prompts: prompts({ x: content }), ...more } })
  await changesNothing(t, async () => {
    refused(t, await put('r1'), 409, 'canary.active')
    refused(t, await put('r2'), 409, 'canary.active')
    refused(t, await put('r1', { dryRun: true }), 409, 'canary.active')
    refused(t, await push('new'), 409, 'canary.active')
    refused(t, await push('1', { base: 'r1' }), 409, 'canary.active')
    refused(t, await push('new', { dryRun: true }), 409, 'canary.active')
    t.equal((await put('r3')).status, 200)
    t.equal((await put('latest')).status, 200)
    const stays = await push('3')
    t.equal(stays.status, 200)
    shows(t, stays.body.alias, { name: 'prod', release: 'r3', revision: 3 })
  })
  shows(t, (await call('/aliases/prod')).body.canary, { release: 'r2', percentage: 10 })
  t.equal((await push('new', { alias: 'other' })).status, 201, 'other aliases are free')
  t.equal((await call('/aliases/prod?prompt=x', { method: 'PUT', body: { version: 'v1' } })).status, 201, 'and so are pins')
})

t.test('POST /canary replaces a running one', async (t) => {
  const { call, start } = await makeProject()
  await start('r2', 10)
  const replaced = await start('r3', 20)
  t.equal(replaced.status, 200)
  shows(t, replaced.body, { release: 'r3', percentage: 20, revision: 3 })
  t.equal((await call('/canary')).body.items.length, 1)
})

t.test('rollback of an alias with a canary only ends the canary', async (t) => {
  const { call, put, start } = await makeProject()
  await put('r2')
  await start('r3', 10)
  const rollback = () => call('/aliases/prod/rollback', { method: 'POST' })
  const ended = await rollback()
  t.equal(ended.status, 200)
  shows(t, ended.body, { release: 'r2', canary: null, revision: 4, warnings: [] })
  t.equal((await rollback()).body.release, 'r1')
  refused(t, await rollback(), 409, 'rollback.empty')
})

t.test('promote makes its target the alias’ target, and rollback leads back', async (t) => {
  const { call, start, fetch, put } = await makeProject()
  refused(t, await call('/canary/prod/promote', { method: 'POST' }), 404, 'canary.not_found')
  refused(t, await call('/canary/nothing/promote', { method: 'POST' }), 404, 'alias.not_found')
  await start('r2', 0.01)
  const promoted = await call('/canary/prod/promote', { body: { reason: 'good' } })
  t.equal(promoted.status, 200)
  shows(t, promoted.body, { name: 'prod', prompt: null, release: 'r2', version: null, revision: 3, canary: null, warnings: [] })
  t.equal((await fetch('x')).body.content, '2')
  t.strictSame((await call('/canary')).body.items, [])
  t.equal((await call('/aliases/prod/rollback', { method: 'POST' })).body.release, 'r1')
  refused(t, await call('/aliases/prod/rollback', { method: 'POST' }), 409, 'rollback.empty')
  await put('r3')
  await start('r2', 1)
  t.match((await call('/canary/prod/promote', { method: 'POST' })).body.warnings, [/older version: "x"/])
})

t.test('DELETE /canary ends it, and so does deleting the alias', async (t) => {
  const { call, start, fetch } = await makeProject()
  const end = () => call('/canary/prod', { method: 'DELETE' })
  refused(t, await changesNothing(t, end), 404, 'canary.not_found')
  await start('r2', 100)
  const ended = await end()
  t.equal(ended.status, 200)
  shows(t, ended.body, { name: 'prod', release: 'r1', canary: null, revision: 3 })
  shows(t, (await fetch('x')).body, { content: '1', canary: null })
  refused(t, await changesNothing(t, end), 404, 'canary.not_found')

  await start('r2', 100)
  await call('/aliases/prod', { method: 'DELETE' })
  t.strictSame((await call('/canary')).body.items, [])
  await call('/aliases/prod', { method: 'PUT', body: { version: 'r1' } })
  shows(t, (await fetch('x')).body, { content: '1', canary: null })
})

t.test('every change of a canary counts in the revision and stands in the history', async (t) => {
  const { call, start } = await makeProject()
  await start('r2', 10, { reason: 'begin' })
  await start('r2', 20)
  await start('r3', 20)
  await call('/canary/prod', { method: 'DELETE' })
  await start('r2', 5)
  await call('/canary/prod/promote', { body: { reason: 'done' } })
  const { items } = (await call('/aliases/prod/history')).body
  const shown = items.map(({ revision, action, release, canary, reason }: Record<string, unknown>) => [
    revision,
    action,
    release,
    canary,
    reason,
  ])
  const canary = (release: string, percentage: number) => ({ release, version: null, percentage })
  t.strictSame(shown, [
    [7, 'promote', 'r2', null, 'done'],
    [6, 'canary', 'r1', canary('r2', 5), null],
    [5, 'canary.end', 'r1', null, null],
    [4, 'canary', 'r1', canary('r3', 20), null],
    [3, 'canary', 'r1', canary('r2', 20), null],
    [2, 'canary', 'r1', canary('r2', 10), 'begin'],
    [1, 'move', 'r1', null, null],
  ])
})

t.test('changes of a canary hold to If-Match', async (t) => {
  const { call, start } = await makeProject()
  await changesNothing(t, async () => refused(t, await start('r2', 10, {}, { 'if-match': '"7"' }), 412, 'alias.moved'))
  t.equal((await start('r2', 10, {}, { 'if-match': '"1"' })).status, 201)
  await changesNothing(t, async () => {
    refused(t, await start('r2', 20, {}, { 'if-match': '"1"' }), 412, 'alias.moved')
    refused(t, await call('/canary/prod', { method: 'DELETE', headers: { 'if-match': '"1"' } }), 412, 'alias.moved')
    refused(t, await call('/canary/prod/promote', { method: 'POST', headers: { 'if-match': '"1"' } }), 412, 'alias.moved')
  })
  t.equal((await call('/canary/prod/promote', { method: 'POST', headers: { 'if-match': '"2"' } })).status, 200)
})

t.test('the list has the running canaries of aliases and pins by alias, in pages', async (t) => {
  const { call, start } = await makeProject()
  for (const alias of ['a', 'b', 'c']) {
    await call(`/aliases/${alias}`, { method: 'PUT', body: { version: 'r1' } })
    await start('r2', 10, { alias })
  }
  await call('/aliases/b', { method: 'PUT', body: { version: 'v1', prompt: 'x' } })
  await start('v2', 20, { alias: 'b', prompt: 'x' })
  await call('/canary/c', { method: 'DELETE' })
  const first = (await call('/canary?limit=2')).body
  const second = (await call(`/canary?limit=2&cursor=${first.nextCursor}`)).body
  t.equal(second.nextCursor, null)
  const named = [...first.items, ...second.items].map(
    ({ alias, prompt }: { alias: string; prompt: string | null }) => `${alias} ${prompt}`,
  )
  t.strictSame(named.sort(), ['a null', 'b null', 'b x'])
  const ofPrompt = (await call('/canary?prompt=x')).body.items
  t.equal(ofPrompt.length, 1)
  shows(t, ofPrompt[0], { alias: 'b', prompt: 'x', version: 'v2', release: null, percentage: 20 })
})

t.test('the salt of a canary is in no answer', async (t) => {
  const { call, start, salt, fetch, project } = await makeProject()
  await start('r2', 50)
  const secret = (await salt()) ?? ''
  t.ok(secret.length > 0)
  const paths = ['/canary', '/aliases', '/aliases/prod', '/aliases/prod/history', '/prompts/x', `/audit?project=${project}`]
  for (const { text, headers } of [...(await Promise.all(paths.map((path) => call(path)))), await fetch('x', '?key=a')]) {
    t.notOk(text.includes(secret) || JSON.stringify([...headers]).includes(secret))
  }
})
