import { Validator } from '@cfworker/json-schema'
import fc from 'fast-check'
import t from 'tap'
import { checkInputSchema, prepareInputSchema, validateInputs } from '../../../src/lib/rendering/input-schema.js'
import { runs } from '../../helpers/runs.js'
import { stopwatch } from '../../helpers/stopwatch.js'

const property = (schema: unknown) => ({ type: 'object', properties: { x: schema } })
const paths = (findings: readonly { path: string }[]) => findings.map(({ path }) => path)
const said = (findings: readonly { path: string; message: string }[]) =>
  findings.map(({ path, message }) => `${path}: ${message}`)

t.test('a schema that a person would write is accepted, with annotations that nobody knows', async (t) => {
  const schemas: Record<string, unknown>[] = [
    {},
    { type: 'object' },
    {
      $schema: 'http://json-schema.org/draft-07/schema#',
      $id: 'https://example.com/inputs.json',
      type: 'object',
      title: 'Inputs',
    },
    { type: ['object', 'null'], description: 'all of it', 'x-order': ['a', 'b'], kind: 'agent' },
    property({ type: 'string', minLength: 1, maxLength: 20, examples: ['a'], default: 'b', widget: { rows: 3 }, id: 'name' }),
    property({ type: 'string', format: 'markdown' }),
    property({ type: ['string', 'null'], default: null }),
    property({ type: 'string', default: null }),
    property({ anyOf: [{ type: 'integer' }, { type: 'null' }], default: null, title: 'Count' }),
    property({ enum: ['a', 1, null, { b: [] }] }),
    property({ minimum: 0, exclusiveMinimum: true, maximum: 9, exclusiveMaximum: false }),
    property({ type: 'array', items: [{ type: 'string' }, true], additionalItems: false, uniqueItems: true, minItems: 1 }),
    property({ type: 'array', prefixItems: [{ type: 'string' }], items: false, contains: {}, minContains: 0, maxContains: 3 }),
    property({ type: 'object', additionalProperties: { type: 'number' }, propertyNames: { maxLength: 3 }, minProperties: 1 }),
    property({
      dependencies: { a: ['b'], c: { required: ['d'] } },
      dependentRequired: { e: ['f'] },
      dependentSchemas: { g: true },
    }),
    // biome-ignore lint/suspicious/noThenProperty: it is a keyword of JSON Schema.
    property({ if: { required: ['a'] }, then: { required: ['b'] }, else: false, not: { const: 1 }, nullable: false }),
    { ...property({ $ref: '#/$defs/node' }), $defs: { node: { properties: { next: { $ref: '#/$defs/node' } } } } },
    { ...property({ $ref: '#/definitions/a~1b%20c' }), definitions: { 'a/b c': { type: 'string' } } },
    { ...property({ $ref: '#named' }), $defs: { any: { $anchor: 'named', type: 'string' } } },
    { ...property({ $ref: '#/components/schemas/X' }), components: { schemas: { X: { type: 'string' } } } },
    property({ properties: { parent: { $ref: '#' }, pattern: { type: 'string' }, $ref: { type: 'string' } } }),
  ]
  for (const schema of schemas) t.same(said(checkInputSchema(schema)), [], JSON.stringify(schema))
})

