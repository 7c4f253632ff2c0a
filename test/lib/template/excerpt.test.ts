import fc from 'fast-check'
import t from 'tap'
import { excerptAt } from '../../../src/lib/template/excerpt.js'
import { parseTemplate } from '../../../src/lib/template/parse.js'
import { TemplateError } from '../../../src/lib/template/template-error.js'
import { stopwatch } from '../../helpers/stopwatch.js'

const lines = (...texts: string[]) => texts.join('\n')

/** The character above the caret; a position at the end of the line has none. */
function characterAtCaret(excerpt: string): string {
  const [text = '', caret = ''] = excerpt.split('\n')
  return [...text][caret.indexOf('^')] ?? ''
}

t.test('an excerpt is the line of an error with a caret below its column', async (t) => {
  t.equal(excerptAt('a\nb\nHello {{ name }', 3, 15), lines('3 | Hello {{ name }', '  |               ^'))
  t.equal(excerptAt(`${'\n'.repeat(11)}x`, 12, 1), lines('12 | x', '   | ^'), 'the caret stands right behind any line number')
  t.equal(excerptAt('a\nb', 2, 1, 130), lines('130 | b', '    | ^'), 'a part of a file has the line of the file')
  t.equal(excerptAt('', 1, 1), lines('1 |', '  | ^'))
})

t.test('lines end as the template language says, whatever the system', async (t) => {
  for (const end of ['\n', '\r\n', '\r']) t.equal(excerptAt(`a${end}b${end}{{ c`, 3, 1), lines('3 | {{ c', '  | ^'))
  for (const end of ['\n', '\r\n']) {
    try {
      parseTemplate(['a', 'b {{ x }}', ' {{ y z }}'].join(end))
      t.fail('this was parsed')
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error
      t.equal(excerptAt(`a${end}b {{ x }}${end} {{ y z }}`, error.line, error.column), lines('3 |  {{ y z }}', '  |       ^'))
    }
  }
})

t.test('a long line is cut around the column', async (t) => {
  const line = `${'a'.repeat(500)}X${'b'.repeat(500)}`
  const excerpt = excerptAt(line, 1, 501)
  t.equal(characterAtCaret(excerpt), 'X')
  t.match(excerpt, /^1 \| …a+Xb+…\n/)
  t.match(excerptAt(line, 1, 1), /^1 \| a{90}…\n {2}\| \^$/)
  t.match(excerptAt(line, 1, 1002), /^1 \| …b{90}\n {2}\| {92}\^$/)
  t.match(excerptAt('x'.repeat(90), 1, 90), /^1 \| x{90}\n/, 'what fits is not cut')
})

t.test('the caret counts characters, and the column the units of JavaScript', async (t) => {
  t.equal(excerptAt('😀😀{{', 1, 5), lines('1 | 😀😀{{', '  |   ^'))
  t.equal(excerptAt('😀😀{{', 1, 4), lines('1 | 😀😀{{', '  |  ^'), 'within a pair is at the pair')
  t.equal(excerptAt('a\t\tb', 1, 4), lines('1 | a  b', '  |    ^'), 'a tab is one blank')
  const excerpt = excerptAt(`${'😀'.repeat(300)}X${'😀'.repeat(300)}`, 1, 601)
  t.equal(characterAtCaret(excerpt), 'X')
  t.ok(excerpt.isWellFormed())
})

t.test('what could hide or turn around the line is visible', async (t) => {
  const hidden = ['\u202e', '\u2066', '\u200b', '\ufeff', '\u2028', '\x85', '\u{e0041}', '\ud800']
  for (const character of hidden) t.equal(excerptAt(`a${character}b`, 1, 1), lines('1 | a\ufffdb', '  | ^'))
  t.equal(excerptAt('\x00\x1b[31m\x7f', 1, 1), lines('1 | ␀␛[31m␡', '  | ^'))
  t.equal(excerptAt('👩\u200d🚀', 1, 1), lines('1 | 👩\u200d🚀', '  | ^'), 'what joins letters and emoji is kept')
})

t.test('a position outside of the source is brought into it', async (t) => {
  t.equal(excerptAt('ab', 1, 3), lines('1 | ab', '  |   ^'))
  t.equal(excerptAt('ab\ncd', 1, 99), lines('1 | ab', '  |   ^'))
  t.equal(excerptAt('ab\ncd', 9, 1), lines('2 | cd', '  | ^'))
  t.equal(excerptAt('ab\n', 2, 1), lines('2 |', '  | ^'))
  t.equal(excerptAt('ab', 0, -5), lines('1 | ab', '  | ^'))
})

t.test('an excerpt is short, in two lines, and its caret stands at the character of the column', async (t) => {
  const source = fc.array(
    fc.oneof(fc.string({ unit: 'binary', maxLength: 200 }), fc.constantFrom('\n', '\r\n', '😀'.repeat(99))),
    {
      maxLength: 6,
    },
  )
  fc.assert(
    fc.property(source, fc.nat(9), fc.nat(400), (parts, line, column) => {
      const excerpt = excerptAt(parts.join(''), line, column)
      return excerpt.length <= 300 && excerpt.split('\n').length === 2 && /\| *\^$/.test(excerpt) && excerpt.isWellFormed()
    }),
    { numRuns: 80 },
  )
  const marked = fc.tuple(fc.string({ unit: 'grapheme', maxLength: 300 }), fc.string({ unit: 'grapheme', maxLength: 300 }))
  fc.assert(
    fc.property(marked, ([before, after]) => {
      const line = before.replace(/[\r\n]/g, '')
      return characterAtCaret(excerptAt(`x\n${line}§${after}`, 2, line.length + 1)) === '§'
    }),
    { numRuns: 80 },
  )
  t.pass()
})

t.test('the largest sources make no excerpt slow or long', async (t) => {
  const elapsedMs = stopwatch()
  for (const unit of ['x', '\n', '\r', '😀', '\ud800', ' ']) {
    const source = unit.repeat(262_144 / unit.length)
    for (const [line, column] of [
      [1, 131_072],
      [1, 262_145],
      [262_145, 1],
    ] as const)
      t.ok(excerptAt(source, line, column).length <= 300)
  }
  t.ok(elapsedMs() < 1_000)
})
