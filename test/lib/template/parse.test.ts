import t from 'tap'
import { compileTemplate } from '../../../src/lib/template/render.js'
import { TemplateError } from '../../../src/lib/template/template-error.js'

/** What Jinja2 refuses as well, or what is refused by its name here: the code, line and column. */
const refused: [source: string, code: string, line: number, column: number][] = [
  ['{{ x is True }}', 'unsupported', 1, 9],
  ['{{ 1 is None }}', 'unsupported', 1, 9],
  ["{{ 'a' is string if true }}", 'syntax', 1, 21],
  ['{% call 5 %}{% endcall %}', 'syntax', 1, 9],
  ['{{ x|foo }}', 'unsupported', 1, 6],
  ['{{ x is foo }}', 'unsupported', 1, 9],
  ['{% if 1 if 2 else 3 %}{% endif %}', 'syntax', 1, 12],
  ['{{ 07 }}', 'syntax', 1, 5],
  ['{% for a in [1] %}{{ a }}{% endfor x %}', 'syntax', 1, 38],
  ['{{ super() }}', 'unsupported', 1, 4],
  ['{% block a scoped %}{% endblock a %}', 'unsupported', 1, 12],
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
  ['{% block a %}{% endblock b %}', 'syntax', 1, 28],
  ['{% elif %}', 'syntax', 1, 4],
  ["{{ {'a' 1} }}", 'syntax', 1, 9],
  ['{{ {1,2} }}', 'syntax', 1, 6],
  ['{{ x[1:2:3:4] }}', 'syntax', 1, 11],
  ['{{ (x for x in y) }}', 'syntax', 1, 7],
  ['{{ lambda: 1 }}', 'syntax', 1, 10],
  ['{{ 1 if 2 if 3 else 4 else 5 }}', 'syntax', 1, 23],
  ['{{ 1__0 }}', 'syntax', 1, 5],
  ["{{ 'a' 1 }}", 'syntax', 1, 8],
  ['{% set a = b = 1 %}', 'syntax', 1, 16],
  ['{% set a.b.c = 1 %}', 'syntax', 1, 12],
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
  ['{{ self.a() }}', 'unsupported', 1, 4],
  ['{{ f(**a, b=1) }}', 'syntax', 1, 11],
  ['{% for x in a if b else c %}{% endfor %}', 'syntax', 1, 25],
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
