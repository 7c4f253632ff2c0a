import { setTimeout as delay } from 'node:timers/promises'
import { adminKey } from '../../test/faults/helpers/promptsync.js'
import { startRedis, withRedis } from '../../test/faults/helpers/redis-server.js'
import { bucketMs, type Load } from '../lib/load.js'
import { plainPrompt } from '../lib/prompts.js'
import { readEach } from '../lib/reader.js'
import type { Scope } from '../lib/scope.js'
import { ask, makeDatabase, type Stage, startInstance } from '../lib/stage.js'
import { type StatementCounter, startStatementCounter } from '../lib/statement-counter.js'
import { mean, median } from '../lib/statistics.js'
import { judge, percent, perSecond } from '../lib/table.js'
import { createWatcher, type Watcher } from '../lib/watch.js'
import type { Row } from './row.js'

const prompts = 10_000
const instances = 4
/** The first of them changes between the two releases. */
const nameOf = (n: number | string) => `hot-${n}`
const aliases = ['production', 'untouched'] as const
type Alias = (typeof aliases)[number]
const headers = { authorization: `Bearer ${adminKey}` }
const queriesPerMove = 3
const newContents = 1
/** Reads of an untouched alias cause none; what instances send at intervals differs by as much from round to round. */
const untouchedStatements = 1
const timedMoves = 5
const moveIntervalMs = 4_000
/** So long after a move its effect is over, and throughput can be looked at as it is without one. */
const calmAfterMs = 3_000
/** Throughput is looked at in this time before and after a moment. */
const windowMs = 500

/** Hot is what L1 holds: all prompts by both aliases need more than it has by default. */
const env = { PROMPTSYNC_CACHE_BYTES: '512mb' }

type Watched = { url: string; statements: StatementCounter; watcher: Watcher }
type Field = { writer: string; redisPort: number; watched: Watched[] }

export const hotMove: Row = {
  name: 'hot-move',
  runs: 'always',
  async measure(scope, stage) {
    const field = await startField(scope, stage)
    const counted = await countStatements(field, stage.say)
    const timed = await timeMoves(field, stage)
    const what = `alias move in a project of ${prompts.toLocaleString('en')} hot prompts`
    return {
      lines: [
        judge({
          what: `${what}: statements an instance sends, 1 content new`,
          service: counted.production.toFixed(1),
          value: counted.production,
          must: { atMost: queriesPerMove + newContents },
        }),
        judge({
          what: `${what}: statements for an untouched alias`,
          service: counted.untouched.toFixed(1),
          value: counted.untouched,
          must: { atMost: untouchedStatements },
        }),
        judge({
          what: `${what}: dip of throughput in the ${windowMs} ms after it`,
          service: `${percent(timed.dipAtMoves)} of ${perSecond(timed.perSecond)}`,
          baseline: `${percent(timed.dipBetween)} without a move`,
          value: Math.max(0, timed.dipAtMoves - Math.max(0, timed.dipBetween)) * 100,
          must: { atMost: 10 },
          unit: ' %',
        }),
      ],
      notes: [...counted.notes, ...timed.notes],
    }
  },
}

/** A writer, and the instances that are watched, each with its own way to Postgres. */
async function startField(scope: Scope, stage: Stage): Promise<Field> {
  const databaseUrl = await makeDatabase(scope, stage, 'hot_move')
  const { url: redisUrl, port: redisPort } = await startRedis(scope)
  // On a machine of few cores the writer must not take from the instances what it would have for itself elsewhere.
  const writer = await startInstance(scope, stage, { databaseUrl, redisUrl, enter: ['nice', '-n', '19'] })
  await ask(writer.url, '/projects', { body: { slug: 'acme' } })
  const all = Array.from({ length: prompts }, (_, n) => plainPrompt(nameOf(n)))
  await ask(writer.url, '/prompts?project=acme', { body: { alias: 'production', prompts: all } })
  await ask(writer.url, '/aliases/untouched?project=acme', { method: 'PUT', body: { version: 'r1' } })
  await ask(writer.url, '/prompts?project=acme', { body: { prompts: [plainPrompt(nameOf(0), 'second')] } })
  const watched: Watched[] = []
  for (let count = 0; count < instances; count += 1) {
    const statements = await startStatementCounter(scope, databaseUrl)
    const { url } = await startInstance(scope, stage, { databaseUrl: statements.url, redisUrl, env })
    const watcher = createWatcher(`${url}${pathOf('production', 0)}`, headers)
    scope.teardown(() => watcher.close())
    watched.push({ url, statements, watcher })
  }
  return { writer: writer.url, redisPort, watched }
}

