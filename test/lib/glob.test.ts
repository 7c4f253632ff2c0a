import fc from 'fast-check'
import { minimatch } from 'minimatch'
import t from 'tap'
import { compileGlob, globProblem } from '../../src/lib/glob.js'
import { runs } from '../helpers/runs.js'
import { stopwatch } from '../helpers/stopwatch.js'

const fits = (pattern: string, path: string) => compileGlob(pattern)(path)

t.test('patterns mean what they mean in a shell', async (t) => {
  const cases: [string, string[], string[]][] = [
    ['*.md', ['a.md', '.md', '.a.md'], ['a/b.md', 'a.mdx', 'md']],
    ['**/*.md', ['a.md', 'a/b.md', 'a/b/c.md', '.a/.b.md'], ['a.txt']],
    ['a/**', ['a/b', 'a/b/c'], ['a', 'ab/c', 'b/a/c']],
    ['a/**/z.md', ['a/z.md', 'a/b/z.md', 'a/b/c/z.md'], ['a/b.md', 'z.md', 'a/bz.md']],
    ['**/a/**/b/*', ['a/b/c', 'x/a/y/b/c', 'a/a/b/b/c'], ['a/b', 'b/a/c']],
    ['**', ['a', 'a/b'], []],
    ['*', ['a', 'prompts'], ['a/b']],
    ['a**b', ['ab', 'axxb'], ['a/b']],
    ['?.md', ['a.md', '客.md', '🙂.md'], ['.md', 'ab.md']],
    ['[abc]x', ['ax', 'cx'], ['dx', '/x', 'x']],
    ['[!abc]x', ['dx'], ['ax', '/x', 'x']],
    ['[a-c]*[0-9]', ['a1', 'bxx9'], ['d1', 'ax']],
    ['[]]x', [']x'], ['[x', 'x']],
    ['{a,b/c}.md', ['a.md', 'b/c.md'], ['b.md', '{a,b/c}.md']],
    ['*a*b*c*', ['abc', 'xaxbxcx'], ['acb', 'ab']],
    ['a.(md|txt)', ['a.(md|txt)'], ['a.md']],
    ['a+b^$\\', ['a+b^$\\'], ['aab']],
    ['#a', ['#a'], []],
    ['!a', ['!a'], ['b']],
  ]
  for (const [pattern, inside, outside] of cases) {
    t.strictSame(
      [...inside, ...outside].filter((path) => fits(pattern, path)),
      inside,
      pattern,
    )
  }
})

const segment = fc
  .string({ unit: fc.constantFrom('a', 'b', '.'), minLength: 1, maxLength: 5 })
  .filter((text) => !/^\.\.?$/.test(text))
const path = fc.array(segment, { minLength: 1, maxLength: 5 }).map((segments) => segments.join('/'))
const piece = fc.constantFrom('a', 'b', '.', '*', '?', '[ab]', '[!a]', '{a,b}')
const globSegment = fc.oneof(
  fc.constant('**'),
  fc.array(piece, { minLength: 1, maxLength: 5 }).map((pieces) => pieces.join('')),
)
const glob = fc
  .array(globSegment, { minLength: 1, maxLength: 5 })
  .map((segments) => segments.join('/'))
  .filter((pattern) => globProblem(pattern) === null)

t.test('any pattern that is taken fits the same paths as it does for minimatch', async () => {
  fc.assert(
    fc.property(glob, path, (pattern, path) => {
      const expected = minimatch(path, pattern, { dot: true, nocomment: true, nonegate: true, noext: true })
      return fits(pattern, path) === expected
    }),
    { numRuns: runs(8_000) },
  )
})

t.test('a pattern that cannot be used is told why', async (t) => {
  const problem = (pattern: string) => globProblem(pattern) ?? ''
  t.match(problem('a'.repeat(301)), /^is over 300 characters$/)
  for (const pattern of ['/a', 'a/../b', '..', './a', 'a//b', 'a/']) t.match(problem(pattern), /^must be relative/, pattern)
  t.match(problem('{a,b}'.repeat(6)), /^has more than 5 braces$/)
  t.match(problem('{1..100000000}'), /^stands for more than 50 patterns$/)
  t.match(problem('[z-a]'), /^has a range/)
  for (const pattern of ['prompts/**/*.md', '[', '[]', '[!]', '{', '}{', '\\', '**/**', '*'.repeat(300)])
    t.equal(globProblem(pattern), null, pattern)
})

t.test('no pattern, however hostile, takes long for any path', async (t) => {
  const long = 'a'.repeat(990)
  const deep = `${'a/'.repeat(490)}a`
  const mixed = `${`${'a'.repeat(20)}/`.repeat(40)}a`
  const patterns = [
    `${'*a'.repeat(149)}b`,
    `${'**/a/'.repeat(59)}b`,
    `${'**/*a*/'.repeat(42)}b`,
    `${'*?'.repeat(149)}b`,
    `{a,b}{a,b}{a,b}{a,b}{a,b}${'*a'.repeat(130)}b`,
    `${'[a-z]*'.repeat(49)}b`,
    `${'[!b]'.repeat(74)}b`,
  ]
  const elapsedMs = stopwatch()
  for (const pattern of patterns) {
    const matches = globProblem(pattern) === null ? compileGlob(pattern) : () => false
    for (const path of [long, deep, mixed]) t.equal(matches(path), false)
  }
  // They take some milliseconds; a pattern that is tried in all ways takes days.
  t.ok(elapsedMs() < 2_000)
})
