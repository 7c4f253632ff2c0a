import { applyPatch, parsePatch } from 'diff'
import t from 'tap'
import { PromptDiff, ReleaseDiff } from '../../src/features/diff/diff.schema.js'
import { findProject } from '../../src/features/projects/projects.service.js'
import { findNewestRelease, insertRelease } from '../../src/features/releases/releases.service.js'
import { checkpointEvery } from '../../src/features/releases/snapshots.service.js'
import { refused, shows } from '../helpers/assertions.js'
import { type CallOptions, openDatabase, startService } from '../helpers/service.js'
import { watched } from '../helpers/watched.js'

const base = await openDatabase(t)
const service = await startService(t, { connection: base })
let projectCount = 0

/** An empty project of its own for one test. */
async function makeProject(settings: object = {}) {
  projectCount += 1
  const project = `diff-${projectCount}`
  await service.call('/projects', { body: { slug: project, settings } })
  const call = (path: string, options: CallOptions = {}) => service.call(path, { project, ...options })
  return {
    project,
    call,
    push: (body: object) => service.push(body, { project }),
    diff: (name: string, from: string, to: string, format = 'json', options: CallOptions = {}) =>
      call(`/prompts/${encodeURIComponent(name)}/diff?from=${from}&to=${to}&format=${format}`, options),
    releases: (from: string, to: string, format = 'json', options: CallOptions = {}) =>
      call(`/releases/diff?from=${from}&to=${to}&format=${format}`, options),
    move: (alias: string, version: string) => call(`/aliases/${alias}`, { method: 'PUT', body: { version } }),
  }
}

const prompts = (contents: Record<string, string>) => Object.entries(contents).map(([name, content]) => ({ name, content }))
const commitOf = (digit: string) => digit.repeat(40)

/** A project with one prompt in two versions, each in a release of its own. */
async function makeTwoVersions(settings: object = {}) {
  const made = await makeProject(settings)
  const first = {
    name: 'team/support',
    content: 'You help {{ company }}.\nBe kind.\n',
    config: { model: 'gpt-4o', temperature: 0.2 },
    variants: [{ tags: { locale: 'cn' }, content: '你好 {{ company }}' }],
  }
  const second = {
    ...first,
    content: 'You help {{ company }}.\nBe very kind.\nSign as {{ agent }}.',
    config: { model: 'gpt-4o-mini', temperature: 0.2 },
    variants: [{ tags: { locale: 'cn' }, content: '您好 {{ company }}' }],
  }
  await made.push({ version: 'v1.0.0', alias: 'production', git: { commit: commitOf('a') }, prompts: [first] })
  await made.push({ version: 'v1.1.0', alias: 'dev', git: { commit: commitOf('b') }, prompts: [second] })
  return { ...made, first, second }
}

/** For tests that only read. */
const two = await makeTwoVersions()

t.test('a diff of two versions tells lines, words, settings, variables and variants', async (t) => {
  const { diff } = two
  const { status, body, headers } = await diff('team/support', 'v1.0.0', 'v1.1.0')
  t.equal(status, 200)
  t.equal(headers.get('content-type'), 'application/json; charset=utf-8')
  t.strictSame(PromptDiff.parse(body), body, 'the schema has every field')
  shows(t, body, {
    name: 'team/support',
    from: { ref: 'v1.0.0', version: 'v1.0.0', release: 'v1.0.0' },
    to: { ref: 'v1.1.0', version: 'v1.1.0', release: 'v1.1.0' },
    identical: false,
    type: null,
    template: null,
    messages: [],
    config: [{ path: 'model', op: 'changed', from: 'gpt-4o', to: 'gpt-4o-mini' }],
    inputs: [],
    variables: { added: [{ name: 'agent', required: true }], removed: [], changed: [] },
    includes: [],
  })
  t.strictSame(body.content.hunks[0].lines, [
    { kind: 'same', text: 'You help {{ company }}.' },
    { kind: 'removed', text: 'Be kind.', words: [{ kind: 'same', text: 'Be kind.' }] },
    {
      kind: 'added',
      text: 'Be very kind.',
      words: [
        { kind: 'same', text: 'Be ' },
        { kind: 'changed', text: 'very ' },
        { kind: 'same', text: 'kind.' },
      ],
    },
    { kind: 'added', text: 'Sign as {{ agent }}.', noNewline: true },
  ])
  t.strictSame(
    body.variants.map(({ tags, status }: { tags: object; status: string }) => ({ tags, status })),
    [{ tags: { locale: 'cn' }, status: 'changed' }],
  )
})

