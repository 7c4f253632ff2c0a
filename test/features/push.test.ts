import { createHash } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { refused, shows } from '../helpers/assertions.js'
import { openPushProjects, type PushResult, prompt, prompts, statusesOf } from '../helpers/push-projects.js'
import { runs } from '../helpers/runs.js'
import { isPostgres, startService } from '../helpers/service.js'

const service = await startService(t)
const { makeProject, changesNothing } = openPushProjects(service)

const commitOf = (digit: string) => digit.repeat(40)

t.test('a push answers with its release, one result for each prompt, the alias and the warnings, and nothing else', async (t) => {
  const { send } = await makeProject()
  const labelled = await send({ version: 'v1.2.0', alias: 'dev', prompts: prompts({ one: 'a', two: 'b' }) })
  t.equal(labelled.status, 201)
  t.match(labelled.headers.get('content-type'), /^application\/json/)
  const { createdAt } = labelled.body.release
  t.equal(new Date(createdAt).toISOString(), createdAt)
  t.strictSame(labelled.body, {
    release: { number: 1, label: 'v1.2.0', ref: 'v1.2.0', createdAt },
    results: [
      { name: 'one', version: 'v1.2.0', number: 1, status: 'created' },
      { name: 'two', version: 'v1.2.0', number: 1, status: 'created' },
    ],
    alias: { name: 'dev', release: 'v1.2.0', revision: 1 },
    warnings: [],
  })

  const numbered = await send({ prompts: prompts({ two: 'b', one: 'c' }) })
  t.equal(numbered.status, 201)
  t.strictSame(numbered.body, {
    release: { number: 2, label: null, ref: 'r2', createdAt: numbered.body.release.createdAt },
    results: [
      { name: 'two', version: 'v1.2.0', number: 1, status: 'unchanged' },
      { name: 'one', version: 'v2', number: 2, status: 'created' },
    ],
    alias: null,
    warnings: [],
  })
})

t.test('what a push made is what its release, its alias, its numbers and its labels answer', async (t) => {
  const { call, push, contentOf } = await makeProject()
  const git = { repo: 'https://github.com/acme/app', commit: commitOf('A'), branch: 'main', dirty: true }
  await push({ version: 'first', alias: 'dev', message: 'why', git, prompts: prompts({ one: 'a' }) })
  for (const ref of ['first', 'r1', 'v1', 'dev', 'latest', commitOf('a')]) t.equal(await contentOf('one', ref), 'a', ref)
  const { body } = await call('/releases/r1')
  t.strictSame(body, {
    number: 1,
    label: 'first',
    ref: 'first',
    base: null,
    message: 'why',
    git: { ...git, commit: commitOf('a') },
    actor: 'PROMPTSYNC_ADMIN_KEY',
    createdAt: body.createdAt,
    promptCount: 1,
    items: [{ name: 'one', version: 'first', number: 1 }],
    nextCursor: null,
  })
})

t.test('prompts and files of one push become one release, in the order they are given', async (t) => {
  const { push, snapshot } = await makeProject()
  const body = await push({ files: [{ path: 'b.md', content: 'B' }], prompts: prompts({ z: 'Z', a: 'A' }) })
  t.strictSame(statusesOf(body), ['z v1 created', 'a v1 created', 'b v1 created'])
  t.strictSame(await snapshot('r1'), { a: 'v1', b: 'v1', z: 'v1' })
})

t.test('repeating a push makes nothing and answers 200 with the same release', async (t) => {
  const { send, push } = await makeProject()
  await push({ prompts: prompts({ other: 'x' }) })
  const git = { repo: 'https://github.com/acme/app', commit: commitOf('b') }
  const bodies: object[] = [
    { prompts: prompts({ a: '1' }) },
    { version: 'one', prompts: prompts({ a: '2' }) },
    { version: 'two', alias: 'dev', message: 'm', git, prompts: prompts({ a: '3', b: '1' }) },
    {
      alias: 'dev',
      git: { ...git, commit: commitOf('c') },
      files: [{ path: 'a.md', content: '---\nname: T\nlabels: [x]\nmetadata: { k: 1 }\n---\n4' }],
    },
    {
      alias: 'fresh',
      base: 'two',
      prompts: [prompt('v', 'x', { config: { b: { '2': 1, '1': [] } }, variants: [{ tags: { t: 'u' }, content: 'y' }] })],
    },
    { prune: true, prompts: prompts({ a: '5' }) },
  ]
  for (const body of bodies) {
    const first = await send(body)
    t.equal(first.status, 201, first.text)
    const again = await changesNothing(t, () => send(body))
    t.equal(again.status, 200, again.text)
    t.strictSame(again.body.release, first.body.release)
    t.strictSame(again.body.alias, first.body.alias)
    const held = first.body.results.filter((result: PushResult) => result.status !== 'removed')
    t.strictSame(
      again.body.results,
      held.map((result: PushResult) => ({ ...result, status: 'unchanged' })),
    )
    t.strictSame(again.body.warnings, [], 'nothing is lost by doing nothing')
  }
})

t.test('content equal to that of the base or of the newest version reuses it; any other makes a version', async (t) => {
  const { push, snapshot } = await makeProject()
  await push({ prompts: prompts({ x: 'a' }) })
  await push({ prompts: prompts({ x: 'b' }) })
  await push({ prompts: prompts({ y: '1' }) })
  const ofBase = await push({ base: 'r1', prompts: prompts({ x: 'a', z: '1' }) })
  t.strictSame(statusesOf(ofBase), ['x v1 unchanged', 'z v1 created'])
  t.strictSame(await snapshot('r4'), { x: 'v1', z: 'v1' })
  const ofNewest = await push({ base: 'r1', prompts: prompts({ x: 'b' }) })
  t.strictSame(statusesOf(ofNewest), ['x v2 unchanged'])
  t.strictSame(await snapshot(ofNewest.release.ref), { x: 'v2' }, 'r2 holds the same but is neither base nor newest')
  t.equal(ofNewest.release.number, 5)
  const neither = await push({ base: 'r2', prompts: prompts({ x: 'a' }) })
  t.strictSame(statusesOf(neither), ['x v3 created'])
  const both = await push({ base: 'r1', prompts: prompts({ x: 'a' }) })
  t.strictSame(statusesOf(both), ['x v1 unchanged'], 'where both are equal it is the base’s')
})

