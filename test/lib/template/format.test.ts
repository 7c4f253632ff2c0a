import fc from 'fast-check'
import t from 'tap'
import { BudgetExceeded } from '../../../src/lib/template/budget.js'
import { methodOf } from '../../../src/lib/template/values/methods.js'
import { percentFormat } from '../../../src/lib/template/values/python-format.js'
import { parseFloatText } from '../../../src/lib/template/values/python-numbers.js'
import { Attributes, float, numberOf, OperationError, Tuple, type Value } from '../../../src/lib/template/values/values.js'
import { runs } from '../../helpers/runs.js'
import { expectedOf, failure, newContext, outcomeOf, readCases, titleOf } from './jinja2-cases.js'

const cases = readCases().filter(({ kind, name }) => kind === 'percent' || name === 'format')

const format = (template: string, ...args: Value[]) => methodOf(newContext(), template, 'format')?.(args, new Map())
const percent = (template: string, ...args: Value[]) => percentFormat(newContext(), template, new Tuple(args))

t.test('every format gives what Python gives, or fails with the same exception', async (t) => {
  t.ok(cases.length > 300)
  for (const one of cases) {
    if (outcomeOf(one) !== expectedOf(one)) t.equal(outcomeOf(one), expectedOf(one), titleOf(one))
  }
})

t.test('a field reaches the attributes of our own values and nothing else', async (t) => {
  const loop = new Attributes('loop', (name) => (name === 'index' ? 1 : undefined))
  t.equal(format('{0.index}', loop), '1')
  for (const value of ['a', 1, [1], loop]) {
    for (const name of ['__class__', 'constructor', '__proto__', 'length', 'kind', 'get']) {
      t.throws(() => format(`{0.${name}}`, value), failure('AttributeError'))
    }
  }
})

t.test('a width or a precision is bounded, however it is written', async (t) => {
  t.throws(() => format('{:999999999}', 1), BudgetExceeded)
  t.throws(() => format('{:{}}', 1, 999_999_999), BudgetExceeded)
  t.throws(() => percent('%*d', 999_999_999, 1), BudgetExceeded)
  t.throws(() => percent('%.9999f', 1.5), failure('NotSupportedError'))
  t.throws(() => format('{:.9999f}', 1.5), failure('NotSupportedError'))
  t.throws(() => percent(`%${'9'.repeat(400)}d`, 1), failure('ValueError'))
})

t.test('17 digits tell every float from every other', async () => {
  const number = fc.double({ noDefaultInfinity: true, noNaN: true })
  fc.assert(
    fc.property(number, (value) => {
      const texts = [percent('%.17g', float(value)), percent('%.16e', float(value)), format('{:.17g}', float(value))]
      return texts.every((text) => Object.is(numberOf(parseFloatText(String(text))), value))
    }),
  )
})

t.test('a wide enough field is as wide as asked for', async () => {
  fc.assert(
    fc.property(
      fc.integer(),
      fc.integer({ min: 20, max: 60 }),
      fc.constantFrom('<', '>', '^', '=', '0', ''),
      (value, width, align) => {
        return (
          String(format(`{:${align}${width}}`, value)).length === width && String(percent(`%${width}d`, value)).length === width
        )
      },
    ),
  )
})

t.test('whatever the template of a format is, it ends in a text or an error of ours', async () => {
  const piece = fc.constantFrom(...'{}[]():!.%0159<>=^+-# ,_abdefgrsx*é'.split(''))
  fc.assert(
    fc.property(
      fc.string({ unit: piece, maxLength: 20 }),
      fc.array(fc.constantFrom<Value>(1, 'a', 2.5, null, [1]), { maxLength: 3 }),
      (text, args) => {
        for (const run of [format, percent]) {
          try {
            run(text, ...args)
          } catch (error) {
            if (!(error instanceof OperationError || error instanceof BudgetExceeded)) throw error
          }
        }
      },
    ),
    { numRuns: runs(5000) },
  )
})
