import { z } from 'zod'
import { JsonObject, PageQuery, page, Timestamp, text } from '../../lib/schemas.js'

const Instant = z.iso.datetime({ offset: true })

export const AuditQuery = PageQuery.extend({
  action: text(100).optional().meta({ description: 'Only this action, `alias.move` say.' }),
  actor: text(200).optional().meta({ description: 'Only what the key of this name did.' }),
  target: text(500).optional().meta({ description: 'Only what was done to this target.' }),
  since: Instant.optional().meta({ description: 'Only from this moment on, `2026-01-31T00:00:00Z` say.' }),
  until: Instant.optional().meta({ description: 'Only before this moment.' }),
  format: z
    .enum(['json', 'ndjson'])
    .default('json')
    .meta({ description: '`ndjson` streams all matching entries, a line each, whatever `limit` says.' }),
})
export type AuditQuery = z.infer<typeof AuditQuery>

export const AuditEntry = z
  .object({
    id: z.string(),
    project: z.string().nullable(),
    actor: z.string(),
    keyId: z.string().nullable(),
    action: z.string(),
    target: z.string(),
    requestId: z.string(),
    before: JsonObject.nullable(),
    after: JsonObject.nullable(),
    createdAt: Timestamp,
  })
  .meta({ id: 'AuditEntry' })
export type AuditEntry = z.infer<typeof AuditEntry>

export const AuditPage = page(AuditEntry)
