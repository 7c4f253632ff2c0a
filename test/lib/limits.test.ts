import t from 'tap'
import { addressKey, bucketQuota, createLimits, lowReads, rateExceeded, rateFields, takeRead } from '../../src/lib/limits.js'

t.test('addresses of one network of IPv6 are one caller, those of IPv4 are one each', async (t) => {
  const same: [address: string, key: string][] = [
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::1', '2001:db8:1:2::/64'],
    ['2001:0db8:0001:0002::', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8::1:2:3:4:5', '2001:db8:0:1::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ]
  for (const [address, key] of same) t.equal(addressKey(address), key, address)
})

t.test('the fields are told once less than half is left, in the form of the draft', async (t) => {
  let nowMs = 0
  const limits = createLimits({ readLimitPerMinute: 6, writeLimitPerMinute: 1 }, () => nowMs)
  for (const low of [null, null, null, 2, 1, 0]) {
    t.equal(takeRead(limits, 'a'), 0)
    t.equal(lowReads(limits, 'a')?.left ?? null, low)
  }
  const last = lowReads(limits, 'a')
  t.strictSame(last && rateFields(last), { 'ratelimit-policy': '"reads";q=6;w=60', ratelimit: '"reads";r=0;t=60' })
  nowMs += 2_500
  const refused = rateExceeded(bucketQuota('reads', 6, 0, takeRead(limits, 'a')), 'Key "x"')
  t.equal(refused.status, 429)
  t.strictSame(refused.headers, { 'ratelimit-policy': '"reads";q=6;w=60', ratelimit: '"reads";r=0;t=8', 'retry-after': '8' })
  t.equal(lowReads(limits, 'b'), null)
})

t.test('without a limit there is nothing to tell', async (t) => {
  const none = Number.POSITIVE_INFINITY
  const limits = createLimits({ readLimitPerMinute: none, writeLimitPerMinute: none }, () => 0)
  t.equal(takeRead(limits, 'a'), 0)
  t.equal(lowReads(limits, 'a'), null)
})
