import type { PromptMessage } from '../content-hash.js'
import { type Tags, tagsKey } from '../variants.js'
import { Effort } from './effort.js'
import { diffMessages } from './messages.js'
import { outlineOf } from './outline.js'
import { finish, type Steps } from './steps.js'
import { diffValues, layOut } from './structure.js'
import { diffTexts } from './text-diff.js'

type Variable = { name: string; required: boolean; paths?: string[] }
type Content = { content: string | null; messages: PromptMessage[] | null }

/** A prompt as it can be compared, stored or not: `ref` is what it was asked for by, and named in headings. */
export type Diffable = Content & {
  name: string
  ref: string
  version: string | null
  release: string | null
  type: 'text' | 'chat'
  template: 'jinja' | 'none'
  config: object
  inputs: object | null
  variables: Variable[]
  variants: (Content & { tags: Tags })[]
  includes: Record<string, { name: string; version: string }>
}

/** A part of a line that changed. The parts of a line together are the line. */
export type DiffWord = { kind: 'same' | 'changed'; text: string }

/** `text` is without its line feed; `noNewline` marks a last line that has none. */
export type DiffLine = { kind: 'same' | 'removed' | 'added'; text: string; words?: DiffWord[]; noNewline?: true }

/** Lines count from 1, as in unified diffs; a side without lines names the line before, 0 at the beginning. */
export type DiffHunk = { fromLine: number; fromCount: number; toLine: number; toCount: number; lines: DiffLine[] }

/** `added` and `removed` are numbers of lines. `isCoarse`: not all that stayed the same was found, or told. */
export type TextDiff = { added: number; removed: number; hunks: DiffHunk[]; isCoarse: boolean }

/** A change of a JSON value at a path such as `tools[0].name`; `from` only where it was there, `to` only where it is. */
export type DiffChange = { path: string; op: 'added' | 'removed' | 'changed'; from?: unknown; to?: unknown }

/** What something was and what it is now; null where there was or is none. */
export type FromTo<T> = { from: T | null; to: T | null }

/** A placeholder has no role. Of a placeholder, and where only the role differs, `content` is null. Indexes count from 0. */
export type MessageDiff = {
  status: 'added' | 'removed' | 'changed'
  index: FromTo<number>
  role: FromTo<string>
  placeholder: FromTo<string>
  content: TextDiff | null
}

export type VariantDiff = {
  tags: Tags
  status: 'added' | 'removed' | 'changed'
  content: TextDiff | null
  messages: MessageDiff[]
}

export type VariablesDiff = {
  added: Variable[]
  removed: Variable[]
  changed: { name: string; from: { required: boolean }; to: { required: boolean } }[]
}

export type DiffSide = { ref: string; version: string | null; release: string | null }

/** How a prompt differs from another one. What is the same is null or an empty list. */
export type PromptDiff = {
  name: string
  /** Null where it did not exist. */
  from: DiffSide | null
  /** Null where it does not exist any more. */
  to: DiffSide | null
  /** Nothing of what makes a version differs; the refs and versions may. */
  identical: boolean
  type: FromTo<'text' | 'chat'> | null
  template: FromTo<'jinja' | 'none'> | null
  content: TextDiff | null
  messages: MessageDiff[]
  config: DiffChange[]
  inputs: DiffChange[]
  variables: VariablesDiff
  variants: VariantDiff[]
  /** By reference as it is written. */
  includes: { name: string; from: string | null; to: string | null }[]
  /** Everything beside texts, config and inputs, one thing a line. */
  outline: TextDiff | null
  /** Config and inputs as JSON line by line, where the order of keys counts. */
  configLines: TextDiff | null
  inputsLines: TextDiff | null
}

/**
 * Compares two prompts; null is one that does not exist on that side, so that all of the other counts as added or removed.
 * The work is bounded: of very large or very different texts the result is coarser. Throws where both are null. Pure.
 */
export function diffPrompts(from: Diffable | null, to: Diffable | null): PromptDiff {
  return finish(diffInSteps(from, to))
}

