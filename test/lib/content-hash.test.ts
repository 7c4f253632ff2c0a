import { createHash } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { contentHash, type VersionContent } from '../../src/lib/content-hash.js'

const text: VersionContent = {
  type: 'text',
  template: 'jinja',
  content: 'You help {{ company_name }}.\n客服 "quoted" \\ \u2028 😀\n',
  messages: null,
  config: { model: 'gpt-4o', temperature: 0.2, stop: ['\n'], tools: [] },
  inputs: { type: 'object', properties: { company_name: { type: 'string' } }, required: ['company_name'] },
  variants: [
    { tags: { locale: 'cn', tone: 'friendly' }, content: '我是{{ company_name }}', messages: null },
    { tags: { locale: 'en' }, content: '', messages: null },
  ],
}

const chat: VersionContent = {
  type: 'chat',
  template: 'none',
  content: null,
  messages: [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: '{{Hostname}}' },
  ],
  config: {},
  inputs: null,
  variants: [{ tags: { locale: 'de' }, content: null, messages: [{ role: 'system', content: 'Kurz.' }] }],
}

/** The documented serialization, written out. */
const serializedText =
  '["text","jinja","You help {{ company_name }}.\\n客服 \\"quoted\\" \\\\ \u2028 😀\\n",' +
  '{"model":"gpt-4o","temperature":0.2,"stop":["\\n"],"tools":[]},' +
  '{"type":"object","properties":{"company_name":{"type":"string"}},"required":["company_name"]},' +
  '[[[["locale","cn"],["tone","friendly"]],"我是{{ company_name }}"],[[["locale","en"]],""]],[]]'
const serializedChat =
  '["chat","none",[["system","Be brief."],["user","{{Hostname}}"]],{},null,[[[["locale","de"]],[["system","Kurz."]]]],[]]'

const sha256 = (serialized: string) => `sha256:${createHash('sha256').update(Buffer.from(serialized, 'utf8')).digest('hex')}`

t.test('the hash of a text is that of its documented serialization, for ever', async (t) => {
  t.equal(contentHash(text), sha256(serializedText))
  t.equal(contentHash(text), 'sha256:2689340701bee1275a13343cf839bdee5fc6403ab320af36b96c4730e95b2255')
})

t.test('the hash of a chat is that of its documented serialization, for ever', async (t) => {
  t.equal(contentHash(chat), sha256(serializedChat))
  t.equal(contentHash(chat), 'sha256:1dea047b7c88b5b4d6a650bbe21dde0d19b978e0a2cf6455e9d2df091ab844e6')
})

t.test('the order of keys in config, inputs and tags counts', async (t) => {
  const turned = (value: object) => Object.fromEntries(Object.entries(value).reverse())
  t.not(contentHash({ ...text, config: turned(text.config) }), contentHash(text))
  t.not(contentHash({ ...text, inputs: turned(text.inputs ?? {}) }), contentHash(text))
  const [first, ...others] = text.variants
  t.ok(first)
  if (first)
    t.not(
      contentHash({ ...text, variants: [{ ...first, tags: turned(first.tags) as Record<string, string> }, ...others] }),
      contentHash(text),
    )
  t.not(contentHash({ ...text, variants: [...text.variants].reverse() }), contentHash(text))
})

t.test('every part of a version counts', async (t) => {
  const changed: VersionContent[] = [
    { ...text, template: 'none' },
    { ...text, content: `${text.content} ` },
    { ...text, content: text.content?.replace('\n', '\r\n') ?? null },
    { ...text, content: '' },
    { ...text, config: {} },
    { ...text, config: { ...text.config, temperature: '0.2' } },
    { ...text, inputs: null },
    { ...text, inputs: {} },
    { ...text, variants: [] },
    { ...text, variants: text.variants.slice(0, 1) },
    chat,
    { ...chat, messages: [{ role: 'user', content: 'Be brief.' }, ...(chat.messages ?? []).slice(1)] },
    { ...chat, messages: [...(chat.messages ?? [])].reverse() },
    { ...chat, messages: [{ role: 'system', content: 'Be brief.{{Hostname}}' }] },
    { ...chat, variants: [] },
  ]
  const hashes = [text, ...changed].map((version) => contentHash(version))
  t.equal(new Set(hashes).size, hashes.length)
})

t.test('includes count by reference and content, in one order; a placeholder is no message', async (t) => {
  const [footer, header] = [
    ['footer', 'sha256:f'],
    ['header', 'sha256:h'],
  ] as const
  t.equal(contentHash(text, [footer, header]), contentHash(text, [header, footer]))
  const placed = (placeholder: string): VersionContent => ({ ...chat, messages: [{ placeholder }, ...(chat.messages ?? [])] })
  const hashes = [
    contentHash(text),
    contentHash(text, [footer]),
    contentHash(text, [footer, header]),
    contentHash(text, [['footer', 'sha256:h']]),
    contentHash(chat),
    contentHash(placed('history')),
    contentHash(placed('thread')),
  ]
  t.equal(new Set(hashes).size, hashes.length)
})

t.test('title, description, labels and metadata are not of it', async (t) => {
  const extended = { ...text, title: 'T', description: 'D', labels: ['l'], metadata: { a: 1 }, name: 'n', number: 7, label: 'v1' }
  t.equal(contentHash(extended), contentHash(text))
})

t.test('what is stored as JSON and read back has the same hash', async (t) => {
  const json = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 5 })
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), json, fc.option(json), (content, config, inputs) => {
      const version: VersionContent = { ...text, content, config, inputs }
      return contentHash(version) === contentHash(JSON.parse(JSON.stringify(version)))
    }),
  )
  t.pass()
})

t.test('different contents have different hashes', async (t) => {
  const version = fc.record({
    type: fc.constant('text' as const),
    template: fc.constantFrom('jinja' as const, 'none' as const),
    content: fc.string({ maxLength: 3 }),
    messages: fc.constant(null),
    config: fc.dictionary(fc.constantFrom('a', 'b'), fc.integer({ min: 0, max: 1 })),
    inputs: fc.option(fc.constant({})),
    variants: fc.array(
      fc.record({
        tags: fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom('a', 'b'), { minKeys: 1 }),
        content: fc.string({ maxLength: 2 }),
        messages: fc.constant(null),
      }),
      { maxLength: 2 },
    ),
  })
  fc.assert(
    fc.property(version, version, (a, b) => (contentHash(a) === contentHash(b)) === (JSON.stringify(a) === JSON.stringify(b))),
  )
  t.pass()
})
