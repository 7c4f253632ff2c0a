import { startRedis } from '../../test/faults/helpers/redis-server.js'
import { typicalPrompt, typicalTags } from '../lib/prompts.js'
import type { Scope } from '../lib/scope.js'
import { ask, type Instance, makeDatabase, makeReadKey, type Stage, startInstance } from '../lib/stage.js'

export const subjects = 10_000
export const canaryPercentage = 10

/** The address of one subject's prompt. */
export const typicalPath = (subject: number | string) => `/prompts/support/production?key=user-${subject}&${typicalTags}`

export type TypicalService = { instance: Instance; authorization: string; databaseUrl: string; redisUrl: string }

/** An instance that serves the typical prompt by an alias with a canary, and the header of a project's key. */
export async function startTypicalService(scope: Scope, stage: Stage, database: string): Promise<TypicalService> {
  const databaseUrl = await makeDatabase(scope, stage, database)
  const { url: redisUrl } = await startRedis(scope)
  const instance = await startInstance(scope, stage, { databaseUrl, redisUrl })
  const { url } = instance
  await ask(url, '/projects', { body: { slug: 'acme' } })
  await ask(url, '/prompts?project=acme', { body: { alias: 'production', prompts: [typicalPrompt('support')] } })
  await ask(url, '/prompts?project=acme', { body: { prompts: [typicalPrompt('support', 'second')] } })
  const canary = { alias: 'production', version: 'r2', percentage: canaryPercentage }
  await ask(url, '/canary?project=acme', { body: canary })
  return { instance, authorization: `Bearer ${await makeReadKey(url, 'acme')}`, databaseUrl, redisUrl }
}
