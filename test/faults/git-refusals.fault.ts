import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAllowedHosts } from '../../src/lib/allowed-hosts.js'
import { readGitAddress } from '../../src/lib/git-address.js'
import { packageRoot } from '../../src/lib/package-root.js'
import { git } from '../../src/providers/git.js'
import { withGitRemote } from '../../src/providers/git-remote.js'
import type { ProviderContext } from '../../src/providers/provider.js'
import { providerContext } from '../providers/helpers/context.js'
import { type GitFault, type GitRepository, startGitServer } from '../providers/helpers/git-server.js'
import { startSshServer } from '../providers/helpers/ssh-server.js'

async function startExample(t: Test) {
  const server = await startGitServer(t)
  const repository = await server.createRepository('prompts.git')
  const commit = await repository.commit({ 'one.md': 'One.', 'prompts/two.md': 'Two.' })
  return { server, repository, commit, url: server.url('prompts.git') }
}

/** Lists, and reads all that is listed. */
async function take(given: object, context: ProviderContext): Promise<void> {
  const config = git.config.parse(given)
  const listing = await git.list(config, null, context)
  if (listing.unchanged) throw new Error('The listing says that nothing changed.')
  for await (const { bytes } of git.read(config, listing.files, listing.revision, context)) bytes.toString()
}

t.test('only addresses of Git on another host are taken, without credentials in them', (t) => {
  const url = (text: string) => git.config.safeParse({ url: text })
  const keys = { sshKey: 'key', hostKeys: ['host ssh-ed25519 AAAA'] }
  const good = {
    'https://GitHub.com/acme/prompts.git/': 'https://github.com',
    'https://git.example:8443/prompts': 'https://git.example:8443',
    'http://[2606:4700::1]/prompts': 'http://[2606:4700::1]',
    'ssh://git@git.example/acme/prompts': 'ssh://git.example',
    'ssh://git.example:2222/~me/prompts': 'ssh://git.example:2222',
    'git@git.example:acme/prompts.git': 'ssh://git.example',
    'me@[2606:4700::1]:prompts': 'ssh://[2606:4700::1]',
  }
  for (const [text, target] of Object.entries(good)) {
    const config = git.config.parse({ url: text, ...(target.startsWith('ssh') ? keys : {}) })
    t.equal(git.target(config), target, text)
  }
  const local = ['/etc', './x', 'file:///etc', 'C:\\x', 'prompts', 'ext::sh -c id', 'ext::id', 'git://git.example/x', 'fd::1']
  const options = ['-oProxyCommand=id:x', '--upload-pack=id', 'ssh://-oProxyCommand=id/x', 'git@-x:y', 'git@host:-x', '-x@host:y']
  const odd = [
    'https://',
    'https://git.example',
    'https://git.example/',
    'ssh://git.example',
    'git@git.example:',
    'ssh://h:99999/x',
  ]
  const quoting = [
    "ssh://a'b/x",
    'ssh://a;id/x',
    'a b@host:x',
    'https://git.example/x y',
    'https://git.example/x\ny',
    'git@a$(id):x',
  ]
  for (const text of [...local, ...options, ...odd, ...quoting]) t.notOk(url(text).success, text)
  const secrets = ['https://me:password1@git.example/x', 'https://password1@git.example/x', 'ssh://me:password1@git.example/x']
  for (const text of secrets) {
    const message = url(text).error?.message ?? ''
    t.match(message, /Leave (them|it) out/, text)
    t.notMatch(message, /password1/)
  }
  t.match(url('https://git.example/x?token=password1').error?.message, /Leave the query out/)
  t.end()
})

