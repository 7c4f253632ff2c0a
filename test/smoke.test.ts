import t from 'tap'
import { startService } from './helpers/service.js'

t.test('a pushed prompt is served by its alias at once', async (t) => {
  const service = await startService(t)
  await service.push({ alias: 'production', prompts: [{ name: 'hello', content: 'Hello {{ name }}' }] })
  const { status, body } = await service.call('/prompts/hello/production', { key: null })
  t.equal(status, isPublic(service.deps.connection.kind) ? 200 : 401)
  const keyed = await service.call('/prompts/hello/production')
  t.equal(keyed.body.content, 'Hello {{ name }}', body?.detail)
})

function isPublic(kind: string): boolean {
  return kind === 'embedded'
}
