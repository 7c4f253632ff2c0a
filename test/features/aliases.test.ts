import fc from 'fast-check'
import t from 'tap'
import { refused, shows } from '../helpers/assertions.js'
import { runs } from '../helpers/runs.js'
import { type Answer, type CallOptions, startService } from '../helpers/service.js'

type Tap = typeof t
type Alias = { name: string; prompt: string | null; release: string | null; version: string | null; revision: number }
type Move = {
  revision: number
  action: string
  release: string | null
  version: string | null
  canary: object | null
  reason: string | null
}

const service = await startService(t)
let projectCount = 0

/** A project of its own for one test, with releases r1 to r<N> in which prompt `x` is v1 to v<N>. */
async function makeProject(releases = 0) {
  projectCount += 1
  const project = `aliases-${projectCount}`
  await service.call('/projects', { body: { slug: project } })
  const call = (path: string, options: CallOptions = {}) => service.call(path, { project, ...options })
  const push = (body: object) => service.push(body, { project })
  for (let number = 1; number <= releases; number += 1) await push({ prompts: prompts({ x: `${number}` }) })
  return {
    call,
    push,
    project,
    put: (alias: string, body: object, ifMatch?: string) =>
      call(`/aliases/${alias}`, { method: 'PUT', body, headers: ifMatch === undefined ? {} : { 'if-match': ifMatch } }),
    rollback: (alias: string, options: CallOptions = {}) => call(`/aliases/${alias}/rollback`, { method: 'POST', ...options }),
    remove: (alias: string, options: CallOptions = {}) => call(`/aliases/${alias}`, { method: 'DELETE', ...options }),
    history: async (path: string): Promise<Move[]> => (await call(path)).body.items,
    contentOf: async (name: string, ref: string) => (await call(`/prompts/${encodeURIComponent(name)}/${ref}`)).body.content,
  }
}

const prompts = (contents: Record<string, string>) => Object.entries(contents).map(([name, content]) => ({ name, content }))

/** Runs `work` and checks that it left every table as it was. */
async function changesNothing<T>(t: Pick<Tap, 'strictSame'>, work: () => Promise<T>): Promise<T> {
  const before = await service.countRows()
  const result = await work()
  t.strictSame(await service.countRows(), before, 'no table has gained or lost a row')
  return result
}

t.test('PUT makes an alias with 201 and moves it with 200; its ETag is its revision', async (t) => {
  const { call, put } = await makeProject(2)
  const made = await put('production', { version: 'r1' })
  t.equal(made.status, 201)
  t.equal(made.headers.get('etag'), '"1"')
  const { createdAt, updatedAt } = made.body
  t.equal(new Date(createdAt).toISOString(), createdAt)
  const expected = {
    name: 'production',
    prompt: null,
    release: 'r1',
    version: null,
    revision: 1,
    canary: null,
    createdAt,
    updatedAt,
  }
  t.strictSame(made.body, { ...expected, warnings: [] })
  const shown = await call('/aliases/production')
  t.strictSame(shown.body, expected)
  t.equal(shown.headers.get('etag'), '"1"')

  const moved = await put('production', { version: 'r2' })
  t.equal(moved.status, 200)
  t.equal(moved.headers.get('etag'), '"2"')
  t.strictSame(moved.body, { ...expected, release: 'r2', revision: 2, updatedAt: moved.body.updatedAt, warnings: [] })
})

t.test('an alias moves only if If-Match holds its revision', async (t) => {
  const { put, rollback, remove } = await makeProject(4)
  await put('dev', { version: 'r1' })
  await changesNothing(t, async () => {
    for (const lost of ['"2"', '"11"', '"0", "7"', 'W/"1"'])
      refused(t, await put('dev', { version: 'r2' }, lost), 412, 'alias.moved')
    for (const lost of ['"1"', '*']) refused(t, await put('unheard-of', { version: 'r2' }, lost), 412, 'alias.moved')
  })
  for (const off of ['1', '"x"', '"1" "2"']) refused(t, await put('dev', { version: 'r2' }, off), 422, 'validation.failed')
  t.equal((await put('dev', { version: 'r2' }, '"1"')).status, 200)
  t.equal((await put('dev', { version: 'r3' }, '"2"')).status, 200)
  t.equal((await put('dev', { version: 'r4' }, '"9", "3"')).status, 200)
  t.equal((await put('dev', { version: 'r3' }, '*')).status, 200)
  refused(t, await changesNothing(t, () => rollback('dev', { headers: { 'if-match': '"4"' } })), 412, 'alias.moved')
  t.equal((await rollback('dev', { headers: { 'if-match': '"5"' } })).status, 200)
  refused(t, await changesNothing(t, () => remove('dev', { headers: { 'if-match': '"5"' } })), 412, 'alias.moved')
  t.equal((await remove('dev', { headers: { 'if-match': '"6"' } })).status, 200)
})

