import { childNodes, type NodeName, type TemplateNode } from '../syntax/nodes.js'

/** What Jinja2 never works out beforehand. */
const neverConstant: ReadonlySet<NodeName> = new Set<NodeName>(['Symbol', 'FunCall', 'Capture'])
const contextFilters = new Set(['map', 'select', 'reject', 'selectattr', 'rejectattr'])
/** What is larger counts as no constant, so that looking for them in one another takes no time. */
const maxNodes = 50

/** Whether Jinja2 works an expression out while it compiles: nothing in it depends on a rendering. */
export function isConstant(node: TemplateNode): boolean {
  const pending = [node]
  for (let count = 0; count < maxNodes; count += 1) {
    const next = pending.pop()
    if (!next) return true
    if (neverConstant.has(next.typename)) return false
    if (next.typename === 'Filter' && contextFilters.has(nameOf(next.name))) return false
    pending.push(...evaluated(next))
  }
  return false
}

/** Names of filters, tests and keywords are no names of variables. */
function evaluated(node: TemplateNode): TemplateNode[] {
  if (node.typename === 'Filter') return node.args.children
  if (node.typename === 'Test') return [node.target, node.args]
  if (node.typename === 'KeywordArgs') return node.children.map(({ value }) => value)
  return childNodes(node)
}

function nameOf(node: TemplateNode): string {
  return node.typename === 'Symbol' ? node.value : ''
}
