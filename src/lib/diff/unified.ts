import { variantHeading } from './outline.js'
import type { DiffHunk, DiffSide, FromTo, MessageDiff, PromptDiff, TextDiff } from './prompt-diff.js'
import { finish, type Steps } from './steps.js'

/** A part of a prompt that is a text: how it is called on each side, or null where it is not there. */
export type DiffSection = { title: FromTo<string>; text: TextDiff }

/**
 * The texts that differ, in the order they are told in: the outline, contents, config, inputs, then the variants. Pure.
 */
export function sectionsOf(diff: PromptDiff): DiffSection[] {
  const exists = { from: diff.from !== null, to: diff.to !== null }
  const titled = (title: string): FromTo<string> => ({ from: exists.from ? title : null, to: exists.to ? title : null })
  const whole = (title: string, text: TextDiff | null) => (text ? [{ title: titled(title), text }] : [])
  return [
    ...whole('outline', diff.outline),
    ...whole('content', diff.content),
    ...diff.messages.flatMap((message) => messageSection('', message)),
    ...whole('config', diff.configLines),
    ...whole('inputs', diff.inputsLines),
    ...diff.variants.flatMap(({ tags, status, content, messages }) => {
      const title = variantHeading(tags)
      const sides = { from: status === 'added' ? null : title, to: status === 'removed' ? null : title }
      return [
        ...(content ? [{ title: sides, text: content }] : []),
        ...messages.flatMap((message) => messageSection(`${title} `, message)),
      ]
    }),
  ]
}

function messageSection(before: string, { index, role, content }: MessageDiff): DiffSection[] {
  const title = (at: number | null, name: string | null) =>
    at === null ? null : `${before}message ${at + 1}${name === null ? '' : ` (${name})`}`
  return content ? [{ title: { from: title(index.from, role.from), to: title(index.to, role.to) }, text: content }] : []
}

/**
 * Prompts that differ as one unified diff: a file for each part, called `name@ref part`. Empty where they are all identical.
 * Pure.
 */
export function unifiedDiff(diffs: readonly PromptDiff[]): string {
  return diffs.map((diff) => finish(unifiedInSteps(diff))).join('')
}

/** The same of one prompt, a part at a step. */
export function* unifiedInSteps(diff: PromptDiff): Steps<string> {
  let text = ''
  for (const section of sectionsOf(diff)) {
    text += unifiedSection(diff, section)
    yield
  }
  return text
}

function unifiedSection({ name, from, to }: PromptDiff, { title, text }: DiffSection): string {
  const files = { from: fileName(name, from, title.from), to: fileName(name, to, title.to) }
  if (text.hunks.length === 0) return untold(files, text)
  return `--- ${files.from}\n+++ ${files.to}\n${text.hunks.map(unifiedHunk).join('')}`
}

/** What tools that read unified diffs pass over. */
function untold(files: Record<'from' | 'to', string>, { added, removed }: TextDiff): string {
  return `diff ${files.from} ${files.to}\nToo many lines to show: ${removed} removed, ${added} added.\n`.replaceAll('\t', '')
}

/** A name that holds spaces ends with a tab, so that none is taken for the begin of a date. */
function fileName(name: string, side: DiffSide | null, title: string | null): string {
  return side === null || title === null ? '/dev/null' : `${name}@${side.ref} ${title}\t`
}

function unifiedHunk({ fromLine, fromCount, toLine, toCount, lines }: DiffHunk): string {
  const signs = { same: ' ', removed: '-', added: '+' }
  const told = lines.map(
    ({ kind, text, noNewline }) => `${signs[kind]}${text}\n${noNewline ? '\\ No newline at end of file\n' : ''}`,
  )
  return `@@ -${fromLine},${fromCount} +${toLine},${toCount} @@\n${told.join('')}`
}
