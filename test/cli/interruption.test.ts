import type { ChildProcess } from 'node:child_process'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import t from 'tap'
import { openShell, serviceEnv } from '../helpers/cli.js'
import { startService, type Teardown } from '../helpers/service.js'
import { until } from '../helpers/until.js'

const promptCount = 200
const files = Object.fromEntries(
  Array.from({ length: promptCount }, (_, index) => [`prompts/p${index}.txt`, `${'words '.repeat(600)}${index}\n`]),
)
const bodyBytes = Object.values(files).reduce((sum, text) => sum + text.length, 0)

type Wire = {
  url: string
  /** Bytes that came from the command so far. */
  sent(): number
  /** Bytes that the service answered, which are kept from the command. */
  answered(): number
}

/** Stands between a command and a service, passes on so many bytes of the command and then none, and no answer at all. */
async function startWire(t: Teardown, target: string, passedBytes: number): Promise<Wire> {
  const sockets: Socket[] = []
  let [sent, answered] = [0, 0]
  const server = createServer((near) => {
    const far = connect(Number(new URL(target).port), '127.0.0.1')
    sockets.push(near, far)
    near.on('data', (bytes: Buffer) => {
      const room = Math.max(0, passedBytes - sent)
      sent += bytes.length
      if (room > 0) far.write(bytes.subarray(0, room))
    })
    far.on('data', (bytes: Buffer) => (answered += bytes.length))
    near.on('close', () => far.destroy())
    for (const socket of [near, far]) socket.on('error', () => socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, sent: () => sent, answered: () => answered }
}

t.test('a push that is interrupted ends with 130, and the server has all of it or nothing', async (t) => {
  const service = await startService(t)
  const shell = await openShell(t, serviceEnv(service, service.adminKey))
  await shell.write(files)
  const before = await service.countRows()

  async function interrupt(passedBytes: number, isTime: (wire: Wire) => boolean) {
    const wire = await startWire(t, service.url, passedBytes)
    const started: ChildProcess[] = []
    const running = shell.promptsync(['push'], { env: { PROMPTSYNC_URL: wire.url }, started: (child) => started.push(child) })
    await until('the push is under way', 20_000, () => isTime(wire))
    started[0]?.kill('SIGINT')
    const ran = await running
    t.match(ran, { code: 130, stdout: /^$/, stderr: /interrupted/ })
    t.notMatch(ran.stderr, /^\s+at /m, 'no stack')
  }

  await interrupt(0, (wire) => wire.sent() > 0)
  await interrupt(bodyBytes / 2, (wire) => wire.sent() > bodyBytes / 2)
  t.same(await service.countRows(), before, 'what was not sent whole is not stored')
  await interrupt(Number.POSITIVE_INFINITY, (wire) => wire.answered() > 0)
  t.match((await service.call('/releases/r1')).body, { promptCount }, 'what was sent whole is stored whole')
  const again = await shell.promptsync(['push'])
  t.match(again, { code: 0, stdout: /^$/, stderr: `Nothing changed: release r1 holds all of it (${promptCount} unchanged).\n` })
})

t.test('a push that waits for a busy server can be interrupted', async (t) => {
  const busy = createServer((socket) => {
    const problem = JSON.stringify({ code: 'database.unavailable', detail: 'The database is away.', status: 503 })
    const head = `HTTP/1.1 503 Busy\r\ncontent-type: application/problem+json\r\nretry-after: 30\r\ncontent-length: ${problem.length}\r\nconnection: close\r\n\r\n`
    socket.once('data', () => socket.end(head + problem))
    socket.on('error', () => socket.destroy())
  })
  await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve))
  t.teardown(() => busy.close())
  const shell = await openShell(t, {
    PROMPTSYNC_URL: `http://127.0.0.1:${(busy.address() as AddressInfo).port}`,
    PROMPTSYNC_TOKEN: 'ps_x',
  })
  await shell.write({ 'prompts/a.txt': 'A' })
  const ran = await shell.promptsync(['push'], {
    started: (child) => child.stderr?.on('data', (text: string) => text.includes('Trying again in 30 s') && child.kill('SIGINT')),
  })
  t.match(ran, { code: 130, stderr: /interrupted/ })
})
