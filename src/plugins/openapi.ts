import helmet, { type FastifyHelmetOptions } from '@fastify/helmet'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'
import { packageVersion } from '../lib/package-version.js'

const description = [
  'A prompt registry: push prompts, move aliases, fetch by name and ref.',
  'The project is `?project=` or the header `X-Promptsync-Project`, else that of the key, else `default`.',
  'Every path also works below `/api`. Every error is `application/problem+json` with a stable `code`.',
].join('\n\n')

/**
 * For the pages only. Swagger UI brings its scripts and styles as files, its icons as `data:`. Whether a connection is
 * to be encrypted is said by the proxy that ends TLS: here it would break the plain HTTP that is the default.
 */
const pageHeaders: FastifyHelmetOptions = {
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'", 'data:'],
      connectSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
    },
  },
  frameguard: { action: 'deny' },
  strictTransportSecurity: false,
}

/** OpenAPI 3.1 from the routes' own schemas, at /openapi.json and, to be read, at /docs. */
export const openapiPlugin = fp(
  async (app) => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: { title: 'promptsync', description, version: packageVersion, license: { name: 'MIT', identifier: 'MIT' } },
        components: {
          securitySchemes: {
            bearer: { type: 'http', scheme: 'bearer' },
            apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
          },
        },
      },
      transform: (input) => {
        const { schema, url } = jsonSchemaTransform(input)
        return { schema: { ...schema, ...accessOf(input.route) }, url }
      },
      transformObject: jsonSchemaTransformObject,
    })
    await app.register(async (pages) => {
      await pages.register(helmet, pageHeaders)
      await pages.register(swaggerUi, { routePrefix: '/docs', uiConfig: { docExpansion: 'list', persistAuthorization: false } })
    })
    app.get('/openapi.json', { config: { scope: 'public' }, schema: { hide: true } }, async () => app.swagger())
  },
  { name: 'openapi' },
)

/** What a key needs for a route, in the words of OpenAPI; reads of a public project need none. */
function accessOf({ config }: RouteOptions) {
  const scope = config?.scope
  if (scope === undefined || scope === 'public') return { security: [] }
  const keys = [{ bearer: [scope] }, { apiKey: [scope] }]
  return { security: scope === 'prompts:read' ? [{}, ...keys] : keys }
}
