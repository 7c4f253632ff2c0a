import t from 'tap'
import { createLanes, NoTurn, type Rank } from '../../src/lib/lanes.js'

/** Work that ends when the test says so; `order` tells what has begun. */
function createWorks() {
  const order: string[] = []
  const ends: (() => void)[] = []
  const work = (name: string) => () => {
    order.push(name)
    return new Promise<string>((resolve) => ends.push(() => resolve(name)))
  }
  const endNext = async () => {
    ends.shift()?.()
    // Whoever is next begins in a turn of the event loop of its own.
    await new Promise(setImmediate)
  }
  return { order, work, endNext }
}

const limits = { concurrent: 2, waiting: 3, timeoutMs: 10_000 }

t.test('no more run at once than may, and higher ranks go first, each in the order it came', async (t) => {
  const lanes = createLanes(limits)
  const { order, work, endNext } = createWorks()
  const run = (rank: Rank, name: string) => lanes.run(rank, work(name))
  const all = [run('load', 'a'), run('load', 'b'), run('load', 'c'), run('load', 'd')]
  all.push(run('confirmation', 'e'), run('watch', 'f'), run('confirmation', 'g'))
  await new Promise(setImmediate)
  t.strictSame(order, ['a', 'b'])
  while (order.length < 7) await endNext()
  t.strictSame(order, ['a', 'b', 'f', 'e', 'g', 'c', 'd'])
  await endNext()
  await endNext()
  t.strictSame(await Promise.all(all), ['a', 'b', 'c', 'd', 'e', 'f', 'g'])
})

t.test('whoever has waited too long, or finds too many waiting, is told so and is in nobody’s way', async (t) => {
  const lanes = createLanes({ concurrent: 1, waiting: 2, timeoutMs: 20 })
  const { order, work, endNext } = createWorks()
  const first = lanes.run('load', work('first'))
  const late = [lanes.run('load', work('late')), lanes.run('load', work('later'))]
  await t.rejects(lanes.run('load', work('too many')), new NoTurn('2 reads of the database are waiting already.'))
  for (const waiting of late) await t.rejects(waiting, new NoTurn('For 20 ms all connections were busy.'))
  await endNext()
  t.equal(await first, 'first')
  const next = lanes.run('load', work('next'))
  await new Promise(setImmediate)
  await endNext()
  t.equal(await next, 'next')
  t.strictSame(order, ['first', 'next'])
})

t.test('one that fails gives its place away as well', async (t) => {
  const lanes = createLanes({ ...limits, concurrent: 1 })
  const failing = lanes.run('load', () => Promise.reject(new Error('broken')))
  const next = lanes.run('load', async () => 'next')
  await t.rejects(failing, { message: 'broken' })
  t.equal(await next, 'next')
})
