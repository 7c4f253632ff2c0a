import type { Body } from './content-hash.js'
import { type RootUnit, type Variable, VariableAnalysis } from './template/variables.js'

const maxPaths = 100

/** The variables of a text or chat prompt: those of its templates, and the lists of messages its placeholders take. */
export function bodyVariables({ content, messages }: Body, unitOf: (text: string) => RootUnit): Variable[] {
  const analysis = new VariableAnalysis()
  const ofText = (text: string) => analysis.variables(unitOf(text))
  if (!messages) return ofText(content ?? '')
  return mergeVariables(
    messages.map((message) => ('placeholder' in message ? [placeholderVariable(message.placeholder)] : ofText(message.content))),
  )
}

/** A variable that takes the place of messages. */
function placeholderVariable(name: string): Variable {
  return { name, required: true, paths: [`${name}[].role`, `${name}[].content`] }
}

/** The union of the variables of several texts, in the order they first come; required is what any of them requires. Pure. */
export function mergeVariables(lists: Variable[][]): Variable[] {
  const merged = new Map<string, { required: boolean; paths: Set<string> }>()
  for (const { name, required, paths } of lists.flat()) {
    const known = merged.get(name)
    if (!known) merged.set(name, { required, paths: new Set(paths) })
    else {
      known.required ||= required
      for (const path of paths) if (known.paths.size < maxPaths) known.paths.add(path)
    }
  }
  return [...merged].map(([name, { required, paths }]) => ({ name, required, paths: outermost([...paths]) }))
}

/** Without those that another one goes on from. */
function outermost(paths: string[]): string[] {
  const inner = new Set(paths.filter((path) => paths.some((other) => other !== path && goesOn(other, path))))
  return paths.filter((path) => !inner.has(path))
}

function goesOn(other: string, path: string): boolean {
  return other.startsWith(path) && (other[path.length] === '.' || other[path.length] === '[')
}
