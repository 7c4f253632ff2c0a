import t from 'tap'
import { createFlights, LoadsFull, LoadTimeout } from '../../src/lib/flights.js'

/** A load that settles when the test says so. */
function createLoad() {
  let finish: (value: string) => void = () => undefined
  let fail: (error: Error) => void = () => undefined
  let begun = 0
  const settled = new Promise<string>((resolve, reject) => {
    finish = resolve
    fail = reject
  })
  const load = () => {
    begun += 1
    return settled
  }
  return { load, finish, fail, begun: () => begun }
}

/** What a load was rejected with. */
async function failureOf(flight: Promise<unknown>): Promise<unknown> {
  return flight.then(
    () => null,
    (error: unknown) => error,
  )
}

const limits = { concurrent: 3, timeoutMs: 10_000 }

t.test('whoever asks while a load is under way gets what it brings', async (t) => {
  const flights = createFlights(limits)
  const { load, finish, begun } = createLoad()
  const waiting = Array.from({ length: 50 }, () => flights.run('a', load))
  t.equal(begun(), 1)
  t.equal(flights.underWay(), 1)
  finish('found')
  t.strictSame(new Set(await Promise.all(waiting)), new Set(['found']))
  t.equal(flights.underWay(), 0)
})

t.test('loads of different keys do not wait for each other', async (t) => {
  const flights = createFlights(limits)
  const slow = createLoad()
  const waiting = flights.run('slow', slow.load)
  t.equal(await flights.run('quick', async () => 'found'), 'found')
  slow.finish('late')
  t.equal(await waiting, 'late')
})

t.test('a load that fails tells all who wait, and the next one is begun anew', async (t) => {
  const flights = createFlights(limits)
  const { load, fail } = createLoad()
  const waiting = [flights.run('a', load), flights.run('a', load)]
  fail(new Error('away'))
  for (const one of waiting) await t.rejects(one, { message: 'away' })
  t.equal(await flights.run('a', async () => 'found'), 'found')
})

t.test('a load that takes too long is given up on, and its late end changes nothing for the next one', async (t) => {
  const flights = createFlights({ concurrent: 3, timeoutMs: 20 })
  const lost = createLoad()
  t.type(await failureOf(flights.run('a', lost.load)), LoadTimeout)
  t.equal(flights.underWay(), 0)
  const next = createLoad()
  const waiting = flights.run('a', next.load)
  lost.finish('late')
  await Promise.resolve()
  t.equal(flights.underWay(), 1)
  next.finish('found')
  t.equal(await waiting, 'found')
})

t.test('a load that is begun where no more may be is refused, and who joins one is not', async (t) => {
  const flights = createFlights(limits)
  const loads = ['a', 'b', 'c'].map((key) => ({ key, ...createLoad() }))
  const waiting = loads.map(({ key, load }) => flights.run(key, load))
  const other = createLoad()
  t.type(await failureOf(flights.run('d', other.load)), LoadsFull)
  t.equal(other.begun(), 0)
  const joined = flights.run('a', other.load)
  for (const { finish } of loads) finish('found')
  t.strictSame(await Promise.all([...waiting, joined]), ['found', 'found', 'found', 'found'])
  t.equal(await flights.run('d', async () => 'found'), 'found')
})

t.test('a load that throws before it waits is a failed one', async (t) => {
  const flights = createFlights(limits)
  const broken = () => {
    throw new Error('broken')
  }
  await t.rejects(flights.run('a', broken), { message: 'broken' })
  t.equal(flights.underWay(), 0)
})
