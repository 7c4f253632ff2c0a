import { LRUCache } from 'lru-cache'
import { routesFor } from './path-file/routing.js'
import { fileKey } from './path-file/values.js'
import type { PathFile } from './path-file.js'
import { type Finished, pointedAt } from './plan.js'
import type { Pointer, Pointers, ReleasePointer, Stamp, VersionPointer } from './pointers.js'
import type { Freshness } from './source-state.js'
import type { Tags } from './variants.js'

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
  release: ReleasePointer
  sources: readonly RoutedSource[]
  /** The variables that some PATH file reads. What else a context holds makes no difference. */
  variables: readonly string[]
  /** Whether the answer depends on the time as well. */
  isTimed: boolean
  /** What was answered lately, by `answerKey`. */
  answers: LRUCache<string, KeptAnswer>
  /** Without the answers. */
  ownBytes: number
  sizeBytes: number
}

/** A prompt that was looked at on the way to an answer, and where its ref led then. */
export type SeenPrompt = { name: string; pointer: Pointer<ReleasePointer> | Pointer<VersionPointer> | undefined }

/** An answer with how it was found. */
export type KeptAnswer = {
  /** Of the pointers under which it was last seen to hold. */
  stamp: Stamp
  seen: readonly SeenPrompt[]
  finished: Finished
  version: string
  level: 'registry' | 'stale'
}

/** What came of one route. */
export type Step = { source: string; route: string } & (
  | { outcome: 'skipped'; why: string }
  /** `missing` is the first of its files that is not there. */
  | { outcome: 'missing'; paths: string[]; missing: string; why: string }
  /** All of its files are there, in source `of`: they are to be joined where they are several. */
  | { outcome: 'found'; paths: string[]; of: RoutedSource; files: RoutedFile[] }
)

/** In what state a source is for whoever resolves: `removed` is one that the project has no more, `unknown` what cannot be told. */
export type Availability = Freshness | 'removed' | 'unknown'

const overheadBytes = 3_000
const fileBytes = 200
/** A compiled PATH file takes some times its text. */
const perCharacter = 24
const answerBytes = 2_500

/** A table of what a release holds. `maxAnswersBytes` is what the answers that are kept may take. */
export function makeRoutingTable(
  release: ReleasePointer,
  sources: readonly RoutedSource[],
  { pathTextLength, maxAnswersBytes }: { pathTextLength: number; maxAnswersBytes: number },
): RoutingTable {
  const files = sources.flatMap((source) => [...source.files.values()])
  const texts = files.reduce((sum, { path, name }) => sum + 2 * (path.length * 2 + name.length) + fileBytes, 0)
  const ownBytes = overheadBytes + texts + pathTextLength * perCharacter
  const pathFiles = sources.flatMap(({ pathFile }) => pathFile ?? [])
  return {
    ...{ release, sources, ownBytes, sizeBytes: ownBytes },
    variables: [...new Set(pathFiles.flatMap(({ variables }) => variables.map(({ name }) => name)))],
    isTimed: pathFiles.some(({ routes }) => routes.some(({ conditions }) => conditions.some(({ kind }) => kind === 'time'))),
    answers: new LRUCache({ maxSize: Math.max(1, Math.floor(maxAnswersBytes)), sizeCalculation: sizeOfAnswer }),
  }
}

/** As bytes, and once more as it is sent. */
function sizeOfAnswer({ finished }: KeptAnswer, key: string): number {
  return 2 * finished.json.length + 2 * key.length + answerBytes
}

/** The files of a source as they are looked up. */
export function filesByKey(files: readonly RoutedFile[]): ReadonlyMap<string, RoutedFile> {
  return new Map(files.map((file) => [fileKey(file.path), file]))
}

/** Keeps an answer. What was not asked for the longest makes room for it. */
export function keepAnswer(table: RoutingTable, key: string, answer: KeptAnswer): void {
  table.answers.set(key, answer)
  table.sizeBytes = table.ownBytes + (table.answers.calculatedSize ?? 0)
}

