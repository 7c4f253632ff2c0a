import { gunzipSync, gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { AppError } from '../../src/errors.js'
import { createAllowedHosts } from '../../src/lib/allowed-hosts.js'
import { github } from '../../src/providers/github.js'
import type { Listing, ProviderContext } from '../../src/providers/provider.js'
import { type Files, providerConforms } from './conformance.js'
import { providerContext, type TestContext } from './helpers/context.js'
import { archiveOf } from './helpers/github-archive.js'
import {
  type Commit,
  type Content,
  executable,
  nameOf,
  type Repository,
  submodule,
  symbolicLink,
} from './helpers/github-objects.js'
import { type Fault, type GitHubServer, startGitHub } from './helpers/github-server.js'

const token = 'github_pat_11ABCDEFG0secretsecret'
const repo = 'acme/prompts'

type Listed = Extract<Listing, { unchanged: false }>
type Setup = { server: GitHubServer; repository: Repository; config: any; context: TestContext }

async function setUp(t: Test, files: Record<string, Content> = { 'a.md': 'A', 'b/c.md': 'C' }): Promise<Setup> {
  const server = await startGitHub(t)
  const repository = server.create(repo)
  if (Object.keys(files).length > 0) repository.commit(files)
  const context = await providerContext(t)
  return { server, repository, config: github.config.parse({ repo, baseUrl: server.baseUrl }), context }
}

async function list(config: any, context: ProviderContext, previous: string | null = null): Promise<Listed> {
  const listing = await github.list(config, previous, context)
  if (listing.unchanged) throw new Error('The listing says that nothing changed.')
  return listing
}

async function read(config: any, { files, revision }: Listed, context: ProviderContext): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for await (const { path, bytes } of github.read(config, files, revision, context)) found[path] = bytes.toString('utf8')
  return found
}

const pathsOf = ({ files }: Listed) => files.map(({ path }) => path).sort()
const numbered = (count: number, text = 'Prompt'): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`p/${index}.md`, `${text} ${index}.`]))

/** How many requests of each kind something takes. */
async function counting(server: GitHubServer, work: () => Promise<unknown>): Promise<Record<string, number>> {
  const before: Record<string, number> = { ...server.requests }
  await work()
  const spent = Object.entries(server.requests).map(([route, count]): [string, number] => [route, count - (before[route] ?? 0)])
  return Object.fromEntries(spent.filter(([, count]) => count !== 0))
}

providerConforms(t, {
  provider: github,
  async makePeer(t) {
    const server = await startGitHub(t)
    const repository = server.create(repo)
    server.settings.token = token
    repository.isPrivate = true
    return {
      config: { repo, baseUrl: server.baseUrl, token },
      write: async (files: Files) => void repository.commit(files),
      breakDown: async (kind) => (kind === 'away' ? server.close() : server.break('stall')),
      restore: async () => {
        if (server.isOpen()) server.mend()
        else await server.open()
      },
      wrongCredentials: { repo, baseUrl: server.baseUrl, token: 'github_pat_wrongwrong' },
      echoSecrets: async () => server.break('echo'),
    }
  },
})

t.test('a repository may be written in all the ways people write it', async (t) => {
  const spellings = [
    'acme/prompts',
    'github.com/acme/prompts',
    'https://github.com/acme/prompts',
    'https://www.github.com/acme/prompts/',
  ]
  for (const spelling of [...spellings, 'http://github.com/acme/prompts.git', ' git@github.com:acme/prompts.git']) {
    t.match(github.config.safeParse({ repo: spelling }), { success: true, data: { repo } }, spelling)
  }
  const others = [
    '',
    'acme',
    'acme/..',
    'https://example.com/acme/prompts',
    'acme/prompts/tree/main',
    'acme/pro mpts',
    'ac.me/prompts',
  ]
  for (const other of others) t.notOk(github.config.safeParse({ repo: other }).success, other)
})