t.test('every ref that a fetch takes is one of a diff, an alias by its stable target', async (t) => {
  const { diff, call } = await makeTwoVersions()
  await call('/canary', { body: { alias: 'production', version: 'v1.1.0', percentage: 100 } })
  const refs: [string, string][] = [
    ['v1', 'v2'],
    ['v1.0.0', 'v1.1.0'],
    ['r1', 'r2'],
    ['production', 'dev'],
    [commitOf('a').slice(0, 7), commitOf('b')],
    ['production', 'latest'],
  ]
  for (const [from, to] of refs) {
    const { body } = await diff('team/support', from, to)
    shows(t, body.from, { ref: from, version: 'v1.0.0' })
    shows(t, body.to, { ref: to, version: 'v1.1.0' })
  }
})

t.test('a built-in is compared by the refs that a fetch of it takes', async (t) => {
  const { diff, push } = await makeProject()
  const same = await diff('meeting', 'builtin', 'latest')
  t.equal(same.status, 200)
  t.equal(same.body.identical, true)
  t.equal((await diff('meeting', 'builtin', 'latest', 'unified')).text, '')
  await push({ prompts: prompts({ meeting: 'Our own' }) })
  const own = await diff('meeting', 'builtin', 'v1')
  shows(t, own.body, { identical: false, from: { ref: 'builtin', version: 'builtin', release: null } })
  refused(t, await diff('team', 'builtin', 'latest'), 404, 'prompt.not_found')
})

t.test('what a fetch refuses, a diff refuses in the same way', async (t) => {
  const { diff, call, releases, push } = await makeTwoVersions()
  const mistyped = await diff('team/support', 'v1.0.0', 'prodution')
  refused(t, mistyped, 404, 'alias.not_found')
  t.match(mistyped.body.detail, 'Did you mean "production"?')
  refused(t, await diff('team/suport', 'v1', 'v2'), 404, 'prompt.not_found')
  refused(t, await diff('team/support', 'v9', 'v2'), 404, 'ref.not_found')
  refused(t, await releases('r1', 'r9'), 404, 'release.not_found')
  refused(t, await releases('nowhere', 'r1'), 404, 'release.not_found')
  await push({ version: 'v2.0.0', prompts: prompts({ other: 'New' }) })
  refused(t, await diff('other', 'v1.0.0', 'v2.0.0'), 404, 'prompt.not_in_release')
  await call('/prompts/team%2Fsupport/v1/purge', { body: { reason: 'a secret' } })
  refused(t, await diff('team/support', 'v1', 'v2'), 410, 'version.purged')
  refused(t, await diff('team/support', 'v2', 'production'), 410, 'version.purged')
})

t.test('refs and formats off their grammar are refused', async (t) => {
  const { call, diff } = two
  const wrong = [
    '/prompts/team%2Fsupport/diff',
    '/prompts/team%2Fsupport/diff?from=v1',
    '/prompts/team%2Fsupport/diff?to=v1',
    '/prompts/team%2Fsupport/diff?from=v1&to=v2&to=v1',
    '/prompts/team%2Fsupport/diff?from=v1&to=a%20b',
    '/prompts/team%2Fsupport/diff?from=v1&to=v2&format=xml',
    '/prompts/team%2Fsupport/diff?from=v1&to=v2&key=a',
    '/prompts/Team/diff?from=v1&to=v2',
    '/releases/diff?from=r1',
    '/releases/diff?from=r1&to=r2&format=pdf',
    '/releases/diff?from=r1&to=r2&limit=5',
  ]
  for (const path of wrong) refused(t, await call(path), 422, 'validation.failed')
  t.equal((await diff('team/support', 'v1', 'v2', 'json', { method: 'POST', body: {} })).status, 405)
})