t.test('what would be slow, malformed or without the meaning it seems to have is refused at its path', async (t) => {
  const refused: [schema: unknown, path: string, message: RegExp][] = [
    [property({ pattern: '^(a+)+$' }), 'inputs.properties.x.pattern', /enum/],
    [property({ patternProperties: { a: {} } }), 'inputs.properties.x.patternProperties', /refused/],
    [property({ format: 'regex' }), 'inputs.properties.x.format', /refused/],
    [property({ format: 'url' }), 'inputs.properties.x.format', /"uri"/],
    [property({ $ref: 'https://example.com/a.json' }), 'inputs.properties.x.$ref', /within this schema/],
    [property({ $ref: '#/$defs/nothing' }), 'inputs.properties.x.$ref', /no "#\/\$defs\/nothing"/],
    [property({ $ref: '#/constructor' }), 'inputs.properties.x.$ref', /There is no/],
    [property({ $ref: '#%ff' }), 'inputs.properties.x.$ref', /There is no/],
    [property({ $dynamicRef: '#a' }), 'inputs.properties.x.$dynamicRef', /"\$ref"/],
    [property({ $id: 'other.json' }), 'inputs.properties.x.$id', /outermost/],
    [property({ unevaluatedProperties: false }), 'inputs.properties.x.unevaluatedProperties', /additionalProperties/],
    [property({ nullable: true, type: 'string' }), 'inputs.properties.x.nullable', /\["string", "null"\]/],
    [property({ type: 'str' }), 'inputs.properties.x.type', /Did you mean "string"/],
    [property({ type: 'any' }), 'inputs.properties.x.type', /Leave "type" out/],
    [property({ type: [] }), 'inputs.properties.x.type', /at least one/],
    [property({ type: { a: 1 } }), 'inputs.properties.x.type', /name of a type/],
    [property({ required: true }), 'inputs.properties.x.required', /object around it/],
    [property({ enum: [] }), 'inputs.properties.x.enum', /at least one value/],
    [property({ minLength: -1 }), 'inputs.properties.x.minLength', /whole number/],
    [property({ maximum: '5' }), 'inputs.properties.x.maximum', /number/],
    [property({ exclusiveMinimum: true }), 'inputs.properties.x.exclusiveMinimum', /"minimum"/],
    [property({ multipleOf: 0 }), 'inputs.properties.x.multipleOf', /above 0/],
    [property({ anyOf: {} }), 'inputs.properties.x.anyOf', /list/],
    [property({ anyOf: [{}, 'string'] }), 'inputs.properties.x.anyOf[1]', /Expected a schema/],
    [property('string'), 'inputs.properties.x', /Expected a schema/],
    [property({ default: 5, type: 'string' }), 'inputs.properties.x.default', /found number/],
    [{ type: 'object', properties: [] }, 'inputs.properties', /object of schemas/],
    [{ type: 'object', required: 'x' }, 'inputs.required', /list of property names/],
    [{ type: 'array', items: {} }, 'inputs.type', /under "properties"/],
    [{ name: { type: 'string' } }, 'inputs', /"properties"/],
    [{ allOf: [{ $ref: '#' }] }, 'inputs.allOf[0].$ref', /circle/],
    [{ description: 'x'.repeat(300_000) }, 'inputs', /256 KiB/],
    [JSON.parse('{"properties":{"__proto__":{"type":"text"}}}'), 'inputs.properties.__proto__.type', /string/],
  ]
  for (const [schema, path, message] of refused) {
    const findings = checkInputSchema(schema as Record<string, unknown>)
    t.same(paths(findings), [path], JSON.stringify(schema).slice(0, 80))
    t.match(findings[0]?.message, message)
  }
})

t.test('every fault of the variables is named, at its path and with what is expected', async (t) => {
  const schema = {
    type: 'object',
    properties: {
      name: { type: 'string', minLength: 2 },
      docs: { type: 'array', items: { $ref: '#/$defs/doc' }, maxItems: 2 },
      tone: { enum: ['warm', 'cold'] },
      count: { anyOf: [{ type: 'integer', minimum: 3 }, { type: 'null' }] },
      mail: { type: 'string', format: 'email' },
    },
    required: ['name', 'audience'],
    additionalProperties: false,
    $defs: { doc: { type: 'object', properties: { title: { type: 'string' } }, required: ['title'] } },
  }
  t.same(checkInputSchema(schema), [])
  const variables = { name: 'a', docs: [{ title: 1 }, {}, { title: 'x' }], tone: 'wam', count: 1.5, mail: 'no', nam: 'b' }
  t.same(said(validateInputs(schema, variables)), [
    'variables.audience: This is required and missing.',
    'variables.name: Expected at least 2 characters, found 1.',
    'variables.docs: Expected at most 2 items, found 3.',
    'variables.docs[0].title: Expected string, found number.',
    'variables.docs[1].title: This is required and missing.',
    'variables.tone: Expected one of "warm", "cold". Did you mean "warm"?',
    'variables.count: Expected integer or null, found a number that is not whole.',
    'variables.mail: Expected a text of the format "email".',
    'variables.nam: The schema has no such property. There are "name", "docs", "tone", "count", "mail". Did you mean "name"?',
  ])
  t.same(said(validateInputs(schema, { count: 2, tone: 'cold' }, 'partial')), ['variables.count: Expected 3 or more, found 2.'])
  const message = (role: string, of: unknown) => ({ properties: { role: { const: role }, of }, required: ['role', 'of'] })
  const either = property({ oneOf: [message('user', { type: 'string' }), message('tool', { type: 'number' })] })
  t.same(said(validateInputs(either, { x: { role: 'tool', of: 'a' } })), ['variables.x.of: Expected number, found string.'])
  t.same(said(validateInputs(either, { x: { role: 'other', of: 'a' } })), [
    'variables.x: Fits none of the 2 alternatives of the schema.',
  ])
  t.equal(validateInputs(property({ items: false }), { x: Array.from({ length: 999 }, () => 1) }).length, 50)
})