t.test('credentials fit the address, and names are such of Git', (t) => {
  const https = 'https://git.example/x'
  const ssh = 'git@git.example:x'
  const hostKeys = ['git.example ssh-ed25519 AAAA comment', '|1|a=|b= ecdsa-sha2-nistp256 AAAA==']
  const taken = (config: object) => git.config.safeParse(config).success
  t.ok(taken({ url: https, token: 'secret', username: 'me', ref: 'feature/a-b_c.1', path: '/prompts/客服/' }))
  t.ok(taken({ url: ssh, sshKey: 'key', hostKeys }))
  const refs = [
    '-x',
    'a..b',
    'a b',
    'a~1',
    'a^',
    'a:b',
    'a*',
    'x.lock',
    '/a',
    'a/',
    'a//b',
    '@',
    'a@{1}',
    '.a',
    'a/.b',
    'a\\b',
    'a\n',
  ]
  for (const ref of refs) t.notOk(taken({ url: https, ref }), ref)
  for (const path of ['..', 'a/../b', 'a//b', './a', 'a\\b', 'a\nb']) t.notOk(taken({ url: https, path }), path)
  t.notOk(taken({ url: https, token: 'two\nlines' }))
  t.notOk(taken({ url: https, username: 'a:b' }))
  t.notOk(taken({ url: https, sshKey: 'key' }))
  t.notOk(taken({ url: ssh, sshKey: 'key', hostKeys, token: 'secret' }))
  t.match(git.config.safeParse({ url: ssh }).error?.issues, [{ path: ['sshKey'] }, { path: ['hostKeys'] }])
  for (const line of ['AAAA', 'host\nother ssh-rsa AAAA', '@cert-authority * ssh-rsa AAAA', '# host ssh-rsa AAAA']) {
    t.notOk(taken({ url: ssh, sshKey: 'key', hostKeys: [line] }), line)
  }
  t.end()
})

t.test('what is no repository, or has not what is named, is refused with what to do', async (t) => {
  const { server, repository, url } = await startExample(t)
  const refused = async (config: object, code: string, message: RegExp) => {
    await t.rejects(take(config, await providerContext(t)), { code, message }, String(message))
    await t.rejects(git.check(git.config.parse(config), await providerContext(t)), { code }, `check: ${message}`)
  }
  await repository.git(['branch', 'develop'])
  await refused({ url, ref: 'develp' }, 'source.missing', /has no branch or tag "develp". Did you mean "develop"\?/)
  await refused({ url, ref: 'production' }, 'source.missing', /Did you mean "main"\?/)
  await refused({ url, ref: '1'.repeat(40) }, 'source.missing', /does not hand out commit 1{40}/)
  await refused({ url, path: 'prompt' }, 'source.missing', /no folder "prompt"/)
  await refused({ url, path: 'one.md' }, 'source.missing', /no folder "one.md"/)
  await refused({ url, ref: await repository.git(['rev-parse', 'main:one.md']) }, 'source.invalid', /is no commit/)
  await repository.git(['symbolic-ref', 'HEAD', 'refs/heads/gone'])
  await refused({ url }, 'source.missing', /no default branch. Give one as `ref`: "develop"/)
  await server.createRepository('empty.git')
  await refused({ url: server.url('empty.git') }, 'source.invalid', /holds no branch so far/)
  await refused({ url: server.url('none.git') }, 'source.missing', /no repository at .*none\.git, or it is private/)
  server.fault = {
    kind: 'status',
    status: 200,
    headers: { 'content-type': 'text/html' },
    body: () => '<html>\nWelcome.\n</html>\n',
  }
  await refused({ url }, 'source.invalid', /does not answer as a Git server does/)
})

t.test('what a host answers is told as what it means', async (t) => {
  const { server, url } = await startExample(t)
  const meanings: [status: number, code: string, message: RegExp, config?: object][] = [
    [301, 'source.blocked', /redirects/],
    [302, 'source.blocked', /redirects/],
    [401, 'source.denied', /is private, or not there/],
    [401, 'source.denied', /refuses the token/, { token: 'secret-token' }],
    [403, 'source.denied', /refuses access/],
    [404, 'source.missing', /no repository/],
    [410, 'source.invalid', /refuses the request/],
    [429, 'source.limited', /limits our calls/],
    [502, 'source.unreachable', /error of its own/],
  ]
  for (const [status, code, message, config] of meanings) {
    server.requests.length = 0
    const headers = { location: `${server.origin}/other.git`, 'www-authenticate': 'Basic realm="x"' }
    server.fault = {
      kind: 'status',
      status,
      headers,
      body: () => 'fatal: certificate has expired. Host key verification failed.',
    }
    const context = await providerContext(t)
    await t.rejects(git.check(git.config.parse({ url, ...config }), context), { code, message }, String(status))
    t.match(context.notes, [{ statusCode: status, error: message }])
    t.equal(server.requests.length, 1, 'nothing is tried again, and no redirect is followed')
  }
})