t.test(
  'equal content means an equal hash of the documented serialization, whatever the prompt; any difference another',
  async (t) => {
    const { call, push } = await makeProject()
    const base = {
      content: 'c',
      config: { b: 1, a: { d: [], c: null } },
      inputs: { type: 'object' },
      variants: [{ tags: { l: 'x', m: 'y' }, content: 'v' }],
    }
    const chat = { messages: [{ role: 'system', content: 'c' }] }
    const bodies: Record<string, object> = {
      base,
      same: { ...base, title: 'another title', labels: ['x'], metadata: { y: 1 }, template: 'jinja' },
      'other-template': { ...base, template: 'none' },
      'other-content': { ...base, content: 'C' },
      'other-key-order': { ...base, config: { a: { d: [], c: null }, b: 1 } },
      'other-tag-order': { ...base, variants: [{ tags: { m: 'y', l: 'x' }, content: 'v' }] },
      'other-inputs': { ...base, inputs: null },
      'other-variants': { ...base, variants: [] },
      chat,
    }
    await push({ prompts: Object.entries(bodies).map(([name, body]) => ({ name, ...body })) })
    const hashes = new Map<string, string>()
    for (const name of Object.keys(bodies)) hashes.set(name, (await call(`/prompts/${name}/latest`)).body.contentHash)
    const hashOf = (serialized: unknown) => `sha256:${createHash('sha256').update(JSON.stringify(serialized)).digest('hex')}`
    const variants = [
      [
        [
          ['l', 'x'],
          ['m', 'y'],
        ],
        'v',
      ],
    ]
    t.equal(hashes.get('base'), hashOf(['text', 'jinja', 'c', base.config, base.inputs, variants, []]))
    t.equal(hashes.get('chat'), hashOf(['chat', 'jinja', [['system', 'c']], {}, null, [], []]))
    t.equal(hashes.get('same'), hashes.get('base'))
    t.equal(new Set(hashes.values()).size, Object.keys(bodies).length - 1)
  },
)

t.test('a push builds on the release its alias points to, without one on the newest', async (t) => {
  const { push, snapshot } = await makeProject()
  await push({ alias: 'dev', prompts: prompts({ a: '1' }) })
  await push({ prompts: prompts({ b: '1' }) })
  await push({ alias: 'dev', prompts: prompts({ c: '1' }) })
  t.strictSame(await snapshot('r3'), { a: 'v1', c: 'v1' })
  await push({ alias: 'unknown-yet', prompts: prompts({ d: '1' }) })
  t.strictSame(await snapshot('r4'), { a: 'v1', c: 'v1', d: 'v1' })
  await push({ prompts: prompts({ e: '1' }) })
  t.strictSame(await snapshot('r5'), { a: 'v1', c: 'v1', d: 'v1', e: 'v1' })
})

t.test('a base is named by number, label, commit, latest or another alias', async (t) => {
  const { call, push, send, snapshot } = await makeProject()
  await push({ version: 'one', git: { commit: commitOf('d') }, prompts: prompts({ a: '1' }) })
  await call('/aliases/stable', { method: 'PUT', body: { version: 'one' } })
  await call('/aliases/pinned?prompt=a', { method: 'PUT', body: { version: 'v1' } })
  await push({ prompts: prompts({ b: '1' }) })
  const bases = ['r1', 'one', 'ddddddd', commitOf('D'), 'stable']
  for (const [index, base] of bases.entries()) {
    const { release } = await push({ base, prompts: prompts({ c: `${index}` }) })
    t.strictSame(Object.keys(await snapshot(release.ref)), ['a', 'c'], base)
    t.equal((await call(`/releases/${release.ref}`)).body.base, 'one')
  }
  const { release } = await push({ base: 'latest', prompts: prompts({ d: '1' }) })
  t.strictSame(Object.keys(await snapshot(release.ref)), ['a', 'c', 'd'])
  await changesNothing(t, async () => {
    for (const base of ['r99', 'v1', 'stabel', 'pinned', 'eeeeeee', 'builtin']) {
      refused(t, await send({ base, prompts: prompts({ e: '1' }) }), 404, 'release.not_found')
    }
  })
  t.match((await send({ base: 'stabel', prompts: prompts({ e: '1' }) })).body.detail, /Did you mean "stable"\?/)
})

t.test(
  'a push that results in the snapshot of its base, its alias or the newest release is answered by that one, in this order',
  async (t) => {
    const { push, send } = await makeProject()
    await push({ version: 'old', prompts: prompts({ x: 'a' }) })
    await push({ version: 'aliased', alias: 'dev', prompts: prompts({ x: 'b' }) })
    await push({ version: 'other', base: 'old', prompts: prompts({ y: '1' }) })
    await push({ version: 'newest', base: 'aliased', prompts: prompts({ x: 'b' }) })
    const answered = async (body: object) => {
      const { status, body: answer } = await send({ dryRun: true, ...body })
      t.equal(status, 200)
      return answer.release.ref
    }
    t.equal(await answered({ base: 'newest', alias: 'dev', prompts: prompts({ x: 'b' }) }), 'newest', 'the base comes first')
    t.equal(
      await answered({ base: 'old', alias: 'dev', prompts: prompts({ x: 'b' }) }),
      'aliased',
      'then the release of the alias',
    )
    t.equal(await answered({ base: 'old', prompts: prompts({ x: 'b' }) }), 'newest', 'then the newest')
    t.equal(await answered({ base: 'old', alias: 'fresh', prompts: prompts({ x: 'b' }) }), 'newest')
    t.equal(await answered({ base: 'newest', prompts: prompts({ x: 'a' }) }), null, 'any other release is not asked')

    const moved = await send({ base: 'newest', alias: 'dev', prompts: prompts({ x: 'b' }) })
    t.equal(moved.status, 200)
    t.strictSame(moved.body.alias, { name: 'dev', release: 'newest', revision: 2 })
  },
)

t.test('a commit is linked to the release that answers the push, though none was made', async (t) => {
  const { call, push, send } = await makeProject()
  await push({ git: { repo: 'https://a', commit: commitOf('1') }, prompts: prompts({ x: 'a' }) })
  const again = await send({ git: { repo: 'https://b', commit: commitOf('2') }, prompts: prompts({ x: 'a' }) })
  t.equal(again.status, 200)
  const { body } = await call('/prompts/x/2222222')
  t.hasStrict(body, { content: 'a', release: 'r1', git: { repo: 'https://a', commit: commitOf('1') } })
})

