import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { childNodes, parseTemplate, type TemplateNode } from '../../../src/lib/template/parse.js'
import { TemplateError } from '../../../src/lib/template/template-error.js'
import { type RootUnit, templateVariables, VariableAnalysis } from '../../../src/lib/template/variables.js'
import { runs } from '../../helpers/runs.js'
import { stopwatch } from '../../helpers/stopwatch.js'

type Tap = typeof t

/** `a b?`: a is required, b is not. */
function variablesOf(source: string): string {
  const variables = templateVariables(parseTemplate(source))
  return variables.map(({ name, required }) => (required ? name : `${name}?`)).join(' ')
}

/** The paths of all variables. */
function pathsOf(source: string): string {
  return templateVariables(parseTemplate(source))
    .flatMap(({ paths }) => paths)
    .join(' ')
}

/** Prompts by their names, of which "main" is looked at. Each includes what it names in quotes; one that is not a template is in a list. */
type Sources = Record<string, string | [text: string]>

function unitOf(sources: Sources, name = 'main', made = new Map<string, RootUnit>()): RootUnit {
  const known = made.get(name)
  if (known) return known
  const source = String(sources[name])
  const includes = new Map<string, RootUnit | { text: string }>()
  const unit = { template: { root: parseTemplate(source) }, includes }
  made.set(name, unit)
  for (const [other, text] of Object.entries(sources)) {
    if (source.includes(`'${other}'`)) includes.set(other, Array.isArray(text) ? { text: text[0] } : unitOf(sources, other, made))
  }
  return unit
}

/** `a.b c?`: the paths of all variables, c not being required. */
function composed(sources: Sources): string {
  const variables = templateVariables(unitOf(sources))
  return variables.flatMap(({ paths, required }) => paths.map((path) => (required ? path : `${path}?`))).join(' ')
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
    '{{ x|default("a") }}{{ y|d }}{{ z.a["b"]|default("c")|upper }}{{ (w)|default(v) }}': 'x? y? z w? v',
    '{{ x|upper|default("a") }}{{ y.get("a")|default("b") }}': 'x y',
    '{{ x is defined }}{{ y is undefined }}{{ z is none }}{{ w is not defined }}{{ v.a is defined }}': 'x? y? z? w? v',
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
    '{% if x.name %}{% for i in x.list %}{{ x }}{% endfor %}{% endif %}': 'x',
    '{% if x %}{% macro m() %}{{ x }}{% endmacro %}{% endif %}': 'x?',
    '{% if xs|length %}{{ xs }}{% endif %}{% if ys|length > 0 %}{{ ys }}{% endif %}': 'xs? ys?',
    '{% if xs|length == 0 %}{{ xs }}{% endif %}': 'xs',
    '{% if x|default(false) %}{{ x }}{% endif %}{% if y|default(true) %}{{ y }}{% endif %}': 'x? y',
    '{% if x == "a" %}{{ x }}{% elif y != "b" %}{{ y }}{% endif %}{% if z in ["c"] %}{% endif %}': 'x? y z?',
    '{% if (a, b) %}{% endif %}{% if f().x %}{% endif %}': 'a b f',
    '{% if x > 3 %}{% endif %}{% if x + 1 %}{% endif %}{% if f(y) %}{% endif %}': 'x f y',
  })
})

t.test('paths name the places in a variable that are used, the innermost only', async (t) => {
  const expected: Record<string, string> = {
    '{{ name }}': 'name',
    '{{ user.address["city"] }}{{ user["first name"].x }}': 'user.address.city user["first name"].x',
    '{{ user }}{{ user.a.b }}{{ user.a }}{{ user.c }}': 'user.a.b user.c',
    '{% for d in docs %}{{ d.title }}{% for t in d.tags %}{{ t }}{% endfor %}{% endfor %}': 'docs[].title docs[].tags[]',
    '{% for d in docs %}x{% endfor %}': 'docs',
    '{{ docs[0].title }}{{ docs[-1].x }}{{ docs[i].y }}{{ docs[:3] }}{{ docs.0.z }}': 'docs[].title docs[].x docs[].y docs[].z i',
    '{{ name.upper() }}{{ user.name.split(",")[0] }}': 'name user.name',
    '{{ m.get("x").y }}{{ m.get("z", w) }}{{ m.items }}': 'm.x.y m.z m.items w',
    '{% if user.name is defined and user.age > 3 %}{% endif %}': 'user.name user.age',
    '{{ user.render(1) }}': 'user.render',
    '{{ x["__proto__"].constructor }}': 'x.__proto__.constructor',
  }
  for (const [source, paths] of Object.entries(expected)) t.equal(pathsOf(source), paths, source)
})

