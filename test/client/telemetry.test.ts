import { AsyncLocalStorage } from 'node:async_hooks'
import { type Context, type ContextManager, context, ROOT_CONTEXT, type Span, trace } from '@opentelemetry/api'
import t from 'tap'
import { createTelemetry } from '../../src/client/telemetry.js'

/** As much of a span as the API asks for, with what was set on it. */
function makeSpan(): { span: Span; attributes: Record<string, unknown> } {
  const attributes: Record<string, unknown> = {}
  const span = { setAttribute: (key: string, value: unknown) => Object.assign(attributes, { [key]: value }) }
  return { span: span as unknown as Span, attributes }
}

/** Keeps the active context across what is awaited, as the SDK of OpenTelemetry does on Node. */
function registerContexts(): () => void {
  const storage = new AsyncLocalStorage<Context>()
  const manager: ContextManager = {
    active: () => storage.getStore() ?? ROOT_CONTEXT,
    with: (active, work, self, ...args) => storage.run(active, () => work.call(self as never, ...args)),
    bind: (active, target) => target && (storage.run(active, () => AsyncLocalStorage.bind(target as never)) as typeof target),
    enable: () => manager,
    disable: () => manager,
  }
  context.setGlobalContextManager(manager)
  return () => context.disable()
}

const within = <Result>(span: Span, work: () => Result): Result => context.with(trace.setSpan(context.active(), span), work)
const marked = (name: string, version: string) => ({ 'gen_ai.prompt.name': name, 'gen_ai.prompt.version': version })
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

t.test('prompts are noted on the span of the one who asks for them', async (t) => {
  const telemetry = createTelemetry((error) => t.fail(String(error)))
  const [first, second, none] = [makeSpan(), makeSpan(), makeSpan()]

  within(first.span, () => telemetry.mark({ name: 'early', version: 'v0' }))
  t.same(first.attributes, {}, 'where nothing keeps contexts nothing happens')

  t.teardown(registerContexts())
  within(first.span, () => telemetry.mark({ name: 'support', version: 'v1' }))
  await within(second.span, async () => {
    await turn()
    telemetry.mark({ name: 'meeting/standup', version: 'v2' })
  })
  telemetry.mark({ name: 'nobody', version: 'v3' })
  t.same(first.attributes, marked('support', 'v1'))
  t.same(second.attributes, marked('meeting/standup', 'v2'))
  t.same(none.attributes, {})
})

t.test('a span that cannot be written to is reported and breaks nothing', async (t) => {
  t.teardown(registerContexts())
  const full = new Error('The exporter is full.')
  const span = {
    setAttribute: () => {
      throw full
    },
  }
  const errors: unknown[] = []
  const telemetry = createTelemetry((error) => errors.push(error))
  within(span as unknown as Span, () => telemetry.mark({ name: 'support', version: 'v1' }))
  t.same(errors, [full])
})
