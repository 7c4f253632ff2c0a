import { z } from 'zod'
import { AliasName, ProjectQuery, ProjectSlug, page, Timestamp, text } from '../../lib/schemas.js'

const settings = {
  publicRead: z.boolean().meta({ description: 'Reads need no key.' }),
  scan: z.enum(['warn', 'block', 'off']).meta({ description: 'What findings on content do to a push.' }),
  defaultAlias: AliasName,
}

export const ProjectSettings = z.object(settings).meta({ id: 'ProjectSettings' })

const SettingsInput = z.strictObject(settings).partial()

export const CreateProject = z.strictObject({
  slug: ProjectSlug,
  name: text(200).nullable().optional(),
  settings: SettingsInput.optional(),
})
export type CreateProject = z.infer<typeof CreateProject>

export const UpdateProject = z.strictObject({ name: text(200).nullable().optional(), settings: SettingsInput.optional() })
export type UpdateProject = z.infer<typeof UpdateProject>

export const ProjectParams = z.strictObject({ slug: ProjectSlug })
export const ProjectOnly = ProjectQuery

export const ProjectAnswer = z
  .object({
    slug: z.string(),
    name: z.string().nullable(),
    settings: ProjectSettings,
    createdAt: Timestamp,
    updatedAt: Timestamp,
  })
  .meta({ id: 'Project' })
export type ProjectAnswer = z.infer<typeof ProjectAnswer>

export const ProjectPage = page(ProjectAnswer)

const count = z.number().int()

export const DeletedProject = z
  .object({
    slug: z.string(),
    deletedAt: Timestamp,
    erased: z.object({ prompts: count, versions: count, releases: count, aliases: count, sources: count, keys: count }),
  })
  .meta({ id: 'DeletedProject' })
export type DeletedProject = z.infer<typeof DeletedProject>
