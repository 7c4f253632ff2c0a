import { type Server, type ServerResponse, validateHeaderValue } from 'node:http'
import type { Logger } from 'pino'

/** Above this a body is sent as bytes: a text of its size would be copied more than once. */
const maxTextBytes = 16_384

/** Header fields as the lines that are sent; the names are the caller's own. Throws where a value would break its line. */
export function fieldLines(fields: Record<string, string>): string {
  let lines = ''
  for (const name in fields) {
    const value = fields[name] ?? ''
    validateHeaderValue(name, value)
    lines += `${name}: ${value}\r\n`
  }
  return lines
}

/** A body as it is best sent: a character for each byte while it is small. */
export function prepareBody(bytes: Buffer): Buffer | string {
  return bytes.length > maxTextBytes ? bytes : bytes.toString('latin1')
}

export type PreparedAnswer = { response: ServerResponse; head: string; body: Buffer | string }
export type Write = (answer: PreparedAnswer) => void

/**
 * Writes what is answered in one turn of the event loop at its end, all together: a client that is woken by each answer
 * alone costs the server more than the answers.
 */
export function createWriter(server: Server, isClosing: () => boolean, { log, now }: { log: Logger; now: () => Date }): Write {
  let waiting: PreparedAnswer[] = []
  const writeAll = () => {
    const ready = waiting
    waiting = []
    const connection = isClosing() ? null : connectionLines(server.keepAliveTimeout, now())
    for (const answer of ready) {
      try {
        send(answer, connection)
      } catch (err) {
        // One that cannot be written is in nobody else's way.
        log.error({ err }, 'An answer could not be written.')
        answer.response.destroy()
      }
    }
  }
  return (answer) => {
    if (waiting.push(answer) === 1) setImmediate(writeAll)
  }
}

/** The lines that Node adds to an answer on a connection that stays. */
function connectionLines(keepAliveTimeoutMs: number, now: Date): string {
  return `Date: ${now.toUTCString()}\r\nConnection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(keepAliveTimeoutMs / 1_000)}\r\n`
}

/**
 * Sends an answer whose head is text already; `connection` is null where its connection ends with it. Node checks and joins
 * the fields of each answer anew, which takes a third of the time of a small one, and has no public way around it: `_header`
 * is where it puts the outcome, and what stands there is sent as it is. Where it would not be, the fields go Node's own way.
 */
function send({ response, head, body }: PreparedAnswer, connection: string | null): void {
  const inside = response as unknown as { _header?: string | null }
  const status = Number(head.slice(9, 12))
  if (connection === null) response.shouldKeepAlive = false
  if (connection === null || inside._header !== null || !response.shouldKeepAlive || response.req.httpVersion !== '1.1') {
    response.writeHead(status, readFields(head)).end(typeof body === 'string' ? Buffer.from(body, 'latin1') : body)
    return
  }
  response.statusCode = status
  if (typeof body === 'string') {
    // One text is one write.
    inside._header = `${head}${connection}\r\n${body}`
    response.end()
  } else {
    inside._header = `${head}${connection}\r\n`
    response.end(body)
  }
}

/** The fields of a head as Node takes them. */
function readFields(head: string): string[] {
  return head
    .split('\r\n')
    .slice(1, -1)
    .flatMap((line) => {
      const at = line.indexOf(': ')
      return [line.slice(0, at), line.slice(at + 2)]
    })
}
