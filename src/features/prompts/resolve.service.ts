import type { Db } from '../../database/connect.js'
import { AppError, type ErrorCode } from '../../errors.js'
import { Prisma } from '../../generated/prisma/client.js'
import type { Project } from '../../lib/access.js'
import type { PromptMessage, Variant, VersionContent } from '../../lib/content-hash.js'
import { aliasPattern, commitPattern, parseNumber, refOf } from '../../lib/names.js'
import { didYouMean } from '../../lib/suggest.js'
import { type IncludeGraph, includeGraph } from '../includes/includes.service.js'
import { findByCommit, knownRefs } from '../releases/releases.service.js'
import { heldVersion } from '../releases/snapshots.service.js'

/** A canary as resolution sees it: the other target, and what decides who gets it. */
export type CanaryChoice<Target> = { target: Target; basisPoints: number; salt: string }

type VersionTarget = { versionId: string }
type ReleaseTarget = { releaseId: bigint }

/** What a ref of a prompt names, before the version itself is read. */
export type Choice = { promptId: bigint } & (
  | ({ by: 'version' | 'latest' } & VersionTarget)
  | ({ by: 'release' | 'commit' } & ReleaseTarget)
  | ({ by: 'pin'; canary: CanaryChoice<VersionTarget> | null } & VersionTarget)
  | ({ by: 'alias'; canary: CanaryChoice<ReleaseTarget> | null } & ReleaseTarget)
)

/** One version whole, with the release that made it and, where a release was asked, that one. */
export type LoadedVersion = {
  id: string
  number: number
  label: string | null
  content: VersionContent
  /** Null once the version is purged. */
  contentHash: string | null
  path: string | null
  /** Null where it includes nothing. */
  includes: IncludeGraph | null
  createdAt: Date
  made: { number: number; label: string | null; gitRepo: string | null; gitCommit: string | null }
}

type CandidateRow = {
  prompt_id: bigint | null
  archived: boolean | null
  exact_id: string | null
  latest_id: string | null
  pin_version_id: string | null
  pin_canary_version_id: string | null
  pin_basis_points: number | null
  pin_salt: string | null
  alias_release_id: bigint | null
  alias_canary_release_id: bigint | null
  alias_basis_points: number | null
  alias_salt: string | null
  release_id: bigint | null
}

/**
 * What `ref` names for a prompt, in the order: version, pin, project alias, release, commit, `latest`.
 * Throws a 404 that names the thing and the remedy, or `commit.ambiguous`; `notFound` makes that of a prompt.
 */
export async function resolveRef(
  db: Db,
  project: Project,
  name: string,
  ref: string,
  notFound = () => promptNotFound(db, project, name),
): Promise<Choice> {
  const found = await findCandidates(db, project, name, ref)
  if (found.prompt_id === null) throw await notFound()
  const choice = pickCandidate(found, found.prompt_id) ?? (await resolveCommit(db, project, ref, found.prompt_id))
  if (choice) return choice
  if (ref !== 'latest') throw await unknownRef(db, project, name, ref)
  if (found.archived && found.latest_id) {
    throw new AppError(
      'prompt.archived',
      `Prompt "${name}" is archived and has no latest version; its versions and releases still answer. Push it to revive it.`,
    )
  }
  if (found.latest_id === null) throw new AppError('ref.not_found', `Prompt "${name}" has no version yet. Push it first.`)
  return { promptId: found.prompt_id, by: 'latest', versionId: found.latest_id }
}

