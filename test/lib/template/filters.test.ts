import fc from 'fast-check'
import t from 'tap'
import { BudgetExceeded } from '../../../src/lib/template/budget.js'
import { filters, refusedFilters } from '../../../src/lib/template/filters/filters.js'
import { toIterable } from '../../../src/lib/template/values/iteration.js'
import {
  Dict,
  isTruthy,
  Markup,
  Once,
  OperationError,
  str,
  Undefined,
  type Value,
} from '../../../src/lib/template/values/values.js'
import { runs } from '../../helpers/runs.js'
import { stopwatch } from '../../helpers/stopwatch.js'
import { expectedOf, failure, newContext, noArguments, outcomeOf, readCases, titleOf } from './jinja2-cases.js'

const cases = readCases().filter(({ kind }) => kind === 'filter')

function apply(name: string, value: Value, ...args: Value[]): Value {
  return newContext().filter(name, value, { args, kwargs: new Map() })
}

t.test('every filter gives what Jinja2 gives, or fails with the same exception', async (t) => {
  t.ok(cases.length > 1500)
  for (const one of cases) {
    if (outcomeOf(one) !== expectedOf(one)) t.equal(outcomeOf(one), expectedOf(one), titleOf(one))
  }
})

t.test('every filter has a case, but for those that are refused by name', async (t) => {
  const covered = new Set(cases.map(({ name }) => name))
  const uncovered = [...filters.keys()].filter((name) => !covered.has(name))
  t.same(uncovered.sort(), ['count', 'd', 'e', ...refusedFilters].filter((name) => !covered.has(name)).sort())
  for (const name of refusedFilters) {
    t.throws(() => apply(name, ['a']), failure('NotSupportedError', new RegExp(`"${name}"`)))
  }
})

t.test('what a filter generates is gone through once, and is true even when it is empty', async (t) => {
  const context = newContext()
  const chosen = apply('select', [1, 2], 'odd')
  t.ok(chosen instanceof Once)
  t.same(toIterable(context, chosen), [1])
  t.same(toIterable(context, chosen), [])
  t.ok(isTruthy(apply('select', [], 'odd')))
  t.notOk(isTruthy(apply('list', apply('select', [], 'odd'))))
})

t.test('escape leaves markup as it is, and what is escaped stays marked', async (t) => {
  const once = apply('escape', '<a>')
  t.same(once, new Markup('&lt;a&gt;'))
  t.same(apply('escape', once), once)
  t.same(apply('forceescape', once), new Markup('&amp;lt;a&amp;gt;'))
  t.equal(apply('replace', once, 'a', '<'), '&lt;<&gt;')
})

const costly: Record<string, () => Value> = {
  'indent by 5e8': () => apply('indent', 'a\nb', 5e8),
  'center in 1e9': () => apply('center', 'a', 1e9),
  'a width of 1e9': () => apply('format', '%1000000000d', 1),
  'batches of 1e9 filled': () => apply('batch', [1], 1e9, 0),
  '1e9 slices': () => apply('slice', [1], 1e9),
  'every gap replaced': () => apply('replace', 'a'.repeat(90_000), '', 'b'.repeat(90_000)),
  'a separator of 90,000': () => apply('join', Array(10_000).fill(1), 'b'.repeat(90_000)),
  'a JSON indentation for each of many': () => apply('tojson', Array(50_000).fill(1), 900),
  'a list that holds itself twice, 60 deep': () => apply('string', doubled(60)),
  'an order among 100,000': () =>
    apply(
      'sort',
      Array.from({ length: 100_000 }, (_, index) => -index),
    ),
}

function doubled(depth: number): Value {
  let value: Value = [1]
  for (let at = 0; at < depth; at += 1) value = [value, value]
  return value
}

for (const [name, run] of Object.entries(costly)) {
  t.test(`${name}: the budget ends it before anything large is made`, async (t) => {
    const elapsedMs = stopwatch()
    t.throws(run, BudgetExceeded)
    t.ok(elapsedMs() < 500)
  })
}

t.test('a value nested without end overflows no stack', async (t) => {
  let value: Value = []
  for (let at = 0; at < 50_000; at += 1) value = [value]
  for (const name of ['string', 'tojson', 'pprint', 'urlencode', 'escape', 'upper']) {
    t.throws(() => apply(name, name === 'urlencode' ? [[1, value]] : value), { message: /nested deeper/ }, name)
  }
  t.throws(() => apply('sort', [value, value]), { message: /nested deeper/ })
  t.throws(() => apply('unique', [value]), OperationError)
})

t.test('sorting is stable, keeps all items and orders any two of them', async () => {
  const items = fc.array(fc.record({ key: fc.integer({ min: 0, max: 5 }), id: fc.nat() }), { maxLength: 40 })
  fc.assert(
    fc.property(items, (list) => {
      const values = list.map(({ key, id }) => Dict.from([['key', key] as const, ['id', id] as const]))
      const given = { args: [], kwargs: new Map<string, Value>([['attribute', 'key']]) }
      const result = newContext().filter('sort', values, given)
      const expected = [...list].sort((a, b) => a.key - b.key)
      return str(result) === str(expected.map(({ key, id }) => Dict.from([['key', key] as const, ['id', id] as const])))
    }),
  )
})

const anyValue = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<Value>(null, true, false, new Undefined('x'), new Markup('<'), 2n ** 70n, Number.NaN, 0.5),
    fc.integer(),
    fc.string({ unit: 'grapheme' }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(fc.string(), tie('value')), { maxLength: 3 }).map((pairs) => Dict.from(pairs)),
  ),
})).value

t.test('whatever a filter is given, it answers or fails with an error of ours', async () => {
  fc.assert(
    fc.property(fc.constantFrom(...filters.keys()), anyValue, fc.array(anyValue, { maxLength: 3 }), (name, value, args) => {
      try {
        newContext().filter(name, value, { args, kwargs: noArguments.kwargs })
      } catch (error) {
        if (!(error instanceof OperationError || error instanceof BudgetExceeded)) throw error
      }
    }),
    { numRuns: runs(3000) },
  )
})
