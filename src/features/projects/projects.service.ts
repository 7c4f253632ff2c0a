import type { Db } from '../../database/connect.js'
import { isConnectionLoss, isContention } from '../../database/failures.js'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import type { Actor, Project } from '../../lib/access.js'
import { pagedList } from '../../lib/cursor.js'
import type { PageQuery } from '../../lib/schemas.js'
import { QueueFull } from '../../lib/write-queue.js'
import { recordAudit } from '../audit/audit.service.js'
import type { CreateProject, ProjectAnswer, UpdateProject } from './projects.schema.js'

type Row = {
  id: bigint
  slug: string
  name: string | null
  publicRead: boolean
  scan: string
  defaultAlias: string
  createdAt: Date
  updatedAt: Date
}

/** A write waits this long for those of other instances. */
const lockTimeoutMs = 30_000

function toProject({ publicRead, scan, defaultAlias, ...row }: Row): Project {
  return { ...row, settings: { publicRead, scan: scan as Project['settings']['scan'], defaultAlias } }
}

export function toProjectAnswer({ slug, name, settings, createdAt, updatedAt }: Project): ProjectAnswer {
  return { slug, name, settings, createdAt: createdAt.toISOString(), updatedAt: updatedAt.toISOString() }
}

export async function findProject({ db }: Pick<Deps, 'db'>, key: { slug: string } | { id: bigint }): Promise<Project | null> {
  const row = await db.project.findUnique({ where: key })
  return row && toProject(row)
}

/** `findProject` for the read path: while the database is away, the project as it was last read. */
export async function findKnownProject(deps: Deps, key: { slug: string } | { id: bigint }): Promise<Project | null> {
  const cacheKey = 'slug' in key ? key.slug : `#${key.id}`
  try {
    const project = await findProject(deps, key)
    if (project) deps.projects.set(cacheKey, project)
    else deps.projects.delete(cacheKey)
    return project
  } catch (error) {
    const known = deps.projects.get(cacheKey)
    if (known && isConnectionLoss(error)) return known
    throw error
  }
}

const projectList = pagedList<[slug: string]>('projects', ['text'])

export async function listProjects({ db }: Pick<Deps, 'db'>, actor: Actor, query: PageQuery) {
  const position = projectList.position(query.cursor)
  const rows = await db.project.findMany({
    where: {
      ...(actor.projectId === null ? {} : { id: actor.projectId }),
      ...(position ? { slug: { gt: position[0] } } : {}),
    },
    orderBy: { slug: 'asc' },
    take: query.limit + 1,
  })
  return projectList.page(
    rows,
    query.limit,
    (row) => [row.slug],
    (row) => toProjectAnswer(toProject(row)),
  )
}

/** Only a global admin may; throws `project.exists`. */
export async function createProject(
  deps: Deps,
  by: { actor: Actor; requestId: string },
  input: CreateProject,
): Promise<ProjectAnswer> {
  if (by.actor.projectId !== null) {
    throw new AppError('scope.global', 'A key of one project cannot make projects. Use a global admin key.')
  }
  const { slug, name, settings = {} } = input
  return queued(deps, slug, () =>
    transact(deps, async (tx) => {
      if (await tx.project.findUnique({ where: { slug } })) {
        throw new AppError('project.exists', `Project "${slug}" exists already. Choose another slug, or PATCH /projects/${slug}.`)
      }
      const row = await tx.project.create({ data: { slug, name: name ?? null, ...settings } })
      const answer = toProjectAnswer(toProject(row))
      await recordAudit(tx, by, { project: slug, action: 'project.create', target: slug, after: answer })
      return answer
    }),
  )
}

export async function updateProject(
  deps: Deps,
  by: { actor: Actor; requestId: string },
  project: Project,
  { name, settings = {} }: UpdateProject,
): Promise<ProjectAnswer> {
  return writeProject(deps, project, async (tx, current) => {
    const changes = { ...(name === undefined ? {} : { name }), ...settings }
    const before = toProjectAnswer(current)
    const wanted = { ...current.settings, name: current.name, ...changes }
    if (JSON.stringify(wanted) === JSON.stringify({ ...current.settings, name: current.name })) return before
    const row = await tx.project.update({ where: { id: project.id }, data: { ...changes, updatedAt: deps.now() } })
    const after = toProjectAnswer(toProject(row))
    await recordAudit(tx, by, { project: project.slug, action: 'project.update', target: project.slug, before, after })
    return after
  })
}

/**
 * Runs a write of one project: in turn with its other writers in this process, then with the project's row locked
 * against those of other processes. `work` sees the row as it is under the lock.
 */
export async function writeProject<T>(
  deps: Deps,
  project: Project,
  work: (tx: Db, current: Project & { releaseNumber: number }) => Promise<T>,
): Promise<T> {
  return queued(deps, project.slug, () =>
    transact(deps, async (tx) => {
      await tx.$queryRaw`SELECT set_config('lock_timeout', ${`${lockTimeoutMs}ms`}, true)`
      // The weaker lock lets rows that refer to the project, keys say, be written meanwhile.
      await tx.$queryRaw`SELECT 1 FROM projects WHERE id = ${project.id} FOR NO KEY UPDATE`
      const row = await tx.project.findUnique({ where: { id: project.id } })
      if (!row) throw new AppError('project.not_found', `Project "${project.slug}" is gone.`)
      return work(tx, { ...toProject(row), releaseNumber: row.releaseNumber })
    }),
  )
}

async function queued<T>({ writes }: Deps, slug: string, work: () => Promise<T>): Promise<T> {
  try {
    return await writes.run(slug, work)
  } catch (error) {
    if (!(error instanceof QueueFull)) throw error
    throw new AppError('write.busy', `${error.message} Nothing was changed; try again.`, {
      cause: error,
      headers: { 'retry-after': '5' },
    })
  }
}

/** One transaction; a connection lost before its commit changed nothing, one lost at the commit may have. */
export async function transact<T>(deps: Deps, work: (tx: Db) => Promise<T>): Promise<T> {
  let finished = false
  try {
    return await deps.db.$transaction(async (tx) => {
      const result = await work(tx)
      finished = true
      return result
    })
  } catch (error) {
    if (error instanceof AppError) throw error
    if (finished && isConnectionLoss(error)) {
      throw new AppError(
        'write.unknown',
        'The database went away before it confirmed the write. Read the project again before you retry.',
        {
          cause: error,
          headers: { 'retry-after': '1' },
        },
      )
    }
    if (isContention(error)) {
      throw new AppError('write.busy', 'Another write was in the way. Nothing was changed; try again.', {
        cause: error,
        headers: { 'retry-after': '1' },
      })
    }
    throw error
  }
}
