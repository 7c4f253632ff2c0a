// Packs the package as it would be published, from a copy of the project's files, so that nothing of a working tree gets
// in. Then shows that it serves from an empty directory, with what npm installs for it there, and that an application that
// installs it gets prompts from that service.
import { cpSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import {
  cleanEnvironment,
  expect,
  freePort,
  inTemporaryDirectory,
  listening,
  project,
  projectFiles,
  pushAndFetch,
  run,
  start,
  tail,
  within,
} from './service.mjs'

const packTimeoutMs = 120_000
const installTimeoutMs = 240_000
const stopTimeoutMs = 10_000
const testTimeoutMs = 400_000
const programTimeoutMs = 30_000

/** What a package may hold, file by file; the first that fits counts. */
const allowed = [
  /^dist\/(?!generated\/prisma\/(models|browser|commonInputTypes|.*Browser)).+\.js$/,
  /^dist\/sdk\/(index\.cjs|LICENSES\.txt|types-cjs\/package\.json|types(-cjs)?\/.+\.d\.ts)$/,
  /^defaults\/.+/,
  /^openapi\/openapi\.json$/,
  /^prisma\/schema\.prisma$/,
  /^prisma\/migrations\/(migration_lock\.toml|[^/]+\/migration\.sql)$/,
  /^(README|CHANGELOG)\.md$/,
  /^(LICENSE|package\.json)$/,
]
const required = [
  'dist/main.js',
  'dist/generated/prisma/client.js',
  'dist/sdk/index.js',
  'dist/sdk/index.cjs',
  'dist/sdk/LICENSES.txt',
  'dist/sdk/types/client/index.d.ts',
  'dist/sdk/types-cjs/client/index.d.ts',
  'dist/sdk/types-cjs/package.json',
  'openapi/openapi.json',
  'README.md',
  'LICENSE',
  'package.json',
]

const say = (text) => process.stdout.write(`${text}\n`)
const kilobytes = (bytes) => `${Math.round(bytes / 1000)} kB`

function sizeOf(path) {
  const stats = lstatSync(path)
  if (!stats.isDirectory()) return stats.size
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0)
}

