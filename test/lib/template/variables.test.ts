import fc from 'fast-check'
import t from 'tap'
import { childNodes, parseTemplate, type TemplateNode } from '../../../src/lib/template/parse.js'
import { TemplateError } from '../../../src/lib/template/template-error.js'
import { templateVariables } from '../../../src/lib/template/variables.js'

type Tap = typeof t

/** `a b?`: a is required, b is not. */
function variablesOf(source: string): string {
  const variables = templateVariables(parseTemplate(source))
  return variables.map(({ name, required }) => (required ? name : `${name}?`)).join(' ')
}

function errorOf(source: string): TemplateError {
  try {
    parseTemplate(source)
  } catch (error) {
    if (error instanceof TemplateError) return error
    throw error
  }
  throw new Error(`This was parsed: ${source.slice(0, 100)}`)
}

function collect(node: TemplateNode, found: TemplateNode[] = []): TemplateNode[] {
  found.push(node)
  for (const child of childNodes(node)) collect(child, found)
  return found
}

const textOf = (source: string) =>
  collect(parseTemplate(source))
    .map((node) => (node.typename === 'TemplateData' ? node.value : ''))
    .join('')

const literalsOf = (source: string) =>
  collect(parseTemplate(source)).flatMap((node) => (node.typename === 'Literal' ? [node.value] : []))

/** Each template with its variables. */
function checkEach(t: Pick<Tap, 'equal'>, expected: Record<string, string>): void {
  for (const [source, variables] of Object.entries(expected)) t.equal(variablesOf(source), variables, source)
}

t.test('variables come in the order of their first appearance, each once', async (t) => {
  checkEach(t, {
    'no braces': '',
    '{{ b }}{{ a }}{{ b }}': 'b a',
    '{{ body if cond else other }}': 'body cond? other',
    '{{ f(x, key=y) }} {{ x | filter(z) }} {{ w is divisibleby(v) }}': 'f x y z w v',
    '{{ {a: b}["c"] }} {{ a.b.c[d] }} {{ [e, (f, g)] }}': 'a b d e f g',
    '{{ x is defined|upper }}': 'x?',
  })
})

t.test('attributes, keywords, filters, tests, constants and Jinja’s own functions are no variables', async (t) => {
  checkEach(t, {
    '{{ x.y.none.true }}': 'x',
    '{{ f(key=1) }}': 'f',
    '{{ 1 | upper | join(", ") }}{{ 1 is odd }}': '',
    '{{ true }}{{ True }}{{ false }}{{ False }}{{ none }}{{ None }}': '',
    '{{ range(3) }}{{ dict() }}{{ lipsum() }}{{ cycler() }}{{ joiner() }}{{ namespace() }}': '',
    '{{ null }}': 'null',
    '{# {{ x }} #}{% raw %}{{ y }}{% endraw %}{% verbatim %}{{ z }}{% endverbatim %}': '',
  })
})

t.test('a for loop binds its names and "loop" in its body only', async (t) => {
  checkEach(t, {
    '{% for x in xs %}{{ x }}{{ loop.index }}{% else %}{{ x }}{% endfor %}{{ loop }}': 'xs x loop',
    '{% for k, v in d.items() %}{{ k }}{{ v }}{% endfor %}{{ k }}': 'd k',
    '{% for a, (b, c) in xs %}{{ a }}{{ b }}{{ c }}{% endfor %}': 'xs',
    '{% for x in x %}{{ x }}{% endfor %}': 'x',
    '{% for x in xs if x.ok and y %}{{ x }}{% endfor %}': 'xs y?',
    '{% for x in xs %}{% for y in x %}{{ y }}{% endfor %}{{ y }}{% endfor %}': 'xs y',
  })
})

