import t from 'tap'
import { compileTemplate, Given, renderTemplate } from '../../../src/lib/template/render.js'
import { TemplateError } from '../../../src/lib/template/template-error.js'
import { stopwatch } from '../../helpers/stopwatch.js'

function render(source: string, variables: Record<string, unknown> = {}): string {
  return renderTemplate(compileTemplate(source), variables)
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

/** Each template with what Jinja2 3.1.6 prints, and the variables it is given. */
const printed: [source: string, output: string, variables?: Record<string, unknown>][] = [
  ['{{ range(3) }}', 'range(0, 3)'],
  ['{{ range(3)[1] }}{{ range(10)[2:4] }}{{ range(3) == [0,1,2] }}', '1range(2, 4)False'],
  ['{{ namespace(a=1) }}', "<Namespace {'a': 1}>"],
  ["{{ dict(a=1) }}{{ dict([['a',1]], b=2) }}", "{'a': 1}{'a': 1, 'b': 2}"],
  ['{{ cycler }}', "<class 'jinja2.utils.Cycler'>"],
  [
    '{{ -3 ** n }} {{ -x ** n }} {{ -3 ** 2 }} {{ (1-4) ** n }} {{ -0.0 ** n }} {{ -true ** n }}',
    '-9 9 9 -9 -0.0 -1',
    { n: 2, x: 3 },
  ],
  [
    '{{ -3 ** n ** 2 }} {{ -3|abs ** n }} {{ (-3 ** n)|abs }} {{ 2 ** -n }} {{ (-3 if n else 4) ** n }}',
    '81 9 9 0.25 9',
    { n: 2 },
  ],
  ['{% for x in 1, recursive %}{{ x }}{% endfor %}{% for (x,) in [[1]] %}{{ x }}{% endfor %}', '11'],
  ['{% filter escape %}<{% endfilter %}{% filter default(1) %}{% endfilter %}{% set x|length %}abc{% endset %}{{ x }}', '&lt;3'],
  [
    '{% macro m(a,b=2) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1,2,3,z=4) }}{{ m }}{{ m() }}',
    "12(3,){'z': 4}<Macro 'm'>2(){}",
  ],
  ['{% for x in [1,2] recursive %}{{ x }}{{ loop([3]) if x < 3 }}{% endfor %}', '1323'],
  ['{% set c = cycler(1,2) %}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}', '12None1'],
  ['{% set j = joiner() %}{{ j() }}{{ j() }}', ', '],
  ['{{ 1 if false }}', ''],
  ['{{ 1.0 * 3 }}{{ 7 // 2.0 }}{{ -7 // 2 }}{{ -7 % 3 }}{{ 7 % -3.5 }}{{ 6/2 }}', '3.03.0-42-0.03.0'],
  ["{{ '%s-%d' % ('a', 2) }}", 'a-2'],
  ["{{ 'a' % x }}", 'a'],
  ['{{ 1 == x }}{{ x == y }}', 'FalseTrue'],
  ["{{ 'abc'.0 }}{{ [[5]].0.0 }}", 'a5'],
  ["{{ dict(**{'a':1}) }}", "{'a': 1}"],
  ["{{ {'a':1}[[1]] }}", ''],
  ["{{ [1,2]['0'] }}", ''],
  ['{{ [1,2][true] }}', '2'],
  ['{{ [1][1.0] }}', ''],
  ["{% set ns = namespace([['a',1]]) %}{{ ns.a }}{{ ns['a'] }}", '11'],
  ['{{ 1 ~ none ~ 2.0 }}', '1None2.0'],
  ["{{ [] * 3 }}{{ 3 * 'a' }}{{ (1,) * 2 }}", '[]aaa(1, 1)'],
  ['{{ true + true }}', '2'],
  ['{% if 1, 2 %}y{% endif %}', 'y'],
  ['{% print 1, 2 %}', '12'],
  ['{% if true: %}x{% endif %}', 'x'],
  ['{{ 0x1F }}{{ 0b11 }}{{ 0o17 }}{{ 00 }}{{ 1_0.5_0 }}', '31315010.5'],
  ['{{ x }}{% set x = 1 %}{{ x }}', '1'],
  ['{{ x }}{% set x = 1 %}{{ x }}', '51', { x: 5 }],
  ['{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% set x = 1 %}{{ m() }}', '1', { x: 5 }],
  ['{% if c %}{% set x = 1 %}{% endif %}{{ x }}', '5', { x: 5 }],
  ['{% for i in [1,2] %}{{ x }}{% set x = i %}{{ x }}{% endfor %}{{ x }}', '51525', { x: 5 }],
  ['{% for i in [1,2] %}{% set y = i %}{{ y }}{% endfor %}{{ y }}', '12', { x: 5 }],
  ['{% for i in [1,2] %}{% if i == 2 %}{{ x }}{% endif %}{% set x = i %}{% endfor %}{{ x }}', '55', { x: 5 }],
  ['{% set x = 1 %}{% for i in [1,2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}', '231'],
  [
    '{% set ns = namespace(n=0) %}{% for i in [1,2,3] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}{{ ns }}',
    "6<Namespace {'n': 6}>",
  ],
  ['{% set x = 1 %}{% block b %}{{ x }}{% set x = 2 %}{{ x }}{% endblock %}{{ x }}', '121'],
  ['{% for i in [1] %}{% block b %}[{{ i }}]{% endblock %}{% endfor %}', '[]'],
  ['{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}', '1'],
  ['{% with %}{% set x = 3 %}{{ x }}{% endwith %}{{ x }}', '35', { x: 5 }],
  ["{% set x | upper | replace('A','b') %}a{{ 'c' }}{% endset %}{{ x }}", 'bC'],
  ["{% filter upper %}a{% set q = 'x' %}{{ q }}{% endfilter %}{{ q }}", 'AX'],
  ['{% set a, (b, c) = 1, (2, 3) %}{{ a }}{{ b }}{{ c }}', '123'],
  ['{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}', '123'],
  ["{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}", 'a1'],
  [
    '{% for x in [1,2,3,4] if x is even %}{{ loop.index }}{{ x }}{{ loop.last }}{{ loop.length }}{% else %}no{% endfor %}',
    '12False224True2',
  ],
  ['{% for x in [1] if x is even %}{% else %}no{% endfor %}', 'no'],
  [
    "{% for x in [3,4] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.changed(x) }}{{ loop.cycle('a','b') }} {% endfor %}",
    '1021TrueFalse2104Truea 2110FalseTrue2103Trueb ',
  ],
  [
    "{% for t in [{'n':1,'c':[{'n':2,'c':[]},{'n':3,'c':[{'n':4,'c':[]}]}]}] recursive %}{{ t.n }}{{ loop.depth }}({{ loop(t.c) }}){% endfor %}",
    '11(22()32(43()))',
  ],
  [
    "{% macro m(x) %}[{{ caller(x) if caller else '-' }}]{% endmacro %}{% call(y) m(5) %}{{ y + 1 }}{% endcall %}{{ m(1) }}",
    '[6][-]',
  ],
  ['{% macro m() %}{{ caller() }}{% endmacro %}{% for i in [1,2] %}{% call m() %}{{ i }}{% endcall %}{% endfor %}', '12'],
  ['{% macro a() %}A{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}', 'AB'],
  ['{% macro f(n) %}{{ n }}{{ f(n-1) if n > 0 }}{% endmacro %}{{ f(3) }}', '3210'],
  ['{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(2) }}', '2'],
  ['{% if true %}{% macro m() %}x{% endmacro %}{% endif %}{{ m() }}', 'x'],
  ['{% for i in [1,2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}', '12'],
  ['{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 1 == 1.0 == true }}', 'TrueFalseTrue'],
  ['{{ -1|abs }}{{ -2 ** 2 }}{{ 2 ** -1 }}{{ 2 ** 3 ** 2 }}', '140.564'],
  ['{{ not 1 in [1] }}{{ 1 not in [2] }}{{ not 1 == 2 }}', 'FalseTrueTrue'],
  ['{{ 1 + 2 is odd }}{{ 5 is divisibleby 5 }}{{ 5 is not divisibleby(3) }}', '1TrueTrue'],
  ["{{ 1 is in [1,2] }}{{ 'a' is eq 'a' }}", 'TrueTrue'],
  ["{{ 1, 2 }}{{ (1,) }}{{ () }}{{ (1) }}{{ [1,2,] }}{{ {'a':1,} }}", "(1, 2)(1,)()1[1, 2]{'a': 1}"],
  ["{{ {1: 'a', none: 'b', (1,2): 'c'} }}", "{1: 'a', None: 'b', (1, 2): 'c'}"],
  ["{{ 'abcdef'[1:4] }}{{ 'abcdef'[::-1] }}{{ [1,2,3][-2:] }}{{ (1,2,3)[:1] }}{{ 'abc'[-1] }}", 'bcdfedcba[2, 3](1,)c'],
  ["{{ '😀bé'[0] }}{{ '😀b'[::-1] }}{{ '😀b'[1:] }}", '😀b😀b'],
  ['{{ 1 if 0 else 2 if 0 else 3 }}', '3'],
  ['{% for x in [1,2] if x > 1 %}{{ x }}{% endfor %}', '2'],
  ['{% set ns = namespace(p=0) %}{% for x in [1,1,2] if x != ns.p %}{{ x }}{% set ns.p = x %}{% endfor %}', '12'],
  ['a\r\nb\rc\n', 'a\nb\nc'],
  ['a\n\n', 'a\n'],
  ["{{ 'a\r\nb' }}", 'a\nb'],
  [' {%- if true -%} x {%- endif -%} y', 'xy'],
  ['{%+ if true +%} x {% endif %}', ' x '],
  ['  {#- c -#}  z', 'z'],
  ['{% raw -%} {{ x }} {%- endraw %}', '{{ x }}'],
  ['{{ 10 // 3 }}{{ -10 // 3 }}{{ 10 % -3 }}{{ 7.5 // 2 }}{{ -7.5 % 2 }}{{ 10 / 4 }}{{ 4 / 2 }}', '3-4-23.00.52.52.0'],
  [
    '{{ 2 ** 100 }}{{ 9007199254740993 }}{{ 9007199254740991 + 2 }}{{ 3037000500 * 3037000500 }}',
    '1267650600228229401496703205376900719925474099390071992547409939223372037000250000',
  ],
  ['{{ 0.1 + 0.2 }}{{ 1e20 }}{{ 1e-7 }}{{ 1.5e3 }}{{ 100000000000000000.0 }}', '0.300000000000000041e+201e-071500.01e+17'],
  ['{{ 1.0 }}{{ 1.0 + 1 }}{{ 3 * 1.5 }}{{ 2.0 ** 2 }}', '1.02.04.54.0'],
  ["{{ true and 'a' }}{{ '' or 'b' }}{{ not '' }}{{ none or [] }}", 'abTrue[]'],
  ["{{ [1,2] + [3] }}{{ (1,) + (2,) }}{{ 'a' * 3 }}{{ [0] * 2 }}", '[1, 2, 3](1, 2)aaa[0, 0]'],
  ["{{ 1 == '1' }}{{ [1] == [1.0] }}{{ {'a':1} == {'a':1} }}{{ (1,) == [1] }}", 'FalseTrueTrueFalse'],
  ["{{ 'a' in 'abc' }}{{ 'a' in {'a':1} }}{{ 1 in x }}{{ x in [y] }}", 'TrueTrueFalseTrue'],
  ["{{ 'a' < 'b' }}{{ [1,2] < [1,3] }}{{ 1 < 2.5 }}{{ true > false }}", 'TrueTrueTrueTrue'],
  ["{{ '%.2f' % n }}{{ '%s' % s }}", '1.50z', { n: 1.5, s: 'z' }],
  ["{{ dict(a=1, **{'b':2}) }}{{ range(*[1,4])|list }}", "{'a': 1, 'b': 2}[1, 2, 3]"],
  ["{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(*[1,2], **{'a':3}) }}", "(1, 2){'a': 3}"],
  ['{{ range(5, 0, -2) }}{{ range(5,0,-2)|list }}{{ range(10)[::3] }}', 'range(5, 0, -2)[5, 3, 1]range(0, 10, 3)'],
  ['{{ range(0)|list }}{% for i in range(3) %}{{ i }}{% endfor %}', '[]012'],
  ["{% set c = joiner('|') %}{% for i in [1,2,3] %}{{ c() }}{{ i }}{% endfor %}", '1|2|3'],
  ["{% print 'x' %}", 'x'],
  ['{% if 0 %}a{% elif 1 %}b{% else %}c{% endif %}', 'b'],
  ['{% if 0 %}a{% elif 0 %}b{% else %}c{% endif %}', 'c'],
  ['{{ loop is defined }}{{ x is defined }}{{ range is defined }}', 'FalseFalseTrue'],
  ["{{ {}.y is defined }}{{ {}.y|default('d') }}", 'Falsed'],
  ["{% for x in 'ab😀' %}{{ x }},{% endfor %}", 'a,b,😀,'],
  ['{% for x in y %}a{% else %}b{% endfor %}', 'b'],
  ["{{ x|default(y|default('z')) }}{{ 'a' if x is defined else 'b' }}", 'zb'],
  ["{{ [1,[2,(3,)],{'a':none}] }}{{ [x] }}", "[1, [2, (3,)], {'a': None}][Undefined]"],
  ['{% set x = 5 %}{% macro m() %}{% set x = 6 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}', '65'],
  ['{% set x %}a{% endset %}{{ x }}{{ x is string }}', 'aTrue'],
  ['{% set loop = 1 %}{{ loop }}', '1'],
  ['{% for i in [1] %}{% for j in [1,2] %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}', '121'],
  ['{% for i in [1,2] %}{% set outer = loop %}{% for j in [1] %}{{ outer.index }}{% endfor %}{% endfor %}', '12'],
  ['{% for i in [] %}{% else %}{{ loop }}{% endfor %}', ''],
  ['{{ true.x }}|{{ none.x }}|{{ 1.x }}', '||'],
  ["{{ [1,2]|first }}{{ {'a':1}|length }}", '11'],
  ['{% if x %}{% elif y %}{% endif %}{% if not x %}n{% endif %}', 'n'],
  ["{{ [[1,2],[3,4]][1][0] }}{{ {'a':{'b':1}}.a.b }}{{ {'a':[5]}['a'][0] }}", '315'],
  ["{{ ([1,2],3)[0][1] }}{{ {'k': (1,2)}['k'][1] }}", '22'],
  ['{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}', ''],
  ["{{ 'x' if true }}{{ 'x' if false }}|", 'x|'],
  ['{{ 1e308 * 10 }}{{ -1e308 * 10 }}', 'inf-inf'],
  ['{{ 1_000 }}', '1000'],
  ["{{ '\\n\\t\\x41\\u00e9' }}", '\n\tAé'],
  ["{% set f = 'a'.upper %}{{ f() }}", 'A'],
  ["{{ 'a' is callable }}{{ range is callable }}", 'FalseTrue'],
  [
    '{% for i in range(3) %}{% if loop.first %}a{% endif %}{{ loop }}{% endfor %}',
    'a<LoopContext 1/3><LoopContext 2/3><LoopContext 3/3>',
  ],
  ["{{ [x, y] == [y, x] }}{{ x == none }}{{ x ~ 'a' }}", 'TrueFalsea'],
  ['{% with a=1 %}{% macro m() %}{{ a }}{% endmacro %}{{ m() }}{% endwith %}{{ m }}', '1'],
  ["{% for i in [1,2,3] %}{{ loop.nextitem is defined }}{{ loop.previtem|default('-') }}{% endfor %}", 'True-True1False2'],
  ["{{ 3.0 == 3 }}{{ {3.0: 'a'}[3] }}{{ {1:'x', true:'y'} }}", "Truea{1: 'y'}"],
  ['{% set x = 1 %}{% for i in [1,2] %}{% block b %}{{ x }}{% endblock %}{% endfor %}', '11'],
  ['{% block b %}{{ x }}{% endblock %}{% set x = 1 %}', '5', { x: 5 }],
  ['{% if a %}{% set x=1 %}{% elif b %}{% set x=2 %}{% else %}{% set x=3 %}{% endif %}{{ x }}', '3'],
  ['{% if c %}{{ x }}{% set x=1 %}{% else %}{% set x=2 %}{% endif %}{{ x }}', '51', { x: 5, c: true }],
  ['{% for i in [1,2] %}{% if i == 1 %}{% set y = 7 %}{% endif %}{{ y }}{% endfor %}', '7'],
  ['{% set y = 3 %}{% for i in [1,2] %}{% if i == 1 %}{% set y = 7 %}{% endif %}{{ y }}{% endfor %}{{ y }}', '733'],
  ['{% macro m(x=1) %}{% set x = x + 1 %}{{ x }}{% endmacro %}{{ m() }}{{ m(5) }}', '26'],
  ['{% set a = 1 %}{% macro m() %}{{ a }}{% set a = 2 %}{{ a }}{% endmacro %}{{ m() }}{{ a }}', '121'],
  ['{% with a = 1 %}{% with b = a %}{{ a + b }}{% endwith %}{{ b }}{% endwith %}', '2'],
  [
    '{% for a in [1,2] recursive %}{% set q = a %}{% if a is number and a == 1 %}{{ loop([9]) }}{% endif %}{{ q }}{% endfor %}',
    '912',
  ],
  ['{% for a in [] recursive %}x{% else %}e{% endfor %}', 'e'],
  ['{% for x in [1,2,3] if x > 1 recursive %}{{ x }}{{ loop([0,5]) if x == 2 }}{% endfor %}', '253'],
  ["{% filter replace('a', y) %}{% set y = 'q' %}a{% endfilter %}", 'q'],
  ['{% macro m() %}{{ caller(1) }}{% endmacro %}{% call(a, b=2) m() %}{{ a }}{{ b }}{% endcall %}', '12'],
  [
    '{% macro o() %}<{{ caller() }}>{% endmacro %}{% macro p() %}({{ caller() }}){% endmacro %}{% call o() %}{% call p() %}x{% endcall %}{% endcall %}',
    '<(x)>',
  ],
  ["{% set x = [1,2,3]|map('string')|join %}{{ x }}", '123'],
  ['{{ [3,1,2]|sort|first + 1 }}', '2'],
  ["{{ ['a','b']|map('upper')|list }}", "['A', 'B']"],
  ["{{ {'b':1,'a':2}|dictsort }}", "[('a', 2), ('b', 1)]"],
  ["{% for g in [{'k':1,'v':2},{'k':1,'v':3}]|groupby('k') %}{{ g.grouper }}{{ g.list|length }}{{ g[0] }}{% endfor %}", '121'],
  [
    "{{ ('<b>'|escape) + '<i>' }}{{ '<i>' + ('<b>'|escape) }}{{ ('<b>'|safe) ~ '<' }}",
    '&lt;b&gt;&lt;i&gt;&lt;i&gt;&lt;b&gt;<b><',
  ],
  ["{{ 'a%sb' % 'x' }}{{ '%d%%' % 5 }}{{ '%(a)s' % {'a': 1} }}", 'axb5%1'],
  ['{{ 2 ** 0.5 }}{{ 4 ** 0.5 }}{{ 0 ** 0 }}{{ (-1) ** 3 }}{{ 1 ** 100000000000 }}', '1.41421356237309512.01-11'],
  ['{{ 7 // -2 }}{{ -7 // -2 }}{{ 7 % -2 }}{{ -0.0 }}{{ 0 * -1 }}{{ -0 }}{{ -7 % 7 }}', '-43-1-0.0000'],
  ['{{ true * 3 }}{{ true / 2 }}{{ -true }}{{ +true }}{{ true // 1 }}', '30.5-111'],
  [
    "{{ 'abc'[5:] }}|{{ [1,2,3][5:1:-1] }}|{{ [1,2,3][::-2] }}|{{ 'abc'[-100:100] }}|{{ [1,2,3][-1:0:-1] }}",
    '|[3]|[3, 1]|abc|[3, 2]',
  ],
  ["{{ 'abc'[none:2] }}{{ 'abc'[true:] }}", 'abbc'],
  ["{% for x in {'a':1,'b':2} %}{{ x }}{% endfor %}{% for x in (1,2) %}{{ x }}{% endfor %}", 'ab12'],
  ["{% for c in 'ab' %}{{ loop.revindex }}{{ c }}{% endfor %}", '2a1b'],
  ['{% for a in [1,1,2] %}{% if loop.changed(a) %}{{ a }}{% endif %}{% endfor %}', '12'],
  ["{{ 'é'|upper }}{{ 'straße'|upper }}", 'ÉSTRASSE'],
  ['{% set x = namespace(a=[1]) %}{{ x.a[0] }}{{ x.b is defined }}{{ x.b }}', '1False'],
  ["{% if 'a' in x %}y{% else %}n{% endif %}", 'n'],
  ["{% macro m() %}{% endmacro %}{{ m()|length }}{{ m() == '' }}", '0True'],
  ['{{ [1,2,3]|sum / 2 }}{{ 5 / 2|int }}', '3.02.5'],
  ['{{ a == b == c }}', 'True'],
  ['{{ 1 is not none and 2 is number }}', 'True'],
  ['{% if not x is defined and y is not defined %}ok{% endif %}', 'ok'],
  ["{{ 'a' if x is not defined else 'b' }}", 'a'],
  ["{{ x is defined|string + 'z' }}", 'Falsez'],
  ['{{ 3 is odd == true }}', 'True'],
  ['{{ -3|abs ** 2 }}', '9'],
  ["{{ [1,2]|length > 1 and 'y' or 'n' }}", 'y'],
  ["{% for i in range(3) %}{{ ',' if not loop.first }}{{ i }}{% endfor %}", '0,1,2'],
  ["{{ dict(a=1).a }}{{ {'a': {'b': [1,{'c':2}]}}.a.b[1].c }}", '12'],
  ["{{ 'x'.join(['1','2']).replace('x','-') }}", '1-2'],
  ["{{ '' if none else 'q' }}{{ (none or {}).a }}", 'q'],
  [
    '{{ 10000000000000000000000 + 1 }}{{ 5 - 10000000000000000000000 }}{{ 10 ** 20 // 3 }}{{ -(10**20) % 7 }}{{ 10**20 / 10**19 }}',
    '10000000000000000000001-999999999999999999999533333333333333333333510.0',
  ],
]

/** Each template with the exception that Python raises. */
const raised: [source: string, message: string][] = [
  ['{{ 1/0 }}', 'ZeroDivisionError: division by zero'],
  ['{{ 1//0 }}', 'ZeroDivisionError: integer division or modulo by zero'],
  ['{{ 1%0 }}', 'ZeroDivisionError: integer modulo by zero'],
  ['{{ 1.0/0 }}', 'ZeroDivisionError: float division by zero'],
  ['{{ 1.0//0 }}', 'ZeroDivisionError: float floor division by zero'],
  ['{{ 1.0%0 }}', 'ZeroDivisionError: float modulo'],
  ['{{ 0 ** -1 }}', 'ZeroDivisionError: 0.0 cannot be raised to a negative power'],
  ['{{ 2.0 ** 10000 }}', "OverflowError: (34, 'Numerical result out of range')"],
  ["{{ -'a' }}", "TypeError: bad operand type for unary -: 'str'"],
  ["{{ 'a' ** 2 }}", "TypeError: unsupported operand type(s) for ** or pow(): 'str' and 'int'"],
  ['{{ [1] + (2,) }}', 'TypeError: can only concatenate list (not "tuple") to list'],
  ["{{ 'a' * 2.0 }}", "TypeError: can't multiply sequence by non-int of type 'float'"],
  ["{{ 'a' * 'b' }}", "TypeError: can't multiply sequence by non-int of type 'str'"],
  ["{{ 1 + 'a' }}", "TypeError: unsupported operand type(s) for +: 'int' and 'str'"],
  ['{{ none + 1 }}', "TypeError: unsupported operand type(s) for +: 'NoneType' and 'int'"],
  ['{{ 1 in 5 }}', "TypeError: argument of type 'int' is not iterable"],
  ["{{ 1 in 'a' }}", "TypeError: 'in <string>' requires string as left operand, not int"],
  ['{{ none in none }}', "TypeError: argument of type 'NoneType' is not iterable"],
  ['{{ x.y.z }}', "UndefinedError: 'x' is undefined"],
  ['{{ [1].foo.bar }}', "UndefinedError: 'list object' has no attribute 'foo'"],
  ['{{ [1][5].bar }}', 'UndefinedError: list object has no element 5'],
  ["{{ {}['a'].b }}", "UndefinedError: 'dict object' has no attribute 'a'"],
  ['{{ x() }}', "UndefinedError: 'x' is undefined"],
  ["{{ 'a'.foo() }}", "UndefinedError: 'str object' has no attribute 'foo'"],
  ['{{ 5() }}', "TypeError: 'int' object is not callable"],
  ['{{ x + 1 }}', "UndefinedError: 'x' is undefined"],
  ['{{ 1 + x }}', "UndefinedError: 'x' is undefined"],
  ['{{ -x }}', "UndefinedError: 'x' is undefined"],
  ['{{ x < 1 }}', "UndefinedError: 'x' is undefined"],
  ['{{ 1 < x }}', "UndefinedError: 'x' is undefined"],
  ['{% for a,b in [1] %}{% endfor %}', 'TypeError: cannot unpack non-iterable int object'],
  ['{% for a,b in [[1,2,3]] %}{% endfor %}', 'ValueError: too many values to unpack (expected 2)'],
  ['{% for a in 5 %}{% endfor %}', "TypeError: 'int' object is not iterable"],
  ['{% set a, b = x %}', 'ValueError: not enough values to unpack (expected 2, got 0)'],
  ['{% for x in [1,2,3] if loop.index > 1 %}{{ x }}{% endfor %}', "UndefinedError: 'loop' is undefined"],
  [
    '{{ loop }}{% for x in [1] %}{{ loop }}{{ loop.foo.bar }}{% endfor %}',
    "UndefinedError: 'jinja2.runtime.LoopContext object' has no attribute 'foo'",
  ],
  ['{% set ns.x = 1 %}', 'TemplateRuntimeError: cannot assign attribute on non-namespace object'],
  ['{% set x = 1 %}{% set x.y = 1 %}', 'TemplateRuntimeError: cannot assign attribute on non-namespace object'],
  ["{{ 'abc'[::0] }}", 'ValueError: slice step cannot be zero'],
  ['{% macro m(a) %}{% endmacro %}{{ m(1,2) }}', "TypeError: macro 'm' takes not more than 1 argument(s)"],
  ['{% macro m(a) %}{% endmacro %}{{ m(1,a=2) }}', "TypeError: macro 'm' takes no keyword argument 'a'"],
  ['{% macro m(a) %}{{ a.b }}{% endmacro %}{{ m() }}', "UndefinedError: parameter 'a' was not provided"],
  ['{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}', 'UndefinedError: No caller defined'],
  [
    '{% for x in [1] %}{{ loop([]) }}{% endfor %}',
    "TypeError: The loop must have the 'recursive' marker to be called recursively.",
  ],
  ['{{ cycler() }}', 'RuntimeError: at least one item has to be provided'],
  ['{{ range() }}', 'TypeError: range expected at least 1 argument, got 0'],
  ["{{ range('a') }}", "TypeError: 'str' object cannot be interpreted as an integer"],
  ['{{ range(1.0) }}', "TypeError: 'float' object cannot be interpreted as an integer"],
  ['{{ range(1,5,0) }}', 'ValueError: range() arg 3 must not be zero'],
  [
    '{{ (1 if false) + 1 }}',
    'UndefinedError: the inline if-expression on line 1 evaluated to false and no else section was defined.',
  ],
  ["{{ [1] < ['a'] }}", "TypeError: '<' not supported between instances of 'int' and 'str'"],
  ['{{ {} < {} }}', "TypeError: '<' not supported between instances of 'dict' and 'dict'"],
  ['{{ f(**{1:2}) }}', 'TypeError: keywords must be strings'],
  ['{{ dict(1) }}', "TypeError: 'int' object is not iterable"],
  ['{{ dict(*[1]) }}', "TypeError: 'int' object is not iterable"],
  ['{{ {[1]:2} }}', "TypeError: unhashable type: 'list'"],
  ['{{ namespace(a=1).b.c }}', "UndefinedError: 'jinja2.utils.Namespace object' has no attribute 'b'"],
  ['{{ loop.cycle() }}{% for x in [1] %}{{ loop.cycle() }}{% endfor %}', "UndefinedError: 'loop' is undefined"],
  ["{{ 'a' 'b' \"c\" }}{{ 'a' ~ 1 + 2 }}", 'TypeError: can only concatenate str (not "int") to str'],
  ['{{ x.y is defined }}', "UndefinedError: 'x' is undefined"],
  ['{{ x[1,2] }}', "UndefinedError: 'x' is undefined"],
  ['{{ 1 // 0.0 }}', 'ZeroDivisionError: float floor division by zero'],
  ['{{ 5 % 0.0 }}', 'ZeroDivisionError: float modulo'],
  ['{{ x.0 }}{{ [7].0 }}', "UndefinedError: 'x' is undefined"],
  ['{% call m() %}{% endcall %}', "UndefinedError: 'm' is undefined"],
  ['{{ not x.y }}', "UndefinedError: 'x' is undefined"],
  [
    '{% call(a, b=2) m() %}{{ a }}{{ b }}{% endcall %}{% macro m() %}{{ caller(1) }}{% endmacro %}',
    "UndefinedError: 'm' is undefined",
  ],
  [
    '{% macro o() %}{% call p() %}{{ caller() }}{% endcall %}{% endmacro %}{% macro p() %}({{ caller() }}){% endmacro %}{% call o() %}x{% endcall %}',
    'UndefinedError: No caller defined',
  ],
  ['{{ x[1:] }}', "UndefinedError: 'x' is undefined"],
  ['{% for x in none %}{% endfor %}', "TypeError: 'NoneType' object is not iterable"],
  [
    '{{ (1,2) < (1,3) }}{{ none == none }}{{ 1 != 1.0 }}{{ none < 1 }}',
    "TypeError: '<' not supported between instances of 'NoneType' and 'int'",
  ],
]

t.test('a template prints what Jinja2 prints', async (t) => {
  for (const [source, output, variables] of printed) t.equal(render(source, variables), output, source)
})

t.test('a template fails where Jinja2 raises, with what Python says', async (t) => {
  for (const [source, message] of raised) {
    t.match(
      errorOf(() => render(source)),
      { code: 'template.runtime', message, line: 1 },
      source,
    )
  }
})

t.test('an error of a rendering is reported where it happens', async (t) => {
  const error = errorOf(() => render('a\n{% if true %}\n {{ 1 + "a" }}{% endif %}'))
  t.match(error, { code: 'template.runtime', line: 3, column: 7 })
  t.match(
    errorOf(() => render('{{ x }}\n{{ "a".b.c }}')),
    { line: 2, column: 10 },
  )
})

t.test('trimBlocks and lstripBlocks are Jinja2’s', async (t) => {
  const source = 'a\n  {% if true %}\n  b\n  {%+ endif +%}\nc {# d #}\n'
  const renderWith = (options: object) => renderTemplate(compileTemplate(source, options), {})
  t.equal(renderWith({}), 'a\n  \n  b\n  \nc ')
  t.equal(renderWith({ trimBlocks: true }), 'a\n    b\n  \nc ')
  t.equal(renderWith({ lstripBlocks: true }), 'a\n\n  b\n  \nc ')
})

t.test('missing variables are told once they are printed, and not where a default stands for them', async (t) => {
  const names: string[] = []
  const template = compileTemplate('{{ a }}{{ b|default(1) }}{% for x in c %}{% endfor %}{{ d if d is defined }}{{ e.f }}')
  renderTemplate(template, { e: {} }, { onMissing: (name) => names.push(name) })
  t.strictSame(names, ['a', 'c'])
})

t.test('a compiled template keeps nothing of a rendering', async (t) => {
  const template = compileTemplate('{% set x = y %}{% for i in x %}{{ i }}{% endfor %}{{ z }}')
  t.equal(renderTemplate(template, { y: [1, 2], z: 3 }), '123')
  t.equal(renderTemplate(template, { y: [] }), '')
})

t.test('a filter block whose filters give no text fails, as a set block does not', async (t) => {
  for (const [filter, type] of [
    ['length', 'int'],
    ['list', 'list'],
    ['upper|length', 'int'],
  ] as const) {
    const error = errorOf(() => render(`{% filter ${filter} %}abc{% endfilter %}`))
    t.match(error, { code: 'template.runtime', message: `TypeError: sequence item 0: expected str instance, ${type} found` })
  }
})

t.test('values are made of what is given once for all renderings that share it', async (t) => {
  const reads: string[] = []
  const given = new Given(
    Object.defineProperty({}, 'x', {
      get: () => {
        reads.push('x')
        return [{ a: 1 }]
      },
      enumerable: true,
    }),
  )
  const template = compileTemplate('{{ x[0].a }}{% set x = x + [2] %}{{ x|length }}')
  t.equal(renderTemplate(template, given), '12')
  t.equal(renderTemplate(template, given), '12')
  t.strictSame(reads.length, 2, 'each rendering reads the name once')
})

t.test('variables of too many parts are an error where they are used', async (t) => {
  const many = Array.from({ length: 30_000 }, () => ({ a: 1 }))
  t.equal(render('{{ y }}', { many, more: many, y: 1 }), '1')
  t.equal(render('{{ xs|length }}', { xs: many.slice(0, 29_000) }), '29000')
  t.equal(render('{{ xs|length }}', { xs: Array.from({ length: 500_000 }, () => 0) }), '500000', 'numbers take little')
  t.match(
    errorOf(() => render('\n{{ many|length }}', { many })),
    { code: 'template.too_complex', line: 2 },
  )
  const circular: unknown[] = []
  circular.push(circular, circular)
  t.match(
    errorOf(() => render('{{ circular }}', { circular })),
    { code: 'template.too_complex' },
  )
})

t.test('only own properties are variables, and what JavaScript has is not there', async (t) => {
  t.equal(render('{{ toString }}{{ constructor }}{{ x.constructor }}{{ x["toString"] }}{{ "a".length }}', { x: {} }), '')
  t.equal(render('{{ x["__proto__"] }}', { x: JSON.parse('{"__proto__": 1}') }), '1')
})

const exhausting: Record<string, string> = {
  steps: '{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}',
  range: '{{ range(10 ** 30) }}',
  text: '{{ "a" * 10 ** 12 }}',
  list: '{{ [1] * 10 ** 12 }}',
  digits: '{{ 10 ** (10 ** 10) }}',
  squares: '{% set n = namespace(x=7) %}{% for i in range(100) %}{% set n.x = n.x * n.x %}{% endfor %}',
  'doubled text': '{% set n = namespace(x="ab") %}{% for i in range(100) %}{% set n.x = n.x ~ n.x %}{% endfor %}',
  'doubled list': '{% set n = namespace(x=[1]) %}{% for i in range(100) %}{% set n.x = n.x + n.x %}{% endfor %}',
  output: `{% for a in range(9000) %}${'x'.repeat(1000)}{% endfor %}`,
  calls: '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}',
  'recursive loop': '{% set x = [1] %}{% for a in x recursive %}{{ loop(x) }}{% endfor %}',
  'characters of long texts': '{% set s = "é" * 900000 %}{% for i in range(9000) %}{{ s[i] }}{% endfor %}',
  'names of branches not taken': `{% for i in range(9000) %}{% if x %}${Array.from({ length: 1500 }, (_, i) => `{% set a${i}=1 %}`).join('')}{% endif %}{% endfor %}`,
}

t.test('what takes too much is ended, in little time', async (t) => {
  for (const [name, source] of Object.entries(exhausting)) {
    const elapsedMs = stopwatch()
    t.equal(errorOf(() => render(source)).code, 'template.too_complex', name)
    // The bound only has to tell an end from none on a busy machine.
    t.ok(elapsedMs() < 1_000, name)
  }
})

t.test('a template of very many conditions is compiled in little time', async (t) => {
  const conditions = {
    'one after another': Array.from({ length: 1400 }, (_, i) => `{% if v${i} %}{% endif %}`).join(''),
    'each with a name': Array.from({ length: 700 }, (_, i) => `{% if v${i} %}{% set a${i}=1 %}{% endif %}`).join(''),
    'in one chain': `{% if v %}${Array.from({ length: 480 }, (_, i) => `{% elif v${i} %}{{ w${i} }}`).join('')}{% endif %}`,
    'one in another': `${'{% if v %}{% set a = 1 %}'.repeat(90)}${Array.from({ length: 1000 }, (_, i) => `{{ v${i} }}`).join('')}${'{% endif %}'.repeat(90)}`,
  }
  for (const [name, source] of Object.entries(conditions)) {
    const elapsedMs = stopwatch()
    compileTemplate(source)
    t.ok(elapsedMs() < 500, name)
  }
})

t.test('a value nested in itself very often ends in a coded error', async (t) => {
  const nested = '{% set n = namespace(x=[]) %}{% for i in range(9000) %}{% set n.x = [n.x] %}{% endfor %}'
  for (const use of ['{{ n.x }}', '{{ n.x == [n.x] }}', '{{ n }}'])
    t.match(errorOf(() => render(nested + use)).code, /^template\./, use)
})
