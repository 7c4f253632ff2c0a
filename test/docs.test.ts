import { spawn } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, rename as moveDirectory, readdir, readFile, realpath, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { load } from 'js-yaml'
import t from 'tap'
import { adminUsage } from '../src/admin/commands.js'
import { allCommands } from '../src/cli/program.js'
import { connectPostgres } from '../src/database/connect.js'
import { scopes } from '../src/lib/access.js'
import { packageRoot } from '../src/lib/package-root.js'
import { bin } from './helpers/cli.js'
import { makeDirectory, makeMigratedEnvironment } from './helpers/process.js'
import { createPostgresDatabase, isPostgres, startService, type Teardown } from './helpers/service.js'
import { startGitServer } from './providers/helpers/git-server.js'
import { startGitHub } from './providers/helpers/github-server.js'
import { startHttpPeer } from './providers/helpers/http-peer.js'

/** Blocks that install, build or start something are the only ones that are not executed. */
const leftOut = /^ *(sudo |\w+=\S* )*(npm|docker|kubectl|systemctl) /m

/**
 * What may follow `sh` on a fence says when its block runs. Nothing: beside the service. `service-stopped`: while nothing
 * holds the embedded database; on Postgres beside the service. `postgres`: on Postgres only, beside the service.
 */
const times = ['', 'service-stopped', 'postgres'] as const
type Time = (typeof times)[number]

type Block = { language: string; time: string; text: string }
type Page = { path: string; text: string; blocks: Block[] }

const shellTimeoutMs = 60_000

/** README.md, which is run first, and every page below docs/, found by listing. */
async function readPages(): Promise<Page[]> {
  const below = (await readdir('docs', { recursive: true })).filter((path) => path.endsWith('.md')).sort()
  const paths = ['README.md', ...below.map((path) => join('docs', path))]
  return Promise.all(paths.map(async (path) => toPage(path, await readFile(path, 'utf8'))))
}

function toPage(path: string, text: string): Page {
  const fences = text.matchAll(/^```(\S*) ?(.*)\n([\s\S]*?)^```$/gm)
  return { path, text, blocks: [...fences].map(([, language = '', time = '', block = '']) => ({ language, time, text: block })) }
}

function commandsOf({ blocks }: Page, wanted: readonly Time[]): string[] {
  return blocks
    .filter(({ language, time, text }) => language === 'sh' && wanted.some((name) => name === time) && !leftOut.test(text))
    .map(({ text }) => text)
}

/** In these shells curl fails on every status of 400 or more, and `promptsync` is this tree; what is compiled runs too briefly to be optimised. */
const prelude = `set -euo pipefail
curl() { command curl --silent --show-error --fail-with-body "$@"; echo; }
promptsync() { '${process.execPath}' --liftoff-only '${bin}' "$@"; }
`

