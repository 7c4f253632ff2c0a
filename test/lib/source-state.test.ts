import fc from 'fast-check'
import t from 'tap'
import { type Freshness, freshnessOf, type SourceState } from '../../src/lib/source-state.js'
import { runs } from '../helpers/runs.js'

const checkedAtMs = Date.UTC(2026, 0, 1)
const seconds = (count: number) => checkedAtMs + count * 1_000
const source: SourceState = { ttlSeconds: 300, staleSeconds: 3_600, unreachableSinceMs: seconds(10), checkedAtMs }

t.test('a source out of reach is fresh for its ttlSeconds, stale for its staleSeconds, and then gone', async (t) => {
  const at = (afterSeconds: number, changes: Partial<SourceState> = {}) =>
    freshnessOf({ ...source, ...changes }, seconds(afterSeconds))
  t.strictSame([at(0), at(300), at(301), at(3_900), at(3_901)], ['fresh', 'fresh', 'stale', 'stale', 'gone'])
  t.equal(at(10 ** 9, { staleSeconds: null }), 'stale', 'without a limit it is never gone')
  t.equal(at(301, { staleSeconds: 0 }), 'gone')
  t.equal(at(10 ** 9, { unreachableSinceMs: null }), 'fresh', 'one that can be reached is fresh, however long ago it was checked')
  t.equal(at(310, { checkedAtMs: null }), 'fresh', 'one that was never checked counts from when it was found out of reach')
  t.equal(at(311, { checkedAtMs: null }), 'stale')
})

t.test('time only makes it staler', async (t) => {
  const order: Freshness[] = ['fresh', 'stale', 'gone']
  const time = fc.integer({ min: -10_000, max: 10_000 })
  const state = fc.record({
    ttlSeconds: fc.integer({ min: 10, max: 4_000 }),
    staleSeconds: fc.option(fc.integer({ min: 0, max: 4_000 })),
    unreachableSinceMs: fc.option(time.map(seconds)),
    checkedAtMs: fc.option(time.map(seconds)),
  })
  fc.assert(
    fc.property(state, time, fc.nat({ max: 10_000 }), (one, at, later) => {
      const [before, after] = [freshnessOf(one, seconds(at)), freshnessOf(one, seconds(at + later))]
      t.ok(order.indexOf(after) >= order.indexOf(before))
      if (one.unreachableSinceMs === null) t.equal(after, 'fresh')
      if (one.staleSeconds === null) t.not(after, 'gone')
    }),
    { numRuns: runs(400) },
  )
})