t.test('a new label on an unchanged snapshot makes a release of the same versions', async (t) => {
  const { call, send, push, snapshot } = await makeProject()
  await push({ version: 'v1.0.0', prompts: prompts({ x: 'a' }) })
  const answer = await send({ version: 'v1.1.0', prompts: prompts({ x: 'a' }) })
  t.equal(answer.status, 201)
  shows(t, answer.body.release, { number: 2, ref: 'v1.1.0' })
  t.strictSame(statusesOf(answer.body), ['x v1.0.0 unchanged'])
  t.strictSame(await snapshot('v1.1.0'), { x: 'v1.0.0' })
  shows(t, (await call('/prompts/x/v1.1.0')).body, { version: 'v1.0.0', release: 'v1.1.0' })
})

t.test('a label that exists answers 200 where the pushed prompts equal what its release holds, and 409 otherwise', async (t) => {
  const { send, push } = await makeProject()
  await push({ version: 'one', prompts: prompts({ x: 'a', y: 'b' }) })
  await push({ prompts: prompts({ x: 'c', z: 'd' }) })
  const equal = [
    { prompts: prompts({ x: 'a', y: 'b' }) },
    { prompts: prompts({ y: 'b' }) },
    { base: 'latest', prompts: prompts({ x: 'a' }) },
    { prune: true, prompts: prompts({ y: 'b', x: 'a' }) },
  ]
  await changesNothing(t, async () => {
    for (const body of equal) {
      const answer = await send({ version: 'one', ...body })
      t.equal(answer.status, 200, answer.text)
      t.equal(answer.body.release.ref, 'one')
      t.ok(answer.body.results.every((result: PushResult) => result.status === 'unchanged'))
    }
  })
  const others = [
    { prompts: prompts({ x: 'c' }) },
    { prompts: prompts({ x: 'a', z: 'd' }) },
    { prompts: prompts({ x: 'a', unheard: 'of' }) },
    { prune: true, prompts: prompts({ x: 'a' }) },
    { dryRun: true, prompts: prompts({ x: 'c' }) },
  ]
  await changesNothing(t, async () => {
    for (const body of others) {
      const answer = await send({ version: 'one', ...body })
      refused(t, answer, 409, 'label.taken')
      t.match(answer.body.detail, /"one"/)
    }
  })
})

t.test('a label that exists moves the alias to its release', async (t) => {
  const { send, push } = await makeProject()
  await push({ version: 'one', alias: 'dev', prompts: prompts({ x: 'a' }) })
  await push({ version: 'two', alias: 'dev', prompts: prompts({ x: 'b' }) })
  const answer = await send({ version: 'one', alias: 'dev', prompts: prompts({ x: 'a' }) })
  t.equal(answer.status, 200)
  t.strictSame(answer.body.alias, { name: 'dev', release: 'one', revision: 3 })
  t.match(answer.body.warnings, [/older.*"x"/])
})

t.test('labels and aliases share one namespace, and reserved words are neither', async (t) => {
  const { call, send, push } = await makeProject()
  await push({ version: 'label', alias: 'alias', prompts: prompts({ x: 'a' }) })
  await call('/aliases/pin?prompt=x', { method: 'PUT', body: { version: 'v1' } })
  await changesNothing(t, async () => {
    refused(t, await send({ version: 'alias', prompts: prompts({ x: 'b' }) }), 409, 'label.taken')
    refused(t, await send({ version: 'pin', prompts: prompts({ x: 'b' }) }), 409, 'label.taken')
    refused(t, await send({ alias: 'label', prompts: prompts({ x: 'b' }) }), 409, 'alias.taken')
    const both = await send({ version: 'both', alias: 'both', prompts: prompts({ x: 'b' }) })
    t.equal(both.status, 409, both.text)
    for (const word of [
      'v3',
      'r12',
      'v0',
      'abcdef1',
      commitOf('f'),
      'latest',
      'builtin',
      'versions',
      'diff',
      'render',
      'plan',
      'fetch',
      'purge',
    ]) {
      refused(t, await send({ version: word, prompts: prompts({ x: 'b' }) }), 422, 'name.reserved')
      if (/^[a-z]/.test(word)) refused(t, await send({ alias: word, prompts: prompts({ x: 'b' }) }), 422, 'name.reserved')
    }
    refused(t, await send({ version: '-x', prompts: prompts({ x: 'b' }) }), 422, 'validation.failed')
    refused(t, await send({ version: 'x'.repeat(64), prompts: prompts({ x: 'b' }) }), 422, 'validation.failed')
    refused(t, await send({ alias: 'Upper', prompts: prompts({ x: 'b' }) }), 422, 'validation.failed')
  })
  t.equal((await send({ version: 'V1.0+x', prompts: prompts({ x: 'b' }) })).status, 201)
})

t.test('prune drops what the push does not carry, and says so', async (t) => {
  const { push, send, snapshot, contentOf } = await makeProject()
  await push({ alias: 'dev', prompts: prompts({ a: '1', b: '1', c: '1' }) })
  const answer = await send({ alias: 'dev', prune: true, prompts: prompts({ b: '1' }) })
  t.equal(answer.status, 201)
  t.strictSame(statusesOf(answer.body), ['b v1 unchanged', 'a v1 removed', 'c v1 removed'])
  t.equal(answer.body.warnings.length, 1)
  t.match(answer.body.warnings[0], /vanish.*"a", "c"/i)
  t.strictSame(await snapshot('dev'), { b: 'v1' })
  t.equal(await contentOf('a', 'r1'), '1', 'the releases before still hold it')
  const back = await push({ alias: 'dev', prompts: prompts({ a: '1' }) })
  t.strictSame(statusesOf(back), ['a v1 unchanged'])
  t.strictSame(await snapshot('dev'), { a: 'v1', b: 'v1' })
})

t.test('an empty push and an empty prune are refused', async (t) => {
  const { call, push, send } = await makeProject()
  await push({ prompts: prompts({ a: '1' }) })
  for (const body of [{}, { prune: true }, { prune: true, prompts: [], files: [] }, { version: 'x', prompts: [] }]) {
    refused(t, await send(body), 422, 'push.empty')
  }
  t.equal((await call('/releases')).body.items.length, 1)
})

