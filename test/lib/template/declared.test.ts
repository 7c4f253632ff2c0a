import t from 'tap'
import { compareDeclared } from '../../../src/lib/template/declared.js'
import { parseTemplate } from '../../../src/lib/template/parse.js'
import { templateVariables } from '../../../src/lib/template/variables.js'

const compare = (source: string, inputs: unknown) => compareDeclared(templateVariables(parseTemplate(source)), inputs)

const text = { type: 'string' }
const object = (properties: Record<string, unknown>) => ({ type: 'object', properties, additionalProperties: false })

t.test('a variable that is not declared and an input that is not used are told, with the name that may be meant', async (t) => {
  t.strictSame(compare('{{ usr }}{{ tone }}', { type: 'object', properties: { user: text, tone: text } }), [
    'The template uses "usr", which the inputs do not declare. Did you mean "user"?',
    'The input "user" is declared, but the template never uses it.',
  ])
  t.strictSame(compare('{{ user }}', { properties: { user: text } }), [])
  t.strictSame(compare('{{ x|default(1) }}{{ user }}', { properties: { user: text } }), [
    'The template uses "x", which the inputs do not declare.',
  ])
})

t.test('inputs without properties declare nothing, whatever they are', async (t) => {
  for (const inputs of [null, undefined, true, 1, 'x', [], {}, { type: 'object' }, { properties: {} }, { properties: null }]) {
    t.strictSame(compare('{{ a }}', inputs), [], JSON.stringify(inputs))
  }
})

t.test('a part of a variable is told where its schema is closed, and not where it may be there', async (t) => {
  const inputs = {
    properties: {
      docs: { type: 'array', items: { $ref: '#/$defs/doc' } },
      prices: { type: 'object', additionalProperties: object({ amount: text }) },
      open: { type: 'object', properties: { a: text } },
    },
    $defs: { doc: object({ title: text, 'sub title': text }) },
  }
  const source = `{% for d in docs %}{{ d.titel }}{{ d.title }}{{ d["sub title"] }}{{ d["sub titel"].x }}{% endfor %}
    {% for k, v in prices.items() %}{{ v.amuont }}{{ v.amount }}{% endfor %}{{ open.b.c }}`
  t.strictSame(compare(source, inputs), [
    'The template uses "docs[].titel", but the inputs declare no "titel" in "docs[]". Did you mean "title"?',
    'The template uses "docs[]["sub titel"].x", but the inputs declare no "sub titel" in "docs[]". Did you mean "sub title"?',
    'The template uses "prices.*.amuont", but the inputs declare no "amuont" in "prices.*". Did you mean "amount"?',
  ])
})

t.test('properties are found through local references and allOf', async (t) => {
  const inputs = {
    $ref: '#/$defs/all',
    $defs: { all: { allOf: [{ properties: { a: text } }, { $ref: '#/$defs/b~1c' }] }, 'b/c': { properties: { b: text } } },
  }
  t.strictSame(compare('{{ a }}{{ b }}{{ other }}', inputs), ['The template uses "other", which the inputs do not declare.'])
})

t.test('where a schema may declare more than is followed, nothing counts as not declared', async (t) => {
  const properties = { a: text }
  for (const more of [
    { anyOf: [{ properties: { b: text } }] },
    { $ref: 'https://example.com/x' },
    { $ref: '#/nowhere' },
    { if: {} },
  ]) {
    t.strictSame(compare('{{ b }}', { properties, ...more }), ['The input "a" is declared, but the template never uses it.'])
  }
  t.strictSame(compare('{{ a.x }}', { properties: { a: { ...object({ b: text }), oneOf: [{ properties: { x: text } }] } } }), [])
})

t.test('only own properties are read, and a schema that goes round in circles ends', async (t) => {
  const inputs = JSON.parse('{"properties":{"__proto__":{"type":"string"},"a":{"$ref":"#/properties/a"}},"allOf":[{"$ref":"#"}]}')
  t.strictSame(compare('{{ a.b }}{{ toString }}{{ constructor }}', inputs), [
    'The template uses "toString", which the inputs do not declare.',
    'The template uses "constructor", which the inputs do not declare.',
    'The input "__proto__" is declared, but the template never uses it.',
  ])
  t.strictSame(compare('{{ a.constructor }}', { properties: { a: object({ b: text }) } }).length, 1)
})

t.test('however much differs, few warnings are made in little time', async (t) => {
  const properties = Object.fromEntries(
    Array.from({ length: 2_000 }, (_, index) => [`${'some_long_name_'.repeat(3)}${index}`, text]),
  )
  const source = Array.from({ length: 2_000 }, (_, index) => `{{ ${'some_lnog_name_'.repeat(3)}${index} }}`).join('')
  const variables = templateVariables(parseTemplate(source))
  const startedAt = process.cpuUsage()
  const warnings = compareDeclared(variables, { properties })
  const { user, system } = process.cpuUsage(startedAt)
  t.ok((user + system) / 1_000 < 500)
  t.equal(warnings.length, 51)
  t.equal(warnings.at(-1), 'There are 3950 more such differences between the inputs and the template.')
})