/** Packs a copy; answers the tarball, and what npm says is in it. */
async function pack(temporary) {
  const copy = join(temporary, 'copy')
  const target = join(temporary, 'packed')
  mkdirSync(target)
  for (const file of projectFiles()) {
    mkdirSync(dirname(join(copy, file)), { recursive: true })
    cpSync(join(project, file), join(copy, file))
  }
  symlinkSync(join(project, 'node_modules'), join(copy, 'node_modules'))
  const options = { cwd: copy, env: cleanEnvironment(), timeoutMs: packTimeoutMs }
  await run('npm', ['pack', '--pack-destination', target], options)
  const [name, ...others] = readdirSync(target)
  expect(name !== undefined && others.length === 0, 'npm pack did not make one tarball')
  const tarball = join(target, name)
  const { stdout } = await run('tar', ['-tzf', tarball], { timeoutMs: packTimeoutMs })
  const files = stdout
    .trimEnd()
    .split('\n')
    .map((path) => path.replace(/^package\//, ''))
  return { tarball, files }
}

function checkFiles(files) {
  const folders = files.map((file) => dirname(file).split('/').slice(0, 2).join('/'))
  for (const folder of [...new Set(folders)].toSorted()) say(`  ${folder}: ${folders.filter((name) => name === folder).length}`)
  const unexpected = files.filter((file) => !allowed.some((pattern) => pattern.test(file)))
  expect(unexpected.length === 0, `These do not belong into the package: ${unexpected.join(', ')}`)
  const migrations = readdirSync(join(project, 'prisma', 'migrations'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => `prisma/migrations/${name}/migration.sql`)
  const missing = [...required, 'prisma/schema.prisma', ...migrations].filter((file) => !files.includes(file))
  expect(missing.length === 0, `These are missing in the package: ${missing.join(', ')}`)
}

/** Runs the tarball as `npx` does for somebody who has never seen it; answers where npm installed it. */
async function checkServes(temporary, tarball) {
  const directory = join(temporary, 'empty')
  const cache = join(temporary, 'cache')
  mkdirSync(directory)
  const port = await freePort()
  const options = { cwd: directory, env: { ...cleanEnvironment(), npm_config_cache: cache, PORT: String(port) } }

  const { version } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
  const said = await run('npx', ['--yes', `--package=${tarball}`, 'promptsync', '--version'], {
    ...options,
    timeoutMs: installTimeoutMs,
  })
  expect(said.stdout === `${version}\n`, `--version printed ${said.stdout}${tail(said.stderr)}`)

  const service = start('npx', ['--yes', `--package=${tarball}`, 'promptsync', 'serve'], options)
  const url = await listening(service, installTimeoutMs)
  const data = join(directory, '.promptsync')
  const key = readFileSync(join(data, 'admin-key'), 'utf8').trim()
  await pushAndFetch(url, key)
  await checkClient(temporary, tarball, { PROMPTSYNC_URL: url, PROMPTSYNC_TOKEN: key })
  // The lock names the process itself; npx and a shell stand before it.
  const { pid } = JSON.parse(readFileSync(join(data, 'lock'), 'utf8'))
  process.kill(pid, 'SIGTERM')
  const code = await within(stopTimeoutMs, service.exited, () => `nothing within ${stopTimeoutMs / 1000} s`)
  expect(code === 0, `After SIGTERM the service ended with ${code}\n${tail(service.output.stderr)}`)
  expect(readdirSync(directory).join() === '.promptsync', `The directory holds ${readdirSync(directory).join(', ')}`)

  const [installed, ...others] = readdirSync(join(cache, '_npx'))
  expect(others.length === 0, 'npx installed it more than once')
  return join(cache, '_npx', installed, 'node_modules')
}

/** The programs of an application, one for each kind of module; each has to end by itself. */
const applications = {
  'app.mjs': `import { PromptManager } from 'promptsync/client'
    const prompt = await new PromptManager().getPrompt('packaged')
    console.log(prompt.servedFrom, prompt.version, prompt.format({ name: 'ESM' }))`,
  'app.cjs': `const { PromptManager } = require('promptsync/client')
    new PromptManager()
      .getPrompt('packaged')
      .then((prompt) => console.log(prompt.servedFrom, prompt.version, prompt.format({ name: 'CommonJS' })))`,
}

/** Installs the tarball into an empty project, whose programs get the prompt that was pushed. */
async function checkClient(temporary, tarball, env) {
  const directory = join(temporary, 'application')
  mkdirSync(directory)
  writeFileSync(join(directory, 'package.json'), '{ "private": true }')
  const cache = join(temporary, 'cache')
  const options = { cwd: directory, env: { ...cleanEnvironment(), npm_config_cache: cache, ...env } }
  await run('npm', ['install', '--prefer-offline', tarball], { ...options, timeoutMs: installTimeoutMs })
  for (const [file, text] of Object.entries(applications)) {
    writeFileSync(join(directory, file), text)
    const { stdout } = await run(process.execPath, [file], { ...options, timeoutMs: programTimeoutMs })
    say(`  ${file}: ${stdout.trim()}`)
    expect(/^network v1\.0\.0 Hello (ESM|CommonJS)!\n$/.test(stdout), `${file} printed ${stdout}`)
  }
  await checkCommandLine(join(directory, 'node_modules', 'promptsync', 'dist', 'main.js'))
}

/** Runs the tests of the command line on the program as it was installed. */
async function checkCommandLine(bin) {
  const files = readdirSync(join(project, 'test', 'cli')).filter((file) => file.endsWith('.test.ts'))
  const env = { ...cleanEnvironment(), PROMPTSYNC_TEST_BIN: bin }
  await run('npm', ['run', '--silent', 'pretest'], { cwd: project, env, timeoutMs: installTimeoutMs })
  const tests = files.map((file) => join('test', 'cli', file))
  const { stdout } = await run('npx', ['tap', 'run', '--reporter=tap', ...tests], { cwd: project, env, timeoutMs: testTimeoutMs })
  say(`  the installed program: ${/^# (\{.*\})$/m.exec(stdout)?.[1]} in ${files.length} files of tests`)
}

async function checkPackage(temporary) {
  const { tarball, files } = await pack(temporary)
  checkFiles(files)
  const modules = await checkServes(temporary, tarball)
  const { devDependencies, peerDependencies } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
  const installed = readdirSync(modules).flatMap((name) =>
    name.startsWith('@') ? readdirSync(join(modules, name)).map((inner) => `${name}/${inner}`) : [name],
  )
  // What an application may bring along, other packages may need.
  const unwanted = Object.keys(devDependencies).filter((name) => !name.startsWith('@types/') && !(name in peerDependencies))
  const developers = unwanted.filter((name) => installed.includes(name))
  expect(developers.length === 0, `These packages of developers were installed with it: ${developers.join(', ')}`)
  say(
    "pack: ok: holds what it needs and nothing else; in an empty directory npx ran --version and serve, without Prisma's " +
      'command line: push, fetch, SIGTERM; an application that installed it got a prompt, as ESM and as CommonJS; the tests of the command line passed on it',
  )
  say(
    `pack: tarball ${kilobytes(statSync(tarball).size)} in ${files.length} files; installed ${Math.round(sizeOf(modules) / 1e6)} MB ` +
      `in ${installed.length} packages`,
  )
}

await inTemporaryDirectory('pack', checkPackage)
