import fc from 'fast-check'
import t from 'tap'
import { refused, shows } from '../helpers/assertions.js'
import { runs } from '../helpers/runs.js'
import { type Answer, type CallOptions, startService } from '../helpers/service.js'

type Tap = typeof t
type Named = { name: string }

const service = await startService(t)
let projectCount = 0

/** An empty project of its own for one test. */
async function makeProject() {
  projectCount += 1
  const project = `prompts-${projectCount}`
  await service.call('/projects', { body: { slug: project } })
  const call = (path: string, options: CallOptions = {}) => service.call(path, { project, ...options })
  return {
    call,
    project,
    push: (body: object) => service.push(body, { project }),
    show: (name: string) => call(`/prompts/${encodeURIComponent(name)}`),
    patch: (name: string, body: unknown, options: CallOptions = {}) =>
      call(`/prompts/${encodeURIComponent(name)}`, { method: 'PATCH', body, ...options }),
    archive: (name: string) => call(`/prompts/${encodeURIComponent(name)}`, { method: 'DELETE' }),
    names: async (query: string): Promise<string[]> => (await call(`/prompts${query}`)).body.items.map(({ name }: Named) => name),
    pointTo: (alias: string, version: string, prompt?: string) =>
      call(`/aliases/${alias}`, { method: 'PUT', body: { version, prompt } }),
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

/** Follows a list to its end; `between` runs before every page but the first. */
async function allPages<Item>(
  call: (path: string) => Promise<Answer>,
  path: string,
  between = async (_page: number): Promise<unknown> => null,
) {
  const items: Item[] = []
  let cursor: string | null = null
  for (let page = 0; page < 100; page += 1) {
    if (page > 0) await between(page)
    const { body } = await call(cursor === null ? path : `${path}&cursor=${encodeURIComponent(cursor)}`)
    items.push(...body.items)
    cursor = body.nextCursor
    if (cursor === null) return items
  }
  throw new Error(`${path} has no end.`)
}

t.test('a prompt is shown with its fields, its latest version and its aliases, alone and in the list', async (t) => {
  const { call, push, show, pointTo } = await makeProject()
  const fields = { title: 'Title', description: 'What it does', labels: ['b', 'a'], metadata: { z: [1, { y: null }], a: 'é' } }
  await push({ version: 'v1.0.0', alias: 'production', prompts: [{ name: 'group/x', content: 'a', ...fields }] })
  await push({ prompts: [{ name: 'group/x', content: 'b' }] })
  await pointTo('experiment', 'v2', 'group/x')
  const { status, body, text } = await show('group/x')
  t.equal(status, 200)
  const fetched = (await call('/prompts/group%2Fx/latest')).body
  for (const time of [body.createdAt, body.updatedAt]) t.equal(new Date(time).toISOString(), time)
  t.strictSame(body, {
    name: 'group/x',
    ...fields,
    latest: { version: 'v2', number: 2, contentHash: fetched.contentHash, createdAt: fetched.createdAt },
    aliases: [
      { name: 'experiment', release: null, version: 'v2', pinned: true },
      { name: 'production', release: 'v1.0.0', version: 'v1.0.0', pinned: false },
    ],
    archived: false,
    createdAt: body.createdAt,
    updatedAt: body.updatedAt,
  })
  t.ok(text.includes('"metadata":{"z":[1,{"y":null}],"a":"é"}'), 'the order of keys is kept')
  t.strictSame((await call('/prompts')).body, { items: [body], nextCursor: null })
})

t.test('a prompt that was pushed without title, description, labels or metadata has none', async (t) => {
  const { push, show } = await makeProject()
  await push({ prompts: prompts({ x: 'a' }) })
  shows(t, (await show('x')).body, { title: null, description: null, labels: [], metadata: {}, aliases: [] })
})

t.test('the aliases of a prompt are those that give it, each with the version it gives', async (t) => {
  const { call, push, show, pointTo } = await makeProject()
  await push({ version: 'one', prompts: prompts({ x: '1' }) })
  await push({ version: 'two', prompts: prompts({ x: '2', y: '1' }) })
  await pointTo('old', 'one')
  await pointTo('new', 'two')
  await pointTo('new', 'v1', 'x')
  await pointTo('only-x', 'v2', 'x')
  await pointTo('gone', 'two')
  await call('/aliases/gone', { method: 'DELETE' })
  for (const name of ['x', 'y']) {
    const { aliases } = (await show(name)).body
    t.strictSame((await call('/prompts')).body.items.find((item: Named) => item.name === name).aliases, aliases)
    for (const alias of aliases) {
      const fetched = await call(`/prompts/${name}/${alias.name}`)
      t.equal(fetched.body.version, alias.version, `${name}/${alias.name} is ${alias.version}`)
    }
  }
  const shown = async (name: string) =>
    (await show(name)).body.aliases.map(
      (alias: { name: string; version: string; pinned: boolean }) => `${alias.name} ${alias.version} ${alias.pinned}`,
    )
  t.strictSame(await shown('x'), ['new one true', 'old one false', 'only-x two true'])
  t.strictSame(await shown('y'), ['new two false'])
})

t.test('the list holds every prompt of the project by name, archived and built-in ones aside', async (t) => {
  const { push, names, archive } = await makeProject()
  const other = await makeProject()
  await other.push({ prompts: prompts({ foreign: 'x' }) })
  t.strictSame(await names(''), [])
  await push({ prompts: prompts({ b: '1', c: '1', a: '1', 'a/b': '1' }) })
  await archive('c')
  t.strictSame(await names(''), ['a', 'a/b', 'b'])
})

t.test('search finds a part of the name, title or description in any case, and takes it literally', async (t) => {
  const { push, names } = await makeProject()
  await push({
    prompts: [
      { name: 'billing/refund', content: 'x', title: 'Money back', description: 'For ANGRY customers' },
      { name: 'greeting', content: 'refund', title: 'ÜBERSCHRIFT 100%' },
      { name: 'under_score', content: 'x', description: 'back\\slash' },
      { name: 'underXscore', content: 'x' },
    ].map((prompt) => ({ ...prompt, name: prompt.name.toLowerCase() })),
  })
  const found: Record<string, string[]> = {
    refund: ['billing/refund'],
    LING: ['billing/refund'],
    'money BACK': ['billing/refund'],
    angry: ['billing/refund'],
    überschrift: ['greeting'],
    '%': ['greeting'],
    under_: ['under_score'],
    '\\': ['under_score'],
    "'": [],
    'refund money': [],
    under: ['under_score', 'underxscore'],
  }
  for (const [search, expected] of Object.entries(found)) {
    t.strictSame((await names(`?search=${encodeURIComponent(search)}`)).sort(), expected, search)
  }
})

t.test('label keeps the prompts that have exactly this label, together with search', async (t) => {
  const { push, names, patch } = await makeProject()
  await push({
    prompts: [
      { name: 'a', content: 'x', labels: ['support', 'beta'] },
      { name: 'b', content: 'x', labels: ['Support'] },
      { name: 'c', content: 'x', labels: ['support'] },
      { name: 'd', content: 'x' },
    ],
  })
  t.strictSame(await names('?label=support'), ['a', 'c'])
  t.strictSame(await names('?label=supp'), [])
  t.strictSame(await names('?label=support&search=A'), ['a'])
  await patch('c', { labels: [] })
  t.strictSame(await names('?label=support'), ['a'])
})

t.test('queries of the list off their grammar are 422', async (t) => {
  const { call } = await makeProject()
  for (const query of ['search=%00', 'search=a&search=b', 'label=a&label=b', 'unknown=1', `search=${'x'.repeat(201)}`]) {
    refused(t, await call(`/prompts?${query}`), 422, 'validation.failed')
  }
})

t.test('every list takes a limit of 1 to 200 and the cursor of its own page before', async (t) => {
  const { call, push, pointTo, project } = await makeProject()
  for (const name of ['one', 'two']) await service.createKey({ name, project, scopes: ['prompts:read'] })
  for (const content of ['1', '2']) await push({ prompts: prompts({ x: content, y: content }) })
  for (const alias of ['a', 'b']) {
    for (const version of ['r1', 'r2']) await pointTo(alias, version)
    await call('/canary', { body: { alias, version: 'r1', percentage: 1 } })
  }
  const lists = [
    '/prompts',
    '/prompts/x/versions',
    '/releases',
    '/releases/r1',
    '/aliases',
    '/aliases/a/history',
    '/canary',
    '/projects',
    '/keys',
    '/audit',
  ]
  for (const path of lists) {
    for (const limit of ['0', '201', '1000', '-1', '+1', '1.0', '1e2', '', '1&limit=2']) {
      refused(t, await call(`${path}?limit=${limit}`), 422, 'validation.failed')
    }
    t.equal((await call(`${path}?limit=200`)).status, 200, path)
    for (const cursor of [
      'x',
      '',
      'bnVsbA',
      Buffer.from('[{}]').toString('base64url'),
      Buffer.from('["a","b","c"]').toString('base64url'),
    ]) {
      refused(t, await call(`${path}?cursor=${cursor}`), 422, 'cursor.invalid')
    }
    const first = (await call(`${path}?limit=1`)).body
    t.equal(first.items.length, 1, path)
    const second = await call(`${path}?limit=1&cursor=${first.nextCursor}`)
    t.equal(second.status, 200, path)
    t.notSame(second.body.items, first.items, path)
  }
})

t.test('without a limit a page holds 50', async (t) => {
  const { call, push } = await makeProject()
  await push({ prompts: Array.from({ length: 51 }, (_, index) => ({ name: `p${index}`, content: 'x' })) })
  const { body } = await call('/prompts')
  t.equal(body.items.length, 50)
  t.type(body.nextCursor, 'string')
  t.equal((await call(`/prompts?cursor=${body.nextCursor}`)).body.items.length, 1)
})

const someName = fc.stringMatching(/^[a-e名ü][a-e0-9._/-]{0,6}[a-e0-9]$/).filter((name) => !/\/[._/-]/.test(name))

t.test('pages put together are the whole list, whatever their size and whatever is inserted meanwhile', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(someName, { minLength: 3, maxLength: 12 }),
      fc.array(someName, { minLength: 4, maxLength: 4 }),
      fc.integer({ min: 1, max: 5 }),
      async (first, later, limit) => {
        const { call, push } = await makeProject()
        await push({ prompts: first.map((name) => ({ name, content: 'x' })) })
        const whole = (await call('/prompts?limit=200')).body.items.map(({ name }: Named) => name)
        const undisturbed = (await allPages<Named>(call, `/prompts?limit=${limit}`)).map(({ name }) => name)
        const pages = await allPages<Named>(call, `/prompts?limit=${limit}`, async (page) => {
          const name = later[page - 1]
          if (name !== undefined && !first.includes(name)) await push({ prompts: [{ name, content: 'x' }] })
        })
        const seen = pages.map(({ name }) => name)
        const known = seen.filter((name) => first.includes(name))
        if (whole.length !== first.length) throw new Error(`the list has ${whole.length} of ${first.length}`)
        if (undisturbed.join() !== whole.join()) throw new Error(`${undisturbed} is not ${whole}`)
        if (known.join() !== whole.join()) throw new Error(`${known} is not ${whole}`)
        if (new Set(seen).size !== seen.length) throw new Error(`twice: ${seen}`)
      },
    ),
    { numRuns: runs(6) },
  )
  t.pass('no page repeated or lost a prompt')
})