const pathOf = (alias: string, n: number | string) => `/prompts/${nameOf(n)}/${alias}?project=acme`

function readAll({ url }: Watched, alias: string) {
  return readEach(
    url,
    Array.from({ length: prompts }, (_, n) => pathOf(alias, n)),
    headers,
  )
}

async function moveTo({ writer }: Field, release: number): Promise<void> {
  await ask(writer, '/aliases/production?project=acme', { method: 'PUT', body: { version: `r${release}` } })
}

/**
 * Every hot prompt is read again after a move, so that an instance that would load each of them anew is found out. One
 * instance is looked at after the other, since the time is short in which little else comes from it. The same reads
 * without a move, by turns, tell what it sends at intervals anyhow.
 */
async function countStatements(field: Field, say: Stage['say']) {
  say(`  reads all prompts on ${instances} instances`)
  for (const watched of field.watched) for (const alias of aliases) await readAll(watched, alias)
  const quiet: Round[] = []
  const moved: Round[] = []
  for (const watched of field.watched) {
    for (const version of [2, 1]) {
      quiet.push(await countWhile(field, watched, async () => undefined))
      moved.push(await countWhile(field, watched, () => moveAndSee(field, watched, version)))
      say(`  without a move ${describeRound(quiet.at(-1))}; with one ${describeRound(moved.at(-1))}`)
    }
  }
  // The worst of the moves counts: only the first that an instance sees finds a content that is new.
  const worst = Math.max(...moved.map((round) => sum(beyondUsual([round], quiet, 'production'))))
  const beyond = { production: beyondUsual(moved, quiet, 'production'), untouched: beyondUsual(moved, quiet, 'untouched') }
  return {
    production: Math.max(0, worst),
    untouched: Math.max(0, sum(beyond.untouched)),
    notes: [
      `hot-move: statements are those beyond what as many reads cause without a move, at the worst of ${moved.length} moves. ` +
        `Without a move: ${quiet.map(describeRound).join('; ')}. With one: ${moved.map(describeRound).join('; ')}. ` +
        `By statement, in the mean: ${describeStatements(beyond)}.`,
    ],
  }
}

async function moveAndSee(field: Field, { watcher }: Watched, version: number): Promise<void> {
  await Promise.all([moveTo(field, version), watcher.sees(`v${version}`)])
}

type Statements = Map<string, number>
/** What one instance sent while every prompt was read by each alias, and how often any asked Redis. */
type Round = Record<Alias, Statements> & { redisReads: number }

async function countWhile({ redisPort }: Field, watched: Watched, work: () => Promise<unknown>): Promise<Round> {
  const readsBefore = await countRedisReads(redisPort)
  watched.statements.take()
  await work()
  await readAll(watched, 'production')
  const production = watched.statements.take()
  await readAll(watched, 'untouched')
  const untouched = watched.statements.take()
  return { production, untouched, redisReads: (await countRedisReads(redisPort)) - readsBefore }
}

async function countRedisReads(port: number): Promise<number> {
  const stats = await withRedis(port, (client) => client.info('commandstats'))
  const calls = [...stats.matchAll(/^cmdstat_(?:get|mget|getex):calls=(\d+)/gm)].map(([, count]) => Number(count))
  return calls.reduce((all, count) => all + count, 0)
}

