import { randomUUID } from 'node:crypto'
import type { Db } from '../../database/connect.js'
import type { AppError, Finding } from '../../errors.js'
import type { Project } from '../../lib/access.js'
import { contentHash } from '../../lib/content-hash.js'
import type { VersionReference } from '../../lib/references.js'
import { mapInSlices } from '../../lib/slices.js'
import { didYouMean } from '../../lib/suggest.js'
import { invalid } from '../../lib/validation.js'
import { nearNames } from '../prompts/resolve.service.js'
import type { Held } from '../releases/snapshots.service.js'
import { type ComposedNode, findNodes, type Ground } from './composed-nodes.service.js'
import type { KnownPrompt } from './known.service.js'
import { type PreparedPrompt, placeOf, type Remark, requestPath } from './read.service.js'
import { extentOf, isPinned, loadTargets, type Target, type TargetIndex } from './targets.service.js'

/** What one reference of a version gets; null where it does without a prompt that is not there. */
export type PlannedInclude = { reference: string; targetId: string | null }

/** What becomes of one prompt of a push: a version that exists already, or (null) one to be made. */
export type PlannedPrompt = {
  pushed: PreparedPrompt
  known: KnownPrompt | null
  reused: Held | null
  /** Whether it is not pushed, but has to follow what it includes. */
  follows: boolean
  /** The version it has then. */
  versionId: string
  /** Of `pushed` with what it includes. */
  contentHash: string
  includes: PlannedInclude[]
  /** The prompts it includes whose change alone makes a new version of it. */
  causes: string[]
}

export type Composition = { prompts: PlannedPrompt[]; warnings: Remark[] }

/** Of what one version reaches; a fetch answers all of it. */
export const includeLimits = { depth: 10, references: 100, bytes: 1024 ** 2 }

/**
 * Resolves what the pushed prompts include in the release being made, and which prompts of its base get a new version
 * because of that. Pushed prompts come first, as they are, then the others by name. Throws `include.*` with all findings.
 */
export async function compose(ground: Ground, pushed: PreparedPrompt[], removed: Held[]): Promise<Composition> {
  const { db, project, lineage, pause } = ground
  const gone = new Set(removed.map(({ name }) => name))
  const nodes = await findNodes(ground, pushed, gone)
  const all = [...nodes.values()]
  const index = await loadTargets(db, project, lineage, {
    references: all.flatMap(({ prompt }) => prompt.references.flatMap(({ names }) => names)).filter((name) => !nodes.has(name)),
    versionIds: all.flatMap(({ stored }) =>
      [...stored.values()].flatMap((edges) => [...edges.values()].filter((id) => id !== null)),
    ),
  })
  const resolution = new Resolution(nodes, index, gone)
  const settled = await mapInSlices(all, pause, ({ prompt }) => resolution.settle(prompt.name).planned)
  const [missing, unfit] = [resolution.missing, resolution.unfit]
  if (missing.length + unfit.length > 0) {
    const findings = [...(await missingFindings(db, project, nodes, missing)), ...unfit]
    throw invalid(missing.length > 0 ? 'include.not_found' : 'include.unfit', findings)
  }
  return { prompts: settled.filter((planned) => planned !== null), warnings: resolution.warnings }
}

type Missing = { prompt: PreparedPrompt; reference: VersionReference }

/** Similar names are looked up for this many. */
const maxHints = 20

async function missingFindings(
  db: Db,
  project: Project,
  nodes: ReadonlyMap<string, ComposedNode>,
  missing: Missing[],
): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const [index, { prompt, reference }] of missing.entries()) {
    const names = reference.names.map((name) => `"${name}"`).join(' or ')
    const [name = ''] = reference.names
    const near = index < maxHints ? [...nodes.keys(), ...(await nearNames(db, project, name))] : []
    const remedy = isPinned(name)
      ? 'Pin a version or a release of it, by number or label; aliases, commits and "latest" move.'
      : `The release being made holds no such prompt: push it along, or correct the name.${didYouMean(name, near)}`
    findings.push(findingAt(prompt, reference, `${names} cannot be resolved. ${remedy}`))
  }
  return findings
}

function findingAt(prompt: PreparedPrompt, reference: VersionReference, message: string): Finding {
  const { words, line, column } = placeOf(prompt, reference)
  return { path: requestPath(prompt, reference.path), message: `${words}: ${message}`, line, column }
}

