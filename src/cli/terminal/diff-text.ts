import { styleText } from 'node:util'
import type { DiffHunk, DiffLine, DiffSide, PromptDiff } from '../../lib/diff/prompt-diff.js'
import type { DiffSection } from '../../lib/diff/unified.js'
import type { Output } from './output.js'
import { visible } from './visible.js'

type Paint = Output['paint']

/** Diffs as people read them on a terminal: the same lines as of the unified format, with what changed within a line set off. */
export async function paintedDiff(diffs: readonly PromptDiff[], paint: Paint): Promise<string> {
  const { sectionsOf, unifiedDiff } = await import('../../lib/diff/unified.js')
  return diffs
    .flatMap((diff) => {
      const sections = sectionsOf(diff)
      // Too much to show: in words, as the unified format has it.
      if (sections.some(({ text }) => text.hunks.length === 0)) return [paintedLines(unifiedDiff([diff]), paint)]
      return sections.map((section) => paintedSection(diff, section, paint))
    })
    .join('')
}

function paintedSection({ name, from, to }: PromptDiff, { title, text }: DiffSection, paint: Paint): string {
  const file = (side: DiffSide | null, part: string | null) =>
    visible(side === null || part === null ? '/dev/null' : `${name}@${side.ref} ${part}`)
  const heading = [`--- ${file(from, title.from)}`, `+++ ${file(to, title.to)}`].map((line) => `${paint('bold', line)}\n`)
  return [...heading, ...text.hunks.map((hunk) => paintedHunk(hunk, paint))].join('')
}

function paintedHunk({ fromLine, fromCount, toLine, toCount, lines }: DiffHunk, paint: Paint): string {
  const place = paint('cyan', `@@ -${fromLine},${fromCount} +${toLine},${toCount} @@`)
  return [place, ...lines.flatMap((line) => paintedLine(line, paint))].map((line) => `${line}\n`).join('')
}

const signs = { same: ' ', removed: '-', added: '+' }

function paintedLine({ kind, text, words, noNewline }: DiffLine, paint: Paint): string[] {
  const end = noNewline ? [paint('dim', '\\ No newline at end of file')] : []
  if (kind === 'same') return [` ${visible(text)}`, ...end]
  const colour = kind === 'removed' ? 'red' : 'green'
  const parts = words ?? [{ kind: 'same' as const, text }]
  const told = parts.map((part) => (part.kind === 'changed' ? inverse(visible(part.text), paint) : visible(part.text))).join('')
  return [paint(colour, `${signs[kind]}${told}`), ...end]
}

/** A unified diff in colours, line by line. */
export function paintedLines(unified: string, paint: Paint): string {
  return unified
    .split('\n')
    .map((line) => {
      const safe = visible(line)
      if (/^(---|\+\+\+) /.test(line)) return paint('bold', safe)
      if (line.startsWith('@@')) return paint('cyan', safe)
      if (line.startsWith('-')) return paint('red', safe)
      return line.startsWith('+') ? paint('green', safe) : safe
    })
    .join('\n')
}

function inverse(text: string, paint: Paint): string {
  const hasColour = paint('bold', text) !== text
  return hasColour ? styleText('inverse', text, { validateStream: false } as never) : text
}

/** For each prompt that differs: its name, what happened to it, and the lines that were added and removed. Pure. */
export async function statRows(diffs: readonly PromptDiff[]): Promise<string[][]> {
  const { sectionsOf } = await import('../../lib/diff/unified.js')
  return diffs
    .filter(({ identical }) => !identical)
    .map((diff) => {
      const texts = sectionsOf(diff).map(({ text }) => text)
      const total = (kind: 'added' | 'removed') => `${texts.reduce((sum, text) => sum + text[kind], 0)}`
      const change = diff.from === null ? 'added' : diff.to === null ? 'removed' : 'changed'
      return [diff.name, change, total('added'), total('removed')]
    })
}