t.test('of writers with the same If-Match exactly one wins', async (t) => {
  const { call, put } = await makeProject(6)
  await put('dev', { version: 'r1' })
  const answers = await Promise.all([2, 3, 4, 5, 6].map((number) => put('dev', { version: `r${number}` }, '"1"')))
  t.strictSame(answers.map(({ status }) => status).sort(), [200, 412, 412, 412, 412])
  t.equal((await call('/aliases/dev')).body.revision, 2)
})

t.test('a move to the current target is 200 whatever its If-Match, and leaves no trace', async (t) => {
  const { call, put, push } = await makeProject(2)
  await push({ version: 'label', prompts: prompts({ x: '2' }) })
  await put('dev', { version: 'label', reason: 'first' })
  const before = (await call('/aliases/dev')).body
  await changesNothing(t, async () => {
    for (const version of ['label', 'r3', 'latest', 'dev']) {
      for (const ifMatch of [undefined, '"1"', '"99"', '*']) {
        const answer = await put('dev', { version, reason: 'again' }, ifMatch)
        t.equal(answer.status, 200, `${version} with ${ifMatch}`)
        t.equal(answer.headers.get('etag'), '"1"')
        t.strictSame(answer.body, { ...before, warnings: [] })
      }
    }
  })
})

t.test('an alias is moved to a number, label, commit, latest or where another alias is, resolved once', async (t) => {
  const { call, put, push } = await makeProject(1)
  await push({ version: 'two', git: { commit: 'abcdef0'.padEnd(40, '1') }, prompts: prompts({ x: '2' }) })
  await push({ prompts: prompts({ x: '3' }) })
  const releaseOf = async (alias: string) => (await call(`/aliases/${alias}`)).body.release
  const targets: [version: string, release: string][] = [
    ['r1', 'r1'],
    ['two', 'two'],
    ['latest', 'r3'],
    ['r2', 'two'],
    ['r3', 'r3'],
    ['abcdef0', 'two'],
    ['ABCDEF01', 'two'],
  ]
  for (const [version, release] of targets) {
    t.equal((await put('dev', { version })).body.release, release, version)
    t.equal(await releaseOf('dev'), release, version)
  }
  await put('other', { version: 'dev' })
  await put('newest', { version: 'latest' })
  await put('dev', { version: 'r1' })
  await push({ prompts: prompts({ x: '4' }) })
  t.equal(await releaseOf('other'), 'two', 'an alias never follows another')
  t.equal(await releaseOf('newest'), 'r3', 'nor the newest release')
})

t.test('the target of an alias with a canary is its stable one', async (t) => {
  const { call, put } = await makeProject(2)
  await put('dev', { version: 'r1' })
  await call('/canary', { body: { alias: 'dev', version: 'r2', percentage: 100 } })
  t.equal((await put('copy', { version: 'dev' })).body.release, 'r1')
  t.equal((await put('pin', { version: 'dev', prompt: 'x' })).body.version, 'v1')
})

