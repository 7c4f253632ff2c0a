import t from 'tap'
import type { Service } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { type Fault, startFaultProxy } from './helpers/fault-proxy.js'
import { migrateDatabase, startInstance, untilLinked } from './helpers/instances.js'
import {
  findOutdated,
  findReturns,
  findStrays,
  type Question,
  type Read,
  type Step,
  startReaders,
  takeStep,
  type Wrong,
} from './helpers/ordered-reads.js'
import { startPostgres } from './helpers/postgres-server.js'
import { startRedis } from './helpers/redis-server.js'

const maxStalenessMs = 3_000
/** How long a write may go unseen on other instances while Redis is up. */
const heardMs = 1_000
const patienceMs = 30_000
const faultReads = 1_000
/** Longer than any read waits for Postgres, and than anything counts as confirmed. */
const frozenMs = 3_500
/** In a fault that leaves an instance nobody to ask it has to say so as often. */
const markedReads = 20
/** Of the reads of an instance that a fault is none of the business of, as many are as good as ever. */
const unmarkedShare = 0.9
const slowMs = 100
const maxShown = 5

const prompts = ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta']
const subjects = Array.from({ length: 12 }, (_, index) => `user-${index}`)
const aliases = ['production', 'stable', 'canaried'] as const
type Alias = (typeof aliases)[number]

/** Each release is pointed to once, so that what a read shows tells which move it saw. */
const stableMoves = 150
const canarySteps = 199
/** As far apart as they can be in their order, so that the alias goes forth and back. */
const stableLabels = Array.from({ length: stableMoves }, (_, index) => `s-${(index * 53) % stableMoves}`)

t.setTimeout(180_000)

const promptsOf = (release: string) => prompts.map((name) => ({ name, content: `${name} of ${release}` }))
const releaseOf = (body: { content: string }) => / of (\S+)$/.exec(body.content)?.[1] ?? null
const percentageOf = (body: { canary: { percentage: number } | null }) => String(body.canary?.percentage)

function ask(turn: number): Question {
  const alias = aliases[turn % aliases.length] ?? 'production'
  const prompt = prompts[Math.floor(turn / 3) % prompts.length] ?? ''
  if (alias !== 'canaried') return { alias, prompt, subject: null, readValue: releaseOf }
  return { alias, prompt, subject: subjects[Math.floor(turn / 7) % subjects.length] ?? '', readValue: percentageOf }
}

/** Everything is known to all instances: each prompt by each alias. */
async function begin(instances: Service[], steps: Record<Alias, Step[]>): Promise<void> {
  const [first] = instances as [Service]
  for (let release = 0; release < stableMoves; release += 1)
    await first.push({ version: `s-${release}`, prompts: promptsOf(`s-${release}`) })
  await first.push({ version: 'base', alias: 'canaried', prompts: promptsOf('base') })
  await first.push({ version: 'next', prompts: promptsOf('next') })
  steps.stable.push(await moveStable(first, 0))
  steps.canaried.push(await raise(first, 1))
  steps.production.push(await release(first, 0))
  for (const instance of instances) {
    for (let turn = 0; turn < aliases.length * prompts.length * 7; turn += 1) {
      const { alias, prompt, subject } = ask(turn)
      const { status, text } = await instance.call(`/prompts/${prompt}/${alias}${subject ? `?key=${subject}` : ''}`)
      if (status !== 200) throw new Error(text)
    }
  }
}

const release = (instance: Service, number: number) =>
  takeStep(instance, `p-${number}`, '/prompts', { body: { alias: 'production', prompts: promptsOf(`p-${number}`) } })

const moveStable = (instance: Service, move: number) => {
  const version = stableLabels[move] ?? ''
  return takeStep(instance, version, '/aliases/stable', { method: 'PUT', body: { version } })
}

/** By half of a percent each time. */
const raise = (instance: Service, step: number) => {
  const percentage = step / 2
  return takeStep(instance, String(percentage), '/canary', { body: { alias: 'canaried', version: 'next', percentage } })
}

