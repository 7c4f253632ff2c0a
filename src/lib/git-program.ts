import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export type GitCommand = {
  /** An absolute directory: `createGitRepository` has made it. */
  workspace: string
  args: readonly string[]
  /** Settings of this command alone. They come by the environment, where secrets are not seen by other users. */
  settings?: Record<string, string>
  environment?: Record<string, string>
  input?: string
  /** All of it; the program is killed then. */
  timeoutMs: number
  maxOutputBytes: number
  /** No file becomes larger: what comes from the other side is stored as one. */
  maxFileBytes?: number
  signal: AbortSignal
}

/** `overflow` is more output than is taken, `absent` is a machine without Git. */
export type GitEnd = 'done' | 'failed' | 'timeout' | 'aborted' | 'overflow' | 'absent'

export type GitResult = {
  end: GitEnd
  output: Buffer
  /** The last of what it wrote to stderr. It holds texts of the other side. */
  complaints: string
  durationMs: number
}

const maxComplaintsLength = 16 * 1024
const maxMemoryKib = 1024 * 1024
const largeFileBytes = 1024 * 1024 * 1024
/** The status of a shell that does not find the program. */
const absentStatus = 127

/** Git must take nothing from the machine, the user or the repository, run no other programs, and ask nobody. */
const fixedEnvironment = {
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_ATTR_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  GIT_ALLOW_PROTOCOL: '',
  GIT_NO_REPLACE_OBJECTS: '1',
  GIT_OPTIONAL_LOCKS: '0',
  GIT_SSH_VARIANT: 'ssh',
  // What Git says is read by programs.
  LC_ALL: 'C',
}

const fixedSettings = {
  'core.hooksPath': '/dev/null',
  'core.fsmonitor': 'false',
  'core.askPass': '',
  // What is larger is passed on as it comes, and not kept in memory.
  'core.bigFileThreshold': '16m',
  'core.packedGitWindowSize': '32m',
  'core.packedGitLimit': '512m',
  'credential.helper': '',
  'gc.auto': '0',
  'maintenance.auto': 'false',
  // One thread, so that a source cannot take all of the machine.
  'pack.threads': '1',
  'submodule.recurse': 'false',
}

/**
 * Limits are set by a shell, which then becomes Git: a file that grows too large cannot be written to any more, and a small
 * pack that unfolds to gigabytes ends for want of memory. Systems that know no limit of memory go on without. The signal is
 * ignored so that Git says that it was the size of the file.
 */
const limiter = 'trap "" XFSZ; ulimit -f "$1" 2>/dev/null; ulimit -v "$2" 2>/dev/null; shift 2; exec git "$@"'

/** A bare repository without objects, unless there is one. Made by hand: `git init` copies templates and asks for settings. */
export async function createGitRepository(workspace: string): Promise<void> {
  const directory = gitDirectory(workspace)
  await mkdir(join(directory, 'objects'), { recursive: true })
  await mkdir(join(directory, 'refs'), { recursive: true })
  await writeFile(join(directory, 'HEAD'), 'ref: refs/heads/main\n')
  await writeFile(join(directory, 'config'), '[core]\n\trepositoryformatversion = 0\n\tbare = true\n')
}

/** Runs Git to its end, which comes in time: with all programs it started it is killed when it may not go on. */
export async function runGit(command: GitCommand): Promise<GitResult> {
  const started = performance.now()
  const child = startGit(command)
  const guard = guardProgram(child, command)
  const output: Buffer[] = []
  let outputBytes = 0
  let complaints = ''
  child.stdout.on('data', (chunk: Buffer) => {
    outputBytes += chunk.length
    if (outputBytes > command.maxOutputBytes) guard.kill('overflow')
    else output.push(chunk)
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    complaints = (complaints + chunk).slice(-maxComplaintsLength)
  })
  // A program that ends before it has read everything tells by its status what was wrong.
  child.stdin.on('error', () => {})
  child.stdin.end(command.input ?? '')
  child.on('error', ({ message }) => {
    complaints = `error: ${message}`
  })
  const end = await guard.ended
  return { end, output: Buffer.concat(output), complaints, durationMs: performance.now() - started }
}

/** Kills a program that may not go on, and tells how it ended once nothing of it is left. */
function guardProgram(child: ChildProcess, { timeoutMs, signal }: GitCommand) {
  let reason: GitEnd | null = null
  const kill = (why: GitEnd) => {
    reason ??= why
    killGroup(child.pid)
  }
  const abort = () => kill('aborted')
  const timer = setTimeout(() => kill('timeout'), timeoutMs)
  signal.addEventListener('abort', abort)
  if (signal.aborted) abort()
  const ended = new Promise<GitEnd>((resolve) => {
    child.on('close', (status) => resolve(reason ?? endOf(status)))
    child.on('error', () => resolve(reason ?? 'failed'))
  }).finally(() => {
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
  })
  return { ended, kill }
}

const gitDirectory = (workspace: string) => join(workspace, 'repository.git')

function startGit({ workspace, args, settings, environment, maxFileBytes = largeFileBytes }: GitCommand) {
  const limits = [String(Math.ceil(maxFileBytes / 512)), String(maxMemoryKib)]
  return spawn('/bin/sh', ['-c', limiter, 'sh', ...limits, ...args], {
    cwd: workspace,
    // A group of its own, so that it can be killed with all that it started.
    detached: true,
    env: {
      PATH: process.env.PATH,
      HOME: workspace,
      TMPDIR: workspace,
      GIT_DIR: gitDirectory(workspace),
      ...fixedEnvironment,
      ...environment,
      ...settingsAsEnvironment({ ...fixedSettings, ...settings }),
    },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
}

function settingsAsEnvironment(settings: Record<string, string>): Record<string, string> {
  const entries = Object.entries(settings)
  return Object.fromEntries([
    ['GIT_CONFIG_COUNT', String(entries.length)],
    ...entries.flatMap(([key, value], index) => [
      [`GIT_CONFIG_KEY_${index}`, key],
      [`GIT_CONFIG_VALUE_${index}`, value],
    ]),
  ])
}

function endOf(status: number | null): GitEnd {
  if (status === 0) return 'done'
  return status === absentStatus ? 'absent' : 'failed'
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    // It has ended by itself; some systems say of one that has ended that it is not ours.
    if (!['ESRCH', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}
