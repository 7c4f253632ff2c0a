import { readFileSync } from 'node:fs'
import t from 'tap'
import { Budget } from '../../../src/lib/template/budget.js'
import { templateReferences, type Unit, type Verbatim } from '../../../src/lib/template/composition.js'
import { type CompiledTemplate, compileTemplate, type RenderOptions, renderTemplate } from '../../../src/lib/template/render.js'
import { TemplateError } from '../../../src/lib/template/template-error.js'
import { stopwatch } from '../../helpers/stopwatch.js'

type Case = {
  templates: Record<string, string>
  variables?: Record<string, unknown>
  output?: string
  error?: string
  message?: string
}

const cases = JSON.parse(readFileSync(new URL('../../fixtures/jinja2/composition.json', import.meta.url), 'utf8')) as Case[]

type Sources = Record<string, string | Verbatim>

/** The template "main" with those it names, which may name each other in circles. */
function unitOf(sources: Sources): Unit<CompiledTemplate> {
  const units = new Map<string, Unit<CompiledTemplate> | Verbatim>()
  const find = (name: string): Unit<CompiledTemplate> | Verbatim | undefined => {
    const source = Object.hasOwn(sources, name) ? sources[name] : undefined
    if (source === undefined || typeof source !== 'string') return source
    const known = units.get(name)
    if (known) return known
    const template = compileTemplate(source)
    const includes = new Map<string, Unit<CompiledTemplate> | Verbatim>()
    units.set(name, { template, includes })
    for (const reference of templateReferences(template.root).flatMap(({ names }) => names)) {
      const found = find(reference)
      if (found) includes.set(reference, found)
    }
    return units.get(name)
  }
  return find('main') as Unit<CompiledTemplate>
}

function render(sources: Sources, variables: Record<string, unknown> = {}, options: RenderOptions = {}): string {
  return renderTemplate(unitOf(sources), variables, options)
}

function errorOf(run: () => unknown): TemplateError {
  try {
    run()
  } catch (error) {
    if (error instanceof TemplateError) return error
    throw error
  }
  throw new Error('Nothing was thrown.')
}

const codes = new Map([
  ['TemplateSyntaxError', 'template.syntax'],
  ['TemplateAssertionError', 'template.syntax'],
  ['RecursionError', 'template.too_complex'],
])

/** By the source of "main": what is otherwise than in Jinja2, and why. */
const differences = new Map([
  [
    "{% filter upper %}a{% include 'x' without context %}{% endfilter %}b",
    { outcome: 'output: AXb', reason: 'Jinja2 writes such an include past the block that it stands in.' },
  ],
  [
    "{% set s %}a{% include 'x' without context %}{% endset %}b{{ s }}",
    { outcome: 'output: bax', reason: 'Jinja2 writes such an include past the block that it stands in.' },
  ],
  [
    "a{% include ['x'] %}b",
    { outcome: 'template.runtime: TemplateNotFound: x', reason: 'A list of one is no other thing than its name.' },
  ],
])

function outcomeOf({ templates, variables }: Case): string {
  try {
    return `output: ${render(templates, variables)}`
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error
    return error.code === 'template.runtime' ? `${error.code}: ${error.message}` : error.code
  }
}

function expectedOf({ output, error = '', message }: Case): string {
  if (output !== undefined) return `output: ${output}`
  return codes.get(error) ?? `template.runtime: ${error}: ${message}`
}

t.test('templates that name others print what Jinja2 prints, and fail where it raises, but for what is listed', async (t) => {
  for (const one of cases) {
    const difference = differences.get(one.templates.main ?? '')
    if (difference) t.not(difference.outcome, expectedOf(one), 'what is listed differs')
    t.equal(outcomeOf(one), difference?.outcome ?? expectedOf(one), JSON.stringify(one.templates))
  }
})

