import type { Db } from '../../database/connect.js'
import { isContention, isRefusal } from '../../database/failures.js'
import type { Deps } from '../../deps.js'
import { AppError, tryLater } from '../../errors.js'
import type { Actor, Caller, Project } from '../../lib/access.js'
import { pagedList } from '../../lib/cursor.js'
import type { PageQuery } from '../../lib/schemas.js'
import { QueueFull, type WriteQueue } from '../../lib/write-queue.js'
import { type Change, recordAudit } from '../audit/audit.service.js'
import { noteThere, noteUnknown, noteWritten } from '../reads/changes.service.js'
import { whileThere, writeRefused } from '../reads/database.service.js'
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

/** A project as its writers see it, under its lock. */
export type LockedProject = Project & { purgeSalt: Uint8Array | null }

const defaultSettings = { publicRead: false, scan: 'warn', defaultAlias: 'production' }

/** A write waits this long for those of other instances. */
const lockTimeoutMs = 30_000
/** An instance that vanished in the midst of a write holds its locks for this long. */
const idleTimeoutMs = 60_000

function toProject({ publicRead, scan, defaultAlias, id, slug, name, createdAt, updatedAt }: Row): Project {
  return {
    id,
    slug,
    name,
    createdAt,
    updatedAt,
    settings: { publicRead, scan: scan as Project['settings']['scan'], defaultAlias },
  }
}

export function toProjectAnswer({ slug, name, settings, createdAt, updatedAt }: Project): ProjectAnswer {
  return { slug, name, settings, createdAt: createdAt.toISOString(), updatedAt: updatedAt.toISOString() }
}

export async function findProject({ db }: { db: Db }, key: { slug: string } | { id: bigint }): Promise<Project | null> {
  const row = await db.project.findUnique({ where: { ...key, deletedAt: null } })
  return row && toProject(row)
}

/** Whether a project of this slug was there and was deleted. */
export async function isDeletedProject({ db }: { db: Db }, slug: string): Promise<boolean> {
  return (await db.project.count({ where: { slug, deletedAt: { not: null } } })) > 0
}

const projectList = pagedList<[slug: string]>('projects', ['text'])

