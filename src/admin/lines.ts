import type { Readable } from 'node:stream'
import { AdminError } from './admin-error.js'

/** No row is nearly as long: a version has at most 1 MiB of texts, a few times that as JSON. */
const maxLineBytes = 64 * 1024 ** 2
const lineFeed = 0x0a

/**
 * The lines of a stream of UTF-8, read as they are asked for. They end at line feeds alone: a JSON text may hold the other
 * characters that some take for line ends. Throws `AdminError`.
 */
export async function* readLines(input: Readable): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let parts: Buffer[] = []
  let bytes = 0
  const take = (): string => {
    const line = Buffer.concat(parts)
    parts = []
    bytes = 0
    try {
      return decoder.decode(line)
    } catch (cause) {
      throw new AdminError('The input is not UTF-8.', { cause })
    }
  }
  for await (const chunk of input) {
    let rest = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk)
    for (let end = rest.indexOf(lineFeed); end !== -1; end = rest.indexOf(lineFeed)) {
      parts.push(rest.subarray(0, end))
      yield take()
      rest = rest.subarray(end + 1)
    }
    parts.push(rest)
    bytes += rest.length
    if (bytes > maxLineBytes) throw new AdminError('A line of the input is longer than any row of an export.')
  }
  if (bytes > 0) yield take()
}
