import t from 'tap'
import { openShell, serviceEnv } from '../helpers/cli.js'
import { startService } from '../helpers/service.js'

const commit = 'c0ffee0000000000000000000000000000000001'

t.test('releases and versions are listed, and the ref alone is printed for scripts', async (t) => {
  const service = await startService(t)
  const shell = await openShell(t, serviceEnv(service, service.adminKey))
  const run = shell.promptsync
  const git = { repo: 'https://github.com/acme/app', commit, branch: 'main', dirty: true }
  const many = Array.from({ length: 230 }, (_, index) => ({ name: `p${index}`, content: `${index}` }))
  await service.push({ version: 'v-one', alias: 'dev', message: 'The first\nof all', git, prompts: many })
  await service.push({ prompts: [{ name: 'p0', content: 'again' }] })

  for (const ref of ['dev', 'r1', 'v-one', commit.slice(0, 7)])
    t.match(await run(['version', 'get', ref]), { code: 0, stdout: 'v-one\n', stderr: '' }, ref)
  t.match(await run(['version', 'get', 'latest']), { code: 0, stdout: 'r2\n' })
  t.match(await run(['version', 'get', 'latest', '--prompt', 'p0']), { code: 0, stdout: 'v2\n' })
  t.strictSame(JSON.parse((await run(['version', 'get', 'dev', '--json'])).stdout), {
    ...{ ref: 'dev', release: 'v-one', prompt: null, version: null },
  })

  const list = await run(['release', 'list'])
  const [second = '', first = ''] = list.stdout.split('\n').map((row) => row.split('\t'))
  t.strictSame([second[0], second[1], first[0], first[1]], ['r2', 'r2', 'v-one', 'r1'])
  t.strictSame(first.slice(3), [commit, 'main', 'PROMPTSYNC_ADMIN_KEY', 'The first of all'])
  const limited = await run(['release', 'list', '--limit', '1', '--json'])
  t.match(JSON.parse(limited.stdout), { items: [{ ref: 'r2' }], nextCursor: String })

  const show = await run(['release', 'show', 'dev'])
  t.equal(show.stdout.trimEnd().split('\n').length, 230)
  t.match(show.stdout, /^p0\tv-one\tv1$/m)
  t.match(
    show.stderr,
    /^Release v-one \(r1\): 230 prompts, made \S+ by .*\nFrom commit c0ffee0\d+ on main of https:\/\/github\.com\/acme\/app with changes\.\nMessage: The first/,
  )
  t.match(JSON.parse((await run(['release', 'show', 'v-one', '--json'])).stdout), {
    promptCount: 230,
    items: { length: 230 },
    nextCursor: null,
  })

  const versions = await run(['version', 'list', 'p0'])
  t.match(versions.stdout, /^v2\tv2\tr2\ttext\t.*\nv-one\tv1\tv-one\ttext\t/)
  t.match(await shell.onTerminal(['version', 'list', 'p0']), { code: 0, stdout: /VERSION +NUMBER +FIRST IN/ })

  t.match(await run(['release', 'show', 'v-on']), { code: 1, stdout: '', stderr: /Did you mean "v-one"\?/ })
  t.match(await run(['version', 'list', 'p00']), { code: 1, stdout: '', stderr: /Did you mean "p/ })
})
