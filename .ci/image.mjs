// Executes the Dockerfile without an engine, and shows that what the last stage holds serves in a container's
// conditions: as an unprivileged user, with nothing writable but the data directory, stopped by a signal.
// The base image itself is not here: the steps run with this machine's Node and shell, and its bytes are not counted.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { parseDockerfile, readIgnore } from './dockerfile.mjs'
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

const stepTimeoutMs = 300_000
const startTimeoutMs = 60_000
const stopTimeoutMs = 10_000
/** Unpacked, as an estimate: the base image is not here to be measured. */
const baseImageMegabytes = 160
const imageLimitMegabytes = 300

const say = (text) => process.stdout.write(`${text}\n`)

/** All paths below a directory, directories before what they hold. */
function* walk(directory) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    yield path
    if (entry.isDirectory()) yield* walk(path)
  }
}

function sizeOf(directory) {
  let bytes = 0
  let files = 0
  for (const path of walk(directory)) {
    const stats = lstatSync(path)
    if (stats.isDirectory()) continue
    bytes += stats.size
    files += 1
  }
  return { bytes, files }
}

/** The build context: the project's files that .dockerignore lets through. */
function contextFiles() {
  return projectFiles().filter(readIgnore(readFileSync(join(project, '.dockerignore'), 'utf8')))
}

function copyFromContext(files, source, target) {
  const path = source.replace(/^\.?\//, '').replace(/\/$/, '')
  const found = files.filter((file) => path === '' || path === '.' || file === path || file.startsWith(`${path}/`))
  expect(found.length > 0, `COPY ${source}: nothing of that name is in the build context`)
  for (const file of found) {
    const inside = file === path ? '' : relative(path, file)
    mkdirSync(dirname(join(target, inside)), { recursive: true })
    cpSync(join(project, file), join(target, inside))
  }
}

/** As COPY does: what a directory holds is copied, and a file takes the target's name unless that ends in a slash. */
function copyStep(step, root, roots, files, owned) {
  for (const source of step.sources) {
    const target = step.intoDirectory ? join(root, step.target, source.split('/').at(-1)) : join(root, step.target)
    if (step.from === undefined) copyFromContext(files, source, target)
    else {
      expect(roots.has(step.from), `COPY --from=${step.from}: no stage of that name`)
      const path = join(roots.get(step.from), source)
      expect(existsSync(path), `COPY --from=${step.from} ${source}: there is no such path`)
      expect(
        !(step.intoDirectory && statSync(path).isDirectory()),
        `COPY ${source}: name the target, which then holds what it holds`,
      )
      mkdirSync(dirname(target), { recursive: true })
      cpSync(path, target, { recursive: true, verbatimSymlinks: true })
    }
    if (step.chown !== undefined) owned.set(target, step.chown)
  }
}

async function buildStage(stage, root, roots, files) {
  const owned = new Map()
  mkdirSync(root, { recursive: true })
  if (stage.parent !== null) cpSync(roots.get(stage.parent), root, { recursive: true, verbatimSymlinks: true })
  for (const step of stage.steps) {
    say(`[${stage.name}] ${step.text.replace(/\s+/g, ' ')}`)
    if (step.kind === 'workdir') mkdirSync(join(root, step.path), { recursive: true })
    else if (step.kind === 'copy') copyStep(step, root, roots, files, owned)
    else if (/^apk add\b/.test(step.script.trim()))
      say("    Left out: packages of Alpine's; this machine's programs stand for them.")
    else {
      const env = { ...cleanEnvironment(), ...step.env }
      const { stdout, stderr } = await run('sh', ['-euc', step.script], {
        cwd: join(root, step.workdir),
        env,
        timeoutMs: stepTimeoutMs,
      })
      process.stdout.write(tail(stdout + stderr, 6).replace(/^(?=.)/gm, '    '))
    }
  }
  return owned
}

/** What must not be in an image: Prisma's command line, and what only developers need. */
function refuseDevelopersPackages(application) {
  const { devDependencies, peerDependencies } = JSON.parse(readFileSync(join(application, 'package.json'), 'utf8'))
  const modules = join(application, 'node_modules')
  // What an application may bring along, other packages may need.
  const unwanted = Object.keys(devDependencies).filter((name) => !(name in peerDependencies))
  const found = unwanted.filter((name) => existsSync(join(modules, name)))
  expect(found.length === 0, `These packages of developers are in the image: ${found.join(', ')}`)
  expect(!existsSync(join(modules, 'prisma')), 'node_modules/prisma is in the image')
}

/** An unprivileged user to run as: nobody, or whoever runs this. */
function unprivilegedUser() {
  if (process.getuid() !== 0) return null
  const number = (flag) => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }))
  return { uid: number('-u'), gid: number('-g') }
}