t.test('settings that could leave their place in a URL are refused', async (t) => {
  const wrong = [
    ...['..', 'a..b', '-x', 'a b', 'a?b', '/a', 'a/', './a', 'a\0'].map((ref) => ({ repo, ref })),
    ...['..', 'a/../b', 'a//b', 'a\\b', './a'].map((path) => ({ repo, path })),
    ...['api.github.com', 'ftp://x.org', 'https://a:b@x.org', 'https://x.org/?a=b'].map((baseUrl) => ({ repo, baseUrl })),
    ...['', 'two words', 'line\nbreak'].map((token) => ({ repo, token })),
  ]
  for (const config of wrong) t.notOk(github.config.safeParse(config).success, JSON.stringify(config))
  const right = { repo, ref: 'release/2.x_y', path: 'deep/er', baseUrl: 'https://x.org/api/v3', token }
  t.same(github.config.parse({ ...right, path: '/deep/er/', baseUrl: 'https://x.org/api/v3/' }), right)
  t.equal(github.target(github.config.parse({ repo })), 'https://api.github.com')
  t.equal(github.target(github.config.parse(right)), 'https://x.org')
})

t.test('an unchanged check costs one request, which the limit does not count', async (t) => {
  const { server, repository, config, context } = await setUp(t)
  const { revision } = await list(config, context)
  const { remaining } = server.settings.limit
  const spent = await counting(server, async () => {
    t.same(await github.list(config, revision, context), { revision, unchanged: true })
  })
  t.same(spent, { commit: 1 })
  t.equal(server.settings.limit.remaining, remaining)
  t.match(context.notes.at(-1), { statusCode: 304, error: null })
  repository.branches.set('other', repository.branches.get('main') ?? '')
  const elsewhere = github.config.parse({ ...config, ref: 'other' })
  t.equal((await github.list(elsewhere, revision, context)).unchanged, false, 'of other settings nothing is known')
})

t.test('a change of one file costs one request for the commit, one for the tree and one for the file', async (t) => {
  const { server, repository, config, context } = await setUp(t, numbered(200))
  const before = await list(config, context)
  repository.commit({ ...numbered(200), 'p/7.md': 'Changed.' })
  let files: Record<string, string> = {}
  const spent = await counting(server, async () => {
    const after = await list(config, context, before.revision)
    const hashes = new Set(before.files.map(({ hash }) => hash))
    const changed = after.files.filter(({ hash }) => !hashes.has(hash))
    files = await read(config, { ...after, files: changed }, context)
  })
  t.same(files, { 'p/7.md': 'Changed.' })
  t.same(spent, { commit: 1, tree: 1, blob: 1 })
})

t.test('many files come from one archive, to whose origin no credentials go', async (t) => {
  const long = `${'long/'.repeat(30)}${'name'.repeat(40)}.md`
  const files = { ...numbered(60), [long]: 'Long.', [`${'d'.repeat(90)}/${'e'.repeat(90)}.md`]: 'Split.', 'ü/客.md': 'Unicode.' }
  const { server, repository, config, context } = await setUp(t, {
    ...files,
    'link.md': symbolicLink('a.md'),
    'run.md': executable('Run.'),
  })
  repository.isPrivate = true
  server.settings.token = token
  const listing = await list({ ...config, token }, context)
  const spent = await counting(server, async () => {
    t.same(await read({ ...config, token }, listing, context), { ...files, 'run.md': 'Run.' })
  })
  t.same(spent, { tarball: 1, archive: 1 })
  t.equal(server.archiveHeaders[0]?.authorization, undefined)
  t.notMatch(JSON.stringify(context.notes), /ARCHIVETOKEN/, 'nor is the credential of the archive noted')
})

t.test('few files come one by one, and without a token fewer, since there are few requests', async (t) => {
  const { server, config, context } = await setUp(t, numbered(40))
  server.settings.token = token
  const read = async (count: number, config: any) => {
    const listing = await list(config, context)
    return counting(server, async () => {
      for await (const _ of github.read(config, listing.files.slice(0, count), listing.revision, context));
    })
  }
  t.same(await read(10, config), { blob: 10 })
  t.same(await read(11, config), { tarball: 1, archive: 1 })
  t.same(await read(30, { ...config, token }), { blob: 30 })
  t.same(await read(31, { ...config, token }), { tarball: 1, archive: 1 })
})