t.test('a set binds from there on, out of an if but not out of a loop, a block or a macro', async (t) => {
  checkEach(t, {
    '{{ a }}{% set a = b %}{{ a }}': 'a b',
    '{% set a = a %}{{ a }}': 'a',
    '{% set a, b = pair %}{{ a }}{{ b }}': 'pair',
    '{% set a %}{{ b }}{% set c = 1 %}{% endset %}{{ a }}{{ c }}': 'b c',
    '{% set ns.x = y %}': 'ns y',
    '{% set ns = namespace(x=1) %}{% for i in xs %}{% set ns.x = i %}{% endfor %}{{ ns.x }}': 'xs',
    '{% for x in xs %}{% set a = 1 %}{{ a }}{% endfor %}{{ a }}': 'xs a',
    '{% if c %}{% set a = 1 %}{{ a }}{% endif %}{{ a }}': 'c?',
    '{% if c %}{% set a = 1 %}{% elif d %}{{ a }}{% else %}{% set b = 2 %}{% endif %}{{ b }}': 'c? d? a',
    '{% filter upper %}{% set a = 1 %}{% endfilter %}{{ a }}': 'a',
    '{% block title %}{% set a = 1 %}{{ a }}{% endblock %}{{ a }}': 'a',
  })
})

t.test('a macro binds its name, its parameters and "caller"; a default is evaluated outside', async (t) => {
  checkEach(t, {
    '{% macro m(a, b=c) %}{{ a }}{{ b }}{{ caller() }}{{ x }}{% endmacro %}{{ m(1) }}{{ a }}{{ caller }}': 'c x a caller',
    '{% macro m(a, b=a) %}{% endmacro %}': '',
    '{% macro m(a=a) %}{{ a }}{% endmacro %}': 'a',
    '{% macro m() %}{% set s = 1 %}{{ m() }}{% endmacro %}{{ s }}': 's',
    '{{ later() }}': 'later',
    '{% macro first() %}{{ second() }}{% endmacro %}{% macro second() %}{% endmacro %}': '',
    '{% macro m() %}{{ caller() }}{% endmacro %}{% call(user) m(x) %}{{ user }}{{ y }}{% endcall %}{{ user }}': 'x y user',
  })
})

t.test('a variable is optional if every use says what happens without it', async (t) => {
  checkEach(t, {
    '{{ x|default("a") }}{{ y|d }}{{ z.a["b"]|default("c")|upper }}{{ (w)|default(v) }}': 'x? y? z? w? v',
    '{{ x|upper|default("a") }}{{ y.get("a")|default("b") }}': 'x y',
    '{{ x is defined }}{{ y is undefined }}{{ z is none }}{{ w is not defined }}{{ v.a is defined }}': 'x? y? z? w? v?',
    '{{ x is string }}{{ y not in z }}': 'x y z',
    '{% set s = x is string and y %}{% if z is string %}{% endif %}': 'x? y z?',
    '{{ x or "a" }}{{ y and y.name }}{{ z or w }}{{ not v }}': 'x? y? z? w v?',
    '{{ x or y or "a" }}': 'x? y?',
    '{{ x if x else "" }}{{ y.a if y is defined }}{{ "" if not z else z }}': 'x? y? z?',
    '{% for x in xs or [] %}{% endfor %}{% for x in ys|default([]) %}{% endfor %}': 'xs? ys?',
    '{{ x|default("a") }}{{ x }}': 'x',
    '{{ x + 1 or 2 }}': 'x',
  })
})

