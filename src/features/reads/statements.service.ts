import type { Statement } from '../../database/connect.js'
import { includeGraph } from '../includes/includes.service.js'

/** The statements of the read path. Each answers one JSON text, which both engines give alike. */

const instant = (column: string) => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

const release = (r: string) =>
  `CASE WHEN ${r}.id IS NULL THEN NULL ELSE json_build_object('id', ${r}.id::text, 'uid', ${r}.uid, 'number', ${r}.number, 'label', ${r}.label) END`
const version = (v: string) =>
  `CASE WHEN ${v}.id IS NULL THEN NULL ELSE json_build_object('id', ${v}.id, 'number', ${v}.number, 'label', ${v}.label) END`

/** A version `v` with the release `made` that first held it: a `VersionRow`. */
const versionJson = `json_build_object(
  'id', v.id, 'number', v.number, 'label', v.label, 'type', v.type, 'template', v.template, 'content', v.content,
  'messages', v.messages, 'config', v.config, 'inputs', v.inputs, 'variants', v.variants, 'contentHash', v.content_hash,
  'path', v.path, 'includes', ${includeGraph.sql}, 'createdAt', ${instant('v.created_at')},
  'made', json_build_object('number', made.number, 'label', made.label, 'gitRepo', made.git_repo, 'gitCommit', made.git_commit))`

/** Versions by their ids, in any order. */
const versionsIn = (ids: string) => `(
  SELECT json_agg(${versionJson}) FROM versions v JOIN releases made ON made.id = v.release_id WHERE v.id IN (${ids}))`

/** The version that release `r` holds of prompt `q`. */
const heldBy = (r: string, q: string) => `(
  SELECT e.version_id FROM release_entries e
  WHERE e.prompt_id = ${q}.id AND e.release_id = ANY(${r}.lineage) ORDER BY e.release_id DESC LIMIT 1)`

/** Names of changed prompts are told up to this many. */
const maxNames = 2_000

const keyJson = (k: string) => `json_build_object(
  'hash', encode(${k}.secret_hash, 'hex'), 'id', ${k}.id, 'name', ${k}.name, 'scopes', ${k}.scopes, 'projectId', ${k}.project_id::text,
  'expiresAt', ${instant(`${k}.expires_at`)}, 'revokedAt', ${instant(`${k}.revoked_at`)})`

/** A `ProjectRow` of project `p`, given what is held of it: an epoch, -1 for nothing, with its token and number of purges. */
const projectJson = (p: string, { epoch, token, purges }: Record<'epoch' | 'token' | 'purges', string>) => `(
  SELECT CASE
    WHEN ${p}.epoch = ${epoch} AND ${p}.epoch_token = ${token} THEN json_build_object(
      'kind', 'same', 'id', ${p}.id::text, 'epoch', ${p}.epoch::text, 'token', ${p}.epoch_token, 'purges', ${p}.purges)
    ELSE json_build_object(
      'kind', CASE WHEN told.goes_on THEN 'changes' ELSE 'whole' END,
      'id', ${p}.id::text, 'epoch', ${p}.epoch::text, 'token', ${p}.epoch_token, 'purges', ${p}.purges,
      'slug', ${p}.slug, 'name', ${p}.name, 'isDeleted', ${p}.deleted_at IS NOT NULL,
      'settings', json_build_object('publicRead', ${p}.public_read, 'scan', ${p}.scan, 'defaultAlias', ${p}.default_alias),
      'createdAt', ${instant(`${p}.created_at`)}, 'updatedAt', ${instant(`${p}.updated_at`)},
      'aliases', (
        SELECT coalesce(json_agg(json_build_object(
          'name', a.name, 'prompt', q.name, 'isDeleted', a.deleted_at IS NOT NULL, 'release', ${release('r')}, 'version', ${version('v')},
          'canaryRelease', ${release('cr')}, 'canaryVersion', ${version('cv')},
          'basisPoints', a.canary_basis_points, 'salt', a.canary_salt)), '[]')
        FROM aliases a LEFT JOIN prompts q ON q.id = a.prompt_id
        LEFT JOIN releases r ON r.id = a.release_id LEFT JOIN versions v ON v.id = a.version_id
        LEFT JOIN releases cr ON cr.id = a.canary_release_id LEFT JOIN versions cv ON cv.id = a.canary_version_id
        WHERE a.project_id = ${p}.id AND CASE WHEN told.goes_on THEN a.epoch > ${epoch} ELSE a.deleted_at IS NULL END),
      'names', (
        SELECT CASE WHEN count(*) > ${maxNames} THEN NULL ELSE coalesce(json_agg(changed.name), '[]') END
        FROM (SELECT q.name FROM prompts q WHERE told.goes_on AND q.project_id = ${p}.id AND q.epoch > ${epoch} LIMIT ${maxNames + 1}) changed))
    END
  FROM (SELECT ${p}.epoch > ${epoch} AND ${p}.purges = ${purges} AND EXISTS (
    SELECT 1 FROM audit_entries t WHERE t.project = ${p}.slug AND t.epoch = ${epoch} AND t.epoch_token = ${token}) AS goes_on) told)`

