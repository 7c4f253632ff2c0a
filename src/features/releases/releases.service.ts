import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import type { Project } from '../../lib/access.js'
import { pagedList } from '../../lib/cursor.js'
import { commitPattern, parseNumber, refOf } from '../../lib/names.js'
import type { PageQuery } from '../../lib/schemas.js'
import { didYouMean } from '../../lib/suggest.js'
import type { Release, ReleaseSnapshot } from './releases.schema.js'
import { countSnapshot, lineageOn, readSnapshot } from './snapshots.service.js'

/** A release as it is stored. */
export type ReleaseRow = {
  id: bigint
  projectId: bigint
  number: number
  label: string | null
  baseId: bigint | null
  lineage: bigint[]
  message: string | null
  gitRepo: string | null
  gitCommit: string | null
  gitBranch: string | null
  gitDirty: boolean | null
  actor: string
  createdAt: Date
}

export type GitInfo = { repo: string | null; commit: string; branch: string | null; dirty: boolean | null }

const maxSuggestions = 500

export function releaseRef(release: Pick<ReleaseRow, 'label' | 'number'>): string {
  return refOf('r', release)
}

/**
 * The release that `ref` names: a label, `r<N>`, a commit, `latest`, or a project alias (its stable target), in the
 * order of design. Throws `release.not_found` or `commit.ambiguous`.
 */
export async function resolveRelease(db: Db, project: Project, ref: string): Promise<ReleaseRow> {
  const release =
    (
      await db.alias.findFirst({
        where: { projectId: project.id, name: ref, promptId: null, deletedAt: null },
        select: { release: true },
      })
    )?.release ??
    (await findByLabelOrNumber(db, project, ref)) ??
    (commitPattern.test(ref) ? await findByCommit(db, project, ref) : null) ??
    (ref === 'latest' ? await findNewestRelease(db, project) : null)
  if (release) return release
  throw new AppError('release.not_found', await notFoundDetail(db, project, ref))
}

async function notFoundDetail(db: Db, project: Project, ref: string): Promise<string> {
  const where = `in project "${project.slug}".`
  if (parseNumber('r', ref)) return `No release ${ref} ${where} See GET /releases.`
  if (commitPattern.test(ref)) return `No release of commit ${ref} ${where} Push it first, with "git".`
  if (ref === 'latest') return `No release at all ${where} Push first.`
  return `No release or alias "${ref}" ${where}${didYouMean(ref, await knownRefs(db, project))}`
}

/** Names that a mistyped ref may have meant, a bounded number of them. */
export async function knownRefs(db: Db, project: Project): Promise<string[]> {
  const aliases = await db.alias.findMany({
    where: { projectId: project.id, deletedAt: null },
    select: { name: true },
    take: maxSuggestions,
  })
  const labelled = await db.release.findMany({
    where: { projectId: project.id, label: { not: null } },
    select: { label: true },
    orderBy: { id: 'desc' },
    take: maxSuggestions,
  })
  return [...new Set([...aliases.map(({ name }) => name), ...labelled.map(({ label }) => label ?? '')])]
}

export async function findNewestRelease(db: Db, project: Project): Promise<ReleaseRow | null> {
  return db.release.findFirst({ where: { projectId: project.id }, orderBy: { number: 'desc' } })
}

export async function findByLabelOrNumber(db: Db, project: Project, ref: string): Promise<ReleaseRow | null> {
  const number = parseNumber('r', ref)
  return db.release.findFirst({ where: { projectId: project.id, ...(number ? { number } : { label: ref }) } })
}

/** The newest release of the one commit that begins with `prefix` (7–40 hex digits). Throws `commit.ambiguous`. */
export async function findByCommit(db: Db, project: Project, prefix: string): Promise<ReleaseRow | null> {
  const from = prefix.toLowerCase()
  const links = await db.$queryRaw<{ commit: string; release_id: bigint }[]>`
    SELECT commit, max(release_id) AS release_id FROM release_commits
    WHERE project_id = ${project.id} AND commit >= ${from} AND commit < ${`${from}g`}
    GROUP BY commit ORDER BY commit LIMIT 2`
  const [link, other] = links
  if (link && other) {
    throw new AppError(
      'commit.ambiguous',
      `"${prefix}" begins several commits of project "${project.slug}", ${link.commit} and ${other.commit} among them. Give more digits.`,
    )
  }
  return link ? db.release.findUnique({ where: { id: link.release_id } }) : null
}

