import { randomUUID } from 'node:crypto'
import Fastify, { LogController } from 'fastify'
import { serializerCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import type { Config } from './config.js'
import type { Deps } from './deps.js'
import { aliasRoutes } from './features/aliases/aliases.routes.js'
import { auditRoutes } from './features/audit/audit.routes.js'
import { canaryRoutes } from './features/canaries/canaries.routes.js'
import { diffRoutes } from './features/diff/diff.routes.js'
import { eventRoutes } from './features/events/events.routes.js'
import { fetchRoutes } from './features/fetch/fetch.routes.js'
import { keyRoutes } from './features/keys/keys.routes.js'
import { planRoutes } from './features/plans/plans.routes.js'
import { projectRoutes } from './features/projects/projects.routes.js'
import { promptRoutes } from './features/prompts/prompts.routes.js'
import { purgeRoutes } from './features/purge/purge.routes.js'
import { pushRoutes } from './features/push/push.routes.js'
import { releaseRoutes } from './features/releases/releases.routes.js'
import { renderRoutes } from './features/render/render.routes.js'
import { resolveRoutes } from './features/resolve/resolve.routes.js'
import { hookRoutes } from './features/sources/hooks.routes.js'
import { sourceRoutes } from './features/sources/sources.routes.js'
import { validateRoutes } from './features/validate/validate.routes.js'
import { type App, validateWithZod } from './http.js'
import { authPlugin } from './plugins/auth.js'
import { browsersPlugin, forbidSniffing } from './plugins/browsers.js'
import { closingPlugin } from './plugins/closing.js'
import { healthPlugin } from './plugins/health.js'
import { inputPlugin } from './plugins/input.js'
import { limitsPlugin, type ServerLimits, serverLimits, serverOptions } from './plugins/limits.js'
import { memoryFirstPlugin } from './plugins/memory-first.js'
import { methodsPlugin } from './plugins/methods.js'
import { metricsPlugin } from './plugins/metrics.js'
import { openapiPlugin } from './plugins/openapi.js'
import { patiencePlugin } from './plugins/patience.js'
import { answerClientError, answerFrameworkError, problemsPlugin } from './plugins/problems.js'
import { syncingPlugin } from './plugins/syncing.js'
import { watchPlugin } from './plugins/watch.js'

/** As long as Node lets a URL be: the grammar decides what a name is, not the router. */
const maxParamLength = 16_384

/** The whole service on the given dependencies, ready to listen or to be injected. */
export async function buildApp(deps: Deps, limits: ServerLimits = serverLimits): Promise<App> {
  const app = Fastify({
    loggerInstance: deps.log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: deps.config.bodyLimitBytes,
    routerOptions: { maxParamLength },
    trustProxy: toTrust(deps.config.trustProxy),
    ...serverOptions(limits),
    return503OnClosing: false,
    clientErrorHandler: answerClientError,
    // No hook runs for these.
    frameworkErrors: (error, request, reply) => answerFrameworkError(error, request, forbidSniffing(reply)),
    genReqId: ({ headers }) => requestIdFrom(headers['x-request-id']) ?? randomUUID(),
    // The older documents call every path below /api.
    rewriteUrl: ({ url = '/' }) => (url.startsWith('/api/') ? url.slice('/api'.length) : url),
  }).withTypeProvider<ZodTypeProvider>()

  app.decorate('deps', deps)
  app.decorate('begun', new WeakMap())
  app.setValidatorCompiler(validateWithZod)
  app.setSerializerCompiler(serializerCompiler)
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    done()
  })

  // First, so that its headers are on refusals too and a preflight, which cannot carry a key, needs none.
  await app.register(browsersPlugin)
  await app.register(problemsPlugin)
  await app.register(closingPlugin)
  await app.register(inputPlugin)
  await app.register(methodsPlugin)
  await app.register(limitsPlugin, limits)
  await app.register(authPlugin)
  await app.register(watchPlugin)
  await app.register(syncingPlugin)
  await app.register(patiencePlugin)
  await app.register(openapiPlugin)
  await app.register(healthPlugin)
  await app.register(metricsPlugin)
  await app.register(memoryFirstPlugin)

  await app.register(pushRoutes)
  await app.register(fetchRoutes)
  await app.register(planRoutes)
  await app.register(renderRoutes)
  await app.register(diffRoutes)
  await app.register(validateRoutes)
  await app.register(promptRoutes)
  await app.register(purgeRoutes)
  await app.register(releaseRoutes)
  await app.register(aliasRoutes)
  await app.register(canaryRoutes)
  await app.register(projectRoutes)
  await app.register(keyRoutes)
  await app.register(auditRoutes)
  await app.register(eventRoutes)
  await app.register(sourceRoutes)
  await app.register(hookRoutes)
  await app.register(resolveRoutes)

  app.refuseOtherMethods()
  return app as unknown as App
}

/** Fastify takes no number of hops, since it cannot tell who the nearest one is: whoever sets it has made sure. */
function toTrust(trust: Config['trustProxy']) {
  return typeof trust === 'number' ? (_address: string, hop: number) => hop < trust : trust
}

/** A caller's own request id, where it is short and plain enough to be put into headers and logs. */
function requestIdFrom(header: string | string[] | undefined): string | null {
  return typeof header === 'string' && /^[\w.:-]{1,128}$/.test(header) ? header : null
}