/**
 * A cold read: the key of hash `$1`; the project of slug `$2`, else of id `$3`, else of the key, else `default`, as it
 * differs from epoch `$4` with token `$5` and `$12` purges; and what ref `$7` can mean for prompt `$6`, with the versions it leads to.
 * `$8` and `$9` are the numbers in a ref such as `v3` or `r12`, `$10` and `$11` the range of commits it begins.
 */
export const readAll: Statement = {
  name: 'read_all',
  text: `
  WITH key AS (SELECT k.* FROM api_keys k WHERE k.secret_hash = $1::bytea),
  scope AS (SELECT coalesce($3::bigint, (SELECT project_id FROM key)) AS id),
  project AS (
    SELECT p.* FROM projects p WHERE p.slug = coalesce($2::text, CASE WHEN (SELECT id FROM scope) IS NULL THEN 'default' END)
    UNION ALL
    SELECT p.* FROM projects p WHERE $2::text IS NULL AND p.id = (SELECT id FROM scope)),
  prompt AS (SELECT q.* FROM prompts q WHERE q.project_id = (SELECT id FROM project) AND q.name = $6::text),
  exact AS (
    SELECT coalesce(
      (SELECT v.id FROM versions v WHERE v.prompt_id = prompt.id AND v.label = $7::text),
      (SELECT v.id FROM versions v WHERE v.prompt_id = prompt.id AND v.number = $8::int)) AS id,
      (SELECT v.id FROM versions v WHERE v.prompt_id = prompt.id AND v.number = prompt.version_number) AS latest
    FROM prompt),
  pin AS (
    SELECT a.version_id, a.canary_version_id FROM aliases a, prompt
    WHERE a.project_id = prompt.project_id AND a.name = $7 AND a.prompt_id = prompt.id AND a.deleted_at IS NULL),
  link AS (
    SELECT c.commit, max(c.release_id) AS release_id FROM release_commits c
    WHERE c.project_id = (SELECT id FROM project) AND c.commit >= $10::text AND c.commit < $11::text
    GROUP BY c.commit ORDER BY c.commit LIMIT 2),
  target AS (
    SELECT 'alias' AS by, a.release_id AS id FROM aliases a
    WHERE a.project_id = (SELECT id FROM project) AND a.name = $7 AND a.prompt_id IS NULL AND a.deleted_at IS NULL
    UNION ALL
    SELECT 'canary', a.canary_release_id FROM aliases a
    WHERE a.project_id = (SELECT id FROM project) AND a.name = $7 AND a.prompt_id IS NULL AND a.deleted_at IS NULL
    UNION ALL
    SELECT 'release', coalesce(
      (SELECT r.id FROM releases r WHERE r.project_id = (SELECT id FROM project) AND r.label = $7),
      (SELECT r.id FROM releases r WHERE r.project_id = (SELECT id FROM project) AND r.number = $9::int))
    UNION ALL
    SELECT 'commit', release_id FROM link WHERE (SELECT count(*) FROM link) = 1),
  held AS (SELECT target.by, r.id, r.uid, r.number, r.label, ${heldBy('r', 'prompt')} AS version_id FROM target JOIN releases r ON r.id = target.id, prompt),
  wanted AS (
    SELECT id FROM exact
    UNION ALL SELECT version_id FROM pin WHERE (SELECT id FROM exact) IS NULL
    UNION ALL SELECT canary_version_id FROM pin WHERE (SELECT id FROM exact) IS NULL
    UNION ALL SELECT version_id FROM held WHERE (SELECT id FROM exact) IS NULL AND NOT EXISTS (SELECT 1 FROM pin)
    UNION ALL SELECT latest FROM exact WHERE $7 = 'latest' AND NOT EXISTS (SELECT 1 FROM held))
  SELECT json_build_object(
    'key', (SELECT ${keyJson('key')} FROM key),
    'project', (SELECT ${projectJson('project', { epoch: '$4::bigint', token: '$5::uuid', purges: '$12::int' })} FROM project),
    'found', (SELECT json_build_object(
      'archived', prompt.archived_at IS NOT NULL, 'exact', exact.id, 'latest', exact.latest,
      'held', (SELECT json_object_agg(held.by, json_build_object('release', ${release('held')}, 'versionId', held.version_id)) FROM held),
      'versions', ${versionsIn('SELECT id FROM wanted')}) FROM prompt, exact))::text AS answer`,
}