t.test('an unknown prompt is 404 and names what may have been meant; a built-in is not of the registry', async (t) => {
  const { call, push, show, patch, archive } = await makeProject()
  await push({ prompts: prompts({ customer_support: 'x' }) })
  await changesNothing(t, async () => {
    for (const name of ['customer_suport', 'meeting']) {
      const versions = await call(`/prompts/${name}/versions`)
      for (const answer of [await show(name), versions, await patch(name, { title: 'x' }), await archive(name)]) {
        refused(t, answer, 404, 'prompt.not_found')
      }
    }
  })
  t.match((await show('customer_suport')).body.detail, /Did you mean "customer_support"\?/)
  refused(t, await show('Upper'), 422, 'validation.failed')
})

t.test('the versions of a prompt are listed newest first, with the push that made each', async (t) => {
  const { call, push } = await makeProject()
  const git = { repo: 'https://github.com/acme/app', commit: 'a'.repeat(40), branch: 'main', dirty: false }
  await push({
    version: 'one',
    message: 'why',
    git,
    files: [{ path: 'Group/X.yaml', content: 'content: a\nvariants: [{ tags: { a: b }, content: v }]' }],
  })
  await push({ version: 'again', prompts: prompts({ other: 'x' }) })
  await push({ template: 'none', prompts: [{ name: 'group/x', messages: [{ role: 'user', content: 'hi' }] }] })
  const { status, body } = await call('/prompts/group%2Fx/versions')
  t.equal(status, 200)
  t.equal(body.nextCursor, null)
  const [second, first] = body.items
  t.strictSame(first, {
    version: 'one',
    number: 1,
    label: 'one',
    type: 'text',
    template: 'jinja',
    contentHash: first.contentHash,
    variantCount: 1,
    release: 'one',
    message: 'why',
    git,
    path: 'Group/X.yaml',
    createdAt: first.createdAt,
    purgedAt: null,
  })
  const fetched = (await call('/prompts/group%2Fx/one')).body
  shows(t, fetched, { contentHash: first.contentHash, createdAt: first.createdAt })
  shows(t, second, { version: 'v2', number: 2, label: null, type: 'chat', template: 'none', variantCount: 0, release: 'r3' })
  shows(t, second, { message: null, git: null, path: null })
})

