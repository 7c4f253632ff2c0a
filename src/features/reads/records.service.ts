import { createHash } from 'node:crypto'
import type { Deps } from '../../deps.js'
import type { Builtin } from '../../lib/builtins.js'
import type { Body, PromptMessage, Variant, VersionContent } from '../../lib/content-hash.js'
import { refOf } from '../../lib/names.js'
import { plainVariables } from '../../lib/plain-variables.js'
import { bodyVariables } from '../../lib/prompt-variables.js'
import { RenderError } from '../../lib/rendering/render-error.js'
import { UnitBuilder } from '../../lib/rendering/units.js'
import { readTemplate } from '../../lib/template/render.js'
import { TemplateError } from '../../lib/template/template-error.js'
import type { Variable } from '../../lib/template/variables.js'
import { makeRecord, makeTombstone, readContent, type VersionFacts, type VersionRecord } from '../../lib/version-record.js'
import type { IncludedPrompts } from '../includes/includes.schema.js'
import { type IncludedVersion, type IncludeGraph, toIncludedPrompts } from '../includes/includes.service.js'

type Named = { number: number; label: string | null }

/** A version as the statements of the read path answer it. */
export type VersionRow = Named & {
  id: string
  type: 'text' | 'chat'
  template: 'jinja' | 'none'
  content: string | null
  messages: PromptMessage[] | null
  config: Record<string, unknown>
  inputs: Record<string, unknown> | null
  variants: Variant[]
  /** Null once the version is purged. */
  contentHash: string | null
  path: string | null
  includes: IncludeGraph | null
  createdAt: string
  made: Named & { gitRepo: string | null; gitCommit: string | null }
}

/** Something that a version includes was purged. */
class PurgedWithin extends Error {
  readonly included: IncludedVersion

  constructor(included: IncludedVersion) {
    super(`${included.name} was purged.`)
    this.included = included
  }
}

export function toRecord(row: VersionRow): VersionRecord {
  const { made, path } = row
  const git = made.gitCommit === null ? null : { repo: made.gitRepo, commit: made.gitCommit, path }
  const facts: VersionFacts = {
    id: row.id,
    version: refOf('v', row),
    made: refOf('r', made),
    type: row.type,
    template: row.template,
    contentHash: row.contentHash ?? '',
    git: JSON.stringify(git),
    createdAt: JSON.stringify(row.createdAt),
    erased: null,
  }
  if (row.contentHash === null) return makeTombstone({ ...facts, erased: { by: 'purge' } })
  try {
    const includes = toIncludedPrompts(row.id, row.includes, (included) => new PurgedWithin(included))
    return makeRecord(facts, partsOf(row, includes))
  } catch (error) {
    if (!(error instanceof PurgedWithin)) throw error
    const { name, ...named } = error.included
    return makeTombstone({ ...facts, erased: { by: 'include', name, version: refOf('v', named) } })
  }
}

/** A built-in as if it were a version. */
export function builtinRecord({ version, contentHash }: Builtin): VersionRecord {
  const { type, template } = version
  const facts = {
    id: 'builtin',
    version: 'builtin',
    made: '',
    type,
    template,
    contentHash,
    git: 'null',
    createdAt: 'null',
    erased: null,
  }
  return makeRecord(facts, partsOf(version, {}))
}

function partsOf({ content, messages, variants, config, inputs }: VersionContent, includes: IncludedPrompts) {
  return { bodies: [{ tags: {}, content, messages }, ...variants], config, inputs, includes }
}

/** Finds the variables of a body, unless they were found before. */
export function findVariables(deps: Deps, record: VersionRecord, body: number): void {
  if (record.variables[body] !== null) return
  const { content, messages } = readContent(record, body) as Body
  const includes = JSON.parse(record.includes.toString('utf8')) as IncludedPrompts
  const found = variablesOf(deps, { content, messages, template: record.template }, record.contentHash, includes)
  record.variables[body] = JSON.stringify(found.map(withoutPlainPath))
}

/** Found by parsing, once: kept under the hash of the whole and that of the body, for a text that is purged stays in no memory. */
function variablesOf(
  deps: Deps,
  { content, messages, template }: Body & Pick<VersionContent, 'template'>,
  whole: string,
  flat: IncludedPrompts,
): Variable[] {
  if (template === 'none') return []
  const plain = content === null ? null : plainVariables(content)
  if (plain) return plain
  const body = createHash('sha256')
    .update(messages ? JSON.stringify(messages) : (content ?? ''))
    .digest('base64')
  const key = `${whole} ${body}`
  const known = deps.variables.get(key)
  if (known) return known
  const builder = new UnitBuilder(flat, readTemplate)
  try {
    const found = bodyVariables({ content, messages }, (text) => builder.build(text, 'content'))
    deps.variables.set(key, found)
    return found
  } catch (error) {
    // What an older version of this program took for a template stays fetchable, though nothing can be told of it.
    if (!(error instanceof RenderError) && !(error instanceof TemplateError)) throw error
    deps.log.warn({ contentHash: whole, reason: error.message }, 'a stored template cannot be read any more')
    return []
  }
}

/** A variable that is only used as a whole has no more to tell than its name. */
function withoutPlainPath({ name, required, paths }: Variable): Omit<Variable, 'paths'> & Partial<Variable> {
  return paths.length === 1 && paths[0] === name ? { name, required } : { name, required, paths }
}
