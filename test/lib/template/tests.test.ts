import t from 'tap'
import { tests } from '../../../src/lib/template/filters/tests.js'
import { expectedOf, outcomeOf, readCases, titleOf } from './jinja2-cases.js'

const cases = readCases().filter(({ kind }) => kind === 'test')

t.test('every test answers as Jinja2 does, or fails with the same exception', async (t) => {
  t.ok(cases.length > 800)
  for (const one of cases) {
    if (outcomeOf(one) !== expectedOf(one)) t.equal(outcomeOf(one), expectedOf(one), titleOf(one))
  }
})

t.test('all builtin tests of Jinja2 are there, and no other', async (t) => {
  const words =
    'boolean callable defined divisibleby eq equalto escaped even false filter float ge greaterthan gt in integer iterable le lessthan ' +
    'lower lt mapping ne none number odd sameas sequence string test true undefined upper == != < <= > >='
  t.same([...tests.keys()].sort(), words.split(' ').sort())
})