t.test('pages of versions are stable while versions are pushed', async (t) => {
  const { call, push } = await makeProject()
  for (let number = 1; number <= 5; number += 1) await push({ prompts: prompts({ x: `${number}` }) })
  const versions = await allPages<{ number: number }>(call, '/prompts/x/versions?limit=2', (page) =>
    push({ prompts: prompts({ x: `new ${page}` }) }),
  )
  t.strictSame(
    versions.map(({ number }) => number),
    [5, 4, 3, 2, 1],
  )
})

t.test('releases are listed newest first, in pages that are stable while others are made', async (t) => {
  const { call, push } = await makeProject()
  for (let number = 1; number <= 5; number += 1)
    await push({ ...(number === 2 ? { version: 'two' } : {}), prompts: prompts({ x: `${number}` }) })
  const releases = await allPages<{ ref: string; base: string | null }>(call, '/releases?limit=2', (page) =>
    push({ prompts: prompts({ x: `new ${page}` }) }),
  )
  t.strictSame(
    releases.map(({ ref, base }) => `${ref} on ${base}`),
    ['r5 on r4', 'r4 on r3', 'r3 on two', 'two on r1', 'r1 on null'],
  )
})

t.test('a release shows what it holds, in pages, by any of its names', async (t) => {
  const { call, push, pointTo } = await makeProject()
  await push({ version: 'one', git: { commit: 'b'.repeat(40) }, prompts: prompts({ a: '1', b: '1', c: '1', d: '1', e: '1' }) })
  await pointTo('dev', 'one')
  for (const ref of ['r1', 'one', 'dev', 'latest', 'bbbbbbb']) t.equal((await call(`/releases/${ref}`)).body.promptCount, 5, ref)
  await push({ prune: true, prompts: prompts({ a: '2', b: '1' }) })
  const held = await allPages<{ name: string; version: string; number: number }>(call, '/releases/one?limit=2')
  t.strictSame(
    held,
    ['a', 'b', 'c', 'd', 'e'].map((name) => ({ name, version: 'one', number: 1 })),
  )
  const { body } = await call('/releases/r2')
  shows(t, body, { promptCount: 2, nextCursor: null })
  t.strictSame(body.items, [
    { name: 'a', version: 'v2', number: 2 },
    { name: 'b', version: 'one', number: 1 },
  ])
  refused(t, await call('/releases/r3'), 404, 'release.not_found')
  refused(t, await call('/releases/v1'), 404, 'release.not_found')
})