/**
 * The version of prompt `$4` of project `$3` in the release of id `$1` and uid `$2`; null where it holds none, false where
 * the project has no such prompt.
 */
export const readHeld: Statement = {
  name: 'read_held',
  text: `
  SELECT coalesce((SELECT ${versionJson}
    FROM releases named JOIN versions v ON v.id = ${heldBy('named', 'q')} JOIN releases made ON made.id = v.release_id
    WHERE named.id = $1::bigint AND named.uid = $2::uuid), to_json(NULL::text))::text AS answer
  FROM prompts q WHERE q.project_id = $3::bigint AND q.name = $4::text
  UNION ALL
  SELECT 'false' WHERE NOT EXISTS (SELECT 1 FROM prompts q WHERE q.project_id = $3::bigint AND q.name = $4::text)`,
}

/** The versions of the ids `$1`. */
export const readVersions: Statement = {
  name: 'read_versions',
  text: `SELECT ${versionsIn('SELECT unnest($1::uuid[])')}::text AS answer`,
}

/** The project of id `$1` as it differs from epoch `$2` with token `$3` and `$4` purges. */
export const readProject: Statement = {
  name: 'read_project',
  text: `SELECT ${projectJson('p', { epoch: '$2::bigint', token: '$3::uuid', purges: '$4::int' })}::text AS answer FROM projects p WHERE p.id = $1::bigint`,
}

/** The epochs of the projects of ids `$1`, and the keys of hashes `$2`, as they are now. */
export const readEpochs: Statement = {
  name: 'read_epochs',
  text: `SELECT json_build_object(
    'projects', (SELECT coalesce(json_agg(json_build_object('id', p.id::text, 'epoch', p.epoch::text, 'token', p.epoch_token)), '[]')
      FROM projects p WHERE p.id = ANY($1::bigint[])),
    'keys', (SELECT coalesce(json_agg(${keyJson('k')}), '[]') FROM api_keys k WHERE k.secret_hash = ANY($2::bytea[])))::text AS answer`,
}

/** More changes than this are not worth a link. */
export const maxChanged = 20_000

/** How the release of id `$2` differs from that of id `$1`: pairs of a name and the id of its version there. */
export const readDifference: Statement = {
  name: 'read_difference',
  text: `
  WITH a AS (SELECT lineage FROM releases WHERE id = $1::bigint), b AS (SELECT lineage FROM releases WHERE id = $2::bigint),
  touched AS (
    SELECT DISTINCT e.prompt_id FROM release_entries e WHERE e.release_id IN (
      (SELECT unnest(lineage) FROM a EXCEPT SELECT unnest(lineage) FROM b)
      UNION ALL (SELECT unnest(lineage) FROM b EXCEPT SELECT unnest(lineage) FROM a))),
  before AS (
    SELECT DISTINCT ON (e.prompt_id) e.prompt_id, e.version_id FROM release_entries e
    WHERE e.release_id = ANY((SELECT lineage FROM a)::bigint[]) AND e.prompt_id IN (SELECT prompt_id FROM touched)
    ORDER BY e.prompt_id, e.release_id DESC),
  after AS (
    SELECT DISTINCT ON (e.prompt_id) e.prompt_id, e.version_id FROM release_entries e
    WHERE e.release_id = ANY((SELECT lineage FROM b)::bigint[]) AND e.prompt_id IN (SELECT prompt_id FROM touched)
    ORDER BY e.prompt_id, e.release_id DESC)
  SELECT coalesce(json_agg(json_build_array(q.name, changed.version_id)), '[]')::text AS answer
  FROM (
    SELECT coalesce(before.prompt_id, after.prompt_id) AS prompt_id, after.version_id FROM before FULL JOIN after USING (prompt_id)
    WHERE after.version_id IS DISTINCT FROM before.version_id LIMIT ${maxChanged + 1}) changed
  JOIN prompts q ON q.id = changed.prompt_id`,
}

