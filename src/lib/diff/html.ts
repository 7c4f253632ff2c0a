import { escapeText } from './escape.js'
import { pageStyle } from './html-style.js'
import { variantHeading } from './outline.js'
import type { DiffChange, DiffHunk, DiffLine, FromTo, MessageDiff, PromptDiff, TextDiff, VariantDiff } from './prompt-diff.js'
import { finish, type Steps } from './steps.js'
import { sectionsOf } from './unified.js'

/** How many prompts were added, removed and changed, and lines in them. */
export type DiffTally = { prompts: Record<'added' | 'removed' | 'changed' | 'identical', number>; added: number; removed: number }

/** What a page is made of: parts of HTML, as `htmlInSteps` makes them, with what is to be said of the whole as plain text. */
export type DiffPage = { title: string; tally: DiffTally; notes: readonly string[]; prompts: readonly string[] }

/**
 * Prompts that differ as one page of HTML that needs nothing else: no script, no address, all text escaped. `title` is plain
 * text. Pure.
 */
export function htmlDiff(title: string, diffs: readonly PromptDiff[]): string {
  return htmlPage({ title, tally: tallyOf(diffs), notes: [], prompts: diffs.map((diff) => finish(htmlInSteps(diff))) })
}

/** Counts what differs. Pure. */
export function tallyOf(diffs: readonly PromptDiff[]): DiffTally {
  const tally: DiffTally = { prompts: { added: 0, removed: 0, changed: 0, identical: 0 }, added: 0, removed: 0 }
  for (const diff of diffs) {
    tally.prompts[statusOf(diff)] += 1
    for (const { title, text } of sectionsOf(diff)) {
      if (title.from === 'outline' || title.to === 'outline') continue
      tally.added += text.added
      tally.removed += text.removed
    }
  }
  return tally
}

/** The two counts together. Pure. */
export function addTallies(one: DiffTally, other: DiffTally): DiffTally {
  const prompts = {
    added: one.prompts.added + other.prompts.added,
    removed: one.prompts.removed + other.prompts.removed,
    changed: one.prompts.changed + other.prompts.changed,
    identical: one.prompts.identical + other.prompts.identical,
  }
  return { prompts, added: one.added + other.added, removed: one.removed + other.removed }
}

/** The page around prompts that were made into HTML before. Pure. */
export function htmlPage({ title, tally, notes, prompts }: DiffPage): string {
  const heading = escapeText(title)
  return [
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">\n',
    `<title>${heading}</title>\n<style>${pageStyle}</style>\n</head>\n<body>\n<header>\n<h1>${heading}</h1>\n`,
    `<p class="summary">${summaryOf(tally)}</p>\n`,
    ...notes.map((note) => `<p class="note">${escapeText(note)}</p>\n`),
    '</header>\n<main>\n',
    ...prompts,
    '</main>\n</body>\n</html>\n',
  ].join('')
}

function summaryOf({ prompts, added, removed }: DiffTally): string {
  const counts = Object.entries(prompts).filter(([, count]) => count > 0)
  const told = counts.map(([status, count]) => `${count} ${count === 1 ? 'prompt' : 'prompts'} ${status}`)
  return `${told.length === 0 ? 'Nothing differs' : told.join(', ')}. ${lineCounts({ added, removed })}`
}

function lineCounts({ added, removed }: Pick<TextDiff, 'added' | 'removed'>): string {
  const lines = (count: number) => (count === 1 ? '1 line' : `${count} lines`)
  return `<span class="plus">+${lines(added)}</span> <span class="minus">−${lines(removed)}</span>`
}

function statusOf({ from, to, identical }: PromptDiff): keyof DiffTally['prompts'] {
  if (!from) return 'added'
  if (!to) return 'removed'
  return identical ? 'identical' : 'changed'
}