t.test('the unified form turns the older texts into the newer ones', async (t) => {
  const { diff, first, second } = two
  const { text, headers } = await diff('team/support', 'production', 'dev', 'unified')
  t.equal(headers.get('content-type'), 'text/plain; charset=utf-8')
  t.match(text, '--- team/support@production content\t\n+++ team/support@dev content\t\n@@ -1,2 +1,3 @@\n')
  t.match(text, '\\ No newline at end of file')
  const content = parsePatch(text).find(({ oldFileName }) => oldFileName === 'team/support@production content')
  t.equal(applyPatch(first.content, content ?? ''), second.content)
})

t.test('the page holds prompts as text, and may run and load nothing', async (t) => {
  const { diff, push } = await makeProject({ scan: 'warn' })
  await push({ version: 'v1.0.0', prompts: prompts({ page: 'Hello' }) })
  await push({ version: 'v1.1.0', prompts: prompts({ page: '</td><script>alert(1)</script>\u202Eabc' }) })
  const { text, headers } = await diff('page', 'v1.0.0', 'v1.1.0', 'html')
  t.equal(headers.get('content-type'), 'text/html; charset=utf-8')
  const policy = headers.get('content-security-policy') ?? ''
  t.match(policy, "default-src 'none'; style-src 'unsafe-inline'")
  t.notMatch(policy, /script-src|https?:|\*/)
  t.notMatch(text, /<script|\u202e/i)
  t.match(text, '⟨U+202E⟩')
  t.match(text, '<title>page: v1.0.0 → v1.1.0</title>')
})

t.test('between refs that never move a diff may be kept, and otherwise is asked for again', async (t) => {
  const { diff, releases, move } = await makeTwoVersions()
  for (const read of [(from: string, to: string) => diff('team/support', from, to), releases]) {
    const kept = await read('v1.0.0', 'r2')
    t.equal(kept.headers.get('cache-control'), 'private, max-age=86400, immutable')
    for (const [from, to] of [
      ['production', 'r2'],
      ['r1', 'latest'],
      [commitOf('a'), 'r2'],
    ] as const) {
      t.equal((await read(from, to)).headers.get('cache-control'), 'private, max-age=0')
    }
  }
  const before = (await diff('team/support', 'production', 'v2')).headers.get('etag') ?? ''
  await move('production', 'v1.1.0')
  const after = await diff('team/support', 'production', 'v2', 'json', { headers: { 'if-none-match': before } })
  t.equal(after.status, 200)
  t.equal(after.body.identical, true)
})

t.test('a diff in any format has a strong ETag, and is not sent again to who has it', async (t) => {
  const { diff, releases } = two
  for (const format of ['json', 'unified', 'html']) {
    const reads = [
      (options?: CallOptions) => diff('team/support', 'production', 'dev', format, options),
      (options?: CallOptions) => releases('production', 'dev', format, options),
    ]
    for (const read of reads) {
      const etag = (await read()).headers.get('etag') ?? ''
      t.match(etag, /^"[\w-]{27}"$/)
      const again = await read({ headers: { 'if-none-match': etag } })
      t.equal(again.status, 304)
      t.equal(again.text, '')
    }
  }
})

t.test('a diff of releases names what came, went and changed, with the diffs of what changed', async (t) => {
  const { push, releases } = await makeProject()
  await push({ version: 'v1.0.0', alias: 'production', prompts: prompts({ kept: 'Same', edited: 'One\n', gone: 'Bye' }) })
  await push({ version: 'v2.0.0', alias: 'dev', prune: true, prompts: prompts({ kept: 'Same', edited: 'Two\n', fresh: 'Hi' }) })
  const { status, body } = await releases('production', 'dev')
  t.equal(status, 200)
  t.strictSame(ReleaseDiff.parse(body), body, 'the schema has every field')
  shows(t, body, {
    from: { ref: 'production', release: 'v1.0.0' },
    to: { ref: 'dev', release: 'v2.0.0' },
    counts: { added: 1, removed: 1, changed: 1 },
    added: [{ name: 'fresh', version: 'v2.0.0' }],
    removed: [{ name: 'gone', version: 'v1.0.0' }],
    truncated: false,
  })
  shows(t, body.changed[0], { name: 'edited', from: 'v1.0.0', to: 'v2.0.0', omitted: null })
  shows(t, body.changed[0].diff, { name: 'edited', from: { ref: 'production', version: 'v1.0.0', release: 'v1.0.0' } })
  const unified = await releases('production', 'dev', 'unified')
  const files = parsePatch(unified.text).map(({ oldFileName, newFileName }) => [oldFileName, newFileName])
  t.strictSame(files, [
    ['edited@production content', 'edited@dev content'],
    ['/dev/null', 'fresh@dev outline'],
    ['/dev/null', 'fresh@dev content'],
    ['gone@production outline', '/dev/null'],
    ['gone@production content', '/dev/null'],
  ])
  const page = await releases('production', 'dev', 'html')
  t.match(page.text, '1 prompt added, 1 prompt removed, 1 prompt changed.')
  t.equal((await releases('r1', 'v1.0.0')).body.changed.length, 0)
  t.equal((await releases('r1', 'v1.0.0', 'unified')).text, '')
})

