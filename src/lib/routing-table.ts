import { routesFor } from './path-file/routing.js'
import { fileKey } from './path-file/values.js'
import type { PathFile } from './path-file.js'
import type { Finished } from './plan.js'
import type { Stamp } from './pointers.js'

/** A file of a source and the prompt it is in a release. */
export type RoutedFile = { path: string; name: string }

/** A source as a release holds it. */
export type RoutedSource = {
  id: string
  name: string
  /** Null where it has none, so that nothing is routed by it. */
  pathFile: PathFile | null
  /** By `fileKey` of the path. */
  files: ReadonlyMap<string, RoutedFile>
}

/** How a release is routed: immutable, as the release is. Sources are in the order of their names. */
export type RoutingTable = {
  sources: RoutedSource[]
  /** Whether the answer depends on the time as well. */
  isTimed: boolean
  /** What was answered lately, by all that the answer depends on beside the stamp under which it was found. */
  answers: Map<string, KeptAnswer>
  sizeBytes: number
}

/** An answer with how it was found. */
export type KeptAnswer = { stamp: Stamp; finished: Finished; version: string; level: 'registry' | 'stale' }

/** What came of one route. `missing` is the first of its files that is not there. */
export type Step = { source: string; route: string } & (
  | { outcome: 'skipped'; why: string }
  | { outcome: 'missing'; paths: string[]; missing: string; of: string }
  | { outcome: 'chosen'; paths: string[]; of: string }
)

/** What a context is routed to: the files are to be joined where they are several. */
export type Choice = { source: RoutedSource; route: string; files: RoutedFile[] }

const overheadBytes = 2_000
const fileBytes = 200
/** A compiled PATH file takes some times its text. */
const perCharacter = 24

/** A table of what a release holds. `pathTexts` are the lengths of the PATH files. */
export function makeRoutingTable(sources: RoutedSource[], pathTextLength: number): RoutingTable {
  const files = sources.flatMap((source) => [...source.files.values()])
  const texts = files.reduce((sum, { path, name }) => sum + 2 * (path.length * 2 + name.length) + fileBytes, 0)
  return {
    sources,
    answers: new Map(),
    isTimed: sources.some(({ pathFile }) =>
      pathFile?.routes.some(({ conditions }) => conditions.some(({ kind }) => kind === 'time')),
    ),
    sizeBytes: overheadBytes + texts + pathTextLength * perCharacter,
  }
}

const maxAnswers = 1_000
const answerBytes = 2_500

/** Keeps an answer. Answers of another stamp are of no use any more. */
export function keepAnswer(table: RoutingTable, key: string, answer: KeptAnswer): void {
  const { answers } = table
  const isOutdated = answers.values().next().value?.stamp !== answer.stamp
  if (isOutdated || answers.size >= maxAnswers) {
    for (const { finished } of answers.values()) table.sizeBytes -= sizeOf(finished)
    answers.clear()
  }
  if (!answers.has(key)) table.sizeBytes += sizeOf(answer.finished)
  answers.set(key, answer)
}

/** As bytes, and once more as it is sent. */
function sizeOf({ json }: Finished): number {
  return 2 * json.length + answerBytes
}

/** The files of a source as they are looked up. */
export function filesByKey(files: readonly RoutedFile[]): ReadonlyMap<string, RoutedFile> {
  return new Map(files.map((file) => [fileKey(file.path), file]))
}

/**
 * Follows the routes of each usable source in turn until one leads to files that are there. `steps` tells of every route
 * that was looked at. Pure.
 */
export function chooseFiles(
  { sources }: RoutingTable,
  context: Readonly<Record<string, string>>,
  at: Date,
  isUsable: (source: RoutedSource) => boolean,
): { choice: Choice | null; steps: Step[] } {
  const steps: Step[] = []
  for (const holder of sources) {
    if (!holder.pathFile || !isUsable(holder)) continue
    for (const routed of routesFor(holder.pathFile, context, at)) {
      const about = { source: holder.name, route: routed.route }
      if ('skipped' in routed) {
        steps.push({ ...about, outcome: 'skipped', why: routed.skipped })
        continue
      }
      const { paths } = routed
      const from = routed.source === null ? holder : sources.find(({ name }) => name === routed.source)
      const of = from?.name ?? routed.source ?? holder.name
      const files = from && isUsable(from) ? findAll(from, paths) : (paths[0] ?? '')
      if (!from || typeof files === 'string') {
        steps.push({ ...about, outcome: 'missing', paths, missing: typeof files === 'string' ? files : (paths[0] ?? ''), of })
        continue
      }
      steps.push({ ...about, outcome: 'chosen', paths, of })
      return { choice: { source: from, route: routed.route, files }, steps }
    }
  }
  return { choice: null, steps }
}

/** All of the files, or the first path that is none. */
function findAll({ files }: RoutedSource, paths: string[]): RoutedFile[] | string {
  const found: RoutedFile[] = []
  for (const path of paths) {
    const file = files.get(fileKey(path))
    if (!file) return path
    found.push(file)
  }
  return found
}
