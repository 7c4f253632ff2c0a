import t from 'tap'
import { type Answer, call, callUntilAnswered, makePrompts, refusedForNow, tryCall } from './helpers/calls.js'
import { startPostgres } from './helpers/postgres-server.js'
import {
  adminKey,
  buildPackage,
  fillDataDirectory,
  makeDirectory,
  type PromptsyncProcess,
  servePromptsync,
} from './helpers/promptsync.js'
import { mountSmallDisk } from './helpers/small-disk.js'

/** Less than one segment of the write-ahead log, which takes 16 MB. */
const lessThanSegmentBytes = 15_000_000
/** Each of these pushes takes about one megabyte of tables and one of the log. */
const maxPushes = 40
const processEndMs = 30_000

type Checks = Pick<typeof t, 'equal' | 'match' | 'notMatch' | 'ok'>

const root = await buildPackage(t)

/** What one process is asked, and what it has acknowledged so far. */
function clientOf(process: PromptsyncProcess) {
  const push = (body: object) => tryCall(process.url, '/prompts', adminKey, { body, timeoutMs: processEndMs })
  return {
    push,
    /** Pushes about half a megabyte at a time until one is not acknowledged; answers how many were, and that answer. */
    async pushUntilRefused(): Promise<{ acknowledged: number; refused: Answer | null }> {
      for (let acknowledged = 0; acknowledged < maxPushes; acknowledged += 1) {
        const refused = await push(bulk(`push ${acknowledged}`)).catch(() => null)
        if (refused?.status !== 201) return { acknowledged, refused }
      }
      throw new Error('The disk never got full.')
    },
    get: (path: string) => call(process.url, path, adminKey),
  }
}

const bulk = (seed: string) => ({ alias: 'bulk', prompts: makePrompts(300, 2_000, seed) })
const ground = { alias: 'production', prompts: [{ name: 'ground', content: 'stays' }] }

t.test('a server whose tables find no room', async (t) => {
  const disk = await mountSmallDisk(t, 160)
  const server = await startPostgres(t, { directory: disk.path, enter: disk.enterAsServer, separateLog: true })
  const env = { DATABASE_URL: await server.createDatabase('disks'), PROMPTSYNC_DATA_DIR: await makeDirectory(t) }
  const process = await servePromptsync(t, root, { env })
  const { push, get } = clientOf(process)
  t.equal((await push(ground))?.status, 201)
  await disk.fill(1_000_000)
  const large = { alias: 'production', prompts: makePrompts(1_000, 4_000, 'large') }
  await refusesWholly(t, process, large)
  await disk.empty()
  const again = await callUntilAnswered(process.url, '/prompts', adminKey, { body: large })
  t.equal(again.status, 201, 'with room again the same push succeeds, without a restart')
  t.equal(again.body.release.number, 2, 'under the next number')
  t.equal((await get('/prompts/bulk%2Fprompt-999/production')).body.content, large.prompts[999]?.content)
})

/** Checks that a push that finds no room is refused, leaves nothing, and that reads go on. */
async function refusesWholly(t: Checks, process: PromptsyncProcess, body: { prompts: { name: string }[] }): Promise<void> {
  const { push, get } = clientOf(process)
  for (const attempt of ['first', 'second']) {
    const refused = await push(body)
    t.ok(refused, `the ${attempt} attempt is answered`)
    if (refused) refusedForNow(t, refused, 'database.unavailable')
  }
  t.equal((await get('/releases')).body.items.length, 1, 'no release of it')
  t.equal((await get('/prompts')).body.items.length, 1, 'no prompt of it')
  t.equal((await get('/prompts/bulk%2Fprompt-0/latest')).status, 404)
  t.equal((await get('/prompts/ground/production')).body.content, 'stays', 'reads go on')
  t.equal((await get('/livez')).status, 200)
}

