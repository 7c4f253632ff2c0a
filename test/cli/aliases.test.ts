import { createServer } from 'node:http'
import t from 'tap'
import { openProject, undoOf } from '../helpers/cli.js'
import { type Service, startService, type Teardown } from '../helpers/service.js'

const shared = await startService(t)

/** Two releases, `one` and `two`, of two prompts, the second of which only the first holds. */
async function pushTwo(service: Service): Promise<void> {
  await service.push({ version: 'one', prompts: ['a', 'b'].map((name) => ({ name, content: `${name} 1` })) })
  await service.push({ version: 'two', prune: true, prompts: [{ name: 'a', content: 'a 2' }] })
}

async function openRegistry(t: Teardown) {
  const { service, slug, shell } = await openProject(t, shared)
  await pushTwo(service)
  const target = async (alias: string, prompt = '') => {
    const { status, body } = await service.call(`/aliases/${alias}${prompt && `?prompt=${prompt}`}`)
    return status === 200 ? (body.version ?? body.release) : null
  }
  return { service, slug, shell, target, run: shell.promptsync }
}

t.test('every change of an alias says what it did, and names the command that undoes it', { buffered: true }, async (t) => {
  const { service, run, target } = await openRegistry(t)

  const made = await run(['alias', 'set', 'production', 'one'])
  t.strictSame(made, {
    code: 0,
    stdout: '',
    stderr: 'Made production, pointing to one (revision 1).\nUndo: promptsync alias delete production\n',
  })
  t.match(await run([...undoOf(made.stderr), '--yes']), {
    code: 0,
    stderr: 'Deleted production, which pointed to one.\nUndo: promptsync alias set production one\n',
  })
  t.equal(await target('production'), null)
  t.match(await run(['alias', 'set', 'production', 'one', '--quiet']), { code: 0, stdout: '', stderr: '' })

  const moved = await run(['alias', 'set', 'production', '--version', 'two', '--reason', 'New b'])
  t.match(
    moved.stderr,
    /^Moved production from one to two \(revision 4\)\.\nWarning: .*b.*\nUndo: promptsync alias rollback production\n$/,
  )
  const again = await run(['alias', 'set', 'production', 'r2'])
  t.match(again, { code: 0, stderr: 'production points to two already. Nothing changed.\n' })

  const back = await run(undoOf(moved.stderr))
  t.match(
    back.stderr,
    /^Rolled production back from two to one \(revision 5\)\.\nWarning: .*\nUndo: promptsync alias set production two\n$/,
  )
  t.equal(await target('production'), 'one')
  t.match(await run(undoOf(back.stderr)), { code: 0 })
  t.equal(await target('production'), 'two')

  const history = await run(['alias', 'history', 'production', '--limit', '3'])
  const rows = history.stdout.trimEnd().split('\n')
  t.strictSame(
    rows.map((row) => row.split('\t').filter((_, index) => [0, 1, 2, 6].includes(index))),
    [
      ['6', 'move', 'two', ''],
      ['5', 'rollback', 'one', ''],
      ['4', 'move', 'two', 'New b'],
    ],
  )
  t.match(history.stderr, 'These are the first 3; there are more.')
  const { body } = await service.call('/aliases/production')
  t.strictSame(JSON.parse((await run(['alias', 'list', '--json'])).stdout), { items: [body], nextCursor: null })
})

t.test('a pin is moved, rolled back and undone by its prompt, in the project that was named', { buffered: true }, async (t) => {
  const { service, slug, run } = await openRegistry(t)
  await service.push({ prompts: [{ name: 'x', content: '1' }] })
  await service.push({ prompts: [{ name: 'x', content: '2' }] })
  const pin = ['--prompt', 'x', '--project', slug]

  await run(['alias', 'set', 'production', 'v2', ...pin])
  const moved = await run(['alias', 'set', 'production', 'v1', ...pin])
  t.match(moved.stderr, 'Moved production of x from v2 to v1 (revision 2).\nWarning: Prompt "x" goes back from v2 to v1.')
  t.match(moved.stderr, `Undo: promptsync alias rollback production --prompt x --project ${slug}\n`)
  const back = await run(undoOf(moved.stderr))
  t.match(back.stderr, 'Rolled production of x back from v1 to v2')
  t.equal((await service.call('/aliases/production?prompt=x')).body.version, 'v2')
  const got = await run(['version', 'get', 'production', ...pin])
  t.match(got, { code: 0, stdout: 'v2\n', stderr: '' })
  const { stdout } = await run(['alias', 'list', ...pin])
  t.match(stdout, /^production\tv2\t3\t\tx\t\S+\n$/)
})

