import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import { Prisma } from '../../generated/prisma/client.js'
import { type Caller, hasScope, type Project } from '../../lib/access.js'
import { refOf } from '../../lib/names.js'
import { targetOf } from '../aliases/alias-rows.service.js'
import { writeMove } from '../aliases/aliases.service.js'
import { recordChange, writeProject } from '../projects/projects.service.js'
import { refusePurged } from '../purge/purge.service.js'
import { whileThere, writeRefused } from '../reads/database.service.js'
import { writeReleaseSources } from '../releases/release-sources.service.js'
import { insertRelease, linkCommit, type ReleaseRow, releaseRef } from '../releases/releases.service.js'
import { isSameOrigin, type SnapshotChange, writeEntries } from '../releases/snapshots.service.js'
import type { PlannedPrompt } from './composition.service.js'
import type { KnownPrompt } from './known.service.js'
import { noteFollowers, originOf } from './ownership.service.js'
import { type PushPlan, planPush } from './plan.service.js'
import { type PreparedPush, preparePush, toWarnings } from './prepare.service.js'
import type { PushAnswer } from './push.schema.js'
import type { PreparedPrompt } from './read.service.js'

/** Rows a statement: larger ones hold more memory at once than they save in time. */
const chunkSize = 200
const chunkCharacters = 2 * 1024 ** 2
/** About what a chat prompt takes. */
const messageCharacters = 10_000

/** A JSON list of texts as a Postgres array. */
const labelsOf = Prisma.sql`ARRAY(SELECT json_array_elements_text(coalesce(row.labels, '[]')))`

/**
 * Makes a release of what is pushed: versions, release, alias move and audit entry in one transaction. Repeating a
 * push makes nothing; `created` tells whether a release was made.
 */
export async function push(
  deps: Deps,
  caller: Caller,
  body: unknown,
  ifMatch: string | undefined,
): Promise<{ answer: PushAnswer; created: boolean }> {
  if (hasAlias(body) && !hasScope(caller.actor, 'aliases:write')) {
    throw new AppError(
      'scope.missing',
      'Moving an alias needs the scope "aliases:write", which this key lacks. Push without "alias", or use another key.',
    )
  }
  const prepared = await preparePush(body, caller.project.settings, deps.pause, (prompts) =>
    whileThere(deps, findAccepted(deps.db, caller.project, prompts), writeRefused),
  )
  return writeProject(deps, caller.project, async (tx, project) => {
    await refusePurged(tx, project, prepared.prompts, deps.pause)
    const plan = await planPush({ db: tx, pause: deps.pause }, project, prepared, ifMatch)
    if (prepared.request.dryRun) return { answer: dryAnswer(prepared, plan), created: false }
    return applyPush(deps, tx, { ...caller, project }, prepared, plan)
  })
}

function hasAlias(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'alias' in body && body.alias !== undefined
}

/** Which of the pushed contents are the newest of their prompts already and name no others: their templates need no parsing. */
async function findAccepted(db: Db, project: Project, prompts: PreparedPrompt[]): Promise<(prompt: PreparedPrompt) => boolean> {
  const names = prompts.map(({ name }) => name)
  const rows = await db.$queryRaw<{ name: string; content_hash: string }[]>`
    SELECT p.name, v.content_hash FROM prompts p JOIN versions v ON v.prompt_id = p.id AND v.number = p.version_number
    WHERE p.project_id = ${project.id} AND p.name = ANY(${names})
      AND NOT EXISTS (SELECT 1 FROM version_includes i WHERE i.version_id = v.id)`
  const accepted = new Map(rows.map((row) => [row.name, row.content_hash]))
  return ({ name, contentHash }) => accepted.get(name) === contentHash
}

/** A planned prompt with the version it has once the push is applied. */
type Settled = { plan: PlannedPrompt; promptId: bigint; number: number; label: string | null }

/** Stores what was planned, in the transaction of the plan. */
export async function applyPush(
  deps: Deps,
  tx: Db,
  caller: Caller,
  push: PreparedPush,
  plan: PushPlan,
): Promise<{ answer: PushAnswer; created: boolean }> {
  const { project } = caller
  const label = push.request.version ?? null
  const release =
    plan.existing ??
    (await insertRelease(tx, project, {
      base: plan.base,
      label,
      message: push.request.message ?? null,
      git: push.git,
      actor: caller.actor.name,
    }))
  const inserted = await insertPrompts(tx, project, plan.prompts)
  const updated = await updatePrompts(deps, tx, plan.prompts)
  const settled = plan.prompts.map((prompt) => settle(prompt, inserted, release))
  await insertVersions(tx, release, settled)
  await insertIncludes(tx, plan.prompts)
  await noteFollowers(tx, plan.prompts)
  if (!plan.existing) {
    await writeEntries(tx, release.id, plan.base, changesOf(push, plan, settled))
    await writeReleaseSources(tx, release.id, plan.base, push.sync && { ...push.sync.source, pathFile: push.sync.pathFile })
  }
  const linked = push.git ? await linkCommit(tx, project, push.git.commit, release.id) : false
  const alias = await movePushedAlias(deps, tx, caller, push, plan, release)
  if (!plan.existing || linked || updated > 0 || plan.alias?.moves)
    await auditPush(tx, caller, push, plan, release, settled, alias)
  return { answer: toAnswer(push, plan, release, settled, alias), created: plan.existing === null }
}

