import fc from 'fast-check'
import t from 'tap'
import { seal, unseal } from '../../src/lib/sealed.js'
import { runs } from '../helpers/runs.js'

const payloads = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes))
const sealed = fc.record({ key: fc.string({ unit: 'grapheme', maxLength: 40 }), payload: payloads })

t.test('what was sealed is unsealed under its key, whatever it is', async (t) => {
  fc.assert(
    fc.property(sealed, ({ key, payload }) => {
      t.ok(unseal(key, seal(key, payload))?.equals(payload))
    }),
    { numRuns: runs(200) },
  )
})

t.test('a flipped bit is refused, wherever it is', async (t) => {
  fc.assert(
    fc.property(sealed, fc.nat(), fc.nat(7), ({ key, payload }, at, bit) => {
      const bytes = seal(key, payload)
      const index = at % bytes.length
      bytes.writeUInt8(bytes.readUInt8(index) ^ (1 << bit), index)
      t.equal(unseal(key, bytes), null)
    }),
    { numRuns: runs(400) },
  )
})

t.test('what is cut is refused, and so is what is longer', async (t) => {
  fc.assert(
    fc.property(sealed, fc.nat(), payloads, ({ key, payload }, at, more) => {
      const bytes = seal(key, payload)
      t.equal(unseal(key, bytes.subarray(0, at % bytes.length)), null)
      if (more.length > 0) t.equal(unseal(key, Buffer.concat([bytes, more])), null)
    }),
    { numRuns: runs(200) },
  )
})

t.test('what was sealed under another key is refused', async (t) => {
  fc.assert(
    fc.property(sealed, fc.string({ unit: 'grapheme', maxLength: 40 }), ({ key, payload }, other) => {
      fc.pre(key !== other)
      t.equal(unseal(other, seal(key, payload)), null)
    }),
    { numRuns: runs(200) },
  )
})

t.test('what somebody else has written is refused', async (t) => {
  for (const text of ['', 'x', '\0\0\0\0', 'OK', '{"content":"hello"}', '\u001f\u008b\b'])
    t.equal(unseal('key', Buffer.from(text)), null)
})