t.test('paths go on through loops over mappings, and names that are set', async (t) => {
  const expected: Record<string, string> = {
    '{% for k, v in m.items() %}{{ k }}{{ v.x }}{% endfor %}': 'm.*.x',
    '{% for k, v in m|dictsort %}{{ v }}{% endfor %}{% for v in n.values() %}{{ v.y }}{% endfor %}': 'm.* n.*.y',
    '{% for a, b in pairs %}{{ a }}{{ b.x }}{% for p in pairs %}{{ p[1].x }}{{ p[0] }}{% endfor %}{% endfor %}': 'pairs[][].x',
    '{% for a, b in pairs %}{{ a.x }}{{ b.x.y }}{% endfor %}': 'pairs[][].x.y',
    '{% for k in m.keys() %}{{ k }}{% endfor %}{% for k in n %}{{ n[k] }}{% endfor %}': 'm n[]',
    '{% for a, b in pairs %}{{ a.x }}{{ b.y }}{% endfor %}': 'pairs[][].x pairs[][].y',
    '{% set u = user %}{% set n = u.name %}{{ n.first }}': 'user.name.first',
    '{% set a, b = x, y %}{{ a.p }}{{ b.q }}{% set c, d = z %}{{ c.r }}': 'x.p y.q z[].r',
    '{% with u = user.a %}{{ u.b }}{% endwith %}': 'user.a.b',
    '{% set u = a %}{% if c %}{% set u = b %}{% endif %}{{ u.name }}': 'a.name c b.name',
    '{% if c %}{% set u = a %}{% else %}{% set u = b %}{% endif %}{{ u.x }}': 'c a.x b.x',
    '{% set u %}{{ x.y }}{% endset %}{{ u.z }}': 'x.y',
    '{% macro m(x) %}{{ x.y }}{% endmacro %}{{ m(user) }}': 'user',
    '{% for n in tree recursive %}{{ n.name }}{{ loop(n.children) }}{% endfor %}': 'tree[].name tree[].children',
  }
  for (const [source, paths] of Object.entries(expected)) t.equal(pathsOf(source), paths, source)
})

t.test('paths go on through filters that keep items, and through alternatives', async (t) => {
  const expected: Record<string, string> = {
    '{% for d in docs|sort(attribute="date")|selectattr("ok")|unique|list %}{{ d.title }}{% endfor %}':
      'docs[].date docs[].ok docs[].title',
    '{% for d in docs|rejectattr("a.b", "eq", x)|reverse %}{{ d.c }}{% endfor %}': 'docs[].a.b docs[].c x',
    '{{ docs|map(attribute="x.y")|join(", ") }}{{ others|join(", ", attribute="z") }}': 'docs[].x.y others[].z',
    '{{ docs|map("upper")|join }}{{ (users|first).name }}{{ prices|sum("n") }}': 'docs[] users[].name prices[].n',
    '{% for g in docs|groupby("cat") %}{{ g.grouper }}{% for d in g.list %}{{ d.t }}{% endfor %}{% endfor %}':
      'docs[].cat docs[].t',
    '{% for c, ds in docs|groupby("cat") %}{{ c }}{{ ds[0].t }}{% endfor %}': 'docs[].cat docs[].t',
    '{% for row in xs|batch(3) %}{% for x in row %}{{ x.n }}{% endfor %}{% endfor %}': 'xs[].n',
    '{% for d in docs or [] %}{{ d.x }}{% endfor %}{% for d in more|default([]) %}{{ d.y }}{% endfor %}': 'docs[].x more[].y',
    '{{ (a or b).name }}{{ (c if d else e).f }}{{ (g|default(h)).i }}': 'a.name b.name c.f d e.f g.i h.i',
    '{% for d in docs + [one] %}{{ d.x }}{% endfor %}': 'docs[].x one.x',
    '{{ user|attr("name") }}{{ user|tojson }}': 'user.name',
    '{{ docs|length }}{% for d in docs %}{{ d.x }}{% endfor %}': 'docs[].x',
  }
  for (const [source, paths] of Object.entries(expected)) t.equal(pathsOf(source), paths, source)
})

