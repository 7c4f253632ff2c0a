import t from 'tap'
import { createTrackingMetadata } from '../../src/client/tracking.js'

const prompt = {
  ...{ name: 'customer_support', ref: 'production', version: 'v1.2.0', release: 'r12', contentHash: 'sha256:ab' },
  ...{ tags: { locale: 'cn', tone: 'friendly' }, canary: { selected: true } },
}

t.test('a call of a model is marked with the prompt, the side of its canary, its variant, and the context', async (t) => {
  t.strictSame(createTrackingMetadata(prompt, { customer_id: '12345', attempt: 2, isTest: false, team: null, zone: undefined }), {
    prompt_name: 'customer_support',
    prompt_ref: 'production',
    prompt_version: 'v1.2.0',
    prompt_release: 'r12',
    prompt_hash: 'sha256:ab',
    prompt_canary: 'canary',
    prompt_variant: 'locale:cn,tone:friendly',
    customer_id: '12345',
    attempt: '2',
    isTest: 'false',
  })
})

t.test('what a prompt does not have is no key', async (t) => {
  const plain = { name: 'a', ref: 'v1', version: 'v1', release: null, tags: {}, canary: null, contentHash: '' }
  t.strictSame(createTrackingMetadata(plain), { prompt_name: 'a', prompt_ref: 'v1', prompt_version: 'v1' })
  t.equal(createTrackingMetadata({ ...plain, canary: { selected: false } }).prompt_canary, 'stable')
})

t.test('metadata that OpenAI would refuse is refused, by the name of its key and without its value', async (t) => {
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`key${index}`, 'x']))
  const refused: [Record<string, string>, RegExp][] = [
    [many(10), /17 keys, 10 of them from the context; 16 are allowed/],
    [{ ['k'.repeat(65)]: 'x' }, /65 characters; 1 to 64/],
    [{ '': 'x' }, /0 characters/],
    [{ prompt_version: 'v9' }, /"prompt_version".*Rename it/],
    [{ note: 'secret'.repeat(100) }, /^The value of "note" in the tracking context has 600 characters; 512 are allowed\.$/],
  ]
  for (const [context, says] of refused) {
    const refusal = { name: 'PromptsyncError', code: 'client.invalid', message: says }
    t.throws(() => createTrackingMetadata(prompt, context), refusal)
  }
  t.equal(Object.keys(createTrackingMetadata(prompt, many(9))).length, 16)
})

t.test('a variant of very many tags is cut, and shows that it was', async (t) => {
  const tags = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`tag${index}`, 'x'.repeat(60)]))
  const { prompt_variant: variant = '' } = createTrackingMetadata({ ...prompt, tags })
  t.equal(variant.length, 512)
  t.match(variant, /^tag0:x.*…$/)
})