t.test('an answer that is cut off or stops is an error, wherever that happens', async (t) => {
  const { server, repository, url } = await startExample(t)
  await repository.commit({ 'noise.bin': randomBytes(100_000) })
  const places = [
    { afterBytes: 0 },
    { at: 'refs', afterBytes: 60 },
    { at: 'pack', afterBytes: 0 },
    { at: 'pack', afterBytes: 90 },
  ] as const
  for (const place of places) {
    server.fault = { kind: 'cut', ...place }
    const message = /broke the connection/
    await t.rejects(take({ url }, await providerContext(t)), { code: 'source.unreachable', message }, JSON.stringify(place))
  }
  const stalled: GitFault = { kind: 'stall', at: 'pack', afterBytes: 90 }
  server.fault = stalled
  const slow = await providerContext(t, { requestTimeoutMs: 500 })
  await t.rejects(take({ url }, slow), { code: 'source.unreachable', message: /did not answer wholly within 500 ms/ })
  server.fault = null
  const context = await providerContext(t, { requestTimeoutMs: 5_000 })
  const config = git.config.parse({ url })
  const listing = await git.list(config, null, context)
  server.fault = { kind: 'cut', at: 'pack', afterBytes: 20_000 }
  const files = listing.unchanged ? [] : listing.files
  const reading = async () => {
    for await (const { bytes } of git.read(config, files, listing.revision, context)) t.fail(`${bytes.length} bytes came`)
  }
  await t.rejects(reading(), { code: 'source.unreachable', message: /broke the connection/ })
  server.fault = null
  await take({ url }, context)
})

t.test('addresses that are not public are refused before anything is sent', async (t) => {
  const { server, url } = await startExample(t)
  const allowedHosts = createAllowedHosts([])
  const keys = { sshKey: 'key', hostKeys: ['host ssh-ed25519 AAAA'] }
  const blocked = async (config: object, allowed = allowedHosts) => {
    const context = await providerContext(t, { allowedHosts: allowed })
    await t.rejects(
      take(config, context),
      { code: 'source.blocked', message: /PROMPTSYNC_ALLOWED_HOSTS/ },
      JSON.stringify(config),
    )
  }
  await blocked({ url }, createAllowedHosts([`127.0.0.1:${server.port + 1}`]))
  for (const host of ['127.0.0.1', 'localhost', '169.254.169.254', '[::1]', '[::ffff:127.0.0.1]', '2130706433', '0x7f.1']) {
    await blocked({ url: `https://${host}:${server.port}/prompts.git` })
    const shell = `ssh://git@${host}:${server.port}/prompts.git`
    if (git.config.safeParse({ url: shell, ...keys }).success) await blocked({ url: shell, ...keys })
  }
  await blocked({ url: 'http://github.com/acme/prompts' })
  t.same(server.requests, [])
})