t.test('an unknown target is 404 and names what may have been meant', async (t) => {
  const { call, put, push } = await makeProject()
  refused(t, await put('dev', { version: 'latest' }), 404, 'release.not_found')
  await push({ version: 'v1.2.0', alias: 'production', prompts: prompts({ x: 'a' }) })
  await changesNothing(t, async () => {
    for (const version of ['r2', 'v1', 'abcdef1', 'v1.2.1', 'builtin'])
      refused(t, await put('dev', { version }), 404, 'release.not_found')
    t.match((await put('dev', { version: 'v1.2.1' })).body.detail, /Did you mean "v1\.2\.0"\?/)
    t.match((await put('dev', { version: 'prodution' })).body.detail, /Did you mean "production"\?/)
    refused(t, await put('dev', { version: 'v2', prompt: 'x' }), 404, 'ref.not_found')
    refused(t, await put('dev', { version: 'v1', prompt: 'unknown' }), 404, 'prompt.not_found')
    refused(t, await call('/aliases/prodution'), 404, 'alias.not_found')
    t.match((await call('/aliases/prodution')).body.detail, /Did you mean "production"\?/)
    refused(t, await call('/aliases/latest'), 404, 'alias.not_found')
    refused(t, await call('/aliases/dev/history'), 404, 'alias.not_found')
    refused(t, await call('/aliases/dev', { method: 'DELETE' }), 404, 'alias.not_found')
    refused(t, await call('/aliases/dev/rollback', { method: 'POST' }), 404, 'alias.not_found')
    refused(t, await call('/aliases/production?prompt=x'), 404, 'alias.not_found')
  })
})

t.test('an alias may not have the name of a label, a number, a commit or a word of ours', async (t) => {
  const { put, push, remove } = await makeProject()
  await push({ version: 'taken', prompts: prompts({ x: 'a' }) })
  await changesNothing(t, async () => {
    refused(t, await put('taken', { version: 'latest' }), 409, 'alias.taken')
    refused(t, await put('taken', { version: 'v1', prompt: 'x' }), 409, 'alias.taken')
    for (const name of [
      'v1',
      'r2',
      'v0',
      'abcdef1',
      'latest',
      'builtin',
      'versions',
      'diff',
      'render',
      'plan',
      'fetch',
      'purge',
    ]) {
      refused(t, await put(name, { version: 'latest' }), 422, 'name.reserved')
    }
    for (const name of ['Upper', '1st', '-x', 'a%20b', 'a%2Fb', 'x'.repeat(64)]) {
      refused(t, await put(name, { version: 'latest' }), 422, 'validation.failed')
    }
    for (const body of [
      {},
      { version: '' },
      { version: 1 },
      { version: 'latest', extra: 1 },
      { version: 'latest', prompt: 'Upper' },
    ]) {
      refused(t, await put('dev', body), 422, 'validation.failed')
    }
  })
  t.equal((await put('a.b_c-9', { version: 'latest' })).status, 201)
  await remove('a.b_c-9')
  await push({ version: 'a.b_c-9', prompts: prompts({ x: 'a' }) })
  refused(t, await put('a.b_c-9', { version: 'latest' }), 409, 'alias.taken')
})

t.test('the history has every change once, newest first, with who, why and under which request', async (t) => {
  const { call, put, rollback, remove, project } = await makeProject(2)
  const key = await service.createKey({ name: 'the mover', project, scopes: ['aliases:write', 'prompts:read'] })
  await call('/aliases/dev', {
    method: 'PUT',
    key: key.secret,
    body: { version: 'r1', reason: 'start' },
    headers: { 'x-request-id': 'req-1' },
  })
  await put('dev', { version: 'r2' })
  await call('/canary', { body: { alias: 'dev', version: 'r1', percentage: 12.5, reason: 'try' } })
  await call('/canary/dev', { method: 'DELETE' })
  await rollback('dev', { body: { reason: 'bad' } })
  await remove('dev')
  const { body } = await call('/aliases/dev/history')
  t.equal(body.nextCursor, null)
  const target = { release: null, version: null }
  const createdAt = body.items.map((item: { createdAt: string }) => item.createdAt)
  t.strictSame(createdAt, createdAt.toSorted().toReversed())
  const requestIds = body.items.map((item: { requestId: string }) => item.requestId)
  t.equal(new Set(requestIds).size, 6)
  const admin = { reason: null, actor: 'PROMPTSYNC_ADMIN_KEY' }
  const expected = [
    { revision: 6, action: 'delete', ...target, canary: null, ...admin },
    { revision: 5, action: 'rollback', ...target, release: 'r1', canary: null, ...admin, reason: 'bad' },
    { revision: 4, action: 'canary.end', ...target, release: 'r2', canary: null, ...admin },
    {
      revision: 3,
      action: 'canary',
      ...target,
      release: 'r2',
      canary: { release: 'r1', version: null, percentage: 12.5 },
      ...admin,
      reason: 'try',
    },
    { revision: 2, action: 'move', ...target, release: 'r2', canary: null, ...admin },
    { revision: 1, action: 'move', ...target, release: 'r1', canary: null, reason: 'start', actor: 'the mover' },
  ]
  t.strictSame(
    body.items,
    expected.map((move, index) => ({ ...move, requestId: requestIds[index], createdAt: createdAt[index] })),
  )
  t.equal(requestIds[5], 'req-1')
})

