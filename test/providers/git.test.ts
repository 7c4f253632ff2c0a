import { access, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAllowedHosts } from '../../src/lib/allowed-hosts.js'
import { readGitAddress } from '../../src/lib/git-address.js'
import { git } from '../../src/providers/git.js'
import { withGitRemote } from '../../src/providers/git-remote.js'
import type { ListedFile, Listing, ProviderContext } from '../../src/providers/provider.js'
import { until } from '../helpers/until.js'
import { type Files, type Peer, providerConforms } from './conformance.js'
import { providerContext } from './helpers/context.js'
import { startGitServer } from './helpers/git-server.js'
import { startSshServer } from './helpers/ssh-server.js'

type FullListing = Extract<Listing, { unchanged: false }>

const token = 'correct-horse-battery-staple'

providerConforms(t, { provider: git, makePeer })

async function makePeer(t: Test): Promise<Peer> {
  const server = await startGitServer(t)
  const repository = await server.createRepository('team/prompts.git')
  server.token = token
  const config = { url: server.url(repository.name), token }
  return {
    config,
    write: async (files: Files) => void (await repository.commit(files)),
    breakDown: async (kind) => {
      if (kind === 'away') await server.goAway()
      else server.fault = { kind: 'stall' }
    },
    restore: async () => {
      server.fault = null
      await server.restore()
    },
    wrongCredentials: { ...config, token: 'wrong-horse-battery-staple' },
    echoSecrets: async () => {
      server.fault = { kind: 'status', status: 403, body: ({ headers }) => `fatal: ${headers.authorization}: ${token}` }
    },
  }
}

/** A server with one repository of a few files. */
async function startExample(t: Test, options?: { filters?: boolean }) {
  const server = await startGitServer(t)
  const repository = await server.createRepository('prompts.git', options)
  const commit = await repository.commit({ 'one.md': 'One.', 'prompts/two.md': 'Two.' })
  return { server, repository, commit, url: server.url('prompts.git') }
}

async function list(given: object, context: ProviderContext, previous: string | null = null): Promise<FullListing> {
  const listing = await git.list(git.config.parse(given), previous, context)
  if (listing.unchanged) throw new Error('The listing says that nothing changed.')
  return listing
}

async function read(given: object, { revision }: Listing, files: readonly ListedFile[], context: ProviderContext) {
  const found: Record<string, string> = {}
  for await (const { path, bytes } of git.read(git.config.parse(given), files, revision, context)) found[path] = bytes.toString()
  return found
}

const pathsOf = (files: readonly { path: string }[]) => files.map(({ path }) => path).sort()

t.test('an unchanged repository costs one request, and one changed file no more than that file', async (t) => {
  const { server, repository, url } = await startExample(t)
  const large = { 'large.bin': Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * index * 31) >> 7)) }
  await repository.commit({ 'one.md': 'One.', ...large })
  const before = await list({ url }, await providerContext(t))
  server.requests.length = 0
  const again = await git.list(git.config.parse({ url }), before.revision, await providerContext(t))
  t.same(again, { revision: before.revision, unchanged: true })
  t.equal(server.requests.length, 1)
  await repository.commit({ 'one.md': 'Another one.', ...large })
  const sentBefore = server.sentBytes()
  const context = await providerContext(t)
  const after = await list({ url }, context, before.revision)
  const known = new Set(before.files.map(({ hash }) => hash))
  const changed = after.files.filter(({ hash }) => !known.has(hash))
  t.same(await read({ url }, after, changed, context), { 'one.md': 'Another one.' })
  t.equal(server.requests.length, 6, 'two of them tell what the server can do')
  t.ok(server.sentBytes() - sentBefore < 10_000, 'the other file is not fetched')
  t.same(
    context.notes.map(({ what, statusCode, error }) => ({ what, statusCode, error })),
    [
      { what: 'the commit of the default branch', statusCode: 200, error: null },
      { what: `the folders of commit ${after.commit?.commit.slice(0, 12)}`, statusCode: 200, error: null },
      { what: 'one.md', statusCode: 200, error: null },
    ],
  )
})

t.test('a redirect is told with what most of them are for', async (t) => {
  const { server, url } = await startExample(t)
  server.fault = { kind: 'status', status: 301, headers: { location: url } }
  const context = await providerContext(t)
  const asked = list({ url: url.replace(/\.git$/, '') }, context)
  await t.rejects(asked, { code: 'source.blocked', message: /not followed\. Give the last address; many hosts want .* "\.git"/ })
})

