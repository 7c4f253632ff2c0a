import { childNodes, type NodeOf, type TemplateNode } from '../syntax/nodes.js'
import { capture, visit } from './statements.js'
import { type Entry, summaryOf } from './summary.js'
import { survey } from './survey.js'
import { type BlockSite, type Known, Walk } from './walk.js'

/** A template outside of its blocks, or one of these, each looked at by itself. */
export type Part = { walk: Walk; steps: Step[] }

/** What a part takes from around it and the blocks it renders, in the order they are written. */
export type Step = { order: number; entry: Entry } | { order: number; site: BlockSite }

export type Parts = {
  root: Part
  blocks: Map<string, Part>
  parents: string[]
}

export function partsOf(root: TemplateNode, around: Omit<Known, 'capture'>): Parts {
  const { blocks, parents } = declarations(root)
  const known = { ...around, capture }
  return {
    root: partOf(root, new Walk(known, survey(root), null)),
    blocks: new Map(blocks.map(({ name, body }) => [name.value, partOf(body, new Walk(known, survey(body), name.value))])),
    parents,
  }
}

function partOf(body: TemplateNode, walk: Walk): Part {
  visit(walk, body)
  const entries = summaryOf(walk.outside).map((entry) => ({ order: entry.order, entry }))
  const sites = walk.blocks.map((site) => ({ order: site.order, site }))
  return { walk, steps: [...entries, ...sites].sort((a, b) => a.order - b.order) }
}

function declarations(root: TemplateNode): { blocks: NodeOf<'Block'>[]; parents: string[] } {
  const blocks: NodeOf<'Block'>[] = []
  const parents: string[] = []
  const pending = [root]
  for (let node = pending.pop(); node; node = pending.pop()) {
    if (node.typename === 'Block') blocks.push(node)
    if (node.typename === 'Extends') parents.push(node.reference.value)
    for (const child of childNodes(node)) pending.push(child)
  }
  return { blocks, parents }
}
