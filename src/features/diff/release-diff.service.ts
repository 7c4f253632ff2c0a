import type { Deps } from '../../deps.js'
import { AppError, tryLater } from '../../errors.js'
import type { Project } from '../../lib/access.js'
import { addTallies, htmlInSteps, htmlPage, tallyOf } from '../../lib/diff/html.js'
import { diffInSteps, type PromptDiff } from '../../lib/diff/prompt-diff.js'
import { finishInTurns } from '../../lib/diff/steps.js'
import { unifiedInSteps } from '../../lib/diff/unified.js'
import { mapInSlices } from '../../lib/slices.js'
import type { VersionRecord } from '../../lib/version-record.js'
import { QueueFull } from '../../lib/write-queue.js'
import { readDatabase } from '../reads/database.service.js'
import { toRecord, type VersionRow } from '../reads/records.service.js'
import { readVersions } from '../reads/statements.service.js'
import { type ReleaseRow, releaseRef, resolveRelease } from '../releases/releases.service.js'
import type { ReleaseDiff } from './diff.schema.js'
import { type DiffAnswer, type DiffFormat, diffCaching, toAnswer, toDiffable } from './diff.service.js'
import { type Difference, type Differences, findDifferences } from './differences.service.js'

/** Prompts of each kind that are named. */
const maxNames = 10_000
/** Prompts that are compared whole, and about how long their comparisons may be together, in characters. */
const maxDiffs = 200
const maxLength = 4 * 1024 ** 2
/** Prompts whose versions, of up to 1 MiB each, are read at once. */
const batchSize = 2

type Request = { from: string; to: string; format: DiffFormat }

/** Two releases, as they were asked for and as they are, and how they differ. */
type Comparison = { request: Request; from: ReleaseRow; to: ReleaseRow; found: Differences }

/** Tells what changed from one release to another. Throws what `resolveRelease` does, and a 503 where too many ask. */
export async function diffReleases(deps: Deps, project: Project, request: Request): Promise<DiffAnswer> {
  // It takes as much as a validation: they wait for each other.
  const work = () => compareReleases(deps, project, request)
  return deps.validations.run(project.slug, work).catch((error: unknown) => {
    if (!(error instanceof QueueFull)) throw error
    throw tryLater('read.busy', 'Too many comparisons and validations are waiting. Try again.', 5, error)
  })
}

async function compareReleases(deps: Deps, project: Project, request: Request): Promise<DiffAnswer> {
  const from = await resolveRelease(deps.db, project, request.from)
  const to = await resolveRelease(deps.db, project, request.to)
  const found = await findDifferences(deps.db, from, to, maxNames)
  const text = await writers[request.format](deps, { request, from, to, found })
  const isImmutable = isNamedForGood(from, request.from) && isNamedForGood(to, request.to)
  const caching = isImmutable ? diffCaching.immutable : diffCaching.movable
  return toAnswer(text, request.format, { caching, staleSeconds: null })
}

/** Labels and numbers are given once; aliases, `latest` and commits come to mean something else. */
function isNamedForGood({ label, number }: ReleaseRow, ref: string): boolean {
  return ref === label || ref === `r${number}`
}

type Write = (deps: Deps, comparison: Comparison) => Promise<string>

const writers: Record<DiffFormat, Write> = { json: writeJson, unified: writeUnified, html: writeHtml }

async function writeJson(deps: Deps, comparison: Comparison): Promise<string> {
  const { request, from, to, found } = comparison
  const diffs = new Map<string, Pick<ReleaseDiff['changed'][number], 'omitted'> & { json: string }>()
  await eachDiff(deps, comparison, found.changed.slice(0, maxDiffs), (name, diff) => {
    const json = JSON.stringify(diff)
    diffs.set(name, { json, omitted: diff ? null : 'purged' })
    return json.length
  })
  const { counts } = found
  const named = (differences: Difference[]) =>
    differences.map((difference) => ({ name: difference.name, version: (difference.to ?? difference.from)?.ref ?? '' }))
  const head: Omit<ReleaseDiff, 'changed' | 'truncated'> = {
    from: { ref: request.from, release: releaseRef(from) },
    to: { ref: request.to, release: releaseRef(to) },
    counts,
    added: named(found.added),
    removed: named(found.removed),
  }
  const changed = found.changed.map((difference) => {
    const { json, omitted } = diffs.get(difference.name) ?? { json: 'null', omitted: 'limit' }
    const facts = JSON.stringify({ name: difference.name, from: difference.from?.ref, to: difference.to?.ref })
    return `${facts.slice(0, -1)},"diff":${json},"omitted":${JSON.stringify(omitted)}}`
  })
  const truncated = Object.values(counts).some((count) => count > maxNames)
  return `${JSON.stringify(head).slice(0, -1)},"changed":[${changed.join(',')}],"truncated":${truncated}}`
}