/** Takes the right to write from everybody; as root the tree is root's, and it runs as somebody else. */
function seal(root) {
  for (const path of [root, ...walk(root)]) {
    const stats = lstatSync(path)
    if (stats.isSymbolicLink()) continue
    if (process.getuid() === 0) chownSync(path, 0, 0)
    chmodSync(path, (stats.mode & 0o111) !== 0 || stats.isDirectory() ? 0o555 : 0o444)
  }
}

/** Undoes `seal`, without which only root could remove the tree. */
function unseal(root) {
  for (const path of [root, ...walk(root)]) if (lstatSync(path).isDirectory()) chmodSync(path, 0o755)
}

/** The places of the machine that a container gets from its base image, Node, and the data directory as its volume. */
const mountScript = `
set -eu
root=$1 data=$2 node=$3 volume=$4 uid=$5 gid=$6 workdir=$7
shift 7
mount --make-rprivate /
mount --bind "$root" "$root"
for place in usr bin sbin lib lib64 etc; do
  [ -d "/$place" ] || continue
  mount --bind "/$place" "$root/$place"
  mount -o remount,ro,bind "$root/$place"
done
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount --bind "$node" "$root/.node/node"
mount --bind "$data" "$root$volume"
mount -o remount,ro,bind "$root"
exec chroot "$root" /usr/bin/env setpriv --reuid="$uid" --regid="$gid" --clear-groups --no-new-privs --bounding-set=-all \\
  sh -c 'cd "$1"; shift; exec "$@"' sh "$workdir" "$@"
`

/**
 * The program, arguments and options that run a command of the image in namespaces of its own: it is process 1, and the
 * tree is its root file system, read-only but for the volume.
 */
function isolated({ root, stage, data, user }, command) {
  const places = [root, data, realpathSync(process.execPath), stage.env.PROMPTSYNC_DATA_DIR]
  const account = [String(user.uid), String(user.gid), stage.workdir]
  const flags = ['--mount', '--pid', '--fork', '--kill-child', '--', 'sh', '-c', mountScript, 'sh']
  const path = '/.node:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin'
  const env = { PATH: path, HOME: '/nonexistent', TMPDIR: '/nonexistent', ...stage.env }
  return ['unshare', [...flags, ...places, ...account, ...command], { cwd: '/', env }]
}

/** The same where the machine permits no namespaces: the tree stays where it is, and only permissions protect it. */
function inPlace({ root, stage, data, user, scratch }, command) {
  const [program, ...args] = command.map((word) => (word.startsWith(`${stage.workdir}/`) ? join(root, word) : word))
  const path = `${dirname(realpathSync(process.execPath))}:/usr/bin:/bin`
  const env = { PATH: path, HOME: '/nonexistent', TMPDIR: scratch, ...stage.env, PROMPTSYNC_DATA_DIR: data }
  return [program, args, { cwd: join(root, stage.workdir), env, ...(user ?? {}) }]
}