t.test('an if on a variable guards it in the branch that has it', async (t) => {
  checkEach(t, {
    '{% if x %}{{ x }}{% endif %}': 'x?',
    '{% if x %}{% else %}{{ x }}{% endif %}': 'x',
    '{% if x %}{{ x }}{% endif %}{{ x }}': 'x',
    '{% if not x %}{% else %}{{ x }}{% endif %}': 'x?',
    '{% if not x %}{{ x }}{% endif %}': 'x',
    '{% if x is defined %}{{ x }}{% endif %}{% if y is not defined %}{% else %}{{ y }}{% endif %}': 'x? y?',
    '{% if x is not none %}{{ x }}{% endif %}': 'x',
    '{% if x and y %}{{ x }}{{ y }}{% endif %}': 'x? y?',
    '{% if x or y %}{{ x }}{% endif %}': 'x y?',
    '{% if x and z or x and y %}{{ x }}{% endif %}': 'x? z? y?',
    '{% if not x or not y %}{% else %}{{ x }}{{ y }}{% endif %}': 'x? y?',
    '{% if (x and (y)) %}{{ x }}{{ y }}{% endif %}': 'x? y?',
    '{% if x is defined and f(x) %}{% endif %}': 'x? f',
    '{% if a %}{% elif x %}{{ x }}{{ a }}{% endif %}': 'a x?',
    '{% if not x %}{% elif y %}{{ x }}{% else %}{{ x }}{% endif %}': 'x? y?',
    '{% if x.name %}{% for i in x.list %}{{ x }}{% endfor %}{% endif %}': 'x?',
    '{% if x %}{% macro m() %}{{ x }}{% endmacro %}{% endif %}': 'x?',
    '{% if xs|length %}{{ xs }}{% endif %}{% if ys|length > 0 %}{{ ys }}{% endif %}': 'xs? ys?',
    '{% if xs|length == 0 %}{{ xs }}{% endif %}': 'xs',
    '{% if x|default(false) %}{{ x }}{% endif %}{% if y|default(true) %}{{ y }}{% endif %}': 'x? y',
    '{% if x == "a" %}{{ x }}{% elif y != "b" %}{{ y }}{% endif %}{% if z in ["c"] %}{% endif %}': 'x? y z?',
    '{% if (a, b) %}{% endif %}{% if f().x %}{% endif %}': 'a b f',
    '{% if x > 3 %}{% endif %}{% if x + 1 %}{% endif %}{% if f(y) %}{% endif %}': 'x f y',
  })
})

t.test('a raw block ends at the first end tag, as in Jinja2, and trims what its dashes say', async (t) => {
  t.equal(textOf('a {% raw %} {{ x }} {% endraw %} b'), 'a  {{ x }}  b')
  t.equal(textOf('a {%- raw -%} {{ x }} {%- endraw -%} b'), 'a{{ x }}b')
  t.equal(textOf('{% raw %}{% raw %}{% verbatim %}{# {% endraw %}'), '{% raw %}{% verbatim %}{# ')
  t.equal(errorOf('{% raw %}{% raw %}{% endraw %}\n{% endraw %}').line, 2)
})

t.test('whitespace control trims the text beside the tag only', async (t) => {
  t.equal(textOf('a  {{- 1 }}  b  {{ 2 -}}  c'), 'a  b  c')
  t.equal(textOf('a {%- if x -%} b {%- endif %} c {#- d -#} e'), 'ab ce')
  t.equal(textOf('a {%+ if x +%} b {% endif %}'), 'a  b ')
  t.equal(textOf('#} }} %} { {'), '#} }} %} { {')
})

t.test('strings and numbers mean what they mean in Python', async (t) => {
  const source = String.raw`{{ ["a\n\t\\\"", 'b"\'', "\d\x41\u5ba2\101", 'é', 1_000, 2.5, 1e3, ""] }}`
  t.strictSame(literalsOf(source), ['a\n\t\\"', 'b"\'', '\\dA客A', 'é', 1000, 2.5, 1000, ''])
  t.strictSame(literalsOf('{{ {"a": {"b": 1}} }}'), ['a', 'b', 1])
  t.equal(variablesOf('{{ r/2 }}{{ r / a / b }}'), 'r a b')
})

