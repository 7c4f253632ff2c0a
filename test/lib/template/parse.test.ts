import t from 'tap'
import { parseTemplate } from '../../../src/lib/template/parse.js'
import { compileTemplate, renderTemplate } from '../../../src/lib/template/render.js'
import { TemplateError } from '../../../src/lib/template/template-error.js'

/** What Jinja2 refuses as well, or what is refused by its name here: the code, line and column. */
const refused: [source: string, code: string, line: number, column: number][] = [
  ['{{ x is True }}', 'unsupported', 1, 9],
  ['{{ 1 is None }}', 'unsupported', 1, 9],
  ["{{ 'a' is string if true }}", 'syntax', 1, 21],
  ['{% call 5 %}{% endcall %}', 'syntax', 1, 9],
  ['{{ x|foo }}', 'unsupported', 1, 6],
  ['{{ x is foo }}', 'unsupported', 1, 9],
  ['{% if 1 if 2 else 3 %}{% endif %}', 'syntax', 1, 9],
  ['{{ 07 }}', 'syntax', 1, 5],
  ['{% for a in [1] %}{{ a }}{% endfor x %}', 'syntax', 1, 36],
  ['{% block a %}{% endblock %}{% block a %}{% endblock %}', 'syntax', 1, 37],
  ['{{ f(a=1, a=2) }}', 'syntax', 1, 11],
  ['{% for loop in [1] %}{% endfor %}', 'syntax', 1, 8],
  ['{% macro m(caller) %}{% endmacro %}', 'syntax', 1, 12],
  ['{% set true = 1 %}', 'syntax', 1, 8],
  ['{% set 1 = 1 %}', 'syntax', 1, 8],
  ['{{ 1 2 }}', 'syntax', 1, 6],
  ['{{ [1 }}', 'syntax', 1, 7],
  ['{{ }}', 'syntax', 1, 4],
  ['{% if %}{% endif %}', 'syntax', 1, 7],
  ['{{ x is }}', 'syntax', 1, 9],
  ['{{ x| }}', 'syntax', 1, 7],
  ['{{ a.1b }}', 'syntax', 1, 7],
  ['{% for %}{% endfor %}', 'syntax', 1, 8],
  ['{% macro %}{% endmacro %}', 'syntax', 1, 10],
  ['{% block %}{% endblock %}', 'syntax', 1, 10],
  ['{% block a %}{% endblock b %}', 'syntax', 1, 26],
  ['{% elif %}', 'syntax', 1, 4],
  ["{{ {'a' 1} }}", 'syntax', 1, 9],
  ['{{ {1,2} }}', 'syntax', 1, 6],
  ['{{ x[1:2:3:4] }}', 'syntax', 1, 11],
  ['{{ (x for x in y) }}', 'syntax', 1, 7],
  ['{{ lambda: 1 }}', 'syntax', 1, 10],
  ['{{ 1 if 2 if 3 else 4 else 5 }}', 'syntax', 1, 23],
  ['{{ 1__0 }}', 'syntax', 1, 5],
  ["{{ 'a' 1 }}", 'syntax', 1, 8],
  ['{% set a = b = 1 %}', 'syntax', 1, 14],
  ['{% set a.b.c = 1 %}', 'syntax', 1, 11],
  ['{{ a.b = 1 }}', 'syntax', 1, 8],
  ['{{ [*x] }}', 'syntax', 1, 5],
  ['{{ a ? b : c }}', 'syntax', 1, 6],
  ['{{ a && b }}', 'syntax', 1, 6],
  ['{{ !a }}', 'syntax', 1, 4],
  ['a\n{% do x %}', 'unsupported', 2, 4],
  ['{% autoescape true %}', 'unsupported', 1, 4],
  ['{% trans %}', 'unsupported', 1, 4],
  ['{% for x in y %}{% break %}', 'unsupported', 1, 20],
  ['{% for x in y %}{% continue %}', 'unsupported', 1, 20],
  ['{% debug %}', 'unsupported', 1, 4],
  ['{{ f(**a, b=1) }}', 'syntax', 1, 11],
  ['{% for x in a if b else c %}{% endfor %}', 'syntax', 1, 20],
  ['{% include x %}', 'unsupported', 1, 12],
  ["\n{% include 'a' ~ b %}", 'unsupported', 2, 12],
  ["{% include 'a' if b else 'c' %}", 'unsupported', 1, 12],
  ["{% include 'a'|lower %}", 'unsupported', 1, 12],
  ["{% include ['a', b] %}", 'unsupported', 1, 18],
  ['{% include [] ignore missing %}', 'unsupported', 1, 12],
  [`{% include [${"'a',".repeat(21)}] %}`, 'unsupported', 1, 12],
  ['{% include 1 %}', 'unsupported', 1, 12],
  ['{% include none %}', 'unsupported', 1, 12],
  ['{% extends x.y %}', 'unsupported', 1, 12],
  ['{% import x as m %}', 'unsupported', 1, 11],
  ['{% from x import m %}', 'unsupported', 1, 9],
  ["{% include '' %}", 'syntax', 1, 12],
  ["{% include 'A' %}", 'syntax', 1, 12],
  ["{% include 'a b' %}", 'syntax', 1, 12],
  ["{% include '../a' %}", 'syntax', 1, 12],
  ["{% include 'a@' %}", 'syntax', 1, 12],
  ["{% include 'a@b@c' %}", 'syntax', 1, 12],
  ["{% include '@b' %}", 'syntax', 1, 12],
  [`{% include '${'a'.repeat(201)}' %}`, 'syntax', 1, 12],
  ["{% include 'a' ignore %}", 'syntax', 1, 16],
  ["{% include 'a' with context without context %}", 'syntax', 1, 29],
  ["{% import 'a' %}", 'syntax', 1, 15],
  ["{% import 'a' as 'b' %}", 'syntax', 1, 18],
  ["{% from 'a' import _b %}", 'syntax', 1, 20],
  ["{% from 'a' import b as c d %}", 'syntax', 1, 27],
  ["{% for x in y %}{% extends 'a' %}{% endfor %}", 'syntax', 1, 20],
  ["{% block a %}{% extends 'a' %}{% endblock %}", 'syntax', 1, 17],
  ['{% block a required %} b{% endblock %}', 'syntax', 1, 23],
  ['{% block a required %}{{ b }}{% endblock %}', 'syntax', 1, 26],
  ['{% block a required scoped %}{% endblock %}', 'syntax', 1, 21],
  ['{% for x, in y %}{% endfor %}', 'syntax', 1, 14],
  ['{% with x=1, %}{% endwith %}', 'syntax', 1, 14],
  ["{{ '\\x' }}", 'syntax', 1, 4],
  ["{{ 1 }}{{ '\\u12' }}", 'syntax', 1, 11],
  ["{{ '\\U00110000' }}", 'syntax', 1, 4],
  ["{{ '\\N{BULLET}' }}", 'syntax', 1, 4],
  ['{{ x + not y }}', 'syntax', 1, 8],
  ['{{ x - not [] }}', 'syntax', 1, 8],
  [`{{ ${'9'.repeat(1001)} }}`, 'too_complex', 1, 4],
  [`{{ x.${'9'.repeat(1001)} }}`, 'too_complex', 1, 6],
]

