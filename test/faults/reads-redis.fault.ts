import t from 'tap'
import { type Fault, startFaultProxy } from './helpers/fault-proxy.js'
import { endure, type FaultOfRedis, startEndurance, untilBothLinked } from './helpers/redis-endurance.js'
import { startRedis } from './helpers/redis-server.js'

t.setTimeout(120_000)
const redis = await startRedis(t)
const proxy = await startFaultProxy(t, redis.url)
const endurance = await startEndurance(t, [proxy.url])

const way = (fault: Fault): FaultOfRedis => ({ begin: () => proxy.set(fault), end: () => proxy.set('pass') })

t.test('while Redis is stopped', (t) => endure(t, endurance, { begin: redis.stop, end: redis.start }))
t.test('while Redis is killed', (t) => endure(t, endurance, { begin: redis.kill, end: redis.start }))
t.test('while Redis is frozen', (t) => endure(t, endurance, { begin: redis.freeze, end: redis.thaw }))
t.test('while Redis takes 200 ms each way', (t) => endure(t, endurance, way({ latencyMs: 200 })))
t.test('while Redis is full', (t) => endure(t, endurance, { begin: redis.fill, end: redis.unfill }))
t.test('while Redis answers with what is no protocol', (t) => endure(t, endurance, way('garbage')))
t.test('while nothing comes through to Redis', (t) => endure(t, endurance, way('black-hole')))
t.test('while the answers of Redis are lost', (t) => endure(t, endurance, way('half-open')))
t.test('while the connections to Redis are reset', (t) => endure(t, endurance, way('reset')))

t.test('while Redis fails over: read-only at first, and elsewhere then', async (t) => {
  const replica = await redis.makeReplica()
  await endure(t, endurance, {
    begin: () => redis.failOverTo(replica),
    end: async () => proxy.retarget(replica.url),
  })
  // The connections that stood go on to the old one until it is gone.
  await redis.promote()
  proxy.retarget(redis.url)
  await proxy.set('reset')
  await proxy.set('pass')
  await untilBothLinked(endurance)
})
