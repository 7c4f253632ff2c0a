import { openShell, serviceEnv } from '../../test/helpers/cli.js'
import { ask, makeDatabase, startInstance } from '../lib/stage.js'
import { median, timed } from '../lib/statistics.js'
import { judge, milliseconds } from '../lib/table.js'
import type { Row } from './row.js'

const fileCount = 2_000
const rounds = 3
const beyondMs = 5_000

/** Prompts in folders, as a team keeps them. */
function makeFiles(): { path: string; content: string }[] {
  return Array.from({ length: fileCount }, (_, index) => ({
    path: `area-${index % 40}/prompt-${index}.md`,
    content: `${`You help with matter ${index}. `.repeat(20)}\n{{ question }}\n`,
  }))
}

/** `promptsync push` of a folder, beside the same body sent by hand: what is left is the command's own time. */
export const push: Row = {
  name: 'push',
  runs: 'always',
  async measure(scope, stage) {
    const databaseUrl = await makeDatabase(scope, stage, 'push')
    const { url } = await startInstance(scope, stage, { databaseUrl })
    const { body } = await ask(url, '/keys', {
      method: 'POST',
      body: { name: 'bench', scopes: ['prompts:read', 'prompts:write'] },
    })
    const shell = await openShell(scope, serviceEnv({ url }, (JSON.parse(body) as { secret: string }).secret))
    const files = makeFiles()
    await shell.write(Object.fromEntries(files.map(({ path, content }) => [`prompts/${path}`, content])))
    const times: { server: number; command: number }[] = []
    for (let round = 1; round <= rounds; round += 1) {
      const [direct, commanded] = [`direct-${round}`, `command-${round}`]
      for (const slug of [direct, commanded]) await ask(url, '/projects', { method: 'POST', body: { slug } })
      const server = await timed(() => ask(url, `/prompts?project=${direct}`, { method: 'POST', body: { files } }))
      const command = await timed(() => runPush(shell, commanded))
      times.push({ server, command })
    }
    const [server, command] = [median(times.map((time) => time.server)), median(times.map((time) => time.command))]
    const line = judge({
      what: `promptsync push: ${fileCount.toLocaleString('en')} files, beyond the server's own time`,
      service: milliseconds(command),
      baseline: milliseconds(server),
      ratio: milliseconds(Math.max(0, command - server)),
      value: command - server,
      must: { atMost: beyondMs },
      unit: ' ms',
    })
    return {
      lines: [line],
      notes: ['push: service is the whole command, baseline the same body sent by hand, ratio what is left.'],
    }
  },
}

async function runPush({ promptsync }: Awaited<ReturnType<typeof openShell>>, project: string): Promise<void> {
  const { code, stderr } = await promptsync(['push', '--project', project])
  if (code !== 0) throw new Error(`The push ended with ${code}: ${stderr}`)
}
