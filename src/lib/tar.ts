/** What is no archive, or not a whole one. */
export class TarError extends Error {
  override readonly name = 'TarError'
}

export type TarFile = { path: string; bytes: Buffer }

type Options = {
  /** Whether the bytes of this file are wanted; those of all others are passed over, and never gathered. */
  wants(path: string, sizeBytes: number): boolean
}

type Header = { path: string; sizeBytes: number; type: string }

const blockBytes = 512
const maxExtensionBytes = 64 * 1024
const fileTypes = new Set(['0', '\0', '7'])

/**
 * Reads the wanted files of a tar archive (ustar, with the extended headers of pax) as they come by. Links, folders and
 * devices are passed over. Throws `TarError`s.
 */
export async function* readTar(chunks: AsyncIterable<Buffer>, { wants }: Options): AsyncGenerator<TarFile> {
  const reader = createByteReader(chunks)
  let extended: Map<string, string> = new Map()
  while (true) {
    const block = await reader.take(blockBytes)
    if (isEnd(block)) return
    const plain = readHeader(block)
    const isAboutNext = plain.type === 'x'
    const header = isAboutNext || plain.type === 'g' ? plain : extendHeader(plain, extended)
    const paddingBytes = (blockBytes - (header.sizeBytes % blockBytes)) % blockBytes
    if (isAboutNext) {
      extended = await readExtension(reader, header.sizeBytes)
    } else if (fileTypes.has(header.type) && wants(header.path, header.sizeBytes)) {
      yield { path: header.path, bytes: await reader.take(header.sizeBytes) }
    } else {
      await reader.skip(header.sizeBytes)
    }
    // What an extended header says is about the next entry only.
    if (!isAboutNext) extended = new Map()
    await reader.skip(paddingBytes)
  }
}

type ByteReader = { take(count: number): Promise<Buffer>; skip(count: number): Promise<void> }

function createByteReader(chunks: AsyncIterable<Buffer>): ByteReader {
  const source = chunks[Symbol.asyncIterator]()
  let rest: Buffer = Buffer.alloc(0)

  /** Gives at most `count` bytes to `use`, as often as it takes. */
  async function pass(count: number, use: (piece: Buffer) => void): Promise<void> {
    let missing = count
    while (missing > 0) {
      if (rest.length === 0) {
        const { done, value } = await source.next()
        if (done) throw new TarError('it ends in the middle')
        rest = value
      }
      const piece = rest.subarray(0, missing)
      rest = rest.subarray(piece.length)
      missing -= piece.length
      use(piece)
    }
  }

  return {
    async take(count) {
      const pieces: Buffer[] = []
      await pass(count, (piece) => pieces.push(piece))
      return Buffer.concat(pieces, count)
    },
    skip: (count) => pass(count, () => undefined),
  }
}

function isEnd(block: Buffer): boolean {
  return block.every((byte) => byte === 0)
}

function readHeader(block: Buffer): Header {
  const declared = readNumber(block.subarray(148, 156))
  // The sum counts its own field as blanks.
  const summed = block.reduce((sum, byte, index) => sum + (index >= 148 && index < 156 ? 0x20 : byte), 0)
  if (declared !== summed) throw new TarError('the checksum of a header is wrong')
  const prefix = block.toString('latin1', 257, 262) === 'ustar' ? readText(block.subarray(345, 500)) : ''
  const name = readText(block.subarray(0, 100))
  return {
    path: prefix ? `${prefix}/${name}` : name,
    sizeBytes: readNumber(block.subarray(124, 136)),
    type: String.fromCharCode(block[156] ?? 0),
  }
}

function extendHeader(header: Header, extended: Map<string, string>): Header {
  const size = extended.get('size')
  const sizeBytes = size === undefined ? header.sizeBytes : Number(size)
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) throw new TarError('the size of a file is no number')
  return { ...header, path: extended.get('path') ?? header.path, sizeBytes }
}

function readText(field: Buffer): string {
  const end = field.indexOf(0)
  return field.toString('utf8', 0, end === -1 ? field.length : end)
}

function readNumber(field: Buffer): number {
  const digits = field
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .trimStart()
  if (!/^[0-7]*$/.test(digits)) throw new TarError('a number in a header cannot be read')
  return Number.parseInt(digits || '0', 8)
}

/** Records are `<length> <key>=<value>\n`, where the length counts all of the record in bytes. */
async function readExtension(reader: ByteReader, sizeBytes: number): Promise<Map<string, string>> {
  if (sizeBytes > maxExtensionBytes) throw new TarError('an extended header is too large')
  const bytes = await reader.take(sizeBytes)
  const values = new Map<string, string>()
  let start = 0
  while (start < bytes.length) {
    const space = bytes.indexOf(0x20, start)
    const length = Number(bytes.toString('latin1', start, Math.max(space, start)))
    if (space === -1 || !Number.isSafeInteger(length) || length <= space - start || start + length > bytes.length) {
      throw new TarError('an extended header cannot be read')
    }
    const [, key = '', value = ''] = /^([^=]*)=([\s\S]*)\n$/.exec(bytes.toString('utf8', space + 1, start + length)) ?? []
    values.set(key, value)
    start += length
  }
  return values
}
