import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { buildApp } from '../../src/app.js'
import { type ServerLimits, serverLimits } from '../../src/plugins/limits.js'
import { startService } from '../helpers/service.js'
import { until } from '../helpers/until.js'

const service = await startService(t, { env: { REDIS_URL: '' } })
const port = Number(new URL(service.url).port)
const patienceMs = 10_000
const largeBytes = 200 * 1024
const coldCount = 12

await service.push({
  alias: 'dev',
  prompts: [
    { name: 'warm', content: 'Hello {{ name }}' },
    { name: 'large', content: 'x'.repeat(largeBytes) },
    ...Array.from({ length: coldCount }, (_, index) => ({ name: `cold-${index}`, content: `cold ${index}` })),
  ],
})
await service.call('/projects/default', { method: 'PATCH', body: { settings: { publicRead: true } } })

type Received = { status: number; id: string | undefined; etag: string | undefined; body: string }

/** The bytes of one request; the last one of a connection ends it. */
function requestOf(path: string, id: string, headers: Record<string, string> = {}, method = 'GET'): string {
  const fields = Object.entries({ Host: 'x', 'X-Request-Id': id, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${fields.join('')}\r\n`
}

const isBodiless = (status: number, method: string) => method === 'HEAD' || status === 304

/** Takes answers apart by the lengths that they name; throws where bytes are left over or missing. */
function takeApart(text: string, methods: string[]): Received[] {
  const answers: Received[] = []
  let rest = text
  for (const method of methods) {
    const end = rest.indexOf('\r\n\r\n')
    const [line = '', ...lines] = rest.slice(0, end).split('\r\n')
    if (end < 0 || !/^HTTP\/1\.1 \d{3} /.test(line)) throw new Error(`No answer begins with ${JSON.stringify(rest.slice(0, 80))}`)
    const fields = new Map(
      lines.map((field) => [field.slice(0, field.indexOf(':')).toLowerCase(), field.replace(/^[^:]*: */, '')]),
    )
    const status = Number(line.split(' ')[1])
    const length = isBodiless(status, method) ? 0 : Number(fields.get('content-length'))
    const body = rest.slice(end + 4, end + 4 + length)
    if (body.length !== length) throw new Error(`${body.length} of ${length} bytes came.`)
    answers.push({ status, id: fields.get('x-request-id'), etag: fields.get('etag'), body })
    rest = rest.slice(end + 4 + length)
  }
  if (rest !== '') throw new Error(`Bytes are left: ${JSON.stringify(rest.slice(0, 80))}`)
  return answers
}

/** Sends the pieces one after the other, each once the one before has left, and answers all that came back. */
async function send(pieces: string[]): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  let text = ''
  socket.on('data', (chunk) => (text += chunk.toString('latin1')))
  const closed = once(socket, 'close')
  await once(socket, 'connect')
  for (const piece of pieces) await new Promise((resolve) => socket.write(piece, resolve))
  await closed
  return text
}

type Wanted = { path: string; method?: string; headers?: Record<string, string>; status: number; body?: RegExp }

const warm: Wanted = { path: '/prompts/warm/dev', status: 200, body: /"content":"Hello \{\{ name \}\}"/ }
const cold = (index: number): Wanted => ({
  path: `/prompts/cold-${index}/dev`,
  status: 200,
  body: new RegExp(`"content":"cold ${index}"`),
})
const others: Wanted[] = [
  { path: '/prompts/unknown/dev', status: 404, body: /"code":"prompt\.not_found"/ },
  { path: '/prompts/warm/dev?tag=a&tag=b', status: 422, body: /"code":"request\.invalid"|"status":422/ },
  { path: '/livez', status: 200 },
  { path: '/prompts', status: 200, body: /"items":\[/ },
  { path: '/prompts/warm/dev', method: 'HEAD', status: 200 },
  { path: '/prompts/warm/dev?key=user-1', status: 200, body: /"name":"warm"/ },
  { path: '/prompts/large/dev', status: 200, body: /"content":"x{204800}"/ },
  { path: '/prompts/warm/dev', headers: { 'If-None-Match': '*' }, status: 304 },
]

/** What is quick stands before and behind what has to be loaded, what fails and what goes another way. */
function mix(from: number): Wanted[] {
  return [
    warm,
    cold(from),
    warm,
    ...others.flatMap((other, index) => [other, ...(index % 4 === 0 ? [cold(from + 1 + index / 4)] : [warm])]),
  ]
}

async function isAnsweredInOrder(
  t: Pick<typeof import('tap').t, 'equal' | 'match' | 'strictSame'>,
  wanted: Wanted[],
  cut: (bytes: string) => string[],
) {
  const bytes = wanted.map(({ path, headers = {}, method }, index) => {
    const last: Record<string, string> = index === wanted.length - 1 ? { Connection: 'close' } : {}
    return requestOf(path, `id-${index}`, { ...headers, ...last }, method)
  })
  const answers = takeApart(
    await send(cut(bytes.join(''))),
    wanted.map(({ method = 'GET' }) => method),
  )
  t.strictSame(
    answers.map(({ id, status }) => [id, status]),
    wanted.map(({ status }, index) => [`id-${index}`, status]),
  )
  for (const [index, { path, body = /^/ }] of wanted.entries()) t.match(answers[index]?.body, body, path)
}

t.test('hits, loads, refusals and other routes in one packet are answered whole and in their order', async (t) => {
  t.equal((await service.call('/prompts/warm/dev')).status, 200)
  const { redis, memory, database } = { ...service.deps.cache.counts.hits }
  await isAnsweredInOrder(t, mix(0), (bytes) => [bytes])
  const { hits } = service.deps.cache.counts
  t.ok(hits.memory - memory >= 6, `${hits.memory - memory} came from memory`)
  t.ok(hits.database - database >= 3, `${hits.database - database} from the database`)
  t.equal(hits.redis, redis)
})

t.test('so they are where packets end anywhere', async (t) => {
  const inPieces = (bytes: string) => bytes.match(/.{1,37}/gs) ?? []
  await isAnsweredInOrder(t, mix(3), inPieces)
})

t.test('of ones that come while a load is under way none overtakes it', async (t) => {
  const wanted = [cold(6), ...Array.from({ length: 50 }, () => warm), cold(7), ...others, warm]
  await isAnsweredInOrder(t, wanted, (bytes) => [bytes])
})

const hurried: ServerLimits = { ...serverLimits, idleTimeoutMs: 800, connectionsCheckingIntervalMs: 50 }

/** Far more than a connection may have taken before it is found out that nobody reads the answers. */
const sentRequests = 200_000
/** What is read of a connection in one turn of the event loop: the answers of a turn are written at its end. */
const turnBytes = 32 * 64 * 1024
/** What the system keeps of a connection for either side, and what requests that wait for their turn take. */
const maxGrowthBytes = 128 * 1024 ** 2

for (const name of ['large', 'warm']) {
  t.test(`who asks for ${name} again and again and reads nothing is cut off, and what it holds is bounded`, async (t) => {
    const app = await buildApp(service.deps, hurried)
    t.teardown(() => app.close())
    const accepted: Socket[] = []
    let taken = 0
    app.server.on('connection', (socket) => accepted.push(socket))
    const hungry = Number(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port)
    const answer = await fetch(`http://127.0.0.1:${hungry}/prompts/${name}/dev`)
    t.equal(answer.status, 200, 'it is in memory')
    const answerBytes = (await answer.text()).length
    const before = accepted.length
    app.server.on('request', () => (taken += 1))

    const request = requestOf(`/prompts/${name}/dev`, 'id')
    const requests = Buffer.from(request.repeat(sentRequests))
    const { rss } = process.memoryUsage()
    const socket = connect(hungry, '127.0.0.1')
    // That it is reset is what is waited for.
    const closed = new Promise((resolve) => socket.on('error', () => undefined).once('close', resolve))
    socket.pause()
    socket.write(requests)
    await until('it is accepted', patienceMs, () => accepted.length > before)
    const [server] = accepted.slice(before) as [Socket]
    let grownBytes = 0
    await until('it is cut off', patienceMs, () => {
      grownBytes = Math.max(grownBytes, process.memoryUsage().rss - rss)
      return server.destroyed
    })
    // Those that were sent whole, and those of one turn more.
    const most = server.bytesWritten / answerBytes + turnBytes / request.length
    t.ok(taken > 1 && taken <= most, `${taken} of ${sentRequests} were taken, of at most ${most.toFixed(0)}`)
    t.ok(grownBytes < maxGrowthBytes, `the process grew by ${(grownBytes / 1024 ** 2).toFixed(1)} MiB`)
    socket.destroy()
    await closed
    t.equal((await fetch(`http://127.0.0.1:${hungry}/prompts/${name}/dev`)).status, 200, 'others are served')
  })
}
