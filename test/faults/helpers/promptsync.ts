import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { packageRoot } from '../../../src/lib/package-root.js'
import type { Teardown } from '../../helpers/service.js'
import { templateFile } from '../../helpers/template.js'

export const adminKey = `ps_fault_${'k'.repeat(40)}`

/** How a process ended: by itself with a code, or by a signal. */
export type Ending = { code: number | null; signal: NodeJS.Signals | null }

export type PromptsyncProcess = {
  child: ChildProcess
  /** Where it listens, once `ready` has resolved. */
  url: string
  stdout(): string
  stderr(): string
  exited: Promise<Ending>
  /** Resolves when it has said where it listens; rejects when it ends before. */
  ready: Promise<void>
  hasExited(): boolean
}

export type StartOptions = {
  env?: Record<string, string>
  args?: string[]
  /** Put before the command, to run it elsewhere: see `small-disk.ts`. */
  enter?: string[]
  /** Modules to load first. */
  preload?: string[]
  /** What the process writes to its file descriptor 3. */
  onMark?: (text: string) => void
}

/** The test runner loads itself into every Node process that is started, by this variable. Not into these. */
const unobserved = ['env', '-u', 'NODE_OPTIONS']

export async function makeDirectory(t: Teardown): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'promptsync-faults-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** The package as it is published, built from the sources of now; its migrations may be changed. */
export async function buildPackage(t: Teardown): Promise<string> {
  const root = await makeDirectory(t)
  const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
  // Types are checked elsewhere; here they would only take time.
  const [program = '', ...args] = [
    ...unobserved,
    process.execPath,
    compiler,
    '-p',
    'tsconfig.build.json',
    '--noCheck',
    '--outDir',
  ]
  execFileSync(program, [...args, join(root, 'dist')], { cwd: packageRoot })
  for (const part of ['package.json', 'prisma', 'defaults', 'openapi'])
    await cp(join(packageRoot, part), join(root, part), { recursive: true })
  await symlink(join(packageRoot, 'node_modules'), join(root, 'node_modules'))
  return root
}

/** A migrated embedded database in a directory: starting on it is seconds quicker. */
export async function fillDataDirectory(directory: string, enter: string[] = []): Promise<void> {
  const target = join(directory, 'postgres')
  const [program = '', ...args] = [...enter, 'sh', '-c', 'mkdir -p "$0" && tar -xf "$1" -C "$0"', target, await templateFile()]
  execFileSync(program, args, { stdio: 'pipe' })
}

export async function makeDataDirectory(t: Teardown): Promise<string> {
  const directory = join(await makeDirectory(t), 'data')
  await mkdir(directory, { mode: 0o700 })
  await fillDataDirectory(directory)
  return directory
}

/** Starts the built program and does not wait. It is killed at the end if it still runs. */
export function startPromptsync(t: Teardown, root: string, options: StartOptions = {}): PromptsyncProcess {
  const { env = {}, args = ['serve'], enter = [], preload = [], onMark } = options
  // However this process ends, that one ends with it.
  const command = [
    ...enter,
    'setpriv',
    '--pdeathsig=KILL',
    ...unobserved,
    process.execPath,
    ...preload.flatMap((module) => ['--import', module]),
    join(root, 'dist', 'main.js'),
    ...args,
  ]
  const [program = '', ...rest] = command
  const child = spawn(program, rest, {
    cwd: root,
    env: { PATH: process.env.PATH ?? '', PORT: '0', LOG_LEVEL: 'warn', PROMPTSYNC_ADMIN_KEY: adminKey, ...env },
    stdio: ['ignore', 'pipe', 'pipe', ...(onMark ? (['pipe'] as const) : [])],
  })
  const output = { stdout: '', stderr: '' }
  child.stdout?.on('data', (chunk) => (output.stdout += chunk))
  child.stderr?.on('data', (chunk) => (output.stderr += chunk))
  if (onMark) child.stdio[3]?.on('data', (chunk) => onMark(String(chunk)))
  let ended = false
  // Close comes after exit, when all that was written has been read.
  const exited = once(child, 'close').then(([code, signal]): Ending => {
    ended = true
    return { code, signal }
  })
  t.teardown(async () => {
    if (ended) return
    child.kill('SIGKILL')
    await exited
  })
  const started: PromptsyncProcess = {
    child,
    url: '',
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    exited,
    hasExited: () => ended,
    ready: new Promise<void>((resolve, reject) => {
      child.stdout?.on('data', () => {
        const address = /listens on (http:\S+)/.exec(output.stdout)?.[1]
        if (!address) return
        started.url = address
        resolve()
      })
      exited.then(({ code, signal }) => reject(new Error(`promptsync ended with ${code ?? signal}: ${output.stderr}`)))
    }),
  }
  // A test may await only the end.
  started.ready.catch(() => undefined)
  return started
}

/** Starts it and waits until it listens. */
export async function servePromptsync(t: Teardown, root: string, options: StartOptions = {}): Promise<PromptsyncProcess> {
  const started = startPromptsync(t, root, options)
  await started.ready
  return started
}
