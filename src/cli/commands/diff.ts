import { type Command, Option } from 'commander'
import type { PromptDiff } from '../../lib/diff/prompt-diff.js'
import type { Context } from '../context.js'
import { CliError, type ExitCode, exitCodes } from '../exit-codes.js'
import { groups } from '../groups.js'
import { localRef } from '../local/diffables.js'
import { diffAll, diffOne, type LocalOptions, usualRef } from '../local/local-diff.js'
import { addRefOptions, type GivenRefs, type RefOptions, refsOf } from '../options/ref-options.js'
import { addTemplateOption } from '../options/template-option.js'
import { action, type Outcome } from '../run.js'
import type { AnswerOf } from '../server/api.js'
import { pathSegment } from '../server/path-segment.js'
import { counted } from '../terminal/counted.js'
import { examples } from '../terminal/help-text.js'
import { visible } from '../terminal/visible.js'

type Format = 'unified' | 'json' | 'html'
type DiffOptions = LocalOptions & RefOptions & { format?: Format; exitCode?: boolean; stat?: boolean }
type Sides = { from: string; to: string }
type ReleaseDiff = AnswerOf<'diffReleases'>

/** Comparing thousands of prompts takes the server some seconds. */
const diffTimeoutMs = 120_000

export function addDiffCommand(program: Command, outcome: Outcome): void {
  const diff = program
    .command('diff')
    .helpGroup(groups.prompts)
    .usage('[options] [name] [from] [to]')
    .summary('compare local files with what is stored, or two refs with each other')
    .description(
      'Compares the local prompt files with a release: content, messages, config, inputs, variables and variants. With a name it is ' +
        'about that prompt only; with two refs, as arguments or options, it is about them, and reads no files.',
    )
    .argument('[parts...]', 'NAME: one prompt; FROM TO: two releases; NAME FROM TO: one prompt at two refs')
    .option('--path <path>', 'the folder of prompts, or one file (default: that of the settings, else ./prompts)')
  addTemplateOption(diff)
  const given = addRefOptions(diff)
  diff
    .addOption(
      new Option('--format <format>', 'how to print it (default: unified, in colours on a terminal)').choices([
        'unified',
        'json',
        'html',
      ]),
    )
    .option('--stat', 'count the changed lines of each prompt only')
    .option('--exit-code', `end with exit code ${exitCodes.differences} where there are differences`)
    .addHelpText(
      'after',
      examples(
        'promptsync diff',
        'promptsync diff --alias stable',
        'promptsync diff customer_support --git-commit abc1234 --alias stable',
        'promptsync diff customer_support v1 v2 --format html > diff.html',
        'promptsync diff r11 r12 --stat',
      ),
    )
    .action(action<DiffOptions>(outcome, (context, parts, options) => runDiff(context, parts, { ...options, given })))
}

/** What a comparison came to: each format as far as it is there. */
type Result = {
  isDifferent: boolean
  diffs: PromptDiff[]
  json: unknown
  title: string
  notes: string[]
  page?: string
  unified?: string
}

async function runDiff(context: Context, parts: string[], options: DiffOptions & { given: GivenRefs }): Promise<ExitCode> {
  const format = context.options.json ? 'json' : (options.format ?? 'unified')
  if (context.options.json && options.format !== undefined && options.format !== 'json')
    throw new CliError(`--json and --format ${options.format} exclude each other.`, { remedy: 'Leave one of them out.' })
  const { name, refs } = readParts(parts, options.given)
  const result =
    refs.length === 2 ? await diffStored(context, name, refs, format) : await diffLocal(context, name, refs[0], options)
  await show(context, result, options.stat && format === 'unified' ? 'stat' : format)
  for (const note of result.notes) context.output.note(note)
  return options.exitCode && result.isDifferent ? exitCodes.differences : exitCodes.ok
}

/** One argument is a name, two are refs, three are both. */
function readParts(parts: string[], given: GivenRefs): { name: string | null; refs: string[] } {
  const wrong = (what: string) => new CliError(what, { remedy: 'See: promptsync diff --help' })
  if (parts.length > 3) throw wrong(`${parts.length} arguments are given: a name and two refs are the most.`)
  if (parts.length >= 2 && given.length > 0) throw wrong('Refs are given as arguments and as options.')
  const name = parts.length % 2 === 1 ? (parts[0] ?? null) : null
  return { name, refs: parts.length >= 2 ? parts.slice(-2) : refsOf(given) }
}

