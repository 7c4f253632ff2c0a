import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'
import { packageRoot } from '../../src/lib/package-root.js'
import type { Service, Teardown } from './service.js'

/** What a command ended with. */
export type Ran = { code: number | null; stdout: string; stderr: string }

export type RunOptions = {
  env?: Record<string, string>
  /** What it reads from stdin, which is no terminal; none closes it at once, null leaves it open. */
  stdin?: string | null
  cwd?: string
  /** Told as soon as the process is there, to signal it say. */
  started?: (child: ReturnType<typeof spawn>) => void
}

/** A command line in a folder of its own, with settings of its own. */
export type Shell = {
  directory: string
  /** Runs `promptsync` with these arguments, its output going into pipes. */
  promptsync(args: string[], options?: RunOptions): Promise<Ran>
  /** The same on a terminal: what it writes to either is in `stdout`. `stdin` is typed. */
  onTerminal(args: string[], options?: RunOptions): Promise<Ran>
  /** Writes files below the folder. */
  write(files: Record<string, string | Uint8Array>): Promise<void>
}

/** The program: that of PROMPTSYNC_TEST_BIN (of an installed package, say), else one that is built from the sources here. */
export const bin = process.env.PROMPTSYNC_TEST_BIN || (await buildBin())

/** Built in parts, as the real one is, so that a command loads no more than it needs. */
async function buildBin(): Promise<string> {
  const directory = join(packageRoot, 'test', '.cache')
  const { outputFiles } = await build({
    entryPoints: [join(packageRoot, 'src', 'main.ts')],
    ...{ bundle: true, splitting: true, packages: 'external', platform: 'node', format: 'esm', target: 'node20' },
    ...{ outdir: directory, entryNames: 'bin-[hash]', chunkNames: 'bin-[hash]', outExtension: { '.js': '.mjs' } },
    ...{ write: false, logLevel: 'error' },
  } as const)
  await mkdir(directory, { recursive: true })
  for (const { path, contents } of outputFiles) {
    if (existsSync(path)) continue
    const draft = `${path}.${process.pid}`
    await writeFile(draft, contents)
    await rename(draft, path)
  }
  const entry = outputFiles.find(({ text }) => text.startsWith('#!'))
  if (!entry) throw new Error('The build made no program.')
  return entry.path
}

/** Makes a folder to run commands in; `env` is that of each of them. */
export async function openShell(t: Teardown, env: Record<string, string> = {}): Promise<Shell> {
  const home = await realpath(await mkdtemp(join(tmpdir(), 'promptsync-cli-')))
  t.teardown(() => rm(home, { recursive: true, force: true }))
  const directory = join(home, 'work')
  await mkdir(directory)
  const shared = {
    ...{ PATH: process.env.PATH ?? '', HOME: home, XDG_CONFIG_HOME: join(home, 'config'), LANG: 'C.UTF-8', TERM: 'xterm' },
    // No repository around the folder is taken for that of a test.
    ...{ GIT_CEILING_DIRECTORIES: home, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' },
    ...env,
  }
  const promptsync = (args: string[], options: RunOptions = {}) =>
    runProcess(process.execPath, [bin, ...args], { cwd: directory, ...options, env: { ...shared, ...options.env } })
  return {
    directory,
    promptsync,
    onTerminal(args, options = {}) {
      const line = [process.execPath, bin, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
      return runProcess('script', ['-qefc', line, '/dev/null'], {
        ...{ cwd: directory, ...options, env: { ...shared, SHELL: '/bin/sh', ...options.env } },
      })
    },
    async write(files) {
      for (const folder of new Set(Object.keys(files).map((path) => dirname(path))))
        await mkdir(join(directory, folder), { recursive: true })
      for (const [path, content] of Object.entries(files)) writeFileSync(join(directory, path), content)
    },
  }
}

function runProcess(command: string, args: string[], { cwd, env, stdin, started }: RunOptions): Promise<Ran> {
  const child = spawn(command, args, { cwd, env: env ?? {}, stdio: ['pipe', 'pipe', 'pipe'] })
  const ran = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (ran.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (ran.stderr += text))
  child.stdin.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
  if (stdin !== null) child.stdin.end(stdin ?? '')
  started?.(child)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, ...ran }))
  })
}

/** What the environment tells a command of a service. */
export function serviceEnv({ url }: { url: string }, token: string): Record<string, string> {
  return { PROMPTSYNC_URL: url, PROMPTSYNC_TOKEN: token }
}

/** A service as one project of it is seen, with a command line that has a key for nothing else. */
export type ProjectShell = { service: Service; slug: string; shell: Shell }

/** Makes a project on a service that tests share: a service of its own takes each of them a second to start. */
export async function openProject(t: Teardown, shared: Service): Promise<ProjectShell> {
  const slug = `p-${randomUUID()}`
  await shared.call('/projects', { body: { slug } })
  const { secret: key } = await shared.createKey({ name: slug, project: slug, scopes: ['admin'] })
  const service: Service = {
    ...shared,
    adminKey: key,
    call: (path, options) => shared.call(path, { key, ...options }),
    push: (body, options) => shared.push(body, { key, ...options }),
  }
  return { service, slug, shell: await openShell(t, serviceEnv(shared, key)) }
}

/** The words behind `promptsync` of the command that a line of `Undo:` names. It must hold no quotes. */
export function undoOf(stderr: string): string[] {
  const [, line = ''] = /^Undo: promptsync (.*)$/m.exec(stderr) ?? []
  return line.split(' ')
}
