import fc from 'fast-check'
import t from 'tap'
import { BrokenProtocol, createMessageFilter, TooMuchSent } from '../../src/providers/database-messages.js'
import { runs } from '../helpers/runs.js'
import { authenticated, int16, int32, message, ready, row, wellFormed } from './helpers/postgres-peer.js'

const broken: Record<string, Buffer> = {
  'a kind that is not asked for': message('A', int32(1), 'a\0b\0'),
  'a copy': message('G', Buffer.from([0, 0, 0])),
  'a name of every object': message('constructor'[0] ?? '', ''),
  'a length of less than itself': Buffer.from([0x5a, 0, 0, 0, 3, 0x49]),
  'a negative length': Buffer.from([0x5a, 255, 255, 255, 255]),
  'a long message of a short kind': Buffer.from([0x5a, 0, 1, 0, 0]),
  'a row with more fields than it holds': message('D', int16(2), int32(0)),
  'a row with a field that is longer than it': message('D', int16(1), int32(5), 'four'),
  'a row with something behind its fields': message('D', int16(0), 'more'),
  'columns without a name': message('T', int16(1), 'path'),
  'a state without a letter': message('Z'),
  'half of a key': message('K', int32(1)),
  'an error without an end': message('E', 'SFATAL\0'),
  'ways to authenticate without an end': message('R', int32(10), 'SCRAM\0'),
  'an unknown way to authenticate': message('R', int32(7)),
  'a setting without a value': message('S', 'client_encoding\0'),
}

function thrown(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return error
  }
}

t.test('whole messages come out as they were sent, however the bytes are cut', async (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...wellFormed), { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 40 })),
      (messages, cuts) => {
        const sent = Buffer.concat(messages)
        const filter = createMessageFilter(1024 * 1024)
        const received: Buffer[] = []
        let at = 0
        for (const cut of [...cuts, sent.length]) {
          received.push(filter(sent.subarray(at, at + cut)))
          at += cut
        }
        t.ok(Buffer.concat(received).equals(sent))
      },
    ),
    { numRuns: runs(200) },
  )
})

t.test('a message that is not what it says it is is refused, behind any other', async (t) => {
  for (const [name, bytes] of Object.entries(broken)) {
    t.ok(thrown(() => createMessageFilter(1024 * 1024)(bytes)) instanceof BrokenProtocol, name)
    const behind = Buffer.concat([authenticated, ready, bytes])
    t.ok(thrown(() => createMessageFilter(1024 * 1024)(behind)) instanceof BrokenProtocol, `${name}, behind others`)
  }
})

t.test('a message is refused when it says that it is too long, before it is there', async (t) => {
  const filter = createMessageFilter(10_000)
  t.ok(thrown(() => filter(message('D', Buffer.alloc(20_000)).subarray(0, 5))) instanceof TooMuchSent)
  const small = createMessageFilter(100)
  t.doesNotThrow(() => small(row('x'.repeat(60))))
  t.ok(thrown(() => small(row('x'.repeat(60)))) instanceof TooMuchSent, 'and so is one too many')
})
