// What the checks of the image and of the package have in common: a process that serves, and what it must do.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const project = dirname(dirname(fileURLToPath(import.meta.url)))

/** A check does not hold; `message` is all there is to say. */
export class CheckFailed extends Error {}

export function expect(condition, message) {
  if (!condition) throw new CheckFailed(message)
}

export async function freePort() {
  const server = createServer()
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** The files that Git knows or would add, by their paths in the project. */
export function projectFiles() {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const listed = execFileSync('git', args, { cwd: project, encoding: 'utf8' })
  return listed.split('\0').filter((path) => path !== '' && existsSync(join(project, path)))
}

/** What a step needs of the caller's environment: programs, a home, and how packages are reached. */
export function cleanEnvironment() {
  const kept =
    /^(PATH|HOME|LANG|npm_config_(registry|userconfig|globalconfig|cache)|(https?|no)_proxy|NODE_EXTRA_CA_CERTS|SSL_CERT_\w+)$/i
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => kept.test(name)))
}

const running = new Set()

/** Ends all that was started and has not ended. */
export function stopAll() {
  for (const stop of running) stop()
}

/** Starts a program in a process group of its own; `stop` ends whatever is left of it. */
export function start(program, args, options) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, ...options })
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => (output.stdout += chunk))
  child.stderr.on('data', (chunk) => (output.stderr += chunk))
  const exited = new Promise((resolve) => {
    child.on('error', (error) => resolve(String(error)))
    child.on('close', (code, signal) => resolve(signal ?? code))
  })
  const stop = () => {
    running.delete(stop)
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
  running.add(stop)
  return { child, output, exited, stop }
}

/** Runs a program to its end; answers its output, and throws with it when the program fails or takes too long. */
export async function run(program, args, { timeoutMs, label = [program, ...args].join(' '), ...options }) {
  const { output, exited, stop } = start(program, args, options)
  const code = await within(timeoutMs, exited, () => 'timeout').finally(stop)
  expect(code === 0, `${label} ended with ${code}\n${tail(output.stdout)}${tail(output.stderr)}`)
  return output
}

/** The promise's result, or `late()` when it takes longer. */
export async function within(timeoutMs, promise, late) {
  let timer
  const timeout = new Promise((resolve, reject) => {
    timer = setTimeout(() => Promise.resolve().then(late).then(resolve, reject), timeoutMs)
  })
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer))
}

export function tail(text, lines = 15) {
  const kept = text.trimEnd().split('\n').slice(-lines).join('\n')
  return kept === '' ? '' : `${kept}\n`
}

/** Waits until the process says where it listens; answers the URL on the loopback. */
export async function listening({ child, output, exited }, timeoutMs) {
  const said = new Promise((resolve) => {
    child.stdout.on('data', () => {
      const match = /listens on http:\/\/\S+?:(\d+)\s/.exec(output.stdout)
      if (match) resolve(`http://127.0.0.1:${match[1]}`)
    })
  })
  const ended = exited.then((code) => {
    throw new CheckFailed(`The service ended with ${code}\n${tail(output.stdout)}${tail(output.stderr)}`)
  })
  return within(timeoutMs, Promise.race([said, ended]), () => {
    throw new CheckFailed(`The service did not listen within ${timeoutMs / 1000} s\n${tail(output.stdout)}${tail(output.stderr)}`)
  })
}

/** Pushes a prompt with the key, and fetches it by an alias. */
export async function pushAndFetch(url, key) {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  const content = 'Hello {{ name }}!'
  const body = JSON.stringify({ version: 'v1.0.0', alias: 'production', prompts: [{ name: 'packaged', content }] })
  const pushed = await fetch(`${url}/prompts`, { method: 'POST', headers, body, signal: AbortSignal.timeout(20_000) })
  expect(pushed.status === 201, `The push was answered with ${pushed.status}: ${await pushed.text()}`)
  const fetched = await fetch(`${url}/prompts/packaged/production`, { headers, signal: AbortSignal.timeout(20_000) })
  const answer = await fetched.json()
  expect(
    fetched.status === 200 && answer.content === content,
    `The fetch was answered with ${fetched.status}: ${JSON.stringify(answer)}`,
  )
  for (const path of ['/docs/', '/openapi.json', '/metrics', '/prompts/meeting/latest']) {
    const response = await fetch(`${url}${path}`, { signal: AbortSignal.timeout(20_000) })
    // What is not read to its end keeps the service from closing.
    await response.arrayBuffer()
    expect(response.status === 200, `GET ${path} was answered with ${response.status}`)
  }
}

/**
 * Runs a check in a temporary directory of its own, which is gone afterwards, as is everything the check started,
 * also when it is interrupted. Prints why it failed, and sets the exit code.
 */
export async function inTemporaryDirectory(name, check, cleanUp = () => undefined) {
  const temporary = mkdtempSync(join(realpathSync(tmpdir()), `promptsync-${name}-`))
  const end = () => {
    stopAll()
    cleanUp(temporary)
    rmSync(temporary, { recursive: true, force: true, maxRetries: 3 })
  }
  for (const [signal, code] of Object.entries({ SIGHUP: 129, SIGINT: 130, SIGTERM: 143 })) {
    process.once(signal, () => {
      end()
      process.exit(code)
    })
  }
  try {
    await check(temporary)
  } catch (error) {
    process.exitCode = 1
    process.stdout.write(`${name}: failed: ${error instanceof CheckFailed ? error.message : error.stack}\n`)
  } finally {
    end()
  }
}