t.test('an archived prompt drops out of the next release, and a push revives it with the version it had', async (t) => {
  const { call, push, snapshot } = await makeProject()
  await push({ prompts: prompts({ a: '1', b: '1' }) })
  await call('/prompts/a', { method: 'DELETE' })
  t.strictSame(await snapshot('r1'), { a: 'v1', b: 'v1' }, 'a release never changes')
  const next = await push({ prompts: prompts({ b: '2' }) })
  t.strictSame(statusesOf(next), ['b v2 created', 'a v1 removed'])
  t.match(next.warnings, [/vanish.*"a"/i])
  t.strictSame(await snapshot('r2'), { b: 'v2' })
  const revived = await push({ prompts: prompts({ a: '1' }) })
  t.strictSame(statusesOf(revived), ['a v1 unchanged'])
  t.strictSame(await snapshot('r3'), { a: 'v1', b: 'v2' })
  t.hasStrict((await call('/prompts/a')).body, { archived: false, latest: { version: 'v1' } })

  await call('/prompts/a', { method: 'DELETE' })
  const inPlace = await push({ prompts: prompts({ a: '1' }) })
  t.equal(inPlace.release.number, 3, 'nothing of the release changes where the base holds it still')
  t.equal((await call('/prompts/a/latest')).body.content, '1')
})

t.test('a dry run answers what the push would do, with null numbers, and stores nothing', async (t) => {
  const { call, push, send } = await makeProject()
  await push({ alias: 'dev', prompts: prompts({ a: '1', b: '1', c: '1' }) })
  const body = {
    version: 'next',
    alias: 'dev',
    prune: true,
    git: { commit: commitOf('3') },
    prompts: [prompt('a', '2', { title: 'T' }), prompt('b', '1'), prompt('n', '1')],
  }
  const dry = await changesNothing(t, () => send({ ...body, dryRun: true }))
  t.equal(dry.status, 200)
  t.strictSame(dry.body.release, { number: null, label: 'next', ref: 'next', createdAt: null })
  t.hasStrict(dry.body.results, [
    { name: 'a', number: null, status: 'created' },
    { name: 'b', version: 'v1', status: 'unchanged' },
    { name: 'n', number: null, status: 'created' },
    { name: 'c', status: 'removed' },
  ])
  t.strictSame(dry.body.alias, { name: 'dev', release: 'next', revision: null })
  t.hasStrict((await call('/prompts/a')).body, { title: null, latest: { number: 1 } })
  shows(t, (await call('/aliases/dev')).body, { release: 'r1', revision: 1 })

  const real = await push(body)
  t.equal(real.release.number, 2, 'a dry run uses up no number')
  t.strictSame(real.warnings, dry.body.warnings)
  t.strictSame(
    real.results.map(({ name, status }: PushResult) => [name, status]),
    dry.body.results.map(({ name, status }: PushResult) => [name, status]),
  )
  const unlabelled = await send({ dryRun: true, prompts: prompts({ a: '3' }) })
  t.strictSame(unlabelled.body, {
    release: { number: null, label: null, ref: null, createdAt: null },
    results: [{ name: 'a', version: null, number: null, status: 'created' }],
    alias: null,
    warnings: [],
  })
  const template = await changesNothing(t, () => send({ dryRun: true, prompts: prompts({ a: '{{' }) }))
  refused(t, template, 422, 'template.syntax')
})

t.test('warnings name the prompts that go back to an older version and those that vanish', async (t) => {
  const { push } = await makeProject()
  await push({ version: 'one', prompts: prompts({ a: '1', b: '1' }) })
  await push({ version: 'two', alias: 'prod', prompts: prompts({ a: '2', c: '1' }) })
  const back = await push({ base: 'one', alias: 'prod', prompts: prompts({ b: '2' }) })
  t.equal(back.warnings.length, 2)
  t.match(back.warnings[0], /older version: "a" \(two to one\)/)
  t.match(back.warnings[1], /vanish.*"c"/i)
  const onBase = await push({ base: 'two', prompts: prompts({ b: '3' }) })
  t.strictSame(onBase.warnings, [], 'the newest had lost what the base has, so nothing is lost')
  const older = await push({ base: 'one', prompts: prompts({ b: '4' }) })
  t.match(older.warnings, [/"a"/, /"c"/], 'without an alias the newest release is what it takes the place of')
})

t.test(
  'title, description, labels and metadata belong to the prompt: the last push wins, and none makes a version',
  async (t) => {
    const { call, push, send } = await makeProject()
    const first = { title: 'One', description: 'First', labels: ['a', 'b'], metadata: { z: 1, a: { deep: [null] } } }
    await push({ prompts: [prompt('x', 'same', first)] })
    shows(t, (await call('/prompts/x')).body, first)
    const answer = await send({ prompts: [prompt('x', 'same', { title: 'Two', labels: [], metadata: { n: 2 } })] })
    t.equal(answer.status, 200)
    t.hasStrict(answer.body, { release: { number: 1 }, results: [{ version: 'v1', status: 'unchanged' }] })
    const { body } = await call('/prompts/x')
    t.hasStrict(body, { title: 'Two', description: 'First', latest: { number: 1 } })
    t.strictSame(body.labels, [])
    t.strictSame(body.metadata, { n: 2 })
    const odd = ['a,b', '{x}', '"q"', "it's", 'back\\slash', '客服', ' ']
    await push({ prompts: [prompt('x', 'same', { labels: odd })] })
    t.strictSame((await call('/prompts/x')).body.labels, odd)
    await push({ prompts: [prompt('x', 'same', { title: null })] })
    t.equal((await call('/prompts/x')).body.title, null)
    t.equal((await call('/prompts/x/versions')).body.items.length, 1)
  },
)

t.test('a password in git.repo is removed with a warning and is nowhere afterwards', async (t) => {
  const { call, send } = await makeProject()
  const secrets = ['hunter2-https', 'p@ss-hunter2-at', 'hunter2-token', 'hunter2-space', 'hunter2-ssh', 'hunter2-scheme']
  const repos = [
    'https://user:hunter2-https@github.com/acme/app.git',
    'https://user:p@ss-hunter2-at@github.com/acme/app',
    'https://hunter2-token@github.com/acme/app',
    ' https://user:hunter2-space@github.com/acme/app',
    'ssh://git:hunter2-ssh@github.com/acme/app',
    'HTTPS://user:hunter2-scheme@github.com/acme/app',
  ]
  for (const [index, repo] of repos.entries()) {
    const git = { repo, commit: commitOf(`${index}`) }
    const answer = await send({ git, prompts: prompts({ x: `${index}` }) })
    t.equal(answer.status, 201, answer.text)
    t.match(answer.body.warnings, [/git\.repo/], repo)
    const shown = await call(`/releases/${answer.body.release.ref}`)
    for (const text of [answer.text, shown.text, (await call('/prompts/x/latest')).text]) t.notMatch(text, /hunter2/, repo)
    t.match(shown.body.git.repo, /github\.com\/acme\/app/)
  }
  const everything = await everyText()
  for (const secret of secrets) t.notOk(everything.includes(secret), `${secret} is not in the database`)
  const clean = await send({
    git: { repo: 'ssh://git@github.com/acme/app', commit: commitOf('9') },
    prompts: prompts({ x: 'clean' }),
  })
  t.strictSame(clean.body.warnings, [], 'the login name of SSH is no secret')
  t.equal((await call('/releases/latest')).body.git.repo, 'ssh://git@github.com/acme/app')
})

