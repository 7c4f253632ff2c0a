import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const fixtures = fileURLToPath(new URL('../fixtures/jinja2/', import.meta.url))
const maxFiles = 5_000
const maxLength = 262_144

/** Templates to start from: those of the fixtures, and the files of a folder of one's own, in an order that stays. */
export function readSeeds(folder: string | undefined): string[] {
  const own = filesOf(fixtures).filter((path) => path.endsWith('.json'))
  const templates = own.flatMap((path) => textsOf(JSON.parse(readFileSync(path, 'utf8'))))
  const others = folder === undefined ? [] : filesOf(folder).map((path) => readFileSync(path, 'utf8'))
  return [...new Set([...ordinary, ...templates, ...others.filter((text) => text.length <= maxLength)])]
}

function filesOf(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()
  const paths = names.slice(0, maxFiles).map((name) => join(folder, name))
  return paths.filter((path) => statSync(path).isFile())
}

/** The texts with tags in them, wherever they are. */
function textsOf(root: unknown): string[] {
  const texts: string[] = []
  const pending = [root]
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (typeof value === 'string' && /\{[{%#]/.test(value)) texts.push(value)
    if (typeof value === 'object' && value !== null) pending.push(...Object.values(value).reverse())
  }
  return texts
}

const ordinary = [
  'You help {{ user.name|default("a customer") }}.\n{% for doc in docs %}\n## {{ loop.index }}. {{ doc.title|title }}\n{{ doc.text|truncate(200)|indent(2) }}\n{% else %}\nNothing.\n{% endfor %}\n{% if tone is defined and tone %}Be {{ tone }}.{% endif %}\n',
  '{% macro item(name, price=0) -%}\n- {{ name }}: {{ "%.2f"|format(price) }}\n{%- endmacro %}{% for x in xs %}{{ item(x.a, price=x.b) }}\n{% endfor %}{% call item("x") %}{{ caller }}{% endcall %}',
  '{% set ns = namespace(found=false, text="") %}{% for k, v in d.items()|sort(reverse=true) if v %}{% set ns.found = true %}{% set ns.text = ns.text ~ k %}{% endfor %}{{ ns.found }} {{ ns.text|wordwrap(20) }}',
  '{% extends "base" %}{% import "macros" as lib with context %}{% from "macros" import f, m as g %}{% block b0 %}{{ super() }}{{ lib.f(x) }}{% include ["absent", "part"] ignore missing without context %}{{ self.b1() }}{% endblock %}',
  '{% for group in xs|groupby("a", default="none") %}{{ group.grouper }}: {% for x in group.list|map(attribute="b")|unique|sort %}{{ x }}{{ ", " if not loop.last }}{% endfor %}\n{% endfor %}{{ xs|tojson(indent=2) }}{{ xs|pprint }}{{ xs|batch(3, "-")|list }}{{ xs|slice(3)|list }}',
  '{% for x in xs recursive %}{{ loop.depth }}{{ loop.cycle("odd", "even") }}{{ loop.changed(x) }}{{ loop(x.items) if x.items is iterable }}{% endfor %}{% filter upper|trim %}{{ text[1:-1:2] }}{{ text.split(",")[0].strip().replace("a", "b") }}{% endfilter %}',
]
