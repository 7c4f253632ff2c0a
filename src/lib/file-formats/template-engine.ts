import type { Document } from './foreign.js'
import { isMapping } from './yaml.js'

/**
 * The `template` of a file that names engines: a name, or a mapping with a `format` or `type`. The templates of other
 * engines than Jinja are sent as they are; a file that names none leaves it to the push.
 */
export function takeTemplate(document: Document): 'jinja' | 'none' | undefined {
  const template = document.take('template')
  if (template === undefined) return undefined
  const engine = engineOf(template)
  if (isMapping(template) && Object.keys(template).length > 1) document.kept.template = template
  if (engine === undefined) {
    document.kept.template = template
    return undefined
  }
  if (/^jinja2?$/i.test(engine)) return 'jinja'
  if (engine.toLowerCase() === 'none') return 'none'
  document.kept.template = template
  document.warnings.push(
    `the template engine "${engine.slice(0, 40)}" is not Jinja, so the text is sent as it is (\`template: none\`).`,
  )
  return 'none'
}

function engineOf(template: unknown): string | undefined {
  if (typeof template === 'string') return template.trim()
  if (!isMapping(template)) return undefined
  const named = template.format ?? template.type ?? template.kind
  return typeof named === 'string' || named === null || named === undefined ? named?.trim() : engineOf(named)
}
