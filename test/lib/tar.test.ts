import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { readTar, TarError } from '../../src/lib/tar.js'
import { runs } from '../helpers/runs.js'
import { archiveOf } from '../providers/helpers/github-archive.js'
import { type Content, executable, symbolicLink } from '../providers/helpers/github-objects.js'

const longPath = `${'folder/'.repeat(40)}${'name'.repeat(30)}.md`

function tarOf(files: Record<string, Content>): Buffer {
  return gunzipSync(archiveOf({ sha: 'a'.repeat(40), tree: '', files: new Map(Object.entries(files)) }, 'top'))
}

async function* inPieces(bytes: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
  for (let start = 0; start < bytes.length; start += pieceBytes) yield bytes.subarray(start, start + pieceBytes)
}

const wantsAll = (_path: string, _sizeBytes: number): boolean => true

async function read(bytes: Buffer, { pieceBytes = 10_000, wants = wantsAll } = {}) {
  const found: Record<string, string> = {}
  for await (const file of readTar(inPieces(bytes, pieceBytes), { wants })) found[file.path] = file.bytes.toString('utf8')
  return found
}

/** An archive of one entry, with a checksum that is right. */
function header(change: (block: Buffer) => void): Buffer {
  const block = Buffer.from(tarOf({}).subarray(0, 512))
  change(block)
  block.fill(0x20, 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

t.test('files come with their bytes, however the archive is cut into pieces', async (t) => {
  const files = { 'a.md': 'A', 'empty.md': '', 'ü/客.md': 'U', [longPath]: 'Long', 'block.md': 'x'.repeat(512) }
  const tar = tarOf({ ...files, 'run.sh': executable('run'), link: symbolicLink('a.md') })
  const expected = Object.fromEntries(Object.entries({ ...files, 'run.sh': 'run' }).map(([path, text]) => [`top/${path}`, text]))
  for (const pieceBytes of [1, 511, 512, 10_000]) t.same(await read(tar, { pieceBytes }), expected, `pieces of ${pieceBytes}`)
})

t.test('only what is wanted is gathered', async (t) => {
  const asked: [string, number][] = []
  const wants = (path: string, sizeBytes: number) => asked.push([path, sizeBytes]) === 2
  t.same(await read(tarOf({ a: 'one', b: 'two', c: 'three' }), { wants }), { 'top/b': 'two' })
  t.same(asked, [
    ['top/a', 3],
    ['top/b', 3],
    ['top/c', 5],
  ])
})

t.test('what is no archive, or not a whole one, is refused', async (t) => {
  const tar = tarOf({ 'a.md': 'A'.repeat(600) })
  const wrong: [string, Buffer][] = [
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.alloc(1024, 'text')],
    ['cut in a header', tar.subarray(0, 200)],
    ['cut in a file', tar.subarray(0, tar.length - 1_024 - 700)],
    ['no end', tar.subarray(0, tar.length - 1_024)],
    ['a size that is none', header((block) => block.write('what is it?', 124))],
    ['a size beyond the end', header((block) => block.write('77777777777', 124))],
    ['an extended header that is too large', header((block) => block.write('00001000000', 124) && block.write('x', 156))],
  ]
  for (const [name, bytes] of wrong) await t.rejects(read(bytes), { name: 'TarError' }, name)
  for (const record of ['99 path=x\n', 'x path=y\n', '0 path=y\n', 'path', '-1 a=b\n', '18 size=-5 path=x\n']) {
    const extended = header((block) => block.write('00000000022', 124) && block.write('x', 156))
    const body = Buffer.alloc(512)
    body.write(record)
    await t.rejects(read(Buffer.concat([extended, body, tar.subarray(1_024)])), { name: 'TarError' }, record)
  }
})

t.test('no change to an archive does more than have it refused or read otherwise', async (t) => {
  const tar = tarOf({ 'a.md': 'A', [longPath]: 'Long', 'b.md': 'B'.repeat(700) })
  const change = fc.tuple(fc.nat(tar.length - 1), fc.integer({ min: 0, max: 255 }))
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
      const changed = Buffer.from(tar)
      for (const [index, byte] of changes) changed[index] = byte
      await read(changed).catch((error) => {
        if (!(error instanceof TarError)) throw error
      })
    }),
    { numRuns: runs(200) },
  )
  t.pass('every other error would have failed')
})