async function diffLocal(
  context: Context,
  name: string | null,
  given: string | undefined,
  options: DiffOptions,
): Promise<Result> {
  const ref = await usualRef(context, given)
  const title = `${name ?? 'Prompts'}: ${ref ?? 'nothing'} → ${localRef}`
  if (name !== null) {
    const diff = await diffOne(context, name, ref, options)
    return {
      isDifferent: !diff.identical,
      diffs: [diff],
      json: diff,
      title,
      notes: diff.identical ? [`${name} is stored as it is.`] : [],
    }
  }
  const { diffs, release, stored, local } = await diffAll(context, ref, options)
  const status = (diff: PromptDiff) => (diff.from === null ? 'added' : diff.to === null ? 'removed' : 'changed')
  const named = (wanted: string) => diffs.filter((diff) => status(diff) === wanted).map((diff) => diff.name)
  const json = {
    from: { ref: ref ?? null, release },
    to: { ref: localRef, release: null },
    ...{ added: named('added'), removed: named('removed'), changed: named('changed'), diffs },
  }
  const missing = [...stored.keys()].filter((known) => !local.has(known)).length
  const notes = [
    ...(diffs.length === 0 ? [`No differences to ${release ?? 'the server'}.`] : []),
    ...(missing > 0
      ? [
          `${counted(missing, 'prompt')} of the release ${missing === 1 ? 'is' : 'are'} not here. A push keeps what is not here, unless it prunes.`,
        ]
      : []),
  ]
  return { isDifferent: diffs.length > 0, diffs, json, title, notes }
}

async function diffStored(
  context: Context,
  name: string | null,
  [from = '', to = '']: string[],
  format: Format,
): Promise<Result> {
  const path = name === null ? '/releases/diff' : `/prompts/${pathSegment('a prompt', name)}/diff`
  const asked = { path, query: { from, to }, timeoutMs: diffTimeoutMs }
  const title = `${name ?? 'Releases'}: ${from} → ${to}`
  const sides = { from, to }
  if (name !== null) return storedPrompt(context, asked, { title, ...sides }, format)
  const { body } = await context.api<ReleaseDiff>(asked)
  const { counts } = body
  const isDifferent = counts.added + counts.removed + counts.changed > 0
  const text = format === 'json' ? null : await textOf(context, asked, format)
  const diffs = body.changed.flatMap(({ diff }) => (diff ? [diff as PromptDiff] : []))
  const notes = isDifferent
    ? [`${counts.changed} changed, ${counts.added} added, ${counts.removed} removed.`]
    : [`No differences between ${from} and ${to}.`]
  return { isDifferent, diffs, json: body, title, notes, ...pageOrUnified(format, text) }
}

type Asked = { path: string; query: Sides; timeoutMs: number }

async function storedPrompt(
  context: Context,
  asked: Asked,
  { title, from, to }: Sides & { title: string },
  format: Format,
): Promise<Result> {
  const { body: diff } = await context.api<PromptDiff>(asked)
  const text = format === 'html' ? await textOf(context, asked, format) : null
  const notes = diff.identical ? [`${diff.name} is the same at ${from} and ${to}.`] : []
  return { isDifferent: !diff.identical, diffs: [diff], json: diff, title, notes, ...pageOrUnified(format, text) }
}

async function textOf(context: Context, { path, query, timeoutMs }: Asked, format: Format): Promise<string> {
  const { text } = await context.api<string>({ path, query: { ...query, format }, timeoutMs, accept: 'text' })
  return text
}

function pageOrUnified(format: Format, text: string | null): Pick<Result, 'page' | 'unified'> {
  if (text === null) return {}
  return format === 'html' ? { page: text } : { unified: text }
}

async function show({ output }: Context, { diffs, json, title, page, unified }: Result, format: Format | 'stat'): Promise<void> {
  if (format === 'json') return output.json(json)
  if (format === 'html') return output.data(page ?? (await import('../../lib/diff/html.js')).htmlDiff(title, diffs))
  const { paintedDiff, paintedLines, statRows } = await import('../terminal/diff-text.js')
  if (format === 'stat') return output.table(['prompt', 'change', 'added', 'removed'], await statRows(diffs))
  const isPlain = output.paint('bold', 'x') === 'x'
  if (!isPlain)
    return output.data(unified === undefined ? await paintedDiff(diffs, output.paint) : paintedLines(unified, output.paint))
  const text = unified ?? (await import('../../lib/diff/unified.js')).unifiedDiff(diffs)
  output.data(output.isTerminal ? visible(text) : text)
}