t.test('a server whose log finds no room, and which goes down with it', async (t) => {
  const disk = await mountSmallDisk(t, 160)
  const server = await startPostgres(t, { directory: disk.path, enter: disk.enterAsServer })
  const env = { DATABASE_URL: await server.createDatabase('disks'), PROMPTSYNC_DATA_DIR: await makeDirectory(t) }
  const process = await servePromptsync(t, root, { env })
  const { push, get, pushUntilRefused } = clientOf(process)
  t.equal((await push(ground))?.status, 201)
  await disk.fill(lessThanSegmentBytes)
  const { acknowledged, refused } = await pushUntilRefused()
  t.match(server.log(), /PANIC:.*No space left on device/, 'the server went down')
  t.equal(refused?.status, 503, JSON.stringify(refused?.body))
  t.match(refused?.retryAfter ?? '', /^\d+$/)
  t.equal((await get('/livez')).status, 200, 'promptsync lives')

  await disk.empty()
  if (!server.isRunning()) await server.start()
  if (refused?.body.code === 'database.unavailable') {
    const { body } = await callUntilAnswered(process.url, '/releases', adminKey)
    t.equal(body.items.length, acknowledged + 1, 'nothing was changed, as the answer says')
  }
  const again = await callUntilAnswered(process.url, '/prompts', adminKey, { body: bulk(`push ${acknowledged}`) })
  t.ok([200, 201].includes(again.status), 'the same push succeeds, without a restart of promptsync')
  t.equal((await get('/releases')).body.items.length, acknowledged + 2, 'every acknowledged push and this one, once each')
  t.equal((await get('/prompts/bulk%2Fprompt-299/bulk')).body.content, bulk(`push ${acknowledged}`).prompts[299]?.content)
})

t.test('an embedded database whose tables find no room', async (t) => {
  const disk = await mountSmallDisk(t, 120)
  await fillDataDirectory(disk.path, disk.enter)
  const process = await servePromptsync(t, root, { env: { PROMPTSYNC_DATA_DIR: disk.path }, enter: disk.enter })
  const { push, get } = clientOf(process)
  t.equal((await push(ground))?.status, 201)
  await disk.fill(200_000)
  const large = { alias: 'production', prompts: makePrompts(400, 2_000, 'large') }
  await refusesWholly(t, process, large)
  await disk.empty()
  const again = await callUntilAnswered(process.url, '/prompts', adminKey, { body: large })
  t.equal(again.status, 201, 'with room again the same push succeeds, without a restart')
  t.equal(again.body.release.number, 2, 'under the next number')
  t.equal((await get('/prompts/bulk%2Fprompt-399/production')).body.content, large.prompts[399]?.content)
})

t.test('an embedded database whose log finds no room', async (t) => {
  const disk = await mountSmallDisk(t, 160)
  await fillDataDirectory(disk.path, disk.enter)
  const env = { PROMPTSYNC_DATA_DIR: disk.path }
  const first = await servePromptsync(t, root, { env, enter: disk.enter })
  t.equal((await clientOf(first).push(ground))?.status, 201)
  await disk.fill(lessThanSegmentBytes)
  const { acknowledged, refused } = await clientOf(first).pushUntilRefused()
  t.ok((await disk.freeBytes()) > 500_000, 'the tables had room')
  t.equal(refused?.status, 503, `it is answered: ${JSON.stringify(refused?.body)}`)
  const timer = setTimeout(() => first.child.kill('SIGKILL'), processEndMs)
  const { code, signal } = await first.exited
  clearTimeout(timer)
  t.equal(signal, null, 'the process does not hang')
  t.ok(code !== null && code > 0, `it ends with an error, so that it is started again: ${code}`)
  t.match(first.stderr(), /embedded database/i, 'and says so')

  disk.grow(400)
  const second = await servePromptsync(t, root, { env, enter: disk.enter })
  const { push, get } = clientOf(second)
  const { items } = (await get('/releases')).body
  t.ok([1, 2].includes(items.length - acknowledged), `${items.length} releases, ${acknowledged + 1} acknowledged`)
  for (const { ref, number } of items.filter((item: { number: number }) => item.number > 1)) {
    const expected = bulk(`push ${number - 2}`).prompts
    t.equal((await get(`/releases/${ref}`)).body.promptCount, 301, `${ref} is whole`)
    t.equal((await get(`/prompts/bulk%2Fprompt-299/${ref}`)).body.content, expected[299]?.content)
  }
  const again = await push(bulk(`push ${acknowledged}`))
  t.ok(again && [200, 201].includes(again.status), 'the same push succeeds')
  t.equal((await get('/releases')).body.items.length, acknowledged + 2)
})
