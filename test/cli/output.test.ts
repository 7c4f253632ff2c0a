import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { curlOf } from '../../src/cli/server/curl.js'
import { createOutput } from '../../src/cli/terminal/output.js'
import { bin, openShell, serviceEnv } from '../helpers/cli.js'
import { startService } from '../helpers/service.js'

// Starting processes is mostly waiting.
t.jobs = 2

const escapeCode = '\u001b'

t.test('data goes to stdout and the rest to stderr, for people and for programs', { buffered: true }, async (t) => {
  const service = await startService(t)
  const shell = await openShell(t, serviceEnv(service, service.adminKey))
  await service.push({ version: 'one', alias: 'production', prompts: [{ name: 'a', content: 'A' }] })

  await t.test('a list is a table with headings on a terminal, and cells between tabs in a pipe', async (t) => {
    const piped = await shell.promptsync(['alias', 'list'])
    t.match(piped, { code: 0, stderr: '', stdout: /^production\t.*one/ })
    t.notMatch(piped.stdout, escapeCode)
    const shown = (await shell.onTerminal(['alias', 'list'])).stdout
    t.match(shown, /ALIAS|NAME/)
    t.match(shown, escapeCode)
    t.notMatch(shown, '\t')
    for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }] as Record<string, string>[]) {
      const plain = (await shell.onTerminal(['alias', 'list'], { env })).stdout
      t.notMatch(plain, `${escapeCode}[2m`, JSON.stringify(env))
      t.match(plain, /ALIAS|NAME/)
    }
    t.notMatch((await shell.promptsync(['alias', 'list'], { env: { NO_COLOR: '' } })).stdout, escapeCode)
  })

  await t.test('columns of a table on a terminal stand below each other, of wide characters too', async (t) => {
    await service.push({
      prompts: [
        { name: '客服', content: 'A' },
        { name: 'cafe\u0301'.normalize('NFC'), content: 'B' },
      ],
    })
    const shown = (await shell.onTerminal(['list'], { env: { NO_COLOR: '1' } })).stdout.split('\r\n')
    const widths = ['客服  ', 'café  ', 'a     '].map((cell) => shown.some((line) => line.startsWith(cell)))
    t.same(widths, [true, true, true], shown.join('\n'))
  })

  await t.test('--json prints the answer alone, --quiet leaves out what is no data', async (t) => {
    const list = await shell.promptsync(['alias', 'list', '--json'])
    t.match(JSON.parse(list.stdout), { items: [{ name: 'production', release: 'one' }] })
    const made = await shell.promptsync(['alias', 'set', 'dev', 'one', '--json'])
    t.match(JSON.parse(made.stdout), { name: 'dev', release: 'one' })
    const quiet = await shell.promptsync(['alias', 'set', 'next', 'one', '--quiet'])
    t.same(quiet, { code: 0, stdout: '', stderr: '' })
    const loud = await shell.promptsync(['alias', 'set', 'other', 'one'])
    t.match(loud, { code: 0, stdout: '', stderr: /\nUndo: promptsync alias delete other\n$/ })
    t.match(await shell.promptsync(['alias', 'set', 'other', 'nope', '--quiet']), { code: 1, stderr: /nope/ }, 'errors stay')
  })

  await t.test('what others wrote steers no terminal: in tables, lines, errors and JSON it is made visible', async (t) => {
    const steering = [`${escapeCode}[2J`, '\u009b', '\u202e']
    const evil = `m${escapeCode}[2J\u009b31m\u202e`
    await service.push({ message: evil, prompts: [{ name: 'evil', title: evil, content: evil }] })
    for (const args of [
      ['list', '--search', 'evil'],
      ['release', 'list'],
      ['release', 'show', 'latest'],
      ['status'],
      ['get', 'evil', 'latest'],
    ]) {
      const { stdout } = await shell.onTerminal(args, { env: { NO_COLOR: '1' } })
      for (const code of steering) t.notMatch(stdout, code, args.join(' '))
      t.match(stdout, /m\\x1b\[2J/, args.join(' '))
    }
    const piped = await shell.promptsync(['release', 'list'])
    t.match(piped.stdout, 'm\\x1b[2J\\x9b31m\\u202e')
    const json = await shell.promptsync(['release', 'list', '--limit', '1', '--json'])
    for (const code of steering) t.notMatch(json.stdout, code)
    t.match(JSON.parse(json.stdout), { items: [{ message: evil }] })
    t.equal((await shell.promptsync(['get', 'evil', 'latest', '--text'])).stdout, evil, 'a pipe gets every byte')
  })

  await t.test('--curl shows requests that work when pasted, with the key by its variable', async (t) => {
    const ran = await shell.promptsync(['alias', 'set', 'curled', 'one', '--reason', "it's $HOME", '--curl'])
    t.notMatch(ran.stderr, service.adminKey)
    const lines = ran.stderr.split('\n').filter((line) => line.startsWith('curl '))
    t.match(lines.at(-1), /^curl -X PUT 'http.*\/aliases\/curled' .*-H "Authorization: Bearer \$PROMPTSYNC_TOKEN"/)
    t.match((await service.call('/aliases/curled/history')).body.items[0], { reason: "it's $HOME" })
    await service.call('/aliases/curled', { method: 'DELETE' })
    const env = { PATH: process.env.PATH, PROMPTSYNC_TOKEN: service.adminKey }
    const { stdout } = await promisify(execFile)('sh', ['-c', `${lines.at(-1)} -s`], { env })
    t.match(JSON.parse(stdout), { name: 'curled', release: 'one' })
  })
})

