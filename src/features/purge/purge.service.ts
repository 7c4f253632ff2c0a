import { createHash, randomBytes } from 'node:crypto'
import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError, type Finding } from '../../errors.js'
import type { Caller, Project } from '../../lib/access.js'
import type { Body, VersionContent } from '../../lib/content-hash.js'
import { refOf } from '../../lib/names.js'
import { mapInSlices, type Pause } from '../../lib/slices.js'
import { invalid } from '../../lib/validation.js'
import { type LockedProject, recordChange, writeProject } from '../projects/projects.service.js'
import { type LoadedVersion, loadVersion, resolveRef } from '../prompts/resolve.service.js'
import { noteErased } from '../reads/changes.service.js'
import { eraseSettings, forgetVersion } from '../sources/forget.service.js'
import type { AllowedVersion, PurgedVersion } from './purge.schema.js'

/** The answer to a purge names this many other versions of the same text, and as many that include it. */
const maxOthers = 1_000

type Named = { name: string; version: string; number: number }

/**
 * Erases one version for good: content, messages, config, inputs, variants and hash. The number stays taken, releases
 * stay whole, and its text is refused in later pushes and syncs until `allowPurged`. To a purged version it changes nothing.
 */
export async function purgeVersion(
  deps: Deps,
  caller: Caller,
  { name, ref, reason }: { name: string; ref: string; reason: string },
): Promise<PurgedVersion> {
  const purged = await writeProject(deps, caller.project, async (tx, project) => {
    const version = await requireVersion(tx, project, name, ref)
    const named = nameOf(name, version)
    const { purgedAt } = await tx.version.findUniqueOrThrow({ where: { id: version.id }, select: { purgedAt: true } })
    if (purgedAt) {
      const answer = { ...named, purgedAt: purgedAt.toISOString(), ...(await findAffected(tx, project, version.id)) }
      return { answer, isNew: false }
    }
    const salt = project.purgeSalt ?? (await drawSalt(tx, project))
    await refuseText(tx, project, version, salt)
    const now = deps.now()
    await tx.$executeRaw`
      UPDATE versions SET purged_at = ${now}::timestamptz, content = NULL, messages = NULL, config = '{}', inputs = NULL,
        variants = '[]', content_hash = NULL
      WHERE id = ${version.id}::uuid`
    await forgetVersion(tx, project, version.id, now)
    const find = (prompts: Checked[]) => findPurged(tx, { id: project.id, purgeSalt: salt }, prompts, deps.pause)
    await eraseSettings(tx, project, deps.pause, find)
    const affected = await findAffected(tx, project, version.id)
    await recordChange(tx, caller, {
      action: 'version.purge',
      target: `${name} ${named.version}`,
      before: { purged: false },
      after: {
        purged: true,
        number: version.number,
        reason,
        others: affected.others.length,
        includers: affected.includers.length,
      },
    })
    await tx.project.update({ where: { id: project.id }, data: { purges: { increment: 1 } } })
    return { answer: { ...named, purgedAt: now.toISOString(), ...affected }, isNew: true }
  })
  if (purged.isNew) await noteErased(deps, caller.project)
  return purged.answer
}

/** Lets the text of a purged version be pushed again; the version itself stays purged. Throws `purge.not_found`. */
export async function allowPurged(deps: Deps, caller: Caller, name: string, ref: string): Promise<AllowedVersion> {
  return writeProject(deps, caller.project, async (tx, project) => {
    const version = await requireVersion(tx, project, name, ref)
    const named = nameOf(name, version)
    const { count } = await tx.purgedText.deleteMany({ where: { versionId: version.id } })
    if (count === 0) {
      throw new AppError('purge.not_found', `The text of version ${named.version} of prompt "${name}" is not refused.`)
    }
    await recordChange(tx, caller, {
      action: 'version.allow',
      target: `${name} ${named.version}`,
      before: { refused: true },
      after: { refused: false, number: version.number },
    })
    return { ...named, allowed: true }
  })
}

/** Refuses pushed prompts that hold a purged text, naming each. Throws `content.purged`. */
export async function refusePurged(
  tx: Db,
  project: Pick<LockedProject, 'id' | 'purgeSalt'>,
  prompts: Checked[],
  pause: Pause,
): Promise<void> {
  const findings = await findPurged(tx, project, prompts, pause)
  if (findings.length > 0) throw invalid('content.purged', findings)
}

type Checked = { name: string; where: string; content: VersionContent }

/** One for each prompt that holds a purged text; `path` is where it stands. */
async function findPurged(
  tx: Db,
  project: Pick<LockedProject, 'id' | 'purgeSalt'>,
  prompts: Checked[],
  pause: Pause,
): Promise<Finding[]> {
  const salt = project.purgeSalt
  if (!salt) return []
  const digests = await mapInSlices(prompts, pause, ({ content }) => textsOf(content).map((text) => digestOf(salt, text)))
  const found = await tx.$queryRaw<{ digest: string; name: string; number: number; label: string | null }[]>`
    SELECT encode(t.digest, 'hex') AS digest, p.name, v.number, v.label
    FROM purged_texts t JOIN versions v ON v.id = t.version_id JOIN prompts p ON p.id = v.prompt_id
    WHERE t.project_id = ${project.id} AND t.digest IN (SELECT decode(hex, 'hex') FROM unnest(${digests.flat()}::text[]) hex)`
  if (found.length === 0) return []
  const purged = new Map(found.map((row) => [row.digest, row]))
  return prompts.flatMap(({ name, where }, index) => {
    const row = digests[index]?.map((digest) => purged.get(digest)).find((match) => match !== undefined)
    if (!row) return []
    const version = refOf('v', row)
    const remedy = `Leave it out, or have an admin allow it: DELETE /prompts/${encodeURIComponent(row.name)}/${version}/purge.`
    const message = `Prompt "${name}" holds a text that was purged with version ${version} of "${row.name}". ${remedy}`
    return [{ path: where, message }]
  })
}