t.test('files are taken one by one where the archive would be much larger than they are', async (t) => {
  const { server, config, context } = await setUp(t, { ...numbered(12), 'video.mp4': Buffer.alloc(1) })
  const { files, revision } = await list(config, context)
  const huge = JSON.stringify({ ...JSON.parse(revision), size: { files: 13, bytes: 500 * 1024 ** 2 } })
  const spent = await counting(server, async () => {
    for await (const _ of github.read(config, files.slice(0, 12), huge, context));
  })
  t.same(spent, { blob: 12 })
})

t.test('what an archive leaves out or changes comes as it was committed', async (t) => {
  const attributes = 'p/0.md export-ignore\np/1.md export-subst\n'
  const files = { ...numbered(40), 'p/1.md': 'Of $Format:%H$.', '.gitattributes': attributes }
  const { server, config, context } = await setUp(t, files)
  const listing = await list(config, context)
  const spent = await counting(server, async () => t.same(await read(config, listing, context), files))
  t.same(spent, { tarball: 1, archive: 1, blob: 2 })
})

t.test('files of the same content are fetched once', async (t) => {
  const files = { 'a.md': 'Same.', 'b.md': 'Same.', 'c.md': 'Other.' }
  const { server, config, context } = await setUp(t, files)
  const listing = await list(config, context)
  t.same(await counting(server, async () => t.same(await read(config, listing, context), files)), { blob: 2 })
  const many = Object.fromEntries(Object.keys(numbered(40)).map((path, index) => [path, `Half ${index % 20}.`]))
  const { config: other, context: second } = await setUp(t, many)
  t.same(await read(other, await list(other, second), second), many)
})

t.test('files are taken one by one where archives come from a host that is not allowed', async (t) => {
  const { server, config } = await setUp(t, numbered(20))
  const allowedHosts = createAllowedHosts([new URL(server.baseUrl).host])
  const context = await providerContext(t, { allowedHosts })
  const listing = await list(config, context)
  t.same(await read(config, listing, context), numbered(20))
  t.equal(server.requests.archive, 0)
  t.equal(server.requests.blob, 20)
})

t.test('an archive that is damaged, cut off or too large gives no wrong bytes', async (t) => {
  const { server, repository, config, context } = await setUp(t, numbered(20))
  const listing = await list(config, context)
  const whole = archiveOf(repository.resolve('main') as Commit, 'acme-prompts-0000000')
  const attempts: [string, Buffer][] = [
    ['no archive', Buffer.from('what is this')],
    ['half of one', whole.subarray(0, whole.length / 2)],
    ['no tar', gzipSync(Buffer.alloc(5_000, 'x'))],
    ['an empty one', gzipSync(Buffer.alloc(0))],
  ]
  for (const [name, archive] of attempts) {
    server.settings.lies.archive = archive
    await t.rejects(read(config, listing, context), { code: 'source.unreachable', message: /came damaged/ }, name)
  }
  const bomb: Commit = { sha: '', tree: '', files: new Map([['bomb.md', Buffer.alloc(5 * 1024 ** 2)]]) }
  for (const archive of [archiveOf(bomb, 'top'), gzipSync(Buffer.alloc(1024))]) {
    server.settings.lies.archive = archive
    t.same(await read(config, listing, context), numbered(20), 'what it does not hold is fetched otherwise')
  }
  server.break('stall', 'archive')
  server.settings.lies.archive = null
  const hurried = await providerContext(t, { requestTimeoutMs: 200 })
  await t.rejects(read(config, listing, hurried), { code: 'source.unreachable' })
})