/** Makes the line of the newest release as long as it may be: the next one is a checkpoint. */
async function lengthenLine(slug: string): Promise<void> {
  const { db } = service.deps
  const project = await findProject(service.deps, { slug })
  if (!project) throw new Error(`No project ${slug}.`)
  await db.$transaction(async (tx) => {
    for (let base = await findNewestRelease(tx, project); base && base.lineage.length < checkpointEvery; )
      base = await insertRelease(tx, project, { base, label: null, message: null, git: null, actor: 'test' })
  })
}

t.test('releases are compared in either direction, across checkpoints and branches', async (t) => {
  const { project, push, releases } = await makeProject()
  await push({ prompts: prompts({ a: '0', b: 'b' }) })
  await push({ prompts: prompts({ a: '1' }) })
  await lengthenLine(project)
  const { release } = await push({ prompts: prompts({ a: '2' }) })
  t.equal(release.number, checkpointEvery + 1)
  await push({ version: 'branch', base: 'r2', prompts: prompts({ c: 'c' }) })
  const names = ({ body }: { body: Record<'added' | 'removed' | 'changed', { name: string }[]> }) => {
    const of = (list: { name: string }[]) => list.map(({ name }) => name)
    return { added: of(body.added), removed: of(body.removed), changed: of(body.changed) }
  }
  t.strictSame(names(await releases('r2', release.ref)), { added: [], removed: [], changed: ['a'] })
  t.strictSame(names(await releases(release.ref, 'branch')), { added: ['c'], removed: [], changed: ['a'] })
  t.strictSame(names(await releases('branch', 'r2')), { added: [], removed: ['c'], changed: [] })
})

t.test('a purged version is named in a diff of releases, without its content', async (t) => {
  const { call, releases } = await makeTwoVersions()
  await call('/prompts/team%2Fsupport/v1/purge', { body: { reason: 'a secret' } })
  const { body } = await releases('r1', 'r2')
  t.strictSame(body.changed, [{ name: 'team/support', from: 'v1.0.0', to: 'v1.1.0', diff: null, omitted: 'purged' }])
  const note = 'team/support is not shown: content that it holds or includes was purged.'
  t.equal((await releases('r1', 'r2', 'unified')).text, `# ${note}\n`)
  t.match((await releases('r1', 'r2', 'html')).text, note)
})

t.test('what includes a purged version is named in a diff of releases, and not said to be purged itself', async (t) => {
  const { push, call, releases } = await makeProject()
  await push({ version: 'one', prompts: prompts({ part: 'One', whole: '{% include "part" %} 1' }) })
  await push({ version: 'two', prompts: prompts({ part: 'Two', whole: '{% include "part" %} 2' }) })
  await call('/prompts/part/v1/purge', { body: { reason: 'a secret' } })
  const { body } = await releases('one', 'two')
  t.strictSame(
    body.changed.map(({ name, omitted }: { name: string; omitted: string }) => [name, omitted]),
    [
      ['part', 'purged'],
      ['whole', 'purged'],
    ],
  )
  t.match((await releases('one', 'two', 'unified')).text, '# whole is not shown: content that it holds or includes was purged.')
})

