import { type ServerResponse, validateHeaderName, validateHeaderValue } from 'node:http'

const reasons = { 200: 'OK', 304: 'Not Modified' }

/** Above this a body is sent as bytes: a text of its size would be copied more than once. */
const maxTextBytes = 16_384

/** The status line and whole lines of header fields. Throws where a name or a value would break them. */
export function prepareHead(status: 200 | 304, fields: Record<string, string>): string {
  return `HTTP/1.1 ${status} ${reasons[status]}\r\n${fieldLines(fields)}`
}

export function fieldLines(fields: Record<string, string>): string {
  return Object.entries(fields)
    .map(([name, value]) => {
      validateHeaderName(name)
      validateHeaderValue(name, value)
      return `${name}: ${value}\r\n`
    })
    .join('')
}

/** A body as it is best sent: a character for each byte while it is small. */
export function prepareBody(bytes: Buffer): Buffer | string {
  return bytes.length > maxTextBytes ? bytes : bytes.toString('latin1')
}

/** The lines that Node adds to an answer on a connection that stays. */
export function connectionLines(keepAliveTimeoutMs: number, now: Date): string {
  return `Date: ${now.toUTCString()}\r\nConnection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(keepAliveTimeoutMs / 1_000)}\r\n`
}

/**
 * Sends an answer whose head is text already. Node checks and joins the fields of each answer anew, which takes a third of
 * the time of a small one, and has no public way around it: `_header` is where it puts the outcome, and what stands there
 * is sent as it is. Where it would not be, or the connection is to be closed, the fields go Node's own way.
 */
export function sendPrepared(response: ServerResponse, head: string, connection: string, body: Buffer | string): void {
  const inside = response as unknown as { _header?: string | null }
  const status = Number(head.slice(9, 12))
  if (inside._header !== null || !response.shouldKeepAlive || response.req.httpVersion !== '1.1') {
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