t.test('names of properties that every object inherits are plain names', async (t) => {
  const schema = JSON.parse(
    '{"properties":{"__proto__":{"type":"string"},"constructor":{"type":"number"}},"required":["__proto__","toString"],"additionalProperties":false}',
  )
  t.same(checkInputSchema(schema), [])
  t.same(paths(validateInputs(schema, {})), ['variables.__proto__', 'variables.toString'])
  t.same(paths(validateInputs(schema, JSON.parse('{"__proto__":1,"constructor":"a","toString":1}'))), [
    'variables.__proto__',
    'variables.constructor',
    'variables.toString',
  ])
  for (const format of ['constructor', '__proto__', 'hasOwnProperty']) {
    t.same(validateInputs(property({ type: 'string', format }), { x: 'a' }), [], format)
  }
})

t.test(
  'a schema of an older version that a push would refuse holds nothing against a value for what it does not support',
  async (t) => {
    t.same(validateInputs(property({ pattern: '^a$', type: 'string' }), { x: 'b' }), [])
    t.same(validateInputs(property({ $ref: 'https://example.com' }), { x: 'b' }), [])
    t.same(validateInputs({ allOf: [{ $ref: '#' }] }, { x: 'b' }), [])
  },
)

t.test('the verdict is that of the validator wherever it comes to one', async () => {
  const names = fc.constantFrom('a', 'b', 'c')
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom(null, true, 0, 1, 1.5, 7, '', 'a', 'bb', '2020-02-30'),
      fc.array(tie('any'), { maxLength: 3 }),
      fc.dictionary(names, tie('any'), { maxKeys: 3 }),
    ),
  })).any
  const schema = fc.letrec((tie) => {
    const sub = tie('schema')
    const count = fc.nat(3)
    const types = fc.constantFrom('string', 'number', 'integer', 'boolean', 'object', 'array', 'null')
    return {
      schema: fc.oneof(
        { maxDepth: 3, withCrossShrink: true },
        fc.boolean(),
        fc.record(
          {
            type: fc.oneof(types, fc.uniqueArray(types, { minLength: 1, maxLength: 3 })),
            enum: fc.array(value, { minLength: 1, maxLength: 3 }),
            const: value,
            required: fc.uniqueArray(names),
            minimum: count,
            exclusiveMaximum: count,
            multipleOf: fc.constantFrom(0.5, 2),
            minLength: count,
            format: fc.constantFrom('date', 'unknown'),
            maxItems: count,
            uniqueItems: fc.boolean(),
            minProperties: count,
            dependentRequired: fc.dictionary(names, fc.uniqueArray(names)),
            $ref: fc.constantFrom('#/$defs/a', '#/$defs/b'),
          },
          { requiredKeys: [] },
        ),
        fc.record(
          {
            allOf: fc.array(sub, { minLength: 1, maxLength: 2 }),
            anyOf: fc.array(sub, { minLength: 1, maxLength: 3 }),
            oneOf: fc.array(sub, { minLength: 1, maxLength: 3 }),
            not: sub,
            if: sub,
            // biome-ignore lint/suspicious/noThenProperty: it is a keyword of JSON Schema.
            then: sub,
            else: sub,
            properties: fc.dictionary(names, sub),
            additionalProperties: sub,
            propertyNames: fc.constantFrom({ enum: ['a', 'b'] }, { minLength: 1 }),
            dependentSchemas: fc.dictionary(names, sub),
            prefixItems: fc.array(sub, { minLength: 1, maxLength: 2 }),
            items: sub,
            contains: sub,
            minContains: count,
            maxContains: count,
          },
          { requiredKeys: [] },
        ),
      ),
    }
  }).schema
  const leaf = fc.constantFrom({ type: 'string' }, { minimum: 1 }, { required: ['a'] })
  fc.assert(
    fc.property(schema, value, leaf, leaf, (x, given, a, b) => {
      const inputs = { properties: { x }, $defs: { a, b } }
      const expected = new Validator(structuredClone(inputs) as any, '2020-12', false).validate({ x: given }).valid
      return (validateInputs(inputs, { x: given }).length === 0) === expected
    }),
    { numRuns: runs(300) },
  )
})

