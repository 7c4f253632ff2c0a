type Marked = { name: string; version: string }

/** As much of OpenTelemetry as is used. */
type Api = { trace: { getActiveSpan(): { setAttribute(key: string, value: string): unknown } | undefined } }

export type Telemetry = {
  /** Notes the prompt on the span that is active where this is called; of several in one span the last one stays. */
  mark(prompt: Marked): void
}

export type TelemetryOptions = {
  /** Told of a package that is there and cannot be loaded, and of spans that cannot be written to. */
  onError?: (error: unknown) => void
  /** Loads `@opentelemetry/api`. */
  load?: () => Promise<Api>
}

/**
 * Sets `gen_ai.prompt.name` and `gen_ai.prompt.version` on the active span where the application has `@opentelemetry/api`. Without
 * it nothing happens. What is marked while the package is being loaded is noted when it is there, on the span of its caller.
 */
export function createTelemetry({ onError, load = loadApi }: TelemetryOptions = {}): Telemetry {
  let api: Api | null = null
  let loading: Promise<void> | null = load()
    .then((loaded) => {
      api = loaded
    })
    .catch((error: unknown) => {
      if (!isAbsent(error)) onError?.(error)
    })
    .finally(() => {
      loading = null
    })
  // What an exporter of the application throws is no reason to do without a prompt.
  const noteSafely = (prompt: Marked) => {
    try {
      if (api !== null) note(api, prompt)
    } catch (error) {
      onError?.(error)
    }
  }
  return {
    mark(prompt) {
      if (api !== null) noteSafely(prompt)
      else if (loading !== null) loading.then(() => noteSafely(prompt))
    },
  }
}

function note({ trace }: Api, { name, version }: Marked): void {
  const span = trace.getActiveSpan()
  if (!span) return
  span.setAttribute('gen_ai.prompt.name', name)
  span.setAttribute('gen_ai.prompt.version', version)
}

/** The package is the application's. A bundler that looked for it would fail where there is none, so it is told not to. */
async function loadApi(): Promise<Api> {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ '@opentelemetry/api')
}

/** Node, Bun and Deno have a code for it; browsers and contexts without a loader only have words. */
function isAbsent(error: unknown): boolean {
  const { code = '', message = '' } = (error ?? {}) as { code?: unknown; message?: string }
  if (['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND', 'ERR_VM_DYNAMIC_IMPORT_CALLBACK_MISSING'].includes(String(code))) return true
  return error instanceof TypeError && /specifier|resolv|import/i.test(message)
}
