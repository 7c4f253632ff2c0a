import { type Includes, templateReferences, type Unit, type Verbatim } from '../../src/lib/template/composition.js'
import { type CompiledTemplate, compileTemplate, renderTemplate } from '../../src/lib/template/render.js'
import { TemplateError } from '../../src/lib/template/template-error.js'
import { templateVariables } from '../../src/lib/template/variables.js'
import type { FuzzCase } from './sources.js'

/** As many as a push allows in a row. */
const maxIncludeDepth = 10
/** A prompt that is no template. */
export const plainPart = 'plain'

/** What is tried with a template that compiles, together with those that it names. */
export function callsOf(template: CompiledTemplate, { parts, variables }: FuzzCase) {
  const unit = { template, includes: includesOf(template, parts, []) }
  const values = JSON.parse(variables) as Record<string, unknown>
  return { variables: () => JSON.stringify(templateVariables(unit)), render: () => renderTemplate(unit, values) }
}

/** As a push resolves them: what does not parse, is not there or would include itself is left out. */
function includesOf(
  template: CompiledTemplate,
  parts: Record<string, string>,
  path: readonly string[],
): Includes<CompiledTemplate> {
  const includes = new Map<string, Unit<CompiledTemplate> | Verbatim>()
  for (const reference of new Set(templateReferences(template.root).flatMap(({ names }) => names))) {
    const name = reference.replace(/@.*/, '')
    const text = Object.hasOwn(parts, name) ? parts[name] : undefined
    if (text === undefined || path.includes(name) || path.length === maxIncludeDepth) continue
    const included = name === plainPart ? { text } : unitOf(text, parts, [...path, name])
    if (included) includes.set(reference, included)
  }
  return includes
}

function unitOf(source: string, parts: Record<string, string>, path: readonly string[]): Unit<CompiledTemplate> | null {
  try {
    const template = compileTemplate(source)
    return { template, includes: includesOf(template, parts, path) }
  } catch (error) {
    if (error instanceof TemplateError) return null
    throw error
  }
}