/** One prompt as a section of a page, a part at a step. */
export function* htmlInSteps(diff: PromptDiff): Steps<string> {
  const status = statusOf(diff)
  const heading = `<h2>${escapeText(diff.name)} <span class="badge ${status}">${status}</span></h2>\n`
  const sides = `<p class="sides">${sideText(diff.from)} → ${sideText(diff.to)}</p>\n`
  const parts = status === 'identical' ? '<p>Nothing differs.</p>\n' : yield* partsOf(diff)
  return `<section class="prompt">\n${heading}${sides}${parts}</section>\n`
}

function sideText(side: PromptDiff['from']): string {
  if (!side) return 'nothing'
  const { ref, version, release } = side
  const facts = Object.entries({ version, release }).flatMap(([kind, fact]) =>
    fact === null || fact === ref ? [] : `${kind} ${fact}`,
  )
  return `<strong>${escapeText(ref)}</strong>${facts.length === 0 ? '' : escapeText(` (${facts.join(', ')})`)}`
}

function* partsOf(diff: PromptDiff): Steps<string> {
  let parts = factsPart(diff)
  yield
  for (const { title, text } of sectionsOf(diff)) {
    if (toldOtherwise(title, diff)) continue
    parts += part(capital(titleText(title)), text, textTable(text))
    yield
  }
  parts += changesPart('Config', diff.config, diff.configLines)
  yield
  return parts + changesPart('Inputs', diff.inputs, diff.inputsLines)
}

/** Config and inputs are tables of what changed there, unless it is the order of keys alone; the outline is told as facts. */
function toldOtherwise({ from, to }: FromTo<string>, diff: PromptDiff): boolean {
  const title = to ?? from
  return title === 'outline' || (title === 'config' && diff.config.length > 0) || (title === 'inputs' && diff.inputs.length > 0)
}

function titleText({ from, to }: FromTo<string>): string {
  if (from === null || to === null) return from === null ? `${to}, added` : `${from}, removed`
  return from === to ? to : `${from} → ${to}`
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1)
}

function part(title: string, counts: TextDiff | null, body: string): string {
  const told = counts ? ` <small>${lineCounts(counts)}</small>` : ''
  return `<h3>${escapeText(title)}${told}</h3>\n${body}`
}

/** More facts than this are counted only. */
const maxFacts = 1_000

/** What is neither text nor JSON: as it was, and as it is. */
function factsPart(diff: PromptDiff): string {
  const facts = factsOf(diff)
  const outline =
    diff.outline && (facts.length === 0 || movesVariants(diff.outline, diff.variants)) ? outlinePart(diff.outline) : ''
  if (facts.length === 0) return outline
  const rows = facts.slice(0, maxFacts).map(([name, from, to]) => row(name, from, to))
  const left = facts.length - rows.length
  const note = left > 0 ? `<p class="note">${left} more are not shown.</p>\n` : ''
  return part('Facts', null, changeTable(rows)) + note + outline
}

function outlinePart(outline: TextDiff): string {
  return part('Outline', outline, textTable(outline))
}

/** Whether variants only changed places, or how their tags are written: the outline alone tells of that. */
function movesVariants({ hunks }: TextDiff, variants: readonly VariantDiff[]): boolean {
  const lines = hunks.flatMap(({ lines }) => lines).filter(({ kind, text }) => kind !== 'same' && text.startsWith('variant: '))
  return lines.length > variants.filter(({ status }) => status !== 'changed').length
}

type Fact = [name: string, from: string | null, to: string | null]

function factsOf({ type, template, variables, includes, variants, messages }: PromptDiff): Fact[] {
  const there = (status: string, wanted: string) => (status === wanted ? 'there' : null)
  return [
    ...(type ? [['type', type.from, type.to] satisfies Fact] : []),
    ...(template ? [['template', template.from, template.to] satisfies Fact] : []),
    ...messageFacts('', messages),
    ...variables.removed.map(({ name, required }): Fact => [`variable ${name}`, needText(required), null]),
    ...variables.added.map(({ name, required }): Fact => [`variable ${name}`, null, needText(required)]),
    ...variables.changed.map(({ name, from, to }): Fact => [`variable ${name}`, needText(from.required), needText(to.required)]),
    ...includes.map(({ name, from, to }): Fact => [`include ${name}`, from, to]),
    ...variants
      .filter(({ status }) => status !== 'changed')
      .map(({ tags, status }): Fact => [variantHeading(tags), there(status, 'removed'), there(status, 'added')]),
    ...variants.flatMap(({ tags, messages }) => messageFacts(`${variantHeading(tags)} `, messages)),
  ]
}