t.test('of an archive no more is unpacked than a fixed amount, however many files are said to be listed', async (t) => {
  const { server, repository, config, context } = await setUp(t, numbered(20))
  const listing = await list(config, context)
  const bytesEach = 16 * 1024 ** 2
  const filler: Commit = { sha: '', tree: '', files: new Map([['filler.bin', Buffer.alloc(bytesEach)]]) }
  // Two empty blocks end an archive, so that what follows would not be read.
  const part = gzipSync(gunzipSync(archiveOf(filler, 'top')).subarray(0, -1024), { level: 1 })
  const wanted = archiveOf(repository.resolve('main') as Commit, 'top')
  server.settings.lies.archive = Buffer.concat([...Array.from({ length: 11 }, () => part), wanted])
  const revision = JSON.stringify({ ...JSON.parse(listing.revision), size: { files: 1_000_000, bytes: 1_000 } })
  const spent = await counting(server, async () => {
    t.same(await read(config, { ...listing, revision }, context), numbered(20))
  })
  t.same(spent, { tarball: 1, archive: 1, blob: 20 })
})

t.test('branches, tags and commits are followed, and the default branch without any', async (t) => {
  const { repository, server, config, context } = await setUp(t)
  const first = repository.branches.get('main') ?? ''
  const second = repository.commit({ 'new.md': 'New.' }, 'feature/x')
  repository.tags.set('v1', first)
  const web = new URL(server.baseUrl).origin
  const commitOf = async (ref?: string) => (await list(github.config.parse({ ...config, ref }), context)).commit
  t.same(await commitOf(), { repo: `${web}/acme/prompts`, commit: first, branch: null })
  t.match(await commitOf('feature/x'), { commit: second, branch: 'feature/x' })
  t.match(await commitOf('heads/main'), { commit: first, branch: 'main' })
  t.match(await commitOf('v1'), { commit: first })
  t.match(await commitOf(second), { commit: second, branch: null })
})

t.test('a sub-folder is a source of its own', async (t) => {
  const files = {
    'README.md': 'R',
    'apps/bot/a.md': 'A',
    'apps/bot/deep/b.md': 'B',
    'apps/bottom.md': 'no',
    link: symbolicLink('apps'),
  }
  const { config, context, repository } = await setUp(t, files)
  const inFolder = (path: string) => github.config.parse({ ...config, path })
  const listing = await list(inFolder('apps/bot'), context)
  t.same(await read(inFolder('apps/bot'), listing, context), { 'a.md': 'A', 'deep/b.md': 'B' })
  const many = Object.fromEntries(Object.entries(numbered(40)).map(([path, text]) => [`apps/bot/${path}`, text]))
  repository.commit({ ...files, ...many })
  const larger = await list(inFolder('apps/bot'), context)
  t.match(await read(inFolder('apps/bot'), larger, context), { 'a.md': 'A', ...numbered(40) }, 'from an archive, too')
  await t.rejects(list(inFolder('apps/bo'), context), { code: 'source.missing', message: /no folder "apps\/bo"/ })
  await t.rejects(list(inFolder('README.md'), context), { code: 'source.missing' })
  await t.rejects(list(inFolder('link'), context), { code: 'source.missing', message: /symbolic link/ })
})

t.test('a tree that is listed in parts is put together, and a sub-folder of it is reached', async (t) => {
  const files = { ...numbered(12), 'q/r/1.md': '1', 'q/r/2.md': '2', 'root.md': 'R', 'link.md': symbolicLink('root.md') }
  const { server, config, context } = await setUp(t, files)
  server.settings.maxEntries = 12
  const listing = await list(config, context)
  t.same(
    pathsOf(listing),
    Object.keys(files)
      .filter((path) => path !== 'link.md')
      .sort(),
  )
  t.match(listing.ignored, [{ path: 'link.md' }])
  const inFolder = github.config.parse({ ...config, path: 'q/r' })
  t.same(pathsOf(await list(inFolder, context)), ['1.md', '2.md'])
  await t.rejects(list(github.config.parse({ ...config, path: 'q/s' }), context), { code: 'source.missing' })
  server.settings.maxEntries = 10
  await t.rejects(list(config, context), { code: 'source.too_large', message: /folder "p" alone/ })
  const small = await providerContext(t, { limits: { files: 5, fileBytes: 100, totalBytes: 1_000 } })
  const spent = await counting(server, async () => t.rejects(list(config, small), { code: 'source.too_large' }))
  t.same(spent, { commit: 1, tree: 1 })
})