t.test('no schema and no value holds the caller up, and what takes too long says so', async (t) => {
  const many = (count: number, make: (index: number) => unknown) => Array.from({ length: count }, (_, index) => make(index))
  const named = (count: number, make: (index: number) => unknown) =>
    Object.fromEntries(many(count, (index) => [`a${index}`, make(index)]) as [string, unknown][])
  const chain = (keyword: string, last: unknown) => ({
    ...property({ $ref: '#/$defs/a0' }),
    $defs: { ...named(40, (index) => ({ [keyword]: many(2, () => ({ $ref: `#/$defs/a${index + 1}` })) })), a40: last },
  })
  const nested = (depth: number) => many(depth, () => 0).reduce<unknown>((inner) => ({ a: inner }), {})
  const text = 'a'.repeat(2 ** 22)
  const items = many(40_000, (index) => `item ${index}`)
  const wide = named(40_000, () => 1)
  const cases: [name: string, schema: Record<string, unknown>, variables: Record<string, unknown>, isTooComplex?: boolean][] = [
    ['alternatives that name each other', chain('anyOf', { type: 'number' }), { x: true }, true],
    ['one of alternatives that name each other', chain('oneOf', { type: 'string' }), { x: 'a' }, true],
    ['all of schemas that name each other', chain('allOf', {}), { x: 'a' }, true],
    ['a long chain', { $ref: '#/$defs/a0', $defs: named(1_400, (i) => ({ $ref: `#/$defs/a${i + 1}` })) }, {}, true],
    ['a ring', { $ref: '#/$defs/a0', $defs: named(1_400, (i) => ({ $ref: `#/$defs/a${(i + 1) % 1_400}` })) }, {}],
    ['many unique items', property({ uniqueItems: true }), { x: items }, true],
    ['many equal items', property({ uniqueItems: true }), { x: items.map(() => 1) }],
    ['nothing allowed', property({ items: false }), { x: items }],
    ['a wide object', { allOf: many(1_400, () => ({ type: 'object' })) }, wide, true],
    ['many names', { propertyNames: { maxLength: 2 } }, wide, true],
    ['a closed object', { additionalProperties: false }, wide, true],
    ['a long text, counted', property({ allOf: many(1_400, () => ({ minLength: 10 })) }), { x: text }, true],
    ['a long text with a format', property({ allOf: many(1_400, () => ({ format: 'uri' })) }), { x: `a:${text}` }, true],
    ['a long text', property({ type: 'string' }), { x: text }],
    ['a slow address', property({ format: 'url' }), { x: `http://${text}^` }],
    ['a large enum', property({ items: { enum: many(2_900, (index) => `a${index}`) } }), { x: items.map(() => 'a2899') }, true],
    [
      'an enum of objects',
      property({ items: { enum: many(1_400, () => ({ a: {} })) } }),
      { x: many(50, () => ({ a: named(900, () => 1) })) },
      true,
    ],
    ['nearly the values of an enum', property({ items: { enum: items.slice(0, 30) } }), { x: items.map((item) => `${item}y`) }],
    ['a deep value', { properties: { a: { $ref: '#' } } }, { a: nested(5_000) }, true],
    ['deep items, compared', property({ uniqueItems: true }), { x: [nested(5_000)] }, true],
    ['numbers far apart', property({ items: { multipleOf: 5e-324 } }), { x: many(40_000, (index) => index * 1e303) }, true],
    ['lists in lists', property({ contains: { contains: { not: {} } } }), { x: many(200, () => many(200, () => 1)) }, true],
    ['many defaults', { properties: named(600, (i) => ({ default: 1, $ref: `#/properties/a${i + 1}` })) }, {}],
  ]
  for (const [name, schema, variables, isTooComplex = false] of cases) {
    let best = Number.POSITIVE_INFINITY
    let findings = validateInputs(schema, variables)
    // At rest it is 50 ms; others share the processor, so that the shortest of some tries counts, and with room.
    for (let round = 0; round < 8 && best > 50; round += 1) {
      const elapsedMs = stopwatch()
      findings = validateInputs(schema, variables)
      best = Math.min(best, elapsedMs())
    }
    t.ok(best <= 200, `${name}: ${Math.round(best)} ms`)
    t.equal(
      findings.some(({ code }) => code === 'too_complex'),
      isTooComplex,
      name,
    )
  }
})

t.test('what a schema is prepared to can be used any number of times, and leaves the schema as it is', async (t) => {
  const schema = property({ $ref: '#/$defs/a', default: 'b' }) as Record<string, unknown>
  const inputs = { ...schema, $defs: { a: { type: 'string' } } }
  const before = Object.getOwnPropertyNames(inputs.$defs.a)
  const prepared = prepareInputSchema(inputs)
  t.same([...prepared.defaults], [['x', 'b']])
  t.same(validateInputs(prepared, { x: 1 }), validateInputs(prepared, { x: 1 }))
  t.equal(validateInputs(prepared, { x: 1 }).length, 1)
  t.same(Object.getOwnPropertyNames(inputs.$defs.a), before)
})