async function mayIsolate(container) {
  if (container.user === null) return false
  const [program, args, options] = isolated(container, ['node', '--version'])
  try {
    await run(program, args, { ...options, timeoutMs: 20_000 })
    return true
  } catch (error) {
    say(`namespaces are not permitted here: ${tail(error.message, 1).trim()}`)
    return false
  }
}

/** The process that gets the signal: process 1 of the namespace is the child of the program that made it. */
function mainProcess({ child }, isIsolated) {
  if (!isIsolated) return child.pid
  return Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim())
}

/** Paths below the places that appeared or changed since the marker was made. */
function writtenSince(marker, places) {
  const since = statSync(marker).mtimeMs
  const isNewer = (path) => lstatSync(path).mtimeMs > since || lstatSync(path).ctimeMs > since
  return places.flatMap((place) => [...walk(place)].filter(isNewer))
}

/** What the user left where programs without a better idea leave files. */
function leftBehind(marker, user) {
  if (user === null) return []
  const since = statSync(marker).mtimeMs
  return ['/tmp', '/var/tmp', '/dev/shm']
    .filter((place) => existsSync(place))
    .flatMap((place) => readdirSync(place).map((name) => join(place, name)))
    .filter((path) => {
      const stats = lstatSync(path, { throwIfNoEntry: false })
      return stats !== undefined && stats.uid === user.uid && stats.ctimeMs > since
    })
}

async function buildImage(temporary) {
  const stages = parseDockerfile(readFileSync(join(project, 'Dockerfile'), 'utf8'))
  const files = contextFiles()
  say(`build context: ${files.length} files`)
  const roots = new Map()
  let owned = new Map()
  for (const stage of stages) {
    const root = join(temporary, 'stages', stage.name)
    owned = await buildStage(stage, root, roots, files)
    roots.set(stage.name, root)
  }
  const stage = stages.at(-1)
  return { stage, root: roots.get(stage.name), owned }
}

/** What the image tells those who run it. */
function checkSettings({ stage, root, owned }) {
  const { user, healthcheck, ports, volumes, stopSignal, env } = stage
  const volume = env.PROMPTSYNC_DATA_DIR
  expect(user !== 'root' && user !== '0', 'The image runs as root')
  expect(volumes.includes(volume), `PROMPTSYNC_DATA_DIR ${volume} is no volume`)
  expect((owned.get(join(root, volume)) ?? '').startsWith(`${user}:`), `${volume} does not belong to ${user}`)
  expect(readdirSync(join(root, volume)).length === 0, `${volume} is not empty`)
  expect(ports.includes(env.PORT), `PORT ${env.PORT} is not exposed`)
  expect(stopSignal === 'SIGTERM', `STOPSIGNAL is ${stopSignal}`)
  expect(env.NODE_ENV === 'production', 'NODE_ENV is not production')
  expect(healthcheck !== null, 'There is no HEALTHCHECK')
}

function checkSize(root, baseImage) {
  const { bytes, files } = sizeOf(root)
  const total = bytes / 1e6 + baseImageMegabytes
  expect(total < imageLimitMegabytes, `The image would have ${total.toFixed(0)} MB, more than ${imageLimitMegabytes}`)
  return (
    `application ${(bytes / 1e6).toFixed(1)} MB in ${files} files; with ${baseImage} of about ${baseImageMegabytes} MB ` +
    `(not measured here) about ${total.toFixed(0)} MB of ${imageLimitMegabytes} allowed`
  )
}

/** Makes the tree read-only, and beside it the only directory that may be written and one that may not. */
function prepareContainer(temporary, { stage, root }, port) {
  const data = join(temporary, 'data')
  const scratch = join(temporary, 'scratch')
  const user = unprivilegedUser()
  for (const directory of [data, scratch]) mkdirSync(directory)
  for (const place of ['usr', 'bin', 'sbin', 'lib', 'lib64', 'etc', 'dev', 'proc', '.node'])
    mkdirSync(join(root, place), { recursive: true })
  writeFileSync(join(root, '.node', 'node'), '')
  seal(root)
  chmodSync(scratch, 0o555)
  chmodSync(data, 0o700)
  if (user) chownSync(data, user.uid, user.gid)
  return { root, data, scratch, user, stage: { ...stage, env: { ...stage.env, PORT: String(port) } } }
}