t.test('an error tells which template it is in, and where', async (t) => {
  const failing = 'x\n {{ 1 / 0 }}'
  const inside: [sources: Sources, template: string | null, line: number, column: number][] = [
    [{ main: failing }, null, 2, 7],
    [{ main: "a{% include 'b@v2' %}", 'b@v2': failing }, 'b@v2', 2, 7],
    [{ main: "{% include 'b' %}", b: "\n{% include 'c' %}", c: failing }, 'c', 2, 7],
    [{ main: "{% include 'b' %}\n{{ v.w.x }}", b: "{% include 'c' %}", c: '' }, null, 2, 6],
    [{ main: "{% include 'b' %}", b: "{% include 'c' %}{{ 1 / 0 }}", c: 'text' }, 'b', 1, 23],
    [
      { main: "{% extends 'p' %}{% block a %}{{ super() }}{% endblock %}", p: '{% block a %}{{ 1 / 0 }}{% endblock %}' },
      'p',
      1,
      19,
    ],
    [{ main: "{% extends 'p' %}{% block a %}{{ 1 / 0 }}{% endblock %}", p: '{% block a %}{% endblock %}' }, null, 1, 36],
    [{ main: "{% extends 'p' %}", p: '{% block a required %}{% endblock %}' }, 'p', 1, 4],
    [{ main: "{% import 'm' as m %}\n{{ m.f() }}", m: '{% macro f() %}{{ 1 / 0 }}{% endmacro %}' }, 'm', 1, 21],
    [{ main: "{% import 'm' as m %}\n{{ m.f() / 0 }}", m: '{% macro f() %}text{% endmacro %}' }, null, 2, 10],
    [{ main: "{% import 'm' as m %}\n{{ m.f(1) }}", m: '{% macro f() %}{% endmacro %}' }, null, 2, 6],
    [
      { main: "{% import 'm' as m %}{% call m.f() %}{{ 1 / 0 }}{% endcall %}", m: '{% macro f() %}{{ caller() }}{% endmacro %}' },
      null,
      1,
      43,
    ],
    [{ main: "\n{% include 'none' %}" }, null, 2, 4],
    [{ main: "{% include 'b' %}", b: "\n{% from 'none' import f %}" }, 'b', 2, 4],
  ]
  for (const [sources, template, line, column] of inside) {
    t.match(
      errorOf(() => render(sources)),
      { template, line, column },
      JSON.stringify(sources),
    )
  }
})

t.test('missing variables are told wherever they are printed, but for what is rendered without a context', async (t) => {
  const missingIn = (sources: Sources) => {
    const names: string[] = []
    render(sources, {}, { onMissing: (name) => names.push(name) })
    return names
  }
  t.strictSame(missingIn({ main: "{{ a }}{% include 'x' %}{{ c }}", x: '{{ b }}{% for i in d %}{% endfor %}' }), [
    'a',
    'b',
    'd',
    'c',
  ])
  t.strictSame(
    missingIn({
      main: "{% extends 'p' %}{% block b %}{{ a }}{{ super() }}{% endblock %}",
      p: '{{ c }}{% block b %}{{ d }}{% endblock %}',
    }),
    ['c', 'a', 'd'],
  )
  t.strictSame(missingIn({ main: "{% include 'x' without context %}", x: '{{ b }}' }), [])
  t.strictSame(missingIn({ main: "{% from 'x' import f %}{{ f(a) }}", x: '{% macro f(p) %}{{ p }}{{ b }}{% endmacro %}' }), ['a'])
  t.strictSame(missingIn({ main: "{% from 'x' import f with context %}{{ f() }}", x: '{% macro f() %}{{ b }}{% endmacro %}' }), [
    'b',
  ])
  t.strictSame(missingIn({ main: "{% from 'x' import f %}{{ f }}", x: '' }), [])
})

t.test('a prompt that is no template is inserted byte for byte, and cannot be imported or extended', async (t) => {
  const text = '{{ braces }} {% raw\r\n\n'
  t.equal(render({ main: "a{% include 'x' %}b{% include 'x' without context %}", x: { text } }), `a${text}b${text}`)
  t.equal(render({ main: "{% filter upper %}{% include ['y', 'x'] %}{% endfilter %}", x: { text } }), text.toUpperCase())
  for (const main of ["{% extends 'x' %}", "{% import 'x' as m %}", "{% from 'x' import f %}"]) {
    t.match(
      errorOf(() => render({ main, x: { text } })),
      { code: 'template.unsupported', message: /"x" is no template/ },
      main,
    )
  }
})

t.test('a rendering leaves nothing behind in the templates that it includes', async (t) => {
  const unit = unitOf({ main: "{% from 'x' import ns %}{% set ns.n = ns.n + 1 %}{{ ns.n }}", x: '{% set ns = namespace(n=0) %}' })
  t.equal(renderTemplate(unit, {}), '1')
  t.equal(renderTemplate(unit, {}), '1')
})

t.test('one compiled template can stand for several prompts, each with what it names itself', async (t) => {
  const template = compileTemplate("{% extends 'p' %}{% block a %}{{ super() }}{% include 'x' %}{% endblock %}")
  const layout = { template: compileTemplate('<{% block a %}{% endblock %}>'), includes: new Map() }
  const inner = {
    template,
    includes: new Map<string, Unit<CompiledTemplate> | Verbatim>([
      ['p', layout],
      ['x', { text: '1' }],
    ]),
  }
  const outer = {
    template,
    includes: new Map<string, Unit<CompiledTemplate> | Verbatim>([
      ['p', inner],
      ['x', { text: '2' }],
    ]),
  }
  t.equal(renderTemplate(outer, {}), '<12>')
})

