import type { Statement } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import { commitPattern, parseNumber, refOf } from '../../lib/names.js'
import { pointedAt, type ResolvedBy } from '../../lib/plan.js'
import type { Pointer, Pointers, ReleasePointer, VersionPointer } from '../../lib/pointers.js'
import type { HeldProject } from '../../lib/read-cache.js'
import { notInRelease, unknownPrompt } from '../prompts/resolve.service.js'
import { loadOnce, readDatabase } from '../reads/database.service.js'
import { notFound, planFor, sidesBefore, versionByLinks } from '../reads/plans.service.js'

/** One target of a ref for a prompt: a version, in the release that was named, if one was. */
export type Target = { release: ReleasePointer | null; versionId: string | null }

export type Targets = { by: ResolvedBy; stable: Target; canary: { target: Target; basisPoints: number; salt: string } | null }

/** What a ref means for each of some names: its targets, or why it has none. Names that nothing was found out of are not in it. */
export type Meanings = ReadonlyMap<string, Targets | AppError>

/** So many that are not there are told what was probably meant: to look for that costs far more than to find nothing. */
const maxHints = 5

/**
 * Finds out in one statement what a ref means for names, in the state of the project that is held. Null where the project has
 * moved on since. Rejects where the database cannot be asked.
 */
export async function findTargets(
  deps: Deps,
  held: HeldProject,
  names: readonly string[],
  ref: string,
): Promise<Meanings | null> {
  const { pointers } = held
  const pins = new Map<string, Targets>()
  for (const name of names) {
    const pointed = pointedAt(pointers, name, ref)
    if (pointed?.by === 'pin') pins.set(name, pinned(pointed.pointer))
  }
  const others = names.filter((name) => !pins.has(name))
  if (others.length === 0) return pins
  const alias = pointers.aliases.get(ref)
  const found = alias ? await findHeld(deps, pointers, others, ref, alias) : await findNamed(deps, held, others, ref)
  return found && new Map([...pins, ...found])
}

function pinned({ target, canary }: Pointer<VersionPointer>): Targets {
  const of = ({ id }: VersionPointer): Target => ({ release: null, versionId: id })
  return { by: 'pin', stable: of(target), canary: canary && { ...canary, target: of(canary.target) } }
}

const heldBy = (target: string) => `(
  SELECT e.version_id FROM release_entries e
  WHERE e.prompt_id = q.id AND e.release_id = ANY((SELECT lineage FROM ${target})::bigint[]) ORDER BY e.release_id DESC LIMIT 1)`

/** What the releases of ids `$3` and `$5`, and uids `$4` and `$6`, hold of the prompts of project `$1` with names `$2`. */
const readHeldOfMany: Statement = {
  name: 'read_held_of_many',
  text: `
  WITH stable AS (SELECT lineage FROM releases WHERE id = $3::bigint AND uid = $4::uuid),
  canary AS (SELECT lineage FROM releases WHERE id = $5::bigint AND uid = $6::uuid)
  SELECT coalesce(json_agg(json_build_object(
    'name', q.name, 'stable', ${heldBy('stable')}, 'canary', ${heldBy('canary')})), '[]')::text AS answer
  FROM prompts q WHERE q.project_id = $1::bigint AND q.name = ANY($2::text[])`,
}

type HeldPrompt = { name: string; stable: string | null; canary: string | null }

async function findHeld(
  deps: Deps,
  pointers: Pointers,
  names: readonly string[],
  ref: string,
  pointer: Pointer<ReleasePointer>,
): Promise<Meanings> {
  const found = new Map<string, Targets | AppError>()
  for (const name of names) {
    const targets = targetsByLinks(deps, pointers, name, ref, pointer)
    if (targets) found.set(name, targets)
  }
  const others = names.filter((name) => !found.has(name))
  const rows = others.length === 0 ? [] : await readHeld(deps, pointers, others, pointer)
  for (const { name, stable, canary } of rows) {
    const { project } = pointers
    const targets = aliased(pointer, stable, canary)
    found.set(name, stable === null && canary === null ? notInRelease(project, name, ref, pointer.target.ref) : targets)
  }
  const missing = await whyMissing(deps, pointers, without(others, rows))
  return new Map([...found, ...missing])
}

/** After an alias moved, what was known of its prompts before tells most of them. */
function targetsByLinks(
  deps: Deps,
  pointers: Pointers,
  name: string,
  ref: string,
  pointer: Pointer<ReleasePointer>,
): Targets | null {
  const before = sidesBefore(deps, pointers, name, ref)
  const stable = versionByLinks(pointers, name, pointer.target, before)
  const canary = pointer.canary ? versionByLinks(pointers, name, pointer.canary.target, before) : null
  // Where neither has it there may be no such prompt at all.
  const isTold = stable !== undefined && canary !== undefined && (stable !== null || canary !== null)
  return isTold ? aliased(pointer, stable, canary) : null
}

function aliased({ target, canary }: Pointer<ReleasePointer>, versionId: string | null, canaryId: string | null): Targets {
  const other = canary && { ...canary, target: { release: canary.target, versionId: canaryId } }
  return { by: 'alias', stable: { release: target, versionId }, canary: other }
}

async function readHeld(
  deps: Deps,
  { project, purges }: Pointers,
  names: string[],
  { target, canary }: Pointer<ReleasePointer>,
): Promise<HeldPrompt[]> {
  const second = canary?.target
  const values = [`${project.id}`, names, target.id, target.uid, second?.id ?? null, second?.uid ?? null]
  const key = `${project.id} ${purges} many held ${target.uid} ${second?.uid} ${names.join(' ')}`
  return (await loadOnce(deps, key, () => readDatabase<HeldPrompt[]>(deps, readHeldOfMany, values))) ?? []
}

