import { createHash, randomInt } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type pg from 'pg'
import { call, noise, tryCall } from '../faults/helpers/calls.js'
import { startPostgres } from '../faults/helpers/postgres-server.js'
import {
  adminKey,
  buildPackage,
  makeDataDirectory,
  makeDirectory,
  type PromptsyncProcess,
  servePromptsync,
} from '../faults/helpers/promptsync.js'

// Kills the process with SIGKILL at random moments of a push of 10,000 prompts, starts it again on the same data, and checks
// that the push is there whole or not at all, and that all that was ever acknowledged is there. On both engines.
//   KILLS=30 KILL_SEED=… KILL_ENGINES=embedded,postgres npm run test:kill

const kills = Number(process.env.KILLS ?? 30)
const seed = Number(process.env.KILL_SEED ?? randomInt(2 ** 31))
const engines = (process.env.KILL_ENGINES ?? 'embedded,postgres').split(',')
const promptCount = Number(process.env.KILL_PROMPTS ?? 10_000)
const contentBytes = 2_000
const roundsPerProject = 6
/** Of the kills of an engine, those that must have come between the first insert and the commit. */
const neededInWindow = Math.min(5, Math.floor(kills / 3))
const samples = 20
const limitMs = 20 * 60_000
const marksModule = join(fileURLToPath(new URL('.', import.meta.url)), 'marks.mjs')

type Cleanup = () => Promise<unknown> | unknown

/** What has to be ended in the end, the newest first. */
const cleanups: Cleanup[] = []
const owner = { teardown: (work: Cleanup) => void cleanups.push(work) }

async function cleanUp(): Promise<void> {
  for (let work = cleanups.pop(); work; work = cleanups.pop())
    await Promise.resolve(work()).catch((error) => say(`cleaning up: ${error}`))
}

const say = (line: string) => process.stdout.write(`${line}\n`)

/** Numbers from 0 to below 1 that the same seed gives again. */
function randomFrom(start: number): () => number {
  let drawn = 0
  return () => {
    drawn += 1
    return createHash('sha256').update(`${start}:${drawn}`).digest().readUInt32BE() / 2 ** 32
  }
}

/** How far the transactions of a process have come, as `marks.mjs` says. */
class Marks {
  #said: string[] = []
  #waiting = new Map<string, () => void>()