/** Every row of every table as text. */
async function everyText(): Promise<string> {
  const rows: string[] = []
  for (const table of Object.keys(await service.countRows())) {
    const found = await service.deps.db.$queryRawUnsafe<{ text: string }[]>(
      `SELECT row_to_json(everything)::text AS text FROM "${table}" everything`,
    )
    rows.push(...found.map(({ text }) => text))
  }
  return rows.join('\n')
}

t.test(
  'findings on content are warnings, errors where the project blocks them, and nothing where it does not look',
  async (t) => {
    const findings = ['<script>x', 'see javascript:alert(1)', '<img src=x onerror=alert(1)>', 'a\nb <SCRIPT src=x>']
    const content = Object.fromEntries(findings.map((text, index) => [`p${index}`, text]))
    const warn = await makeProject()
    const warned = await warn.send({ prompts: prompts({ ...content, fine: 'on the script: a <b>bold</b> idea' }) })
    t.equal(warned.status, 201)
    t.equal(warned.body.warnings.length, findings.length)
    for (const [index, warning] of warned.body.warnings.entries()) t.ok(warning.includes(`"p${index}"`), warning)

    const block = await makeProject({ scan: 'block' })
    for (const [name, text] of Object.entries(content)) {
      const answer = await block.send({ prompts: [prompt('good', 'x'), prompt(name, text)] })
      refused(t, answer, 422, 'content.blocked')
      t.hasStrict(answer.body.errors, [{ path: 'prompts[1].content' }])
    }
    const inVariant = await block.send({ prompts: [prompt('v', 'x', { variants: [{ tags: { a: 'b' }, content: '<script>' }] })] })
    refused(t, inVariant, 422, 'content.blocked')
    const inMessage = await block.send({ prompts: [{ name: 'm', messages: [{ role: 'user', content: '<script>' }] }] })
    refused(t, inMessage, 422, 'content.blocked')
    t.equal((await block.send({ prompts: prompts({ fine: 'x' }) })).status, 201)

    const off = await makeProject({ scan: 'off' })
    t.strictSame((await off.push({ prompts: prompts(content) })).warnings, [])
  },
)

t.test('a template that cannot be parsed is refused with its place; template none is stored as it is', async (t) => {
  const { call, send, push } = await makeProject()
  const broken = ['{{ a', '{% if x %}', '{{ a b }}', '{% endfor %}']
  for (const content of broken) {
    const answer = await send({ prompts: [prompt('ok', 'x'), prompt('bad', `one\n${content}`)] })
    refused(t, answer, 422, 'template.syntax')
    t.match(answer.body.detail, /"bad", line \d+, column \d+/)
    t.equal(answer.body.errors[0].path, 'prompts[1].content')
  }
  for (const content of ['{% include a %}', '{% extends "a" ~ b %}', '{% import a as b %}']) {
    refused(t, await send({ prompts: prompts({ bad: content }) }), 422, 'template.unsupported')
  }
  const inVariant = await send({ prompts: [prompt('bad', 'x', { variants: [{ tags: { a: 'b' }, content: '{{' }] })] })
  refused(t, inVariant, 422, 'template.syntax')
  t.equal(inVariant.body.errors[0].path, 'prompts[0].variants[0].content')
  const inFile = await send({ files: [{ path: 'bad file.md', content: '{{' }] })
  t.match(inFile.body, { code: 'template.syntax', detail: /"bad file\.md"/, errors: [{ path: 'files[0].content' }] })

  await push({ prompts: broken.map((content, index) => prompt(`raw-${index}`, content, { template: 'none' })) })
  for (const [index, content] of broken.entries()) {
    shows(t, (await call(`/prompts/raw-${index}/latest`)).body, { template: 'none', content, variables: [] })
  }
})

t.test('the template of the push holds for prompts and files that do not say; jinja is the default', async (t) => {
  const { call, push } = await makeProject()
  await push({
    template: 'none',
    prompts: [prompt('a', '{{ x'), prompt('b', '{{ x }}', { template: 'jinja' })],
    files: [
      { path: 'c.md', content: '{{ x' },
      { path: 'd.yaml', content: 'content: "{{ x }}"\ntemplate: jinja' },
    ],
  })
  await push({ prompts: prompts({ e: 'x' }) })
  const templateOf = async (name: string) => (await call(`/prompts/${name}/latest`)).body.template
  t.strictSame(await Promise.all(['a', 'b', 'c', 'd', 'e'].map(templateOf)), ['none', 'jinja', 'none', 'jinja', 'jinja'])
  const changed = await push({ template: 'none', prompts: prompts({ e: 'x' }) })
  t.strictSame(statusesOf(changed), ['e v2 created'], 'the template is of the version')
})

t.test('config, inputs and content come back byte for byte, the order of keys included', async (t) => {
  const { call, push } = await makeProject()
  const config = '{"z":1,"a":{"y":[3,2,{"x":null,"b":""}],"b":1.5},"10":"ten","9":"nine","é":"ü","emoji":"👩‍🚀","t":1e-7}'
  const inputs = '{"type":"object","required":["b","a"],"properties":{"b":{"type":"string"},"a":{"type":"string"}}}'
  const content = ' \t\r\nÜn\u00efcödé e\u0301 \u{1f468}\u200d\u{1f680} \u202e rtl "quotes" \\back\\slash \u0001 \u2028 end \n'
  await push({ prompts: [{ name: 'x', content, config: JSON.parse(config), inputs: JSON.parse(inputs) }] })
  const { body, text } = await call('/prompts/x/latest')
  t.equal(JSON.stringify(body.config), JSON.stringify(JSON.parse(config)))
  t.ok(text.includes(`"config":${JSON.stringify(JSON.parse(config))}`))
  t.equal(JSON.stringify(body.inputs), inputs)
  t.equal(body.content, content)
  const reordered = await push({ prompts: [{ name: 'x', content, inputs: JSON.parse(inputs), config: { a: 1, z: 1 } }] })
  const again = await push({ prompts: [{ name: 'x', content, inputs: JSON.parse(inputs), config: { z: 1, a: 1 } }] })
  t.strictSame(
    [reordered, again].map((answer) => answer.results[0].version),
    ['v2', 'v3'],
  )
})