function settle(plan: PlannedPrompt, inserted: Map<string, Inserted>, release: ReleaseRow): Settled {
  const { pushed, known, reused } = plan
  if (known && reused) {
    return { plan, promptId: known.id, number: reused.number, label: reused.label }
  }
  const made = known ? { id: known.id, number: known.versionNumber + 1 } : inserted.get(pushed.name)
  if (!made) throw new Error(`Prompt ${pushed.name} was not stored.`)
  return { plan, promptId: made.id, number: made.number, label: release.label }
}

/** A prompt that was not there before, with the number of its first version. */
type Inserted = { id: bigint; number: number }

/** Prompts that a deleted project had go on with their version numbers. */
async function insertPrompts(tx: Db, project: Project, prompts: PlannedPrompt[]): Promise<Map<string, Inserted>> {
  const stored = new Map<string, Inserted>()
  for (const chunk of chunksOf(prompts.filter(({ known }) => known === null))) {
    const rows = JSON.stringify(chunk.map(({ pushed: { name, fields } }) => ({ name, ...fields })))
    const inserted = await tx.$queryRaw<({ name: string } & Inserted)[]>`
      INSERT INTO prompts (project_id, name, title, description, labels, metadata, version_number)
      SELECT ${project.id}::bigint, name, title, description, ${labelsOf}, coalesce(metadata, '{}'), coalesce(kept.number, 0) + 1
      FROM json_to_recordset(${rows}::json) AS row(name text, title text, description text, labels json, metadata json)
      LEFT JOIN kept_numbers kept ON kept.project_id = ${project.id}::bigint AND kept.prompt = row.name AND kept.alias = ''
      RETURNING id, name, version_number AS number`
    for (const { name, ...prompt } of inserted) stored.set(name, prompt)
  }
  return stored
}

/** The last push wins: what it gives of title, description, labels and metadata replaces what was there. */
async function updatePrompts(deps: Deps, tx: Db, prompts: PlannedPrompt[]): Promise<number> {
  const changed = prompts.flatMap(({ known, pushed, reused }) => {
    if (!known) return []
    const next = { ...fieldsOf(known), ...pushed.fields }
    const hasNewFields = JSON.stringify(next) !== JSON.stringify(fieldsOf(known))
    if (!hasNewFields && !known.archived && reused) return []
    return [{ id: known.id.toString(), ...next, version_number: known.versionNumber + (reused ? 0 : 1) }]
  })
  for (const chunk of chunksOf(changed)) {
    await tx.$executeRaw`
      UPDATE prompts SET title = row.title, description = row.description, labels = ${labelsOf}, metadata = row.metadata,
        version_number = row.version_number, archived_at = NULL, updated_at = ${deps.now()}::timestamptz
      FROM json_to_recordset(${JSON.stringify(chunk)}::json)
        AS row(id bigint, title text, description text, labels json, metadata json, version_number int)
      WHERE prompts.id = row.id`
  }
  return changed.length
}

function fieldsOf({ title, description, labels, metadata }: KnownPrompt) {
  return { title, description, labels, metadata }
}

async function insertVersions(tx: Db, release: ReleaseRow, settled: Settled[]): Promise<void> {
  const made = settled.filter(({ plan }) => plan.reused === null)
  for (const chunk of chunksOf(made, ({ plan }) => plan.pushed.content.content?.length ?? messageCharacters)) {
    const rows = chunk.map(({ plan: { pushed, versionId, contentHash }, promptId, number, label }) => ({
      ...pushed.content,
      ...{ id: versionId, prompt_id: promptId.toString(), number, label, content_hash: contentHash, path: pushed.path },
    }))
    await tx.$executeRaw`
      INSERT INTO versions (id, prompt_id, number, label, release_id, type, template, content, messages, config, inputs, variants, content_hash, path)
      SELECT id, prompt_id, number, label, ${release.id}::bigint, type, template, content, nullif(messages::text, 'null')::json, config,
        nullif(inputs::text, 'null')::json, variants, content_hash, path
      FROM json_to_recordset(${JSON.stringify(rows)}::json)
        AS row(id uuid, prompt_id bigint, number int, label text, type text, template text, content text, messages json, config json,
          inputs json, variants json, content_hash text, path text)`
  }
}

/** After all versions are there, for some of them are included by others. */
async function insertIncludes(tx: Db, prompts: PlannedPrompt[]): Promise<void> {
  const made = prompts.filter(({ reused }) => reused === null)
  const rows = made.flatMap(({ versionId, includes }) => includes.map((include) => ({ id: versionId, ...include })))
  for (const chunk of chunksOf(rows)) {
    await tx.$executeRaw`
      INSERT INTO version_includes (version_id, reference, target_id)
      SELECT id, reference, target FROM json_to_recordset(${JSON.stringify(chunk.map(({ targetId, ...row }) => ({ ...row, target: targetId })))}::json)
        AS row(id uuid, reference text, target uuid)`
  }
}