t.test('nobody is bothered when the reader of the output has enough', { buffered: true }, async (t) => {
  const { status, stderr } = spawnSync(
    'bash',
    ['--norc', '-c', `set -o pipefail; '${process.execPath}' '${bin}' help | head -c 1 >/dev/null`],
    {
      encoding: 'utf8',
    },
  )
  t.match({ status, stderr }, { status: 0, stderr: '' })
  const shell = await openShell(t)
  await shell.write(Object.fromEntries(Array.from({ length: 1_500 }, (_, index) => [`prompts/p${index}.txt`, '{{ never closed'])))
  const line = `set -o pipefail; '${process.execPath}' '${bin}' validate --offline | head -1`
  const invalid = spawnSync('bash', ['--norc', '-c', line], { encoding: 'utf8', cwd: shell.directory })
  t.match(invalid, { status: 3, stdout: /^prompts\/p0\.txt:1:1: error/, stderr: '1,500 files: 1,500 errors.\n' })
})

t.test('output that a full disk takes no more of is an error', async (t) => {
  const shell = await openShell(t)
  const line = `'${process.execPath}' '${bin}' init --json > /dev/full`
  const ran = spawnSync('bash', ['--norc', '-c', line], { encoding: 'utf8', cwd: shell.directory })
  t.match(ran, { status: 1, stderr: /promptsync: The output cannot be written: ENOSPC: no space left on device/ })
  t.notMatch(ran.stderr, /\n {4}at /)
})

t.test('progress stays in one line of a terminal, however narrow, so that all of it is taken away', async (t) => {
  const shown = (columns: number | undefined) => {
    let written = ''
    const stream = { isTTY: true, columns, write: (text: string) => (written += text) } as unknown as NodeJS.WriteStream & {
      fd: 1 & 2
    }
    const output = createOutput({ stdout: stream, stderr: stream }, { json: false, quiet: false, env: {} })
    output.progress('Sending 客服 to http://127.0.0.1:3000 …')
    return written.replace(`\r${escapeCode}[K`, '')
  }
  t.equal(shown(80), 'Sending 客服 to http://127.0.0.1:3000 …')
  t.equal(shown(undefined), 'Sending 客服 to http://127.0.0.1:3000 …')
  t.equal(shown(14), 'Sending 客服…')
  t.equal(shown(13), 'Sending 客…', 'a wide character takes two columns')
  t.equal(shown(1), '…')
})

t.test('the curl line of a source holds none of its secrets', async (t) => {
  const config = {
    ...{ token: 'hush-1', sshKey: 'hush-2', headers: { authorization: 'hush-3', 'x-key': 'hush-4' }, ref: 'main' },
    url: 'postgres://ada:hush-5/hush@hush@db.example.com/prompts',
  }
  const body = JSON.stringify({ provider: 'git', config, webhookSecret: 'hush-6' })
  const line = curlOf({ method: 'PUT', url: 'http://127.0.0.1:3000/sources/team', headers: {}, body })
  t.notMatch(line, 'hush')
  t.match(line, '"url":"postgres://***@db.example.com/prompts"')
  t.match(line, '"ref":"main"')
  for (const url of ['postgres://db.example.com/prompts?user=ada&password=hush-7', 'host=db.example.com password=hush-8']) {
    const database = JSON.stringify({ provider: 'database', config: { url, query: 'select 1' } })
    t.notMatch(curlOf({ method: 'PUT', url: 'http://127.0.0.1:3000/sources/cms', headers: {}, body: database }), 'hush', url)
  }
  const long = curlOf({ method: 'POST', url: 'http://127.0.0.1:3000/prompts', headers: {}, body: `"${'x'.repeat(30_000)}"` })
  t.equal(long, "curl 'http://127.0.0.1:3000/prompts' -d @body.json # 30002 characters of JSON")
})
