import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest, FastifySchemaCompiler, RawServerDefault } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { z } from 'zod'
import type { Deps } from './deps.js'
import { AppError } from './errors.js'
import type { Actor, Caller, Project, Scope } from './lib/access.js'
import type { HeldProject, Reader } from './lib/read-cache.js'
import { Problem } from './lib/schemas.js'
import { codeOf, invalid, toFindings } from './lib/validation.js'

/** What our plugins add to Fastify's types, and what every `*.routes` file shares. */
declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a key needs here; `public` needs none. A route without it stops the start. */
    scope?: Scope | 'public'
    /**
     * Which project the call is about: `required` (default) is the named one, else the key's own, else `default`;
     * `optional` may concern them all; `path` is `:slug`.
     */
    project?: 'required' | 'optional' | 'path'
    /** A global key may also name a project that was deleted: `request.project` is null then, `namedProject` its slug. */
    withDeleted?: boolean
    /** The route answers the prompt of `:name` and `:ref`: what it needs is read along with the key and the project. */
    readsPrompt?: boolean
    /** The route has something to answer while the database is away. */
    withoutDatabase?: boolean
    /** It even has to those whose key is known, and whose project cannot be looked up now: `request.held` is null then. */
    withoutProject?: boolean
  }
  interface FastifyInstance {
    deps: Deps
    /** The requests that came here after something was done of them. */
    begun: WeakMap<IncomingMessage, Begun>
  }
  interface FastifyRequest {
    actor: Actor
    /** The project the call is about; null only where a route may concern them all. */
    project: Project | null
    /** The same as it is held to answer reads. */
    held: HeldProject | null
    /** For how long the project could not be confirmed, in whole seconds; null where it was. */
    staleSeconds: number | null
    /** The slug in `?project=`, the header or the path, where one is given. */
    namedProject: string | null
  }
}

/**
 * What was done of a request before its route had it: whether it was counted, its body where that was read, and why what it
 * asks for cannot be loaded now, where that was waited for.
 */
export type Begun = { body: Buffer | null; isCounted: boolean; refusal?: AppError }

export type App = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, ZodTypeProvider>

/** A feature's routes, registered in app.ts. */
export type Routes = (app: App) => Promise<void>

/** The answer to anything that goes wrong, on every route. */
export const problems = {
  default: { description: 'A problem (RFC 9457)', content: { 'application/problem+json': { schema: Problem } } },
}

/** The request as services take it. */
export function callerOf(request: FastifyRequest): Caller {
  const { actor, project, id } = request
  if (!project) throw new Error('The route asks for a project but is not declared with one.')
  return { actor, project, requestId: id }
}

/** What a read is answered from. */
export function readerOf(request: FastifyRequest): Reader {
  const { held, staleSeconds } = request
  if (!held) throw new Error('The route asks for a project but is not declared with one.')
  return { held, staleSeconds }
}

/** The same where the route has something to answer without a project. */
export function readerIfHeld({ held, staleSeconds }: FastifyRequest): Reader | null {
  return held && { held, staleSeconds }
}

/** A body is needed and there is none. */
function emptyBody(): AppError {
  return new AppError('body.malformed', 'The body is empty. Send a JSON object.')
}

/** Validates a part of a request with the schema its route declares; findings become one `AppError`. */
export const validateWithZod: FastifySchemaCompiler<z.ZodType> =
  ({ schema, httpPart }) =>
  (value) => {
    const parsed = schema.safeParse(value)
    if (parsed.success) return { value: parsed.data }
    if (httpPart === 'body' && (value === undefined || value === null)) return { error: emptyBody() }
    return { error: invalid(codeOf(parsed.error.issues), toFindings(parsed.error.issues)) }
  }

/** For a push, whose service validates the lists item by item: all at once they would hold the event loop. */
export const validateAllButBody: FastifySchemaCompiler<unknown> = (route) =>
  route.httpPart === 'body' ? requireBody : validateWithZod(route as never)

function requireBody(value: unknown) {
  return value === undefined || value === null ? { error: emptyBody() } : { value }
}
