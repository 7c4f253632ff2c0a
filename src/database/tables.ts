export type Table = {
  name: string
  /**
   * Columns that an export leaves out unless it is asked for them, why, and what an import puts there, as SQL; `shown` is
   * what an export then writes of others, where that depends on what is left out.
   */
  omitted?: {
    columns: readonly string[]
    why: string
    fill: Readonly<Record<string, string>>
    shown?: Readonly<Record<string, string>>
  }
  /** Which rows go with project `$1` when it is deleted, or why none do. */
  deletion: { where: string } | { kept: string }
  /** What becomes of the content of a version that is purged, or why there is none here. */
  purge: { erased: string } | { kept: string }
}

const ofProject = 'project_id = $1'
const ofSources = 'source_id IN (SELECT id FROM sources WHERE project_id = $1)'
const idsOnly = 'ids and numbers alone'

/**
 * Every table, parents before children: what an export holds, and what deleting a project and purging a version do to
 * it. A test fails for a table that is not here, so that none is forgotten.
 */
export const tables: readonly Table[] = [
  {
    name: 'projects',
    deletion: { kept: 'the tombstone: slug, counters and epoch' },
    purge: { kept: 'holds settings; the salt is drawn by the first purge' },
  },
  {
    name: 'api_keys',
    omitted: {
      columns: ['secret_hash'],
      why: 'what a key is recognized by stays where the key was made',
      fill: {
        secret_hash: "sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'))",
        revoked_at: 'coalesce(revoked_at, now())',
      },
    },
    deletion: { kept: 'revoked, so that what they did can be told' },
    purge: { kept: 'holds no content' },
  },
  { name: 'kept_numbers', deletion: { kept: 'the counters of what is deleted' }, purge: { kept: idsOnly } },
  { name: 'prompts', deletion: { where: ofProject }, purge: { kept: 'what belongs to the name and not to a version' } },
  { name: 'releases', deletion: { where: ofProject }, purge: { kept: 'releases stay whole' } },
  {
    name: 'versions',
    deletion: { where: 'prompt_id IN (SELECT id FROM prompts WHERE project_id = $1)' },
    purge: { erased: 'content, messages, config, inputs, variants and hash' },
  },
  {
    name: 'version_includes',
    deletion: {
      where: 'version_id IN (SELECT v.id FROM versions v JOIN prompts p ON p.id = v.prompt_id WHERE p.project_id = $1)',
    },
    purge: { kept: 'names of prompts and ids alone' },
  },
  {
    name: 'release_entries',
    deletion: { where: 'release_id IN (SELECT id FROM releases WHERE project_id = $1)' },
    purge: { kept: 'ids, and paths of files' },
  },
  {
    name: 'release_sources',
    deletion: { where: 'release_id IN (SELECT id FROM releases WHERE project_id = $1)' },
    purge: { kept: 'how files are found, and no text of theirs' },
  },
  { name: 'release_commits', deletion: { where: ofProject }, purge: { kept: idsOnly } },
  {
    name: 'purged_texts',
    deletion: { where: ofProject },
    purge: { kept: 'salted digests by which the content is refused, until an admin allows it' },
  },
  { name: 'aliases', deletion: { where: ofProject }, purge: { kept: idsOnly } },
  {
    name: 'alias_moves',
    deletion: { where: 'alias_id IN (SELECT id FROM aliases WHERE project_id = $1)' },
    purge: { kept: idsOnly },
  },
  {
    name: 'sources',
    omitted: {
      columns: ['secrets'],
      why: 'credentials are encrypted for this installation, and are to be given anew',
      fill: { secrets: "'{}'" },
      // Without its credentials a source would fail again and again; others go on.
      shown: { enabled: 'enabled AND NOT EXISTS (SELECT FROM json_object_keys(secrets))' },
    },
    deletion: { where: ofProject },
    purge: { erased: 'the text, where it stands in the settings of an inline source' },
  },
  {
    name: 'source_files',
    deletion: { where: ofSources },
    purge: { erased: 'the row of a file that became the version, since its hash is one of the text' },
  },
  {
    name: 'source_runs',
    deletion: { where: ofSources },
    purge: { kept: 'names of files and what was wrong with them; texts are not quoted' },
  },
  { name: 'source_deliveries', deletion: { where: ofSources }, purge: { kept: idsOnly } },
  { name: 'audit_entries', deletion: { kept: 'the audit' }, purge: { kept: 'entries never hold content or hashes' } },
]

/** Tables that are no part of what promptsync keeps, and why. */
export const foreignTables: Readonly<Record<string, string>> = {
  _prisma_migrations: 'each database records its own migrations',
  database_identity: 'another database is another installation',
}
