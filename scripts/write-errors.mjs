// Writes the table of docs/errors.md from src/errors.ts; with --check it only compares, and fails when it is not current.
import { readFileSync, writeFileSync } from 'node:fs'
import { errorTable } from '../src/errors.ts'

const file = 'docs/errors.md'
const head = '| code | status | title | what to do |\n|---|---|---|---|\n'

/** The page with its table as it should be; everything before the table is kept. */
export function withErrorTable(page) {
  const rows = Object.entries(errorTable).map(
    ([code, [status, title, remedy]]) => `| \`${code}\` | ${status} | ${title} | ${remedy} |`,
  )
  return `${page.slice(0, page.indexOf(head))}${head}${rows.join('\n')}\n`
}

if (process.argv[1]?.endsWith('write-errors.mjs')) {
  const page = readFileSync(file, 'utf8')
  const wanted = withErrorTable(page)
  if (!process.argv.includes('--check')) writeFileSync(file, wanted)
  else if (wanted !== page) {
    process.stderr.write(`${file} is not current. Run: npm run docs:errors\n`)
    process.exit(1)
  }
}
