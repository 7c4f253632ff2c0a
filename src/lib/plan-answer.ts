import { type Finished, outcomeBytes, type Plan, toFinished } from './plan.js'
import type { PlanProblem, PromptPlan } from './prompt-plan.js'
import { joined, type VersionRecord } from './version-record.js'

/** One target of a ref, before it is told: a version that can be answered, or what there is to say instead. */
export type ToldTarget = { release: string | null; version: string | null } & (
  | { record: VersionRecord; problem: null }
  | { record: null; problem: PlanProblem }
)

type Told = Pick<PromptPlan, 'name' | 'ref' | 'by' | 'source'> & {
  stable: ToldTarget
  canary: { salt: string; basisPoints: number; target: ToldTarget } | null
}

/** A `PromptPlan` as JSON, put together without parsing contents; the variables of all bodies must be found. Pure. */
export function assemblePlan({ stable, canary, ...head }: Told): Buffer {
  return joined([open(head), ',"stable":', ...targetPieces(stable), ...(canary ? canaryPieces(canary) : [',"canary":null}'])])
}

function canaryPieces({ target, ...share }: NonNullable<Told['canary']>): (Buffer | string)[] {
  return [',"canary":', open(share), ',"target":', ...targetPieces(target), '}}']
}

function targetPieces({ release, version, record, problem }: ToldTarget): (Buffer | string)[] {
  const told = record ? versionPieces(record, release) : ['null']
  return [open({ release, version }), ',"prompt":', ...told, `,"problem":${JSON.stringify(problem)}}`]
}

/** In the order of an answer, with all variants. */
function versionPieces(record: VersionRecord, named: string | null): (Buffer | string)[] {
  const { version, made, type, template, contentHash, settings, includes, tags } = record
  const release = named ?? (made === '' ? null : made)
  const variants = tags
    .slice(1)
    .flatMap((variantTags, index) => [
      ...[index === 0 ? '' : ',', open({ tags: variantTags }), ',', contentOf(record, index + 1)],
      `,"variables":${variablesOf(record, index + 1)}}`,
    ])
  return [
    ...[open({ version, release, type, template }), ',', contentOf(record, 0), ',', settings],
    ...[`,"variables":${variablesOf(record, 0)},"includes":`, includes, ',"variants":[', ...variants, ']'],
    `,"contentHash":${JSON.stringify(contentHash)},"git":${record.git},"createdAt":${record.createdAt}}`,
  ]
}

/** An object as JSON that more members are to follow in. */
function open(members: object): string {
  return JSON.stringify(members).slice(0, -1)
}

function contentOf({ id, contents }: VersionRecord, body: number): Buffer {
  const content = contents[body]
  if (!content) throw new Error(`Version ${id} has no body ${body}.`)
  return content
}

function variablesOf({ id, variables }: VersionRecord, body: number): string {
  const found = variables[body]
  if (typeof found !== 'string') throw new Error(`The variables of body ${body} of version ${id} were not found yet.`)
  return found
}

/** Keeps the bytes of a plan in it, which is larger by them. */
export function finishPlanned(plan: Plan, json: Buffer): Finished {
  const finished = toFinished(json)
  plan.planned = finished
  plan.sizeBytes += json.length + outcomeBytes
  return finished
}