t.test('symbolic links, submodules and hostile paths are ignored, and said to be', async (t) => {
  const { server, repository, config, context } = await setUp(t, {
    'good.md': 'Good.',
    'link.md': symbolicLink('/etc/passwd'),
    module: submodule('1'.repeat(40)),
  })
  const listing = await list(config, context)
  t.same(pathsOf(listing), ['good.md'])
  t.match(listing.ignored, [
    { path: 'link.md', why: /symbolic link/ },
    { path: 'module', why: /submodule/ },
  ])
  const sha = nameOf('blob', Buffer.from('Good.'))
  const hostile = [
    '../x.md',
    '/etc/x.md',
    'a/../../x.md',
    'a\0.md',
    'a\\..\\x.md',
    './x.md',
    'a//x.md',
    '.git/config',
    'x\n.md',
    'long'.repeat(300),
  ]
  const entry = (path: string) => ({ path, mode: '100644', type: 'blob', sha, size: 5 })
  const odd = [{ ...entry('pipe.md'), mode: '010000' }, entry('good.md'), entry('good.md')]
  server.settings.lies.trees.set(repository.resolve('main')?.tree ?? '', [...hostile.map(entry), ...odd])
  const forged = await list(config, context)
  t.same(pathsOf(forged), ['good.md'])
  t.same(
    forged.ignored.map(({ path }) => path),
    [...hostile.map((path) => path.slice(0, 200).replace(/[\0\n]/, '\ufffd')), 'pipe.md', 'good.md'],
    'told in a form that can be stored',
  )
  t.ok(forged.ignored.every(({ why }) => why.length > 5))
})

t.test('a folder of too long a path is told once and not gone into, and its entries are not joined with it', async (t) => {
  const long = 'long'.repeat(300)
  const half = 'half'.repeat(150)
  const files = { ...numbered(12), [`${long}/a.md`]: 'A', [`${half}/${half}/b.md`]: 'B', [`${half}/c.md`]: 'C' }
  const { server, repository, config, context } = await setUp(t, files)
  const good = [`${half}/c.md`, ...Object.keys(numbered(12))].sort()
  const whole = await list(config, context)
  t.same(pathsOf(whole), good)
  t.ok(whole.ignored.every(({ path, why }) => path.length <= 200 && /over 1000 characters/.test(why)))
  const inFolder = github.config.parse({ ...config, path: 'p' })
  t.match(await list(inFolder, context), { files: { length: 12 }, ignored: [] }, 'elsewhere there may be such')
  server.settings.maxEntries = 12
  const spent = await counting(server, async () => {
    const inParts = await list(config, context)
    t.same(pathsOf(inParts), good)
    const told = inParts.ignored.map(({ path }) => path)
    t.ok(told.includes(long.slice(0, 200)))
    t.equal(told.filter((path) => path.startsWith('long')).length, 1)
  })
  t.same(spent, { commit: 1, tree: 4 }, 'all, the root, and two of its three folders')
  const root = repository.resolve('main')?.tree ?? ''
  const sha = '1'.repeat(40)
  server.settings.lies.trees.set(root, [{ path: 'x'.repeat(5_000_000), mode: '040000', type: 'tree', sha }])
  t.match(await list(config, context), { files: [], ignored: [{ path: 'x'.repeat(200), why: /over 1000 characters/ }] })
})