/** The answer that was kept, if it still holds: where its ref leads may have changed for one of the prompts. */
export function findAnswer(table: RoutingTable, key: string, pointers: Pointers, ref: string): KeptAnswer | null {
  const answer = table.answers.get(key)
  if (!answer || answer.stamp === pointers.stamp) return answer ?? null
  if (answer.stamp.era !== pointers.era || !answer.seen.every((one) => leadsAsBefore(one, pointers, ref))) return null
  answer.stamp = pointers.stamp
  return answer
}

/** What did not change is the same object from one state of a project to the next. */
function leadsAsBefore({ name, pointer }: SeenPrompt, pointers: Pointers, ref: string): boolean {
  return pointedAt(pointers, name, ref)?.pointer === pointer
}

/** All that an answer out of a table depends on, beside the table itself and where the ref leads. */
export type AnswerConditions = {
  ref: string
  mode: string
  tags: Tags
  context: Readonly<Record<string, string>>
  availabilityOf: (source: RoutedSource) => Availability
  atMs: number
}

/** No value can hold the character that stands between them. Pure. */
export function answerKey({ sources, variables, isTimed }: RoutingTable, conditions: AnswerConditions): string {
  const { ref, mode, tags, context, availabilityOf, atMs } = conditions
  let key = `${ref}\0${mode}\0${isTimed ? Math.floor(atMs / 60_000) : ''}`
  for (const source of sources) key += `\0${availabilityOf(source)}`
  for (const name of variables) key += `\0${Object.hasOwn(context, name) ? context[name] : ''}`
  for (const tag of Object.keys(tags)) key += `\0${tag}\0${tags[tag]}`
  return key
}

/**
 * What comes of each route of each source in turn: whoever is content with one that was found looks no further. A source that
 * is gone, or was removed, is passed by as if it had no PATH file and no files. Pure.
 */
export function* followRoutes(
  { sources }: Pick<RoutingTable, 'sources'>,
  context: Readonly<Record<string, string>>,
  at: Date,
  availabilityOf: (source: RoutedSource) => Availability,
): Generator<Step> {
  for (const holder of sources) {
    if (!holder.pathFile || !isUsable(availabilityOf(holder))) continue
    for (const routed of routesFor(holder.pathFile, context, at)) {
      const about = { source: holder.name, route: routed.route }
      if ('skipped' in routed) {
        yield { ...about, outcome: 'skipped', why: routed.skipped }
        continue
      }
      const of = routed.source === null ? holder : findSource(sources, routed.source, availabilityOf)
      yield { ...about, ...lookUp(of, routed.source ?? holder.name, routed.paths, availabilityOf) }
    }
  }
}

/** A source that was removed and made anew is there twice by the same name: the one that can be used goes first. */
function findSource(
  sources: readonly RoutedSource[],
  name: string,
  availabilityOf: (source: RoutedSource) => Availability,
): RoutedSource | undefined {
  const named = sources.filter((source) => source.name === name)
  return named.find((source) => isUsable(availabilityOf(source))) ?? named[0]
}

function isUsable(availability: Availability): boolean {
  return availability !== 'gone' && availability !== 'removed'
}

const whyUnusable = { gone: 'was out of reach for longer than it may be served', removed: 'was removed' }

type Looked = { paths: string[] } & (
  | { outcome: 'missing'; missing: string; why: string }
  | { outcome: 'found'; of: RoutedSource; files: RoutedFile[] }
)

function lookUp(
  of: RoutedSource | undefined,
  name: string,
  paths: string[],
  availabilityOf: (source: RoutedSource) => Availability,
): Looked {
  const [first = ''] = paths
  if (!of) return { outcome: 'missing', paths, missing: first, why: `This release holds nothing of source "${name}".` }
  const availability = availabilityOf(of)
  if (availability === 'gone' || availability === 'removed') {
    return { outcome: 'missing', paths, missing: first, why: `Source "${name}" ${whyUnusable[availability]}.` }
  }
  const files: RoutedFile[] = []
  for (const path of paths) {
    const file = of.files.get(fileKey(path))
    if (!file) return { outcome: 'missing', paths, missing: path, why: `Source "${name}" has no file "${path}" in this release.` }
    files.push(file)
  }
  return { outcome: 'found', paths, of, files }
}