  hear(text: string): void {
    for (const word of text.split('\n').filter(Boolean)) {
      this.#said.push(word)
      this.#waiting.get(word)?.()
      this.#waiting.delete(word)
    }
  }
  forget(): void {
    this.#said = []
  }
  next(word: string): Promise<void> {
    return new Promise((resolve) => this.#waiting.set(word, resolve))
  }
  get last(): string | undefined {
    return this.#said.at(-1)
  }
}

/** A push that is tried: what it holds is known from its number alone. */
type Attempt = { project: string; round: number }

const promptName = (index: number) => `kill/prompt-${index}`
const contentOf = ({ project, round }: Attempt, index: number) => noise(`${project} ${round} ${index}`, contentBytes)

function bodyOf(attempt: Attempt): string {
  const prompts = Array.from({ length: promptCount }, (_, index) => ({
    name: promptName(index),
    template: 'none',
    content: contentOf(attempt, index),
  }))
  return JSON.stringify({ alias: 'production', version: labelOf(attempt), prompts })
}

const labelOf = ({ round }: Attempt) => `round-${round}`
const markerOf = ({ round }: Attempt) => ({
  version: `before-${round}`,
  prompts: [{ name: 'marker', content: `before ${round}` }],
})

/** A database, the process that serves it now, and a session beside it where the engine lets one in. */
type Engine = { name: string; start(marks: Marks): Promise<PromptsyncProcess>; observer: pg.Client | null }

async function openEngine(name: string, root: string): Promise<Engine> {
  const serve = (env: Record<string, string>) => (marks: Marks) =>
    servePromptsync(owner, root, { env, preload: [marksModule], onMark: (text) => marks.hear(text) })
  if (name === 'embedded') return { name, start: serve({ PROMPTSYNC_DATA_DIR: await makeDataDirectory(owner) }), observer: null }
  const server = await startPostgres(owner)
  const DATABASE_URL = await server.createDatabase('kills')
  return {
    name,
    start: serve({ DATABASE_URL, PROMPTSYNC_DATA_DIR: await makeDirectory(owner) }),
    observer: await server.connect('kills'),
  }
}

type Transaction = { xid: string; pid: number }

/** The transactions that have written something and are not finished. */
async function writing(observer: pg.Client): Promise<Transaction[]> {
  const { rows } = await observer.query<Transaction>(
    "SELECT backend_xid::text AS xid, pid FROM pg_stat_activity WHERE datname = 'kills' AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()",
  )
  return rows
}

async function statusOf(observer: pg.Client, xid: string): Promise<string> {
  const { rows } = await observer.query<{ status: string }>('SELECT pg_xact_status($1::xid8) AS status', [xid])
  return rows[0]?.status ?? 'unknown'
}

/** Waits until the server has noticed that nobody is there any more. */
async function untilGone(observer: pg.Client, pid: number): Promise<void> {
  for (let waitedMs = 0; waitedMs < 30_000; waitedMs += 20) {
    const { rowCount } = await observer.query('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [pid])
    if (rowCount === 0) return
    await delay(20)
  }
  throw new Error(`The server process ${pid} did not end.`)
}

type Round = { inWindow: boolean; outcome: 'committed' | 'absent'; acknowledged: boolean; aborted: boolean }

class Breach extends Error {}

function insist(holds: boolean, message: string): void {
  if (!holds) throw new Breach(message)
}

/** One engine: kills, restarts and checks. Answers what the rounds came to. */
async function torture(engine: Engine, random: () => number): Promise<Round[]> {
  let marks = new Marks()
  let running = await engine.start(marks)
  const whole: Attempt[] = []
  const rounds: Round[] = []

  const measured = await measure(running, { project: 'measure', round: 0 }, marks)
  whole.push({ project: 'measure', round: 0 })
  say(
    `${engine.name}: a push takes ${measured.totalMs.toFixed(0)} ms, of which ${measured.windowMs.toFixed(0)} ms from its first insert to its commit`,
  )

  for (let round = 1; round <= kills; round += 1) {
    const attempt = { project: `kill-${Math.ceil(round / roundsPerProject)}`, round }
    if ((round - 1) % roundsPerProject === 0) await must(running, '/projects', { slug: attempt.project })
    await must(running, '/prompts', markerOf(attempt), attempt.project)
    const killed = await pushAndKill(engine, running, marks, attempt, measured, round % 2 === 0, random)

    marks = new Marks()
    running = await engine.start(marks)
    const earlier = whole.findLast(({ project }) => project === attempt.project)
    const isThere = await check(engine, running, attempt, earlier)
    insist(isThere || !killed.acknowledged, `round ${round}: the push was acknowledged and is gone`)
    insist(!(isThere && killed.inWindow), `round ${round}: killed before its commit was sent, and it is there`)
    insist(!(isThere && killed.aborted), `round ${round}: its transaction was aborted, and it is there`)
    if (isThere) whole.push(attempt)
    await checkEarlier(running, whole, random)
    rounds.push({ ...killed, outcome: isThere ? 'committed' : 'absent' })
    say(
      `${engine.name} ${round}/${kills}: killed ${killed.when}, ${isThere ? 'there, whole' : 'not there'}${killed.acknowledged ? ', acknowledged' : ''}${killed.aborted ? ', pg_xact_status: in progress, then aborted' : ''}`,
    )
  }
  running.child.kill('SIGTERM')
  insist((await running.exited).code === 0, `${engine.name}: the last process did not end with 0`)
  return rounds
}

async function must({ url }: PromptsyncProcess, path: string, body: object, project?: string): Promise<any> {
  const answer = await call(url, path, adminKey, { body, project })
  insist(answer.status === 201, `${path} answered ${answer.status}: ${JSON.stringify(answer.body).slice(0, 300)}`)
  return answer.body
}

type Measured = { totalMs: number; windowMs: number }

async function measure(running: PromptsyncProcess, attempt: Attempt, marks: Marks): Promise<Measured> {
  await must(running, '/projects', { slug: attempt.project })
  await must(running, '/prompts', markerOf(attempt), attempt.project)
  const body = bodyOf(attempt)
  marks.forget()
  const startedAt = performance.now()
  let insertAt = startedAt
  let commitAt = startedAt
  marks.next('insert').then(() => (insertAt = performance.now()))
  marks.next('commit').then(() => (commitAt = performance.now()))
  const answer = await call(running.url, '/prompts', adminKey, { body, project: attempt.project })
  insist(answer.status === 201, `the measured push answered ${answer.status}`)
  return { totalMs: performance.now() - startedAt, windowMs: commitAt - insertAt }
}

/** Pushes and kills: at a moment of the whole push, or of the time between its first insert and its commit. */
async function pushAndKill(
  { observer }: Engine,
  running: PromptsyncProcess,
  marks: Marks,
  attempt: Attempt,
  measured: Measured,
  awaitsInsert: boolean,
  random: () => number,
): Promise<Omit<Round, 'outcome'> & { when: string }> {
  const body = bodyOf(attempt)
  const share = random()
  marks.forget()
  const inserted = marks.next('insert')
  const pushing = tryCall(running.url, '/prompts', adminKey, { body, project: attempt.project })
  if (awaitsInsert) await Promise.race([inserted, pushing])
  await delay(share * (awaitsInsert ? measured.windowMs : measured.totalMs * 1.1))
  const seen = observer && marks.last === 'insert' ? (await writing(observer))[0] : undefined
  running.child.kill('SIGKILL')
  // All that the process has said is read when it has closed.
  await running.exited
  const answer = await pushing
  insist(answer === null || answer.status === 201, `the push answered ${answer?.status}: ${JSON.stringify(answer?.body)}`)
  const last = marks.last
  const inWindow = last === 'insert'
  let aborted = false
  if (observer && seen) {
    await untilGone(observer, seen.pid)
    const status = await statusOf(observer, seen.xid)
    if (inWindow) insist(status === 'aborted', `transaction ${seen.xid} was in progress and is ${status} after the kill`)
    aborted = status === 'aborted'
  }
  const when =
    { insert: 'between insert and commit', commit: 'during the commit', committed: 'after the commit' }[last ?? ''] ??
    'before the first insert'
  return {
    inWindow,
    acknowledged: answer !== null,
    aborted,
    when: `${when} (${awaitsInsert ? 'insert +' : 'push +'} ${Math.round(share * 100)} %)`,
  }
}

/** Whether the push is there, which it must be wholly or not at all. */
async function check(
  { observer }: Engine,
  { url }: PromptsyncProcess,
  attempt: Attempt,
  earlier: Attempt | undefined,
): Promise<boolean> {
  const get = (path: string) => call(url, path, adminKey, { project: attempt.project })
  const { body: list } = await get('/releases?limit=200')
  const releases: { number: number; label: string }[] = list.items
  const numbers = releases.map(({ number }) => number)
  insist(
    numbers.every((number, index) => number === numbers.length - index),
    `numbers with a gap: ${numbers}`,
  )
  insist(
    releases.some(({ label }) => label === markerOf(attempt).version),
    'the acknowledged push before it is gone',
  )
  const release = releases.find(({ label }) => label === labelOf(attempt))
  if (!release) {
    insist(releases[0]?.label === markerOf(attempt).version, `a release beyond: ${JSON.stringify(releases[0])}`)
    const first = await get(`/prompts/${encodeURIComponent(promptName(0))}/${labelOf(attempt)}`)
    insist(first.status === 404, `a version of an absent push answers ${first.status}`)
    const { status, body } = await get(`/prompts/${encodeURIComponent(promptName(promptCount - 1))}/latest`)
    const isAsBefore = earlier ? body.content === contentOf(earlier, promptCount - 1) : status === 404
    insist(isAsBefore, `the newest version of a prompt is not what it was before an absent push: ${status}`)
    await checkRows(observer, attempt, 0)
    return false
  }
  await checkWhole(url, attempt)
  const { body: alias } = await get('/aliases/production')
  insist(alias.release === labelOf(attempt), `the alias is at ${alias.release}, its release is there`)
  await checkRows(observer, attempt, promptCount)
  return true
}

/** Counts what is stored of a push, where another session may look: no row of it lies about, none is missing. */
async function checkRows(observer: pg.Client | null, attempt: Attempt, expected: number): Promise<void> {
  if (!observer) return
  const { rows } = await observer.query<{ versions: number; entries: number; audits: number }>(
    `SELECT (SELECT count(*)::int FROM versions v JOIN prompts p ON p.id = v.prompt_id JOIN projects o ON o.id = p.project_id WHERE o.slug = $1 AND v.label = $2) AS versions,
      (SELECT count(*)::int FROM release_entries e JOIN releases r ON r.id = e.release_id JOIN projects o ON o.id = r.project_id
        JOIN prompts p ON p.id = e.prompt_id WHERE o.slug = $1 AND r.label = $2 AND p.name LIKE 'kill/%') AS entries,
      (SELECT count(*)::int FROM audit_entries WHERE project = $1 AND action = 'push' AND target = $2) AS audits`,
    [attempt.project, labelOf(attempt)],
  )
  const { versions, entries, audits } = rows[0] ?? { versions: -1, entries: -1, audits: -1 }
  insist(versions === expected && entries === expected, `${versions} versions and ${entries} entries instead of ${expected}`)
  insist(audits === (expected > 0 ? 1 : 0), `${audits} audit entries of the push`)
}

async function checkWhole(url: string, attempt: Attempt): Promise<void> {
  const { body } = await call(url, `/releases/${labelOf(attempt)}`, adminKey, { project: attempt.project })
  insist(body.promptCount === promptCount + 1, `${labelOf(attempt)} of ${attempt.project} holds ${body.promptCount} prompts`)
  for (let sample = 0; sample < samples; sample += 1)
    await checkContent(url, attempt, Math.floor((sample * (promptCount - 1)) / (samples - 1)))
}

async function checkContent(url: string, attempt: Attempt, index: number): Promise<void> {
  const path = `/prompts/${encodeURIComponent(promptName(index))}/${labelOf(attempt)}`
  const { body } = await call(url, path, adminKey, { project: attempt.project })
  insist(body.content === contentOf(attempt, index), `${path} of ${attempt.project} is not what was pushed`)
}

/** Everything that was once there is there: each release by its count, and one of its prompts, a random one, by its bytes. */
async function checkEarlier({ url }: PromptsyncProcess, whole: Attempt[], random: () => number): Promise<void> {
  for (const attempt of whole) {
    const { body } = await call(url, `/releases/${labelOf(attempt)}?limit=1`, adminKey, { project: attempt.project })
    insist(
      body.promptCount === promptCount + 1,
      `${labelOf(attempt)} of ${attempt.project} has become ${body.promptCount} prompts`,
    )
    await checkContent(url, attempt, Math.floor(random() * promptCount))
  }
}

function tableOf(results: Map<string, Round[]>): string {
  const rows = [...results].map(([engine, rounds]) => {
    const count = (holds: (round: Round) => boolean) => String(rounds.filter(holds).length)
    return [
      engine,
      String(rounds.length),
      count(({ inWindow }) => inWindow),
      count(({ aborted }) => aborted),
      count(({ outcome }) => outcome === 'committed'),
      count(({ outcome }) => outcome === 'absent'),
      count(({ acknowledged }) => acknowledged),
    ]
  })
  const table = [['engine', 'kills', 'in window', 'seen aborted', 'committed', 'absent', 'acknowledged'], ...rows]
  return table.map((row) => row.map((cell) => cell.padEnd(14)).join('')).join('\n')
}

async function main(): Promise<boolean> {
  say(`KILLS=${kills} KILL_SEED=${seed}`)
  const root = await buildPackage(owner)
  const results = new Map<string, Round[]>()
  let failed = false
  for (const name of engines) {
    try {
      results.set(name, await torture(await openEngine(name, root), randomFrom(seed)))
      const inWindow = results.get(name)?.filter((round) => round.inWindow).length ?? 0
      insist(inWindow >= neededInWindow, `${name}: only ${inWindow} kills came between insert and commit`)
    } catch (error) {
      failed = true
      say(`FAILED on ${name}: ${error instanceof Breach ? error.message : (error as Error).stack}`)
    }
  }
  say(`\n${tableOf(results)}`)
  return !failed
}

async function end(code: number): Promise<never> {
  await cleanUp()
  process.exit(code)
}

const overall = setTimeout(() => {
  say(`FAILED: not finished after ${limitMs / 60_000} minutes`)
  void end(1)
}, limitMs)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void end(1))
process.once('uncaughtException', (error) => {
  say(`FAILED: ${error.stack}`)
  void end(1)
})
const succeeded = await main().catch((error: Error) => {
  say(`FAILED: ${error.stack}`)
  return false
})
clearTimeout(overall)
await end(succeeded ? 0 : 1)
