import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { budgets } from '../../../src/lib/template/budget.js'
import { globals } from '../../../src/lib/template/evaluation/globals.js'
import { filters, refusedFilters } from '../../../src/lib/template/filters/filters.js'
import { tests } from '../../../src/lib/template/filters/tests.js'
import { compileTemplate, renderTemplate } from '../../../src/lib/template/render.js'
import { TemplateError } from '../../../src/lib/template/template-error.js'
import { methods } from '../../../src/lib/template/values/methods.js'

type Variables = Record<string, unknown>
type Options = { trim_blocks?: boolean; lstrip_blocks?: boolean }
type Case = { template: string; variables: Variables; options?: Options } & ({ output: string } | { error: string })
type Difference = { template: string; variables?: Variables; reason: string }

const fixtures = new URL('../../fixtures/jinja2/', import.meta.url)
const read = (path: string) => readFileSync(new URL(path, fixtures), 'utf8')
const casesOf = (path: string) => (JSON.parse(read(path)) as { cases: Case[] }).cases
const differences = JSON.parse(read('differences.json')) as Difference[]

/** What comes of a template: its text, the exception that Python would raise, or why it is refused. */
function outcomeOf({ template, variables, options }: Pick<Case, 'template' | 'variables' | 'options'>): string {
  const scanOptions = { trimBlocks: options?.trim_blocks ?? false, lstripBlocks: options?.lstrip_blocks ?? false }
  try {
    return `prints ${renderTemplate(compileTemplate(template, scanOptions), variables)}`
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error
    return `fails ${error.code === 'template.runtime' ? error.message.replace(/:.*/s, '') : error.code}`
  }
}

/** The outcomes that stand for Python's: what it does not parse is refused here as no syntax or as not supported. */
function expectedOf(one: Case): string[] {
  if ('output' in one) return [`prints ${one.output}`]
  const [kind = ''] = one.error.split(' ')
  const isFound = kind === 'TemplateSyntaxError' || kind === 'TemplateAssertionError'
  return isFound ? ['fails template.syntax', 'fails template.unsupported'] : [`fails ${kind}`]
}

const agrees = (one: Case) => expectedOf(one).includes(outcomeOf(one))
const titleOf = ({ template, variables }: Difference | Case) =>
  `${template} with ${JSON.stringify(variables ?? {})}`.slice(0, 400)

function isOf({ template, variables }: Difference, one: Case): boolean {
  return template === one.template && (!variables || JSON.stringify(variables) === JSON.stringify(one.variables))
}

for (const [path, least] of [
  ['jinja2.json', 46],
  ['documented.json', 250],
] as const) {
  t.test(`every case of ${path} ends as in Python, but for the differences that are listed with their reason`, async (t) => {
    const cases = casesOf(path)
    t.ok(cases.length >= least)
    for (const one of cases) {
      if (differences.some((difference) => isOf(difference, one)) || agrees(one)) continue
      t.equal(outcomeOf(one), expectedOf(one)[0], titleOf(one))
    }
  })
}

t.test('every difference that is listed is one', async (t) => {
  const cases = [...casesOf('jinja2.json'), ...casesOf('documented.json')]
  for (const difference of differences) {
    const listed = cases.filter((one) => isOf(difference, one))
    t.ok(listed.length > 0 && difference.reason.length > 20, titleOf(difference))
    t.notOk(listed.some(agrees), titleOf(difference))
  }
})

const prompts = readdirSync(new URL('prompts/', fixtures)).filter((path) => path.endsWith('.jinja'))

t.test('five prompts as people write them are rendered as by Python, byte for byte', async (t) => {
  t.equal(prompts.length, 5)
  for (const path of prompts) {
    const sibling = (extension: string) => read(`prompts/${path.replace(/jinja$/, extension)}`)
    const variables = JSON.parse(sibling('json')) as Variables
    t.equal(renderTemplate(compileTemplate(read(`prompts/${path}`)), variables), sibling('txt'), path)
  }
})

const guide = readFileSync(new URL('../../../docs/templates.md', import.meta.url), 'utf8')

/** What is below a heading, up to the next one of the same level. */
function sectionOf(heading: string): string {
  const [, rest = ''] = guide.split(`\n## ${heading}\n`)
  return rest.split('\n## ')[0] ?? ''
}