t.test('a certificate has to be trusted, in time and of the right name', async (t) => {
  const fixture = (name: string) => join(packageRoot, 'test/fixtures/tls', `${name}.pem`)
  const key = await readFile(fixture('key'))
  const ask = async (certificate: string, authority: string) => {
    const server = createServer({ key, cert: await readFile(fixture(certificate)) }, (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-advertisement' })
      const lines = ['# service=git-upload-pack\n', '', `${'0'.repeat(40)} capabilities^{}\0agent=test\n`, '']
      response.end(lines.map((line) => (line === '' ? '0000' : (line.length + 4).toString(16).padStart(4, '0') + line)).join(''))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => server.close())
    const address = readGitAddress(`https://127.0.0.1:${(server.address() as { port: number }).port}/x`)
    if ('problem' in address) throw new Error(address.problem)
    const settings = { 'http.sslCAInfo': fixture(authority) }
    const context = await providerContext(t)
    const request = { what: 'refs', args: ['ls-remote', 'origin'], settings: { ...settings, 'protocol.version': '0' } }
    return withGitRemote(address, {}, context, async (remote) => (await remote.ask(request)).error)
  }
  t.equal(await ask('loopback', 'authority'), null)
  t.match(await ask('self-signed', 'authority'), { code: 'source.invalid', message: /certificate .* not trusted/ })
  t.match(await ask('expired', 'authority'), { code: 'source.invalid', message: /certificate .* expired/ })
  t.match(await ask('other-name', 'authority'), { code: 'source.invalid', message: /certificate .* another name/ })
})

t.test('more than is taken is refused as soon as that is seen', async (t) => {
  const { server, repository, url } = await startExample(t)
  const limits = { files: 5_000, fileBytes: 1024 * 1024, totalBytes: 8 * 1024 * 1024 }
  const refused = async (over: object, message: RegExp) => {
    const context = await providerContext(t, { limits: { ...limits, ...over } })
    await t.rejects(take({ url }, context), { code: 'source.too_large', message }, String(message))
  }
  await repository.commit({ 'small.md': 'Small.', 'large.md': Buffer.alloc(5 * 1024 * 1024) })
  await refused({}, /"large.md" has 5242880 bytes, over the limit of 1048576/)
  await repository.commit({ 'small.md': 'Small.', 'noise.bin': randomBytes(3_000_000) })
  // What comes after that never comes, so nothing can wait for it.
  server.fault = { kind: 'stall', at: 'pack', afterBytes: 2_000_000 }
  await refused({ totalBytes: 100_000 }, /2 files: more than the limit of 100000 bytes/)
  server.fault = null
  await commitMany(repository, 100_000)
  await refused({}, /holds 100000 files, over the limit of 5000. Give a smaller folder as `path`/)
})

/** So many files of one content. */
async function commitMany(repository: GitRepository, count: number): Promise<void> {
  const names = Array.from({ length: count }, (_, index) => `M 100644 :1 d${index % 100}/f${index}.md`)
  const blob = 'blob\nmark :1\ndata 1\nx\n'
  const commit = 'commit refs/heads/main\ncommitter Test <test@example.com> 1700000000 +0000\ndata 4\nMany\ndeleteall\n'
  await repository.git(['fast-import', '--quiet', '--force', '--done'], `${blob}${commit}${names.join('\n')}\ndone\n`)
}

t.test('a tree that leads out of its folder is refused by Git itself', async (t) => {
  const { repository, url } = await startExample(t)
  const blob = Buffer.from(await repository.git(['hash-object', '-w', '--stdin'], 'Text.'), 'hex')
  const content = Buffer.concat([Buffer.from('100644 ..\0'), blob])
  const tree = await repository.git(['hash-object', '-t', 'tree', '-w', '--literally', '--stdin'], content)
  await repository.git(['update-ref', 'refs/heads/main', await repository.git(['commit-tree', '-m', 'Hostile', tree])])
  await t.rejects(take({ url }, await providerContext(t)), { code: 'source.invalid', message: /Git refuses as broken/ })
})

t.test('a machine without Git or ssh, or with an old Git, is told so', async (t) => {
  const { server, url } = await startExample(t)
  const ssh = await startSshServer(t, { root: server.root })
  const path = process.env.PATH
  t.teardown(() => (process.env.PATH = path))
  const context = await providerContext(t)
  const bin = join(context.workspace, 'bin')
  await mkdir(bin)
  process.env.PATH = bin
  await t.rejects(take({ url }, context), { code: 'source.unreachable', message: /"git" is not installed/ })
  await writeFile(join(bin, 'git'), '#!/bin/sh\necho git version 2.36.9\n', { mode: 0o755 })
  await t.rejects(take({ url }, context), { code: 'source.unreachable', message: /is 2.36.9. Have 2.37 or a newer one/ })
  await rm(join(bin, 'git'))
  await symlink(await findProgram('git', path ?? ''), join(bin, 'git'))
  const config = { url: `ssh://git@127.0.0.1:${ssh.port}/prompts.git`, sshKey: ssh.sshKey, hostKeys: [ssh.hostKey] }
  await t.rejects(take(config, context), { code: 'source.unreachable', message: /"ssh" is not installed/ })
})

async function findProgram(name: string, path: string): Promise<string> {
  const places = path.split(':').map((directory) => join(directory, name))
  const found = await Promise.all(
    places.map((place) =>
      readFile(place).then(
        () => [place],
        () => [],
      ),
    ),
  )
  return found.flat()[0] ?? name
}
