import { runInNewContext } from 'node:vm'
import { build, type Plugin } from 'esbuild'
import t from 'tap'

/** nunjucks' parser shares a file with its other classes, one of which is an emitter of events that nothing here uses. */
const withoutEvents: Plugin = {
  name: 'without-events',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^events$/ }, () => ({ path: 'events', namespace: 'none' }))
    onLoad({ filter: /./, namespace: 'none' }, () => ({ contents: 'module.exports = class EventEmitter {}' }))
  },
}

t.test('prompts are rendered where there is no Node: none of its modules and none of its globals', async (t) => {
  const { outputFiles } = await build({
    entryPoints: ['src/lib/rendering/render-prompt.ts'],
    ...{ bundle: true, write: false, platform: 'browser', format: 'iife', globalName: 'rendering', logLevel: 'silent' },
    plugins: [withoutEvents],
  })
  const prompt = {
    ...{
      type: 'text',
      template: 'jinja',
      content: '{% include "tone" %} {{ docs|map(attribute="title")|join(", ") }}',
      messages: null,
    },
    inputs: { type: 'object', properties: { docs: { type: 'array' } } },
    variables: [{ name: 'docs', required: true }],
    includes: { tone: { name: 'tone', version: 'v1', template: 'jinja', content: 'Be kind.', includes: {} } },
  }
  const request = { variables: { docs: [{ title: 'One' }, { title: 'Two' }] } }
  const script = `${outputFiles[0]?.text}; JSON.stringify(rendering.renderPrompt(${JSON.stringify(prompt)}, ${JSON.stringify(request)}))`
  t.equal(runInNewContext(script, { URL }, { timeout: 10_000 }), '{"text":"Be kind. One, Two"}')
})
