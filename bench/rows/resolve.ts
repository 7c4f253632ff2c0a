import { startBaseline } from '../lib/baseline.js'
import { takeTurns } from '../lib/compare.js'
import { describeRise, readMetrics } from '../lib/metrics.js'
import { typicalContent } from '../lib/prompts.js'
import type { Scope } from '../lib/scope.js'
import { ask, makeDatabase, makeReadKey, type Stage, startInstance } from '../lib/stage.js'
import { factor, inform, milliseconds } from '../lib/table.js'
import { type Row, throughputLine } from './row.js'
import { canaryPercentage, subjects } from './typical.js'

const channels = 100

/** One subject in one of the channels; its guild is what no route asks for. */
const pathOf = (subject: number | string, channel: number | string) =>
  `/resolve?category=support&channel=channel-${channel}&guild=${subject}&key=user-${subject}`

const routes = `version: v1
routes:
  - "prompts/{category}/{channel}-{role}.md"
  - "prompts/{category}/{channel}.md"
  - "prompts/{category}/default.md"
`

export const resolve: Row = {
  name: 'resolve',
  runs: 'always',
  async measure(scope, stage) {
    const { url, authorization } = await startRouted(scope, stage)
    const headers = { authorization }
    const { body, headers: fields } = await ask(url, pathOf(1, 1), { headers })
    if (!body.includes('"level":"registry"')) throw new Error(`The context was not resolved: ${body}`)
    const contentType = { 'content-type': fields['content-type'] ?? '' }
    const bare = await startBaseline(scope, { from: 'constant', status: 200, headers: contentType, body })

    const requests = { path: pathOf('{n}', '{group}'), headers, count: subjects, groupSize: subjects / channels }
    const load = (at: string) => (seconds: number) => stage.load.run(at, requests, seconds)
    const before = await readMetrics(url)
    const results = await takeTurns({ service: load(url), bare: load(bare) }, stage.options, stage.say)
    const rise = describeRise(before, await readMetrics(url))
    const what = 'resolve, L1 hit, with key, canary and three routes'
    const [service, baseline] = [results.service.p99Ms, results.bare.p99Ms]
    const p99 = { service: milliseconds(service), baseline: milliseconds(baseline), ratio: factor(service / baseline) }
    return {
      lines: [throughputLine(what, results.service, results.bare, 0.6), inform({ what: `${what}: p99`, ...p99 })],
      notes: [`resolve: a body of ${Buffer.byteLength(body)} bytes, ${subjects} subjects in ${channels} channels; ${rise}.`],
    }
  },
}

/** An instance whose prompts come from a source with routes, and go two ways. */
async function startRouted(scope: Scope, stage: Stage): Promise<{ url: string; authorization: string }> {
  const databaseUrl = await makeDatabase(scope, stage, 'resolve')
  const { url } = await startInstance(scope, stage, { databaseUrl })
  await ask(url, '/projects', { body: { slug: 'acme' } })
  for (const alias of ['production', 'dev']) {
    const of = (channel: number) => [
      `prompts/support/channel-${channel}.md`,
      `${typicalContent}\nChannel ${channel}, ${alias}.\n`,
    ]
    const files = { PATH: routes, ...Object.fromEntries(Array.from({ length: channels }, (_, channel) => of(channel))) }
    const body = { provider: 'inline', config: { files }, alias, enabled: false }
    await ask(url, '/sources/team?project=acme', { method: 'PUT', body })
    await ask(url, '/sources/team/sync?project=acme', { method: 'POST' })
  }
  await ask(url, '/canary?project=acme', { body: { alias: 'production', version: 'r2', percentage: canaryPercentage } })
  return { url, authorization: `Bearer ${await makeReadKey(url, 'acme')}` }
}