/** The first cells of a section's table rows that look like this: that they have code in them, where nothing is said. */
function firstCells(section: string, pattern = /`/): string[] {
  return [...section.matchAll(/^\| (.*?) \|/gm)].map(([, cell = '']) => cell).filter((cell) => pattern.test(cell))
}

/** The names in code marks of a table, each without its arguments. */
function namesIn(text: string): string[] {
  return [...text.matchAll(/`([^`(]+)[^`]*`/g)].map(([, name = '']) => name).sort()
}

const tableOf = (heading: string) =>
  sectionOf(heading)
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .join('\n')

t.test('the guide lists the filters, tests and functions that there are, and no other', async (t) => {
  const supported = [...filters.keys()].filter((name) => !refusedFilters.has(name)).sort()
  t.same(namesIn(tableOf('Filters')), supported)
  t.same(namesIn(tableOf('Tests')), [...tests.keys()].sort())
  t.same(namesIn(firstCells(sectionOf('Functions')).join(' ')), [...globals.keys()].filter((name) => name !== 'lipsum').sort())
})

const jinjaTags =
  'autoescape block break call continue debug do extends filter for from if import include macro print raw set trans with'

t.test('the guide tells of every tag of Jinja2 and its extensions, and those it calls supported are known', async (t) => {
  const tagsIn = (heading: string) =>
    [
      ...firstCells(sectionOf(heading))
        .join(' ')
        .matchAll(/\{% (\w+)/g),
    ].map(([, tag = '']) => tag)
  const [supported, refused] = [[...tagsIn('Tags'), 'from'], tagsIn('What is refused')]
  t.same([...new Set([...supported, ...refused])].sort(), jinjaTags.split(' '))
  for (const tag of supported) {
    // It lacks its arguments or its end, which another tag would not be blamed for.
    t.throws(() => compileTemplate(`{% ${tag} . %}`), { code: 'template.syntax', message: /^(?!.*unknown)/ }, tag)
  }
})

t.test('the guide lists the methods of every type that has any', async (t) => {
  const rows = tableOf('Methods').split('\n').slice(2)
  const listed = Object.fromEntries(
    rows.map((row) => row.split(' | ')).map(([type = '', names = '']) => [type.replace('| ', ''), namesIn(names)]),
  )
  t.same(listed, Object.fromEntries(Object.entries(methods).map(([type, known]) => [type, [...known.keys()].sort()])))
})

t.test('the limits of the guide are those of the code', async (t) => {
  const numbers = firstCells(sectionOf('Limits'), /^\d/)
  const { steps, characters, output, range, calls } = budgets
  const [mebibyte, counted] = [1024 ** 2, (count: number) => count.toLocaleString('en-US')]
  const expected = [`${characters / mebibyte} MiB`, `${output / mebibyte} MiB`, ...[steps, range, calls].map(counted)]
  for (const limit of expected) t.ok(numbers.includes(limit), limit)
  t.throws(() => compileTemplate('a'.repeat(256 * 1024 + 1)), { code: 'template.too_complex' })
  t.doesNotThrow(() => compileTemplate('a'.repeat(256 * 1024)))
  const nested = (depth: number) => '{% if x %}'.repeat(depth) + '{% endif %}'.repeat(depth)
  t.throws(() => compileTemplate(nested(101)), { code: 'template.too_complex' })
  t.doesNotThrow(() => compileTemplate(nested(100)))
})

t.test('what the guide says is refused is refused by name, with a line and a column', async (t) => {
  const refused = firstCells(sectionOf('What is refused'))
  t.ok(refused.length > 10)
  for (const cell of refused) {
    const template = cell.replace(/^`+ ?| ?`+$/g, '').replaceAll('\\|', '|')
    const render = () => renderTemplate(compileTemplate(template), { xs: [1], d: { a: 1 }, name: 'x' })
    t.throws(render, { code: 'template.unsupported', line: 1 }, template)
  }
})

t.test('every template of the guide prints what stands behind it', async (t) => {
  const shown = /(?:^```json\n([^`]*)\n```\n)?^```jinja\n([^`]*)\n```\n```text\n([^`]*)\n```$/gm
  const examples = [...guide.matchAll(shown)]
  for (const [, variables = '{}', template = '', text] of examples) {
    t.equal(renderTemplate(compileTemplate(template), JSON.parse(variables) as Variables), text)
  }
  t.ok(examples.length >= 5)
})
