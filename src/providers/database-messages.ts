/** What the other side sent is no message of a Postgres server. */
export class BrokenProtocol extends Error {}

/** The other side sent more than is taken, or said that it will. */
export class TooMuchSent extends Error {}

/** The rest of a message that is being looked at. */
type Rest = { bytes: Buffer; at: number }

const headBytes = 5
/** All but rows, descriptions of rows and errors are short: what says that it is longer is something else. */
const shortBytes = 30_000
const longTypes = new Set(['D', 'T', 'E', 'N'])
const authenticationCodes: Record<number, (rest: Rest) => void> = {
  0: () => undefined,
  3: () => undefined,
  5: (rest) => skip(rest, 4),
  10: (rest) => {
    while (skipText(rest) > 0);
  },
  11: skipAll,
  12: skipAll,
}

/** What each kind of message holds. Of other kinds none is asked for: notifications and copies, say. */
const shapes: Record<string, (rest: Rest) => void> = {
  R: (rest) => {
    const shape = authenticationCodes[readInt(rest, 4)]
    if (!shape) throw new BrokenProtocol('It asks for credentials in a way that is not known.')
    shape(rest)
  },
  S: (rest) => repeat(2, () => skipText(rest)),
  K: (rest) => skip(rest, 8),
  Z: (rest) => skip(rest, 1),
  T: (rest) =>
    repeat(readInt(rest, 2), () => {
      skipText(rest)
      skip(rest, 18)
    }),
  D: (rest) => repeat(readInt(rest, 2), () => skip(rest, Math.max(0, readInt(rest, 4)))),
  C: skipText,
  E: skipFields,
  N: skipFields,
  ...Object.fromEntries(['1', '2', '3', 'n', 's', 'I'].map((type) => [type, () => undefined])),
}

/**
 * Takes what a server sends as it comes, and gives on what messages are whole, each of which is what it says it is. The driver's
 * parser trusts them: it throws at some that are not, runs without an end at others, and keeps what has no end in memory.
 */
export function createMessageFilter(maxBytes: number): (chunk: Buffer) => Buffer {
  let chunks: Buffer[] = []
  let pendingBytes = 0
  let wantedBytes = headBytes
  let sentBytes = 0
  return (chunk) => {
    sentBytes += chunk.length
    if (sentBytes > maxBytes) throw new TooMuchSent()
    chunks.push(chunk)
    pendingBytes += chunk.length
    if (pendingBytes < wantedBytes) return Buffer.alloc(0)
    const bytes = Buffer.concat(chunks)
    const whole = checkMessages(bytes)
    const rest = bytes.subarray(whole.endsAt)
    chunks = [rest]
    pendingBytes = rest.length
    wantedBytes = whole.nextBytes
    if (sentBytes - rest.length + wantedBytes > maxBytes) throw new TooMuchSent()
    return bytes.subarray(0, whole.endsAt)
  }
}

/** Where the last whole message ends, and how many bytes the next one needs as far as is known. */
function checkMessages(bytes: Buffer): { endsAt: number; nextBytes: number } {
  let at = 0
  while (bytes.length - at >= headBytes) {
    const type = String.fromCharCode(bytes.readUInt8(at))
    const messageBytes = 1 + bytes.readUInt32BE(at + 1)
    const shape = Object.hasOwn(shapes, type) ? shapes[type] : undefined
    const isFitting = longTypes.has(type) || messageBytes <= shortBytes
    if (!shape || !isFitting || messageBytes < headBytes) throw new BrokenProtocol('It sends what is no message of a server.')
    if (bytes.length - at < messageBytes) return { endsAt: at, nextBytes: messageBytes }
    const rest = { bytes: bytes.subarray(at, at + messageBytes), at: headBytes }
    shape(rest)
    if (rest.at !== messageBytes) throw new BrokenProtocol('A message is longer than what it holds.')
    at += messageBytes
  }
  return { endsAt: at, nextBytes: headBytes }
}

function skip(rest: Rest, count: number): void {
  rest.at += count
  if (rest.at > rest.bytes.length) throw new BrokenProtocol('A message is shorter than what it holds.')
}

function skipAll(rest: Rest): void {
  rest.at = rest.bytes.length
}

function readInt(rest: Rest, byteLength: number): number {
  const from = rest.at
  skip(rest, byteLength)
  return rest.bytes.readIntBE(from, byteLength)
}

/** A text ends with a zero. Gives its length. */
function skipText(rest: Rest): number {
  const end = rest.bytes.indexOf(0, rest.at)
  if (end < 0) throw new BrokenProtocol('A text of a message has no end.')
  const length = end - rest.at
  rest.at = end + 1
  return length
}

/** Each field is a letter and a text; a zero in place of a letter ends them. */
function skipFields(rest: Rest): void {
  while (readInt(rest, 1) !== 0) skipText(rest)
}

function repeat(times: number, work: () => void): void {
  for (let time = 0; time < times; time += 1) work()
}