function changesOf({ sync }: PreparedPush, { removed }: PushPlan, settled: Settled[]): SnapshotChange[] {
  const held = settled.flatMap(({ promptId, plan }) => {
    const { versionId, known } = plan
    const origin = originOf(plan, sync)
    const before = known?.inBase
    return before?.versionId === versionId && isSameOrigin(before.origin, origin) ? [] : [{ promptId, versionId, origin }]
  })
  return [...held, ...removed.map(({ promptId }) => ({ promptId, versionId: null, origin: null }))]
}

/** One entry for all that a push does, the move of its alias included. */
async function auditPush(
  tx: Db,
  caller: Caller,
  push: PreparedPush,
  plan: PushPlan,
  release: ReleaseRow,
  settled: Settled[],
  alias: PushAnswer['alias'],
): Promise<void> {
  const created = settled.filter(({ plan: { reused } }) => reused === null)
  const from = plan.alias?.row ? targetOf(plan.alias.row) : null
  const aliasBefore = from && 'release' in from ? { name: alias?.name, release: releaseRef(from.release) } : null
  await recordChange(tx, caller, {
    action: push.sync ? 'source.sync' : 'push',
    target: push.sync?.source.name ?? releaseRef(release),
    before: plan.base && { release: releaseRef(plan.base), ...(alias ? { alias: aliasBefore } : {}) },
    after: {
      release: releaseRef(release),
      number: release.number,
      made: plan.existing === null,
      created: created.length,
      unchanged: settled.length - created.length,
      removed: plan.removed.length,
      prompts: created.slice(0, 20).map(({ plan: { pushed } }) => pushed.name),
      ...(alias ? { alias } : {}),
    },
  })
}

async function movePushedAlias(
  deps: Deps,
  tx: Db,
  caller: Caller,
  push: PreparedPush,
  { alias }: PushPlan,
  release: ReleaseRow,
): Promise<PushAnswer['alias']> {
  const name = push.request.alias
  if (!alias || name === undefined) return null
  if (!alias.moves) return { name, release: releaseRef(release), revision: alias.row?.revision ?? null }
  const request = { name, reason: push.request.message?.slice(0, 1_000) }
  const moved = await writeMove(deps, tx, caller, { row: alias.row, promptId: null, request }, { release })
  return { name, release: releaseRef(release), revision: moved.revision }
}

function toAnswer(
  push: PreparedPush,
  plan: PushPlan,
  release: ReleaseRow,
  settled: Settled[],
  alias: PushAnswer['alias'],
): PushAnswer {
  return {
    release: {
      number: release.number,
      label: release.label,
      ref: releaseRef(release),
      createdAt: release.createdAt.toISOString(),
    },
    results: [
      ...settled.map(({ plan, number, label }) => ({
        name: plan.pushed.name,
        version: refOf('v', { number, label }),
        number,
        ...outcomeOf(plan),
      })),
      ...removedResults(plan),
    ],
    alias,
    warnings: [...push.warnings, ...toWarnings(plan.warnings)],
  }
}

function outcomeOf({ reused, causes }: PlannedPrompt): Pick<PushAnswer['results'][number], 'status' | 'cause'> {
  const status = reused ? 'unchanged' : 'created'
  if (causes.length === 0) return { status }
  return { status, cause: `includes ${causes.map((name) => `"${name}"`).join(', ')}, which changed` }
}

function removedResults({ removed }: PushPlan): PushAnswer['results'] {
  return removed.map((held) => ({ name: held.name, version: refOf('v', held), number: held.number, status: 'removed' }))
}

/** The answer of a dry run: what exists has its numbers, what would be made has none. */
function dryAnswer(push: PreparedPush, plan: PushPlan): PushAnswer {
  const { existing, alias } = plan
  const label = push.request.version ?? null
  const ref = existing ? releaseRef(existing) : label
  return {
    release: existing
      ? { number: existing.number, label: existing.label, ref, createdAt: existing.createdAt.toISOString() }
      : { number: null, label, ref, createdAt: null },
    results: [
      ...plan.prompts.map((plan) => ({
        name: plan.pushed.name,
        version: plan.reused ? refOf('v', plan.reused) : label,
        number: plan.reused?.number ?? null,
        ...outcomeOf(plan),
      })),
      ...removedResults(plan),
    ],
    alias: alias && {
      name: push.request.alias ?? '',
      release: ref,
      revision: alias.moves ? null : (alias.row?.revision ?? null),
    },
    warnings: [...push.warnings, ...toWarnings(plan.warnings)],
  }
}

function* chunksOf<T>(items: T[], sizeOf: (item: T) => number = () => 0): Generator<T[]> {
  let chunk: T[] = []
  let size = 0
  for (const item of items) {
    chunk.push(item)
    size += sizeOf(item)
    if (chunk.length < chunkSize && size < chunkCharacters) continue
    yield chunk
    chunk = []
    size = 0
  }
  if (chunk.length > 0) yield chunk
}