t.test('content of 256 KiB is kept; one byte more is refused, whatever its characters weigh', async (t) => {
  const { call, push, send } = await makeProject()
  const limit = 256 * 1024
  const texts = { ascii: 'x'.repeat(limit), wide: `${'客'.repeat(Math.floor(limit / 3))}x`, surrogates: '🚀'.repeat(limit / 4) }
  await push({ prompts: prompts(texts) })
  for (const [name, text] of Object.entries(texts))
    t.equal((await call(`/prompts/${name}/latest`)).body.content === text, true, name)
  for (const [name, text] of Object.entries(texts)) {
    const answer = await send({ prompts: prompts({ [name]: `${text}y` }) })
    refused(t, answer, 422, 'content.too_large')
    t.equal(answer.body.errors[0].path, 'prompts[0].content')
  }
  refused(t, await send({ files: [{ path: 'ascii.md', content: `${texts.ascii}y` }] }), 422, 'content.too_large')
  refused(
    t,
    await send({ prompts: [{ name: 'm', messages: [{ role: 'user', content: `${texts.ascii}y` }] }] }),
    422,
    'content.too_large',
  )
})

t.test('a version holds variants; equal tags or another type than the version are refused', async (t) => {
  const { call, send, push } = await makeProject()
  const variants = [
    { tags: { locale: 'cn', tone: 'friendly' }, content: '你好' },
    { tags: { locale: 'de' }, content: 'Hallo' },
  ]
  await push({ prompts: [prompt('x', 'Hello', { variants })] })
  shows(t, (await call('/prompts/x/latest?tag=locale:de')).body, { content: 'Hallo', tags: { locale: 'de' } })
  t.hasStrict((await call('/prompts/x/versions')).body.items, [{ variantCount: 2 }])
  const bad: object[][] = [
    [
      { tags: { a: 'b', c: 'd' }, content: '1' },
      { tags: { c: 'd', a: 'b' }, content: '2' },
    ],
    [{ tags: { a: 'b' }, messages: [{ role: 'user', content: 'x' }] }],
    [{ tags: {}, content: 'x' }],
    [{ tags: { 'a:b': 'c' }, content: 'x' }],
    [{ tags: { a: 'b' } }],
    [{ tags: { a: 'b' }, content: 'x', messages: [{ role: 'user', content: 'x' }] }],
  ]
  for (const set of bad) {
    const answer = await send({ prompts: [prompt('x', 'Hello', { variants: set })] })
    refused(t, answer, 422, 'validation.failed')
    t.match(answer.body.errors[0].path, /^prompts\[0\]\.variants/)
  }
})

t.test('messages in place of content make a chat prompt; both or neither are refused', async (t) => {
  const { call, send, push } = await makeProject()
  const messages = [
    { role: 'system', content: 'You help {{ who }}.' },
    { role: 'user', content: '' },
    { role: 'assistant', content: 'Hi' },
  ]
  await push({ prompts: [{ name: 'chat', messages }] })
  const { body } = await call('/prompts/chat/latest')
  shows(t, body, { type: 'chat', content: null })
  t.strictSame(body.messages, messages)
  const bad: object[] = [
    { content: 'x', messages },
    {},
    { messages: [] },
    { messages: [{ role: 'user' }] },
    { messages: [{ role: 'A B', content: 'x' }] },
  ]
  for (const fields of bad) refused(t, await send({ prompts: [{ name: 'bad', ...fields }] }), 422, 'validation.failed')
})

t.test(
  'version numbers count for each prompt, release numbers for the project, without a gap, whatever fails in between',
  async (t) => {
    const { call, send, push } = await makeProject()
    await push({ prompts: prompts({ a: '0', b: '0' }) })
    await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        if (index % 3 === 0) await send({ prompts: prompts({ a: '{{' }) })
        if (index % 3 === 1) await send({ base: 'r999', prompts: prompts({ a: 'x' }) })
        const name = index % 2 === 0 ? 'a' : 'b'
        t.equal((await send({ prompts: prompts({ [name]: `${index}!` }) })).status, 201)
      }),
    )
    const numbersOf = async (path: string) => (await call(path)).body.items.map((item: PushResult) => item.number)
    t.strictSame(await numbersOf('/releases'), [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1])
    t.strictSame(await numbersOf('/prompts/a/versions'), [7, 6, 5, 4, 3, 2, 1])
    t.strictSame(await numbersOf('/prompts/b/versions'), [7, 6, 5, 4, 3, 2, 1])
  },
)

t.test('a release holds what it should, however long its line and wherever it branches', async (t) => {
  const { push, snapshot } = await makeProject()
  const held: Record<string, string>[] = [{}]
  const add = async (base: number, name: string, more: object = {}) => {
    const number = held.length
    const { results, release } = await push({
      base: base === 0 ? undefined : `r${base}`,
      prompts: prompts({ [name]: `${number}` }),
      ...more,
    })
    t.equal(release.number, number)
    const next = { ...held[base] }
    for (const { name, version, status } of results as PushResult[]) {
      if (status === 'removed') delete next[name]
      else next[name] = version
    }
    held.push(next)
  }
  // A line past its first checkpoint takes long where the database is embedded; there the model of snapshots has such lines.
  const [last, pruned, bases] = isPostgres ? [67, 31, [63, 64, 65, 68]] : [14, 6, [5, 6, 12]]
  for (let number = 1; number <= last; number += 1) await add(number - 1, `p${number % 9}`, { prune: number % pruned === 0 })
  for (const base of bases) await add(base, 'branch')
  const checked = Array.from(held.keys()).filter((number) => number > 0 && (number < 33 || number > 60))
  for (const number of checked) t.strictSame(sorted(await snapshot(`r${number}`)), sorted(held[number]), `r${number}`)
})

