import { hash } from 'node:crypto'
import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError, type ErrorCode } from '../../errors.js'
import type { Actor, Project } from '../../lib/access.js'
import { type Fault, nameInSource } from '../../lib/source-files.js'
import { maxFindings } from '../../lib/validation.js'
import type { FetchNote, ListedFile, Revision } from '../../providers/provider.js'
import { findProject, writeProject } from '../projects/projects.service.js'
import { refusePurged } from '../purge/purge.service.js'
import { checkPrompts } from '../push/check.service.js'
import { baseOf, type PushPlan, planPush, releaseOfAlias } from '../push/plan.service.js'
import { type PreparedPush, toWarnings } from '../push/prepare.service.js'
import type { PushAnswer } from '../push/push.schema.js'
import { applyPush } from '../push/push.service.js'
import { readPrompts } from '../push/read.service.js'
import { readReleaseSource } from '../releases/release-sources.service.js'
import type { ReleaseRow } from '../releases/releases.service.js'
import { type Held, readSnapshot } from '../releases/snapshots.service.js'
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
import { openConfig, requireProvider, type SourceRow, withContext } from './source-rows.service.js'

/** Who a sync is made for, and what it is called in logs and audit. */
export type SyncCaller = { actor: Actor; requestId: string }

/** What came of a look at a source. Nothing was stored where it failed. */
export type SyncOutcome = {
  notes: FetchNote[]
  /** Whether the other side could be asked at all. */
  isReached: boolean
} & (
  | { status: 'unchanged' }
  | { status: 'success'; synced: Synced }
  | { status: 'failed'; code: ErrorCode; errors: Fault[]; retryAfterSeconds: number | null; isOutOfReach: boolean }
)

export type Synced = { found: Found; answer: PushAnswer; created: boolean; warnings: string[] }

/** What a sync stores beside the release, in the same transaction. Rejects where the run is not to count any more. */
export type Finish = (tx: Db, synced: Synced) => Promise<void>

/** All of it, from the first request to the commit. */
const syncTimeoutMs = 120_000
/** How often it is planned anew because something else was written to the project meanwhile. */
const maxAttempts = 5
const maxMessageLength = 500

/** What says that nothing can be had of the other side, whatever is there. */
const outOfReach = new Set<ErrorCode>([
  'source.unreachable',
  'source.limited',
  'source.denied',
  'source.missing',
  'source.blocked',
])

/** Prompts as a plan is made of them, and what of the source they are. */
type Delta = { base: ReleaseRow | null; push: PreparedPush }

/**
 * Brings what the alias of a source points to up to date with it: one release that holds its files as they are, made and
 * stored wholly or not at all. `previous` is the state that is known; a source still in it is left alone.
 */
export async function syncSource(
  deps: Deps,
  row: SourceRow,
  caller: SyncCaller,
  previous: Revision | null,
  finish: Finish,
): Promise<SyncOutcome> {
  const signal = AbortSignal.any([deps.shutdown.signal, AbortSignal.timeout(syncTimeoutMs)])
  return withContext(deps, row, signal, async (context, notes) => {
    let isReached = false
    try {
      const asked: Asked = { provider: requireProvider(row.provider), config: openConfig(deps, row), context, pause: deps.pause }
      const found = await findFiles(asked, (await hasTarget(deps, row)) ? previous : null, row, () => {
        isReached = true
      })
      if (!found) return { status: 'unchanged', notes, isReached }
      return { status: 'success', notes, isReached, synced: await storeFound(deps, row, caller, asked, found, finish) }
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      return { status: 'failed', notes, isReached, isOutOfReach: !isReached && outOfReach.has(error.code), ...failureOf(error) }
    }
  })
}

/** An alias that is not there, a new default of the project say, is made whether the source changed or not. */
async function hasTarget(deps: Deps, row: SourceRow): Promise<boolean> {
  const project = await requireProject(deps, row)
  return (await releaseOfAlias(deps.db, project, aliasOf(row, project))) !== null
}

function failureOf(error: AppError) {
  const retryAfterSeconds = Number(error.headers['retry-after'])
  return {
    code: error.code,
    errors: faultsOf(error)
      .slice(0, maxFindings)
      .map(({ message, ...fault }) => ({ ...fault, message: message.slice(0, maxMessageLength) })),
    retryAfterSeconds: Number.isFinite(retryAfterSeconds) ? retryAfterSeconds : null,
  }
}