function nameOf(name: string, version: LoadedVersion): Named {
  return { name, version: refOf('v', version), number: version.number }
}

/** A version by its number or label, which alone cannot come to mean another one. */
async function requireVersion(tx: Db, project: Project, name: string, ref: string): Promise<LoadedVersion> {
  const choice = await resolveRef(tx, project, name, ref)
  if (choice.by === 'version') return loadVersion(tx, choice.versionId)
  const message = `"${ref}" is no version of prompt "${name}": name one by its number or label, see GET /prompts/${encodeURIComponent(name)}/versions.`
  throw invalid('validation.failed', [{ path: 'ref', message }])
}

async function drawSalt(tx: Db, { id }: Project): Promise<Uint8Array> {
  const salt = new Uint8Array(randomBytes(32))
  await tx.project.update({ where: { id }, data: { purgeSalt: salt }, select: { id: true } })
  return salt
}

/** Notes by which digests the texts of a version are recognized. */
async function refuseText(tx: Db, { id }: Project, version: LoadedVersion, salt: Uint8Array): Promise<void> {
  const digests = textsOf(version.content).map((text) => digestOf(salt, text))
  await tx.$executeRaw`
    INSERT INTO purged_texts (project_id, version_id, digest)
    SELECT ${id}::bigint, ${version.id}::uuid, decode(hex, 'hex') FROM unnest(${digests}::text[]) hex
    ON CONFLICT DO NOTHING`
}

/** The body of a version and those of its variants, each as one text: messages as the JSON they are stored as. */
function textsOf({ content, messages, variants }: VersionContent): string[] {
  const textOf = (body: Body) => (body.messages ? JSON.stringify(body.messages) : (body.content ?? ''))
  return [...new Set([{ content, messages }, ...variants].map(textOf))].filter((text) => text !== '')
}

/** Hex of SHA-256 over the salt and the UTF-8 text; `findOthers` computes the same in SQL. */
function digestOf(salt: Uint8Array, text: string): string {
  return createHash('sha256').update(salt).update(text).digest('hex')
}

async function findAffected(tx: Db, project: Project, versionId: string): Promise<Pick<PurgedVersion, 'others' | 'includers'>> {
  return { others: await findOthers(tx, project, versionId), includers: await findAllIncluders(tx, versionId) }
}

/** Versions that include one, directly or not. */
async function findAllIncluders(tx: Db, versionId: string): Promise<Named[]> {
  const rows = await tx.$queryRaw<{ name: string; number: number; label: string | null }[]>`
    WITH RECURSIVE includer AS (
      SELECT i.version_id FROM version_includes i WHERE i.target_id = ${versionId}::uuid
      UNION
      SELECT i.version_id FROM includer JOIN version_includes i ON i.target_id = includer.version_id)
    SELECT p.name, v.number, v.label
    FROM includer JOIN versions v ON v.id = includer.version_id AND v.purged_at IS NULL JOIN prompts p ON p.id = v.prompt_id
    ORDER BY p.name, v.number LIMIT ${maxOthers}`
  return rows.map(toNamed)
}

/** Versions of the project that hold a text which was purged with a version. */
async function findOthers(tx: Db, { id }: Project, versionId: string): Promise<Named[]> {
  const rows = await tx.$queryRaw<{ name: string; number: number; label: string | null }[]>`
    WITH refused AS (SELECT digest FROM purged_texts WHERE version_id = ${versionId}::uuid),
    texts AS (
      SELECT v.id, coalesce(v.content, v.messages::text) AS text FROM versions v JOIN prompts p ON p.id = v.prompt_id
      WHERE p.project_id = ${id}
      UNION ALL
      SELECT v.id, coalesce(variant->>'content', (variant->'messages')::text)
      FROM versions v JOIN prompts p ON p.id = v.prompt_id CROSS JOIN LATERAL json_array_elements(v.variants) variant
      WHERE p.project_id = ${id})
    SELECT p.name, v.number, v.label FROM versions v JOIN prompts p ON p.id = v.prompt_id
    WHERE v.id IN (
      SELECT t.id FROM texts t CROSS JOIN (SELECT purge_salt FROM projects WHERE id = ${id}) project
      WHERE sha256(project.purge_salt || convert_to(t.text, 'UTF8')) IN (SELECT digest FROM refused))
    ORDER BY p.name, v.number LIMIT ${maxOthers}`
  return rows.map(toNamed)
}

function toNamed({ name, ...row }: { name: string; number: number; label: string | null }): Named {
  return { name, version: refOf('v', row), number: row.number }
}