const sorted = (snapshot: Record<string, string> = {}) => Object.entries(snapshot).sort()

t.test('a push of many prompts is one release, and one of many changes too', async (t) => {
  const { call, send, push } = await makeProject()
  const many = (content: string) =>
    Array.from({ length: 1_050 }, (_, index) => prompt(`p${index}`, content, { title: `${content} ${index}` }))
  await push({ prompts: many('a') })
  const changed = await push({ prompts: many('b') })
  t.ok(changed.results.every(({ number, status }: PushResult) => number === 2 && status === 'created'))
  t.equal((await call('/releases/r2')).body.promptCount, 1_050)
  t.match((await call('/prompts/p1049')).body, { title: 'b 1049', latest: { number: 2 } })
  const again = await changesNothing(t, () => send({ prompts: many('b') }))
  t.equal(again.status, 200)
  const pruned = await push({ prune: true, prompts: many('b').slice(0, 1) })
  t.equal(pruned.results.length, 1_050)
  t.ok(pruned.warnings.join().length < 2_000, 'a warning names some and counts the rest')
})

t.test('text that Postgres cannot keep is refused', async (t) => {
  const { send } = await makeProject()
  await changesNothing(t, async () => {
    for (const bad of ['a\0b', '\ud800', 'x\udc00y']) {
      for (const body of [
        { prompts: prompts({ x: bad }) },
        { prompts: [prompt('x', 'a', { config: { [bad]: 1 } })] },
        { message: bad, prompts: prompts({ x: 'a' }) },
      ]) {
        const answer = await send(body)
        t.equal(answer.status, 422, answer.text)
      }
    }
  })
})

type Push = {
  contents: Record<string, string>
  version?: string
  alias?: string
  base?: number
  prune: boolean
  archive?: string
}
type Expected = {
  status: number
  release?: number
  results?: string[]
  snapshot?: Record<string, number>
  revision?: number | null
}

/** What pushes should make: the oracle of bases, reuse, pruning, labels and repetition. */
class Model {
  readonly versions = new Map<string, { content: string; label: string | null }[]>()
  readonly releases: { label: string | null; snapshot: Map<string, number> }[] = []
  readonly aliases = new Map<string, { release: number; revision: number }>()
  readonly archived = new Set<string>()

  push(push: Push): Expected {
    const labelled = this.releases.findIndex(({ label }) => push.version !== undefined && label === push.version) + 1
    if (labelled > 0) return this.matchLabelled(push, labelled)
    const aliased = (push.alias && this.aliases.get(push.alias)?.release) || 0
    const base = push.base ?? (aliased || this.releases.length)
    const before = this.snapshot(base)
    const after = new Map(before)
    const removed = [...before.keys()].filter((name) => !(name in push.contents) && (push.prune || this.archived.has(name)))
    for (const name of removed) after.delete(name)
    const created: string[] = []
    for (const [name, content] of Object.entries(push.contents)) {
      const versions = this.versions.get(name) ?? []
      const reused = [before.get(name) ?? 0, versions.length].find((number) => versions[number - 1]?.content === content)
      if (reused === undefined) created.push(name)
      after.set(name, reused ?? versions.length + 1)
    }
    const isNew = push.version !== undefined || base === 0 || created.length > 0
    const existing = isNew
      ? undefined
      : [base, aliased, this.releases.length].find((number) => number > 0 && this.holds(number, after))
    const release = existing ?? this.releases.push({ label: push.version ?? null, snapshot: after })
    for (const name of created) {
      const versions = this.versions.get(name) ?? []
      versions.push({ content: push.contents[name] ?? '', label: push.version ?? null })
      this.versions.set(name, versions)
    }
    const results = Object.keys(push.contents).map((name) =>
      this.result(name, after, created.includes(name) ? 'created' : 'unchanged'),
    )
    return this.settle(push, release, existing === undefined ? 201 : 200, [
      ...results,
      ...removed.map((name) => this.result(name, before, 'removed')),
    ])
  }

  private matchLabelled(push: Push, release: number): Expected {
    const snapshot = this.snapshot(release)
    const names = Object.keys(push.contents)
    const isEqual = names.every(
      (name) => this.versions.get(name)?.[(snapshot.get(name) ?? 0) - 1]?.content === push.contents[name],
    )
    if (!isEqual || (push.prune && names.length < snapshot.size)) return { status: 409 }
    return this.settle(
      push,
      release,
      200,
      names.map((name) => this.result(name, snapshot, 'unchanged')),
    )
  }

  private settle({ alias, contents }: Push, release: number, status: number, results: string[]): Expected {
    for (const name of Object.keys(contents)) this.archived.delete(name)
    const held = (alias && this.aliases.get(alias)) || { release: 0, revision: 0 }
    const revision = held.release === release ? held.revision : held.revision + 1
    if (alias) this.aliases.set(alias, { release, revision })
    const snapshot = Object.fromEntries([...this.snapshot(release)].sort())
    return { status, release, results: results.sort(), snapshot, revision: alias ? revision : null }
  }

  private snapshot(release: number): Map<string, number> {
    return this.releases[release - 1]?.snapshot ?? new Map()
  }

  private holds(release: number, wanted: Map<string, number>): boolean {
    const snapshot = this.snapshot(release)
    return snapshot.size === wanted.size && [...wanted].every(([name, number]) => snapshot.get(name) === number)
  }

  private result(name: string, snapshot: Map<string, number>, status: string): string {
    const number = snapshot.get(name) ?? 0
    return `${name} ${this.versions.get(name)?.[number - 1]?.label ?? `v${number}`} ${status}`
  }
}

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 1 })

const pushes = fc.array(
  fc.record({
    contents: fc.dictionary(fc.constantFrom('x', 'y', 'z'), fc.constantFrom('1', '2', '3'), { minKeys: 1, maxKeys: 3 }),
    version: maybe(maybe(fc.constantFrom('one', 'two', 'three'))),
    alias: maybe(fc.constantFrom('dev', 'prod')),
    base: maybe(maybe(fc.integer({ min: 1, max: 12 }))),
    prune: fc.oneof({ arbitrary: fc.constant(false), weight: 3 }, { arbitrary: fc.constant(true), weight: 1 }),
    archive: maybe(maybe(fc.constantFrom('x', 'y', 'z'))),
  }),
  { minLength: 18, maxLength: 18 },
)