t.test('rollback walks back the distinct targets, then is 409', async (t) => {
  const { call, put, rollback, contentOf } = await makeProject(4)
  for (const version of ['r1', 'r2', 'r2', 'r3']) await put('dev', { version })
  const second = await rollback('dev')
  t.equal(second.status, 200)
  t.equal(second.headers.get('etag'), '"4"')
  shows(t, second.body, { name: 'dev', release: 'r2', revision: 4 })
  t.match(second.body.warnings, [/"x"/], 'a rollback says what goes back')
  t.equal(await contentOf('x', 'dev'), '2')
  t.equal((await rollback('dev')).body.release, 'r1')
  refused(t, await changesNothing(t, () => rollback('dev')), 409, 'rollback.empty')
  shows(t, (await call('/aliases/dev')).body, { release: 'r1', revision: 5 })

  await put('dev', { version: 'r4' })
  await put('dev', { version: 'r2' })
  for (const release of ['r4', 'r1'])
    t.equal((await rollback('dev')).body.release, release, 'what was rolled back is not gone to again')
  refused(t, await rollback('dev'), 409, 'rollback.empty')
})

t.test('a deleted alias answers no more; made again it goes on counting, with an empty stack', async (t) => {
  const { call, put, rollback, remove, history, contentOf } = await makeProject(3)
  await put('dev', { version: 'r1' })
  await put('dev', { version: 'r2' })
  const removed = await remove('dev')
  t.equal(removed.status, 200)
  shows(t, removed.body, { name: 'dev', release: null, revision: 3 })
  t.equal(await contentOf('x', 'dev'), undefined)
  t.equal((await call('/aliases/dev')).status, 404)
  t.strictSame((await call('/aliases')).body.items, [])
  refused(t, await changesNothing(t, () => rollback('dev')), 404, 'alias.not_found')
  refused(t, await changesNothing(t, () => remove('dev')), 404, 'alias.not_found')
  t.equal((await history('/aliases/dev/history')).length, 3, 'its history stays')

  refused(t, await put('dev', { version: 'r3' }, '"3"'), 412, 'alias.moved')
  const again = await put('dev', { version: 'r2' })
  t.equal(again.status, 201)
  shows(t, again.body, { release: 'r2', revision: 4, warnings: [] })
  refused(t, await changesNothing(t, () => rollback('dev')), 409, 'rollback.empty')
  await put('dev', { version: 'r3' })
  t.equal((await rollback('dev')).body.release, 'r2')
  refused(t, await rollback('dev'), 409, 'rollback.empty')
})

