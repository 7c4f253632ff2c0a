import type { Db } from '../../database/connect.js'
import type { Finding } from '../../errors.js'
import type { Body } from '../../lib/content-hash.js'
import { bodyVariables } from '../../lib/prompt-variables.js'
import { bodiesOf, textsOfBody } from '../../lib/references.js'
import type { Pause } from '../../lib/slices.js'
import { type Includes, PromptSize, type Unit, type Verbatim } from '../../lib/template/composition.js'
import { parseTemplate } from '../../lib/template/parse.js'
import type { NodeOf } from '../../lib/template/syntax/nodes.js'
import { TemplateError } from '../../lib/template/template-error.js'
import type { Variable } from '../../lib/template/variables.js'
import { invalid } from '../../lib/validation.js'
import { readIncludeGraph } from '../includes/includes.service.js'
import { declaredWarnings } from './check.service.js'
import type { PlannedPrompt } from './composition.service.js'
import type { Remark } from './read.service.js'

/** All that these include is in memory at once. */
const chunkSize = 20

/**
 * What can only be told of new versions once it is known what they include: whether they are small enough together with that
 * (throws `include.limit`), and whether they use the variables that their inputs declare (warnings).
 */
export async function checkComposed({ db, pause }: { db: Db; pause: Pause }, prompts: PlannedPrompt[]): Promise<Remark[]> {
  const composed = prompts.filter(({ reused, includes }) => reused === null && includes.length > 0)
  const planned = new Map(prompts.map((prompt) => [prompt.versionId, prompt]))
  const warnings: Remark[] = []
  const findings: Finding[] = []
  for (let start = 0; start < composed.length; start += chunkSize) {
    const chunk = composed.slice(start, start + chunkSize)
    const library = new Library(await readSources(db, planned, chunk))
    for (const prompt of chunk) {
      const variables: Variable[][] = []
      for (const { path, body } of bodiesOf(prompt.pushed.content)) {
        const checked = checkBody(library, prompt, body)
        if ('error' in checked) findings.push(findingOf(prompt, path, checked.error))
        else variables.push(checked.variables)
        const due = pause()
        if (due) await due
      }
      warnings.push(...declaredWarnings(prompt.pushed, variables))
    }
  }
  if (findings.length > 0) throw invalid('include.limit', findings)
  return warnings
}

function findingOf({ pushed }: PlannedPrompt, path: string, error: TemplateError): Finding {
  const place = path === '' ? pushed.where : `${pushed.where}.${path}`
  return { path: pushed.where === '' ? '' : place, message: `Prompt "${pushed.name}": ${error.message}` }
}

function checkBody(library: Library, prompt: PlannedPrompt, body: Body): { variables: Variable[] } | { error: TemplateError } {
  const edges = edgesOf(prompt.includes)
  try {
    const size = new PromptSize()
    const parsed = textsOfBody(body, '').map(({ text }) => [text, parseTemplate(text)] as const)
    const roots = new Map(parsed)
    for (const [, root] of parsed) size.add(root)
    for (const root of library.reached(edges)) size.add(root)
    const includes = library.includes(edges)
    return {
      variables: bodyVariables(body, (text) => ({ template: { root: roots.get(text) as Root }, includes })),
    }
  } catch (error) {
    if (error instanceof TemplateError) return { error }
    throw error
  }
}

type Root = NodeOf<'Root'>
type Parsed = { root: Root }
type Edges = ReadonlyMap<string, string>
type Source = { template: 'jinja' | 'none'; content: string; edges: Edges }

const edgesOf = (includes: PlannedPrompt['includes']): Edges =>
  new Map(includes.flatMap(({ reference, targetId }) => (targetId === null ? [] : [[reference, targetId] as const])))

/** Versions that are included, each parsed once. */
class Library {
  readonly #sources: ReadonlyMap<string, Source>
  readonly #units = new Map<string, Unit<Parsed> | Verbatim>()

  constructor(sources: ReadonlyMap<string, Source>) {
    this.#sources = sources
  }

  includes(edges: Edges): Includes<Parsed> {
    return new Map([...edges].map(([reference, id]) => [reference, this.#unit(id)]))
  }

  /** The templates behind some references, once for each way in which they are written. */
  reached(edges: Edges): Root[] {
    const seen = new Set<string>()
    const roots: Root[] = []
    const pending = [...edges]
    for (let edge = pending.pop(); edge; edge = pending.pop()) {
      const [reference, id] = edge
      if (seen.has(`${reference} ${id}`)) continue
      seen.add(`${reference} ${id}`)
      const unit = this.#unit(id)
      if ('template' in unit) roots.push(unit.template.root)
      pending.push(...this.#source(id).edges)
    }
    return roots
  }

  #unit(id: string): Unit<Parsed> | Verbatim {
    const known = this.#units.get(id)
    if (known) return known
    const { template, content, edges } = this.#source(id)
    const unit =
      template === 'none' ? { text: content } : { template: { root: parseTemplate(content) }, includes: this.includes(edges) }
    this.#units.set(id, unit)
    return unit
  }

  #source(id: string): Source {
    const source = this.#sources.get(id)
    if (!source) throw new Error(`Version ${id} is included, and was not read.`)
    return source
  }
}

/** What some prompts can reach, by version: planned ones as they are pushed, the others as they are stored. */
async function readSources(
  db: Db,
  planned: ReadonlyMap<string, PlannedPrompt>,
  prompts: PlannedPrompt[],
): Promise<Map<string, Source>> {
  const sources = new Map<string, Source>()
  const stored = new Set<string>()
  const pending = prompts.flatMap(({ includes }) => [...edgesOf(includes).values()])
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    const prompt = planned.get(id)
    if (!prompt) stored.add(id)
    else if (!sources.has(id)) {
      const { template, content } = prompt.pushed.content
      const edges = edgesOf(prompt.includes)
      sources.set(id, { template, content: content ?? '', edges })
      pending.push(...edges.values())
    }
  }
  const graph = await readIncludeGraph(db, [...stored])
  const edges = new Map<string, Map<string, string>>()
  for (const { from, reference, to } of graph.edges) edges.set(from, (edges.get(from) ?? new Map()).set(reference, to))
  for (const { id, template, content } of graph.versions) {
    sources.set(id, { template, content: content ?? '', edges: edges.get(id) ?? new Map() })
  }
  return sources
}