/** The same in steps of some milliseconds, for whoever has other things to do as well. */
export function* diffInSteps(from: Diffable | null, to: Diffable | null): Steps<PromptDiff> {
  const known = to ?? from
  if (!known) throw new Error('There is no prompt on either side.')
  const effort = new Effort()
  const texts = diffContents(from, to, effort)
  yield
  const variants = yield* diffVariants(from?.variants ?? [], to?.variants ?? [], effort)
  const outlines = { from: from ? outlineOf(from) : '', to: to ? outlineOf(to) : '' }
  yield
  const outline = diffTexts(outlines.from, outlines.to, effort)
  const variables = diffVariables(from?.variables ?? [], to?.variables ?? [])
  yield
  const config = yield* diffSettings(configOf(from), configOf(to), effort)
  const inputs = yield* diffSettings(from?.inputs ?? null, to?.inputs ?? null, effort)
  const lines = { outline, configLines: config.lines, inputsLines: inputs.lines }
  return {
    name: known.name,
    from: sideOf(from),
    to: sideOf(to),
    identical: isIdentical({ ...texts, variants, ...lines }),
    type: fromTo(from?.type, to?.type),
    template: fromTo(from?.template, to?.template),
    ...texts,
    config: config.changes,
    inputs: inputs.changes,
    variables,
    variants,
    includes: diffIncludes(from?.includes ?? {}, to?.includes ?? {}),
    ...lines,
  }
}

/** A config that is empty has nothing to tell, like none. */
function configOf(prompt: Diffable | null): object | null {
  return prompt && Object.keys(prompt.config).length > 0 ? prompt.config : null
}

function sideOf(prompt: Diffable | null): DiffSide | null {
  return prompt && { ref: prompt.ref, version: prompt.version, release: prompt.release }
}

type Telling = Pick<PromptDiff, 'content' | 'messages' | 'variants' | 'outline' | 'configLines' | 'inputsLines'>

/** Whatever is told of a prompt beside its texts stands in the outline or in the lines as well. */
function isIdentical({ content, messages, variants, outline, configLines, inputsLines }: Telling): boolean {
  const lines = [content, outline, configLines, inputsLines]
  return lines.every((part) => part === null) && messages.length === 0 && variants.length === 0
}

function fromTo<T>(from: T | undefined, to: T | undefined): FromTo<T> | null {
  return from === to ? null : { from: from ?? null, to: to ?? null }
}

function diffContents(from: Content | null, to: Content | null, effort: Effort): Pick<PromptDiff, 'content' | 'messages'> {
  const content = diffTexts(from?.content ?? '', to?.content ?? '', effort)
  return { content, messages: diffMessages(from?.messages ?? [], to?.messages ?? [], effort) }
}

function* diffSettings(
  from: object | null,
  to: object | null,
  effort: Effort,
): Steps<{ changes: DiffChange[]; lines: TextDiff | null }> {
  // What was not there before begins with nothing, so that each of its keys is one that was added.
  const changes = diffValues(from ?? {}, to ?? {})
  yield
  const laidOut = layOut(from, to)
  yield
  const lines = diffTexts(laidOut.from, laidOut.to, effort)
  yield
  return { changes, lines }
}

function diffVariables(from: readonly Variable[], to: readonly Variable[]): VariablesDiff {
  const before = new Map(from.map((variable) => [variable.name, variable]))
  const after = new Map(to.map((variable) => [variable.name, variable]))
  return {
    added: to.filter(({ name }) => !before.has(name)),
    removed: from.filter(({ name }) => !after.has(name)),
    changed: to.flatMap(({ name, required }) => {
      const known = before.get(name)
      if (!known || known.required === required) return []
      return [{ name, from: { required: known.required }, to: { required } }]
    }),
  }
}

/** Matched by equal tags; in the order of `to`, and then what only `from` has. */
function* diffVariants(from: Diffable['variants'], to: Diffable['variants'], effort: Effort): Steps<VariantDiff[]> {
  const before = new Map(from.map((variant) => [tagsKey(variant.tags), variant]))
  const after = new Set(to.map(({ tags }) => tagsKey(tags)))
  const kept = to.map((variant) => ({ one: before.get(tagsKey(variant.tags)) ?? null, other: variant }))
  const removed = from.filter(({ tags }) => !after.has(tagsKey(tags))).map((variant) => ({ one: variant, other: null }))
  const diffs: VariantDiff[] = []
  for (const { one, other } of [...kept, ...removed]) {
    const texts = diffContents(one, other, effort)
    const status = one && other ? 'changed' : one ? 'removed' : 'added'
    const isSame = status === 'changed' && texts.content === null && texts.messages.length === 0
    if (!isSame) diffs.push({ tags: (other ?? one)?.tags ?? {}, status, ...texts })
    yield
  }
  return diffs
}

function diffIncludes(from: Diffable['includes'], to: Diffable['includes']): PromptDiff['includes'] {
  const names = new Set([...Object.keys(from), ...Object.keys(to)])
  const versionIn = (includes: Diffable['includes'], name: string) =>
    Object.hasOwn(includes, name) ? includes[name]?.version : undefined
  return [...names].flatMap((name) => {
    const versions = fromTo(versionIn(from, name), versionIn(to, name))
    return versions ? [{ name, ...versions }] : []
  })
}
