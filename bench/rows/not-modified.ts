import { startBaseline } from '../lib/baseline.js'
import { takeTurns } from '../lib/compare.js'
import { ask } from '../lib/stage.js'
import { milliseconds } from '../lib/table.js'
import { type Row, throughputLine } from './row.js'
import { startTypicalService, typicalPath } from './typical.js'

export const notModified: Row = {
  name: 'not-modified',
  runs: 'always',
  async measure(scope, stage) {
    const { instance, authorization } = await startTypicalService(scope, stage, 'not_modified')
    const path = typicalPath(1)
    const { headers: fields } = await ask(instance.url, path, { headers: { authorization } })
    const etag = fields.etag ?? ''
    const headers = { authorization, 'if-none-match': etag }
    const { body } = await ask(instance.url, path, { headers })
    if (body !== '' || etag === '') throw new Error('The service did not answer 304 to the ETag it sent.')
    const baseline = await startBaseline(scope, { from: 'constant', status: 304, headers: { etag }, body: '' })

    const load = (url: string) => (seconds: number) => stage.load.run(url, { path, headers }, seconds)
    const results = await takeTurns({ service: load(instance.url), bare: load(baseline) }, stage.options, stage.say)
    const p99 = `p99 ${milliseconds(results.service.p99Ms)} beside ${milliseconds(results.bare.p99Ms)}`
    return {
      lines: [throughputLine('304 by ETag', results.service, results.bare, 0.85)],
      notes: [`not-modified: ${p99}.`],
    }
  },
}