async function writeUnified(deps: Deps, comparison: Comparison): Promise<string> {
  const texts: string[] = []
  const notes = await eachShown(deps, comparison, async (diff) => {
    const text = await finishInTurns(unifiedInSteps(diff), deps.pause)
    texts.push(text)
    return text.length
  })
  // Before the first file header tools pass over what is no diff.
  return [...notes.map((note) => `# ${note}\n`), ...texts].join('')
}

async function writeHtml(deps: Deps, comparison: Comparison): Promise<string> {
  const prompts: string[] = []
  let tally = tallyOf([])
  const notes = await eachShown(deps, comparison, async (diff) => {
    const prompt = await finishInTurns(htmlInSteps(diff), deps.pause)
    prompts.push(prompt)
    tally = addTallies(tally, tallyOf([diff]))
    return prompt.length
  })
  const { from, to } = comparison.request
  return htmlPage({ title: `Releases ${from} → ${to}`, tally, notes, prompts })
}

/** Compares what a page has room for, changed prompts first, by name; answers what is to be said of the others. */
async function eachShown(deps: Deps, comparison: Comparison, show: (diff: PromptDiff) => Promise<number>): Promise<string[]> {
  const { added, removed, changed, counts } = comparison.found
  const chosen = [...changed, ...added, ...removed].slice(0, maxDiffs).sort((a, b) => (a.name < b.name ? -1 : 1))
  const purged: string[] = []
  const told = await eachDiff(deps, comparison, chosen, (name, diff) => {
    if (diff) return show(diff)
    purged.push(name)
    return name.length
  })
  const left = counts.added + counts.removed + counts.changed - told
  return [
    ...purged.map((name) => `${name} is not shown: content that it holds or includes was purged.`),
    ...(left > 0
      ? [`${left} more ${left === 1 ? 'prompt differs' : 'prompts differ'} and are left out: format=json names them.`]
      : []),
  ]
}

/**
 * Compares one prompt after the other and hands each on, null for one that was purged, until what `take` says of
 * their lengths is too much. Answers how many were handed on.
 */
async function eachDiff(
  deps: Deps,
  comparison: Comparison,
  differences: readonly Difference[],
  take: (name: string, diff: PromptDiff | null) => number | Promise<number>,
): Promise<number> {
  let [length, told] = [0, 0]
  for (let at = 0; at < differences.length; at += batchSize) {
    const batch = differences.slice(at, at + batchSize)
    const records = await readRecords(deps, batch)
    for (const difference of batch) {
      if (length >= maxLength) return told
      const diff = await compare(deps, comparison, difference, records)
      await deps.pause()
      length += await take(difference.name, diff)
      told += 1
    }
  }
  return told
}

/** They are not kept: most of them nobody fetches any more. */
async function readRecords(deps: Deps, differences: readonly Difference[]): Promise<Map<string, VersionRecord>> {
  const ids = differences.flatMap(({ from, to }) => [from, to].flatMap((version) => version?.id ?? []))
  const rows = (await readDatabase<VersionRow[]>(deps, readVersions, [ids])) ?? []
  return new Map(await mapInSlices(rows, deps.pause, (row) => [row.id, toRecord(row)] as const))
}

/** Null where one of the versions was purged, or something that it includes. */
async function compare(
  deps: Deps,
  { request, ...releases }: Comparison,
  { name, from, to }: Difference,
  records: ReadonlyMap<string, VersionRecord>,
): Promise<PromptDiff | null> {
  const [before, after] = [from && recordIn(records, from.id), to && recordIn(records, to.id)]
  if (before?.erased || after?.erased) return null
  const older = before && toDiffable(deps, before, { name, ref: request.from, release: releaseRef(releases.from) })
  await deps.pause()
  const newer = after && toDiffable(deps, after, { name, ref: request.to, release: releaseRef(releases.to) })
  await deps.pause()
  return finishInTurns(diffInSteps(older, newer), deps.pause)
}

function recordIn(records: ReadonlyMap<string, VersionRecord>, id: string): VersionRecord {
  const record = records.get(id)
  if (!record) throw new AppError('release.not_found', 'What the releases hold was erased a moment ago, with the project.')
  return record
}