/** Messages of which no text differs: placeholders, and those that have another role. */
function messageFacts(before: string, messages: readonly MessageDiff[]): Fact[] {
  const side = (name: string | null, role: string | null) => (name ? `placeholder ${name}` : role)
  return messages
    .filter(({ content }) => content === null)
    .map(({ index, role, placeholder }) => [
      `${before}message ${(index.to ?? index.from ?? 0) + 1}`,
      side(placeholder.from, role.from),
      side(placeholder.to, role.to),
    ])
}

function needText(required: boolean): string {
  return required ? 'required' : 'optional'
}

function changesPart(title: string, changes: readonly DiffChange[], lines: TextDiff | null): string {
  const value = (change: DiffChange, side: 'from' | 'to') => (Object.hasOwn(change, side) ? JSON.stringify(change[side]) : null)
  const rows = changes.map((change) => row(change.path || 'all of it', value(change, 'from'), value(change, 'to')))
  return rows.length === 0 ? '' : part(title, lines, changeTable(rows))
}

function row(name: string, from: string | null, to: string | null): string {
  const cell = (text: string | null, tag: 'del' | 'ins') =>
    `<td>${text === null ? '<span class="none">none</span>' : `<${tag}>${escapeText(text)}</${tag}>`}</td>`
  return `<tr><th scope="row">${escapeText(name)}</th>${cell(from, 'del')}${cell(to, 'ins')}</tr>\n`
}

function changeTable(rows: readonly string[]): string {
  return `<table class="changes">\n<thead><tr><th></th><th scope="col">from</th><th scope="col">to</th></tr></thead>\n<tbody>\n${rows.join('')}</tbody>\n</table>\n`
}

function textTable({ hunks, isCoarse }: TextDiff): string {
  if (hunks.length === 0) return '<p class="note">Too many lines to show.</p>\n'
  const note = isCoarse ? '<p class="note">The texts are too different to tell every line that stayed the same.</p>\n' : ''
  const rows = hunks.map((hunk, index) => (index === 0 ? '' : '<tr class="skip"><td colspan="4">⋯</td></tr>\n') + hunkRows(hunk))
  return `${note}<table class="lines">\n<tbody>\n${rows.join('')}</tbody>\n</table>\n`
}

const signs = { same: '', removed: '−', added: '+' }

function hunkRows({ fromLine, fromCount, toLine, toCount, lines }: DiffHunk): string {
  // A side without lines names the line before.
  let [from, to] = [fromCount === 0 ? fromLine + 1 : fromLine, toCount === 0 ? toLine + 1 : toLine]
  return lines
    .map((line) => {
      const numbers = `<td class="n">${line.kind === 'added' ? '' : from}</td><td class="n">${line.kind === 'removed' ? '' : to}</td>`
      if (line.kind !== 'added') from += 1
      if (line.kind !== 'removed') to += 1
      return `<tr class="${line.kind}">${numbers}<td class="s">${signs[line.kind]}</td><td class="t">${lineText(line)}</td></tr>\n`
    })
    .join('')
}

function lineText({ kind, text, words, noNewline }: DiffLine): string {
  const tag = kind === 'removed' ? 'del' : 'ins'
  const marked = words?.map((word) =>
    word.kind === 'same' ? escapeText(word.text) : `<${tag}>${escapeText(word.text)}</${tag}>`,
  )
  return `${marked?.join('') ?? escapeText(text)}${noNewline ? '<span class="none"> no newline at the end</span>' : ''}`
}
