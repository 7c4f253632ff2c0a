import fc from 'fast-check'
import t from 'tap'
import { bucketCount, canaryBucket, isInCanary, isPercentage, toBasisPoints } from '../../src/lib/canary.js'
import { portableSha256Head, sha256Head } from '../../src/lib/sha256.js'

const basisPoints = fc.integer({ min: 1, max: bucketCount })

/** How many of 20,000 subjects are in a canary of this share. */
function countInCanary(salt: string, percentage: number): number {
  const share = toBasisPoints(percentage)
  return Array.from({ length: 20_000 }, (_, index) => canaryBucket(salt, `user-${index}`)).filter((bucket) =>
    isInCanary(bucket, share),
  ).length
}

t.test('the published vectors fall into their buckets', async (t) => {
  t.equal(canaryBucket('s', 'user-1'), 697)
  t.equal(canaryBucket('s', 'user-2'), 9103)
  t.equal(canaryBucket('salt', '42'), 3071)
})

t.test('salt and key are hashed as UTF-8, the empty key included', async (t) => {
  // What `sha256sum` prints for ":" and "s:客服" begins with these digits.
  t.equal(canaryBucket('', ''), Number((0xe7ac0786n * 10_000n) >> 32n))
  t.equal(canaryBucket('s', '客服'), Number((0x24dcfcc4n * 10_000n) >> 32n))
  t.not(canaryBucket('s', 'é'), canaryBucket('s', 'e\u0301'), 'keys are bytes: no normalization')
})

t.test('a subject gets the same bucket for ever, and buckets are 0 to 9999', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (salt, key) => {
      const bucket = canaryBucket(salt, key)
      return Number.isInteger(bucket) && bucket >= 0 && bucket < 10_000 && bucket === canaryBucket(salt, key)
    }),
  )
  t.pass()
})

t.test('raising the share only moves subjects in', async (t) => {
  fc.assert(
    fc.property(fc.string(), fc.string(), basisPoints, basisPoints, (salt, key, one, other) => {
      const bucket = canaryBucket(salt, key)
      return !isInCanary(bucket, Math.min(one, other)) || isInCanary(bucket, Math.max(one, other))
    }),
  )
  t.pass()
})

t.test('a share of 100 % takes every bucket and 0.01 % exactly one', async (t) => {
  const buckets = Array.from({ length: bucketCount }, (_, bucket) => bucket)
  t.ok(buckets.every((bucket) => isInCanary(bucket, toBasisPoints(100))))
  t.same(
    buckets.filter((bucket) => isInCanary(bucket, toBasisPoints(0.01))),
    [0],
  )
})

t.test('the share of many subjects is near the percentage', async (t) => {
  for (const percentage of [0.5, 1, 10, 33.33, 50, 90]) {
    const expected = (20_000 * percentage) / 100
    // Five standard deviations of a fair draw.
    const tolerance = 5 * Math.sqrt(20_000 * (percentage / 100) * (1 - percentage / 100))
    for (const salt of ['s', 'another']) {
      const count = countInCanary(salt, percentage)
      t.ok(Math.abs(count - expected) <= tolerance, `${percentage} % with salt ${salt}: ${count} of 20,000`)
    }
  }
})

t.test('another salt draws other subjects', async (t) => {
  const keys = Array.from({ length: 2_000 }, (_, index) => `user-${index}`)
  const both = keys.filter((key) => isInCanary(canaryBucket('a', key), 5_000) && isInCanary(canaryBucket('b', key), 5_000))
  t.ok(both.length > 400 && both.length < 600, `${both.length} of 2,000 are in both halves`)
})

t.test('every percentage of two decimals from 0.01 to 100 is accepted and kept exactly', async (t) => {
  const wrong = Array.from({ length: bucketCount }, (_, index) => index + 1).filter((points) => {
    // What a client writes is the decimal text, not a quotient.
    const percentage = Number(`${Math.floor(points / 100)}.${String(points % 100).padStart(2, '0')}`)
    return !isPercentage(percentage) || toBasisPoints(percentage) !== points
  })
  t.same(wrong, [])
  t.equal(toBasisPoints(1.1), 110)
  t.equal(toBasisPoints(0.29), 29)
  t.equal(toBasisPoints(4.35), 435)
})

t.test('a percentage out of range or with more than two decimals is refused', async (t) => {
  for (const percentage of [0, -0, -1, -0.01, 0.001, 0.004, 0.005, 0.009, 100.01, 100.001, 101, 1e9, 33.333, 1.005, 99.999]) {
    t.notOk(isPercentage(percentage), String(percentage))
  }
  for (const percentage of [Number.NaN, Infinity, -Infinity, Number.MIN_VALUE, Number.MAX_VALUE])
    t.notOk(isPercentage(percentage), String(percentage))
  for (const percentage of [1.1000000001, 0.009999999999, 100.0000000001, 50.00000000001])
    t.notOk(isPercentage(percentage), String(percentage))
})

t.test('only two-decimal numbers are percentages, whatever the number', async (t) => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 101, noNaN: true }), (percentage) => {
      const hasTwoDecimals = /^\d{1,3}(\.\d{1,2})?$/.test(String(percentage)) && percentage >= 0.01 && percentage <= 100
      return isPercentage(percentage) === hasTwoDecimals
    }),
  )
  t.pass()
})

t.test(
  'a subject falls into the same bucket where the platform has no SHA-256 that answers at once, as in browsers',
  async (t) => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => portableSha256Head(text) === sha256Head(text)),
      { numRuns: 500 },
    )
    t.equal(portableSha256Head('s:user-1'), sha256Head('s:user-1'))
  },
)
