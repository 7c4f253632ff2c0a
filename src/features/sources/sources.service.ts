import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import type { Prisma, SourceRun as RunRow } from '../../generated/prisma/client.js'
import { type Actor, type Caller, hasScope, type Project } from '../../lib/access.js'
import { pagedList } from '../../lib/cursor.js'
import type { PageQuery } from '../../lib/schemas.js'
import { invalid, toFindings } from '../../lib/validation.js'
import { type Provider, secretFields } from '../../providers/provider.js'
import { recordChange, writeProject } from '../projects/projects.service.js'
import {
  type Asked,
  type Found,
  faultsOf,
  findFiles,
  readRouting,
  readTexts,
  refuseFaults,
  sourceNames,
} from './reading.service.js'
import { awaitRun, requestRun, toRun, workOff } from './runs.service.js'
import {
  openConfig,
  openSecret,
  requireProvider,
  requireSource,
  type SourceRow,
  secretSubject,
  webhookField,
  withContext,
} from './source-rows.service.js'
import type { PutSource, Run, Source, SourceTest } from './sources.schema.js'
import { previewSync } from './sync.service.js'

/** A project may have so many: each is checked again and again. */
const maxSources = 50
const checkTimeoutMs = 60_000
/** A sync that is waited for longer is answered as it is. */
const waitTimeoutMs = 150_000
/** Stands in answers for a credential that is stored, and in requests for one that is to be kept. */
const stored = 'set'

type Settings = Omit<PutSource, 'webhookSecret'>

/** A source as it is asked to be: its config valid and whole, and what of it is secret apart. */
type Wanted = {
  settings: Settings
  provider: Provider
  /** With credentials, as the provider takes it. */
  config: unknown
  publicConfig: Record<string, unknown>
  secrets: Record<string, unknown>
  trusted: boolean
}

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
  await checkWanted(deps, project, name, wanted)
  const row = await writeProject(deps, project, (tx) => storeSource(deps, tx, caller, name, wanted))
  // Nobody waits for it, and it never rejects.
  if (row.enabled) void workOff(deps, row.id)
  return { source: await toSource(deps.db, row), created: before === null }
}

function refuseAlias(actor: Actor, { alias }: PutSource): void {
  if (alias === null || hasScope(actor, 'aliases:write')) return
  throw new AppError(
    'scope.missing',
    'Naming an alias needs the scope "aliases:write", which this key lacks. Leave "alias" out, or use another key.',
  )
}

function readWanted(deps: Deps, actor: Actor, before: SourceRow | null, body: PutSource): Wanted {
  const { webhookSecret, ...settings } = body
  const provider = requireProvider(body.provider)
  const fields = secretFields(provider)
  const isKept = (field: string) => body.config[field] === stored
  const config = parseConfig(provider, withStored(deps, provider, before, body, fields.filter(isKept)))
  const secrets = Object.fromEntries(
    fields.flatMap((field) => {
      const value = (config as Record<string, unknown>)[field]
      return value === undefined || value === null ? [] : [[field, value]]
    }),
  )
  if (before && fields.some(isKept)) refuseOtherTarget(deps, provider, before, config)
  const hook =
    webhookSecret === stored || webhookSecret === undefined ? before && openSecret(deps, before, webhookField) : webhookSecret
  if (webhookSecret === stored && !hook) throw notStored(webhookField, webhookField)
  if (hook) secrets[webhookField] = hook
  const publicConfig = Object.fromEntries(Object.entries(config as object).filter(([field]) => !fields.includes(field)))
  return { settings, provider, config, publicConfig, secrets, trusted: requireTrust(deps, actor, provider, config) }
}

/** Puts the credentials that are to be kept where `"set"` stands for them. */
function withStored(
  deps: Deps,
  provider: Provider,
  before: SourceRow | null,
  { config }: PutSource,
  kept: string[],
): Record<string, unknown> {
  const values = kept.map((field): [string, unknown] => {
    const value = before?.provider === provider.name ? openSecret(deps, before, field) : null
    if (value === null) throw notStored(field, `config.${field}`)
    return [field, value]
  })
  return { ...config, ...Object.fromEntries(values) }
}

function notStored(field: string, path: string): AppError {
  const message = `"set" keeps a stored ${field}, and none is stored for this provider. Give the ${field} itself.`
  return invalid('validation.failed', [{ path, message }])
}

function refuseUnstorable({ keyring }: Pick<Deps, 'keyring'>, secrets: Record<string, unknown>): void {
  const fields = Object.keys(secrets).map((field) => `"${field}"`)
  if (fields.length === 0 || keyring.canEncrypt) return
  throw new AppError(
    'secrets.unavailable',
    `${fields.join(', ')} cannot be stored: PROMPTSYNC_ENCRYPTION_KEYS is not set on the server.`,
  )
}

/** A credential is not sent to where it was not meant for. */
function refuseOtherTarget(deps: Deps, provider: Provider, before: SourceRow, config: unknown): void {
  const [was, is] = [provider.target(openConfig(deps, before)), provider.target(config)]
  if (was === is) return
  const message = `the stored credentials are for ${was}, and not for ${is}. Give them anew.`
  throw invalid('validation.failed', [{ path: 'config', message }])
}

function parseConfig(provider: Provider, config: Record<string, unknown>): unknown {
  const parsed = provider.config.safeParse(config)
  if (parsed.success) return parsed.data
  throw invalid('validation.failed', toFindings(parsed.error.issues, 'config'))
}