/** How often each statement was sent in the mean, less how often it is sent without a move. */
function beyondUsual(moved: readonly Round[], quiet: readonly Round[], alias: Alias): Statements {
  const count = (rounds: readonly Round[], statement: string) => mean(rounds.map((round) => round[alias].get(statement) ?? 0))
  const statements = new Set([...moved, ...quiet].flatMap((round) => [...round[alias].keys()]))
  return new Map([...statements].map((statement) => [statement, count(moved, statement) - count(quiet, statement)]))
}

const sum = (counts: Statements) => [...counts.values()].reduce((all, count) => all + count, 0)

function describeRound(round: Round | undefined): string {
  if (!round) return 'nothing'
  return `${sum(round.production)} and ${sum(round.untouched)} (${round.redisReads} reads of Redis)`
}

const shownCharacters = 70

/** By the beginnings of the statements; those that come about as often without a move are left out. */
function describeStatements(beyond: Record<Alias, Statements>): string {
  const all = aliases.flatMap((alias) => [...beyond[alias]]).filter(([, count]) => count >= 0.5)
  const shown = all.map(([statement, count]) => {
    const text = statement.replaceAll(/\s+/g, ' ').trim()
    return `${count.toFixed(1)} × \`${text.length > shownCharacters ? `${text.slice(0, shownCharacters)}…` : text}\``
  })
  return shown.join(', ') || 'none'
}

/** Moves the alias again and again under full load on one instance, with time between for it to be calm. */
async function timeMoves(field: Field, { load, options, say }: Stage) {
  const [loaded] = field.watched
  if (!loaded) throw new Error('No instance is watched.')
  const requests = { path: pathOf('production', '{n}'), headers, count: prompts }
  await load.run(loaded.url, requests, options.warmUpSeconds)
  const seconds = ((timedMoves + 2) * moveIntervalMs) / 1_000
  const moments: number[] = []
  const running = load.runBucketed(loaded.url, requests, seconds)
  // The load ends with an error of its own, should it fail meanwhile.
  running.catch(() => undefined)
  await delay(moveIntervalMs)
  for (let move = 0; move < timedMoves; move += 1) {
    moments.push(Date.now())
    await moveTo(field, move % 2 === 0 ? 1 : 2)
    await delay(moveIntervalMs - (Date.now() - (moments.at(-1) ?? 0)))
  }
  const measured = await running
  const dipsAtMoves = moments.map((moment) => dipAfter(measured, moment))
  const dipsBetween = moments.map((moment) => dipAfter(measured, moment + calmAfterMs))
  const list = (dips: number[]) => dips.map((dip) => percent(dip)).join(', ')
  say(`  dips at moves: ${list(dipsAtMoves)}; between: ${list(dipsBetween)}`)
  return {
    dipAtMoves: median(dipsAtMoves),
    dipBetween: median(dipsBetween),
    perSecond: measured.perSecond,
    notes: [
      `hot-move: dips are of the mean of ${windowMs / bucketMs} buckets of ${bucketMs} ms; medians of ${timedMoves} moves; ` +
        `the lowest bucket after a move was ${percent(worstAfter(measured, moments))} of the mean before it, ` +
        `without a move ${percent(
          worstAfter(
            measured,
            moments.map((at) => at + calmAfterMs),
          ),
        )} (medians). ` +
        'The writer, Postgres, the other instances and the load generator use the same cores.',
    ],
  }
}

/** The requests of the buckets of a window, from its first whole one. */
function bucketsFrom({ buckets }: Load, moment: number): number[] {
  const first = Math.ceil(moment / bucketMs)
  return Array.from({ length: windowMs / bucketMs }, (_, index) => buckets.get(first + index) ?? 0)
}

const before = (load: Load, moment: number) => mean(bucketsFrom(load, moment - windowMs - bucketMs))

function dipAfter(load: Load, moment: number): number {
  return 1 - mean(bucketsFrom(load, moment)) / before(load, moment)
}

function worstAfter(load: Load, moments: readonly number[]): number {
  return median(moments.map((moment) => Math.min(...bucketsFrom(load, moment)) / before(load, moment)))
}