export async function listProjects({ db }: Pick<Deps, 'db'>, actor: Actor, query: PageQuery) {
  const position = projectList.position(query.cursor)
  const rows = await db.project.findMany({
    where: {
      deletedAt: null,
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

/** Only a global admin may. A slug that was deleted goes on with its numbers. Throws `project.exists`. */
export async function createProject(
  deps: Deps,
  by: { actor: Actor; requestId: string },
  input: CreateProject,
): Promise<ProjectAnswer> {
  refuseBoundKey(by.actor, 'make')
  const { slug, name, settings = {} } = input
  const make = () =>
    transact(deps, async (tx) => {
      const earlier = await tx.project.findUnique({ where: { slug } })
      if (earlier?.deletedAt === null) throw existing(slug)
      if (earlier) await revive(tx, earlier.id, slug)
      const data = { name: name ?? null, ...settings }
      const row = earlier
        ? await tx.project.update({ where: { id: earlier.id }, data: { ...defaultSettings, ...data } })
        : await tx.project.create({ data: { slug, ...data } })
      const made = toProject(row)
      await recordChange(tx, { ...by, project: made }, { action: 'project.create', target: slug, after: toProjectAnswer(made) })
      return made
    })
  try {
    const project = await queued(deps.writes, slug, make)
    await noteWritten(deps, project)
    return toProjectAnswer(project)
  } catch (error) {
    if (error instanceof AppError && error.code === 'project.exists') noteThere(deps, slug)
    throw error
  }
}

function existing(slug: string): AppError {
  return new AppError('project.exists', `Project "${slug}" exists already. Choose another slug, or PATCH /projects/${slug}.`)
}

/** Takes back a tombstone, unless another instance did so a moment ago. The time is the database's, as that of keys is. */
async function revive(tx: Db, id: bigint, slug: string): Promise<void> {
  const revived = await tx.$executeRaw`
    UPDATE projects SET deleted_at = NULL, created_at = now(), updated_at = now() WHERE id = ${id} AND deleted_at IS NOT NULL`
  if (revived === 0) throw existing(slug)
}

/** Throws `scope.global` for a key that is bound to one project. */
export function refuseBoundKey(actor: Actor, verb: 'make' | 'delete'): void {
  if (actor.projectId === null) return
  throw new AppError('scope.global', `A key of one project cannot ${verb} projects. Use a global admin key.`)
}

export async function updateProject(deps: Deps, caller: Caller, { name, settings = {} }: UpdateProject): Promise<ProjectAnswer> {
  return writeProject(deps, caller.project, async (tx, current) => {
    const changes = { ...(name === undefined ? {} : { name }), ...settings }
    const before = toProjectAnswer(current)
    const wanted = { ...current.settings, name: current.name, ...changes }
    if (JSON.stringify(wanted) === JSON.stringify({ ...current.settings, name: current.name })) return before
    const row = await tx.project.update({ where: { id: current.id }, data: { ...changes, updatedAt: deps.now() } })
    if (row.defaultAlias !== current.settings.defaultAlias) {
      // What follows the default goes on there, though nothing may have changed where it comes from.
      await tx.source.updateMany({
        where: { projectId: current.id, alias: null },
        data: { revision: null, nextCheckAt: deps.now() },
      })
    }
    const after = toProjectAnswer(toProject(row))
    await recordChange(tx, caller, { action: 'project.update', target: current.slug, before, after })
    return after
  })
}

/** Raises the epoch of a project and writes the audit entry of the change, in its transaction. */
export async function recordChange(tx: Db, caller: Caller, change: Omit<Change, 'project'>): Promise<void> {
  const [raised] = await tx.$queryRaw<{ epoch: bigint; token: string }[]>`
    UPDATE projects SET epoch = epoch + 1, epoch_token = gen_random_uuid() WHERE id = ${caller.project.id}
    RETURNING epoch, epoch_token::text AS token`
  if (!raised) throw new Error(`Project ${caller.project.slug} is gone under its own lock.`)
  await recordAudit(tx, caller, { ...change, project: caller.project.slug }, raised)
}

/**
 * Runs a write of one project: in turn with its other writers in this process, then with the project's row locked
 * against those of other processes. `work` sees the row as it is under the lock.
 */
export async function writeProject<T>(
  deps: Deps,
  project: Project,
  work: (tx: Db, current: LockedProject) => Promise<T>,
  timeoutMs?: number,
): Promise<T> {
  const write = async (tx: Db) => {
    // The weaker lock lets rows that refer to the project, keys say, be written meanwhile.
    await tx.$queryRaw`SELECT 1 FROM projects WHERE id = ${project.id} FOR NO KEY UPDATE`
    const row = await tx.project.findUnique({ where: { id: project.id, deletedAt: null } })
    if (!row) throw new AppError('project.not_found', `Project "${project.slug}" is gone.`)
    // It has the id of the one that was deleted, but none of its keys.
    if (row.createdAt.getTime() !== project.createdAt.getTime()) throw madeAnew(project)
    return work(tx, { ...toProject(row), purgeSalt: row.purgeSalt })
  }
  try {
    const result = await queued(deps.writes, project.slug, () => transact(deps, write, timeoutMs))
    await noteWritten(deps, project)
    return result
  } catch (error) {
    if (error instanceof AppError && error.code === 'write.unknown') noteUnknown(deps, project)
    if (error instanceof AppError && error.code === 'project.not_found') noteThere(deps, project.slug)
    throw error
  }
}

function madeAnew({ slug }: Project): AppError {
  const detail = `Project "${slug}" was deleted, and made anew a moment ago. Nothing was changed; try again.`
  return new AppError('project.not_found', detail)
}

/** Lets a write, or what is like one, wait its turn before it takes a connection. */
export async function queued<T>(queue: WriteQueue, slug: string, work: () => Promise<T>): Promise<T> {
  try {
    return await queue.run(slug, work)
  } catch (error) {
    if (!(error instanceof QueueFull)) throw error
    throw tryLater('write.busy', `${error.message} Nothing was changed; try again.`, 5, error)
  }
}

/**
 * One transaction. A connection lost before its commit changed nothing, one lost at the commit may have; a commit that the
 * database answers with a refusal changed nothing.
 */
export async function transact<T>(deps: Deps, work: (tx: Db) => Promise<T>, timeoutMs?: number): Promise<T> {
  if (deps.database.isAway()) throw writeRefused()
  let isCommitting = false
  let isGivenUp = false
  const options = timeoutMs === undefined ? undefined : { timeout: timeoutMs }
  const transaction = deps.db.$transaction(async (tx) => {
    await tx.$queryRaw`SELECT set_config('lock_timeout', ${`${lockTimeoutMs}ms`}, true),
      set_config('idle_in_transaction_session_timeout', ${`${idleTimeoutMs}ms`}, true)`
    const result = await work(tx)
    // Whoever waited for it was told that nothing changed.
    if (isGivenUp) throw writeRefused()
    isCommitting = true
    return result
  }, options)
  try {
    return await whileThere(deps, transaction, () => {
      isGivenUp = true
      return isCommitting ? unknownOutcome() : writeRefused()
    })
  } catch (error) {
    if (error instanceof AppError) throw error
    if (isContention(error))
      throw tryLater('write.busy', 'Another write was in the way. Nothing was changed; try again.', 1, error)
    if (!isCommitting) throw error
    if (isRefusal(error)) {
      throw tryLater('database.unavailable', 'The database refused to commit. Nothing was changed; try again.', 1, error)
    }
    throw unknownOutcome(error)
  }
}

function unknownOutcome(cause?: unknown): AppError {
  const detail = 'The database went away before it confirmed the write. Read the project again before you retry.'
  return tryLater('write.unknown', detail, 1, cause)
}
