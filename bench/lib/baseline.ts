import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { BaselineAnswer } from '../baseline.js'
import type { Scope } from './scope.js'

const loader = fileURLToPath(new URL('../../scripts/ts-loader.mjs', import.meta.url))
const program = fileURLToPath(new URL('../baseline.ts', import.meta.url))

/** Starts bare Fastify in a process of its own, and answers where it listens. */
export async function startBaseline(scope: Scope, answer: BaselineAnswer): Promise<string> {
  const args = ['--pdeathsig=KILL', process.execPath, '--import', loader, program, JSON.stringify(answer)]
  const env = { PATH: process.env.PATH ?? '', NODE_ENV: 'production' }
  const child = spawn('setpriv', args, { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  scope.teardown(async () => {
    child.kill('SIGKILL')
    await closed
  })
  const ended = closed.then(([code]) => {
    throw new Error(`The baseline ended with ${code}.`)
  })
  const line = once(createInterface(child.stdout), 'line')
  const [url] = await Promise.race([line, ended])
  ended.catch(() => undefined)
  return String(url)
}