t.test('a branch, a tag and a commit are followed as they are named', async (t) => {
  const { repository, commit, url } = await startExample(t)
  await repository.git(['tag', 'light', commit])
  await repository.git(['tag', '-a', '-m', 'A tag', 'heavy/v1', commit])
  await repository.commit({ 'newer.md': 'Newer.' })
  const side = await repository.commit({ 'side.md': 'Side.' }, { branch: 'feature/side' })
  const at = async (ref?: string) => {
    const { files, commit } = await list({ url, ref }, await providerContext(t))
    return [pathsOf(files), commit?.branch, commit?.repo]
  }
  t.same(await at(), [['newer.md'], 'main', url])
  t.same(await at('main'), [['newer.md'], 'main', url])
  t.same(await at('feature/side'), [['side.md'], 'feature/side', url])
  for (const ref of ['light', 'heavy/v1', commit]) t.same(await at(ref), [['one.md', 'prompts/two.md'], null, url], ref)
  t.equal((await list({ url, ref: 'feature/side' }, await providerContext(t))).commit?.commit, side)
})

t.test('a folder is listed alone, by paths that begin in it', async (t) => {
  const { url } = await startExample(t)
  const config = { url, path: '/prompts/' }
  const context = await providerContext(t)
  await git.check(git.config.parse(config), context)
  const listing = await list(config, context)
  t.same(pathsOf(listing.files), ['two.md'])
  t.same(await read(config, listing, listing.files, await providerContext(t)), { 'two.md': 'Two.' }, 'in another workspace too')
  const whole = await list({ url }, await providerContext(t), listing.revision)
  t.same(pathsOf(whole.files), ['one.md', 'prompts/two.md'], 'a revision is of one folder')
})

t.test('symbolic links and submodules are ignored, and it is said why', async (t) => {
  const { repository, url, commit } = await startExample(t)
  const files = { 'real.md': 'Real.', '.gitmodules': '[submodule "x"]\n\tpath = sub\n\turl = -u./evil\n' }
  await repository.commit(files, { links: { 'link.md': '/etc/passwd' }, submodules: { sub: commit } })
  const context = await providerContext(t)
  const listing = await list({ url }, context)
  t.same(pathsOf(listing.files), ['.gitmodules', 'real.md'])
  t.same(listing.ignored, [
    { path: 'link.md', why: 'It is a symbolic link.' },
    { path: 'sub', why: 'It is a submodule.' },
  ])
  t.same(await read({ url }, listing, listing.files, context), files)
})

t.test('names that are no paths are ignored as well', async (t) => {
  const { repository, url } = await startExample(t)
  const names = [Buffer.from('back\\slash.md'), Buffer.from('new\nline.md'), Buffer.from([0x66, 0xff]), Buffer.from('good.md')]
  const blob = Buffer.from(await repository.git(['hash-object', '-w', '--stdin'], 'Text.'), 'hex')
  const entry = (name: Buffer) => Buffer.concat([Buffer.from('100644 '), name, Buffer.from([0]), blob])
  const content = Buffer.concat(names.sort(Buffer.compare).map(entry))
  const tree = await repository.git(['hash-object', '-t', 'tree', '-w', '--literally', '--stdin'], content)
  await repository.git(['update-ref', 'refs/heads/main', await repository.git(['commit-tree', '-m', 'Odd', tree])])
  const { files, ignored } = await list({ url }, await providerContext(t))
  t.same(pathsOf(files), ['good.md'])
  t.same(pathsOf(ignored), ['back\\slash.md', 'f\ufffd', 'new\nline.md'])
})

t.test('a server that cannot leave files out, or gives none by its hash, is read all the same', async (t) => {
  const { repository, server, url } = await startExample(t, { filters: false })
  await repository.git(['tag', '-a', '-m', 'A tag', 'v1'])
  const context = await providerContext(t)
  const listing = await list({ url }, context)
  t.same(await read({ url }, listing, listing.files, context), { 'one.md': 'One.', 'prompts/two.md': 'Two.' })
  t.equal(server.requests.length, 3, 'nothing is fetched twice')
  for (const [filters, ref] of [
    [true, undefined],
    [false, 'v1'],
  ] as const) {
    await repository.git(['config', 'uploadpack.allowFilter', String(filters)])
    const ssh = await startSshServer(t, { root: server.root, newProtocol: false })
    const config = { ...sshConfig(ssh), ref }
    const context = await providerContext(t)
    const listing = await list(config, context)
    const [first] = listing.files
    t.same(await read(config, listing, first ? [first] : [], context), { 'one.md': 'One.' })
  }
})

const sshConfig = ({ port, sshKey, hostKey }: { port: number; sshKey: string; hostKey: string }) => ({
  url: `ssh://git@127.0.0.1:${port}/prompts.git`,
  sshKey,
  hostKeys: [hostKey],
})

