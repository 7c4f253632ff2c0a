import t from 'tap'
import { call, callUntilAnswered, makePrompts, tryCall } from './helpers/calls.js'
import { startPostgres } from './helpers/postgres-server.js'
import { adminKey, buildPackage, makeDirectory, servePromptsync } from './helpers/promptsync.js'

const writers = 4
const rounds = 3
const promptsPerPush = 200
/** Pushes that each writer has acknowledged before the server is stopped. */
const before = 2

t.test('a server that is stopped at once in the middle of pushes', async (t) => {
  const server = await startPostgres(t)
  const root = await buildPackage(t)
  const env = { DATABASE_URL: await server.createDatabase('stops'), PROMPTSYNC_DATA_DIR: await makeDirectory(t) }
  const { url, child, exited, hasExited } = await servePromptsync(t, root, { env })
  const projects = Array.from({ length: writers }, (_, index) => `writer-${index}`)
  for (const slug of projects) t.equal((await call(url, '/projects', adminKey, { body: { slug } })).status, 201)
  const ground = { alias: 'production', prompts: [{ name: 'ground', content: 'stays' }] }
  t.equal((await call(url, '/prompts', adminKey, { body: ground })).status, 201)

  // What each writer was told of each of its pushes: the release's number, or that it is to try again.
  const told = new Map<string, { seed: string; number: number | null; code: string | null }[]>(projects.map((slug) => [slug, []]))
  for (let round = 0; round < rounds; round += 1) {
    let stopped = false
    let ready = 0
    let allReady = () => {}
    const everyoneWrites = new Promise<void>((resolve) => (allReady = resolve))
    const write = async (slug: string) => {
      for (let count = 0; !stopped; count += 1) {
        const seed = `${slug} round ${round} push ${count}`
        const answer = await call(url, '/prompts', adminKey, {
          project: slug,
          body: { alias: 'dev', prompts: makePrompts(promptsPerPush, 1_000, seed) },
        })
        const isStored = answer.status === 201
        told
          .get(slug)
          ?.push({ seed, number: isStored ? answer.body.release.number : null, code: isStored ? null : answer.body.code })
        if (!isStored) {
          t.equal(answer.status, 503, JSON.stringify(answer.body))
          t.match(answer.retryAfter ?? '', /^\d+$/)
          return
        }
        if (count + 1 === before) ready += 1
        if (ready === writers) allReady()
      }
    }
    const writing = projects.map((slug) => write(slug))
    await everyoneWrites
    await server.stop('immediate')
    const down = await tryCall(url, '/prompts/ground/production', adminKey)
    t.ok(down && [200, 503].includes(down.status), `a read while it is down: ${down?.status}`)
    t.equal((await call(url, '/livez', adminKey)).status, 200, 'the process lives while it is down')
    t.match((await call(url, '/readyz', adminKey)).body, { status: 'degraded' })
    stopped = true
    await Promise.all(writing)
    await server.start()
    for (const slug of projects) {
      const again = await callUntilAnswered(url, '/releases', adminKey, { project: slug })
      t.equal(again.status, 200, 'promptsync is back by itself')
      const last = told.get(slug)?.at(-1)
      if (last?.number !== null || !last) continue
      const body = { alias: 'dev', prompts: makePrompts(promptsPerPush, 1_000, last.seed) }
      const retried = await callUntilAnswered(url, '/prompts', adminKey, { project: slug, body })
      t.ok([200, 201].includes(retried.status), `${last.code}: the same push again is ${retried.status}`)
      if (last.code === 'database.unavailable') t.equal(retried.status, 201, 'of a push that was refused nothing had been stored')
      last.number = retried.body.release.number
    }
  }

  for (const [slug, pushes] of told) {
    const { body } = await call(url, '/releases?limit=200', adminKey, { project: slug })
    const numbers = body.items.map((item: { number: number }) => item.number).reverse()
    t.same(
      numbers,
      numbers.map((_: number, index: number) => index + 1),
      'numbers without a gap',
    )
    t.same(
      numbers,
      [...new Set(pushes.map(({ number }) => number).filter((number) => number !== null))].sort((a, b) => a - b),
      'one release for each push',
    )
    for (const { seed, number } of pushes) {
      if (number === null) continue
      const snapshot = await call(url, `/releases/r${number}`, adminKey, { project: slug })
      t.equal(snapshot.body.promptCount, promptsPerPush, `r${number} is whole`)
      const fetched = await call(url, `/prompts/bulk%2Fprompt-${promptsPerPush - 1}/r${number}`, adminKey, { project: slug })
      t.equal(
        fetched.body.content,
        makePrompts(promptsPerPush, 1_000, seed)[promptsPerPush - 1]?.content,
        `r${number} is what was pushed`,
      )
    }
  }
  t.notOk(hasExited(), 'it was one process all along')
  child.kill('SIGTERM')
  t.strictSame(await exited, { code: 0, signal: null })
})