t.test('PATCH changes what it gives of title, description, labels and metadata, and makes no version', async (t) => {
  const { call, push, show, patch } = await makeProject()
  await push({ prompts: [{ name: 'x', content: 'a', title: 'T', description: 'D', labels: ['l'], metadata: { k: 1 } }] })
  const before = (await show('x')).body
  service.clock.advance(2_000)
  const titled = await patch('x', { title: 'New' })
  t.equal(titled.status, 200)
  t.strictSame(titled.body, { ...before, title: 'New', updatedAt: titled.body.updatedAt })
  t.ok(titled.body.updatedAt > before.updatedAt)
  const cleared = await patch('x', { title: null, description: null, labels: [], metadata: {} })
  shows(t, cleared.body, { title: null, description: null, labels: [], metadata: {} })
  await patch('x', { metadata: JSON.parse('{"b":{"z":1,"y":[]},"a":"客服"}'), labels: ['two', 'one'] })
  const { body, text } = await show('x')
  t.ok(text.includes('"metadata":{"b":{"z":1,"y":[]},"a":"客服"}'))
  shows(t, body, { labels: ['two', 'one'], latest: before.latest })
  t.equal((await call('/prompts/x/versions')).body.items.length, 1)
  t.equal((await call('/releases')).body.items.length, 1)
})

