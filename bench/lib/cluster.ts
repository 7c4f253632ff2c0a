import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { adminKey } from '../../test/faults/helpers/promptsync.js'
import type { Scope } from './scope.js'
import { type InstanceOptions, productionEnvironment, type Stage } from './stage.js'

const program = fileURLToPath(new URL('../cluster.mjs', import.meta.url))

export type Cluster = { url: string; pids: number[] }

/** So many instances behind one port, by node's own means. */
export async function startCluster(scope: Scope, { root }: Stage, options: InstanceOptions, count: number): Promise<Cluster> {
  const main = join(root, 'dist', 'main.js')
  const args = ['--pdeathsig=TERM', process.execPath, program, main, String(count)]
  const env = { PATH: process.env.PATH ?? '', PORT: '0', PROMPTSYNC_ADMIN_KEY: adminKey, ...productionEnvironment(options) }
  const child = spawn('setpriv', args, { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  scope.teardown(async () => {
    // Workers end when the channel to their parent does.
    child.kill('SIGKILL')
    await closed
  })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async () => {
    const { value } = await lines.next()
    if (value === undefined) throw new Error('The cluster ended before it listened.')
    return value
  }
  return { url: await next(), pids: (await next()).split(',').map(Number) }
}
