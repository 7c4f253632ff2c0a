import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { Prisma } from '../../generated/prisma/client.js'
import type { Caller, Project } from '../../lib/access.js'
import { pagedList } from '../../lib/cursor.js'
import { refOf } from '../../lib/names.js'
import type { PageQuery } from '../../lib/schemas.js'
import { findIncluders, findPurgedWithin, stillIncluded } from '../includes/includes.service.js'
import { recordChange, writeProject } from '../projects/projects.service.js'
import { findNewestRelease } from '../releases/releases.service.js'
import { findInRelease, heldVersion } from '../releases/snapshots.service.js'
import type { Prompt, PromptListQuery, UpdatePrompt, Version } from './prompts.schema.js'
import { promptNotFound } from './resolve.service.js'

type Row = {
  id: bigint
  name: string
  title: string | null
  description: string | null
  labels: string[]
  metadata: Record<string, unknown>
  created_at: Date
  updated_at: Date
  archived: boolean
  latest_id: string | null
  latest_number: number | null
  latest_label: string | null
  latest_hash: string | null
  latest_created_at: Date | null
}

/** Project aliases shown with a prompt, the first by name; GET /aliases lists them all. */
const maxAliasesShown = 100

const selectPrompts = Prisma.sql`
  SELECT p.id, p.name, p.title, p.description, p.labels, p.metadata, p.created_at, p.updated_at, p.archived_at IS NOT NULL AS archived,
    v.id::text AS latest_id, v.number AS latest_number, v.label AS latest_label, v.content_hash AS latest_hash, v.created_at AS latest_created_at
  FROM prompts p LEFT JOIN versions v ON v.prompt_id = p.id AND v.number = p.version_number`

const promptList = pagedList<[name: string]>('prompts', ['text'])
const versionList = pagedList<[number: number]>('versions', ['number'])

/** By name, archived ones left out. */
export async function listPrompts({ db }: Deps, project: Project, query: PromptListQuery) {
  const position = promptList.position(query.cursor)
  const conditions = [Prisma.sql`p.project_id = ${project.id}`, Prisma.sql`p.archived_at IS NULL`]
  if (position) conditions.push(Prisma.sql`p.name > ${position[0]}`)
  if (query.label !== undefined) conditions.push(Prisma.sql`${query.label} = ANY(p.labels)`)
  if (query.search !== undefined) {
    const search = query.search.toLowerCase()
    const contains = (column: Prisma.Sql) => Prisma.sql`position(${search} IN lower(coalesce(${column}, ''))) > 0`
    const columns = [Prisma.sql`p.name`, Prisma.sql`p.title`, Prisma.sql`p.description`]
    conditions.push(Prisma.sql`(${Prisma.join(columns.map(contains), ' OR ')})`)
  }
  const rows = await db.$queryRaw<Row[]>`
    ${selectPrompts} WHERE ${Prisma.join(conditions, ' AND ')} ORDER BY p.name LIMIT ${query.limit + 1}`
  const aliases = await aliasesOf(
    db,
    project,
    rows.slice(0, query.limit).map((row) => row.id),
  )
  const hidden = await findPurgedWithin(
    db,
    rows.flatMap(({ latest_id }) => latest_id ?? []),
  )
  return promptList.page(
    rows,
    query.limit,
    (row) => [row.name],
    (row) => toPrompt(row, aliases.get(row.id) ?? [], hidden),
  )
}

export async function getPrompt({ db }: { db: Db }, project: Project, name: string): Promise<Prompt> {
  const row = await requirePrompt(db, project, name)
  const aliases = await aliasesOf(db, project, [row.id])
  return toPrompt(row, aliases.get(row.id) ?? [], await findPurgedWithin(db, row.latest_id === null ? [] : [row.latest_id]))
}

async function requirePrompt(db: Db, project: Project, name: string): Promise<Row> {
  const [row] = await db.$queryRaw<Row[]>`${selectPrompts} WHERE p.project_id = ${project.id} AND p.name = ${name}`
  if (row) return row
  throw await promptNotFound(db, project, name)
}

type AliasOfPrompt = {
  prompt_id: bigint
  name: string
  pinned: boolean
  number: number
  label: string | null
  release_number: number | null
  release_label: string | null
}

/** Which aliases give which version of some prompts: their pins, and project aliases that no pin hides. */
async function aliasesOf(db: Db, project: Project, promptIds: bigint[]): Promise<Map<bigint, Prompt['aliases']>> {
  const rows = await db.$queryRaw<AliasOfPrompt[]>`
    WITH p AS (SELECT unnest(${promptIds}::bigint[]) AS id),
    project_aliases AS (
      SELECT name, release_id FROM aliases
      WHERE project_id = ${project.id} AND prompt_id IS NULL AND deleted_at IS NULL ORDER BY name LIMIT ${maxAliasesShown}),
    held AS (
      SELECT r.id AS release_id, p.id AS prompt_id, r.number, r.label, (${heldVersion(Prisma.sql`r.lineage`, Prisma.sql`p.id`)}) AS version_id
      FROM p CROSS JOIN releases r WHERE r.id IN (SELECT release_id FROM project_aliases)),
    given AS (
      SELECT held.prompt_id, a.name, false AS pinned, held.version_id, held.number AS release_number, held.label AS release_label
      FROM project_aliases a JOIN held ON held.release_id = a.release_id
      UNION ALL
      SELECT a.prompt_id, a.name, true, a.version_id, NULL, NULL
      FROM p JOIN aliases a ON a.prompt_id = p.id WHERE a.project_id = ${project.id} AND a.deleted_at IS NULL)
    SELECT DISTINCT ON (g.prompt_id, g.name) g.prompt_id, g.name, g.pinned, v.number, v.label, g.release_number, g.release_label
    FROM given g JOIN versions v ON v.id = g.version_id
    ORDER BY g.prompt_id, g.name, g.pinned DESC`
  const byPrompt = new Map<bigint, Prompt['aliases']>()
  for (const row of rows) {
    const aliases = byPrompt.get(row.prompt_id) ?? []
    if (aliases.length >= maxAliasesShown) continue
    const release = row.release_number === null ? null : refOf('r', { number: row.release_number, label: row.release_label })
    aliases.push({ name: row.name, release, version: refOf('v', row), pinned: row.pinned })
    byPrompt.set(row.prompt_id, aliases)
  }
  return byPrompt
}

