import fc from 'fast-check'
import t from 'tap'
import { AppError } from '../../src/errors.js'
import { createAllowedHosts, findAllowedAddresses, isPublicAddress, noAllowedHosts } from '../../src/lib/allowed-hosts.js'
import { runs } from '../helpers/runs.js'

const signal = new AbortController().signal
const answering = (...addresses: string[]) => {
  const asked: string[] = []
  const resolve = async (host: string) => {
    asked.push(host)
    return addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
  }
  return { asked, resolve }
}

t.test('addresses of the internet are public, whichever way they are wrapped', async (t) => {
  const addresses = ['8.8.8.8', '93.184.216.34', '2606:4700::1111', '2001:4860:4860::8888', '::ffff:8.8.8.8', '64:ff9b::8.8.8.8']
  for (const address of addresses) t.ok(isPublicAddress(address), address)
})

t.test('addresses that mean a machine, a network or nothing are not public, whichever way they are wrapped', async (t) => {
  const addresses = [
    ...['127.0.0.1', '127.255.255.254', '0.0.0.0', '10.0.0.1', '172.16.0.1', '192.168.1.1', '100.64.0.1', '169.254.169.254'],
    ...['192.0.0.8', '192.0.2.1', '198.18.0.1', '198.51.100.7', '203.0.113.9', '224.0.0.1', '240.0.0.1', '255.255.255.255'],
    ...['::', '::1', 'fe80::1', 'fe80::1%eth0', 'fc00::1', 'fd12::1', 'fec0::1', 'ff02::1', '2001:db8::1', '2001::1', '3fff::1'],
    ...['::ffff:127.0.0.1', '::ffff:7f00:1', '::ffff:169.254.169.254', '::127.0.0.1', '::7f00:1', '::ffff:0:127.0.0.1'],
    ...['64:ff9b::127.0.0.1', '64:ff9b::a9fe:a9fe', '64:ff9b:1::8.8.8.8', '2002:7f00:1::', '2002:a9fe:a9fe::1', '4000::1'],
    ...['', 'localhost', '127.1', '0x7f000001', '8.8.8.8.'],
  ]
  for (const address of addresses) t.notOk(isPublicAddress(address), address)
})

t.test('a private address of IPv4 is never public, alone or wrapped', async () => {
  const octet = fc.integer({ min: 0, max: 255 })
  const prefixes = fc.constantFrom([127], [10], [192, 168], [169, 254], [172, 16], [0])
  const address = fc.tuple(prefixes, octet, octet, octet).map(([prefix, ...rest]) => [...prefix, ...rest].slice(0, 4))
  fc.assert(
    fc.property(address, ([a = 0, b = 0, c = 0, d = 0]) => {
      const hex = [a * 256 + b, c * 256 + d].map((word) => word.toString(16))
      const forms = ['::ffff:', '64:ff9b::', '::'].map((prefix) => `${prefix}${hex.join(':')}`)
      return ![`${a}.${b}.${c}.${d}`, ...forms, `2002:${hex.join(':')}::1`].some(isPublicAddress)
    }),
    { numRuns: runs(300) },
  )
})

t.test('an entry allows its host, and only at its port if it names one', async (t) => {
  const hosts = createAllowedHosts(['Git.Example', 'db.example:5432', '10.0.0.5', '[::1]:8080', 'fd00::7', '127.0.0.1:3000'])
  const allowed: [host: string, port: number][] = [
    ['git.example', 443],
    ['GIT.example.', 80],
    ['db.example', 5432],
    ['10.0.0.5', 1],
    ['::ffff:10.0.0.5', 1],
    ['::1', 8080],
    ['0:0:0:0:0:0:0:1', 8080],
    ['fd00::7', 443],
    ['[fd00:0::7]', 443],
    ['127.0.0.1', 3000],
  ]
  const refused: [host: string, port: number][] = [
    ['sub.git.example', 443],
    ['git.example.evil', 443],
    ['db.example', 5433],
    ['10.0.0.6', 1],
    ['::1', 8081],
    ['127.0.0.1', 3001],
    ['localhost', 3000],
    ['', 443],
  ]
  for (const [host, port] of allowed) t.ok(hosts.allows(host, port), `${host} at ${port}`)
  for (const [host, port] of refused) t.notOk(hosts.allows(host, port), `${host} at ${port}`)
})

t.test('of the addresses of a name only the public ones are used', async (t) => {
  const { asked, resolve } = answering('127.0.0.1', '8.8.8.8', '::1', '2606:4700::1111')
  const found = await findAllowedAddresses(noAllowedHosts, { host: 'mixed.example', port: 443, signal }, resolve)
  t.same(
    found.map(({ address }) => address),
    ['8.8.8.8', '2606:4700::1111'],
  )
  t.same(asked, ['mixed.example'], 'and it is asked for once')
})

t.test('an allowed name may have any address, and no other name may have that', async (t) => {
  const { resolve } = answering('10.0.0.5')
  const hosts = createAllowedHosts(['inner.example:5432', '10.0.0.5'])
  const found = await findAllowedAddresses(hosts, { host: 'inner.example', port: 5432, signal }, resolve)
  t.same(found, [{ address: '10.0.0.5', family: 4 }])
  for (const [host, port] of [['inner.example', 80] as const, ['evil.example', 5432] as const]) {
    await t.rejects(findAllowedAddresses(hosts, { host, port, signal }, resolve), { code: 'source.blocked' }, host)
  }
})

t.test('a literal address is checked like one that a name has, without asking for it', async (t) => {
  const { asked, resolve } = answering('8.8.8.8')
  for (const host of ['127.0.0.1', '[::1]', '[::ffff:7f00:1]', '169.254.169.254']) {
    const rejected = findAllowedAddresses(noAllowedHosts, { host, port: 443, signal }, resolve)
    await t.rejects(rejected, { code: 'source.blocked', message: /PROMPTSYNC_ALLOWED_HOSTS/ }, host)
  }
  t.same(await findAllowedAddresses(noAllowedHosts, { host: '8.8.4.4', port: 443, signal }, resolve), [
    { address: '8.8.4.4', family: 4 },
  ])
  t.same(asked, [])
})

t.test(
  'a host that is not known is an error that names it, and a look-up that hangs is left when the time is over',
  async (t) => {
    const unknown = async () => Promise.reject(Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' }))
    const place = { host: 'nowhere.example', port: 443, signal }
    await t.rejects(findAllowedAddresses(noAllowedHosts, place, unknown), {
      code: 'source.unreachable',
      message: /"nowhere.example"/,
    })
    await t.rejects(
      findAllowedAddresses(noAllowedHosts, place, async () => []),
      { code: 'source.unreachable' },
    )
    const abort = new AbortController()
    setImmediate(() => abort.abort())
    const hanging = findAllowedAddresses(noAllowedHosts, { ...place, signal: abort.signal }, () => new Promise(() => undefined))
    await t.rejects(hanging, { name: 'AbortError' })
    t.notOk((await hanging.catch((error) => error)) instanceof AppError)
  },
)
