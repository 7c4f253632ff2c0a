import t from 'tap'
import { compileTemplate, renderTemplate } from '../../src/lib/template/render.js'
import { busyMs, endInTime } from '../lib/template/endings.js'

/** Values that are large at a small price, and operations that look at all of them, again and again. */
const operations: Readonly<Record<string, readonly string[]>> = {
  // Two equal texts that are not one object.
  "'a' * 1000000": [
    's == r',
    's < r',
    '[s] == [r]',
    's is ge(r)',
    's is sameas(r)',
    '[s].index(r)',
    'r in s',
    "'a' * 60 ~ 'b' in s",
    "s.rfind('a' * 60 ~ 'b')",
    "{'a': 1}[s]",
    "{'a': 1}.get(s)",
    '[s, r]|unique|list',
    's is lower',
    's.isalpha()',
    's|reverse',
    "s|replace('a', 'b')",
    "s.split('a')",
    "s.rsplit('a', 3)",
    "s.strip('a')",
    's.zfill(5)',
    "'{!r:.2}'.format(s)",
    '[s] ~ [r]',
    '[s]|pprint',
    's|int',
    's|float',
  ],
  "'ab c ' * 200000": ['s|title', 's|wordcount', 's.swapcase()', 's.split()', 's|int', 's|wordwrap(20)', 's|striptags'],
  "'é😀' * 300000": [
    's[0]',
    's[-1]',
    's[5:6]',
    's[::-1]',
    's|length',
    's|last',
    "'%.2s' % (s,)",
    "'{:.2}'.format(s)",
    's|tojson',
    's.title()',
    's.casefold()',
    's.isprintable()',
    's < r',
  ],
  "'\\'\"' * 500000": ['s|escape', '[s]|string', 's|tojson', 's|urlencode', "'%r' % (s,)"],
  "'\\n' * 1000000": ['s.splitlines()', 's|indent', 's|wordwrap', 's|trim', '[s]|string'],
  "'&a' * 300000": ['s|striptags', 's|escape'],
  "'<a>' * 300000": ['s|striptags', 's|tojson'],
  "'{{' * 400000": ['s.format()', "s.replace('{', '{{')"],
  "'{0' ~ ' ' * 9000 ~ '}'": ["s|attr('format')(1)", 's.format(**{s: 1})'],
  "'%' ~ '-' * 9000 ~ 'd'": ['s % 1'],
  "'9' * 1000": ['s|int(0, 36)', 's|int(0, 16)', "'%.2000f' % 0.1", '1e300|round(300)', '5e-324|round(1000)'],
  '10 ** 990': ['s.bit_count()', 's|string', "'{:,}'.format(s)", 's * 7 // 3'],
  '[[]] * 9000': ["{'a': 1}[s]", 's[s]', 's|string'],
  "['x' * 1000] * 900": ['s|string', 's|upper', 's ~ r', 's|max', 's|unique|list', 's|int'],
  "('x' * 400, 1)": ['{s: 1}[r]', "{'a': 1}[[]]"],
  "dict(range(9000)|map('string')|batch(2))": ['s|tojson', 's|pprint', "s[['a']]", 's == r', 's|dictsort'],
}

for (const [value, expressions] of Object.entries(operations)) {
  t.test(`nothing that is done to ${value} again and again takes long`, async (t) => {
    for (const expression of expressions) {
      const source = `{% set s = ${value} %}{% set r = ${value} %}{% for i in range(9000) %}{% set x = ${expression} %}{% endfor %}`
      const { ms } = endInTime(source)
      t.ok(ms <= busyMs, `${ms.toFixed(0)} ms: ${expression}`)
    }
  })
}

t.test('a message of an error is short, whatever it quotes', async (t) => {
  const long = "'😀x' * 20000"
  for (const expression of [`{}[${long}].a`, `('%d'|safe) % (${long})`]) {
    const render = () => renderTemplate(compileTemplate(`{{ ${expression} }}`), {})
    t.throws(render, { code: 'template.runtime', message: /^.{10,350}$/u }, expression)
  }
})

t.test('a text too long for a key is in no dict, and makes none', async (t) => {
  const render = (source: string) => renderTemplate(compileTemplate(source), { long: 'x'.repeat(4001), d: { a: 1 } })
  t.equal(render('{{ d[long] }}{{ d.get(long, 2) }}{{ long in d }}{{ [long, long]|unique|list|length }}'), '2False1')
  t.throws(() => render('{{ {long: 1} }}'), { code: 'template.too_complex', message: /4000/ })
  t.equal(render("{{ {long[1:]: 1}[long[1:]] }}{{ {('a', 1): 2}['a', 1] }}"), '12')
})