/** One writer releases; the other moves an alias forth and back and raises a canary. Each goes from instance to instance. */
function startWriters(t: Pick<typeof import('tap').t, 'teardown'>, instances: Service[], steps: Record<Alias, Step[]>) {
  let isStopped = false
  const passedBy = new Set<Service>()
  const at = (turn: number) => {
    const asked = instances.filter((instance) => !passedBy.has(instance))
    return asked[turn % asked.length] as Service
  }
  const releasing = async () => {
    for (let number = 1; !isStopped; number += 1) steps.production.push(await release(at(number), number))
  }
  const moving = async () => {
    for (let turn = 1; !isStopped; turn += 1) {
      if (turn < stableMoves) steps.stable.push(await moveStable(at(turn), turn))
      if (turn < canarySteps) steps.canaried.push(await raise(at(turn + 1), turn + 1))
    }
  }
  const running = Promise.all([releasing(), moving()])
  const stop = async () => {
    isStopped = true
    await running
  }
  t.teardown(stop)
  /** Resolves when each of them has made more steps, so that none is made where they pass by. */
  const goOn = (count = 3) => {
    const before = { ...steps, production: steps.production.length, stable: steps.stable.length }
    return until(
      'writers went on',
      patienceMs,
      () => steps.production.length >= before.production + count && steps.stable.length >= before.stable + count,
    )
  }
  return { stop, goOn, passedBy }
}

/** What went wrong meanwhile, and who had nobody to ask for that time. */
type Trouble = { name: string; fromMs: number; untilMs: number; alone: Service[]; unaffected: Service[] }

function show(wrong: Wrong[]): string[] {
  const described = wrong.slice(0, maxShown).map(({ reason, read }) => {
    const { url, prompt, alias, subject, value, status, content, isMarked } = read
    return `${url} ${prompt}/${alias} ${subject ?? ''}: ${status} ${value} "${content}"${isMarked ? ' stale' : ''}: ${reason}`
  })
  return wrong.length > maxShown ? [...described, `and ${wrong.length - maxShown} more`] : described
}