/** `hidden` are versions whose hash is not told. */
function toPrompt(row: Row, aliases: Prompt['aliases'], hidden: ReadonlySet<string>): Prompt {
  return {
    name: row.name,
    title: row.title,
    description: row.description,
    labels: row.labels,
    metadata: row.metadata,
    latest:
      row.latest_number === null || row.archived
        ? null
        : {
            version: refOf('v', { number: row.latest_number, label: row.latest_label }),
            number: row.latest_number,
            contentHash: hidden.has(row.latest_id ?? '') ? null : row.latest_hash,
            createdAt: (row.latest_created_at ?? row.created_at).toISOString(),
          },
    aliases,
    archived: row.archived,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  }
}

/** Newest first. */
export async function listVersions({ db }: Deps, project: Project, name: string, query: PageQuery) {
  const position = versionList.position(query.cursor)
  const prompt = await requirePrompt(db, project, name)
  const rows = await db.version.findMany({
    where: { promptId: prompt.id, ...(position ? { number: { lt: position[0] } } : {}) },
    orderBy: { number: 'desc' },
    take: query.limit + 1,
    omit: { content: true, messages: true, config: true, inputs: true },
    include: { release: true },
  })
  const hidden = await findPurgedWithin(
    db,
    rows.map(({ id }) => id),
  )
  return versionList.page(
    rows,
    query.limit,
    (row) => [row.number],
    ({ release, ...row }): Version => ({
      version: refOf('v', row),
      number: row.number,
      label: row.label,
      type: row.type as Version['type'],
      template: row.template as Version['template'],
      contentHash: hidden.has(row.id) ? null : row.contentHash,
      variantCount: (row.variants as unknown[]).length,
      release: refOf('r', release),
      message: release.message,
      git:
        release.gitCommit === null
          ? null
          : { repo: release.gitRepo, commit: release.gitCommit, branch: release.gitBranch, dirty: release.gitDirty },
      path: row.path,
      createdAt: row.createdAt.toISOString(),
      purgedAt: row.purgedAt?.toISOString() ?? null,
    }),
  )
}

/** Title, description, labels and metadata; what is not given stays. */
export async function updatePrompt(deps: Deps, caller: Caller, name: string, changes: UpdatePrompt): Promise<Prompt> {
  return changePrompt(deps, caller, name, 'prompt.update', (row) => {
    const { title, description, labels, metadata } = row
    const next = { title, description, labels, metadata, ...definedOf(changes) }
    return JSON.stringify(next) === JSON.stringify({ title, description, labels, metadata }) ? null : { ...definedOf(changes) }
  })
}

/**
 * Takes a prompt out of lists, of `latest` and of the next release. Every ref that exists keeps answering. Throws
 * `prompt.included` while others of the newest release include it.
 */
export async function archivePrompt(deps: Deps, caller: Caller, name: string): Promise<Prompt> {
  return changePrompt(deps, caller, name, 'prompt.archive', async (row, tx, project) => {
    if (row.archived) return null
    await refuseIncluded(tx, project, row)
    return { archivedAt: deps.now() }
  })
}

async function refuseIncluded(tx: Db, project: Project, { id }: Row): Promise<void> {
  const newest = await findNewestRelease(tx, project)
  const held = newest && (await findInRelease(tx, newest.lineage, id))
  if (!newest || !held) return
  const includers = await findIncluders(tx, project, newest.lineage, { targets: [held] })
  const archived = await tx.prompt.findMany({
    where: { id: { in: includers.map(({ promptId }) => promptId) }, archivedAt: { not: null } },
    select: { id: true },
  })
  const going = new Set(archived.map((prompt) => prompt.id))
  const staying = includers.filter(({ promptId }) => !going.has(promptId))
  if (staying.length > 0) throw stillIncluded(staying)
}

/** Makes a change to one prompt with its audit entry, unless `change` finds that there is none to make. */
async function changePrompt(
  deps: Deps,
  caller: Caller,
  name: string,
  action: string,
  change: (row: Row, tx: Db, project: Project) => object | null | Promise<object | null>,
): Promise<Prompt> {
  return writeProject(deps, caller.project, async (tx, project) => {
    const row = await requirePrompt(tx, project, name)
    const data = await change(row, tx, project)
    if (data) {
      await tx.prompt.update({ where: { id: row.id }, data: { ...data, updatedAt: deps.now() } })
      const after = await requirePrompt(tx, project, name)
      await recordChange(tx, caller, { action, target: name, before: auditedFields(row), after: auditedFields(after) })
    }
    return getPrompt({ db: tx }, project, name)
  })
}

/** What an entry of the audit tells of a prompt: no hash, which a purge could not take back. */
function auditedFields({ title, description, labels, metadata, archived }: Row) {
  return { title, description, labels, metadata, archived }
}

function definedOf<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>
}