async function runShell(script: string, cwd: string, env: Record<string, string>) {
  const child = spawn('bash', ['--norc', '-c', prelude + script], {
    cwd,
    // A repository around the folder, or settings of whoever runs the tests, would have a say in it.
    env: { PATH: process.env.PATH ?? '', HOME: cwd, GIT_CEILING_DIRECTORIES: dirname(cwd), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: shellTimeoutMs,
  })
  let output = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  child.stderr.on('data', (chunk) => (output += chunk))
  const code = await new Promise((resolve) => child.on('close', resolve))
  return { code, output }
}

const encryptionKey = randomBytes(32).toString('base64')

/** What the pages may count on: a service, its key in a file, places for sources, and on Postgres the URL and server it is on. */
async function startDocumented(t: Teardown) {
  const databaseUrl = isPostgres ? await createPostgresDatabase(t) : null
  const connection = databaseUrl === null ? undefined : await connectPostgres(databaseUrl)
  if (connection) t.teardown(() => connection.close())
  const places = await startPlaces(t)
  const settings = {
    PROMPTSYNC_ENCRYPTION_KEYS: encryptionKey,
    PROMPTSYNC_ALLOWED_HOSTS: '127.0.0.1',
    PROMPTSYNC_FILE_ROOTS: places.directory,
  }
  const service = await startService(t, { env: settings, ...(connection ? { connection } : {}) })
  // The documents speak of the embedded database, whose default project can be read without a key.
  await service.call('/projects/default', { method: 'PATCH', body: { settings: { publicRead: true } } })
  const database: { DATABASE_URL?: string } = databaseUrl === null ? {} : { DATABASE_URL: databaseUrl }
  const env = { URL: service.url, KEY: service.adminKey, PROMPTSYNC_ENCRYPTION_KEYS: encryptionKey, ...database }
  return { service, env, ...nameAnew(t, env, places.renamed) }
}

type Renamed = [from: string, to: string][]

/** The places that the documents take prompts from, on the loopback. */
async function startPlaces(t: Teardown): Promise<{ directory: string; renamed: Renamed }> {
  const [github, git, http] = await Promise.all([startGitHub(t), startGitServer(t), startHttpPeer(t)])
  const files = { 'prompts/meeting/standup.md': 'Sum up the stand-up.', 'README.md': 'No prompt.' }
  github.settings.token = 'github_pat_example'
  for (const name of ['acme/prompts', 'acme/secret-prompts']) github.create(name).commit(files)
  await (await git.createRepository('team/handbook.git')).commit({ ...files, 'drafts/idea.md': 'An idea.' })
  http.files = { 'greeting.md': 'Greet {{ name }}.' }
  const directory = await realpath(await makeDirectory(t))
  await writeFile(join(directory, 'greeting.md'), 'Greet {{ name }}.')
  const renamed: Renamed = [
    ['"repo": "acme/', `"baseUrl": "${github.baseUrl}", "repo": "acme/`],
    ['https://git.example.com', git.origin],
    ['https://prompts.example.com', http.url],
    ['/srv/prompts', directory],
  ]
  return { directory, renamed }
}

/** The documents name addresses and databases that a test must not take: it has others instead. */
function nameAnew(t: Teardown, env: { URL: string; DATABASE_URL?: string }, places: Renamed) {
  const suffix = randomUUID().replaceAll('-', '')
  const databases = ['restored', 'moved'].map((name) => [`promptsync_${name}`, `promptsync_test_${name}_${suffix}`] as const)
  const server = env.DATABASE_URL?.slice(0, env.DATABASE_URL.lastIndexOf('/') + 1) ?? ''
  const renamed = [
    ['http://localhost:3000', env.URL],
    ['localhost:3000', env.URL],
    ['postgres://promptsync@db/', server],
    ...databases,
    ...places,
  ]
  if (isPostgres) {
    const drop = databases.map(([, name]) => `dropdb --if-exists --force --maintenance-db="$DATABASE_URL" ${name}`)
    t.teardown(() => runShell(drop.join('\n'), packageRoot, env))
  }
  return { rename: (text: string) => renamed.reduce((done, [from = '', to = '']) => done.replaceAll(from, to), text) }
}

// Starting processes is mostly waiting.
t.jobs = 2

t.test('every command in the documents works, in its order', { buffered: true }, async (t) => {
  const { service, env, rename } = await startDocumented(t)
  const besides: Time[] = isPostgres ? [...times] : ['']
  for (const page of await readPages()) {
    const commands = commandsOf(page, besides)
    if (commands.length === 0) continue
    const directory = await makeDirectory(t)
    await mkdir(join(directory, '.promptsync'))
    await writeFile(join(directory, '.promptsync', 'admin-key'), `${service.adminKey}\n`)
    const { code, output } = await runShell(rename(commands.join('\n')), directory, env)
    t.equal(code, 0, code === 0 ? page.path : `${page.path}\n${output}`)
  }
})

// On a server they are among those above.
if (!isPostgres) {
  t.test('and so do those that need the service stopped', { buffered: true }, async (t) => {
    // One for all pages: unpacking it is 40 MB each time.
    const directory = await makeDirectory(t)
    await moveDirectory((await makeMigratedEnvironment(t)).directory, join(directory, '.promptsync'))
    for (const page of await readPages()) {
      const commands = commandsOf(page, ['service-stopped'])
      if (commands.length === 0) continue
      const { code, output } = await runShell(commands.join('\n'), directory, { PROMPTSYNC_ENCRYPTION_KEYS: encryptionKey })
      t.equal(code, 0, code === 0 ? page.path : `${page.path}\n${output}`)
    }
  })
}

t.test('a block is executed unless it is no command: guides have commands, and shells go by one name', async (t) => {
  for (const { path, text, blocks } of await readPages()) {
    t.equal(text.match(/^\s*(```|~~~)/gm)?.length ?? 0, blocks.length * 2, `${path}: every fence is one that is found`)
    for (const { language, time } of blocks) {
      t.notMatch(language, /^$|shell|bash|zsh|console/, `${path} names the language of each block`)
      if (language === 'sh') t.ok((times as readonly string[]).includes(time), `${path}: "sh ${time}" says when it runs`)
    }
    if (dirname(path) === 'docs')
      t.ok(
        blocks.some(({ language }) => language === 'sh'),
        `${path} has commands`,
      )
  }
})

t.test('what is shown of JSON and YAML can be parsed', async (t) => {
  for (const { path, blocks } of await readPages()) {
    for (const { language, text } of blocks) {
      if (language === 'json') t.doesNotThrow(() => JSON.parse(text), `${path}\n${text}`)
      if (language === 'yaml') t.doesNotThrow(() => load(text), `${path}\n${text}`)
    }
  }
})

/** Where a page's links lead, outside of code: a path from the root, and the heading, where one is named. */
function linksOf({ path, text }: Page): { to: string; anchor: string | undefined }[] {
  const prose = text.replaceAll(/^```[\s\S]*?^```$/gm, '').replaceAll(/`[^`\n]*`/g, '`')
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => target.split('#'))
    .map(([file = '', anchor]) => ({ to: file === '' ? path : join(dirname(path), file), anchor }))
}

/** The anchors GitHub gives to headings. */
function anchorsOf(text: string): string[] {
  const prose = text.replaceAll(/^```[\s\S]*?^```$/gm, '')
  return [...prose.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\p{M} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

t.test('every link leads somewhere, and to every page of docs/ leads one', async (t) => {
  const pages = await readPages()
  const reached = new Set<string>()
  for (const page of [...pages, toPage('CHANGELOG.md', await readFile('CHANGELOG.md', 'utf8'))]) {
    for (const { to, anchor } of linksOf(page)) {
      t.ok(existsSync(to), `${page.path}: ${to}`)
      if (to !== page.path) reached.add(to)
      if (anchor === undefined || !existsSync(to)) continue
      t.ok(anchorsOf(await readFile(to, 'utf8')).includes(anchor), `${page.path}: ${to}#${anchor}`)
    }
  }
  for (const { path } of pages.slice(1)) t.ok(reached.has(path) || reached.has(`${dirname(path)}/`), `${path} is linked`)
})

t.test('the settings in README.md are those of the program, no more and no less', async (t) => {
  const known = [...(await readFile('src/config.ts', 'utf8')).matchAll(/^ {2}([A-Z][A-Z_]+): /gm)].map(([, name]) => name)
  const readme = await readFile('README.md', 'utf8')
  const rows = [...readme.matchAll(/^\| (`[A-Z].*?) \|/gm)].flatMap(([, names = '']) => [...names.matchAll(/`(\w+)`/g)])
  t.strictSame(rows.map(([, name]) => name).sort(), known.sort())
})

t.test('every scope and every command on the database itself is in a guide', async (t) => {
  const text = (await readPages()).map((page) => page.text).join('\n')
  for (const scope of scopes) t.ok(text.includes(`\`${scope}\``), scope)
  const commands = [...adminUsage.matchAll(/^ {2}(promptsync(?: [a-z]+)+)/gm)].map(([, command = '']) => command)
  t.ok(commands.length >= 4, 'found them')
  for (const command of commands) t.ok(text.includes(command), command)
})

t.test('the page of the command line has the help of every command and topic, as it is printed', async (t) => {
  const { documentedProgram, withCommands } = await import(join(packageRoot, 'scripts', 'write-cli.mjs'))
  const page = await readFile('docs/cli.md', 'utf8')
  t.equal(await withCommands(page), page, 'npm run docs:cli brings it up to date')
  for (const command of allCommands(await documentedProgram())) {
    t.ok(command.description() !== '' && (command.parent === null || command.summary() !== ''), `${command.name()} is described`)
    for (const option of command.options) t.ok(option.description !== '', `${command.name()} ${option.flags}`)
  }
})

t.test('the page of errors lists every code, with its status and title, and what to do', async (t) => {
  const { withErrorTable } = await import(join(packageRoot, 'scripts', 'write-errors.mjs'))
  const page = await readFile('docs/errors.md', 'utf8')
  t.equal(withErrorTable(page), page, 'npm run docs:errors brings it up to date')
})
