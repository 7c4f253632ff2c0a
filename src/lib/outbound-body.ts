import { promisify } from 'node:util'
import { brotliDecompress, gunzip } from 'node:zlib'
import type { Dispatcher } from 'undici'
import { AppError, tryLater } from '../errors.js'

type Body = Dispatcher.ResponseData['body']

/** Of what the body is. */
type About = { name: string; method: string; status: number; headers: Record<string, string>; maxBytes: number }

const firstBufferBytes = 16 * 1024
const decoders: Record<string, (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>> = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  br: promisify(brotliDecompress),
}

export const acceptedEncodings = 'gzip, br'

/** The whole body, decoded, or an `AppError`: it is too large both before and after. */
export async function readBody(body: Body, about: About): Promise<Buffer> {
  const { name, status, headers } = about
  const bytes = await collect(body, about)
  if (bytes.length === 0) return bytes
  if (status < 300 && headers['content-length'] === undefined && !/chunked/i.test(headers['transfer-encoding'] ?? '')) {
    throw new AppError('source.invalid', `${name} does not say how long its answer is, so that a cut one would look whole.`)
  }
  const encoding = (headers['content-encoding'] ?? 'identity').trim().toLowerCase()
  return encoding === 'identity' ? bytes : decode(bytes, encoding, about)
}

/** Into one buffer: each chunk kept for itself would cost a hundred times its size where they come byte for byte. */
async function collect(body: Body, about: About): Promise<Buffer> {
  const { method, headers, maxBytes } = about
  // What breaks it is told by reading it. Where it is left unread, the break is our own.
  body.on('error', () => undefined)
  if (method !== 'HEAD' && Number(headers['content-length'] ?? 0) > maxBytes) {
    body.destroy()
    throw tooLarge(about)
  }
  let bytes = Buffer.allocUnsafe(Math.min(maxBytes, firstBufferBytes))
  let size = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    const needed = size + chunk.length
    if (needed > maxBytes) throw tooLarge(about)
    if (needed > bytes.length) {
      const larger = Buffer.allocUnsafe(Math.min(maxBytes, Math.max(bytes.length * 2, needed)))
      bytes.copy(larger, 0, 0, size)
      bytes = larger
    }
    chunk.copy(bytes, size)
    size = needed
  }
  return bytes.subarray(0, size)
}

async function decode(bytes: Buffer, encoding: string, about: About): Promise<Buffer> {
  const decoder = Object.hasOwn(decoders, encoding) ? decoders[encoding] : undefined
  if (!decoder) {
    throw new AppError('source.invalid', `${about.name} answers in an encoding that was not asked for. Turn it off there.`)
  }
  try {
    return await decoder(bytes, { maxOutputLength: Math.max(1, about.maxBytes) })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(about)
    throw tryLater('source.unreachable', `The compressed answer of ${about.name} is not whole.`, 60, new Error(code))
  }
}

function tooLarge({ name, maxBytes }: About): AppError {
  return new AppError('source.too_large', `${name} answers with more than ${maxBytes} bytes. Have it answer with less.`)
}