t.test('a pin is named by ?prompt= or in the body, and is an alias of its own', async (t) => {
  const { call, put, remove, history, push, contentOf } = await makeProject(3)
  await push({ prompts: prompts({ 'a/b': '1' }) })
  await put('dev', { version: 'r3' })
  const made = await put('dev', { version: 'v1', prompt: 'x' })
  t.equal(made.status, 201)
  shows(t, made.body, { name: 'dev', prompt: 'x', release: null, version: 'v1', revision: 1 })
  const moved = await put('dev?prompt=x', { version: 'v2' })
  t.equal(moved.status, 200)
  shows(t, moved.body, { prompt: 'x', version: 'v2', revision: 2 })
  t.equal((await put('dev?prompt=x', { version: 'v2', prompt: 'x' })).status, 200)
  refused(t, await put('dev?prompt=x', { version: 'v1', prompt: 'a/b' }), 422, 'validation.failed')
  t.equal((await put('dev?prompt=a%2Fb', { version: 'v1' })).body.prompt, 'a/b')

  t.equal(await contentOf('x', 'dev'), '2', 'the pin wins')
  shows(t, (await call('/aliases/dev')).body, { prompt: null, release: 'r3', revision: 1 })
  shows(t, (await call('/aliases/dev?prompt=x')).body, { prompt: 'x', version: 'v2', revision: 2 })
  t.equal((await call('/aliases/dev?prompt=x')).headers.get('etag'), '"2"')
  t.equal((await call('/aliases/dev/rollback?prompt=x', { method: 'POST' })).body.version, 'v1')
  refused(t, await call('/aliases/dev/rollback?prompt=x', { method: 'POST' }), 409, 'rollback.empty')
  t.strictSame(
    (await history('/aliases/dev/history?prompt=x')).map(({ revision, action, release, version }) => [
      revision,
      action,
      release,
      version,
    ]),
    [
      [3, 'rollback', null, 'v1'],
      [2, 'move', null, 'v2'],
      [1, 'move', null, 'v1'],
    ],
  )
  t.equal((await history('/aliases/dev/history')).length, 1)
  await remove('dev?prompt=x')
  t.equal(await contentOf('x', 'dev'), '3', 'then the project alias answers')
  t.equal((await call('/aliases/dev')).status, 200)
})

t.test('a pin is set to a version by number, label, release, commit, latest, alias or another pin', async (t) => {
  const { put, push } = await makeProject(1)
  await push({ version: 'two', git: { commit: 'c'.repeat(40) }, prompts: prompts({ x: '2' }) })
  await push({ alias: 'prod', prompts: prompts({ x: '3', y: '1' }) })
  await push({ prompts: prompts({ x: '4' }) })
  await put('other', { version: 'v2', prompt: 'x' })
  const targets: [ref: string, version: string][] = [
    ['v1', 'v1'],
    ['two', 'two'],
    ['prod', 'v3'],
    ['latest', 'v4'],
    ['r3', 'v3'],
    ['other', 'two'],
    ['r1', 'v1'],
    ['ccccccc', 'two'],
  ]
  for (const [ref, version] of targets) t.equal((await put('dev', { version: ref, prompt: 'x' })).body.version, version, ref)
  refused(t, await put('dev', { version: 'r1', prompt: 'y' }), 404, 'prompt.not_in_release')
})

t.test('moves answer warnings naming what goes back or vanishes', async (t) => {
  const { put, push } = await makeProject()
  await push({ version: 'one', prompts: prompts({ x: '1', y: '1', z: '1' }) })
  await push({ version: 'two', prune: true, prompts: prompts({ x: '2', y: '1', n: '1' }) })
  await put('dev', { version: 'two' })
  const { body } = await put('dev', { version: 'one' })
  t.equal(body.warnings.length, 2)
  t.match(body.warnings[0], /older version: "x" \(two to one\)/)
  t.match(body.warnings[1], /vanish.*"n"/i)
  t.match((await put('dev', { version: 'two' })).body.warnings, [/vanish.*"z"/i])
  await put('dev', { version: 'v2', prompt: 'x' })
  const pinned = await put('dev', { version: 'v1', prompt: 'x' })
  t.equal(pinned.body.warnings.length, 1)
  t.match(pinned.body.warnings[0], /"x".*two.*one/)
  t.strictSame((await put('dev', { version: 'v2', prompt: 'x' })).body.warnings, [])
})

t.test('a dry run answers what a move would do, and does not', async (t) => {
  const { call, put } = await makeProject(2)
  const fresh = await changesNothing(t, () => put('dev', { version: 'r2', dryRun: true }))
  t.equal(fresh.status, 200)
  shows(t, fresh.body, { name: 'dev', prompt: null, release: 'r2', version: null, revision: null, warnings: [] })
  t.equal((await call('/aliases/dev')).status, 404)
  await put('dev', { version: 'r2' })
  const back = await changesNothing(t, () => put('dev', { version: 'r1', dryRun: true }))
  shows(t, back.body, { release: 'r1', revision: null })
  t.match(back.body.warnings, [/"x"/])
  const same = await put('dev', { version: 'r2', dryRun: true })
  shows(t, same.body, { release: 'r2', revision: 1, warnings: [] })
  t.strictSame((await put('dev', { version: 'r1' })).body.warnings, back.body.warnings)
  refused(t, await put('dev', { version: 'r2', dryRun: true }, '"7"'), 412, 'alias.moved')
  refused(t, await put('dev', { version: 'r9', dryRun: true }), 404, 'release.not_found')
})

