import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { type IgnoreRules, noRules } from '../../src/cli/local/ignore-rules.js'

type Tree = { paths: string[]; rules: Map<string, string> }

/** What is left, folder by folder, as the walk over a real folder does it. */
function keptBy({ paths, rules }: Tree): string[] {
  const kept: string[] = []
  const walk = (folder: string, above: IgnoreRules) => {
    const text = rules.get(folder)
    const own = text === undefined ? above : above.within(folder, text)
    const inner = paths.filter((path) => folder === '' || path.startsWith(`${folder}/`))
    const names = new Set(inner.map((path) => path.slice(folder === '' ? 0 : folder.length + 1).split('/')[0] ?? ''))
    for (const name of names) {
      const path = folder === '' ? name : `${folder}/${name}`
      const isFile = paths.includes(path)
      if (own.ignores(isFile ? path : `${path}/`)) continue
      if (isFile) kept.push(path)
      else walk(path, own)
    }
  }
  walk('', noRules())
  return kept.sort()
}

/** What Git itself leaves of the same tree. */
function keptByGit(directory: string): string[] {
  const args = ['ls-files', '--others', '-z', '--exclude-per-directory=.promptsyncignore']
  const paths = execFileSync('git', args, { cwd: directory, encoding: 'utf8' }).split('\0').filter(Boolean)
  return paths.filter((path) => !path.endsWith('.promptsyncignore')).sort()
}

// Git takes `?` for one byte: a name of one letter that is two would be another matter.
const name = fc.constantFrom('a', 'b', 'build', 'x.md', 'y.md', 'été', 'a b', '[c]', 'A')
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
const pattern = fc.oneof(
  name,
  path,
  fc.constantFrom(
    '*',
    '*.md',
    '/a',
    '/x.md',
    'build/',
    '**/a',
    'a/**',
    'a/**/b',
    '!a',
    '!x.md',
    '!build/',
    '!/a/b',
    '*/',
    '[ab]',
    '?',
    'a\\ b',
    'x.md  ',
    '# a',
    '',
  ),
  fc.constantFrom('/*', '!/build', 'build/*', '!build/x.md', '\\[c\\]', '!*.md', '/a/*', '!a/b', 'b/x.md'),
)
const rulesText = fc.array(pattern, { minLength: 1, maxLength: 4 }).map((lines) => `${lines.join('\n')}\n`)
const tree = fc.record({
  files: fc.uniqueArray(path, { minLength: 3, maxLength: 10 }),
  rules: fc.array(fc.tuple(fc.constantFrom('', 'a', 'build', 'a/b', 'a b', '[c]'), rulesText), { minLength: 1, maxLength: 3 }),
})

t.test('rules of nested files leave what Git leaves of the same files', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'promptsync-ignore-'))
  t.teardown(() => rm(home, { recursive: true, force: true }))
  let count = 0
  const check = async ({ files, rules }: { files: string[]; rules: [string, string][] }) => {
    // A path cannot be a folder and a file.
    const paths = files.filter((file) => !files.some((other) => other.startsWith(`${file}/`)))
    const own = new Map(rules.filter(([folder]) => folder === '' || paths.some((file) => file.startsWith(`${folder}/`))))
    const directory = join(home, `${count++}`)
    await mkdir(directory)
    execFileSync('git', ['init', '--quiet', '--template='], { cwd: directory })
    for (const file of paths) {
      await mkdir(dirname(join(directory, file)), { recursive: true })
      await writeFile(join(directory, file), '')
    }
    for (const [folder, text] of own) await writeFile(join(directory, folder, '.promptsyncignore'), text)
    t.same(keptBy({ paths, rules: own }), keptByGit(directory), JSON.stringify({ paths, rules: [...own] }))
  }
  await fc.assert(fc.asyncProperty(tree, check), { numRuns: 60, endOnFailure: true })
})