async function findCandidates(db: Db, project: Project, name: string, ref: string): Promise<CandidateRow> {
  const versionNumber = parseNumber('v', ref)
  const releaseNumber = parseNumber('r', ref)
  const [row] = await db.$queryRaw<CandidateRow[]>`
    SELECT p.id AS prompt_id, p.archived_at IS NOT NULL AS archived,
      coalesce(
        (SELECT v.id FROM versions v WHERE v.prompt_id = p.id AND v.label = ${ref}),
        (SELECT v.id FROM versions v WHERE v.prompt_id = p.id AND v.number = ${versionNumber}::int))::text AS exact_id,
      (SELECT v.id FROM versions v WHERE v.prompt_id = p.id AND v.number = p.version_number)::text AS latest_id,
      pin.version_id::text AS pin_version_id, pin.canary_version_id::text AS pin_canary_version_id,
      pin.canary_basis_points AS pin_basis_points, pin.canary_salt AS pin_salt,
      alias.release_id AS alias_release_id, alias.canary_release_id AS alias_canary_release_id,
      alias.canary_basis_points AS alias_basis_points, alias.canary_salt AS alias_salt,
      coalesce(
        (SELECT r.id FROM releases r WHERE r.project_id = ${project.id} AND r.label = ${ref}),
        (SELECT r.id FROM releases r WHERE r.project_id = ${project.id} AND r.number = ${releaseNumber}::int)) AS release_id
    FROM (SELECT 1) one
    LEFT JOIN prompts p ON p.project_id = ${project.id} AND p.name = ${name}
    LEFT JOIN aliases pin ON pin.project_id = ${project.id} AND pin.name = ${ref} AND pin.prompt_id = p.id AND pin.deleted_at IS NULL
    LEFT JOIN aliases alias ON alias.project_id = ${project.id} AND alias.name = ${ref} AND alias.prompt_id IS NULL AND alias.deleted_at IS NULL`
  if (!row) throw new Error('A query over one row answered none.')
  return row
}

function pickCandidate(found: CandidateRow, promptId: bigint): Choice | null {
  if (found.exact_id !== null) return { promptId, by: 'version', versionId: found.exact_id }
  if (found.pin_version_id !== null) {
    const target = found.pin_canary_version_id === null ? null : { versionId: found.pin_canary_version_id }
    return {
      promptId,
      by: 'pin',
      versionId: found.pin_version_id,
      canary: toCanary(target, found.pin_basis_points, found.pin_salt),
    }
  }
  if (found.alias_release_id !== null) {
    const target = found.alias_canary_release_id === null ? null : { releaseId: found.alias_canary_release_id }
    return {
      promptId,
      by: 'alias',
      releaseId: found.alias_release_id,
      canary: toCanary(target, found.alias_basis_points, found.alias_salt),
    }
  }
  return found.release_id === null ? null : { promptId, by: 'release', releaseId: found.release_id }
}

function toCanary<Target>(target: Target | null, basisPoints: number | null, salt: string | null): CanaryChoice<Target> | null {
  return target === null || basisPoints === null || salt === null ? null : { target, basisPoints, salt }
}

async function resolveCommit(db: Db, project: Project, ref: string, promptId: bigint): Promise<Choice | null> {
  const release = commitPattern.test(ref) ? await findByCommit(db, project, ref) : null
  return release && { promptId, by: 'commit', releaseId: release.id }
}

/** Of a large project not all names are looked through: the first ones, and those that stand beside the one in question. */
const maxNamesRead = 2_000
const maxNeighbours = 100
const maxNear = 200

/** Names of the project that could be meant by one that is not there. */
export async function nearNames(db: Db, project: Project, name: string): Promise<string[]> {
  const near = await db.$queryRaw<{ name: string }[]>`
    SELECT name FROM (
      (SELECT name FROM prompts WHERE project_id = ${project.id} AND archived_at IS NULL ORDER BY name LIMIT ${maxNamesRead})
      UNION
      (SELECT name FROM prompts WHERE project_id = ${project.id} AND archived_at IS NULL AND name >= ${name} ORDER BY name LIMIT ${maxNeighbours})
      UNION
      (SELECT name FROM prompts WHERE project_id = ${project.id} AND archived_at IS NULL AND name < ${name} ORDER BY name DESC LIMIT ${maxNeighbours})
    ) known
    WHERE left(name, 1) = left(${name}, 1) AND abs(length(name) - length(${name})) <= 3
    ORDER BY abs(length(name) - length(${name})), name LIMIT ${maxNear}`
  return near.map((row) => row.name)
}

/** The error for a prompt that the project does not have, with the nearest name. */
export async function promptNotFound(db: Db, project: Project, name: string): Promise<AppError> {
  const names = await nearNames(db, project, name)
  return unknownPrompt(project, name, didYouMean(name, names))
}

/** The same by itself: to look for the nearest name costs many times as much as to find that there is no such prompt. */
export function unknownPrompt({ slug }: Project, name: string, hint = ''): AppError {
  return new AppError('prompt.not_found', `No prompt "${name}" in project "${slug}".${hint}`)
}