t.test('paths are at most 100 of a variable, none of more than 200 characters', async (t) => {
  const many = templateVariables(parseTemplate(Array.from({ length: 1_000 }, (_, index) => `{{ a.b${index} }}`).join('')))
  t.equal(many[0]?.paths.length, 100)
  t.equal(many[0]?.paths[99], 'a.b99')
  const long = pathsOf(`{{ a${'.bcdefgh'.repeat(50)} }}{{ b["${'x'.repeat(1_000)}"] }}{{ ${'c'.repeat(300)}.d }}`)
  t.strictSame(
    long.split(' ').map((path) => path.length),
    [193, 1, 300],
  )
})

t.test('a name that is set to a variable needs it where the name is used', async (t) => {
  checkEach(t, {
    '{% set u = user %}': 'user?',
    '{% set u = user %}{{ u }}': 'user',
    '{% set u = user %}{{ u|default("x") }}{% if u %}{{ u.name }}{% endif %}': 'user?',
    '{% set u = user %}{% set v = u %}{{ v }}': 'user',
    '{% set u = user.name %}': 'user',
    '{% set u = user or {} %}{{ u.name }}': 'user?',
    '{% if user %}{% set u = user %}{% else %}{% set u = other %}{% endif %}{{ u.name }}': 'user? other',
    '{% with u = user %}{{ u is defined }}{% endwith %}': 'user?',
  })
})

t.test('a block sees what is set outside of everything, and of loops around it only if it is scoped', async (t) => {
  checkEach(t, {
    '{% for x in xs %}{% block b %}{{ x }}{% endblock %}{% endfor %}': 'xs x',
    '{% for x in xs %}{% block b scoped %}{{ x }}{{ loop.index }}{% endblock %}{% endfor %}': 'xs',
    '{% set a = 1 %}{% block b %}{{ a }}{% endblock %}': '',
    '{% block b %}{{ a }}{% endblock %}{% set a = 1 %}': 'a',
    '{% with a = 1 %}{% block b %}{{ a }}{% endblock %}{% endwith %}': 'a',
    '{% block a %}{% set x = 1 %}{% block b %}{{ x }}{% endblock %}{% endblock %}': 'x',
    '{% if a %}{% block b %}{{ a }}{% endblock %}{% endif %}{{ self.b() }}': 'a',
    '{% if a %}{% block b %}{{ a }}{% endblock %}{% endif %}': 'a?',
    '{% macro m() %}{{ super }}{% endmacro %}{{ self.x() }}': 'super',
  })
})

t.test('what is included sees the names where it stands; without context nothing', async (t) => {
  const expected: [sources: Sources, paths: string][] = [
    [
      { main: "{% for doc in docs %}{% include 'card' %}{% endfor %}{{ z }}", card: '{{ doc.title }}{{ other }}' },
      'docs[].title other z',
    ],
    [{ main: "{% include 'a' %}{{ x }}{% include 'a' %}", a: '{{ y }}{{ x|default(1) }}' }, 'y x'],
    [{ main: "{% include 'a' without context %}{{ x }}", a: '{{ y }}' }, 'x'],
    [
      { main: "{% set g = user %}{% include 'a' %}", a: "{% if g %}{{ g.name }}{% endif %}{% include 'b' %}", b: '{{ g.age }}' },
      'user.name user.age',
    ],
    [{ main: "{% with t = 1 %}{% include 'a' %}{% endwith %}{% include 'a' %}", a: '{{ t }}' }, 't'],
    [{ main: "{% macro m(a) %}{% include 'a' %}{% endmacro %}{{ m(x) }}", a: '{{ a }}' }, 'x'],
    [{ main: "{% if x %}{% include 'a' %}{% endif %}", a: '{{ x.a }}{{ q }}' }, 'x.a? q'],
    [{ main: "{% include ['gone', 'a', 'b'] %}{% include 'gone' ignore missing %}", a: '{{ x }}', b: '{{ y }}' }, 'x'],
    [{ main: "{% include 'a' %}", a: ['{{ x }}'] }, ''],
    [{ main: "{% for i in xs %}{% include 'a' %}{% endfor %}", a: '{{ loop.index }}' }, 'xs loop.index'],
    [{ main: "{% for i in xs %}{% include 'a' %}{{ loop.last }}{% endfor %}", a: '{{ loop.index }}' }, 'xs'],
    [
      { main: "{% block a %}{% include 'b' %}{% endblock %}{% set q = 1 %}", b: '{{ q }}{% block a %}{{ w }}{% endblock %}' },
      'q w',
    ],
    [
      {
        main: "{% for k, ds in docs|groupby('c') %}{% include 'a' %}{% endfor %}",
        a: '{% for d in ds %}{{ d.t }}{% endfor %}{{ k }}',
      },
      'docs[].c docs[].t',
    ],
    [
      {
        main: "{% set groups = docs|groupby('c') %}{% set pairs = m.items() %}{% include 'a' %}",
        a: '{% for k, ds in groups %}{{ ds[0].t }}{% endfor %}{% for k, v in pairs %}{{ v.x }}{% endfor %}',
      },
      'docs[].c docs[].t m.*.x',
    ],
  ]
  for (const [sources, paths] of expected) t.equal(composed(sources), paths, sources.main as string)
})