/** What tells this database from all others. */
export const readIdentity: Statement = {
  name: 'read_identity',
  text: 'SELECT to_json(id)::text AS answer FROM database_identity',
}

/**
 * How the release of id `$1` and uid `$2` is routed: its sources by name, and the files of each with the names of their
 * prompts. Where no source has a PATH file there is nothing to find, and no files are told.
 */
export const readRouting: Statement = {
  name: 'read_routing',
  text: `
  WITH named AS (SELECT lineage FROM releases WHERE id = $1::bigint AND uid = $2::uuid),
  sources AS (
    SELECT DISTINCT ON (s.source_id) s.source_id, s.name, s.path_file FROM release_sources s
    WHERE s.release_id = ANY((SELECT lineage FROM named)::bigint[]) ORDER BY s.source_id, s.release_id DESC),
  entries AS (
    SELECT DISTINCT ON (e.prompt_id) e.prompt_id, e.version_id, e.source_id, e.path FROM release_entries e
    WHERE e.release_id = ANY((SELECT lineage FROM named)::bigint[]) AND EXISTS (SELECT 1 FROM sources WHERE path_file IS NOT NULL)
    ORDER BY e.prompt_id, e.release_id DESC)
  SELECT json_build_object(
    'sources', (SELECT coalesce(json_agg(json_build_object('id', source_id::text, 'name', name, 'pathFile', path_file) ORDER BY name, source_id), '[]') FROM sources),
    'files', (SELECT coalesce(json_agg(json_build_array(e.source_id::text, e.path, q.name)), '[]')
      FROM entries e JOIN prompts q ON q.id = e.prompt_id WHERE e.version_id IS NOT NULL AND e.source_id IS NOT NULL))::text AS answer
  FROM named`,
}

/** The release of project `$1` that label `$2` or number `$3` names, a commit from `$4` to `$5` begins, or, for `latest`, the newest. */
export const readRelease: Statement = {
  name: 'read_release',
  text: `
  WITH link AS (
    SELECT c.commit, max(c.release_id) AS release_id FROM release_commits c
    WHERE c.project_id = $1::bigint AND c.commit >= $4::text AND c.commit < $5::text GROUP BY c.commit ORDER BY c.commit LIMIT 2),
  found AS (SELECT coalesce(
    (SELECT r.id FROM releases r WHERE r.project_id = $1::bigint AND r.label = $2::text),
    (SELECT r.id FROM releases r WHERE r.project_id = $1::bigint AND r.number = $3::int),
    (SELECT release_id FROM link WHERE (SELECT count(*) FROM link) = 1),
    (SELECT r.id FROM releases r WHERE r.project_id = $1::bigint AND $2::text = 'latest' ORDER BY r.number DESC LIMIT 1)) AS id)
  SELECT ${release('r')}::text AS answer FROM releases r WHERE r.id = (SELECT id FROM found)`,
}

/** The sources of project `$1` as they are now. One that is disabled is not looked for, so it is not missed. */
export const readSources: Statement = {
  name: 'read_sources',
  text: `
  SELECT coalesce(json_agg(json_build_object(
    'id', s.id::text, 'ttlSeconds', s.ttl_seconds, 'staleSeconds', s.stale_seconds, 'unreachableSince', CASE WHEN s.enabled THEN ${instant('s.unreachable_since')} END,
    'checkedAt', ${instant('s.checked_at')})), '[]')::text AS answer
  FROM sources s WHERE s.project_id = $1::bigint`,
}
