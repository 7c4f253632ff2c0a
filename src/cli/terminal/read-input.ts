import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'

type Bound = { maxBytes: number; tooLong: string }

/** Reads stdin to its end. Throws a `CliError` (`tooLong`) where it holds more than `maxBytes`; Ctrl-C ends the wait. */
export async function readInput({ stdin, signal }: Context, { maxBytes, tooLong }: Bound): Promise<string> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  const stop = () => stdin.destroy(new CliError('Interrupted.'))
  signal.addEventListener('abort', stop, { once: true })
  try {
    for await (const chunk of stdin) {
      chunks.push(chunk)
      sizeBytes += chunk.length
      if (sizeBytes > maxBytes) throw new CliError(tooLong)
    }
  } finally {
    signal.removeEventListener('abort', stop)
  }
  return Buffer.concat(chunks).toString('utf8')
}
