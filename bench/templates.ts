// The cost of templates beside stock nunjucks: `npm run bench:templates`. Both do the same work by turns in one process, so that
// what slows the machine slows both; each number is the median of the rounds. Only the ratios mean something elsewhere.
import nunjucks from 'nunjucks'
import { templateReferences } from '../src/lib/template/composition.js'
import { compileTemplate, renderTemplate } from '../src/lib/template/render.js'
import { templateVariables } from '../src/lib/template/variables.js'

const rounds = 31
/** What one measurement of a round takes, so that the clock is exact enough. */
const sampleMs = 8
const warmUpMs = 300

const environment = new nunjucks.Environment([], { autoescape: false })

const typical = `You are {{ assistant }}, who helps the customers of {{ company }}.
{% if tone %}
Answer in a {{ tone }} tone, and in {{ language }}.
{% endif %}
The customer is {{ customer.name }}, who has been one since {{ customer.since }}.

What is known:
{% for document in documents %}
{{ loop.index }}. {{ document.title }}: {{ document.text }}
{% endfor %}
Question: {{ question }}
`

const variables = {
  assistant: 'Ada',
  company: 'Example & Sons',
  tone: 'friendly',
  language: 'English',
  customer: { name: 'Grace', since: 2019 },
  question: 'Where is my order?',
  documents: Array.from({ length: 5 }, (_, index) => ({ title: `Document ${index}`, text: 'It says what it says. '.repeat(4) })),
}

const rules = `## Rules
- Be exact, and say so where you do not know.
{% for rule in rules %}- {{ rule|trim }}{% if not loop.last %};{% else %}.{% endif %}
{% endfor %}`

const macros = `{% macro entry(title, text, level=2) %}{{ title|upper }} ({{ level }})
{{ text|replace("\\n", " ")|trim }}
{% endmacro %}{% for d in documents %}{{ entry(d.title, d.text, level=loop.index) }}{% endfor %}`

const prose = 'You read what you are given with care, and answer in the words of whoever asks. '
const long = Array.from({ length: 10 }, (_, index) => `# Part ${index + 1}\n${prose.repeat(8)}\n${typical}`).join('\n')

/** Prompts of the sizes that people write. */
const sources = {
  typical,
  rules: `${prose.repeat(4)}\n${rules}`,
  macros,
  'of 10 KiB': long.slice(0, long.lastIndexOf('{% if', 10_240)),
}

type Work = () => unknown

/** Milliseconds of one of several works each, measured by turns. */
function measure(works: readonly Work[]): number[] {
  const repetitions = works.map((work) => {
    const end = performance.now() + warmUpMs
    let count = 0
    while (performance.now() < end) {
      work()
      count += 1
    }
    return Math.max(1, Math.round((count * sampleMs) / warmUpMs))
  })
  const samples = works.map((): number[] => [])
  for (let round = 0; round < rounds; round += 1) {
    works.forEach((work, index) => {
      const count = repetitions[index] ?? 1
      const start = performance.now()
      for (let done = 0; done < count; done += 1) work()
      samples[index]?.push((performance.now() - start) / count)
    })
  }
  return samples.map(median)
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

const say = (line: string) => process.stdout.write(`${line}\n`)
const microseconds = (milliseconds: number) => `${(milliseconds * 1000).toFixed(1)} µs`

function row(...cells: string[]): void {
  say(cells.map((cell, index) => (index === 0 ? cell.padEnd(34) : cell.padStart(14))).join(''))
}

/** A line with the ratio of ours to that of nunjucks, and whether it is at most what it may be. */
function compare(title: string, ours: Work, theirs: Work, limit: number | null): void {
  const [own = 0, other = 0] = measure([ours, theirs])
  const ratio = own / other
  const verdict = limit === null ? '' : ratio <= limit ? `ok (≤ ${limit.toFixed(1)})` : `MISSED (≤ ${limit.toFixed(1)})`
  row(title, microseconds(own), microseconds(other), ratio.toFixed(2), verdict)
}

function inform(title: string, work: Work): void {
  const [time = 0] = measure([work])
  row(title, microseconds(time), '', '')
}

/** Compiled at once, as it is before its first rendering. */
const nunjucksTemplate = (source: string) => new nunjucks.Template(source, environment, 'prompt', true)

function compareRendering(title: string, source: string, limit: number | null): void {
  const ours = compileTemplate(source)
  const theirs = nunjucksTemplate(source)
  compare(
    title,
    () => renderTemplate(ours, variables),
    () => theirs.render(variables),
    limit,
  )
}

/** The same number of templates and bytes with and without an include. */
function including(): Work {
  const template = compileTemplate(`${typical}{% include "rules" %}`)
  const names = templateReferences(template.root).flatMap((reference) => reference.names)
  const included = { template: compileTemplate(rules), includes: new Map() }
  const unit = { template, includes: new Map(names.map((name) => [name, included])) }
  return () => renderTemplate(unit, { ...variables, rules: ['be brief ', 'be kind', ' be exact'] })
}

row('', 'ours', 'nunjucks', 'ratio')
compareRendering('cached render, typical prompt', typical, 1)
for (const [name, source] of Object.entries(sources)) {
  compare(
    `parse and compile, ${name}`,
    () => compileTemplate(source),
    () => nunjucksTemplate(source),
    2,
  )
}
compareRendering('cached render, 10 KiB', sources['of 10 KiB'], null)
inform('cached render with an include', including())
const { root } = compileTemplate(typical)
inform('variables, typical prompt', () => templateVariables(root))
const large = compileTemplate(sources['of 10 KiB']).root
inform('variables, 10 KiB', () => templateVariables(large))