type Settled = { target: Target; planned: PlannedPrompt | null }

/** One walk over the prompts that get their includes anew, each after those it includes. */
class Resolution {
  readonly missing: Missing[] = []
  readonly unfit: Finding[] = []
  readonly warnings: Remark[] = []
  readonly #nodes: ReadonlyMap<string, ComposedNode>
  readonly #index: TargetIndex
  readonly #removed: ReadonlySet<string>
  readonly #settled = new Map<string, Settled>()
  readonly #underWay: string[] = []

  constructor(nodes: ReadonlyMap<string, ComposedNode>, index: TargetIndex, removed: ReadonlySet<string>) {
    this.#nodes = nodes
    this.#index = index
    this.#removed = removed
  }

  settle(name: string): Settled {
    const known = this.#settled.get(name)
    if (known) return known
    const node = this.#nodes.get(name)
    if (!node) throw new Error(`Prompt ${name} is not part of the push.`)
    this.#refuseLoop(node)
    this.#underWay.push(name)
    const settled = this.#settleNode(node)
    this.#underWay.pop()
    this.#settled.set(name, settled)
    return settled
  }

  #refuseLoop({ prompt }: ComposedNode): void {
    const path = this.#underWay
    const start = path.indexOf(prompt.name)
    if (start !== -1) {
      const cycle = [...path.slice(start), prompt.name].map((name) => `"${name}"`).join(' includes ')
      throw this.#failure(prompt, 'include.cycle', `${cycle}, which never ends. Take one of them out.`)
    }
    if (path.length > includeLimits.depth) throw this.#tooDeep(this.#nodes.get(path[0] ?? '')?.prompt ?? prompt)
  }

  #settleNode(node: ComposedNode): Settled {
    const { prompt } = node
    const names = new Set(prompt.references.flatMap((reference) => reference.names))
    if (names.size > includeLimits.references) throw this.#tooMany(prompt)
    const found = new Map<string, Target | null>()
    for (const reference of prompt.references) {
      const target = this.#firstOf(reference, found)
      if (target) this.#noteUnfit(node, reference, target)
      else if (!reference.isOptional) this.missing.push({ prompt, reference })
    }
    const included = [...found].flatMap(([reference, target]) => (target ? [{ reference, target }] : []))
    const extent = extentOf(included)
    this.#refuseLarge(prompt, extent)
    const isPurged = included.some(({ target }) => target.isPurged)
    if (isPurged && node.known?.inBase && !node.isPushed) return this.#leave(node, node.known.inBase, extent)
    const hashes = included.map(({ reference, target }) => [reference, target.contentHash ?? ''] as const)
    const hash = hashes.length === 0 ? prompt.contentHash : contentHash(prompt.content, hashes)
    const includes = [...found].map(([reference, target]) => ({ reference, targetId: target?.versionId ?? null }))
    return this.#planned(node, hash, includes, extent)
  }

  #planned(node: ComposedNode, hash: string, includes: PlannedInclude[], extent: Pick<Target, 'depth' | 'reach'>): Settled {
    const { prompt, known, isPushed } = node
    const reused =
      [known?.inBase, known?.newest].find(
        (held) => held?.contentHash === hash && isSame(node.stored.get(held.versionId), includes),
      ) ?? null
    const versionId = reused?.versionId ?? randomUUID()
    const target = { ...targetOf(prompt), ...extent, versionId, contentHash: hash, isPurged: false }
    if (!isPushed && versionId === known?.inBase?.versionId) return { target, planned: null }
    const causes = reused ? [] : this.#causesOf(node, includes)
    return {
      target,
      planned: { pushed: prompt, known, reused, follows: !isPushed, versionId, contentHash: hash, includes, causes },
    }
  }

  /** Of a list the first that there is; those before it are noted as not there. */
  #firstOf({ names }: VersionReference, found: Map<string, Target | null>): Target | null {
    for (const name of names) {
      const target = found.get(name) ?? this.#resolve(name)
      found.set(name, target)
      if (target) return target
    }
    return null
  }

  #resolve(reference: string): Target | null {
    if (isPinned(reference)) return this.#index.pinned.get(reference) ?? null
    if (this.#nodes.has(reference)) return this.settle(reference).target
    return this.#removed.has(reference) ? null : (this.#index.held.get(reference) ?? null)
  }

  #noteUnfit({ prompt, isPushed }: ComposedNode, reference: VersionReference, target: Target): void {
    const objection = objectionTo(target, reference, isPushed)
    if (!objection) return
    const remedy = isPushed ? '' : ` Push "${prompt.name}" without that, or leave "${target.name}" as it was.`
    this.unfit.push(findingAt(prompt, reference, `${objection}${remedy}`))
  }

  #refuseLarge(prompt: PreparedPrompt, { depth, reach }: Pick<Target, 'depth' | 'reach'>): void {
    if (depth > includeLimits.depth) throw this.#tooDeep(prompt)
    if (reach.size > includeLimits.references) throw this.#tooMany(prompt)
    const bytes = [...reach.values()].reduce((sum, size) => sum + size, 0)
    if (bytes <= includeLimits.bytes) return
    const why = `"${prompt.name}" includes more than ${includeLimits.bytes / 1024 ** 2} MiB, directly or not. Include less.`
    throw this.#failure(prompt, 'include.limit', why)
  }

  #tooMany(prompt: PreparedPrompt): AppError {
    const why = `"${prompt.name}" includes more than ${includeLimits.references} others, directly or not. Include fewer.`
    return this.#failure(prompt, 'include.limit', why)
  }

  #tooDeep(prompt: PreparedPrompt): AppError {
    const why = `"${prompt.name}" includes others more than ${includeLimits.depth} levels deep. Flatten them.`
    return this.#failure(prompt, 'include.limit', why)
  }

  #failure(prompt: PreparedPrompt, code: 'include.cycle' | 'include.limit', message: string): AppError {
    return invalid(code, [{ path: prompt.where, message }])
  }

  /** A prompt of the base that cannot be made anew stays what it is. */
  #leave({ prompt }: ComposedNode, held: Held, extent: Pick<Target, 'depth' | 'reach'>): Settled {
    const message = `"${prompt.name}" keeps its version: something else that it includes was purged.`
    this.warnings.push({ code: 'include.kept', prompt: prompt.name, path: prompt.where, message })
    return {
      target: { ...targetOf(prompt), ...extent, versionId: held.versionId, contentHash: held.contentHash, isPurged: true },
      planned: null,
    }
  }

  /** What got another version since the base, where nothing else of the prompt is new. */
  #causesOf({ prompt, known, stored }: ComposedNode, includes: PlannedInclude[]): string[] {
    const base = known?.inBase
    const before = base && stored.get(base.versionId)
    if (!base || !before) return []
    const hashes = [...before].flatMap(([reference, id]) => {
      const hash = id === null ? null : (this.#index.byId.get(id)?.contentHash ?? '')
      return hash === null ? [] : [[reference, hash] as const]
    })
    if (contentHash(prompt.content, hashes) !== base.contentHash) return []
    return includes.flatMap(({ reference, targetId }) => (before.get(reference) === targetId ? [] : reference))
  }
}

function targetOf({ name, content }: PreparedPrompt): Pick<Target, 'name' | 'type' | 'template' | 'bytes'> {
  return { name, type: content.type, template: content.template, bytes: Buffer.byteLength(content.content ?? '') }
}

function isSame(stored: ReadonlyMap<string, string | null> | undefined, includes: PlannedInclude[]): boolean {
  return (
    (stored?.size ?? 0) === includes.length && includes.every(({ reference, targetId }) => stored?.get(reference) === targetId)
  )
}

/** Why a version cannot be included where it is named, or null. */
function objectionTo(
  { name, type, template, isPurged }: Target,
  { tag, names }: VersionReference,
  isPushed: boolean,
): string | null {
  if (type === 'chat') return `"${name}" is a chat prompt, and only texts can be included.`
  if (template === 'none' && tag !== 'include') {
    return `"${name}" is no template (\`template: none\`), so there is nothing to ${tag === 'extends' ? 'extend' : tag}.`
  }
  if (!isPurged || !isPushed) return null
  const remedy = names.some(isPinned) ? 'Pin another one' : 'Push that anew'
  return `the version of "${name}" it gets, or one that that includes, was purged. ${remedy}, or leave it out.`
}
