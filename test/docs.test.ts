import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { errorTable } from '../src/errors.js'
import { startService } from './helpers/service.js'

const pages = [
  'README.md',
  'docs/resolution.md',
  'docs/pushing.md',
  'docs/files.md',
  'docs/keys.md',
  'docs/operating.md',
  'docs/errors.md',
]

/** The shell blocks of a page, but for those that install and start. */
async function commandsOf(page: string): Promise<string[]> {
  const text = await readFile(page, 'utf8')
  return [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = '']) => block).filter((block) => !block.includes('npm '))
}

/** Runs a script; curl fails on every status of 400 or more. */
function runShell(script: string, cwd: string): Promise<{ code: number | null; output: string }> {
  const prelude = 'set -eu\ncurl() { command curl --silent --show-error --fail-with-body "$@"; echo; }\n'
  const child = spawn('bash', ['--norc', '-c', prelude + script], { cwd, env: { PATH: process.env.PATH ?? '' } })
  let output = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  child.stderr.on('data', (chunk) => (output += chunk))
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, output })))
}

t.test('every command in the documents works, in their order', async (t) => {
  const service = await startService(t)
  // The documents speak of the embedded database, whose default project can be read without a key.
  await service.call('/projects/default', { method: 'PATCH', body: { settings: { publicRead: true } } })
  const directory = await mkdtemp(join(tmpdir(), 'promptsync-docs-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  await mkdir(join(directory, '.promptsync'))
  await writeFile(join(directory, '.promptsync', 'admin-key'), `${service.adminKey}\n`)

  for (const page of pages) {
    const blocks = await commandsOf(page)
    t.ok(blocks.length > 0, `${page} has commands`)
    const script = `URL=${service.url}\nKEY=${service.adminKey}\n${blocks.join('\n')}`.replaceAll('localhost:3000', service.url)
    const { code, output } = await runShell(script, directory)
    t.equal(code, 0, `${page}\n${output}`)
  }
})

t.test('the page of errors lists every code, with its status and title, and what to do', async (t) => {
  const text = await readFile('docs/errors.md', 'utf8')
  const rows = [...text.matchAll(/^\| `([\w.]+)` \| (\d+) \| (.+?) \| (.+) \|$/gm)]
  const listed = rows.map(([, code = '', status, title]) => [code, [Number(status), title]] as const)
  t.strictSame(Object.fromEntries(listed), errorTable)
  t.equal(listed.length, Object.keys(errorTable).length, 'each once')
})
