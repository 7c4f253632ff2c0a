import { braceExpand } from 'minimatch'

const maxLength = 300
/** Each multiplies what a pattern stands for. */
const maxBraces = 5
const maxExpanded = 50

/** Why a pattern cannot be used, or null. Pure. */
export function globProblem(pattern: string): string | null {
  if (pattern.length > maxLength) return `is over ${maxLength} characters`
  if (pattern.startsWith('/') || pattern.split('/').some((segment) => ['', '.', '..'].includes(segment)))
    return 'must be relative, without empty, "." and ".." segments'
  if (pattern.split('{').length - 1 > maxBraces) return `has more than ${maxBraces} braces`
  if (expand(pattern).length > maxExpanded) return `stands for more than ${maxExpanded} patterns`
  try {
    compileGlob(pattern)
    return null
  } catch (error) {
    if (error instanceof SyntaxError) return 'has a range in brackets whose end comes before its start'
    throw error
  }
}

/**
 * Whether a path fits a pattern of `*`, `**`, `?`, `[abc]` and `{a,b}`, as shells have them; names that begin with a dot are no
 * exception. The time it takes grows with the product of both lengths at most, whoever wrote them. Throws `SyntaxError`.
 */
export function compileGlob(pattern: string): (path: string) => boolean {
  const compiled = expand(pattern).map((one) => new RegExp(`^${pathSource(one)}$`, 'su'))
  return (path) => compiled.some((one) => one.test(path))
}

function expand(pattern: string): string[] {
  return braceExpand(pattern, { braceExpandMax: maxExpanded + 1 })
}

/**
 * Between stars everything has a fixed length, so that the first place where it fits is as good as any other. The engine
 * would try them all: what has matched is kept by a look-ahead, into which it does not go back.
 */
function pathSource(pattern: string): string {
  let groups = 0
  const firstFit = (skipped: string, wanted: string) => {
    groups += 1
    return `(?=(?<g${groups}>${skipped}*?${wanted}))\\k<g${groups}>`
  }
  const blocks = blocksOf(pattern).map((segments) => segments.map((segment) => segmentSource(segment, firstFit)))
  const [first = [], ...others] = blocks
  const last = others.pop()
  if (last === undefined) return first.join('/')
  const start = first.map((segment) => `${segment}/`).join('')
  const middle = others.map((segments) => firstFit('(?:[^/]+/)', `${segments.join('/')}/`)).join('')
  return `${start}${middle}${last.length === 0 ? '.+' : `(?:[^/]+/)*?${last.join('/')}`}`
}

/** The segments between those that are `**`. */
function blocksOf(pattern: string): string[][] {
  const blocks: string[][] = [[]]
  for (const segment of pattern.split('/')) {
    if (segment !== '**') blocks.at(-1)?.push(segment)
    else if (blocks.length === 1 || blocks.at(-1)?.length !== 0) blocks.push([])
  }
  return blocks
}

function segmentSource(segment: string, firstFit: (skipped: string, wanted: string) => string): string {
  const [first = '', ...others] = partsOf(segment)
  const last = others.pop()
  if (last === undefined) return first
  const middle = others.filter((part) => part !== '').map((part) => firstFit('[^/]', part))
  // A star alone stands for a name, which is not empty.
  const rest = first === '' && last === '' && middle.length === 0 ? '[^/]+' : '[^/]*'
  return `${first}${middle.join('')}${rest}${last}(?=/|$)`
}

const token = /\*+|\?|\[[!^]?\]?[^\]]*\]|./gsu

/** What stands between the stars of a segment, as the source of an expression. */
function partsOf(segment: string): string[] {
  const parts = ['']
  for (const [text] of segment.matchAll(token)) {
    if (text.startsWith('*')) parts.push('')
    else parts[parts.length - 1] += oneSource(text)
  }
  return parts
}

function oneSource(text: string): string {
  if (text === '?') return '[^/]'
  if (text === '[' || !text.startsWith('[')) return literal(text)
  const isNot = /^\[[!^]/.test(text)
  const members = text.slice(isNot ? 2 : 1, -1).replace(/[\\\][^]/g, '\\$&')
  if (members === '') return literal(text)
  return isNot ? `[^/${members}]` : `(?!/)[${members}]`
}

function literal(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, (character) => (character === '-' ? character : `\\${character}`))
}