t.test('renderings that share a budget have one', async (t) => {
  const template = compileTemplate('{% for i in range(9000) %}{% endfor %}')
  const budget = new Budget()
  const inTotal = () => {
    for (let count = 0; count < 20; count += 1) renderTemplate(template, {}, { budget })
  }
  t.match(errorOf(inTotal), { code: 'template.too_complex', message: /steps/ })
  const long = compileTemplate('x'.repeat(200_000))
  const outputs = new Budget()
  const inOutput = () => {
    for (let count = 0; count < 20; count += 1) renderTemplate(long, {}, { budget: outputs })
  }
  t.match(errorOf(inOutput), { code: 'template.too_complex', message: /output/ })
})

const thousand = (text: string) => text.repeat(1000)
const names = (count: number, of: (name: string) => string) =>
  Array.from({ length: count }, (_, index) => of(`n${index}`)).join('')

const exhausting: Record<string, Sources> = {
  'includes that print nothing': {
    main: thousand("{% include 'b' %}"),
    b: thousand("{% include 'c' %}"),
    c: thousand("{% include 'd' %}"),
    d: '',
  },
  'includes without context': {
    main: thousand("{% include 'b' without context %}"),
    b: thousand("{% include 'c' %}"),
    c: thousand("{% include 'd' %}"),
    d: '',
  },
  'includes of comments': { main: thousand("{% include 'b' %}"), b: thousand("{% include 'c' %}"), c: thousand('{# #}') },
  'includes of text': { main: thousand("{% include 'b' %}"), b: thousand("{% include 'c' %}"), c: thousand('x') },
  'includes of text in a set block': {
    main: `{% set s %}${thousand("{% include 'b' %}")}{% endset %}`,
    b: thousand("{% include 'c' %}"),
    c: thousand('x'),
  },
  'includes of what is no template': {
    main: `{% for i in range(9000) %}${thousand("{% include 'b' %}")}{% endfor %}`,
    b: { text: '' },
  },
  'absent includes': { main: `{% for i in range(9000) %}${"{% include ['x', 'y'] ignore missing %}".repeat(500)}{% endfor %}` },
  imports: {
    main: thousand("{% import 'b' as m with context %}"),
    b: thousand("{% import 'c' as m with context %}"),
    c: thousand("{% import 'd' as m with context %}"),
    d: '',
  },
  'many names': {
    main: `${names(1000, (name) => `{% set ${name} = 1 %}`)}{% for i in range(9000) %}{% include 'b' %}{% endfor %}`,
    b: '',
  },
  'many blocks': { main: thousand("{% include 'b' %}"), b: names(1000, (name) => `{% block ${name} %}{% endblock %}`) },
  'scoped blocks': {
    main: `${names(500, (name) => `{% set ${name} = 1 %}`)}{% for i in range(9000) %}{% block b scoped %}{% endblock %}{% endfor %}`,
  },
  'blocks of blocks': {
    main: `{% extends 'b' %}{% block a %}${thousand('{{ super() }}')}{% endblock %}`,
    b: `{% extends 'c' %}{% block a %}${thousand('{{ super() }}')}{% endblock %}`,
    c: `{% block a %}${thousand('{{ self.b() }}')}{% endblock %}{% block b %}{% endblock %}`,
  },
  'a template that includes itself': { main: "{% include 'main' %}{% include 'main' %}" },
  'a template that extends itself': { main: "{% extends 'main' %}" },
  'a template that imports itself': { main: "{% import 'main' as m %}" },
  'a block that prints itself': { main: '{% block a %}{{ self.a() }}{{ self.a() }}{% endblock %}' },
  'text that grows from level to level': {
    main: "{% set s = 'ab' %}{% include 'b' %}",
    b: "{% set s = s ~ s %}{% include 'b' %}",
  },
}

t.test('templates that include too much are ended, in little time', async (t) => {
  for (const [name, sources] of Object.entries(exhausting)) {
    const unit = unitOf(sources)
    const elapsedMs = stopwatch()
    t.equal(errorOf(() => renderTemplate(unit, {})).code, 'template.too_complex', name)
    // The bound only has to tell an end from none on a busy machine.
    t.ok(elapsedMs() < 1_000, name)
  }
})

t.test('the places that name other prompts are listed in their order, with what the template does without', async (t) => {
  const template = compileTemplate(
    "{% extends 'layout@v1' %}\n{% import 'm' as m %}{% block a %}{% include ['a', 'b/c'] ignore missing %}{% endblock %}{% from 'n' import f %}",
  )
  t.strictSame(templateReferences(template.root), [
    { tag: 'extends', names: ['layout@v1'], isOptional: false, line: 1, column: 4 },
    { tag: 'import', names: ['m'], isOptional: false, line: 2, column: 4 },
    { tag: 'include', names: ['a', 'b/c'], isOptional: true, line: 2, column: 38 },
    { tag: 'import', names: ['n'], isOptional: false, line: 2, column: 93 },
  ])
})
