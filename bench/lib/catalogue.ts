import type pg from 'pg'
import { typicalContent } from './prompts.js'

/** So many of each. Every release changes every prompt of its project, and `production` points to the last. */
export type Catalogue = { projects: number; promptsPerProject: number; versionsPerPrompt: number }

/** A release further from its checkpoint than this would be a checkpoint itself. */
const maxLineage = 64
const config = '{"model":"gpt-4o","temperature":0.2}'

export const projectOf = (group: number | string) => `project-${group}`
export const promptOf = (number: number | string) => `prompt-${number}`

/**
 * Writes a whole registry by SQL, since pushing a million versions would take an hour: prompt `n` of all is `prompt-n`, in
 * the project `n / promptsPerProject`. The database must be migrated and empty of them.
 */
export async function fillCatalogue(session: pg.Client, catalogue: Catalogue): Promise<void> {
  const { projects, promptsPerProject, versionsPerPrompt } = catalogue
  if (versionsPerPrompt > maxLineage) throw new Error(`A line of releases has at most ${maxLineage} without a checkpoint.`)
  await session.query('BEGIN')
  await session.query(
    `INSERT INTO projects (slug, release_number) SELECT 'project-' || p, $2::int FROM generate_series(0, $1::int - 1) p`,
    [projects, versionsPerPrompt],
  )
  await session.query(
    `INSERT INTO prompts (project_id, name, version_number)
     SELECT o.id, 'prompt-' || n, $3::int
     FROM generate_series(0, $1::int * $2::int - 1) n JOIN projects o ON o.slug = 'project-' || (n / $2::int)`,
    [projects, promptsPerProject, versionsPerPrompt],
  )
  await insertReleases(session, versionsPerPrompt)
  await insertVersions(session)
  await insertAliases(session, versionsPerPrompt)
  await session.query(`UPDATE projects SET epoch = 1 WHERE slug LIKE 'project-%'`)
  await session.query('COMMIT')
  await session.query('VACUUM ANALYZE')
}

/** The ids are ours to choose in an empty table, so that a lineage can name them. */
async function insertReleases(session: pg.Client, versionsPerPrompt: number): Promise<void> {
  await session.query(
    `INSERT INTO releases (id, project_id, number, base_id, lineage, actor)
     SELECT o.id * $1::bigint + k, o.id, k, CASE WHEN k > 1 THEN o.id * $1::bigint + k - 1 END,
       ARRAY(SELECT generate_series(o.id * $1::bigint + 1, o.id * $1::bigint + k)), 'bench'
     FROM projects o CROSS JOIN generate_series(1, $1::int) k WHERE o.slug LIKE 'project-%'`,
    [versionsPerPrompt],
  )
  await session.query(`SELECT setval(pg_get_serial_sequence('releases', 'id'), (SELECT max(id) FROM releases))`)
}

/** Contents differ in their first and last lines, and the hashes are those that the service would have written. */
async function insertVersions(session: pg.Client): Promise<void> {
  await session.query(
    `INSERT INTO versions (id, prompt_id, number, release_id, type, template, content, config, variants, content_hash)
     SELECT gen_random_uuid(), made.prompt_id, made.number, made.release_id, 'text', 'jinja', made.content, $2::json, '[]',
       'sha256:' || encode(sha256(convert_to('["text","jinja",' || to_json(made.content) || ',' || $2::text || ',null,[],[]]', 'UTF8')), 'hex')
     FROM (
       SELECT p.id AS prompt_id, r.number, r.id AS release_id,
         '# ' || p.name || E'\\n' || $1::text || E'\\nRevision: ' || r.number || ' ' || md5(p.name || r.number) || E'.\\n' AS content
       FROM releases r JOIN prompts p ON p.project_id = r.project_id
     ) made`,
    [typicalContent, config],
  )
  await session.query(
    'INSERT INTO release_entries (release_id, prompt_id, version_id) SELECT release_id, prompt_id, id FROM versions',
  )
}

async function insertAliases(session: pg.Client, versionsPerPrompt: number): Promise<void> {
  await session.query(
    `INSERT INTO aliases (project_id, name, release_id, revision)
     SELECT r.project_id, 'production', r.id, 1 FROM releases r WHERE r.number = $1::int`,
    [versionsPerPrompt],
  )
  await session.query(
    `INSERT INTO alias_moves (alias_id, revision, action, release_id, actor, request_id)
     SELECT a.id, 1, 'move', a.release_id, 'bench', 'bench' FROM aliases a`,
  )
  await session.query('UPDATE aliases a SET top_move_id = m.id FROM alias_moves m WHERE m.alias_id = a.id')
}