/** What there is to say of names of no prompt at all. */
async function whyMissing(deps: Deps, { project }: Pointers, names: readonly string[]): Promise<Meanings> {
  const missing = new Map<string, AppError>()
  for (const [index, name] of names.entries())
    missing.set(name, index < maxHints ? await notFound(deps, project, name) : unknownPrompt(project, name))
  return missing
}

/**
 * Of project `$1`, if it is in the state of epoch `$2` and token `$3`: the release that label `$5`, number `$7` or a commit from
 * `$8` to `$9` names; and of the prompts with names `$4` the version of that label or number `$6`, the one that the release
 * holds, and for `latest` the latest.
 */
const readNamedOfMany: Statement = {
  name: 'read_named_of_many',
  text: `
  WITH project AS (SELECT p.id FROM projects p WHERE p.id = $1::bigint AND p.epoch = $2::bigint AND p.epoch_token = $3::uuid),
  link AS (
    SELECT c.commit, max(c.release_id) AS release_id FROM release_commits c
    WHERE c.project_id = $1::bigint AND c.commit >= $8::text AND c.commit < $9::text GROUP BY c.commit ORDER BY c.commit LIMIT 2),
  named AS (SELECT coalesce(
    (SELECT r.id FROM releases r WHERE r.project_id = $1::bigint AND r.label = $5::text),
    (SELECT r.id FROM releases r WHERE r.project_id = $1::bigint AND r.number = $7::int)) AS id),
  target AS (
    SELECT r.*, CASE WHEN named.id IS NULL THEN 'commit' ELSE 'release' END AS by
    FROM named JOIN releases r ON r.id = coalesce(named.id, (SELECT release_id FROM link WHERE (SELECT count(*) FROM link) = 1)))
  SELECT json_build_object(
    'release', (SELECT json_build_object('by', by, 'id', id::text, 'uid', uid, 'number', number, 'label', label) FROM target),
    'prompts', (
      SELECT coalesce(json_agg(json_build_object(
        'name', q.name,
        'exact', coalesce(
          (SELECT v.id FROM versions v WHERE v.prompt_id = q.id AND v.label = $5::text),
          (SELECT v.id FROM versions v WHERE v.prompt_id = q.id AND v.number = $6::int)),
        'held', ${heldBy('target')},
        'latest', CASE WHEN $5::text = 'latest' AND q.archived_at IS NULL
          THEN (SELECT v.id FROM versions v WHERE v.prompt_id = q.id AND v.number = q.version_number) END)), '[]')
      FROM prompts q WHERE q.project_id = $1::bigint AND q.name = ANY($4::text[])))::text AS answer
  FROM project`,
}

type NamedRelease = { by: 'release' | 'commit'; id: string; uid: string; number: number; label: string | null }
type NamedPrompt = { name: string } & Record<'exact' | 'held' | 'latest', string | null>

async function findNamed(deps: Deps, held: HeldProject, names: readonly string[], ref: string): Promise<Meanings | null> {
  const { pointers } = held
  const { project, era, epoch, token } = pointers
  const commit = commitPattern.test(ref) ? ref.toLowerCase() : null
  const numbers = [parseNumber('v', ref), parseNumber('r', ref)]
  const values = [`${project.id}`, epoch, token, names, ref, ...numbers, commit, commit && `${commit}g`]
  const row = await loadOnce(deps, `${project.id} many named ${era} ${epoch} ${ref} ${names.join(' ')}`, () =>
    readDatabase<{ release: NamedRelease | null; prompts: NamedPrompt[] }>(deps, readNamedOfMany, values),
  )
  if (!row) return null
  const found = new Map<string, Targets | AppError>()
  const lacking: string[] = []
  for (const prompt of row.prompts) {
    const meaning = meaningOf(pointers, ref, row.release, prompt)
    if (meaning) found.set(prompt.name, meaning)
    else lacking.push(prompt.name)
  }
  const why = await whyLacking(deps, held, lacking, ref)
  if (why) for (const name of lacking) found.set(name, why)
  const missing = await whyMissing(deps, pointers, without(names, row.prompts))
  return new Map([...found, ...missing])
}

function without(names: readonly string[], prompts: readonly { name: string }[]): string[] {
  const there = new Set(prompts.map(({ name }) => name))
  return names.filter((name) => !there.has(name))
}

/** In the order of any resolution: version, release, commit, `latest`. */
function meaningOf(
  { project }: Pointers,
  ref: string,
  release: NamedRelease | null,
  { name, exact, held, latest }: NamedPrompt,
): Targets | AppError | null {
  if (exact) return { by: 'version', stable: { release: null, versionId: exact }, canary: null }
  if (release) {
    const { by, id, uid } = release
    const pointer = { id, uid, ref: refOf('r', release) }
    if (held === null) return notInRelease(project, name, ref, pointer.ref)
    return { by, stable: { release: pointer, versionId: held }, canary: null }
  }
  return latest ? { by: 'latest', stable: { release: null, versionId: latest }, canary: null } : null
}

/** Why a ref that names nothing at all does so: the same for all prompts, unless it might be a version's or the prompt is archived. */
async function whyLacking(deps: Deps, held: HeldProject, [first]: readonly string[], ref: string): Promise<AppError | null> {
  if (first === undefined || ref === 'latest' || ref.startsWith('v')) return null
  try {
    await planFor(deps, held, first, ref)
    return null
  } catch (error) {
    if (!(error instanceof AppError) || error.status >= 500) throw error
    return error.code.startsWith('prompt.') ? null : error
  }
}
