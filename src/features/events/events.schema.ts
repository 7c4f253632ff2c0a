import { z } from 'zod'
import { ProjectQuery, Timestamp } from '../../lib/schemas.js'

/** The epoch that a change made; of a change that is told in several events, those before the last have `.1`, `.2`… behind it. */
const EventId = z
  .string()
  .regex(/^\d{1,15}(\.[1-9]\d?)?$/, 'must be the id of an event, as the stream gave it')
  .meta({ description: 'The id of the last event that was received: the stream goes on behind it.', example: '41' })

export const EventsQuery = ProjectQuery.extend({ lastEventId: EventId.optional() })

export const EventsHeaders = z.object({ 'last-event-id': EventId.optional() }).loose()

/** How a stream begins, what it says where it cannot go on without a gap, and what may happen in a project. */
export const EventName = z.enum([
  ...(['hello', 'reset'] as const),
  ...(['alias.moved', 'alias.deleted', 'canary.changed'] as const),
  ...(['release.created', 'release.pushed'] as const),
  ...(['prompt.updated', 'prompt.archived', 'version.purged', 'version.allowed'] as const),
  ...(['project.created', 'project.updated', 'project.deleted', 'project.changed'] as const),
])
export type EventName = z.infer<typeof EventName>

const ref = z.string().nullable().optional()

/** What an event tells: names, refs and numbers alone. Whoever wants to know more asks for it. */
export const EventData = z.strictObject({
  project: z.string(),
  epoch: z.number().int(),
  at: Timestamp,
  alias: z.string().optional(),
  prompt: ref,
  release: ref,
  version: ref,
  number: z.number().int().optional(),
  revision: z.number().int().nullable().optional(),
  canary: z.strictObject({ release: ref, version: ref, percentage: z.number() }).nullable().optional(),
})
export type EventData = z.infer<typeof EventData>
