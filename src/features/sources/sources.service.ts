import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import type { Prisma, SourceRun as RunRow } from '../../generated/prisma/client.js'
import type { Caller, Project } from '../../lib/access.js'
import { pagedList } from '../../lib/cursor.js'
import type { PageQuery } from '../../lib/schemas.js'
import { queued, recordChange, writeProject } from '../projects/projects.service.js'
import { findFiles, readRouting, readTexts, refuseFaults, sourceNames } from './reading.service.js'
import { awaitRun, requestRun, toRun, workOff } from './runs.service.js'
import {
  hookOf,
  isSame,
  readsOtherwise,
  readWanted,
  refuseAlias,
  refuseUnstorable,
  settingsOf,
  shownConfig,
  type Wanted,
} from './settings.service.js'
import { requireProvider, requireSource, type SourceRow, secretSubject, withContext } from './source-rows.service.js'
import type { PutSource, Run, Source } from './sources.schema.js'

/** A project may have so many: each is checked again and again. */
const maxSources = 50
const checkTimeoutMs = 60_000
/** A sync that is waited for longer is answered as it is. */
const waitTimeoutMs = 150_000

/**
 * Makes a source or changes its settings, after a look at what it names: nothing is stored where that finds something wrong.
 * The first sync follows in the background.
 */
export async function putSource(
  deps: Deps,
  caller: Caller,
  name: string,
  body: PutSource,
): Promise<{ source: Source; created: boolean }> {
  const { project } = caller
  refuseAlias(caller.actor, body)
  const before = await deps.db.source.findUnique({ where: { projectId_name: { projectId: project.id, name } } })
  const wanted = readWanted(deps, caller.actor, before, body)
  if (before && isSame(deps, before, wanted)) return { source: await toSource(deps.db, before), created: false }
  refuseUnstorable(deps, wanted.secrets)
  await queued(deps.looks, project.slug, () => checkWanted(deps, project, name, wanted))
  const row = await writeProject(deps, project, (tx) => storeSource(deps, tx, caller, name, wanted))
  // Nobody waits for it, and it never rejects.
  if (row.enabled) void workOff(deps, row.id)
  return { source: await toSource(deps.db, row), created: before === null }
}

/** A look at the other side, with the settings that are asked for. Throws with all that is wrong. */
async function checkWanted(
  deps: Deps,
  project: Project,
  name: string,
  { settings, provider, config, trusted }: Wanted,
): Promise<void> {
  const signal = AbortSignal.any([deps.shutdown.signal, AbortSignal.timeout(checkTimeoutMs)])
  await withContext(deps, { trusted }, signal, async (context) => {
    const asked = { provider, config, context, pause: deps.pause }
    await provider.check(config, context)
    const found = await findFiles(asked, null, settings)
    if (!found) return
    const files = [found.pathFile, found.schemaVersion].filter((file) => file !== null)
    const faults = [...found.faults]
    const texts = await readTexts(asked, files, found.revision, faults)
    await readRouting(texts, found, [...(await sourceNames(deps, project.id)), name], faults)
    refuseFaults(faults)
  })
}

async function storeSource(deps: Deps, tx: Db, caller: Caller, name: string, wanted: Wanted): Promise<SourceRow> {
  const { project } = caller
  const before = await tx.source.findUnique({ where: { projectId_name: { projectId: project.id, name } } })
  if (!before && (await tx.source.count({ where: { projectId: project.id } })) >= maxSources) {
    throw new AppError('validation.failed', `Project "${project.slug}" has ${maxSources} sources already. Remove one first.`)
  }
  const { settings, publicConfig, trusted } = wanted
  const now = deps.now()
  const data = {
    ...settings,
    ...{ config: publicConfig as Prisma.InputJsonValue, trusted, updatedAt: now, nextCheckAt: now },
  }
  const made = before
    ? await tx.source.update({ where: { id: before.id }, data: { ...data, generation: { increment: 1 }, revision: null } })
    : await tx.source.create({ data: { ...data, name, projectId: project.id, createdAt: now } })
  // The same bytes may be another prompt now, and the same hash other bytes.
  if (before && readsOtherwise(before, made)) await tx.sourceFile.updateMany({ where: { sourceId: made.id }, data: { hash: '' } })
  // They are bound to the row, which has its id only now.
  const row = await tx.source.update({ where: { id: made.id }, data: { secrets: encryptAll(deps, made, wanted.secrets) } })
  await recordChange(tx, caller, {
    action: before ? 'source.update' : 'source.create',
    target: name,
    ...(before ? { before: auditOf(before) } : {}),
    after: auditOf(row),
  })
  if (row.enabled) {
    await requestRun(tx, row, { trigger: 'setup', by: { name: caller.actor.name, requestId: caller.requestId } })
  }
  return row
}