/** Files, databases and private hosts are for global admins. Answers whether the caller is one. */
function requireTrust({ allowedHosts }: Deps, actor: Actor, provider: Provider, config: unknown): boolean {
  const isTrusted = actor.projectId === null && hasScope(actor, 'admin')
  const target = provider.target(config)
  const url = URL.canParse(target) ? new URL(target) : null
  const isPrivate = url !== null && allowedHosts.allows(url.hostname, Number(url.port) || (url.protocol === 'http:' ? 80 : 443))
  if (isTrusted || (!provider.needsGlobalAdmin && !isPrivate)) return isTrusted
  const what = provider.needsGlobalAdmin ? `A source of the provider "${provider.name}"` : `A source at ${target}`
  throw new AppError('scope.global', `${what} can be set up by a global admin key only.`)
}

function isSame(deps: Deps, row: SourceRow, { settings, publicConfig, secrets, trusted }: Wanted): boolean {
  const fields = [...new Set([...Object.keys(row.secrets as object), ...Object.keys(secrets)])]
  const sameSecrets = fields.every((field) => isStored(deps, row, field, secrets[field]))
  const wanted = { ...settingsOf(row), ...settings, config: publicConfig }
  return sameSecrets && row.trusted === trusted && JSON.stringify(wanted) === JSON.stringify(settingsOf(row))
}

/** What cannot be decrypted any more is another secret than the one that is given. */
function isStored(deps: Deps, row: SourceRow, field: string, value: unknown): boolean {
  try {
    return JSON.stringify(openSecret(deps, row, field)) === JSON.stringify(value)
  } catch (error) {
    if (error instanceof AppError && error.code === 'secrets.unavailable') return false
    throw error
  }
}

function settingsOf(row: SourceRow): Settings {
  const { provider, prefix, include, exclude, alias, ttlSeconds, staleSeconds, enabled } = row
  return {
    ...{ provider, config: row.config as Settings['config'], prefix, include, exclude },
    ...{ template: row.template as Settings['template'], alias, ttlSeconds, staleSeconds, enabled },
  }
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

function readsOtherwise(before: SourceRow, { provider, config, template }: SourceRow): boolean {
  return JSON.stringify([before.provider, before.config, before.template]) !== JSON.stringify([provider, config, template])
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

function shownConfig(row: SourceRow): Record<string, unknown> {
  const names = Object.keys(row.secrets as object).filter((field) => field !== webhookField)
  return { ...(row.config as object), ...Object.fromEntries(names.map((field) => [field, stored])) }
}

function hookOf(row: SourceRow): 'set' | null {
  return webhookField in (row.secrets as object) ? stored : null
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

/** What a sync would do, with settings that are stored or with others. Stores nothing, and tells what is wrong instead of failing. */
export async function testSource(deps: Deps, caller: Caller, name: string, body: PutSource | null): Promise<SourceTest> {
  const { db } = deps
  const { project } = caller
  const before = await db.source.findUnique({ where: { projectId_name: { projectId: project.id, name } } })
  if (!body && !before) await requireSource(db, project, name)
  if (body) refuseAlias(caller.actor, body)
  const wanted = body && readWanted(deps, caller.actor, before, body)
  const row = wanted ? draft(project, name, before, wanted) : (before as SourceRow)
  const provider = requireProvider(row.provider)
  const config = wanted ? wanted.config : openConfig(deps, row)
  const signal = AbortSignal.any([deps.shutdown.signal, AbortSignal.timeout(checkTimeoutMs)])
  return withContext(deps, row, signal, async (context, notes) => {
    const asked = { provider, config, context, pause: deps.pause }
    const nothing = { commit: null, warnings: [], results: [], counts: { files: 0, created: 0, unchanged: 0, removed: 0 } }
    try {
      await provider.check(config, context)
      const found = await findFiles(asked, null, row)
      if (!found) throw new Error(`Provider ${row.provider} says that nothing changed since nothing.`)
      return { ok: true, errors: [], ...(await toPreview(deps, row, asked, found)), fetches: notes }
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      return { ok: false, ...nothing, errors: faultsOf(error), fetches: notes }
    }
  })
}

/** The row that a PUT would make. One that is not there has an id that no row has. */
function draft(project: Project, name: string, before: SourceRow | null, { settings, publicConfig, trusted }: Wanted): SourceRow {
  const none = {
    ...{ id: -1n, uid: '', secrets: {}, generation: 0, revision: null, commit: null, release: null },
    ...{ status: 'pending', checkedAt: null, syncedAt: null, unreachableSince: null, failures: 0 },
    ...{ createdAt: new Date(0), updatedAt: new Date(0), nextCheckAt: new Date(0) },
  }
  const config = publicConfig as SourceRow['config']
  return { ...none, ...before, ...settings, config, trusted, name, projectId: project.id }
}

async function toPreview(deps: Deps, row: SourceRow, asked: Asked, found: Found) {
  const { plan, warnings } = await previewSync(deps, row, asked, found)
  const made = plan.prompts.map(({ pushed, reused }) => ({
    name: pushed.name,
    status: reused ? ('unchanged' as const) : ('created' as const),
  }))
  const removed = plan.removed.map((held) => ({ name: held.name, status: 'removed' as const }))
  const created = made.filter(({ status }) => status === 'created').length
  const files = found.prompts.length
  return {
    commit: found.commit?.commit ?? null,
    warnings,
    results: [...made, ...removed],
    counts: { files, created, unchanged: Math.max(0, files - created), removed: removed.length },
  }
}
