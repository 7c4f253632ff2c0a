import { setTimeout as delay } from 'node:timers/promises'
import type { Service, Teardown } from '../../helpers/service.js'
import { createHistory, type History } from './steady-load.js'

/** Prompts that every instance has been asked for, by each way in which a prompt can be named. */
export type KnownPrompts = {
  paths: string[]
  /** What each path may answer when; a moving one, `movingPath`, joins in. */
  history: History
  /** A key of the project that may only read. */
  key: string
}

export const movingPath = '/prompts/moving/live'

const subjects = ['user-1', 'user-2', 'user-3', 'user-4', 'user-5', 'user-6']
const moves = 8

const variants = (version: string) => [
  { tags: { locale: 'de' }, content: `Hallo ${version}` },
  { tags: { locale: 'en', tone: 'friendly' }, content: `Hey ${version}` },
]

const promptsOf = (version: string) => [
  { name: 'greeting', content: `Hello ${version}`, variants: variants(version) },
  { name: 'folder/farewell', content: `Bye ${version}` },
]

/** What the paths that depend on nobody answer. */
const fixed: Record<string, string> = {
  '/prompts/greeting/first': 'Hello first',
  '/prompts/greeting/v2': 'Hello second',
  '/prompts/greeting/r1': 'Hello first',
  '/prompts/greeting/latest?tag=locale:de-AT': 'Hallo second',
  '/prompts/greeting/production?canary=off&tag=tone:friendly': 'Hey first',
  '/prompts/folder%2Ffarewell/pinned': 'Bye second',
}

/** Pushes what there is to know through the first instance, and asks all of them for it. */
export async function makeKnown(instances: [Service, ...Service[]]): Promise<KnownPrompts> {
  const [first] = instances
  await first.push({ version: 'first', alias: 'production', prompts: promptsOf('first') })
  await first.push({ version: 'second', prompts: promptsOf('second') })
  await change(first, '/canary', { body: { alias: 'production', version: 'second', percentage: 50 } })
  await change(first, '/aliases/pinned', { method: 'PUT', body: { version: 'second', prompt: 'folder/farewell' } })
  for (let move = 0; move < moves; move += 1) {
    await first.push({ version: `move-${move}`, prompts: [{ name: 'moving', content: `moved ${move}` }] })
  }
  await change(first, '/aliases/live', { method: 'PUT', body: { version: 'move-0' } })
  const { secret: key } = await first.createKey({ name: 'reader', project: 'default', scopes: ['prompts:read'] })
  const history = createHistory()
  const note = (path: string, value: string) => {
    history.record(path, { value, fromMs: 0, untilMs: performance.now(), outcome: 'acknowledged' })
  }
  note(movingPath, 'moved 0')
  for (const [path, value] of Object.entries(fixed)) note(path, value)
  for (const [path, value] of Object.entries(await drawSides(first))) note(path, value)
  const paths = [...Object.keys(fixed), ...subjects.map(subjectPath), movingPath]
  for (const instance of instances) {
    for (const path of paths) await expectKnown(instance, path, key, history)
  }
  return { paths, history, key }
}

const subjectPath = (subject: string, index: number) =>
  `/prompts/greeting/production?key=${subject}${index % 2 === 0 ? '' : '&tag=locale:de'}`

/** Which side of the canary each subject got; both have some, or the next salt is tried. */
async function drawSides(instance: Service): Promise<Record<string, string>> {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const sides: Record<string, string> = {}
    for (const [index, subject] of subjects.entries()) {
      const { body } = await instance.call(subjectPath(subject, index))
      sides[subjectPath(subject, index)] = `${index % 2 === 0 ? 'Hello' : 'Hallo'} ${body.canary.selected ? 'second' : 'first'}`
    }
    if (new Set(Object.values(sides).map((text) => text.split(' ')[1])).size === 2) return sides
    await change(instance, '/canary/production', { method: 'DELETE' })
    await change(instance, '/canary', { body: { alias: 'production', version: 'second', percentage: 50 } })
  }
  throw new Error('In twenty draws all subjects were on one side of the canary.')
}

async function expectKnown(instance: Service, path: string, key: string, history: History): Promise<void> {
  const { status, body } = await instance.call(path, { key })
  const value = history.writesOf(path).at(-1)?.value
  if (status !== 200 || body.content !== value) throw new Error(`${path} answered ${status} ${body.content}, not ${value}.`)
}

async function change(instance: Service, path: string, options: { method?: string; body?: object }): Promise<void> {
  const { status, text } = await instance.call(path, options)
  if (status >= 300) throw new Error(`${path} answered ${status}: ${text}`)
}

export type Moves = { stop(): Promise<{ acknowledged: number; refused: number; unknown: number }> }

/** Moves the alias of `movingPath` through an instance again and again, and notes what came of it. */
export function startMoves(t: Teardown, instance: Service, history: History, everyMs = 150): Moves {
  const counts = { acknowledged: 0, refused: 0, unknown: 0 }
  let isStopped = false
  const run = async () => {
    for (let move = 1; !isStopped; move += 1) {
      counts[await moveOnce(instance, history, move % moves)] += 1
      await delay(everyMs)
    }
  }
  const running = run()
  const stop = async () => {
    isStopped = true
    await running
    return counts
  }
  t.teardown(stop)
  return { stop }
}

/** One move of that alias; a refused one changed nothing. */
export async function moveOnce(
  instance: Service,
  history: History,
  move: number,
): Promise<'acknowledged' | 'refused' | 'unknown'> {
  const fromMs = performance.now()
  const { status, body, text } = await instance.call('/aliases/live', { method: 'PUT', body: { version: `move-${move}` } })
  if (status !== 200 && status !== 503) throw new Error(`The move answered ${status}: ${text}`)
  if (status === 503 && body.code !== 'write.unknown') return 'refused'
  const outcome = status === 200 ? 'acknowledged' : 'unknown'
  const untilMs = performance.now()
  history.record(movingPath, { value: `moved ${move}`, fromMs, untilMs, outcome, url: instance.url })
  return outcome
}