async function storeFound(
  deps: Deps,
  row: SourceRow,
  caller: SyncCaller,
  asked: Asked,
  found: Found,
  finish: Finish,
): Promise<Synced> {
  const project = await requireProject(deps, row)
  for (let attempt = 1; attempt <= maxAttempts; attempt += 1) {
    const delta = await prepareDelta(deps, row, project, asked, found, await knownFiles(deps.db, row))
    const synced = await writeProject(deps, project, async (tx, current): Promise<Synced | null> => {
      // What is to be read of the source depends on the base, which another writer may have moved.
      if ((await baseOf(tx, current, aliasOf(row, current)))?.id !== delta.base?.id) return null
      await refusePurged(tx, current, delta.push.prompts, deps.pause)
      const plan = await planPush({ db: tx, pause: deps.pause }, current, delta.push, undefined)
      const { answer, created } = await applyPush(deps, tx, { ...caller, project: current }, delta.push, plan)
      await writeFiles(tx, row, found, plan, delta.push.sync?.pathFile ?? null)
      const done = { found, answer, created, warnings: [...found.warnings, ...answer.warnings] }
      await finish(tx, done)
      return done
    })
    if (synced) return synced
  }
  throw new AppError(
    'write.busy',
    `Project "${project.slug}" was written to all the time. Nothing was changed; it is tried again.`,
  )
}

/** What a sync would make, by reading alone. Throws as a sync fails. */
export async function previewSync(
  deps: Deps,
  row: SourceRow,
  asked: Asked,
  found: Found,
  known: 'as stored' | 'none',
): Promise<PreviewedSync> {
  const project = await requireProject(deps, row)
  const files = known === 'none' ? new Map() : await knownFiles(deps.db, row)
  const { push } = await prepareDelta(deps, row, project, asked, found, files)
  return deps.db.$transaction(async (tx) => {
    const { purgeSalt } = await tx.project.findUniqueOrThrow({ where: { id: project.id }, select: { purgeSalt: true } })
    await refusePurged(tx, { id: project.id, purgeSalt }, push.prompts, deps.pause)
    const plan = await planPush({ db: tx, pause: deps.pause }, project, push, undefined)
    return { plan, warnings: [...found.warnings, ...push.warnings, ...toWarnings(plan.warnings)] }
  })
}

export type PreviewedSync = { plan: PushPlan; warnings: string[] }

async function requireProject(deps: Deps, { projectId }: SourceRow): Promise<Project> {
  const project = await findProject(deps, { id: projectId })
  if (!project) throw new AppError('project.not_found', 'The project of the source is gone.')
  return project
}

function aliasOf({ alias }: SourceRow, { settings }: Project): string {
  return alias ?? settings.defaultAlias
}

/** Reads the files whose prompts the base does not hold as they are, and no others. */
async function prepareDelta(
  deps: Deps,
  row: SourceRow,
  project: Project,
  asked: Asked,
  found: Found,
  known: KnownFiles,
): Promise<Delta> {
  const { db } = deps
  const base = await baseOf(db, project, aliasOf(row, project))
  const held = new Map((base ? await readSnapshot(db, base.lineage) : []).map((one) => [one.name, one]))
  const archived = await archivedNames(db, project)
  const changed = found.prompts.filter((file) => archived.has(file.name) || !isCurrent(row, file, known, held.get(file.name)))
  const routing = await findRouting(db, row, base, known, found)
  const faults = [...found.faults]
  const texts = await readTexts(asked, [...changed, ...routing.toRead], found.revision, faults)
  const read = routing.isKept ? null : await readRouting(texts, found, await sourceNames(deps, project.id), faults)
  const pathFile = routing.isKept ? routing.pathFile : (read?.pathText ?? null)
  const warnings = (read?.pathFile?.warnings ?? []).map(({ line, message }) => `File "PATH", line ${line}: ${message}`)
  return { base, push: await preparePush(deps, row, project, found, { changed, texts, pathFile, faults, warnings }) }
}

type KnownFiles = ReadonlyMap<string, { hash: string; versionId: string | null }>

async function knownFiles(db: Db, { id }: SourceRow): Promise<KnownFiles> {
  const rows = await db.sourceFile.findMany({ where: { sourceId: id }, select: { path: true, hash: true, versionId: true } })
  return new Map(rows.map(({ path, ...file }) => [path, file]))
}

async function archivedNames(db: Db, { id }: Project): Promise<Set<string>> {
  const rows = await db.prompt.findMany({ where: { projectId: id, archivedAt: { not: null } }, select: { name: true } })
  return new Set(rows.map(({ name }) => name))
}

