import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openShell } from '../../test/helpers/cli.js'
import { median, timed } from '../lib/statistics.js'
import { judge, milliseconds } from '../lib/table.js'
import type { Row } from './row.js'

const rounds = 15
const mostMs = 150
/** `help` loads all commands; the others end at their first request, which nobody answers. */
const commands = [['--version'], ['alias', 'list', '--project', 'bench'], ['get', 'greeting', '--project', 'bench'], ['help']]

/** How long commands take to start, with Node itself: until they end where there is no service. */
export const command: Row = {
  name: 'command',
  runs: 'always',
  async measure(scope) {
    const shell = await openShell(scope, { PROMPTSYNC_URL: 'http://127.0.0.1:1' })
    const bare: number[] = []
    const took = commands.map((): number[] => [])
    for (let round = 0; round < rounds; round += 1) {
      bare.push(await timed(() => once(spawn(process.execPath, ['-e', '0']), 'close')))
      for (const [index, args] of commands.entries()) took[index]?.push(await timed(() => shell.promptsync(args)))
    }
    const node = median(bare)
    const lines = commands.map((args, index) => {
      const ms = median(took[index] ?? [])
      return judge({
        what: `promptsync ${args.filter((word) => !/^--project|bench$/.test(word)).join(' ')}: from its start to its first request, or its end`,
        service: milliseconds(ms),
        baseline: milliseconds(node),
        ratio: (ms / node).toFixed(2),
        value: ms,
        must: { atMost: mostMs },
        unit: ' ms',
      })
    })
    return { lines, notes: ['command: the baseline is Node with an empty program.'] }
  },
}
