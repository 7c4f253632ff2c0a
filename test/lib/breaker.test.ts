import fc from 'fast-check'
import t from 'tap'
import { type Breaker, BreakerOpen, createBreaker } from '../../src/lib/breaker.js'
import { runs } from '../helpers/runs.js'

const openMs = 1_000

function createClock() {
  let time = 0
  return { now: () => time, advance: (ms: number) => (time += ms) }
}

function createTimed(failures = 3) {
  const clock = createClock()
  return { clock, breaker: createBreaker({ failures, openMs: () => openMs, now: clock.now }) }
}

const works = async () => 'answer'
const isOpen = { message: /tried again soon/ }
const fails = async () => {
  throw new Error('no answer')
}

/** Work that ends when it is told to. */
function createWork() {
  let resolve: (value: string) => void = () => undefined
  let reject: (error: Error) => void = () => undefined
  const promise = new Promise<string>((...settle) => {
    ;[resolve, reject] = settle
  })
  return { run: () => promise, succeed: () => resolve('late'), fail: () => reject(new Error('late failure')) }
}

t.test('so many failures in a row open it, and then work is refused without being run', async (t) => {
  const { breaker } = createTimed()
  for (let failure = 0; failure < 3; failure += 1) {
    t.equal(breaker.state(), 'closed')
    await t.rejects(breaker.run(fails), { message: 'no answer' })
  }
  t.equal(breaker.state(), 'open')
  t.equal(breaker.opened, 1)
  let isRun = false
  const refused = breaker.run(async () => {
    isRun = true
  })
  await t.rejects(refused, isOpen)
  t.notOk(isRun)
})

t.test('a success in between begins the count anew', async (t) => {
  const { breaker } = createTimed()
  for (const work of [fails, fails, works, fails, fails]) await breaker.run<string>(work).catch(() => undefined)
  t.equal(breaker.state(), 'closed')
  breaker.failed()
  t.equal(breaker.state(), 'open')
})

t.test('one failure that says enough opens it at once', async (t) => {
  const { breaker } = createTimed()
  breaker.trip()
  t.ok(breaker.isOpen())
  breaker.trip()
  t.equal(breaker.opened, 1, 'and only once')
})

t.test('after its time one work is let through, and no other while that one runs', async (t) => {
  const { breaker, clock } = createTimed()
  breaker.trip()
  clock.advance(openMs)
  t.equal(breaker.state(), 'half-open')
  t.notOk(breaker.isOpen())
  const probe = createWork()
  const running = breaker.run(probe.run)
  t.ok(breaker.isOpen())
  await t.rejects(breaker.run(works), isOpen)
  probe.succeed()
  t.equal(await running, 'late')
  t.equal(breaker.state(), 'closed')
  t.equal(await breaker.run(works), 'answer')
})

t.test('a failed probe opens it for its whole time again', async (t) => {
  const { breaker, clock } = createTimed()
  breaker.trip()
  clock.advance(openMs)
  await t.rejects(breaker.run(fails), { message: 'no answer' })
  t.equal(breaker.state(), 'open')
  t.equal(breaker.opened, 2)
  clock.advance(openMs - 1)
  await t.rejects(breaker.run(works), isOpen)
  clock.advance(1)
  t.equal(await breaker.run(works), 'answer')
  breaker.failed()
  breaker.failed()
  t.equal(breaker.state(), 'closed', 'and the count begins anew')
})

t.test('work that was begun before it opened neither closes it nor keeps it open', async (t) => {
  const { breaker, clock } = createTimed()
  const [good, bad] = [createWork(), createWork()]
  const running = [breaker.run(good.run), breaker.run(bad.run)]
  breaker.trip()
  good.succeed()
  await running[0]
  t.equal(breaker.state(), 'open')
  clock.advance(openMs)
  bad.fail()
  await t.rejects(running[1] ?? works(), { message: 'late failure' })
  t.equal(breaker.state(), 'half-open')
  t.equal(breaker.opened, 1)
})

t.test('how long it stays open is asked each time', async (t) => {
  const clock = createClock()
  const times = [10, 20]
  const breaker = createBreaker({ failures: 1, openMs: () => times.shift() ?? 0, now: clock.now })
  breaker.failed()
  clock.advance(10)
  await t.rejects(breaker.run(fails))
  clock.advance(10)
  t.equal(breaker.state(), 'open')
  clock.advance(10)
  t.equal(breaker.state(), 'half-open')
})

/** What a breaker of three failures should be, said as plainly as can be. */
type Model = { state: 'closed' | 'open'; failures: number; openUntil: number; opened: number }

const steps = fc.array(
  fc.oneof(
    fc.constantFrom('succeed', 'fail', 'trip', 'run good', 'run bad'),
    fc.integer({ min: 1, max: 1_500 }).map((ms) => ({ ms })),
  ),
  { maxLength: 60 },
)

async function play(breaker: Breaker, model: Model, step: string, time: number): Promise<boolean> {
  const note = (isGood: boolean, isEnough = false) => {
    if (model.state === 'open') return
    model.failures = isGood ? 0 : model.failures + 1
    if (!isGood && (isEnough || model.failures >= 3)) open()
  }
  const open = () => Object.assign(model, { state: 'open', openUntil: time + openMs, opened: model.opened + 1 })
  if (step === 'succeed') breaker.succeeded()
  if (step === 'fail') breaker.failed()
  if (step === 'trip') breaker.trip()
  if (!step.startsWith('run')) {
    note(step === 'succeed', step === 'trip')
    return true
  }
  const isGood = step === 'run good'
  const isRefused = model.state === 'open' && time < model.openUntil
  let isRun = false
  const outcome = await breaker
    .run<string>(() => {
      isRun = true
      return isGood ? works() : fails()
    })
    .catch((error: Error) => error)
  if (isRefused) return !isRun && outcome instanceof BreakerOpen
  if (model.state === 'closed') note(isGood)
  else if (isGood) Object.assign(model, { state: 'closed', failures: 0 })
  else open()
  return isRun && isGood === (outcome === 'answer')
}

t.test('it is open exactly when the model is, whatever happens in whatever order', async (t) => {
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const { breaker, clock } = createTimed()
      const model: Model = { state: 'closed', failures: 0, openUntil: 0, opened: 0 }
      for (const step of all) {
        if (typeof step === 'object') clock.advance(step.ms)
        else if (!(await play(breaker, model, step, clock.now()))) return false
        const expected = model.state === 'closed' ? 'closed' : clock.now() < model.openUntil ? 'open' : 'half-open'
        if (breaker.state() !== expected || breaker.opened !== model.opened) return false
        if (breaker.isOpen() !== (expected === 'open')) return false
      }
      return true
    }),
    { numRuns: runs(1_000) },
  )
  t.pass()
})

t.test('never more than one work runs while it is not closed', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { minLength: 1, maxLength: 30 }), async (ends) => {
      const { breaker, clock } = createTimed(1)
      breaker.trip()
      for (const isGood of ends) {
        clock.advance(openMs)
        const works = Array.from({ length: 5 }, createWork)
        const running = works.map(({ run }) => breaker.run(run).catch((error: Error) => error))
        const [probe] = works
        if (isGood) probe?.succeed()
        else probe?.fail()
        // The others were refused, or they would never end.
        const outcomes = await Promise.all(running)
        if (!outcomes.slice(1).every((outcome) => outcome instanceof BreakerOpen)) return false
        if (breaker.state() !== (isGood ? 'closed' : 'open')) return false
        breaker.trip()
      }
      return true
    }),
    { numRuns: runs(200) },
  )
  t.pass()
})