/** Runs the image as users do; answers under which conditions. */
async function checkContainer(container) {
  const { root, stage, data, user } = container
  const { entrypoint, command, healthcheck, stopSignal } = stage
  const isIsolated = await mayIsolate(container)
  const shape = isIsolated ? isolated : inPlace
  const runInside = async (words, timeoutMs = startTimeoutMs) => {
    const [program, args, options] = shape(container, words)
    return run(program, args, { ...options, timeoutMs, label: words.join(' ') })
  }
  const isHealthy = () =>
    runInside(healthcheck.command, healthcheck.timeoutSeconds * 1_000).then(
      () => true,
      () => false,
    )

  const { version } = JSON.parse(readFileSync(join(root, stage.workdir, 'package.json'), 'utf8'))
  expect((await runInside([...entrypoint, '--version'])).stdout === `${version}\n`, '--version does not print the version')
  say(`migrate: ${(await runInside([...entrypoint, 'migrate'])).stdout.trim()}`)

  const service = start(...shape(container, [...entrypoint, ...command]))
  try {
    const startedAt = Date.now()
    const url = await listening(service, startTimeoutMs)
    say(`started in ${Date.now() - startedAt} ms`)
    expect(await isHealthy(), 'HEALTHCHECK fails although the service answers')
    await pushAndFetch(url, readFileSync(join(data, 'admin-key'), 'utf8').trim())
    const stoppedAt = Date.now()
    process.kill(mainProcess(service, isIsolated), stopSignal)
    const code = await within(stopTimeoutMs, service.exited, () => `nothing within ${stopTimeoutMs / 1000} s`)
    expect(code === 0, `After ${stopSignal} the service ended with ${code}\n${tail(service.output.stderr)}`)
    say(`stopped in ${Date.now() - stoppedAt} ms`)
  } finally {
    service.stop()
  }
  expect(!(await isHealthy()), 'HEALTHCHECK is content although nothing serves')
  const key = await runInside([...entrypoint, 'admin', 'key', 'create', '--name', 'image'])
  expect(/^ps_\w+\n$/.test(key.stdout), 'admin key create does not print a key')
  const account = user ? 'nobody' : `user ${process.getuid()}, who runs this check`
  return isIsolated ? `process 1 and ${account} on a read-only root file system` : `${account} on files that it may only read`
}

async function checkImage(temporary) {
  // The unprivileged user must get to the volume below it.
  chmodSync(temporary, 0o755)
  const image = await buildImage(temporary)
  const { stage, root } = image
  refuseDevelopersPackages(join(root, stage.workdir))
  checkSettings(image)
  const sizes = checkSize(root, stage.baseImage)

  const container = prepareContainer(temporary, image, await freePort())
  const marker = join(temporary, 'marker')
  writeFileSync(marker, '')
  const conditions = await checkContainer(container)
  const written = [...writtenSince(marker, [root, container.scratch]), ...leftBehind(marker, container.user)]
  expect(written.length === 0, `These were written outside the volume: ${written.slice(0, 10).join(', ')}`)
  say(
    `image: ok: built by its own steps, without Prisma's command line and packages of developers; as ${conditions}: --version, ` +
      `migrate, serve, HEALTHCHECK, push, fetch, ${stage.stopSignal}, admin; nothing written outside ${stage.env.PROMPTSYNC_DATA_DIR}`,
  )
  say(`image: ${sizes}`)
}

await inTemporaryDirectory('image', checkImage, (temporary) => {
  if (existsSync(join(temporary, 'stages'))) unseal(join(temporary, 'stages'))
})
