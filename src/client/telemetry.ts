type Marked = { name: string; version: string }

/** As much of OpenTelemetry as is used. */
type Span = { setAttribute(key: string, value: string): unknown }
type Registry = { context?: { active(): { getValue(key: symbol): unknown } } }

export type Telemetry = {
  /** Notes the prompt on the span that is active where this is called; of several in one span the last one stays. */
  mark(prompt: Marked): void
}

/**
 * Where `@opentelemetry/api` 1.x keeps what an application registers with it, and by what a context keeps its span: both are
 * symbols that all copies of the package share. An import would fail applications that are bundled without the package, and would
 * not find the copy in those that are bundled with it.
 */
const registryKey = Symbol.for('opentelemetry.js.api.1')
const spanKey = Symbol.for('OpenTelemetry Context Key SPAN')

/**
 * Sets `gen_ai.prompt.name` and `gen_ai.prompt.version` on the active span where the application uses `@opentelemetry/api`.
 * Elsewhere nothing happens. `onError` is told of spans that cannot be written to.
 */
export function createTelemetry(onError: (error: unknown) => void): Telemetry {
  return {
    mark({ name, version }) {
      const registry = (globalThis as { [registryKey]?: Registry })[registryKey]
      if (registry?.context === undefined) return
      try {
        const span = registry.context.active().getValue(spanKey) as Span | undefined
        span?.setAttribute('gen_ai.prompt.name', name)
        span?.setAttribute('gen_ai.prompt.version', version)
      } catch (error) {
        // What an exporter of the application throws is no reason to do without a prompt.
        onError(error)
      }
    },
  }
}
