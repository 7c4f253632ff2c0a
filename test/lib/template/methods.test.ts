import fc from 'fast-check'
import t from 'tap'
import { BudgetExceeded } from '../../../src/lib/template/budget.js'
import { methodOf } from '../../../src/lib/template/values/methods.js'
import { findLastText, findText } from '../../../src/lib/template/values/text-search.js'
import { Dict, OperationError, type Value } from '../../../src/lib/template/values/values.js'
import { runs } from '../../helpers/runs.js'
import { stopwatch } from '../../helpers/stopwatch.js'
import { expectedOf, failure, newContext, outcomeOf, readCases, titleOf } from './jinja2-cases.js'

const cases = readCases().filter(({ kind, name }) => kind === 'method' && name !== 'format')

const call = (value: Value, name: string, ...args: Value[]) => methodOf(newContext(), value, name)?.(args, new Map())

t.test('every method gives what Python gives, or fails with the same exception', async (t) => {
  t.ok(cases.length > 700)
  for (const one of cases) {
    if (outcomeOf(one) !== expectedOf(one)) t.equal(outcomeOf(one), expectedOf(one), titleOf(one))
  }
})

t.test('a method that would change its value is refused by its name', async (t) => {
  t.throws(() => call([1], 'append', 2), failure('NotSupportedError', /"append"/))
  t.throws(() => call(new Dict(), 'update', new Dict()), failure('NotSupportedError', /"update"/))
  t.throws(() => call('a', 'encode'), failure('NotSupportedError', /"encode"/))
})

t.test('names of JavaScript’s and of Python’s objects are no methods', async (t) => {
  const names = [
    'constructor',
    '__class__',
    '__proto__',
    'toString',
    'valueOf',
    'hasOwnProperty',
    'length',
    'map',
    'at',
    '__init__',
  ]
  for (const value of ['a', [1], new Dict(), 1, 1.5, true, null]) {
    for (const name of names) t.equal(methodOf(newContext(), value, name), undefined)
  }
})

t.test('a text cannot be made wider than the budget', async (t) => {
  for (const name of ['center', 'ljust', 'rjust', 'zfill']) t.throws(() => call('a', name, 1e9), BudgetExceeded, name)
  t.throws(() => call('\t', 'expandtabs', 1e9), BudgetExceeded)
})

t.test('a long needle is found where the engine finds it', async () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 400 })
  fc.assert(
    fc.property(text, fc.nat(200), fc.nat(100), (whole, start, extra) => {
      const needle = whole.slice(start, start + 1 + extra)
      const context = newContext()
      const [first, last] = [findText(context, whole, needle), findLastText(context, whole, needle)]
      return first === whole.indexOf(needle) && last === whole.lastIndexOf(needle)
    }),
  )
})

t.test('a search takes the sum of the lengths, not their product', async (t) => {
  const elapsedMs = stopwatch()
  const [text, needle] = ['a'.repeat(500_000), `b${'a'.repeat(100_000)}`]
  for (const name of ['find', 'count', 'rfind', 'split']) call(text, name, needle)
  call(text, 'replace', needle, '')
  t.ok(elapsedMs() < 1000)
})

t.test('splitting and joining again gives the same text', async () => {
  const text = fc.string({ unit: fc.constantFrom('a', ',', '😀', ' ') })
  fc.assert(
    fc.property(text, (whole) => {
      const parts = call(whole, 'split', ',') ?? null
      return call(',', 'join', parts) === whole && call(',', 'join', call(whole, 'rsplit', ',', 1) ?? null) === whole
    }),
  )
})

t.test('whatever a method is given, it answers or fails with an error of ours', async () => {
  const names = [...new Set(cases.map(({ name }) => name))]
  const argument = fc.oneof(
    fc.string(),
    fc.integer({ min: -5, max: 50 }),
    fc.constantFrom<Value>(null, [], 1.5, true, new Dict()),
  )
  fc.assert(
    fc.property(fc.constantFrom(...names), argument, fc.array(argument, { maxLength: 4 }), (name, value, args) => {
      try {
        call(value, name, ...args)
      } catch (error) {
        if (!(error instanceof OperationError)) throw error
      }
    }),
    { numRuns: runs(2000) },
  )
})
