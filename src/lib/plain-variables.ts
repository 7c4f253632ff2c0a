import type { Variable } from './template/variables.js'

const output = /\{\{[ \t]*([A-Za-z][A-Za-z0-9_]*)[ \t]*\}\}/y
/** What these mean is for the parser to say. */
const meaning = new Set(
  'and or not in is if else true false none True False None range dict lipsum cycler joiner namespace self super loop caller kwargs varargs'.split(
    ' ',
  ),
)
const maxNames = 100

/**
 * The variables of a template that is text and plain outputs such as `{{ name }}`, as most prompts are: the same as parsing
 * finds, many times quicker. Null for any other template. Pure.
 */
export function plainVariables(template: string): Variable[] | null {
  if (template.includes('{%') || template.includes('{#')) return null
  const names = new Set<string>()
  for (let at = template.indexOf('{{'); at !== -1; at = template.indexOf('{{', output.lastIndex)) {
    output.lastIndex = at
    const name = output.exec(template)?.[1]
    if (name === undefined || meaning.has(name) || names.size >= maxNames) return null
    names.add(name)
  }
  return [...names].map((name) => ({ name, required: true, paths: [name] }))
}
