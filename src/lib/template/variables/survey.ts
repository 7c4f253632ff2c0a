import { childNodes, type TemplateNode } from '../syntax/nodes.js'

/** What has to be known of a part of a template before it is gone through. */
export type Survey = {
  /** The names of its macros: one may call another that is defined after it. */
  macros: ReadonlySet<string>
  /**
   * The loops and macros within which `loop`, `caller` and the like are mentioned. Jinja2 gives these names to no others, so
   * that what is included there does not see them.
   */
  mentions: ReadonlyMap<TemplateNode, ReadonlySet<string>>
}

type Around = { names: Set<string>; outer: Around } | null

const givenNames: ReadonlySet<string> = new Set(['loop', 'caller', 'varargs', 'kwargs'])

/** Blocks are parts of their own. */
export function survey(part: TemplateNode): Survey {
  const macros = new Set<string>()
  const mentions = new Map<TemplateNode, Set<string>>()
  const pending: { node: TemplateNode; around: Around }[] = [{ node: part, around: null }]
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { node, around } = next
    if (node.typename === 'Symbol' && givenNames.has(node.value)) mention(node.value, around)
    if (node.typename === 'Macro') macros.add(node.name.value)
    if (node.typename === 'Block') {
      if (node.isScoped) mention('loop', around)
      continue
    }
    const body = bodyOf(node)
    const names = new Set<string>()
    if (body) mentions.set(node, names)
    for (const child of childNodes(node))
      pending.push({ node: child, around: child === body ? { names, outer: around } : around })
  }
  return { macros, mentions }
}

/** Of what Jinja2 gives names to. */
function bodyOf(node: TemplateNode): TemplateNode | null {
  return node.typename === 'For' || node.typename === 'Macro' || node.typename === 'CallBlock' ? node.body : null
}

function mention(name: string, around: Around): void {
  // What is around something that mentions it does so as well.
  for (let at = around; at && !at.names.has(name); at = at.outer) at.names.add(name)
}