t.test('a hundred thousand files are refused, or listed where so many are allowed, while others get their turn', async (t) => {
  const { server, repository, config, context } = await setUp(t)
  const entry = (index: number) => ({
    path: `folder/file-${index}.md`,
    mode: '100644',
    type: 'blob',
    sha: index.toString(16).padStart(40, '0'),
    size: 9,
  })
  server.settings.lies.trees.set(
    repository.resolve('main')?.tree ?? '',
    Array.from({ length: 100_000 }, (_, index) => entry(index)),
  )
  await t.rejects(list(config, context), { code: 'source.too_large', message: /more than 5000 files/ })
  const wide = await providerContext(t, { limits: { files: 100_000, fileBytes: 100, totalBytes: 10_000_000 } })
  let turns = 0
  const timer = setInterval(() => (turns += 1), 1)
  t.equal((await list(config, wide)).files.length, 100_000)
  clearInterval(timer)
  t.ok(turns >= 10, 'the list was gone through in pieces')
})

t.test('a branch that is missing is told with the default branch, an empty repository as such', async (t) => {
  const { repository, server, config, context } = await setUp(t)
  repository.defaultBranch = 'trunk'
  repository.commit({ 'a.md': 'A' })
  const wrong = github.config.parse({ ...config, ref: 'mian' })
  for (const call of [github.check, list]) {
    await t.rejects(async () => call(wrong, context), { code: 'source.missing', message: /"mian".*default branch is "trunk"/ })
  }
  server.create('acme/empty')
  const empty = github.config.parse({ ...config, repo: 'acme/empty' })
  for (const call of [github.check, list]) {
    await t.rejects(async () => call(empty, context), { code: 'source.missing', message: /is empty/ })
  }
})

t.test('who may not read a repository is told what to do', async (t) => {
  const { repository, server, config, context } = await setUp(t)
  const refused = async (config: any, expected: { code: string; message: RegExp }) => {
    await t.rejects(github.check(config, context), expected)
    await t.rejects(github.list(config, null, context), expected)
  }
  await refused({ ...config, repo: 'acme/none' }, { code: 'source.missing', message: /no public repository.*private/ })
  await refused({ ...config, token }, { code: 'source.denied', message: /refuses the token/ })
  server.settings.token = token
  repository.isPrivate = true
  await refused(config, { code: 'source.missing', message: /private, give a `token`/ })
  await refused({ ...config, token, repo: 'acme/none' }, { code: 'source.missing', message: /token may not see it/ })
  await github.check({ ...config, token }, context)
  server.settings.sso = 'required; url=https://github.com/orgs/acme/sso?authorization_request=SECRET'
  await refused({ ...config, token }, { code: 'source.denied', message: /single sign-on/ })
  server.settings.sso = null
  server.break('echo')
  await refused({ ...config, token }, { code: 'source.denied', message: /Contents: read/ })
  server.mend()
  server.break(401)
  await refused(config, { code: 'source.denied', message: /wants a token/ })
})

t.test('a limit that is used up is told with the seconds until it is reset, an hour at most', async (t) => {
  const { server, config, context } = await setUp(t)
  const { settings } = server
  const seconds = async (config: any) => {
    const error = await github.list(config, null, context).then(
      () => null,
      (error: AppError) => error,
    )
    t.match(error, { code: 'source.limited' })
    return Number(error?.headers['retry-after'])
  }
  settings.limit = { limit: 60, remaining: 0, resetsAt: Math.floor(Date.now() / 1_000) + 1_200 }
  const left = await seconds(config)
  t.ok(left > 1_180 && left <= 1_200, `${left} seconds`)
  await t.rejects(github.check(config, context), { code: 'source.limited', message: /Give a `token`/ })
  settings.limit.resetsAt += 1_000_000
  t.equal(await seconds(config), 3_600)
  settings.limit.resetsAt = 1
  t.equal(await seconds(config), 1)
  settings.limit.remaining = 1_000
  for (const status of [403, 429] as const) {
    settings.secondary = { status, retryAfter: '17' }
    t.equal(await seconds(config), 17)
    settings.secondary = { status, retryAfter: null }
    t.equal(await seconds(config), 60)
  }
  settings.secondary = null
  settings.limit.remaining = 2
  t.equal((await list(config, context)).files.length, 2, 'what is left is used')
})

