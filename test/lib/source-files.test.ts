import fc from 'fast-check'
import t from 'tap'
import { isPromptName } from '../../src/lib/names.js'
import { createPause } from '../../src/lib/slices.js'
import { nameInSource, type SelectionRules, selectFiles } from '../../src/lib/source-files.js'
import { runs } from '../helpers/runs.js'

const pause = createPause()
const rulesOf = (rules: Partial<SelectionRules> = {}): SelectionRules => ({ include: [], exclude: [], prefix: null, ...rules })
const select = (paths: readonly string[], rules?: Partial<SelectionRules>) =>
  selectFiles(
    paths.map((path) => ({ path })),
    rulesOf(rules),
    pause,
  )
/** The prompts as `path → name`. */
const taken = async (paths: readonly string[], rules?: Partial<SelectionRules>) =>
  (await select(paths, rules)).prompts.map(({ path, name }) => `${path} → ${name}`)

t.test('where there is a folder prompts, it is taken alone, and is no part of the names', async (t) => {
  t.strictSame(await taken(['prompts/a.md', 'prompts/Sub Folder/B.yaml', 'docs/c.md', 'd.txt']), [
    'prompts/a.md → a',
    'prompts/Sub Folder/B.yaml → sub-folder/b',
  ])
})

t.test('a folder prompts without a prompt file in it is as good as none', async (t) => {
  t.strictSame(await taken(['prompts/image.png', 'prompts/README.md', 'docs/c.md']), ['docs/c.md → docs/c'])
})

t.test('dot-folders, READMEs and what is no prompt format are left out', async (t) => {
  const paths = [
    '.github/x.md',
    'a/.b/c.md',
    '.hidden.md',
    'README.md',
    'a/readme',
    'a/ReadMe.txt',
    'x.png',
    'PATH',
    'LICENSE',
    'readme-first.md',
  ]
  t.strictSame(await taken(paths), ['readme-first.md → readme-first'])
})

t.test('include names exactly what is taken, dot-folders too, and exclude has the last word', async (t) => {
  const paths = ['prompts/a.md', 'docs/b.md', '.hidden/c.md', 'docs/README.md', 'docs/d.png']
  t.strictSame(await taken(paths, { include: ['docs/**', '.hidden/*'] }), ['docs/b.md → docs/b', '.hidden/c.md → hidden/c'])
  t.strictSame(await taken(paths, { include: ['**'], exclude: ['docs/*', '.*/**'] }), ['prompts/a.md → a'])
  t.strictSame(await taken(['prompts/a.md', 'prompts/b.md'], { exclude: ['**/b.*'] }), ['prompts/a.md → a'])
  t.strictSame(await taken(['prompts/a.md', 'b.md'], { exclude: ['prompts/**'] }), ['b.md → b'], 'an excluded folder is none')
})

t.test('the prefix comes before every name, and the folder goes before that', async (t) => {
  t.strictSame(await taken(['prompts/a/b.md'], { prefix: 'team/x' }), ['prompts/a/b.md → team/x/a/b'])
  t.equal(nameInSource('prompts/prompts/a', null), 'prompts/a')
})

t.test('PATH and schema-version count at the root alone', async (t) => {
  const found = await select(['PATH', 'schema-version', 'prompts/a.md', 'prompts/PATH'])
  t.strictSame([found.pathFile, found.schemaVersion], [{ path: 'PATH' }, { path: 'schema-version' }])
  const other = await select(['prompts/PATH', 'sub/schema-version', 'path', 'a.md'])
  t.strictSame([other.pathFile, other.schemaVersion], [null, null])
})

t.test('every path that gives no name and every one that collides is named, with what it collides with', async (t) => {
  const { faults, prompts } = await select(['A.md', 'a.txt', 'b/c d.md', 'b/c-d.md', '---.md', `${'x'.repeat(201)}.md`, 'ok.md'])
  t.strictSame(
    faults.map(({ code, path }) => [code, path]),
    [
      ['file.invalid', '---.md'],
      ['file.invalid', `${'x'.repeat(201)}.md`],
      ['file.collision', 'a.txt'],
      ['file.collision', 'b/c-d.md'],
    ],
  )
  t.match(faults[2]?.message, /^Files "A\.md" and "a\.txt" are both prompt "a"\. Rename/)
  t.strictSame(
    prompts.map(({ path }) => path),
    ['A.md', 'b/c d.md', 'ok.md'],
  )
})

