// Prints what failed in a run of the tests, from its log: each failed assertion under its file, with what the runner says of it.
// The end of a long output is what people, and machines that keep only so much of it, look at first.
//   node .ci/failures.mjs LOG
import { readFileSync } from 'node:fs'

const mostFailures = 20
const mostLines = 60

const lines = readFileSync(process.argv[2], 'utf8').split('\n')
const failure = /^( *)not ok \d/
const indentation = (line) => line.length - line.trimStart().length

/** A test whose assertions failed fails as well: that one, which ends what they stand in, says nothing that they do not. */
function isLeaf(index) {
  const { length } = failure.exec(lines[index])[1]
  for (let before = index - 1; before >= 0; before -= 1) {
    if (lines[before].trim() === '') continue
    if (indentation(lines[before]) <= length) return true
    if (failure.test(lines[before])) return false
  }
  return true
}

let file = ''
let found = 0
for (const [index, line] of lines.entries()) {
  file = /^# Subtest: (.*)/.exec(line)?.[1] ?? file
  if (!failure.test(line) || !isLeaf(index)) continue
  found += 1
  if (found > mostFailures) continue
  process.stdout.write(`${file}\n`)
  const shown = lines.slice(index, index + mostLines)
  const end = shown.findIndex((text) => text.trim() === '...')
  // Without a block of YAML after it, only the line itself is the assertion's.
  const length = /^ *---$/.test(shown[1] ?? '') ? (end === -1 ? mostLines : end + 1) : 1
  for (const text of shown.slice(0, length)) process.stdout.write(`  ${text}\n`)
}
if (found > mostFailures) process.stdout.write(`and ${found - mostFailures} more\n`)