t.test('a dry run tells what a move would do and changes nothing', { buffered: true }, async (t) => {
  const { service, run, target } = await openRegistry(t)
  t.match(
    (await run(['alias', 'set', 'production', 'one', '--dry-run'])).stderr,
    'Would make production, pointing to one.\nNothing was',
  )
  t.equal(await target('production'), null)
  await service.call('/aliases/production', { method: 'PUT', body: { version: 'one' } })
  const { stderr, stdout } = await run(['alias', 'set', 'production', 'two', '--dry-run'])
  t.match(stderr, /^Would move production from one to two\.\nWarning: .*\nNothing was changed\.\n$/)
  t.equal(stdout, '')
  t.equal(await target('production'), 'one')
  t.match(JSON.parse((await run(['alias', 'set', 'production', 'two', '--dry-run', '--json'])).stdout), {
    release: 'two',
    revision: null,
  })
})

t.test('an alias that somebody else moved meanwhile is not moved: exit code 5', { buffered: true }, async (t) => {
  const { service, shell, run, target } = await openRegistry(t)
  await service.call('/aliases/production', { method: 'PUT', body: { version: 'one' } })
  const late = await run(['alias', 'set', 'production', 'two', '--if-revision', '7'])
  t.match(late, { code: 5, stdout: '', stderr: /revision 1, not "7"/ })

  const proxy = await startProxy(t, service, {
    // Between the look of the command and its move.
    beforeChange: () => service.call('/canary', { body: { alias: 'production', version: 'two', percentage: 10 } }),
  })
  for (const args of [
    ['alias', 'rollback', 'production'],
    ['alias', 'delete', 'production', '--yes'],
    ['canary', 'set', 'production', 'two', '50'],
  ]) {
    await service.call('/canary/production', { method: 'DELETE' })
    const ran = await shell.promptsync(args, { env: { PROMPTSYNC_URL: proxy } })
    t.match(ran, { code: 5, stderr: /^promptsync: Alias "production" is at revision \d+, not "\d+"/ }, args.join(' '))
  }
  t.equal(await target('production'), 'one')
  t.match((await service.call('/canary')).body.items, [{ percentage: 10 }])
})

t.test('a push tells of an alias what it did itself, and not what somebody else did meanwhile', { buffered: true }, async (t) => {
  const { service, shell, run } = await openRegistry(t)
  await shell.write({ 'prompts/a.md': 'a 3' })
  const move = () => service.call('/aliases/fresh', { method: 'PUT', body: { version: 'one' } })
  const proxy = await startProxy(t, service, { beforeChange: move })
  const second = await run(['push', '--alias', 'fresh'], { env: { PROMPTSYNC_URL: proxy } })
  t.match(second, { code: 0, stderr: /Moved fresh to \S+ \(revision 2\)\.\nUndo: promptsync alias rollback fresh\n/ })
  await shell.write({ 'prompts/a.md': 'a 4' })
  const third = await run(['push', '--alias', 'fresh'], { env: { PROMPTSYNC_URL: proxy } })
  t.match(third, { code: 0, stderr: /Moved fresh to \S+ \(revision 4\)\./ }, 'it was moved meanwhile: from where is not known')
  t.match(await run(['alias', 'delete', 'fresh', '--yes']), { code: 0 })
  const anew = await run(['push', '--alias', 'fresh'])
  t.match(anew, { code: 0, stderr: /\(revision 6\)\.\nUndo: promptsync alias delete fresh\n/ })
})