type NewRelease = { base: ReleaseRow | null; label: string | null; message: string | null; git: GitInfo | null; actor: string }

/** Makes the next release row of a locked project; its entries follow with `writeEntries`. */
export async function insertRelease(db: Db, project: Project, release: NewRelease): Promise<ReleaseRow> {
  const [next] = await db.$queryRaw<{ id: bigint; number: number }[]>`
    UPDATE projects SET release_number = release_number + 1 WHERE id = ${project.id}
    RETURNING nextval(pg_get_serial_sequence('releases', 'id')) AS id, release_number AS number`
  if (!next) throw new Error(`Project ${project.slug} is gone under its own lock.`)
  const { base, git, label, message, actor } = release
  return db.release.create({
    data: {
      id: next.id,
      projectId: project.id,
      number: next.number,
      label,
      baseId: base?.id ?? null,
      lineage: lineageOn(base, next.id).lineage,
      message,
      gitRepo: git?.repo ?? null,
      gitCommit: git?.commit ?? null,
      gitBranch: git?.branch ?? null,
      gitDirty: git?.dirty ?? null,
      actor,
    },
  })
}

/** Links a commit to a release; true when that is new. */
export async function linkCommit(db: Db, project: Project, commit: string, releaseId: bigint): Promise<boolean> {
  const added = await db.$executeRaw`
    INSERT INTO release_commits (project_id, commit, release_id) VALUES (${project.id}, ${commit}, ${releaseId})
    ON CONFLICT DO NOTHING`
  return added > 0
}

const releaseList = pagedList<[number: number]>('releases', ['number'])
const snapshotList = pagedList<[name: string]>('snapshot', ['text'])

export async function listReleases({ db }: Pick<Deps, 'db'>, project: Project, query: PageQuery) {
  const position = releaseList.position(query.cursor)
  const rows = await db.release.findMany({
    where: { projectId: project.id, ...(position ? { number: { lt: position[0] } } : {}) },
    orderBy: { number: 'desc' },
    take: query.limit + 1,
  })
  const bases = await basesOf(db, rows)
  return releaseList.page(
    rows,
    query.limit,
    (row) => [row.number],
    (row) => toRelease(row, bases),
  )
}

/** One release and a page of what it holds, by name. */
export async function getRelease(
  { db }: Pick<Deps, 'db'>,
  project: Project,
  ref: string,
  query: PageQuery,
): Promise<ReleaseSnapshot> {
  const position = snapshotList.position(query.cursor)
  const release = await resolveRelease(db, project, ref)
  const held = await readSnapshot(db, release.lineage, {
    ...(position ? { after: position[0] } : {}),
    limit: query.limit + 1,
  })
  const items = held.slice(0, query.limit)
  return {
    ...toRelease(release, await basesOf(db, [release])),
    promptCount: await countSnapshot(db, release.lineage),
    items: items.map((item) => ({ name: item.name, version: refOf('v', item), number: item.number })),
    nextCursor: held.length > query.limit ? snapshotList.cursor([items.at(-1)?.name ?? '']) : null,
  }
}

async function basesOf(db: Db, releases: ReleaseRow[]): Promise<Map<bigint, string>> {
  const ids = releases.flatMap(({ baseId }) => (baseId === null ? [] : [baseId]))
  const rows = await db.release.findMany({ where: { id: { in: ids } }, select: { id: true, number: true, label: true } })
  return new Map(rows.map((row) => [row.id, releaseRef(row)]))
}

function toRelease(row: ReleaseRow, bases: Map<bigint, string>): Release {
  return {
    number: row.number,
    label: row.label,
    ref: releaseRef(row),
    base: row.baseId === null ? null : (bases.get(row.baseId) ?? null),
    message: row.message,
    git: row.gitCommit === null ? null : { repo: row.gitRepo, commit: row.gitCommit, branch: row.gitBranch, dirty: row.gitDirty },
    actor: row.actor,
    createdAt: row.createdAt.toISOString(),
  }
}
