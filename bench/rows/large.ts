import { Agent } from 'node:http'
import { adminKey } from '../../test/faults/helpers/promptsync.js'
import { startRedis } from '../../test/faults/helpers/redis-server.js'
import { type Catalogue, fillCatalogue, projectOf, promptOf } from '../lib/catalogue.js'
import { takeTurns } from '../lib/compare.js'
import { readOne } from '../lib/reader.js'
import type { Scope } from '../lib/scope.js'
import { type Instance, makeDatabase, type Stage, startInstance } from '../lib/stage.js'
import { median, quantile } from '../lib/statistics.js'
import { factor, judge, milliseconds } from '../lib/table.js'
import { type Row, throughputLine } from './row.js'

const large: Catalogue = { projects: 1_000, promptsPerProject: 100, versionsPerPrompt: 10 }
const small: Catalogue = { projects: 10, promptsPerProject: 100, versionsPerPrompt: 10 }
/** As many as the small set has, so that both hold equally much in memory; in the large one they are one of each project. */
const hotPrompts = small.projects * small.promptsPerProject
/** Of those, the first are read for the code to be compiled, and the others are timed. */
const coldWarmUps = 300
const headers = { authorization: `Bearer ${adminKey}` }

/** A set on a database and a Redis of its own. */
type Set = { name: string; catalogue: Catalogue; options: { databaseUrl: string; redisUrl: string }; instance: Instance }

export const largeSet: Row = {
  name: 'large',
  runs: 'always',
  async measure(scope, stage) {
    const sets = {
      large: await startSet(scope, stage, 'large_set', large),
      small: await startSet(scope, stage, 'small_set', small),
    }
    const cold = await measureCold(sets)
    const load = (set: Set) => (seconds: number) => stage.load.run(set.instance.url, hotRequests(set), seconds)
    const results = await takeTurns({ large: load(sets.large), small: load(sets.small) }, stage.options, stage.say)
    const medians = { large: median(cold.large), small: median(cold.small) }
    const what = '1,000,000 versions of 100,000 prompts in 1,000 projects'
    return {
      lines: [
        throughputLine(`${what}: L1 hit, beside 10,000 versions of 1,000 prompts`, results.large, results.small, 0.95),
        judge({
          what: `${what}: cold fetch, median, beside the same`,
          service: milliseconds(medians.large),
          baseline: milliseconds(medians.small),
          ratio: factor(medians.large / medians.small),
          value: medians.large / medians.small,
          must: { atMost: 2 },
          unit: ' ×',
        }),
      ],
      notes: [
        `large: ${hotPrompts} hot prompts in both; ${cold.large.length} cold fetches of each, one after the other by turns, p99 ` +
          `${milliseconds(quantile(cold.large, 0.99))} and ${milliseconds(quantile(cold.small, 0.99))}.`,
      ],
    }
  },
}

async function startSet(scope: Scope, stage: Stage, name: string, catalogue: Catalogue): Promise<Set> {
  const { projects, promptsPerProject, versionsPerPrompt } = catalogue
  stage.say(`  fills Postgres with ${projects * promptsPerProject * versionsPerPrompt} versions`)
  const databaseUrl = await makeDatabase(scope, stage, name)
  await fillCatalogue(await stage.postgres.connect(name), catalogue)
  const { url: redisUrl } = await startRedis(scope)
  const options = { databaseUrl, redisUrl }
  return { name, catalogue, options, instance: await startInstance(scope, stage, options) }
}

/** Prompts are numbered through all projects: this step apart there are `hotPrompts` of them. */
function stepOf({ projects, promptsPerProject }: Catalogue): number {
  return (projects * promptsPerProject) / hotPrompts
}

function hotRequests({ catalogue }: Set) {
  const { promptsPerProject } = catalogue
  return { path: pathOf('{n}', '{group}'), headers, count: hotPrompts, step: stepOf(catalogue), groupSize: promptsPerProject }
}

function pathOf(number: number | string, group: number | string): string {
  return `/prompts/${promptOf(number)}/production?project=${projectOf(group)}`
}

/** Milliseconds of fetches of what was never asked for, on both sets by turns. */
async function measureCold(sets: { large: Set; small: Set }): Promise<{ large: number[]; small: number[] }> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const samples = { large: [] as number[], small: [] as number[] }
  try {
    for (let index = 0; index < hotPrompts; index += 1) {
      for (const name of ['large', 'small'] as const) {
        const { catalogue, instance } = sets[name]
        const number = ((index * 619) % hotPrompts) * stepOf(catalogue)
        const path = pathOf(number, Math.floor(number / catalogue.promptsPerProject))
        const { status, startedAt, endedAt } = await readOne(instance.url + path, headers, agent)
        if (status !== 200) throw new Error(`${path} answered ${status}.`)
        if (index >= coldWarmUps) samples[name].push(endedAt - startedAt)
      }
    }
  } finally {
    agent.destroy()
  }
  return samples
}