t.test('of many changed prompts the first 200 are compared, and all of them named', async (t) => {
  const { push, releases } = await makeProject()
  const many = (text: string) =>
    prompts(Object.fromEntries(Array.from({ length: 203 }, (_, n) => [`p${`${n}`.padStart(3, '0')}`, `${text}\n`])))
  await push({ version: 'one', prompts: many('One') })
  await push({ version: 'two', prompts: many('Two') })
  const { body } = await releases('one', 'two')
  t.equal(body.counts.changed, 203)
  t.equal(body.changed.length, 203)
  t.equal(body.changed.filter(({ diff }: { diff: object | null }) => diff !== null).length, 200)
  t.strictSame(body.changed.at(-1), { name: 'p202', from: 'one', to: 'two', diff: null, omitted: 'limit' })
  const { text } = await releases('one', 'two', 'unified')
  t.match(text, '# 3 more prompts differ and are left out')
  t.equal(parsePatch(text).length, 200)
})

t.test('an archived prompt is compared by the refs that still answer', async (t) => {
  const { call, diff } = await makeTwoVersions()
  await call('/prompts/team%2Fsupport', { method: 'DELETE' })
  t.equal((await diff('team/support', 'v1', 'production')).body.identical, true)
  t.equal((await diff('team/support', 'production', 'dev')).status, 200)
  refused(t, await diff('team/support', 'v1', 'latest'), 404, 'prompt.archived')
})

t.test('a key of one project cannot compare another project’s prompts', async (t) => {
  const theirs = await makeProject()
  const { secret } = await service.createKey({ name: 'other', project: theirs.project, scopes: ['prompts:read'] })
  refused(t, await two.diff('team/support', 'v1', 'v2', 'json', { key: secret }), 404, 'project.not_found')
  refused(t, await two.releases('r1', 'r2', 'json', { key: secret }), 404, 'project.not_found')
  refused(t, await theirs.diff('team/support', 'v1', 'v2', 'json', { key: secret }), 404, 'prompt.not_found')
  refused(t, await two.diff('team/support', 'v1', 'v2', 'json', { key: null }), 401, 'auth.required')
})

t.test('the word diff is no ref of a prompt, whatever is in memory', async (t) => {
  const { call, diff } = two
  await diff('team/support', 'production', 'dev')
  await call('/prompts/team%2Fsupport/production')
  refused(t, await call('/prompts/team%2Fsupport/diff'), 422, 'validation.failed')
  t.equal((await call('/api/prompts/team%2Fsupport/diff?from=v1&to=v2')).status, 200)
})

t.test('what is in memory is compared while the database is away, and marked as unconfirmed', async (t) => {
  const { project, push } = await makeProject()
  await push({ version: 'v1.0.0', alias: 'production', prompts: prompts({ known: 'One' }) })
  await push({ version: 'v2.0.0', prompts: prompts({ known: 'Two' }) })
  const seen = watched(base)
  const cut = await startService(t, { connection: seen.connection })
  const compare = (to: string) => cut.call(`/prompts/known/diff?from=production&to=${to}`, { project })
  const before = await compare('v2')
  t.equal(before.headers.get('x-promptsync-source'), null)
  seen.takeAway()
  cut.clock.advance(5_001)
  const after = await compare('v2')
  t.equal(after.text, before.text)
  t.equal(after.headers.get('x-promptsync-source'), 'stale')
  t.match(after.headers.get('age'), /^\d+$/)
  refused(t, await compare('v1'), 503, 'database.unavailable')
  refused(t, await cut.call('/releases/diff?from=r1&to=r2', { project }), 503, 'database.unavailable')
})

t.test('a large and hostile pair of versions is compared in every format', async (t) => {
  const { push, diff, call } = await makeProject()
  const text = (words: [string, string]) => Array.from({ length: 40_000 }, (_, n) => words[(n * n) % 7 < 3 ? 0 : 1]).join('\n')
  const version = (words: [string, string]) => ({
    name: 'hostile',
    template: 'none',
    content: text(words),
    config: { list: Array.from({ length: 10_000 }, (_, n) => words[n % 2]) },
  })
  await push({ prompts: [version(['a', 'b'])] })
  await push({ prompts: [version(['b', 'c'])] })
  await call('/prompts/hostile/v1')
  for (const format of ['json', 'unified', 'html']) t.equal((await diff('hostile', 'v1', 'v2', format)).status, 200)
})
