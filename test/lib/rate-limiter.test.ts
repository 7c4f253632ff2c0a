import fc from 'fast-check'
import t from 'tap'
import { createRateLimiter } from '../../src/lib/rate-limiter.js'
import { runs } from '../helpers/runs.js'

/** A limiter and the clock it goes by. */
function limiterOf(perMinute: number, burst = perMinute, maxKeys = 100) {
  let nowMs = 5_000
  const limiter = createRateLimiter({ perMinute, burst, maxKeys, now: () => nowMs })
  return { ...limiter, now: () => nowMs, advance: (ms: number) => (nowMs += ms) }
}

const rates = fc.integer({ min: 1, max: 5_000_000 })
const bursts = fc.integer({ min: 1, max: 30 })
const gapsMs = fc.array(
  fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 200 }), fc.double({ min: 0, max: 60_000, noNaN: true })),
  {
    minLength: 1,
    maxLength: 120,
  },
)

t.test('in no window are there more calls than the burst and what the rate gives in its time', async (t) => {
  const property = fc.property(rates, bursts, gapsMs, (perMinute, burst, gaps) => {
    const limiter = limiterOf(perMinute, burst)
    const letThroughMs: number[] = []
    for (const gap of gaps) {
      limiter.advance(gap)
      if (limiter.take('a') === 0) letThroughMs.push(limiter.now())
    }
    return letThroughMs.every((fromMs, first) =>
      letThroughMs.slice(first).every((toMs, more) => more + 1 <= burst + ((toMs - fromMs) * perMinute) / 60_000 + 0.001),
    )
  })
  fc.assert(property, { numRuns: runs(400) })
  t.pass()
})

t.test('who waits as long as said is let through, and is never told to wait longer than one call takes', async (t) => {
  const property = fc.property(rates, bursts, gapsMs, (perMinute, burst, gaps) => {
    const limiter = limiterOf(perMinute, burst)
    for (const gap of gaps) {
      limiter.advance(gap)
      const waitMs = limiter.take('a')
      if (waitMs === 0) continue
      if (waitMs > Math.ceil(60_000 / perMinute) || !Number.isInteger(waitMs)) return false
      limiter.advance(waitMs)
      if (limiter.take('a') !== 0) return false
    }
    return true
  })
  fc.assert(property, { numRuns: runs(400) })
  t.pass()
})

t.test('what remains is what is let through, and asking counts nothing', async (t) => {
  const property = fc.property(rates, bursts, gapsMs, (perMinute, burst, gaps) => {
    const limiter = limiterOf(perMinute, burst)
    for (const gap of gaps) {
      limiter.advance(gap)
      limiter.take('a')
    }
    const remaining = limiter.remaining('a')
    if (remaining !== limiter.remaining('a')) return false
    for (let call = 0; call < remaining; call += 1) if (limiter.take('a') !== 0) return false
    return limiter.take('a') > 0
  })
  fc.assert(property, { numRuns: runs(400) })
  t.pass()
})

t.test('keys do not affect each other', async (t) => {
  const calls = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.integer({ min: 0, max: 5_000 })), { maxLength: 120 })
  const property = fc.property(rates, bursts, calls, (perMinute, burst, made) => {
    const shared = limiterOf(perMinute, burst)
    const alone = new Map(['a', 'b', 'c'].map((key) => [key, limiterOf(perMinute, burst)]))
    return made.every(([key, gap]) => {
      shared.advance(gap)
      for (const limiter of alone.values()) limiter.advance(gap)
      return shared.take(key) === alone.get(key)?.take(key)
    })
  })
  fc.assert(property, { numRuns: runs(400) })
  t.pass()
})

t.test('it knows so many keys, and of one more than that it forgets the oldest', async (t) => {
  const limiter = limiterOf(1, 1, 3)
  for (const key of ['a', 'b', 'c']) t.equal(limiter.take(key), 0)
  for (const key of ['a', 'b', 'c']) t.equal(limiter.take(key), 60_000)
  t.equal(limiter.take('d'), 0)
  t.equal(limiter.remaining('a'), 1, 'the oldest begins anew')
  for (const key of ['b', 'c', 'd']) t.equal(limiter.remaining(key), 0, key)
  for (let index = 0; index < 1_000; index += 1) limiter.take(`other-${index}`)
  for (const key of ['other-997', 'other-998', 'other-999']) t.equal(limiter.take(key), 60_000, key)
  t.equal(limiter.take('other-996'), 0)
})

t.test('a minute’s worth may come at once unless a burst is named, and no limit is none', async (t) => {
  const minute = createRateLimiter({ perMinute: 5, maxKeys: 10, now: () => 0 })
  t.strictSame(
    Array.from({ length: 6 }, () => minute.take('a')),
    [0, 0, 0, 0, 0, 12_000],
  )
  const none = createRateLimiter({ perMinute: Number.POSITIVE_INFINITY, maxKeys: 10, now: () => 0 })
  for (let call = 0; call < 10_000; call += 1) if (none.take('a') !== 0) t.fail('refused')
  t.equal(none.remaining('a'), Number.POSITIVE_INFINITY)
})