t.test('what would reach outside of the template, or is not Jinja, is refused by name', async (t) => {
  const refused: Record<string, RegExp> = {
    '{% include "a" %}': /"include" is not supported yet\. Put the text in this prompt\./,
    '{%- extends "a" %}': /"extends" is not supported yet/,
    '{% import "a" as b %}': /"import" is not supported yet/,
    '{% from "a" import b %}': /"from" is not supported yet/,
    '{% block a %}{{ super() }}{% endblock %}': /"super\(\)" is not supported yet/,
    '{% switch a %}{% endswitch %}': /"switch" is not Jinja/,
    '{% ifAsync a %}{% endif %}': /"ifAsync" is not Jinja/,
    '{% asyncEach a in b %}{% endeach %}': /"asyncEach" is not Jinja/,
    '{% asyncAll a in b %}{% endall %}': /"asyncAll" is not Jinja/,
    '{{ "a"|replace(r/^(a+)+$/, "b") }}': /Regular expressions are not Jinja/,
    '{{ r/x/g.test }}': /Regular expressions are not Jinja/,
  }
  for (const [source, message] of Object.entries(refused)) {
    t.match(errorOf(source), { code: 'template.unsupported', message, line: 1 }, source)
  }
})

t.test('a syntax error says where, what and how to go on', async (t) => {
  const wrong: [string, number, number, RegExp][] = [
    ['a\nb {{ x y }}', 2, 8, /^Expected "}}" here\./],
    ['{{ x }', 1, 6, /^Unexpected "}"/],
    ['\n {{ x\n', 2, 2, /"{{" is never closed by "}}"/],
    ['{% if x', 1, 1, /"{%" is never closed by "%}"/],
    ['a{% if x %}b', 1, 2, /never closed by "{% endif %}"/],
    ['{% for x in xs %}{% else %}', 1, 18, /never closed by "{% endfor %}"/],
    ['{% else %}', 1, 4, /tag "else" is unknown or not in its place/],
    ['{% if x %}{% endfor %}', 1, 14, /tag "endfor" is unknown or not in its place/],
    ['{{ "abc }}', 1, 4, /string is never closed/],
    ['{# abc', 1, 1, /comment "{#" is never closed/],
    ['x {% raw %}{{', 1, 3, /"{% raw %}" is never closed by "{% endraw %}"/],
    ['{% verbatim %}{% endraw %}', 1, 1, /"{% verbatim %}" is never closed/],
    ['{% endraw %}', 1, 4, /tag "endraw" is not one of a pair/],
    ['{{ (a] }}', 1, 6, /Expected "\)" but found "]"/],
    ['{{ 客服 }}', 1, 4, /A name is made of/],
    ['{{ a ? b }}', 1, 6, /Unexpected "\?"/],
    ['{{ x"&Function`1```&"y }}', 1, 5, /Expected "}}" here/],
    ['{{ a|b.c }}', 1, 6, /"b\.c" is not a name/],
    ['{{ a[] }}', 1, 5, /Expected an index/],
  ]
  for (const [source, line, column, message] of wrong) {
    const error = errorOf(source)
    t.match(error, { code: 'template.syntax', line, column, message }, source)
    t.match(error.message, /Fix it, or set "template": "none" if the braces are not Jinja\.$/)
    t.notMatch(error.message, /\[Line|unknown path/)
  }
})

t.test('a call block that calls nothing is a syntax error', async (t) => {
  t.match(errorOf('{% call x %}{% endcall %}'), { code: 'template.syntax', message: /Expected the call of a macro/, column: 9 })
})

t.test('what honest templates do is far within the bounds', async (t) => {
  const nested = (open: string, close: string, depth: number) => `${open.repeat(depth)}x${close.repeat(depth)}`
  t.equal(variablesOf(nested('{% if a %}', '{% endif %}', 100)), 'a?')
  t.equal(variablesOf(`{{ ${nested('(', ')', 100)} }}`), 'x')
  t.equal(variablesOf('text {{ a }}\n'.repeat(2_000)), 'a')
  t.equal(variablesOf(`{{ a${' ~ b'.repeat(400)} }}`), 'a b')
  t.equal(variablesOf(`{% if a %}${'{% elif b %}'.repeat(400)}{% endif %}`), 'a? b?')
  t.equal(textOf('{% raw %}x{% endraw %}'.repeat(10_000)).length, 10_000)
})

const maxSourceLength = 262_144
const fill = (head: string, unit: string, tail = '') =>
  head + unit.repeat(Math.floor((maxSourceLength - head.length - tail.length) / unit.length)) + tail

const tooComplex: Record<string, string> = {
  'too long': 'x'.repeat(maxSourceLength + 1),
  'open tags': fill('', '{{'),
  'open blocks': fill('', '{%'),
  outputs: fill('', '{{a}}'),
  'if tags': fill('', '{% if a %}'),
  'nested if': '{% if a %}'.repeat(101),
  'elif tags': `{% if a %}${'{% elif a %}'.repeat(1_000)}{% endif %}`,
  parentheses: fill('{{', '('),
  brackets: fill('{{', '['),
  braces: fill('{{ ', '{'),
  attributes: `{{ a${'.b'.repeat(600)} }}`,
  'many attributes': fill('{{ a', '.b', ' }}'),
  filters: `{{ a${'|f'.repeat(600)} }}`,
  calls: `{{ a${'()'.repeat(600)} }}`,
  sums: `{{ a${' + a'.repeat(600)} }}`,
  not: fill('{{ ', 'not ', 'a }}'),
  minus: fill('{{ ', '-', 'a }}'),
  'inline if': fill('{{ ', 'a if b else ', 'c }}'),
  list: fill('{{ [', 'a,', 'a] }}'),
}

t.test('what is nested too deeply or has too many parts is refused, not tried', async (t) => {
  for (const [name, source] of Object.entries(tooComplex)) t.equal(errorOf(source).code, 'template.too_complex', name)
})

const slowElsewhere: Record<string, string> = {
  comments: fill('', '{#'),
  'empty comments': fill('', 'a{##}'),
  'raw tags': fill('', '{% raw %}'),
  'raw blocks': fill('', '{% raw %}x{% endraw %}'),
  'nested raw tags': '{% raw %}'.repeat(12_000) + '{% endraw %}'.repeat(12_000),
  'almost the end of raw': fill('{% raw %}', '{%   endra'),
  'spaces to trim': fill('', ' ', 'x{{- a }}'),
  'runs of spaces to trim': fill('', `${' '.repeat(1_000)}x`, '{{- a }}'),
  'spaces in a tag': fill('{{', ' ', 'a }}'),
  'line breaks in a tag': fill('{{', '\n'),
  string: fill('{{ "', 'x', '" }}'),
  'open string': fill('{{ "', 'x'),
  escapes: fill('{{ "', '\\x', '" }}'),
  backslashes: fill('{{ "', '\\', ' }}'),
  digits: fill('{{ ', '1_', '1 }}'),
  name: fill('{{ ', 'a', ' }}'),
  'unknown tag': fill('{% ', 'a', ' %}'),
  'not quite a regular expression': fill('{{ r/', 'a', ' }}'),
  'single braces': fill('', '{ '),
  variables: Array.from({ length: 3_300 }, (_, index) => `{{v${index}}}`).join(''),
  conditions: `{% if ${'a and '.repeat(490)}a %}{% endif %}`.repeat(9),
  'sets in nested ifs': `${'{% if a %}'.repeat(100)}${'{% set b = c %}'.repeat(1_200)}${'{% endif %}'.repeat(100)}`,
}

t.test('no template, however hostile, holds the process', async (t) => {
  // Some of these are quadratic in nunjucks itself. The bound only has to tell that from linear on a busy machine.
  for (const [name, source] of Object.entries({ ...tooComplex, ...slowElsewhere })) {
    const startedAt = performance.now()
    try {
      templateVariables(parseTemplate(source))
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error
    }
    const tookMs = performance.now() - startedAt
    t.ok(tookMs < 1_000, `${name}: ${Math.round(tookMs)} ms`)
  }
})

t.test('a parse that finds too little stack left is refused', async (t) => {
  const source = `${'{% if a %}'.repeat(100)}{{ ${'('.repeat(100)}a${')'.repeat(100)} }}${'{% endif %}'.repeat(100)}`
  const parsedBelow = (frames: number): string => {
    if (frames > 0) return parsedBelow(frames - 1)
    try {
      return parseTemplate(source).typename
    } catch (error) {
      return error instanceof TemplateError ? error.code : 'other'
    }
  }
  const outcomes = new Set<string>()
  for (let frames = 0; frames < 100_000 && outcomes.size < 2; frames += 100) outcomes.add(parsedBelow(frames))
  t.strictSame([...outcomes], ['Root', 'template.too_complex'])
})

const fragment = fc.constantFrom(
  ...['{{', '}}', '{%', '%}', '{#', '#}', '-', '+', ' ', '\n', 'a', 'b', '.', '|', '(', ')', '[', ']', '{', '}', ',', ':', '='],
  ...['"', "'", '\\', '1', '~', '==', 'r/', '/', 'if ', 'elif ', 'else ', 'endif ', 'for ', ' in ', 'endfor ', 'set ', 'endset '],
  ...['not ', ' and ', ' or ', ' is ', 'defined', 'none', 'macro ', 'endmacro ', 'call ', 'endcall ', 'filter ', 'endfilter '],
  ...['raw', 'endraw', 'block ', 'endblock ', 'include ', 'import ', 'switch ', 'super()', '客', '\u{1f600}', '\ud800', '\0'],
  ...[
    '{{ a }}',
    '{% if a %}',
    '{% endif %}',
    '{% for a in b %}',
    '{% endfor %}',
    '{% set a = b %}',
    '{% call a() %}',
    '{% endcall %}',
  ],
)
const soup = fc.array(fragment, { maxLength: 60 }).map((parts) => parts.join(''))

t.test('any text is parsed or refused with a TemplateError that has a position in it', async () => {
  fc.assert(
    fc.property(fc.oneof(soup, fc.string({ unit: 'binary' })), (source) => {
      try {
        templateVariables(parseTemplate(source))
      } catch (error) {
        if (!(error instanceof TemplateError)) throw error
        const lines = source.split('\n')
        const line = lines[error.line - 1]
        return line !== undefined && error.column >= 1 && error.column <= line.length + 1
      }
      return true
    }),
    { numRuns: 3_000 },
  )
})

const text = fc.stringMatching(/^[a-z .\n}%#]{0,20}$/).filter((value) => !value.endsWith('{'))
const requiredForms = [
  '{{ @ }}',
  '{{ @.a["b"] }}',
  '{{- f(@) -}}',
  '{% for i in @ %}{{ i }}{% endfor %}',
  '{% set s = @ %}{{ s }}',
]
const optionalForms = ['{{ @|default(1) }}', '{% if @ %}{{ @ }}{% endif %}', '{{ @ or 1 }}', '{{ @.a if @ is defined }}']

t.test('the names put into a template come back, in order, and no others', async () => {
  const use = fc.record({ form: fc.constantFrom(...requiredForms, ...optionalForms), text })
  fc.assert(
    fc.property(fc.array(use, { maxLength: 20 }), (uses) => {
      const source = uses
        .map(({ form, text }, index) => text + form.replaceAll('f(', 'range(').replaceAll('@', `name_${index}`))
        .join('')
      const expected = uses.map(({ form }, index) => `name_${index}${optionalForms.includes(form) ? '?' : ''}`)
      return variablesOf(source) === expected.join(' ')
    }),
  )
})

t.test('a text without braces is one node and has no variables', async () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }).filter((value) => !/\{[{%#]/.test(value)),
      (source) => textOf(source) === source && variablesOf(source) === '',
    ),
  )
})

t.test('an error is reported on the line and in the column where it stands', async () => {
  fc.assert(
    fc.property(text, fc.constantFrom('{{ a ', '{# a ', '{% raw %}'), (before, broken) => {
      const lines = before.split('\n')
      const error = errorOf(before + broken)
      return error.line === lines.length && error.column === (lines.at(-1) ?? '').length + 1
    }),
  )
})
