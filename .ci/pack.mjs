// Packs the package as it would be published, from a copy of the project's files, so that nothing of a working tree gets
// in. Then shows that it serves from an empty directory, with what npm installs for it there.
import { cpSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
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

/** What a package may hold, file by file; the first that fits counts. */
const allowed = [
  /^dist\/(?!generated\/prisma\/(models|browser|commonInputTypes|.*Browser)).+\.js$/,
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
  for (const file of files.toSorted()) say(`  ${file}`)
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
  await pushAndFetch(url, readFileSync(join(data, 'admin-key'), 'utf8').trim())
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

async function checkPackage(temporary) {
  const { tarball, files } = await pack(temporary)
  checkFiles(files)
  const modules = await checkServes(temporary, tarball)
  const { devDependencies } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
  const installed = readdirSync(modules).flatMap((name) =>
    name.startsWith('@') ? readdirSync(join(modules, name)).map((inner) => `${name}/${inner}`) : [name],
  )
  const developers = Object.keys(devDependencies).filter((name) => installed.includes(name) && !name.startsWith('@types/'))
  expect(developers.length === 0, `These packages of developers were installed with it: ${developers.join(', ')}`)
  say(
    "pack: ok: holds what it needs and nothing else; in an empty directory npx ran --version and serve, without Prisma's " +
      'command line: push, fetch, SIGTERM',
  )
  say(
    `pack: tarball ${kilobytes(statSync(tarball).size)} in ${files.length} files; installed ${Math.round(sizeOf(modules) / 1e6)} MB ` +
      `in ${installed.length} packages`,
  )
}

await inTemporaryDirectory('pack', checkPackage)
