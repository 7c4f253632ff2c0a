import t from 'tap'
import type { Service } from '../helpers/service.js'
import { until } from '../helpers/until.js'
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
const maxShown = 5

const prompts = ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta']
const subjects = Array.from({ length: 12 }, (_, index) => `user-${index}`)
const aliases = ['production', 'stable', 'canaried'] as const
type Alias = (typeof aliases)[number]

/** Each release is pointed to once, so that what a read shows tells which move it saw. */
const stableMoves = 120
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

const raise = (instance: Service, percentage: number) =>
  takeStep(instance, String(percentage), '/canary', { body: { alias: 'canaried', version: 'next', percentage } })

/** One writer releases; the other moves an alias forth and back and raises a canary. Each goes from instance to instance. */
function startWriters(t: Pick<typeof import('tap').t, 'teardown'>, instances: Service[], steps: Record<Alias, Step[]>) {
  let isStopped = false
  const at = (turn: number) => instances[turn % instances.length] as Service
  const releasing = async () => {
    for (let number = 1; !isStopped; number += 1) steps.production.push(await release(at(number), number))
  }
  const moving = async () => {
    for (let turn = 1; !isStopped; turn += 1) {
      if (turn < stableMoves) steps.stable.push(await moveStable(at(turn), turn))
      if (turn < 99) steps.canaried.push(await raise(at(turn + 1), turn + 1))
    }
  }
  const running = Promise.all([releasing(), moving()])
  const stop = async () => {
    isStopped = true
    await running
  }
  t.teardown(stop)
  return { stop }
}

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
  const start = () => startInstance(t, { databaseUrl, redisUrls: [redis.url], env })
  const instances = [await start(), await start(), await start(), await start()]
  const steps: Record<Alias, Step[]> = { production: [], stable: [], canaried: [] }
  await begin(instances, steps)
  const { reads, stop } = startReaders(t, { instances, count: 8, ask })
  const writers = startWriters(t, instances, steps)

  /** When Redis was not there for all of them. */
  const redisAway: { fromMs: number; untilMs: number }[] = []
  const lasts = (count = faultReads) => {
    const from = reads.length
    return until('readers went on', patienceMs, () => reads.length - from >= count)
  }
  const writersGoOn = () => {
    const counts = aliases.map((alias) => steps[alias].length)
    return until('writers went on', patienceMs, () => steps.production.length > (counts[0] ?? 0) + 5)
  }
  const withoutRedis = async (begin: () => Promise<void>, meanwhile: () => Promise<void>, end: () => Promise<void>) => {
    const away = { fromMs: performance.now(), untilMs: Number.POSITIVE_INFINITY }
    redisAway.push(away)
    await begin()
    await meanwhile().finally(end)
    await Promise.all(instances.map((instance) => untilLinked(instance)))
    away.untilMs = performance.now()
    await writersGoOn()
  }
  const restartPostgres = async () => {
    await postgres.stop('fast')
    await lasts()
    await postgres.start()
    await writersGoOn()
  }
  await lasts()
  await withoutRedis(redis.kill, () => lasts(), redis.start)
  await restartPostgres()
  await withoutRedis(redis.freeze, () => lasts(), redis.thaw)
  await withoutRedis(redis.kill, restartPostgres, redis.start)
  await lasts()
  await writers.stop()
  await stop()

  t.comment(`${reads.length} reads, ${aliases.map((alias) => `${steps[alias].length} steps of ${alias}`).join(', ')}`)
  t.strictSame(
    show(reads.filter(({ status }) => status !== 200).map((read) => ({ reason: 'was known', read }))),
    [],
    'all is answered',
  )
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
  t.strictSame(show(findStrays(drawn)), [], 'every subject is on the side of its bucket, for every prompt')
  t.strictSame(show(findMixed(drawn)), [], 'and gets the content of that side')
  t.strictSame(show(findForeign(reads)), [], 'and every prompt has its own content')
})

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
