import t from 'tap'
import { inline } from '../../src/providers/inline.js'
import { type Peer, providerConforms } from './conformance.js'
import { providerContext } from './helpers/context.js'

providerConforms(t, {
  provider: inline,
  makePeer: (): Peer => {
    let files = {}
    return {
      textOnly: true,
      get config() {
        return { files }
      },
      write: async (next) => {
        files = next
      },
    }
  },
})

t.test('paths that are not those of files are refused, each with the reason', async (t) => {
  const paths = [
    '/a.md',
    '../a.md',
    'a/../b.md',
    './a.md',
    'a//b.md',
    'a/',
    'a\\b.md',
    'C:/a.md',
    'a\nb.md',
    '\ud800.md',
    'a'.repeat(1_001),
  ]
  for (const path of paths) {
    const { error } = inline.config.safeParse({ files: { 'good.md': 'Good.', [path]: 'Bad.' } })
    t.match(error?.issues, [{ path: ['files', path] }], JSON.stringify(path).slice(0, 40))
    t.equal(error?.issues.length, 1)
  }
})

t.test('all contents together are at most 1 MiB', async (t) => {
  const half = '客'.repeat(2 ** 19 / 3)
  t.ok(inline.config.safeParse({ files: { 'a.md': half, 'b.md': half } }).success)
  t.match(inline.config.safeParse({ files: { 'a.md': half, 'b.md': half, 'c.md': 'five5' } }).error?.issues, [
    { path: ['files'], message: /1 MiB/ },
  ])
})

t.test('names of properties that objects have are names like others', async (t) => {
  const context = await providerContext(t)
  const config = inline.config.parse({ files: { constructor: 'A file.' } })
  const listing = await inline.list(config, null, context)
  if (listing.unchanged) throw new Error('Nothing was listed.')
  const gone = inline.read({ files: { 'a.md': 'Another.' } }, listing.files, listing.revision, context)
  await t.rejects(gone[Symbol.asyncIterator]().next(), { code: 'source.changed', message: /"constructor"/ })
})