t.test('the list has aliases and pins by name, and ?prompt= the pins of one prompt', async (t) => {
  const { call, put, push } = await makeProject(1)
  await push({ prompts: prompts({ y: '1' }) })
  await put('stable', { version: 'r1' })
  await put('dev', { version: 'v1', prompt: 'y' })
  await put('dev', { version: 'r1' })
  await put('dev', { version: 'v1', prompt: 'x' })
  await put('gone', { version: 'r1' })
  await call('/aliases/gone', { method: 'DELETE' })
  const { body } = await call('/aliases')
  t.equal(body.nextCursor, null)
  const named = (items: Alias[]) => items.map(({ name, prompt }) => `${name} ${prompt}`)
  t.strictSame(named(body.items).sort(), ['dev null', 'dev x', 'dev y', 'stable null'])
  t.strictSame(body.items[3], (await call('/aliases/stable')).body)
  t.strictSame(named((await call('/aliases?prompt=x')).body.items), ['dev x'])
  refused(t, await call('/aliases?prompt=unknown'), 404, 'prompt.not_found')
})

/** Follows a list to its end; `between` runs before every page but the first. */
async function allPages(
  call: (path: string) => Promise<Answer>,
  path: string,
  between: (page: number) => Promise<unknown>,
): Promise<Alias[]> {
  const items: Alias[] = []
  let cursor: string | null = null
  for (let page = 0; page < 50; page += 1) {
    if (page > 0) await between(page)
    const { body } = await call(cursor === null ? path : `${path}&cursor=${encodeURIComponent(cursor)}`)
    items.push(...body.items)
    cursor = body.nextCursor
    if (cursor === null) return items
  }
  throw new Error(`${path} has no end.`)
}

t.test('pages of the list hold each alias once, whatever is made or moved meanwhile', async (t) => {
  const { call, put } = await makeProject(2)
  const names = ['b', 'd', 'f', 'h', 'j', 'l', 'n']
  for (const name of names) await put(name, { version: 'r1' })
  await put('f', { version: 'v1', prompt: 'x' })
  const items = await allPages(call, '/aliases?limit=3', async (page) => {
    await put(`a${page}`, { version: 'r1' })
    await put('b', { version: `r${(page % 2) + 1}` })
    await put(`z${page}`, { version: 'r1' })
  })
  const seen = items.filter(({ prompt }) => prompt === null).map(({ name }) => name)
  t.strictSame(
    seen.filter((name) => names.includes(name)),
    names,
  )
  t.equal(new Set(seen).size, seen.length, 'none twice')
  t.ok(seen.includes('z1'), 'what was made behind the cursor comes')
  t.notOk(seen.includes('a1'), 'what was made before it does not')
  t.equal(items.filter(({ prompt }) => prompt === 'x').length, 1)
})

t.test('pages of the history are stable while the alias moves', async (t) => {
  const { call, put } = await makeProject(2)
  for (let count = 0; count < 7; count += 1) await put('dev', { version: `r${(count % 2) + 1}` })
  let next = 1
  const moves = await allPages(call, '/aliases/dev/history?limit=2', async () => {
    next += 1
    await put('dev', { version: `r${(next % 2) + 1}` })
  })
  t.strictSame(
    moves.map(({ revision }) => revision),
    [7, 6, 5, 4, 3, 2, 1],
  )
})

/** What an alias should be after any moves: the oracle of stack, canary and revision. */
class Model {
  target: number | null = null
  canary: number | null = null
  stack: number[] = []
  revision = 0

