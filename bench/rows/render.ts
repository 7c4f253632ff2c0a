import { startBaseline } from '../lib/baseline.js'
import { takeTurns } from '../lib/compare.js'
import { typicalVariables } from '../lib/prompts.js'
import { ask } from '../lib/stage.js'
import { type Row, throughputLine } from './row.js'
import { startTypicalService } from './typical.js'

export const render: Row = {
  name: 'render',
  runs: 'always',
  async measure(scope, stage) {
    const { instance, authorization } = await startTypicalService(scope, stage, 'render')
    const path = '/prompts/support/production/render'
    const headers = { authorization, 'content-type': 'application/json' }
    const body = JSON.stringify({ variables: typicalVariables, tags: { locale: 'cn', tone: 'friendly' }, key: 'user-1' })
    const answer = await ask(instance.url, path, { body, headers })
    const contentType = { 'content-type': answer.headers['content-type'] ?? '' }
    const baseline = await startBaseline(scope, { from: 'constant', status: 200, headers: contentType, body: answer.body })

    const requests = { method: 'POST' as const, path, headers, body }
    const load = (url: string) => (seconds: number) => stage.load.run(url, requests, seconds)
    const results = await takeTurns({ service: load(instance.url), bare: load(baseline) }, stage.options, stage.say)
    return {
      lines: [throughputLine('render of a typical prompt, cached template', results.service, results.bare, 0.5)],
      notes: [`render: a request of ${body.length} bytes, an answer of ${Buffer.byteLength(answer.body)} bytes.`],
    }
  },
}
