import { gzipSync } from 'node:zlib'
import { bytesOf, type Commit, type Content } from './github-objects.js'

/** What `git archive` makes of a commit, as GitHub serves it: with the attributes `export-ignore` and `export-subst`. */
export function archiveOf(commit: Commit, top: string): Buffer {
  const attributes = attributesOf(commit)
  const folders = new Set<string>()
  const parts = [entry('pax_global_header', record('comment', commit.sha), 'g')]
  for (const [path, content] of commit.files) {
    if (attributes(path).includes('export-ignore')) continue
    for (const folder of foldersOf(`${top}/${path}`)) {
      if (!folders.has(folder)) parts.push(named(`${folder}/`, Buffer.alloc(0), '5'))
      folders.add(folder)
    }
    parts.push(fileEntry(`${top}/${path}`, content, commit, attributes(path)))
  }
  return gzipSync(Buffer.concat([...parts, Buffer.alloc(1024)]), { level: 1 })
}

function fileEntry(path: string, content: Content, { sha }: Commit, attributes: string[]): Buffer {
  const bytes = bytesOf(content)
  if (bytes === null) return named(`${path}/`, Buffer.alloc(0), '5')
  const isLink = typeof content === 'object' && 'mode' in content && content.mode === '120000'
  if (isLink) return named(path, Buffer.alloc(0), '2', bytes.toString('utf8'))
  if (!attributes.includes('export-subst')) return named(path, bytes, '0')
  return named(path, Buffer.from(bytes.toString('utf8').replaceAll('$Format:%H$', sha)), '0')
}

/** Lines of the `.gitattributes` at the root: a path or `*.ending`, then attributes. */
function attributesOf({ files }: Commit): (path: string) => string[] {
  const text = bytesOf(files.get('.gitattributes') ?? '')?.toString('utf8') ?? ''
  const rules = text.split('\n').map((line) => line.trim().split(/\s+/))
  const fits = (path: string, pattern = '') => (pattern.startsWith('*') ? path.endsWith(pattern.slice(1)) : path === pattern)
  return (path) => rules.flatMap(([pattern, ...attributes]) => (pattern && fits(path, pattern) ? attributes : []))
}

function foldersOf(path: string): string[] {
  const segments = path.split('/').slice(0, -1)
  return segments.map((_, index) => segments.slice(0, index + 1).join('/'))
}

/** Long names are split at a slash if that is enough, and come in an extended header otherwise. */
function named(path: string, bytes: Buffer, type: string, link = ''): Buffer {
  const whole = Buffer.from(path)
  if (whole.length <= 100) return entry(path, bytes, type, { link })
  const slash = path.lastIndexOf('/', 154)
  const [prefix, name] = [path.slice(0, slash), path.slice(slash + 1)]
  if (slash > 0 && Buffer.byteLength(prefix) <= 155 && name && Buffer.byteLength(name) <= 100) {
    return entry(name, bytes, type, { prefix, link })
  }
  return Buffer.concat([entry('long.paxheader', record('path', path), 'x'), entry('long.data', bytes, type, { link })])
}

function record(key: string, value: string): Buffer {
  const rest = Buffer.byteLength(` ${key}=${value}\n`)
  const digits = String(rest + String(rest).length).length
  return Buffer.from(`${rest + digits} ${key}=${value}\n`)
}

function entry(name: string, bytes: Buffer, type: string, { prefix = '', link = '' } = {}): Buffer {
  const header = Buffer.alloc(512)
  const octal = (value: number, length: number) => `${value.toString(8).padStart(length - 1, '0')}\0`
  header.write(name, 0, 100)
  header.write(octal(type === '5' ? 0o775 : 0o664, 8), 100)
  header.write(`${octal(0, 8)}${octal(0, 8)}${octal(bytes.length, 12)}${octal(1_700_000_000, 12)}        ${type}`, 108)
  header.write(link, 157, 100)
  header.write('ustar\x0000root', 257)
  header.write('root', 297)
  header.write(prefix, 345, 155)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return Buffer.concat([header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)])
}