t.test('over ssh the key opens, the host is known by its key, and the key does not stay', async (t) => {
  const { repository, server } = await startExample(t)
  const ssh = await startSshServer(t, { root: server.root })
  const config = sshConfig(ssh)
  const context = await providerContext(t)
  const listing = await list(config, context)
  await repository.commit({ 'other.md': 'Other.' })
  t.same(await read(config, listing, listing.files, context), { 'one.md': 'One.', 'prompts/two.md': 'Two.' })
  t.equal(listing.commit?.repo, config.url)
  t.equal(git.target(git.config.parse(config)), `ssh://127.0.0.1:${ssh.port}`)
  await t.rejects(access(join(context.workspace, 'identity')), { code: 'ENOENT' })
  const refused = async (changes: object, expected: { code: string; message?: RegExp }) => {
    const context = await providerContext(t)
    const changed = git.config.parse({ ...config, ...changes })
    await t.rejects(git.list(changed, null, context), expected)
    await t.rejects(access(join(context.workspace, 'identity')), { code: 'ENOENT' })
  }
  await refused({ sshKey: ssh.strangeKey }, { code: 'source.denied', message: /refuses the key/ })
  await refused({ sshKey: 'no key at all' }, { code: 'source.denied', message: /cannot be used/ })
  const wrongHostKey = ssh.hostKey.replace(/(?<=AAAAI).{12}/, 'AAAAAAAAAAAA')
  await refused({ hostKeys: [wrongHostKey] }, { code: 'source.invalid', message: /`ssh-keyscan -p \d+ 127.0.0.1`/ })
  const ofAnotherHost = ssh.hostKey.replace('127.0.0.1', '127.0.0.2')
  await refused({ hostKeys: [ofAnotherHost] }, { code: 'source.invalid', message: /not among `hostKeys`/ })
  await refused({ url: config.url.replace('prompts', 'none') }, { code: 'source.missing' })
})

t.test('Git goes to the address that was looked up and checked, by a name that nobody else knows', async (t) => {
  const { server } = await startExample(t)
  const ssh = await startSshServer(t, { root: server.root })
  const hostKeys = [ssh.hostKey.replace('127.0.0.1', 'prompts.example')]
  const urls = {
    [`http://prompts.example:${server.port}/prompts.git`]: {},
    [`ssh://prompts.example:${ssh.port}/prompts.git`]: { sshKey: ssh.sshKey, hostKeys },
  }
  const resolve = async () => [{ address: '127.0.0.1', family: 4 }]
  for (const [url, credentials] of Object.entries(urls)) {
    const address = readGitAddress(url)
    if ('problem' in address) throw new Error(address.problem)
    const ask = (context: ProviderContext) =>
      withGitRemote(
        address,
        credentials,
        context,
        (remote) => remote.ask({ what: 'refs', args: ['ls-remote', 'origin'] }),
        resolve,
      )
    const context = await providerContext(t, { allowedHosts: createAllowedHosts(['prompts.example']) })
    t.match((await ask(context)).output.toString(), /refs\/heads\/main/)
    await t.rejects(ask(await providerContext(t)), { code: 'source.blocked', message: /not public|plain http/ })
  }
})

t.test('settings of the machine, of its user and of this process change nothing', async (t) => {
  const { url } = await startExample(t)
  const hostile = {
    GIT_DIR: '/nowhere',
    GIT_CONFIG_PARAMETERS: "'http.proxy'='http://127.0.0.1:1'",
    GIT_SSH_COMMAND: 'false',
    http_proxy: 'http://127.0.0.1:1',
    GIT_TRACE: '1',
  }
  for (const [name, value] of Object.entries(hostile)) process.env[name] = value
  t.teardown(() => {
    for (const name of Object.keys(hostile)) delete process.env[name]
  })
  const context = await providerContext(t)
  const listing = await list({ url }, context)
  t.same(Object.keys(await read({ url }, listing, listing.files, context)), ['one.md', 'prompts/two.md'])
})

t.test('no program shows the token in its arguments, and none is left when the call is aborted in mid-pack', async (t) => {
  const { server, url } = await startExample(t)
  server.token = token
  server.fault = { kind: 'stall', at: 'pack', afterBytes: 60 }
  const reached = server.faultReached()
  const abort = new AbortController()
  const context = await providerContext(t, { signal: abort.signal })
  const listing = git.list(git.config.parse({ url, token }), null, context)
  await reached
  const running = await programsIn(context.workspace)
  // Where the system does not tell, there is nothing to see for others either.
  t.notOk(
    running.some((text) => text.includes(token) || text.includes(Buffer.from(`x-access-token:${token}`).toString('base64'))),
  )
  abort.abort()
  await t.rejects(listing, { code: 'source.unreachable', message: /stopped/ })
  await until('all programs have ended', 2_000, async () => (await programsIn(context.workspace)).length === 0)
})

/** The arguments of the programs that run in a directory. */
async function programsIn(directory: string): Promise<string[]> {
  const ids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
  const told = ids.map(async (id) => {
    const environment = await readFile(`/proc/${id}/environ`, 'utf8').catch(() => '')
    return environment.includes(directory) ? [await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')] : []
  })
  return (await Promise.all(told)).flat()
}
