import { quoted } from './findings.js'

/** A path with holes for variables, ready to be filled. Variables are numbers of the file's list of them. */
export type Pattern = { text: string; head: string; holes: readonly Hole[] }
type Hole = { variable: number; after: string }

/** What is wrong with a pattern, and where in it. */
type PatternProblem = { index: number; message: string }

const maxPatternLength = 500
export const variablePattern = /^[A-Za-z_][A-Za-z0-9_]*$/
const placeholder = /\{([^{}]*)\}|[{}]/g

/** The pattern, or all that is wrong with it. `numberOf` gives a variable its number. Pure, but for that. */
export function compilePattern(text: string, numberOf: (name: string, index: number) => number): Pattern | PatternProblem[] {
  if (text.length > maxPatternLength) {
    return [{ index: 0, message: `The pattern is over ${maxPatternLength} characters long. Shorten it.` }]
  }
  const problems = [...findBrokenBraces(text), ...findUnsafe(text)]
  if (problems.length > 0) return problems
  const holes: Hole[] = []
  const found = [...text.matchAll(placeholder)]
  for (const [position, match] of found.entries()) {
    const after = text.slice(match.index + match[0].length, found[position + 1]?.index)
    holes.push({ variable: numberOf(match[1] ?? '', match.index), after })
  }
  return { text, head: text.slice(0, found[0]?.index), holes }
}

function findBrokenBraces(text: string): PatternProblem[] {
  return [...text.matchAll(placeholder)].flatMap(({ 0: written, 1: name, index }) => {
    if (name === undefined) return [{ index, message: `The brace "${written}" has no other one. Write a variable as "{name}".` }]
    if (variablePattern.test(name)) return []
    const message = `${quoted(written)} is no variable. Write one as "{name}": letters, digits and "_", and no digit first.`
    return [{ index, message }]
  })
}

/** What is found in the pattern, variables apart, is refused for that reason. */
const refused: readonly (readonly [RegExp, string])[] = [
  [/\p{Cc}/u, 'The pattern holds a control character. Remove it.'],
  [/\p{Cs}/u, 'The pattern holds half of a surrogate pair, which is no character. Remove it.'],
  [/\\/, 'The pattern holds a backslash. Separate folders by "/".'],
  // With a value behind it `%` could become an encoded dot or slash, and a value before `:` a drive.
  [/%/, 'The pattern holds "%". Paths are not percent-encoded: write the character itself.'],
  [/^\/|(?<=^[^/]*):/, 'The pattern is absolute. Give it relative to the root of the source.'],
  [/\.\./, 'The pattern holds "..". A path cannot lead out of the source, or around in it.'],
  [/(?<=^|\/)\.(?=\/|$)/, 'The pattern holds a segment ".". Leave it out.'],
  [/(?<=\/)\/|(?<=[^/]\/)$/, 'The pattern has an empty segment. Write one "/" between two names, and none at the end.'],
]

/**
 * What could lead out of the source's folder. Values cannot: they are slugs, which begin with a letter or a digit and hold no
 * `/`. Full-width dots and slashes count as what they look like, because some file systems take them for it.
 */
function findUnsafe(written: string): PatternProblem[] {
  if (written === '') return [{ index: 0, message: 'The pattern is empty. Give a path such as "prompts/default.md".' }]
  const text = written.replaceAll(placeholder, (whole) => 'x'.repeat(whole.length))
  const folded = text.normalize('NFKC')
  return refused.flatMap(([found, message]) => {
    const index = folded.search(found)
    return index === -1 ? [] : [{ index: folded === text ? index : 0, message }]
  })
}

/** The path, or the number of the first variable that has no value. */
export function fillPattern(pattern: Pattern, values: readonly (string | null)[]): string | number {
  let path = pattern.head
  for (const { variable, after } of pattern.holes) {
    const value = values[variable]
    if (typeof value !== 'string') return variable
    path += value + after
  }
  return path
}