t.test('files in and out of the folder that become one name collide', async (t) => {
  const { faults } = await select(['prompts/a.md', 'a.md'], { include: ['**'] })
  t.strictSame(
    faults.map(({ path }) => path),
    ['a.md'],
  )
})

t.test('so many long paths and patterns that it would take minutes are refused at once', async (t) => {
  const paths = Array.from({ length: 50_000 }, (_, index) => `${'a/'.repeat(400)}${index}.md`)
  const { faults } = await select(paths, { include: Array.from({ length: 50 }, () => `${'**/a*/'.repeat(40)}b`) })
  t.strictSame(
    faults.map(({ code }) => code),
    ['source.too_large'],
  )
})

t.test('fifty thousand files are chosen among while everything else gets its turn', async (t) => {
  const paths = Array.from({ length: 50_000 }, (_, index) => `docs/team-${index % 100}/topic-${index}.md`)
  let turns = 0
  const timer = setInterval(() => (turns += 1), 1)
  const { prompts } = await select(paths, { include: ['docs/**/*.md', '**/*.txt'], exclude: ['**/team-7/**'] })
  clearInterval(timer)
  t.equal(prompts.length, 49_500)
  t.ok(turns > 3, `${turns} turns`)
})

const segment = fc.oneof(
  fc.constantFrom('prompts', 'a', 'A', 'b c', '.git', 'README', 'PATH', '--', '客服', '..', ''),
  fc.string({ unit: 'grapheme', maxLength: 6 }),
)
const extension = fc.constantFrom('.md', '.txt', '.yaml', '.prompt.yml', '.png', '')
const path = fc
  .tuple(fc.array(segment, { minLength: 1, maxLength: 4 }), extension)
  .map(([segments, ending]) => segments.join('/') + ending)
const listing = fc.uniqueArray(path, { maxLength: 12 })
const pattern = fc.constantFrom('**', '**/*.md', 'prompts/**', '*', '.git/**', '[ab]*/**', '{a,A}/*')
const rules = fc.record({
  include: fc.array(pattern, { maxLength: 2 }),
  exclude: fc.array(pattern, { maxLength: 2 }),
  prefix: fc.constantFrom(null, 'team'),
})

t.test('whatever is listed, what is chosen is part of it, with names of the grammar, each once', async () => {
  await fc.assert(
    fc.asyncProperty(listing, rules, async (paths, rules) => {
      const { prompts } = await select(paths, rules)
      const names = prompts.map(({ name }) => name)
      return (
        prompts.every(({ path }) => paths.includes(path)) &&
        names.every((name) => isPromptName(name) && (rules.prefix === null || name.startsWith(`${rules.prefix}/`))) &&
        new Set(names).size === names.length
      )
    }),
    { numRuns: runs(1_000) },
  )
})

t.test('the order of a listing makes no difference, but for which of two files that collide is named', async () => {
  const shuffled = listing.chain((paths) =>
    fc.tuple(fc.constant(paths), fc.shuffledSubarray(paths, { minLength: paths.length, maxLength: paths.length })),
  )
  await fc.assert(
    fc.asyncProperty(shuffled, rules, async ([paths, others], rules) => {
      const [one, other] = [await select(paths, rules), await select(others, rules)]
      const sameCodes =
        JSON.stringify(one.faults.map(({ code }) => code).sort()) === JSON.stringify(other.faults.map(({ code }) => code).sort())
      const namesOf = ({ prompts }: typeof one) => JSON.stringify(prompts.map(({ name }) => name).sort())
      return sameCodes && namesOf(one) === namesOf(other)
    }),
    { numRuns: runs(1_000) },
  )
})

t.test('excluding more never chooses more, where include says what is asked for', async () => {
  await fc.assert(
    fc.asyncProperty(listing, pattern, async (paths, exclude) => {
      const all = await select(paths, { include: ['**'] })
      const fewer = await select(paths, { include: ['**'], exclude: [exclude] })
      return fewer.prompts.length <= all.prompts.length
    }),
    { numRuns: runs(500) },
  )
})
