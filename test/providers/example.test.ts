import { readFile } from 'node:fs/promises'
import t from 'tap'
import { type Peer, providerConforms } from './conformance.js'
import { bundle } from './example.js'
import { startHttpPeer } from './helpers/http-peer.js'

providerConforms(t, {
  provider: bundle,
  makePeer: async (t): Promise<Peer> => {
    const peer = await startHttpPeer(t)
    const config = { url: `${peer.url}/files/bundle.json`, token: 'one-secret-of-many' }
    peer.authorization = `Bearer ${config.token}`
    return {
      textOnly: true,
      config,
      write: async (files) => {
        peer.files = { 'bundle.json': JSON.stringify(files) }
      },
      breakDown: async (kind) => (kind === 'away' ? peer.leave() : peer.stall()),
      restore: peer.restore,
      wrongCredentials: { ...config, token: 'another-wrong-secret' },
      echoSecrets: async () => {
        peer.answer = ({ headers }, response) => void response.writeHead(403).end(`No ${headers.authorization}`)
      },
    }
  },
})

t.test('the provider that docs/providers.md shows is this one', async (t) => {
  const [page, example] = await Promise.all([
    readFile('docs/providers.md', 'utf8'),
    readFile('test/providers/example.ts', 'utf8'),
  ])
  const [, shown] = /^```ts\n(import [\s\S]*?)^```$/m.exec(page) ?? []
  t.equal(shown, example.replaceAll("'../../src/providers/", "'./").replaceAll("'../../src/", "'../"))
})