t.test('an import binds its names, and its macros see variables only with context', async (t) => {
  const a = '{% macro f(a) %}{{ q }}{{ a }}{% endmacro %}'
  t.equal(composed({ main: "{% import 'a' as m %}{{ m.f(x) }}{{ m }}{{ f }}", a }), 'x f')
  t.equal(composed({ main: "{% from 'a' import f as g %}{{ g(x) }}{{ f }}", a }), 'x f')
  t.equal(composed({ main: "{% import 'a' as m with context %}{{ m.f(x) }}", a }), 'q x')
  t.equal(composed({ main: "{% for q in qs %}{% from 'a' import f with context %}{{ f() }}{% endfor %}", a }), 'qs[]')
})

t.test('of a template and its parents what is rendered counts', async (t) => {
  const c = '{% block x %}{{ inC }}{% endblock %}{% block y %}{{ never }}{% endblock %}{{ s.r }}'
  const b =
    "{% extends 'c' %}{% set s = t %}{% block x %}{{ super() }}{{ inB }}{% endblock %}{% block y %}{{ s.q }}{% endblock %}"
  const expected: [sources: Sources, paths: string][] = [
    [{ main: "{% extends 'b' %}{% block x %}{{ super() }}{{ inA }}{% endblock %}", b, c }, 't.q t.r inC inB inA'],
    [{ main: "{% extends 'b' %}{% block x %}{{ super.super() }}{% endblock %}", b, c }, 't.q t.r inC'],
    [{ main: "{% extends 'b' %}{% block x %}{{ inA }}{% endblock %}", b, c }, 't.q t.r inA'],
    [{ main: "{{ before }}{% extends 'b' %}{{ after }}", b: '{{ x }}' }, 'before x'],
    [{ main: "{% extends 'b' %}{% if c %}{{ d }}{% endif %}{% for x in e %}{{ x.f }}{{ g }}{% endfor %}", b: '' }, 'c? e'],
    [{ main: "{% extends 'b' %}{% include 'i' %}", b: '', i: '{{ x }}' }, 'x'],
    [
      {
        main: "{% extends 'b' %}{% set a %}{{ x }}{% endset %}{% macro m() %}{{ y }}{% endmacro %}",
        b: '{{ a }}{{ m() }}{{ z }}',
      },
      'x y z',
    ],
    [{ main: "{% if c %}{% extends 'b' %}{% endif %}{{ x }}", b: '{{ y }}' }, 'c? x y'],
    [
      {
        main: "{% extends 'b' %}{% block x %}{{ i.name }}{% endblock %}",
        b: '{% for i in xs %}{% block x scoped %}{% endblock %}{% endfor %}',
      },
      'xs[].name',
    ],
    [{ main: "{% extends 'b' %}{% block x %}{{ o }}{% endblock %}", b: '{{ self.x() }}' }, 'o'],
    [
      {
        main: "{% include 'd' %}",
        d: "{% extends 'b' %}{% block x %}{{ o }}{% endblock %}",
        b: '{% block x %}{{ d }}{% endblock %}',
      },
      'o',
    ],
    [
      {
        main: "{% extends 'b' %}{% block x %}{{ self.x() }}{{ super() }}{{ o }}{% endblock %}",
        b: '{% block x %}{% endblock %}',
      },
      'o',
    ],
  ]
  for (const [sources, paths] of expected) t.equal(composed(sources), paths, sources.main as string)
})