t.test('what is refused is refused with its place', async (t) => {
  for (const [source, code, line, column] of refused) {
    try {
      compileTemplate(source)
      t.fail(source)
    } catch (error) {
      t.type(error, TemplateError)
      t.match(error, { code: `template.${code}`, line, column }, source)
    }
  }
})

t.test('a tag that is refused has its own reason', async (t) => {
  for (const [tag, reason] of [
    ['break', /Let the loop have a condition/],
    ['trans', /variants or variables/],
    ['autoescape true', /no HTML/],
    ['debug', /print everything/],
    ['do x', /off by default/],
  ] as const) {
    t.throws(() => parseTemplate(`{% ${tag} %}`), { message: reason }, tag)
  }
  t.throws(() => parseTemplate('{{ 1 + not x }}'), { message: /in parentheses/ })
})

t.test('lines end at every kind of line break, before they are made one kind as well', async (t) => {
  for (const lineBreak of ['\n', '\r\n', '\r']) {
    const source = `a${lineBreak}${lineBreak}b{{ x y }}`
    for (const parse of [parseTemplate, compileTemplate])
      t.throws(() => parse(source), { name: 'TemplateError', line: 3, column: 7 }, JSON.stringify(source))
  }
})

t.test('the message of an error stays short whatever it quotes, and holds whole characters', async (t) => {
  for (const source of [
    "{{ {}['😀' * 100000].a }}",
    "{{ {}['a' ~ '😀' * 100000].a }}",
    `{{ ${'f'.repeat(100_000)}.a }}`,
    "{{ ('x' * 100000)|float + [] }}",
  ]) {
    const error = errorOf(() => renderTemplate(compileTemplate(source), {}))
    t.ok(error.message.length <= 301, source)
    t.ok(error.message.isWellFormed(), source)
  }
})

function errorOf(run: () => unknown): TemplateError {
  try {
    run()
  } catch (error) {
    if (error instanceof TemplateError) return error
    throw error
  }
  throw new Error('Nothing was thrown.')
}