t.test('releases, versions and aliases are those of the model after any pushes', async (t) => {
  await fc.assert(
    fc.asyncProperty(pushes, async (sequence) => {
      const { call, send } = await makeProject()
      const model = new Model()
      for (const push of sequence) {
        const { archive, base, ...body } = push
        if (archive && model.versions.has(archive)) {
          await call(`/prompts/${archive}`, { method: 'DELETE' })
          model.archived.add(archive)
        }
        const isKnown = base !== undefined && base <= model.releases.length
        const answer = await send({
          ...body,
          contents: undefined,
          prompts: prompts(push.contents),
          base: isKnown ? `r${base}` : undefined,
        })
        const expected = model.push({ ...push, base: isKnown ? base : undefined })
        const got: Expected = { status: answer.status }
        if (answer.status < 300) {
          const { number } = answer.body.release
          const { items } = (await call(`/releases/r${number}`)).body
          got.release = number
          got.results = statusesOf(answer.body).sort()
          got.snapshot = Object.fromEntries(items.map((item: PushResult) => [item.name, item.number]))
          got.revision = answer.body.alias?.revision ?? null
        }
        if (JSON.stringify(got) !== JSON.stringify(expected)) {
          throw new Error(
            `${JSON.stringify(push)}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)} ${answer.body.detail}`,
          )
        }
      }
    }),
    { numRuns: runs(4) },
  )
  t.pass('every push made what the model says')
})

t.test('equal pushes at the same moment make one release', async (t) => {
  const { call, send } = await makeProject()
  const answers = await Promise.all(
    Array.from({ length: 6 }, () => send({ version: 'once', alias: 'dev', prompts: prompts({ a: '1' }) })),
  )
  t.strictSame(answers.map(({ status }) => status).sort(), [200, 200, 200, 200, 200, 201])
  t.equal((await call('/releases')).body.items.length, 1)
  t.equal((await call('/aliases/dev')).body.revision, 1)
})

t.test('a push is all or nothing', async (t) => {
  const { call, send, push } = await makeProject()
  await push({ version: 'one', alias: 'dev', prompts: prompts({ a: '1' }) })
  await push({ version: 'two', prompts: prompts({ a: '2' }) })
  await call('/canary', { body: { alias: 'dev', version: 'two', percentage: 10 } })
  const refusals: [body: object, status: number, code: string, headers?: Record<string, string>][] = [
    [{ prompts: [prompt('new', 'x'), prompt('Bad Name', 'x'), prompt('new2', 'x')] }, 422, 'validation.failed'],
    [{ prompts: [prompt('new', 'x'), prompt('bad', '{{')] }, 422, 'template.syntax'],
    [{ prompts: [prompt('new', 'x')], files: [{ path: 'x.exe', content: '' }] }, 422, 'file.unsupported'],
    [{ prompts: [prompt('new', 'x'), { name: 'extra', content: 'x', contnet: 'y' }] }, 422, 'validation.failed'],
    [{ alias: 'dev', prompts: prompts({ new: 'x' }) }, 409, 'canary.active'],
    [{ version: 'one', prompts: prompts({ new: 'x' }) }, 409, 'label.taken'],
    [{ alias: 'one', prompts: prompts({ new: 'x' }) }, 409, 'alias.taken'],
    [{ alias: 'dev', prompts: prompts({ new: 'x' }) }, 412, 'alias.moved', { 'if-match': '"99"' }],
  ]
  await changesNothing(t, async () => {
    for (const [body, status, code, headers = {}] of refusals) refused(t, await send(body, { headers }), status, code)
  })
  t.equal((await call('/prompts/new')).status, 404)
})

t.test('findings of a push name every place, as prompts[3].name', async (t) => {
  const { send } = await makeProject()
  const { status, body } = await send({
    prompts: [
      prompt('ok', 'x'),
      prompt('Upper', 'x'),
      { name: 'c', content: 'x', config: [] },
      { name: 'd', content: 'x', extra: 1 },
    ],
  })
  t.equal(status, 422)
  t.strictSame(
    body.errors.map(({ path }: { path: string }) => path),
    ['prompts[1].name', 'prompts[2].config', 'prompts[3].extra'],
  )
  t.ok(body.errors.every(({ message }: { message: string }) => message.length > 0))
})

t.test('the alias of a push moves only if If-Match holds its revision', async (t) => {
  const { call, send, push } = await makeProject()
  await push({ alias: 'dev', prompts: prompts({ a: '1' }) })
  const lost = await changesNothing(t, () =>
    send({ alias: 'dev', prompts: prompts({ a: '2' }) }, { headers: { 'if-match': '"7"' } }),
  )
  refused(t, lost, 412, 'alias.moved')
  const fresh = await changesNothing(t, () =>
    send({ alias: 'fresh', prompts: prompts({ a: '2' }) }, { headers: { 'if-match': '"1"' } }),
  )
  refused(t, fresh, 412, 'alias.moved')
  const held = await send({ alias: 'dev', prompts: prompts({ a: '2' }) }, { headers: { 'if-match': '"1"' } })
  t.equal(held.status, 201)
  t.equal(held.body.alias.revision, 2)
  const noMove = await send({ alias: 'dev', prompts: prompts({ a: '2' }) }, { headers: { 'if-match': '"1"' } })
  t.equal(noMove.status, 200, 'a move to the current target is 200 whatever its If-Match')
  t.equal((await call('/aliases/dev')).body.revision, 2)
})

t.test('a push with an alias needs aliases:write as well, before anything else is looked at', async (t) => {
  const { project, send } = await makeProject()
  const writer = await service.createKey({ name: 'ci', project, scopes: ['prompts:write'] })
  const mover = await service.createKey({ name: 'cd', project, scopes: ['prompts:write', 'aliases:write'] })
  t.equal((await send({ prompts: prompts({ a: '1' }) }, { key: writer.secret })).status, 201)
  await changesNothing(t, async () => {
    refused(t, await send({ alias: 'dev', prompts: prompts({ a: '1' }) }, { key: writer.secret }), 403, 'scope.missing')
    refused(
      t,
      await send({ alias: 'dev', dryRun: true, prompts: prompts({ a: '1' }) }, { key: writer.secret }),
      403,
      'scope.missing',
    )
    refused(t, await send({ alias: 'dev', prompts: prompts({ a: '{{' }) }, { key: writer.secret }), 403, 'scope.missing')
  })
  t.equal((await send({ alias: 'dev', prompts: prompts({ a: '1' }) }, { key: mover.secret })).status, 200)
})
