import { startBaseline } from '../lib/baseline.js'
import { takeTurns } from '../lib/compare.js'
import { describeRise, readMetrics } from '../lib/metrics.js'
import { type Answer, ask } from '../lib/stage.js'
import { factor, inform, perSecond } from '../lib/table.js'
import { p99Line, type Row, throughputLine } from './row.js'
import { startTypicalService, subjects, typicalPath } from './typical.js'

/** Fields that Node writes itself. */
const written = new Set(['connection', 'keep-alive', 'date', 'content-length', 'transfer-encoding'])

export const l1Hit: Row = {
  name: 'l1-hit',
  runs: 'always',
  async measure(scope, stage) {
    const { instance, authorization } = await startTypicalService(scope, stage, 'l1_hit')
    const headers = { authorization }
    const { body, headers: fields } = await expectBothSides(instance.url, headers)
    const contentType = { 'content-type': fields['content-type'] ?? '' }
    const all = Object.fromEntries(Object.entries(fields).filter(([name]) => !written.has(name)))
    const bare = await startBaseline(scope, { from: 'constant', status: 200, headers: contentType, body })
    const sameFields = await startBaseline(scope, { from: 'constant', status: 200, headers: all, body })

    const requests = { path: typicalPath('{n}'), headers, count: subjects }
    const load = (url: string) => (seconds: number) => stage.load.run(url, requests, seconds)
    const before = await readMetrics(instance.url)
    const contestants = { service: load(instance.url), bare: load(bare), 'bare with the same header fields': load(sameFields) }
    const results = await takeTurns(contestants, stage.options, stage.say)
    const rise = describeRise(before, await readMetrics(instance.url))
    const other = results['bare with the same header fields']
    const what = 'fetch, L1 hit, with key, project alias, canary and tags'
    return {
      lines: [
        throughputLine(what, results.service, results.bare, 0.8),
        p99Line(`${what}: p99`, results.service, results.bare, 1.5),
        inform({
          what: `${what}: beside bare Fastify that sends the same header fields, too`,
          service: perSecond(results.service.perSecond),
          baseline: perSecond(other.perSecond),
          ratio: factor(results.service.perSecond / other.perSecond),
        }),
      ],
      notes: [`l1-hit: a body of ${Buffer.byteLength(body)} bytes, ${subjects} subjects; ${rise}.`],
    }
  },
}

/** Makes sure that subjects are on both sides of the canary and get their variant; answers what one on the stable side gets. */
async function expectBothSides(url: string, headers: Record<string, string>): Promise<Answer> {
  const answers = await Promise.all(Array.from({ length: 100 }, (_, subject) => ask(url, typicalPath(subject), { headers })))
  const isSelected = ({ body }: Answer) => (JSON.parse(body) as { canary: { selected: boolean } }).canary.selected
  const stable = answers.find((answer) => !isSelected(answer))
  if (!stable || !answers.some(isSelected)) throw new Error('All of a hundred subjects are on one side of the canary.')
  if (!stable.body.includes('Answer in Chinese.')) throw new Error('The variant was not chosen.')
  return stable
}