t.test('no reader of four instances sees what the invariants forbid, whatever goes wrong meanwhile', async (t) => {
  const postgres = await startPostgres(t)
  const databaseUrl = await postgres.createDatabase('consistency')
  await migrateDatabase(databaseUrl)
  const redis = await startRedis(t)
  const env = { PROMPTSYNC_MAX_STALENESS: `${maxStalenessMs}ms` }
  const start = (url: string) => startInstance(t, { databaseUrl: url, redisUrls: [redis.url], env })
  const ways = { cut: await startFaultProxy(t, databaseUrl), slow: await startFaultProxy(t, databaseUrl) }
  const direct = [await start(databaseUrl), await start(databaseUrl)]
  const [cut, slow] = [await start(ways.cut.url), await start(ways.slow.url)]
  const instances = [...direct, cut, slow]
  const steps: Record<Alias, Step[]> = { production: [], stable: [], canaried: [] }
  await begin(instances, steps)
  const { reads, stop } = startReaders(t, { instances, count: 8, ask })
  const writers = startWriters(t, instances, steps)

  /** When Redis was not there for all of them. */
  const redisAway: { fromMs: number; untilMs: number }[] = []
  const troubles: Trouble[] = []
  const lasts = (count = faultReads) => {
    const from = reads.length
    return until('readers went on', patienceMs, () => reads.length - from >= count)
  }
  const withoutRedis = async (begin: () => Promise<void>, meanwhile: () => Promise<void>, end: () => Promise<void>) => {
    const away = { fromMs: performance.now(), untilMs: Number.POSITIVE_INFINITY }
    redisAway.push(away)
    await begin()
    await meanwhile().finally(end)
    await Promise.all(instances.map((instance) => untilLinked(instance)))
    away.untilMs = performance.now()
    await writers.goOn()
  }
  const marksOf = ({ url }: Service, fromMs: number) =>
    reads.filter((read) => read.isMarked && read.url === url && read.startMs >= fromMs).length
  /** Each alias of each instance is read as if nothing had been. */
  const untilConfirmed = (fromMs: number) =>
    until('all is confirmed again', patienceMs, () => {
      const good = reads.filter((read) => !read.isMarked && read.status === 200 && read.startMs >= fromMs)
      return new Set(good.map(({ url, alias }) => `${url} ${alias}`)).size === instances.length * aliases.length
    })
  /** Takes Postgres away from some for so long that they have to say so, and gives it back. */
  const endure = async (
    name: string,
    { alone = [], unaffected = [] }: Partial<Pick<Trouble, 'alone' | 'unaffected'>>,
    [begin, end]: readonly [() => Promise<void>, () => Promise<void>],
  ) => {
    await begin()
    const fromMs = performance.now()
    const isLong = () => performance.now() - fromMs >= frozenMs && alone.every((one) => marksOf(one, fromMs) >= markedReads)
    await until(`${name} has lasted`, patienceMs, alone.length === 0 ? () => true : isLong).finally(async () => {
      troubles.push({ name, fromMs, untilMs: performance.now(), alone, unaffected })
      await end()
    })
    const endedMs = performance.now()
    await untilConfirmed(endedMs)
    t.comment(`${name}: confirmed again after ${Math.round(performance.now() - endedMs)} ms`)
    await writers.goOn()
  }
  const cutAndSlow = async (ofCut: Fault, ofSlow: Fault) => {
    await Promise.all([ways.cut.set(ofCut), ways.slow.set(ofSlow)])
  }
  const restartPostgres = () => endure('Postgres restarts', {}, [() => postgres.stop('fast').then(() => lasts()), postgres.start])

  await lasts()
  await withoutRedis(redis.kill, () => lasts(), redis.start)
  await restartPostgres()
  await withoutRedis(redis.freeze, () => lasts(), redis.thaw)
  await withoutRedis(redis.kill, restartPostgres, redis.start)
  await endure('Postgres is frozen', { alone: instances }, [postgres.freeze, postgres.thaw])
  // A write that is under way in a black hole would hold the lock of the project that all others wait for.
  writers.passedBy.add(cut)
  await writers.goOn()
  const partly = [() => cutAndSlow('black-hole', { latencyMs: slowMs }), () => cutAndSlow('pass', 'pass')] as const
  await endure('one is cut off, one is slow', { alone: [cut], unaffected: direct }, partly)
  writers.passedBy.delete(cut)
  // In the middle of what is written there.
  await endure('one is reset', {}, [() => ways.slow.set('reset').then(() => lasts(300)), () => ways.slow.set('pass')])
  await lasts()
  await writers.stop()
  await stop()

  t.comment(`${reads.length} reads, ${aliases.map((alias) => `${steps[alias].length} steps of ${alias}`).join(', ')}`)
  t.strictSame(
    show(reads.filter(({ status }) => status !== 200).map((read) => ({ reason: 'was known', read }))),
    [],
    'all is answered',
  )
  for (const trouble of troubles) saysSo(t, trouble, reads)
  const isRedisUp = (fromMs: number, untilMs: number) => redisAway.every((away) => untilMs < away.fromMs || away.untilMs < fromMs)
  const boundMs = (step: Step, read: Read) => {
    if (step.url === read.url) return 0
    return isRedisUp(step.fromMs, step.untilMs + heardMs) ? heardMs : maxStalenessMs
  }
  for (const alias of aliases) {
    const ofAlias = reads.filter((read) => read.alias === alias && read.status === 200)
    t.ok(steps[alias].length > 15, `${alias} took ${steps[alias].length} steps`)
    for (const { url } of instances) {
      const returns = findReturns(
        ofAlias.filter((read) => read.url === url),
        steps[alias],
      )
      t.strictSame(show(returns), [], `no read of ${alias} goes back`)
    }
    t.strictSame(show(findOutdated(ofAlias, steps[alias], boundMs)), [], `reads of ${alias} are as new as they must be`)
  }
  const drawn = reads.filter(({ alias, status }) => alias === 'canaried' && status === 200)
  const sides = new Set(drawn.map(({ canary }) => canary?.selected))
  t.equal(sides.size, 2, 'subjects were on both sides')
  t.strictSame(show(findStrays(drawn)), [], 'every subject is on the side of its bucket, for every prompt')
  t.strictSame(show(findMixed(drawn)), [], 'and gets the content of that side')
  t.strictSame(show(findForeign(reads)), [], 'and every prompt has its own content')
})