t.test('a repository that has moved is followed, and said to have', async (t) => {
  const { server, repository, config: open, context } = await setUp(t, numbered(20))
  const config = { ...open, token }
  server.settings.token = token
  repository.isPrivate = true
  server.rename(repo, 'acme/renamed')
  await github.check(config, context)
  t.match(
    context.notes.filter(({ statusCode }) => statusCode === 301),
    [{ what: /"acme\/prompts" has moved/, error: null }],
  )
  const listing = await list(config, context)
  t.same(await read(config, listing, context), numbered(20))
  server.break('elsewhere', 'commit')
  await t.rejects(list(config, context), { code: 'source.invalid', message: /redirects to another place/ })
})

t.test('answers that are none are refused, whichever request they come to', async (t) => {
  const { server, config, context } = await setUp(t)
  const listing = await list(config, context)
  const calls: Record<string, () => Promise<unknown>> = {
    repository: () => github.check(config, context),
    commit: () => list(config, context, listing.revision),
    tree: () => list(config, context),
    blob: () => read(config, listing, context),
  }
  const codes: [Fault, RegExp][] = [
    ['page', /^source\.invalid$/],
    ['garbage', /^source\.invalid$/],
    ['cut', /^source\.unreachable$/],
    [500, /^source\.unreachable$/],
    [502, /^source\.unreachable$/],
    [451, /^source\.denied$/],
    [429, /^source\.limited$/],
    [409, /^source\.(missing|changed|invalid)$/],
    [422, /^source\.(missing|changed|invalid)$/],
  ]
  for (const [fault, code] of codes) {
    for (const [route, call] of Object.entries(calls)) {
      server.break(fault, route as 'blob')
      await t.rejects(call(), { name: 'AppError', code }, `${fault} to ${route}`)
      server.mend()
    }
  }
})

t.test('bytes that are not those of their hash are refused, and a commit that is gone', async (t) => {
  const { server, repository, config, context } = await setUp(t, { 'a.md': 'All of the text.' })
  const listing = await list(config, context)
  const sha = listing.files[0]?.hash ?? ''
  for (const bytes of ['All of', 'All of the test.', '']) {
    server.settings.lies.blobs.set(sha, Buffer.from(bytes))
    await t.rejects(read(config, listing, context), { code: 'source.changed', message: /"a\.md"/ })
  }
  server.settings.lies.blobs.clear()
  repository.blobs.clear()
  await t.rejects(read(config, listing, context), { code: 'source.changed', message: /removed/ })
  repository.trees.clear()
  await t.rejects(list(config, context), { code: 'source.changed' })
})

t.test('when one file fails the others are given up', async (t) => {
  const { server, config, context } = await setUp(t, numbered(10))
  const listing = await list(config, context)
  server.settings.lies.blobs.set(listing.files[0]?.hash ?? '', Buffer.from('x'))
  await t.rejects(read(config, listing, context), AppError)
  for await (const _ of github.read(config, listing.files.slice(1), listing.revision, context)) break
  const notes = context.notes.filter(({ what }) => what.startsWith('p/'))
  t.equal(notes.length, 12, 'six were asked for at a time, and each was waited for')
})

t.test('every request is noted with what came of it', async (t) => {
  const { server, config, context } = await setUp(t)
  await github.check(config, context)
  await read(config, await list(config, context), context)
  t.match(
    context.notes.map(({ what, statusCode }) => `${statusCode} ${what}`),
    [
      '200 GET / of acme/prompts',
      '200 GET /commits/HEAD of acme/prompts',
      '200 GET /commits/HEAD of acme/prompts',
      /^200 GET \/git\/trees\//,
      /200 \w/,
      /200 \w/,
    ],
  )
  t.equal(
    context.notes.length,
    Object.values(server.requests).reduce((sum, count) => sum + count),
  )
})