function isCurrent(row: SourceRow, file: ListedFile, known: KnownFiles, held: Held | undefined): boolean {
  const before = known.get(file.path)
  return (
    before?.hash === file.hash &&
    held !== undefined &&
    held.versionId === before.versionId &&
    held.origin?.sourceId === row.id &&
    held.origin.path === file.path
  )
}

/** Whether what routes is as the base has it; if not, what is to be read of it. */
async function findRouting(db: Db, row: SourceRow, base: ReleaseRow | null, known: KnownFiles, found: Found) {
  const files = routingFiles(found)
  const held = base ? await readReleaseSource(db, base.lineage, row.id) : null
  const isKept =
    held !== null &&
    (held.pathFile !== null) === (found.pathFile !== null) &&
    files.every((file) => known.get(file.path)?.hash === routingHash(file, held.pathFile))
  return { isKept, pathFile: held?.pathFile ?? null, toRead: isKept ? [] : files }
}

function routingFiles({ pathFile, schemaVersion }: Found): ListedFile[] {
  return [pathFile, schemaVersion].filter((file) => file !== null)
}

/** No version tells what a PATH file became: its hash is kept with one of the text, which the base may have another of. */
function routingHash({ hash: listed }: ListedFile, pathText: string | null): string {
  return pathText === null ? listed : `${listed} ${hash('sha256', pathText)}`
}

type Read = {
  changed: (ListedFile & { name: string })[]
  texts: ReadonlyMap<string, string>
  pathFile: string | null
  /** What is wrong so far, and what is odd. */
  faults: Fault[]
  warnings: string[]
}

/** Parses, validates, hashes and scans what is new. Throws with all that is wrong, each naming its file. */
async function preparePush(
  deps: Deps,
  row: SourceRow,
  project: Project,
  found: Found,
  { changed, texts, pathFile, faults, warnings }: Read,
): Promise<PreparedPush> {
  const files = changed.flatMap(({ path }) => {
    const content = texts.get(path)
    return content === undefined ? [] : [{ path, content }]
  })
  const read = await readPrompts([], files, row.template === 'none' ? 'none' : 'jinja', deps.pause, {
    whereOf: (_file, index) => files[index]?.path ?? '',
    nameOf: (name) => nameInSource(name, row.prefix),
  })
  const checked = await checkPrompts(read.prompts, () => false, project.settings, deps.pause, maxFindings)
  refuseFaults([
    ...faults,
    ...[...read.errors, ...checked.errors].map(({ file, prompt, ...fault }) => ({ ...fault, path: file ?? fault.path })),
  ])
  const commit = found.commit
  return {
    request: { alias: aliasOf(row, project), prune: false, dryRun: false, message: `Sync of source "${row.name}"` },
    git: commit && { repo: commit.repo, commit: commit.commit, branch: commit.branch, dirty: false },
    prompts: checked.prompts,
    warnings: [...warnings, ...toWarnings([...read.warnings, ...checked.warnings])],
    sync: {
      source: { id: row.id, name: row.name, prefix: row.prefix },
      names: new Set(found.prompts.map(({ name }) => name)),
      pathFile,
    },
  }
}

/** Notes what each file was and became, so that the next sync need not read it again. */
async function writeFiles(tx: Db, row: SourceRow, found: Found, plan: PushPlan, pathFile: string | null): Promise<void> {
  const made = new Map(
    plan.prompts.flatMap(({ pushed, follows, versionId }) => (follows ? [] : [[pushed.path, versionId] as const])),
  )
  const routing = routingFiles(found)
  await tx.$executeRaw`
    DELETE FROM source_files WHERE source_id = ${row.id} AND path <> ALL(${[...found.prompts, ...routing].map(({ path }) => path)}::text[])`
  const prompts = found.prompts.flatMap(({ path, hash }) => {
    const version = made.get(path)
    return version === undefined ? [] : [{ path, hash, version }]
  })
  const rows = [...prompts, ...routing.map((file) => ({ path: file.path, hash: routingHash(file, pathFile), version: null }))]
  await tx.$executeRaw`
    INSERT INTO source_files (source_id, path, hash, version_id)
    SELECT ${row.id}::bigint, path, hash, version FROM json_to_recordset(${JSON.stringify(rows)}::json) AS row(path text, hash text, version uuid)
    ON CONFLICT (source_id, path) DO UPDATE SET hash = excluded.hash, version_id = excluded.version_id`
}
