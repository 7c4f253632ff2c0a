import { styleText } from 'node:util'
import { visible, visibleJson } from './visible.js'

type Style = 'bold' | 'dim' | 'inverse' | 'red' | 'green' | 'yellow' | 'cyan'

/**
 * What a command says: data to stdout, where the next program reads it, and everything else to stderr. Colours, progress and
 * questions are for terminals only. Control characters are made visible in all but `data`: they may be somebody else's.
 */
export type Output = {
  /** Data, as it is. */
  data(text: string): void
  /** Data as JSON, for `--json`. */
  json(value: unknown): void
  /** A line for people: what happened, what to do. Left out with `--quiet`. */
  note(line: string): void
  /** A line that `--quiet` keeps. */
  warn(line: string): void
  /** Rows under a heading: aligned on a terminal; elsewhere without a heading and with tabs between, for `cut`. */
  table(headings: readonly string[], rows: readonly (readonly string[])[]): void
  /** Text of data in a colour, where stdout is a terminal that wants any. */
  paint(style: Style, text: string): string
  /** How far something is, on a terminal only; `null` takes the line away. */
  progress(line: string | null): void
  /** Whether stdout is a terminal. */
  isTerminal: boolean
}

export type OutputOptions = { json: boolean; quiet: boolean; env: NodeJS.ProcessEnv }

/** By https://no-color.org, and FORCE_COLOR as Node itself reads it. */
function wantsColour(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): boolean {
  if (env.NO_COLOR) return false
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '') return env.FORCE_COLOR !== '0'
  return stream.isTTY === true && env.TERM !== 'dumb'
}

export function createOutput({ stdout, stderr }: Pick<NodeJS.Process, 'stdout' | 'stderr'>, options: OutputOptions): Output {
  const { json, quiet, env } = options
  const isTerminal = stdout.isTTY === true
  const hasColour = wantsColour(stdout, env)
  const showsProgress = stderr.isTTY === true && !quiet && !json && env.TERM !== 'dumb'
  let isShown = false
  const progress = (line: string | null) => {
    if (!showsProgress || (line === null && !isShown)) return
    stderr.write(`\r\u001b[K${clipped(visible(line ?? ''), stderr.columns)}`)
    isShown = line !== null
  }
  const say = (line: string) => {
    progress(null)
    stderr.write(`${visible(line)}\n`)
  }
  const paint = (style: Style, text: string) => (hasColour ? styleText(style, text, { validateStream: false } as never) : text)
  return {
    data(text) {
      progress(null)
      stdout.write(text)
    },
    json(value) {
      progress(null)
      stdout.write(`${visibleJson(JSON.stringify(value, null, 2))}\n`)
    },
    note(line) {
      if (!quiet) say(line)
    },
    warn: say,
    table(headings, rows) {
      progress(null)
      const told = rows.map((row) => row.map(cellOf))
      stdout.write(isTerminal ? alignedTable(headings, told, paint) : tabbed(told))
    },
    paint,
    progress,
    isTerminal,
  }
}

/** An error as a person reads it: what is wrong, and below it what to do. */
export function withRemedy(message: string, remedy: string | null): string {
  return `promptsync: ${message}${remedy === null ? '' : `\n${remedy}`}`
}

/** A tab or a line break within a cell would look like the next one. */
function cellOf(text: string): string {
  return visible(text.replaceAll(/[\t\r\n]+/g, ' '))
}

function tabbed(rows: readonly (readonly string[])[]): string {
  return rows.map((row) => `${row.join('\t')}\n`).join('')
}

function alignedTable(headings: readonly string[], rows: readonly (readonly string[])[], paint: Output['paint']): string {
  const plain = rows.map((row) => row.map((cell) => cell.replaceAll(/\s+/g, ' ')))
  const widths = headings.map((heading, index) => Math.max(...[heading, ...plain.map((row) => row[index] ?? '')].map(columnsOf)))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) => (index === cells.length - 1 ? cell : cell + ' '.repeat((widths[index] ?? 0) - columnsOf(cell))))
      .join('  ')
  return [paint('dim', line(headings).toUpperCase()), ...plain.map(line)].map((text) => `${text}\n`).join('')
}

/** As much of a line as stands in one line of a terminal: what goes on in the next one is not taken away with it. */
function clipped(line: string, columns: number | undefined): string {
  // A terminal that does not know its width tells 0.
  if (!columns || columnsOf(line) < columns) return line
  let beginning = ''
  for (const character of line) {
    if (columnsOf(beginning + character) > columns - 2) break
    beginning += character
  }
  return `${beginning}…`
}

/** How many columns of a terminal a text takes: wide East Asian characters take two, combining ones none. */
function columnsOf(text: string): number {
  let columns = 0
  for (const character of text) {
    if (/\p{Mn}|\p{Me}|\p{Cf}/u.test(character)) continue
    columns +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u.test(
        character,
      )
        ? 2
        : 1
  }
  return columns
}