/** Whoever had nobody to ask marked its answers, and whoever had went on as ever. */
function saysSo(t: Pick<typeof import('tap').t, 'ok'>, trouble: Trouble, reads: readonly Read[]): void {
  const { name, fromMs, untilMs, alone, unaffected } = trouble
  const during = (instance: Service, sinceMs = fromMs) =>
    reads.filter(({ url, startMs, endMs }) => url === instance.url && startMs >= sinceMs && endMs <= untilMs)
  for (const [index, instance] of alone.entries()) {
    const late = during(instance, fromMs + maxStalenessMs)
    const marked = late.filter(({ isMarked }) => isMarked).length
    t.ok(marked > 0 && marked === late.length, `${name}: ${marked} of ${late.length} late reads of instance ${index} say so`)
  }
  for (const [index, instance] of unaffected.entries()) {
    const all = during(instance)
    const good = all.filter(({ isMarked }) => !isMarked).length
    t.ok(good > unmarkedShare * all.length, `${name}: ${good} of ${all.length} reads of instance ${index} are confirmed`)
  }
}

function findMixed(drawn: Read[]): Wrong[] {
  return drawn
    .filter(({ content, canary }) => releaseOf({ content }) !== (canary?.selected ? 'next' : 'base'))
    .map((read) => ({ reason: 'is of the other side', read }))
}

function findForeign(reads: readonly Read[]): Wrong[] {
  return reads
    .filter(({ status, content, prompt }) => status === 200 && !content.startsWith(`${prompt} of `))
    .map((read) => ({ reason: 'is of another prompt', read }))
}

t.test('the checks find what is wrong', async (t) => {
  const step = (value: string, fromMs: number, url = 'a'): Step => ({ value, fromMs, untilMs: fromMs + 10, url })
  const steps = [step('one', 0), step('two', 100), step('three', 200)]
  const read = (value: string, startMs: number, more: Partial<Read> = {}): Read => {
    const common = { url: 'a', alias: 'production', prompt: 'alpha', subject: 'user', status: 200, isMarked: false, content: '' }
    return { ...common, value, startMs, endMs: startMs + 5, canary: null, ...more }
  }
  const returns = (...reads: Read[]) => findReturns(reads, steps).length
  t.equal(returns(read('one', 100), read('two', 103), read('one', 106), read('two', 120)), 0, 'what overlaps has no order')
  t.equal(returns(read('two', 103), read('one', 109)), 1)
  t.equal(returns(read('two', 103), read('one', 109, { isMarked: true })), 1, 'marked or not')
  t.equal(returns(read('one', 109), read('two', 103)), 1, 'in whatever order they are told')

  const outdated = (...reads: Read[]) => findOutdated(reads, steps, (step, { url }) => (step.url === url ? 0 : 50)).length
  t.equal(outdated(read('one', 105), read('two', 98), read('one', 150, { url: 'b' }), read('two', 205)), 0)
  t.equal(outdated(read('one', 111)), 1, 'on the instance that wrote')
  t.equal(outdated(read('one', 161, { url: 'b' })), 1, 'elsewhere after the bound')
  t.equal(outdated(read('one', 161, { isMarked: true })), 0)
  t.equal(outdated(read('two', 90)), 1, 'before it was sent')
  t.equal(outdated(read('four', 500)), 1)

  const drawn = (bucket: number, percentage: number, selected: boolean) =>
    read('x', 0, { canary: { bucket, percentage, selected } })
  t.equal(findStrays([drawn(499, 5, true), drawn(499, 4, false)]).length, 0)
  t.equal(findStrays([drawn(500, 5, true)]).length, 1)
  t.equal(findStrays([drawn(499, 5, true), drawn(498, 5, true)]).length, 1, 'a bucket that changes')
  t.equal(findStrays([read('x', 0)]).length, 1)
})