async function unknownRef(db: Db, project: Project, name: string, ref: string): Promise<AppError> {
  const where = `in project "${project.slug}".`
  if (/^v\d/.test(ref))
    return new AppError(
      'ref.not_found',
      `Prompt "${name}" has no version ${ref} ${where} See GET /prompts/${encodeURIComponent(name)}/versions.`,
    )
  if (parseNumber('r', ref)) return new AppError('release.not_found', `No release ${ref} ${where} See GET /releases.`)
  if (commitPattern.test(ref))
    return new AppError('release.not_found', `No release of commit ${ref} ${where} Push it first, with "git".`)
  const code: ErrorCode = aliasPattern.test(ref) ? 'alias.not_found' : 'ref.not_found'
  const kind = code === 'alias.not_found' ? 'alias' : 'version or release'
  return new AppError(code, `No ${kind} "${ref}" ${where}${didYouMean(ref, await knownRefs(db, project))}`)
}

type VersionRow = {
  id: string
  number: number
  label: string | null
  type: 'text' | 'chat'
  template: 'jinja' | 'none'
  content: string | null
  messages: PromptMessage[] | null
  config: Record<string, unknown>
  inputs: Record<string, unknown> | null
  variants: Variant[]
  content_hash: string | null
  path: string | null
  includes: IncludeGraph | null
  created_at: Date
  made_number: number
  made_label: string | null
  git_repo: string | null
  git_commit: string | null
}

const versionColumns = Prisma.sql`
  v.id::text, v.number, v.label, v.type, v.template, v.content, v.messages, v.config, v.inputs, v.variants,
  v.content_hash, v.path, ${includeGraph} AS includes, v.created_at, made.number AS made_number, made.label AS made_label, made.git_repo, made.git_commit`

export async function loadVersion(db: Db, versionId: string): Promise<LoadedVersion> {
  const [row] = await db.$queryRaw<VersionRow[]>`
    SELECT ${versionColumns}
    FROM versions v JOIN releases made ON made.id = v.release_id WHERE v.id = ${versionId}::uuid`
  if (!row) throw erasedMeanwhile()
  return toLoadedVersion(row)
}

/** A ref was resolved, and the project deleted before what it names was read. */
function erasedMeanwhile(): AppError {
  return new AppError('ref.not_found', 'What the ref names was erased a moment ago, with its project.')
}

/** The version a release holds of a prompt (null when it holds none), and the release's own ref. */
export async function loadInRelease(
  db: Db,
  releaseId: bigint,
  promptId: bigint,
): Promise<{ release: string; version: LoadedVersion | null }> {
  const [row] = await db.$queryRaw<(Partial<VersionRow> & { named_number: number; named_label: string | null })[]>`
    SELECT ${versionColumns},
      named.number AS named_number, named.label AS named_label
    FROM releases named
    LEFT JOIN LATERAL (${heldVersion(Prisma.sql`named.lineage`, Prisma.sql`${promptId}`)}) held ON true
    LEFT JOIN versions v ON v.id = held.version_id
    LEFT JOIN releases made ON made.id = v.release_id
    WHERE named.id = ${releaseId}`
  if (!row) throw erasedMeanwhile()
  const release = refOf('r', { number: row.named_number, label: row.named_label })
  return { release, version: row.id ? toLoadedVersion(row as VersionRow) : null }
}

function toLoadedVersion(row: VersionRow): LoadedVersion {
  const { type, template, content, messages, config, inputs, variants } = row
  return {
    id: row.id,
    number: row.number,
    label: row.label,
    content: { type, template, content, messages, config, inputs, variants },
    contentHash: row.content_hash,
    path: row.path,
    includes: row.includes,
    createdAt: row.created_at,
    made: { number: row.made_number, label: row.made_label, gitRepo: row.git_repo, gitCommit: row.git_commit },
  }
}

/** The version that a ref names for good: an alias counts with its stable target. For pins and their canaries. */
export async function findVersion(
  db: Db,
  project: Project,
  name: string,
  ref: string,
): Promise<{ id: string; number: number; label: string | null }> {
  const choice = await resolveRef(db, project, name, ref)
  if ('versionId' in choice) return loadVersion(db, choice.versionId)
  const { release, version } = await loadInRelease(db, choice.releaseId, choice.promptId)
  if (version) return version
  throw notInRelease(project, name, ref, release)
}

export function notInRelease(project: Project, name: string, ref: string, release: string): AppError {
  const through = ref === release ? '' : `, which "${ref}" points to,`
  return new AppError(
    'prompt.not_in_release',
    `Release ${release}${through} of project "${project.slug}" does not hold prompt "${name}". Push it, or name another ref.`,
  )
}
