import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import t from 'tap'
import { toSeconds } from '../../src/cli/options/time-spans.js'
import { commandLine, plainCommandLine } from '../../src/cli/terminal/command-line.js'

/** What a shell takes a command line of promptsync for. */
function wordsOf(line: string): string[] {
  const script = `promptsync() { printf '%s\\0' "$@"; }\n${line}`
  return execFileSync('sh', ['-c', script], { encoding: 'utf8' }).split('\0').slice(0, -1)
}

t.test('a command that is printed means the same when it is pasted, whatever its words are', async (t) => {
  // A line of a shell cannot carry the character NUL.
  const word = fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0') && text.isWellFormed())
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 5 }), (words) =>
      t.strictSame(wordsOf(plainCommandLine(...words)), words),
    ),
    { numRuns: 50 },
  )
  const odd = ["it's", '$(rm -r .)', '', '-', 'a b', '客服', '"', '\\', '`x`', '#', '~', '*']
  t.strictSame(wordsOf(plainCommandLine(...odd)), odd)
})

t.test('a command names the project that its own flag named, and leaves out what is not there', async (t) => {
  t.equal(commandLine({ options: {} }, 'alias', 'list', null, undefined), 'promptsync alias list')
  t.equal(commandLine({ options: { project: 'acme' } }, 'alias', 'list'), 'promptsync alias list --project acme')
})

t.test('a span of time is a whole number of seconds, minutes, hours or days', async (t) => {
  t.strictSame(['90d', '12h', '5m', '30s', '30'].map(toSeconds), [7_776_000, 43_200, 300, 30, 30])
  for (const text of ['', 'd', '1.5h', '-1h', '1w', '1 h', '9999999999s'])
    t.throws(() => toSeconds(text), /is no span of time/, text)
})
