import { PromptManager } from '../../src/client/index.js'
import { takeTurns } from '../lib/compare.js'
import type { Load } from '../lib/load.js'
import type { Scope } from '../lib/scope.js'
import { ask, type Stage } from '../lib/stage.js'
import { median, quantile } from '../lib/statistics.js'
import { factor, judge, type Line, perSecond } from '../lib/table.js'
import type { Row } from './row.js'
import { startTypicalService, subjects } from './typical.js'

const typicalTags = { locale: 'cn', tone: 'friendly' }
/** After so many calls whatever else there is to do gets its turn: plans are renewed, timers fire. */
const callsATurn = 10_000

/** How fast the TypeScript client answers from memory: a loop that awaits each prompt, on one core. */
export const client: Row = {
  name: 'client',
  runs: 'always',
  async measure(scope, stage) {
    const manager = await startManager(scope, stage)
    const keys = Array.from({ length: subjects }, (_, subject) => `user-${subject}`)
    await expectBothSides(manager, keys)
    const bare = new Map([['support', await manager.getPrompt('support', { ref: 'stable' })]])
    const contestants = {
      plain: loop(() => manager.getPrompt('support', { ref: 'stable' })),
      decided: loop((call) => manager.getPrompt('support', { tags: { ...typicalTags }, key: keys[call % subjects] ?? '' })),
      bare: loop(async () => bare.get('support')),
    }
    const results = await takeTurns(contestants, stage.options, stage.say)
    const line = (what: string, atLeast: number, found: number): Line =>
      judge({
        what: `client: getPrompt from memory, ${what}`,
        service: perSecond(found),
        baseline: perSecond(results.bare.perSecond),
        ratio: factor(found / results.bare.perSecond),
        value: found,
        must: { atLeast },
        unit: '/s',
      })
    return {
      lines: [
        line('by an alias', 1_000_000, results.plain.perSecond),
        line('with tags and a key, by an alias with a canary', 300_000, results.decided.perSecond),
      ],
      notes: ['client: the baseline is a look-up in a Map by an asynchronous function.'],
    }
  },
}

/** A manager that knows the prompt by an alias with a canary and by one without. */
async function startManager(scope: Scope, stage: Stage): Promise<PromptManager> {
  const { instance, authorization } = await startTypicalService(scope, stage, 'client')
  const { url } = instance
  await ask(url, '/aliases/stable?project=acme', { method: 'PUT', body: { version: 'r1' } })
  const token = authorization.replace('Bearer ', '')
  const manager = new PromptManager({ url, token })
  scope.teardown(() => manager.close())
  return manager
}

/** Makes sure that subjects are on both sides of the canary and get their variant, from memory. */
async function expectBothSides(manager: PromptManager, keys: readonly string[]): Promise<void> {
  const sides = new Set<boolean | undefined>()
  for (const key of keys.slice(0, 100)) {
    const { canary, tags, servedFrom } = await manager.getPrompt('support', { tags: typicalTags, key })
    if (tags.locale !== 'cn') throw new Error('The variant was not chosen.')
    if (key !== keys[0] && servedFrom !== 'memory') throw new Error(`A prompt was served from ${servedFrom}.`)
    sides.add(canary?.selected)
  }
  if (!sides.has(true) || !sides.has(false)) throw new Error('All of a hundred subjects are on one side of the canary.')
}

/** Awaits one call after the other for so long. Latencies are means of turns: a single call is too short to be timed. */
function loop(call: (index: number) => Promise<unknown>): (seconds: number) => Promise<Load> {
  return async (seconds) => {
    const began = performance.now()
    const latencies: number[] = []
    for (let turns = 0; performance.now() - began < seconds * 1_000; turns += 1) {
      const turnBegan = performance.now()
      for (let index = 0; index < callsATurn; index += 1) await call(turns * callsATurn + index)
      latencies.push((performance.now() - turnBegan) / callsATurn)
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
    const requests = latencies.length * callsATurn
    const perSecond = (requests * 1_000) / (performance.now() - began)
    return { requests, perSecond, medianMs: median(latencies), p99Ms: quantile(latencies, 0.99), next: 0, buckets: new Map() }
  }
}