/** Passes calls on, and does something before the first of each command that changes anything. Answers its address. */
async function startProxy(
  t: Teardown,
  { url }: Service,
  { beforeChange }: { beforeChange(): Promise<unknown> },
): Promise<string> {
  const server = createServer(async (request, reply) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    if (request.method !== 'GET') await beforeChange()
    const { connection, host, 'content-length': length, ...headers } = request.headers as Record<string, string>
    const body = chunks.length > 0 ? { body: Buffer.concat(chunks) } : {}
    const answer = await fetch(`${url}${request.url}`, { method: request.method ?? 'GET', headers, ...body })
    reply.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' }).end(await answer.text())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise((resolve) => server.close(resolve).closeAllConnections()))
  const address = server.address()
  return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
}

t.test('what is wrong is said with its remedy, and nothing changes', { buffered: true }, async (t) => {
  const { service, slug, run } = await openRegistry(t)
  await service.call('/aliases/production', { method: 'PUT', body: { version: 'one' } })
  const { secret } = await service.createKey({ name: 'reader', project: slug, scopes: ['prompts:read'] })
  const reads = { env: { PROMPTSYNC_TOKEN: secret } }
  const before = await service.countRows()
  for (const [args, code, stderr, options] of [
    [['alias', 'set', 'production', 'tow'], 1, /Did you mean "two"\?/],
    [['alias', 'rollback', 'prodution'], 1, /Did you mean "production"\?/],
    [['alias', 'set', 'production', 'v1', '--prompt', 'aa'], 1, /Did you mean "a"\?/],
    [['alias', 'set', 'production'], 1, 'promptsync alias set ALIAS VERSION'],
    [['alias', 'set', 'production', '--version', ''], 1, 'is empty'],
    [['alias', 'set', 'production', 'one', '--version', 'two'], 1, 'said twice'],
    [['alias', 'set', 'production', 'two', '--if-revision', 'x'], 1, '"x" is no revision'],
    [['alias', 'set', '..', 'two'], 1, '".." is not the name of an alias'],
    [['alias', 'set', 'latest', 'two'], 1, /Choose another name/],
    [['alias', 'rollback', 'production'], 1, /no earlier target/],
    [['alias', 'set', 'production', 'two'], 4, /aliases:write/, reads],
    [['alias', 'delete', 'production'], 1, /Nobody can be asked here\.\nAdd --yes/],
    [['alias', 'list', '--limit', '0'], 1, /whole number from 1/],
  ] as const) {
    const ran = await run([...args], options)
    t.match(ran, { code, stdout: '', stderr }, args.join(' '))
    t.notMatch(ran.stderr, /\n {4}at /)
  }
  t.strictSame(await service.countRows(), before)
})

t.test('on a terminal lists have headings, and a deletion is asked about', { buffered: true }, async (t) => {
  const { service, shell, target } = await openRegistry(t)
  await service.call('/aliases/production', { method: 'PUT', body: { version: 'one' } })
  const list = await shell.onTerminal(['alias', 'list'])
  t.match(list.stdout, /ALIAS +POINTS TO +REVISION/)
  t.match(list.stdout, /production +one +1 /)
  const kept = await shell.onTerminal(['alias', 'delete', 'production'], { stdin: 'n\n' })
  t.match(kept, { code: 1, stdout: /Nothing was changed/ })
  t.equal(await target('production'), 'one')
  const gone = await shell.onTerminal(['alias', 'delete', 'production'], { stdin: 'y\n' })
  t.match(gone, { code: 0, stdout: /Delete production, which points to one\?.*\(y\/N\)/ })
  t.equal(await target('production'), null)
})

t.test('with --json a change prints what the server answered, and nothing else', { buffered: true }, async (t) => {
  const { service, run } = await openRegistry(t)
  const answerOf = async (...args: string[]) => {
    const { code, stdout, stderr } = await run([...args, '--json'])
    t.match({ code, stderr }, { code: 0, stderr: '' }, args.join(' '))
    return JSON.parse(stdout)
  }
  t.match(await answerOf('alias', 'set', 'production', 'one'), { name: 'production', release: 'one', revision: 1, warnings: [] })
  t.match(await answerOf('canary', 'set', 'production', 'two', '5'), { alias: 'production', release: 'two', percentage: 5 })
  t.match(await answerOf('canary', 'promote', 'production'), { release: 'two', canary: null, warnings: [/b/] })
  t.match(await answerOf('alias', 'rollback', 'production'), { release: 'one', revision: 4 })
  await service.call('/canary', { body: { alias: 'production', version: 'two', percentage: 5 } })
  t.match(await answerOf('canary', 'delete', 'production'), { release: 'one', canary: null })
  const { body } = await service.call('/aliases/production/history')
  t.strictSame(await answerOf('alias', 'history', 'production'), body)
  t.match(await answerOf('alias', 'delete', 'production', '--yes'), { name: 'production', release: null })
})
