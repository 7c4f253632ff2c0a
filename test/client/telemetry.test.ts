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
  t.teardown(registerContexts())
  const telemetry = createTelemetry()
  const [first, second, none] = [makeSpan(), makeSpan(), makeSpan()]

  // The package is still being loaded.
  within(first.span, () => telemetry.mark({ name: 'support', version: 'v1' }))
  t.same(first.attributes, {})
  while (Object.keys(first.attributes).length === 0) await turn()
  t.same(first.attributes, marked('support', 'v1'), 'what was marked early is noted later, on its own span')

  await within(second.span, async () => {
    await turn()
    telemetry.mark({ name: 'meeting/standup', version: 'v2' })
  })
  telemetry.mark({ name: 'nobody', version: 'v3' })
  t.same(second.attributes, marked('meeting/standup', 'v2'))
  t.same(first.attributes, marked('support', 'v1'))
  t.same(none.attributes, {})
})

t.test('where there is no OpenTelemetry nothing happens, and nothing is reported', async (t) => {
  const missing = Object.assign(new Error("Cannot find package '@opentelemetry/api'"), { code: 'ERR_MODULE_NOT_FOUND' })
  const unresolved = new TypeError('Failed to resolve module specifier "@opentelemetry/api"')
  for (const absence of [missing, unresolved]) {
    const errors: unknown[] = []
    const telemetry = createTelemetry({ load: () => Promise.reject(absence), onError: (error) => errors.push(error) })
    telemetry.mark({ name: 'support', version: 'v1' })
    await turn()
    telemetry.mark({ name: 'support', version: 'v1' })
    t.same(errors, [])
  }
})

t.test('a package that is broken, and a span that cannot be written to, is reported and breaks nothing', async (t) => {
  const errors: unknown[] = []
  const onError = (error: unknown) => errors.push(error)
  const broken = new SyntaxError('Unexpected token')
  createTelemetry({ load: () => Promise.reject(broken), onError }).mark({ name: 'support', version: 'v1' })
  await turn()
  t.same(errors, [broken])

  const full = new Error('The exporter is full.')
  const span = () => ({
    setAttribute: () => {
      throw full
    },
  })
  const telemetry = createTelemetry({ load: async () => ({ trace: { getActiveSpan: span } }), onError })
  await turn()
  telemetry.mark({ name: 'support', version: 'v1' })
  t.equal(errors[1], full)
})