  expect(op: Op): number {
    if (op.kind === 'put') return this.put(op.release)
    if (this.target === null) return 404
    if (op.kind === 'canary') return this.setCanary(op.release)
    if (op.kind === 'rollback') return this.rollback()
    if (op.kind === 'delete') return this.change(200, () => Object.assign(this, { target: null, canary: null, stack: [] }))
    const { canary } = this
    if (canary === null) return 404
    if (op.kind === 'end') return this.change(200, () => (this.canary = null))
    return this.change(200, () => this.go(canary))
  }

  private put(release: number): number {
    if (this.target === release) return 200
    if (this.canary !== null) return 409
    return this.change(this.target === null ? 201 : 200, () => this.go(release))
  }

  private setCanary(release: number): number {
    if (release === this.target) return 409
    if (release === this.canary) return 200
    return this.change(this.canary === null ? 201 : 200, () => (this.canary = release))
  }

  private rollback(): number {
    if (this.canary !== null) return this.change(200, () => (this.canary = null))
    if (this.stack.length < 2) return 409
    this.stack.pop()
    return this.change(200, () => (this.target = this.stack.at(-1) ?? null))
  }

  private go(release: number): void {
    this.canary = null
    this.target = release
    this.stack.push(release)
  }

  private change(status: number, apply: () => unknown): number {
    apply()
    this.revision += 1
    return status
  }
}

type Op = { kind: 'put' | 'canary'; release: number } | { kind: 'rollback' | 'delete' | 'end' | 'promote' }

const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('put' as const), release: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('canary' as const), release: fc.integer({ min: 1, max: 4 }) }) },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constantFrom('rollback' as const, 'rollback' as const, 'end' as const, 'promote' as const) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const) }) },
)

t.test('target, canary, stack and revision of an alias and of a pin are those of the model after any moves', async (t) => {
  const project = await makeProject(4)
  const { call } = project
  let count = 0
  await fc.assert(
    fc.asyncProperty(fc.array(op, { minLength: 25, maxLength: 25 }), fc.boolean(), async (ops, isPin) => {
      count += 1
      const model = new Model()
      const name = `alias-${count}`
      const query = isPin ? '?prompt=x' : ''
      const refOf = (release: number | null) => (release === null ? null : `${isPin ? 'v' : 'r'}${release}`)
      const prompt = isPin ? { prompt: 'x' } : {}
      for (const op of ops) {
        const answers: Record<Op['kind'], () => Promise<Answer>> = {
          put: () =>
            call(`/aliases/${name}${query}`, { method: 'PUT', body: { version: 'release' in op ? refOf(op.release) : '' } }),
          canary: () =>
            call('/canary', {
              body: { alias: name, percentage: 10, version: 'release' in op ? refOf(op.release) : '', ...prompt },
            }),
          rollback: () => call(`/aliases/${name}/rollback${query}`, { method: 'POST' }),
          delete: () => call(`/aliases/${name}${query}`, { method: 'DELETE' }),
          end: () => call(`/canary/${name}${query}`, { method: 'DELETE' }),
          promote: () => call(`/canary/${name}/promote${query}`, { method: 'POST' }),
        }
        const { status, text } = await answers[op.kind]()
        const expected = model.expect(op)
        if (status !== expected) throw new Error(`${JSON.stringify(op)}: expected ${expected}, got ${status} ${text}`)
      }
      const { status, body } = await call(`/aliases/${name}${query}`)
      const shown =
        status === 404
          ? [null, null]
          : [body.release ?? body.version, body.canary && (body.canary.release ?? body.canary.version)]
      if (JSON.stringify(shown) !== JSON.stringify([refOf(model.target), refOf(model.canary)])) {
        throw new Error(`expected ${refOf(model.target)} with canary ${refOf(model.canary)}, got ${JSON.stringify(body)}`)
      }
      if (model.revision === 0) return
      const revisions = (await project.history(`/aliases/${name}/history${query || '?'}&limit=200`)).map(
        ({ revision }) => revision,
      )
      const wanted = Array.from({ length: model.revision }, (_, index) => model.revision - index)
      if (revisions.join() !== wanted.join()) throw new Error(`expected revisions ${wanted}, got ${revisions}`)
    }),
    { numRuns: runs(6) },
  )
  t.pass('every alias was as the model says')
})
