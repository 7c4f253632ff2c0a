import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { packageRoot } from '../../src/lib/package-root.js'
import { createPostgresDatabase, isPostgres, type Teardown } from './service.js'
import { templateFile } from './template.js'

/** A promptsync process and what it has said so far. */
export type Process = { child: ChildProcess; url: string; stdout(): string; stderr(): string; exited: Promise<number | null> }

/**
 * How the tests start the program: as in production, but for the build (one file, which loads in half the time of many
 * that are stripped one by one) and the second compilation of the embedded engine, which costs more than it saves in a
 * short life.
 */
export const program = [process.execPath, '--liftoff-only', await buildProgram()] as const

/** Made anew by each test file that starts processes, which takes a tenth of a second, so that it is never an old one. */
async function buildProgram(): Promise<string> {
  const directory = join(packageRoot, 'test', '.cache')
  const [file, draft] = ['program', randomUUID()].map((name) => join(directory, `${name}.mjs`)) as [string, string]
  await build({
    entryPoints: [join(packageRoot, 'src', 'main.ts')],
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    outfile: draft,
    logLevel: 'error',
  })
  // Test files that run side by side replace the same file, whole.
  await rename(draft, file)
  return file
}

export function run(args: string[], env: Record<string, string>): Omit<Process, 'url'> {
  const [node, ...rest] = program
  const child = spawn(node, [...rest, ...args], {
    env: { PATH: process.env.PATH ?? '', PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  child.stdout?.on('data', (chunk) => (output.stdout += chunk))
  child.stderr?.on('data', (chunk) => (output.stderr += chunk))
  const exited = new Promise<number | null>((resolve) => child.on('close', resolve))
  return { child, stdout: () => output.stdout, stderr: () => output.stderr, exited }
}

/** Starts a process and waits until it has said where it listens. */
export async function serve(t: Teardown, env: Record<string, string>): Promise<Process> {
  const started = run(['serve'], env)
  t.teardown(() => started.child.kill('SIGKILL'))
  const url = await new Promise<string>((resolve, reject) => {
    started.child.stdout?.on('data', () => {
      const match = /listens on (http:\S+)/.exec(started.stdout())
      if (match?.[1] && started.stdout().includes('/prompts -d ')) resolve(match[1])
    })
    started.exited.then((code) => reject(new Error(`exited with ${code}: ${started.stderr()}`)))
  })
  return { ...started, url }
}

export async function makeDirectory(t: Teardown): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'promptsync-main-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** The engine the suite runs on: an own directory, or an own database. */
export async function makeEnvironment(t: Teardown): Promise<{ directory: string; env: Record<string, string> }> {
  const directory = await makeDirectory(t)
  const database: Record<string, string> = isPostgres ? { DATABASE_URL: await createPostgresDatabase(t) } : {}
  return { directory, env: { PROMPTSYNC_DATA_DIR: directory, ...database } }
}

/** The same, with a database that is migrated already: starting on it is seconds quicker. */
export async function makeMigratedEnvironment(t: Teardown): Promise<{ directory: string; env: Record<string, string> }> {
  const environment = await makeEnvironment(t)
  if (isPostgres) return environment
  const target = join(environment.directory, 'postgres')
  await mkdir(target)
  const tar = spawn('tar', ['-xf', await templateFile(), '-C', target], { stdio: 'ignore' })
  const code = await new Promise((resolve) => tar.on('close', resolve))
  if (code !== 0) throw new Error(`tar exited with ${code}`)
  return environment
}
