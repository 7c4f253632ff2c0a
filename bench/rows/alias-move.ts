import { setTimeout as delay } from 'node:timers/promises'
import { adminKey } from '../../test/faults/helpers/promptsync.js'
import { startRedis } from '../../test/faults/helpers/redis-server.js'
import { typicalPrompt } from '../lib/prompts.js'
import { type Scope, within } from '../lib/scope.js'
import { ask, type InstanceOptions, makeDatabase, type Stage, startInstance } from '../lib/stage.js'
import { median, quantile } from '../lib/statistics.js'
import { type Findings, judge, milliseconds } from '../lib/table.js'
import { createWatcher } from '../lib/watch.js'
import type { Row } from './row.js'

const others = 4
const withRedis = { moves: 200, atMostMs: 100, pauseMs: 20 }
const maxStalenessMs = 2_000
const withoutRedis = { moves: 30, atMostMs: maxStalenessMs, pauseMs: 500 }
const headers = { authorization: `Bearer ${adminKey}` }
const path = '/prompts/support/production?project=acme'

export const aliasMove: Row = {
  name: 'alias-move',
  runs: 'always',
  async measure(scope, stage) {
    const with_ = await within(scope, async (own) => {
      const { url: redisUrl } = await startRedis(own)
      const databaseUrl = await makeDatabase(own, stage, 'alias_move')
      return measureMoves(own, stage, { databaseUrl, redisUrl }, withRedis)
    })
    const without = await within(scope, async (own) => {
      const databaseUrl = await makeDatabase(own, stage, 'alias_move_alone')
      const env = { PROMPTSYNC_MAX_STALENESS: `${maxStalenessMs}ms` }
      return measureMoves(own, stage, { databaseUrl, env }, withoutRedis)
    })
    return {
      lines: [
        toLine(`alias move seen by ${others} other instances, with Redis: p99`, with_, withRedis.atMostMs),
        toLine(`alias move seen by ${others} other instances, without Redis: p99`, without, withoutRedis.atMostMs),
      ],
      notes: [
        describe('with Redis', with_),
        `${describe('without Redis', without)} PROMPTSYNC_MAX_STALENESS is ${maxStalenessMs} ms.`,
        'alias-move: from the answer to the PUT until the last of the others answered the new version; each is asked every 1 to 2 ms.',
      ],
    }
  },
}

function toLine(what: string, delays: number[], atMost: number): Findings['lines'][number] {
  const value = quantile(delays, 0.99)
  return judge({ what, service: milliseconds(value), value, must: { atMost }, unit: ' ms' })
}

function describe(which: string, delays: number[]): string {
  const worst = milliseconds(Math.max(...delays))
  return `alias-move: ${delays.length} moves ${which}, median ${milliseconds(median(delays))}, longest ${worst}.`
}

type Moves = { moves: number; pauseMs: number }

/** Milliseconds from the acknowledgement of each move until all others have seen it. */
async function measureMoves(scope: Scope, stage: Stage, options: InstanceOptions, { moves, pauseMs }: Moves): Promise<number[]> {
  const { url } = await startInstance(scope, stage, options)
  await ask(url, '/projects', { body: { slug: 'acme' } })
  await ask(url, '/prompts?project=acme', { body: { alias: 'production', prompts: [typicalPrompt('support')] } })
  await ask(url, '/prompts?project=acme', { body: { prompts: [typicalPrompt('support', 'second')] } })
  const watchers = []
  for (let count = 0; count < others; count += 1) {
    const instance = await startInstance(scope, stage, options)
    const watcher = createWatcher(instance.url + path, headers)
    scope.teardown(() => watcher.close())
    watchers.push(watcher)
  }
  await Promise.all(watchers.map((watcher) => watcher.sees('v1')))
  const delays: number[] = []
  for (let move = 0; move < moves; move += 1) {
    const number = move % 2 === 0 ? 2 : 1
    // Moves fall on any moment of what the instances do at intervals.
    await delay(Math.random() * pauseMs)
    const seen = watchers.map((watcher) => watcher.sees(`v${number}`))
    await Promise.all([moveTo(url, number), ...seen]).then(([movedAt, ...seenAt]) => {
      delays.push(Math.max(0, ...seenAt.map((at) => at - movedAt)))
    })
  }
  return delays
}

/** Answers when the move was acknowledged. */
async function moveTo(url: string, release: number): Promise<number> {
  await ask(url, '/aliases/production?project=acme', { method: 'PUT', body: { version: `r${release}` } })
  return performance.now()
}
