import fc from 'fast-check'
import Fastify from 'fastify'
import t from 'tap'
import { FetchQuery } from '../../src/features/fetch/fetch.schema.js'
import { ResolveQuery, wantedOf } from '../../src/features/resolve/resolve.schema.js'
import { type PlainQuery, parsePlainContext, parsePlainQuery } from '../../src/lib/plain-query.js'
import { runs } from '../helpers/runs.js'

type Told = Pick<PlainQuery, 'project' | 'tags' | 'key' | 'canary'>

/** What the route makes of a query, null where it refuses it or does something else. */
async function startRoute() {
  const app = Fastify()
  app.get('/', async (request): Promise<Told | null> => {
    const parsed = FetchQuery.safeParse(request.query)
    if (!parsed.success || parsed.data.fallback !== undefined) return null
    const { project, tag, key, canary } = parsed.data
    return { project, tags: tag ?? {}, key, canary: canary ?? 'on' }
  })
  const ask = async (query: string): Promise<Told | null> => (await app.inject({ url: `/?${query}` })).json()
  return { ask, close: () => app.close() }
}

function toldBy({ project, tags, key, canary }: Told): Told {
  return { project, tags: { ...tags }, key, canary }
}

const names = ['tag', 'key', 'project', 'canary', 'fallback', 'keyx', 'Key', 'tags', 'ke', '', '__proto__', 'k%65y']
const values = [
  ...[
    '',
    'off',
    'on',
    'user-1',
    'user%201',
    'a+b',
    '%',
    '%zz',
    '%C3%A9',
    'locale:cn',
    'locale%3Acn',
    'locale%3acn',
    'locale:',
    ':cn',
  ],
  ...[
    'locale:a:b',
    '__proto__:x',
    'constructor:x',
    'toString:y',
    'acme',
    'Acme',
    '-acme',
    'a=b',
    'é',
    'x'.repeat(128),
    'x'.repeat(129),
  ],
  ...['tone:formal', `${'t'.repeat(61)}:x`, 'default', '~', '!', '@', "'", '*', '#', ';'],
]
const pair = fc.oneof(
  fc.tuple(fc.constantFrom(...names), fc.constantFrom(...values)).map(([name, value]) => `${name}=${value}`),
  fc.constantFrom(...names, ...names.map((name) => `${name}x`), ...values),
  fc.string({ maxLength: 12 }),
)
const query = fc.array(pair, { maxLength: 6 }).map((pairs) => pairs.join('&'))

t.test('whatever is answered at a look is what the route would make of it', async (t) => {
  const { ask, close } = await startRoute()
  t.teardown(close)
  let answered = 0
  await fc.assert(
    fc.asyncProperty(query, async (text) => {
      // Neither is ever part of a query on the wire.
      fc.pre(!/[#\s]/.test(text))
      const plain = parsePlainQuery(text)
      if (plain === null) return
      answered += 1
      const told = await ask(text)
      t.strictSame(told && toldBy(told), toldBy(plain), `?${text}`)
    }),
    { numRuns: runs(2_000), examples: [['keyx'], ['projectx'], ['tag'], ['key'], ['canaryoff'], ['key=a&keyx']] },
  )
  t.ok(answered > 20, 'some queries are plain')
})

t.test('no text makes it throw', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
      parsePlainQuery(text)
    }),
    { numRuns: runs(500) },
  )
  t.pass('none did')
})

t.test('what callers send all the time is plain', async (t) => {
  const parsed = (text: string) => {
    const plain = parsePlainQuery(text)
    return plain && toldBy(plain)
  }
  const tags = { locale: 'cn', tone: 'friendly' }
  const everything = 'tag=locale:cn&tag=tone%3Afriendly&key=user-1@example.com&project=acme'
  t.strictSame(parsed(everything), { project: 'acme', tags, key: 'user-1@example.com', canary: 'on' })
  t.strictSame(parsed('canary=off'), { project: undefined, tags: {}, key: undefined, canary: 'off' })
  t.strictSame(parsed(''), { project: undefined, tags: {}, key: undefined, canary: 'on' })
})

t.test('queries whose tags are the same text ask for the same tags', async (t) => {
  const seen = new Map<string, string>()
  fc.assert(
    fc.property(query, (text) => {
      const plain = parsePlainQuery(text)
      if (!plain) return
      const tags = JSON.stringify(plain.tags)
      t.equal(seen.get(plain.tagText) ?? tags, tags)
      t.equal(plain.tagText === '', tags === '{}')
      seen.set(plain.tagText, tags)
    }),
    { numRuns: runs(1_000) },
  )
})

t.test('a thousand tags are not plain, and one query leaves nothing in the next', async (t) => {
  t.equal(parsePlainQuery(Array.from({ length: 1_000 }, (_, index) => `tag=t${index}:x`).join('&')), null)
  parsePlainQuery('tag=locale:cn&key=user-1')
  t.strictSame(parsePlainQuery('')?.tags, {})
})

const contextNames = [
  'category',
  'channel',
  'guild',
  'ref',
  'fallback',
  '_',
  '__proto__',
  'constructor',
  'a-b',
  '1a',
  'v'.repeat(65),
]
const contextValues = [
  'meeting',
  'Stand.Up',
  '',
  'a+b',
  'a%20b',
  'r1',
  'v1+b',
  'x'.repeat(100),
  'x'.repeat(101),
  '客',
  'a:b',
  'latest',
]
const contextPair = fc
  .tuple(fc.constantFrom(...contextNames), fc.constantFrom(...contextValues))
  .map(([name, value]) => `${name}=${value}`)
const contextQuery = fc
  .array(fc.oneof({ weight: 3, arbitrary: contextPair }, pair), { maxLength: 5 })
  .map((pairs) => pairs.join('&'))

t.test('whatever is resolved at a look is what the route would make of it', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.get('/', async (request) => {
    const parsed = ResolveQuery.safeParse(request.query)
    return parsed.success ? { ...wantedOf(parsed.data), project: parsed.data.project } : null
  })
  let answered = 0
  await fc.assert(
    fc.asyncProperty(contextQuery, async (text) => {
      fc.pre(!/[#\s]/.test(text))
      const plain = parsePlainContext(text)
      if (plain === null) return
      answered += 1
      const { query, ref, context } = plain
      const told = (await app.inject({ url: `/?${text}` })).json()
      t.strictSame(told, JSON.parse(JSON.stringify({ ...toldBy(query), ref, context })), `?${text}`)
    }),
    {
      numRuns: runs(1_600),
      examples: [['ref=v1+b'], ['category=a+b'], ['__proto__=x'], ['ref=r1&ref=r2'], ['category=a&category=b']],
    },
  )
  t.ok(answered > 20, 'some contexts are plain')
})

t.test('a context of more variables than there may be is not plain, and no text makes it throw', async (t) => {
  const many = (count: number) => Array.from({ length: count }, (_, index) => `v${index}=x`).join('&')
  t.equal(Object.keys(parsePlainContext(many(50))?.context ?? {}).length, 50)
  t.equal(parsePlainContext(many(51)), null)
  t.strictSame(parsePlainContext(''), { query: parsePlainQuery(''), ref: undefined, context: {} })
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
      parsePlainContext(text)
    }),
    { numRuns: runs(500) },
  )
})