t.test('a PATCH that changes nothing leaves no trace', async (t) => {
  const { push, show, patch } = await makeProject()
  await push({ prompts: [{ name: 'x', content: 'a', title: 'T', labels: ['l'], metadata: { k: { a: 1, b: 2 } } }] })
  const before = (await show('x')).body
  service.clock.advance(2_000)
  await changesNothing(t, async () => {
    for (const body of [{}, { title: 'T' }, { labels: ['l'], metadata: { k: { a: 1, b: 2 } } }, { description: null }]) {
      t.strictSame((await patch('x', body)).body, before)
    }
  })
})

t.test('a PATCH off the schema is refused with the path of each finding', async (t) => {
  const { push, patch, show } = await makeProject()
  await push({ prompts: prompts({ x: 'a' }) })
  const before = (await show('x')).body
  const cases: [body: unknown, path: string][] = [
    [{ title: 'x'.repeat(201) }, 'title'],
    [{ title: 1 }, 'title'],
    [{ description: 'x'.repeat(10_001) }, 'description'],
    [{ labels: 'x' }, 'labels'],
    [{ labels: ['a', 1] }, 'labels[1]'],
    [{ labels: [''] }, 'labels[0]'],
    [{ labels: Array.from({ length: 51 }, (_, index) => `l${index}`) }, 'labels'],
    [{ metadata: [] }, 'metadata'],
    [{ metadata: null }, 'metadata'],
    [{ metadata: { big: 'x'.repeat(66_000) } }, 'metadata'],
    [{ content: 'x' }, 'content'],
    [{ name: 'y' }, 'name'],
  ]
  await changesNothing(t, async () => {
    for (const [body, path] of cases) {
      const answer = await patch('x', body)
      refused(t, answer, 422, 'validation.failed')
      t.equal(answer.body.errors[0].path, path)
    }
    t.equal((await patch('x', [])).status, 422)
    t.equal((await patch('x', 'null')).status, 422)
  })
  t.strictSame((await show('x')).body, before)
})

t.test('archiving takes a prompt out of the list and of latest; it stays to be shown, changed and revived', async (t) => {
  const { call, push, show, patch, archive, names } = await makeProject()
  await push({ alias: 'dev', prompts: [{ name: 'x', content: 'a', title: 'T', labels: ['l'] }, ...prompts({ y: 'a' })] })
  const answer = await archive('x')
  t.equal(answer.status, 200)
  shows(t, answer.body, { name: 'x', archived: true, latest: null, title: 'T' })
  t.strictSame((await show('x')).body, answer.body)
  for (const query of ['', '?search=x', '?label=l']) t.notOk((await names(query)).includes('x'), query)
  t.equal((await call('/prompts/x/versions')).body.items.length, 1)
  t.equal((await call('/prompts/x/dev')).body.content, 'a')
  await changesNothing(t, async () => t.strictSame((await archive('x')).body, answer.body))
  shows(t, (await patch('x', { title: 'Changed' })).body, { title: 'Changed', archived: true })
  const revived = await push({ prompts: prompts({ x: 'a' }) })
  t.equal(revived.results[0].status, 'unchanged')
  shows(t, (await show('x')).body, { archived: false, title: 'Changed', labels: ['l'] })
  t.ok((await names('')).includes('x'))
})

t.test('what one prompt is called or labelled says nothing of another’s', async (t) => {
  const { push, show, patch } = await makeProject()
  await push({ prompts: prompts({ x: 'a', y: 'a' }) })
  const before = (await show('y')).body
  await patch('x', { title: 'X', labels: ['x'] })
  await push({ prompts: [{ name: 'x', content: 'a', description: 'pushed' }] })
  t.strictSame((await show('y')).body, before)
})
