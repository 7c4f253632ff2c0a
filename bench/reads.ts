// The cost of reading beside bare Fastify: `npm run bench`. Starts all it needs, ends it again, and prints a table.
import { type Options, OptionsError, readOptions } from './lib/options.js'
import { openScope, type Scope, within } from './lib/scope.js'
import { createStage, describeMachine } from './lib/stage.js'
import { type Findings, toMarkdown } from './lib/table.js'
import { aliasMove } from './rows/alias-move.js'
import { bothMiss } from './rows/both-miss.js'
import { client } from './rows/client.js'
import { command } from './rows/command.js'
import { hotMove } from './rows/hot-move.js'
import { l1Hit } from './rows/l1-hit.js'
import { largeSet } from './rows/large.js'
import { memory } from './rows/memory.js'
import { notModified } from './rows/not-modified.js'
import { push } from './rows/push.js'
import { redisHit } from './rows/redis-hit.js'
import { render } from './rows/render.js'
import { resolve } from './rows/resolve.js'
import type { Row } from './rows/row.js'
import { scaling } from './rows/scaling.js'
import { scan } from './rows/scan.js'
import { sourceSync } from './rows/source-sync.js'

const rows: Row[] = [
  l1Hit,
  notModified,
  redisHit,
  bothMiss,
  render,
  resolve,
  largeSet,
  aliasMove,
  hotMove,
  scan,
  memory,
  scaling,
  sourceSync,
  push,
  command,
  client,
]

/** Measures the rows one after the other; one that fails is told of at its place, and the others go on. */
async function measure(scope: Scope, options: Options, chosen: readonly Row[]): Promise<Findings> {
  const stage = await createStage(scope, options)
  const all: Findings = { lines: [], notes: [] }
  for (const row of chosen) {
    stage.say(`${row.name} …`)
    try {
      const found = await within(scope, (own) => row.measure(own, stage))
      stage.say(toMarkdown(found.lines))
      all.lines.push(...found.lines)
      all.notes.push(...found.notes)
    } catch (error) {
      process.exitCode = 1
      stage.say(String((error as Error).stack))
      const empty = { service: '', baseline: '', ratio: '', must: '' }
      all.lines.push({ what: row.name, ...empty, verdict: `**failed**: ${(error as Error).message.split('\n', 1)[0]}` })
    }
  }
  return all
}

function print({ lines, notes }: Findings, { runs, seconds, warmUpSeconds }: Options): void {
  const how = `Medians of ${runs} runs of ${seconds} s by turns, after ${warmUpSeconds} s to warm up; wrk, 1 thread, 32 connections.`
  const about = [describeMachine(), how, ...notes].map((note) => `- ${note}`)
  process.stdout.write(`${toMarkdown(lines)}\n\n${about.join('\n')}\n`)
}

/** A signal ends what was started, too. */
function endOnSignals(scope: Scope): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      scope.close().finally(() => process.exit(1))
    })
  }
}

async function main(args: string[]): Promise<void> {
  const options = readOptions(
    args,
    rows.map(({ name }) => name),
  )
  const chosen = rows.filter(({ name, runs }) => options.only?.includes(name) ?? runs === 'always')
  const scope = openScope()
  endOnSignals(scope)
  try {
    print(await measure(scope, options, chosen), options)
  } finally {
    await scope.close()
  }
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${error instanceof OptionsError ? error.message : (error as Error).stack}\n`)
  process.exit(1)
})
