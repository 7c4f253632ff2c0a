import { z } from 'zod'
import { maxContextValueLength } from '../../lib/path-file/values.js'
import { JsonObject, Ref, text } from '../../lib/schemas.js'
import type { Tags } from '../../lib/variants.js'
import { FetchedPrompt, FetchQuery } from '../fetch/fetch.schema.js'
import { RenderedPrompt, RenderRequest } from '../render/render.schema.js'

const maxVariables = 50
const variable = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/

const ContextValue = text(maxContextValueLength)

/** What the parameters of the query are that say something else than the context. */
const named = { ...FetchQuery.pick({ project: true, tag: true, key: true, canary: true }).shape, ref: Ref.optional() }

function variablesIn(query: object): string[] {
  return Object.keys(query).filter((name) => !Object.hasOwn(named, name))
}

/** All other parameters are variables of the context. */
export const ResolveQuery = z
  .object(named)
  .catchall(ContextValue)
  .superRefine((query, issues) => {
    const names = variablesIn(query)
    for (const name of names.filter((name) => !variable.test(name)))
      issues.addIssue({ code: 'custom', path: [name], message: 'is no variable: letters, digits and "_", at most 64' })
    if (names.length > maxVariables) issues.addIssue({ code: 'custom', message: `has more than ${maxVariables} variables` })
  })
  .meta({ description: 'The context: `category`, `channel`, `guild`, `role` and whatever else the PATH files route by.' })
export type ResolveQuery = z.infer<typeof ResolveQuery>

export const ResolveRequest = RenderRequest.extend({
  context: z
    .record(z.string().regex(variable, 'must be letters, digits and "_", at most 64'), ContextValue)
    .refine((context) => Object.keys(context).length <= maxVariables, `must hold at most ${maxVariables} variables`)
    .default({})
    .meta({ description: 'What routes: `category`, `channel`, `guild`, `role` and the like.' }),
  ref: Ref.optional().meta({ description: 'The release, or the alias of one; by default the default alias of the project.' }),
  canary: z.literal('off').optional().meta({ description: '`off` ignores a running canary.' }),
}).meta({ id: 'ResolveRequest' })
export type ResolveRequest = z.infer<typeof ResolveRequest>

export type ResolveWanted = {
  context: Readonly<Record<string, string>>
  /** By default the default alias of the project. */
  ref: string | undefined
  tags: Tags
  key: string | undefined
  canary: 'on' | 'off'
}

/** What a query asks for, and a body with it: where both say something of the same, the body counts. */
export function wantedOf(query: ResolveQuery, body: Partial<ResolveRequest> = {}): ResolveWanted {
  const inQuery = variablesIn(query).map((name) => [name, String(query[name])])
  return {
    context: { ...Object.fromEntries(inQuery), ...body.context },
    ref: body.ref ?? query.ref,
    tags: { ...query.tag, ...body.tags },
    key: body.key ?? query.key,
    canary: body.canary ?? query.canary ?? 'on',
  }
}

/** The four levels, the first that has an answer. */
export const levels = ['registry', 'stale', 'default', 'fallback'] as const

const resolved = {
  level: z.enum(levels).meta({
    description:
      '`registry`; `stale` where that could not be confirmed; `default` for the built-in of the category; `fallback` for the last resort.',
  }),
  stale: z.boolean().meta({
    description:
      'Whether it could not be confirmed: its source has been out of reach for longer than `ttlSeconds`, or the database is.',
  }),
  route: z.string().nullable().meta({ description: 'The route that was chosen.' }),
  tried: z.array(z.string()).meta({
    description: 'The files that were looked for, in their order; where a route was chosen, it ends with what was found.',
  }),
  origin: z
    .object({ source: z.string(), paths: z.array(z.string()) })
    .nullable()
    .meta({ description: 'The source that brings it, and its files.' }),
}

export const ResolvedPrompt = FetchedPrompt.extend(resolved).meta({ id: 'ResolvedPrompt' })
export const ResolvedRendering = RenderedPrompt.extend(resolved).meta({ id: 'ResolvedRendering' })

export const ResolvePreview = z
  .object({
    ref: z.string(),
    release: z.string().nullable(),
    context: JsonObject,
    level: z.enum(levels),
    prompt: z.string().meta({ description: 'The name of the prompt that is answered.' }),
    version: z.string(),
    sources: z.array(
      z.object({
        name: z.string(),
        freshness: z.enum(['fresh', 'stale', 'gone', 'removed', 'unknown']),
        hasPathFile: z.boolean(),
        files: z.number().int(),
      }),
    ),
    steps: z.array(
      z.object({
        source: z.string(),
        route: z.string(),
        outcome: z.enum(['skipped', 'missing', 'refused', 'chosen']),
        paths: z.array(z.string()),
        why: z.string(),
      }),
    ),
    problem: z.string().nullable().meta({ description: 'Why the registry has no answer, where it has none.' }),
  })
  .meta({ id: 'ResolvePreview' })
export type ResolvePreview = z.infer<typeof ResolvePreview>