t.test('a prompt that is reached on many ways is gone through once', async (t) => {
  const sources: Record<string, string> = { level10: '{{ x.y }}{{ i }}' }
  for (let level = 9; level >= 0; level -= 1)
    sources[`level${level}`] = `{% set i = 1 %}{% include 'level${level + 1}' %}{{ i }}`.repeat(100)
  sources.main = "{% include 'level0' %}"
  const elapsedMs = stopwatch()
  t.equal(composed(sources), 'x.y')
  t.ok(elapsedMs() < 1_000)
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
  'sets in nested branches': `${'{% if a %}{% else %}'.repeat(99)}${Array.from({ length: 1_200 }, (_, i) => `{% set b${i} = c %}`).join('')}${'{% endif %}'.repeat(99)}`,
  'blocks that render each other': Array.from(
    { length: 500 },
    (_, i) => `{% block b${i} %}{% if a %}{{ self.b${i + 1}() }}{{ self.b${i + 1}() }}{% endif %}{% endblock %}`,
  ).join(''),
  'lists of lists': '{% set a = [a, b] %}{% set b = [b, a] %}'.repeat(400),
  'sets in nested ifs': `${'{% if a %}'.repeat(100)}${'{% set b = c %}'.repeat(1_200)}${'{% endif %}'.repeat(100)}`,
}

t.test('no template, however hostile, holds the process', async (t) => {
  // Some of these are quadratic in nunjucks itself. The bound only has to tell that from linear on a busy machine.
  for (const [name, source] of Object.entries({ ...tooComplex, ...slowElsewhere })) {
    const elapsedMs = stopwatch()
    try {
      templateVariables(parseTemplate(source))
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error
    }
    const tookMs = elapsedMs()
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
    { numRuns: runs(3_000) },
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

const uses = fc.array(
  fc.record({
    form: fc.constantFrom(...requiredForms, ...optionalForms, '{% for i in @|sort(attribute="x") %}{{ i.y }}{% endfor %}'),
    name: fc.constantFrom('a', 'b', 'c.d', 'e'),
  }),
  { minLength: 1, maxLength: 8 },
)
const written = (parts: { form: string; name: string }[]) =>
  parts.map(({ form, name }) => form.replaceAll('f(', 'range(').replaceAll('@', name))

t.test('what hands on too many variables to too many others is an error, in little time', async (t) => {
  const names = (count: number, letter: string) => Array.from({ length: count }, (_, index) => `{{ ${letter}${index} }}`).join('')
  const children = Object.fromEntries(Array.from({ length: 99 }, (_, index) => [`c${index}`, "{% extends 'base' %}"]))
  const main = Object.keys(children).map((name) => `{% include '${name}' %}`)
  const few = unitOf({ main: main.join(''), ...children, base: names(40, 'v') })
  t.equal(templateVariables(few).length, 40)
  const many = unitOf({ main: main.join(''), ...children, base: names(2_000, 'v') })
  const elapsedMs = stopwatch()
  t.throws(() => templateVariables(many), { name: 'TemplateError', code: 'template.too_complex' })
  t.ok(elapsedMs() < 1_000)
})

t.test('several templates of one prompt take the same from outside as each by itself', async (t) => {
  const made = new Map<string, RootUnit>()
  const sources = { a: "{{ x }}{% include 'c' %}", b: "{% set y = 1 %}{% include 'c' %}", c: '{{ y.z }}' }
  const units = ['a', 'b', 'a'].map((name) => unitOf(sources, name, made))
  const analysis = new VariableAnalysis()
  t.same(
    units.map((unit) => analysis.variables(unit)),
    units.map((unit) => templateVariables(unit)),
  )
})

t.test('a text takes the same from outside in one prompt, in included ones and in blocks of one that is extended', async () => {
  fc.assert(
    fc.property(uses, (parts) => {
      const texts = written(parts)
      const inline = templateVariables(parseTemplate(texts.join('')))
      const named = Object.fromEntries(texts.map((source, index) => [`p${index}`, source]))
      const includes = texts.map((_, index) => `{% include 'p${index}' %}`).join('')
      const block = (source: string, index: number) => `{% block b${index} %}${source}{% endblock %}`
      const others = [
        unitOf({ main: includes, ...named }),
        unitOf({ main: "{% include 'all' %}", all: includes, ...named }),
        unitOf({ main: texts.map(block).join('') }),
        unitOf({
          main: `{% extends 'base' %}${texts.map(block).join('')}`,
          base: texts.map((_, index) => block('', index)).join(''),
        }),
        unitOf({ main: "{% extends 'base' %}", base: texts.map(block).join('') }),
      ]
      for (const other of others) assert.deepEqual(templateVariables(other), inline)
    }),
    { numRuns: 50 },
  )
})

t.test('an if on a name guards all of it, wherever it is used', async () => {
  fc.assert(
    fc.property(uses, (parts) => {
      const source = written(parts).join('')
      const guarded = `{% if a and b and c and e %}${source}{% endif %}{% if a and b and c and e %}{% include 'p' %}{% endif %}`
      return templateVariables(unitOf({ main: guarded, p: source })).every(({ required }) => !required)
    }),
    { numRuns: 50 },
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
