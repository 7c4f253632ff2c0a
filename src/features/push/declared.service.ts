import type { Db } from '../../database/connect.js'
import { mapInSlices, type Pause } from '../../lib/slices.js'
import type { Includes, Unit, Verbatim } from '../../lib/template/composition.js'
import { parseTemplate } from '../../lib/template/parse.js'
import type { TemplateNode } from '../../lib/template/syntax/nodes.js'
import { readIncludeGraph } from '../includes/includes.service.js'
import { declaredWarnings, variablesOf } from './check.service.js'
import type { PlannedPrompt } from './composition.service.js'
import type { Remark } from './read.service.js'

type Parsed = { root: TemplateNode }

/** So many prompts of one push are looked at: all they include is read for it. */
const maxChecked = 100

/**
 * Warnings for new versions that include others and declare inputs: only with what is included can be told which variables
 * there are.
 */
export async function composedWarnings({ db, pause }: { db: Db; pause: Pause }, prompts: PlannedPrompt[]): Promise<Remark[]> {
  const checked = prompts
    .filter(({ pushed, reused, includes }) => reused === null && pushed.content.inputs !== null && includes.length > 0)
    .slice(0, maxChecked)
  if (checked.length === 0) return []
  const sources = await readSources(db, prompts, checked)
  const linked = new Map<string, Unit<Parsed> | Verbatim>()
  const link = (id: string): Unit<Parsed> | Verbatim => {
    const known = linked.get(id)
    if (known) return known
    const source = sources.get(id)
    if (!source) throw new Error(`Version ${id} is included, and was not read.`)
    const unit =
      source.template === 'none'
        ? { text: source.content }
        : { template: { root: parseTemplate(source.content) }, includes: linkAll(source.edges) }
    linked.set(id, unit)
    return unit
  }
  const linkAll = (edges: Edges): Includes<Parsed> => new Map([...edges].map(([reference, id]) => [reference, link(id)]))
  const warnings = await mapInSlices(checked, pause, ({ pushed, includes }) =>
    declaredWarnings(pushed, variablesOf(pushed.content, linkAll(edgesOf(includes)))),
  )
  return warnings.flat()
}

type Edges = ReadonlyMap<string, string>
type Source = { template: 'jinja' | 'none'; content: string; edges: Edges }

const edgesOf = (includes: PlannedPrompt['includes']): Edges =>
  new Map(includes.flatMap(({ reference, targetId }) => (targetId === null ? [] : [[reference, targetId] as const])))

/** What the prompts can reach, by version: planned ones as they are pushed, the others as they are stored. */
async function readSources(db: Db, prompts: PlannedPrompt[], checked: PlannedPrompt[]): Promise<Map<string, Source>> {
  const sources = new Map<string, Source>()
  const planned = new Map(prompts.map((prompt) => [prompt.versionId, prompt]))
  const stored: string[] = []
  const pending = checked.flatMap(({ includes }) => [...edgesOf(includes).values()])
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    const prompt = planned.get(id)
    if (sources.has(id)) continue
    if (!prompt) stored.push(id)
    else {
      const edges = edgesOf(prompt.includes)
      sources.set(id, { template: prompt.pushed.content.template, content: prompt.pushed.content.content ?? '', edges })
      pending.push(...edges.values())
    }
  }
  const graph = await readIncludeGraph(db, [...new Set(stored)])
  for (const { id, template, content } of graph.versions) {
    const edges = new Map(graph.edges.filter(({ from }) => from === id).map(({ reference, to }) => [reference, to]))
    sources.set(id, { template, content: content ?? '', edges })
  }
  return sources
}