function encryptAll({ keyring }: Deps, row: SourceRow, secrets: Record<string, unknown>): Prisma.InputJsonValue {
  return Object.fromEntries(
    Object.entries(secrets).map(([field, value]) => [field, keyring.encrypt(JSON.stringify(value), secretSubject(row, field))]),
  )
}

/** Settings as answers show them: of credentials that there are some. */
function auditOf(row: SourceRow) {
  const contents = requireProvider(row.provider).contentFields ?? []
  const config = Object.entries(shownConfig(row)).map(([field, value]) => [
    field,
    contents.includes(field) ? Object.keys(value as object) : value,
  ])
  return { ...settingsOf(row), config: Object.fromEntries(config), webhookSecret: hookOf(row), trusted: row.trusted }
}

/** What it brought stays in its releases; pushes may change it from then on. */
export async function deleteSource(deps: Deps, caller: Caller, name: string): Promise<Source> {
  return writeProject(deps, caller.project, async (tx, project) => {
    const row = await requireSource(tx, project, name)
    const answer = await toSource(tx, row)
    await tx.source.delete({ where: { id: row.id } })
    await recordChange(tx, caller, { action: 'source.delete', target: name, before: auditOf(row) })
    return answer
  })
}

export async function getSource({ db }: Pick<Deps, 'db'>, project: Project, name: string): Promise<Source> {
  return toSource(db, await requireSource(db, project, name))
}

const sourceList = pagedList<[name: string]>('sources', ['text'])

export async function listSources({ db }: Pick<Deps, 'db'>, project: Project, query: PageQuery) {
  const position = sourceList.position(query.cursor)
  const rows = await db.source.findMany({
    where: { projectId: project.id, ...(position ? { name: { gt: position[0] } } : {}) },
    orderBy: { name: 'asc' },
    take: query.limit + 1,
  })
  const told = await describe(db, rows)
  return sourceList.page(
    rows,
    query.limit,
    (row) => [row.name],
    (row) => told(row),
  )
}

async function toSource(db: Db, row: SourceRow): Promise<Source> {
  return (await describe(db, [row]))(row)
}

/** Reads what is to be told of sources beside their rows. */
async function describe(db: Db, rows: SourceRow[]): Promise<(row: SourceRow) => Source> {
  const ids = rows.map(({ id }) => id)
  const newest = await db.$queryRaw<{ id: bigint }[]>`
    SELECT max(id) AS id FROM source_runs WHERE source_id = ANY(${ids}) GROUP BY source_id`
  const runs = await db.sourceRun.findMany({ where: { id: { in: newest.map(({ id }) => id) } } })
  const lastRuns = new Map(runs.map((run) => [run.sourceId, run]))
  const counts = await db.sourceFile.groupBy({
    by: ['sourceId'],
    where: { sourceId: { in: ids }, versionId: { not: null } },
    _count: true,
  })
  const prompts = new Map(counts.map(({ sourceId, _count }) => [sourceId, _count]))
  return (row) => toAnswer(row, lastRuns.get(row.id) ?? null, prompts.get(row.id) ?? 0)
}

function toAnswer(row: SourceRow, lastRun: RunRow | null, prompts: number): Source {
  const time = (at: Date | null) => at?.toISOString() ?? null
  return {
    name: row.name,
    ...settingsOf(row),
    ...{ config: shownConfig(row), webhookSecret: hookOf(row) },
    status: row.status as Source['status'],
    ...{ commit: row.commit, release: row.release, prompts },
    ...{ checkedAt: time(row.checkedAt), syncedAt: time(row.syncedAt), unreachableSince: time(row.unreachableSince) },
    nextCheckAt: row.enabled ? time(row.nextCheckAt) : null,
    lastRun: lastRun && toRun(row, lastRun),
    ...{ createdAt: row.createdAt.toISOString(), updatedAt: row.updatedAt.toISOString() },
  }
}

/** Syncs now. Answers the run: ended, unless it is not to be waited for, or takes too long. */
export async function syncNow(
  deps: Deps,
  caller: Caller,
  name: string,
  { wait, force }: { wait: boolean; force: boolean },
): Promise<Run> {
  const row = await requireSource(deps.db, caller.project, name)
  const by = { name: caller.actor.name, requestId: caller.requestId }
  const id = await requestRun(deps.db, row, { trigger: 'request', force, by })
  const working = workOff(deps, row.id)
  const run = await awaitRun(deps, id, working, wait ? waitTimeoutMs : 0)
  if (!run) throw new AppError('source.not_found', `Source "${name}" was removed meanwhile.`)
  return toRun(row, run)
}
