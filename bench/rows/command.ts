import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { makeDirectory } from '../../test/helpers/process.js'
import { median, timed } from '../lib/statistics.js'
import { factor, judge, milliseconds } from '../lib/table.js'
import type { Row } from './row.js'

const rounds = 15
const mostMs = 150
/** `help` loads all commands; what asks the service ends at its first request, which nobody answers. */
const commands = ['--version', 'help', 'alias list', 'get greeting', 'status']

/** How long commands take to start: with Node itself, until they end where there is no service. */
export const command: Row = {
  name: 'command',
  runs: 'always',
  async measure(scope, { root }) {
    const cwd = await makeDirectory(scope)
    const env = { PATH: process.env.PATH ?? '', HOME: cwd, PROMPTSYNC_URL: 'http://127.0.0.1:1', PROMPTSYNC_PROJECT: 'bench' }
    const run = (args: string[]) => once(spawn(process.execPath, args, { cwd, env, stdio: 'ignore' }), 'close')
    const main = join(root, 'dist', 'main.js')
    const bare: number[] = []
    const took = commands.map((): number[] => [])
    for (let round = 0; round < rounds; round += 1) {
      bare.push(await timed(() => run(['-e', '0'])))
      for (const [index, words] of commands.entries()) took[index]?.push(await timed(() => run([main, ...words.split(' ')])))
    }
    const node = median(bare)
    const lines = commands.map((words, index) => {
      const ms = median(took[index] ?? [])
      return judge({
        what: `promptsync ${words}: its start, up to its first request`,
        service: milliseconds(ms),
        baseline: milliseconds(node),
        ratio: factor(ms / node),
        value: ms,
        must: { atMost: mostMs },
        unit: ' ms',
      })
    })
    return { lines, notes: ['command: the baseline is Node with an empty program.'] }
  },
}
