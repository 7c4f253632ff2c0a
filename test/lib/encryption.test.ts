import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { AppError } from '../../src/errors.js'
import { createKeyring, type EncryptedSecret } from '../../src/lib/encryption.js'
import { runs } from '../helpers/runs.js'

const keys = [randomBytes(32), randomBytes(32), randomBytes(32)] as const
const [newest, older, oldest] = keys
const keyring = createKeyring([newest, older])
const texts = fc.string({ unit: 'binary', maxLength: 200 })

function errorOf(work: () => unknown): AppError {
  try {
    work()
  } catch (error) {
    if (error instanceof AppError) return error
    throw error
  }
  throw new Error('This was accepted.')
}

/** The secret with one bit flipped, of the key's id, of the nonce, or of the ciphertext with its tag. */
function flipped(secret: EncryptedSecret, field: keyof EncryptedSecret, at: number): EncryptedSecret {
  const encoding = field === 'k' ? 'hex' : 'base64'
  const bytes = Buffer.from(secret[field], encoding)
  const index = (at >> 3) % bytes.length
  bytes.writeUInt8(bytes.readUInt8(index) ^ (1 << (at & 7)), index)
  return { ...secret, [field]: bytes.toString(encoding) }
}

t.test('every text comes back as it was, also by way of JSON', async (t) => {
  fc.assert(
    fc.property(texts, texts, (plain, about) => {
      const stored = JSON.parse(JSON.stringify(keyring.encrypt(plain, about)))
      t.equal(keyring.decrypt(stored, about), plain)
    }),
    { numRuns: runs(200) },
  )
  const long = '鍵🔑\0'.repeat(50_000)
  t.equal(keyring.decrypt(keyring.encrypt(long, 'long'), 'long'), long)
})

t.test('a flipped bit is refused, wherever it is', async (t) => {
  fc.assert(
    fc.property(texts, fc.constantFrom('k' as const, 'n' as const, 'c' as const), fc.nat(), (plain, field, at) => {
      const changed = flipped(keyring.encrypt(plain, 'row 1, token'), field, at)
      t.equal(errorOf(() => keyring.decrypt(changed, 'row 1, token')).code, 'secrets.unavailable')
    }),
    { numRuns: runs(400) },
  )
})

t.test('a secret of one row and field is refused for another', async (t) => {
  fc.assert(
    fc.property(texts, texts, texts, (plain, about, other) => {
      fc.pre(about !== other)
      t.match(
        errorOf(() => keyring.decrypt(keyring.encrypt(plain, about), other)),
        { code: 'secrets.unavailable' },
      )
    }),
    { numRuns: runs(200) },
  )
})

t.test('the first key encrypts, all of them decrypt', async (t) => {
  const byOlder = createKeyring([older]).encrypt('word', 'token')
  t.equal(keyring.decrypt(byOlder, 'token'), 'word')
  t.notOk(keyring.isCurrent(byOlder))
  const byNewest = keyring.encrypt('word', 'token')
  t.ok(keyring.isCurrent(byNewest))
  t.equal(createKeyring([newest]).decrypt(byNewest, 'token'), 'word')
  t.equal(createKeyring([...keys].reverse()).decrypt(byNewest, 'token'), 'word', 'in any order')
  t.not(byNewest.k, byOlder.k)
  t.match(byNewest.k, /^[0-9a-f]{16}$/)
})

t.test('a secret whose key is gone is refused with the remedy', async (t) => {
  const secret = createKeyring([oldest]).encrypt('s3cret', 'The token of source docs')
  for (const other of [keyring, createKeyring([])]) {
    const error = errorOf(() => other.decrypt(secret, 'The token of source docs'))
    t.equal(error.code, 'secrets.unavailable')
    t.match(error.message, /^The token of source docs .*PROMPTSYNC_ENCRYPTION_KEYS lacks the key/)
  }
})

t.test('a secret filed under the id of another key is refused', async (t) => {
  const secret = { ...keyring.encrypt('word', 'token'), k: createKeyring([older]).encrypt('', '').k }
  t.equal(errorOf(() => keyring.decrypt(secret, 'token')).code, 'secrets.unavailable')
})

t.test('without a key nothing is encrypted', async (t) => {
  const none = createKeyring([])
  t.notOk(none.canEncrypt)
  t.ok(keyring.canEncrypt)
  t.notOk(none.isCurrent(keyring.encrypt('word', 'token')))
  t.match(
    errorOf(() => none.encrypt('s3cret', 'The token')),
    { code: 'secrets.unavailable', message: /PROMPTSYNC_ENCRYPTION_KEYS is not set/ },
  )
})

t.test('the same text is never the same twice, and its length is all that shows', async (t) => {
  const secrets = Array.from({ length: 200 }, () => keyring.encrypt('the same', 'token'))
  t.equal(new Set(secrets.map(({ n }) => n)).size, 200)
  t.equal(new Set(secrets.map(({ c }) => c)).size, 200)
  for (const { n, c } of secrets) {
    t.equal(Buffer.from(n, 'base64').length, 12)
    t.equal(Buffer.from(c, 'base64').length, 'the same'.length + 16)
  }
})

t.test('half a surrogate pair is refused, since it would not come back', async (t) => {
  t.equal(errorOf(() => keyring.encrypt('s3cret \ud83d', 'The token')).code, 'text.invalid')
})

t.test('what is no stored secret is refused as damaged', async (t) => {
  const secret = keyring.encrypt('word', 'token')
  const damaged: unknown[] = [
    { ...secret, c: '' },
    { ...secret, c: secret.c.slice(0, 20) },
    { ...secret, c: undefined },
    { ...secret, c: 7 },
    { ...secret, n: '' },
    { ...secret, n: `${secret.n}AAAA` },
    { ...secret, n: null },
    { k: secret.k },
  ]
  for (const one of damaged) {
    const error = errorOf(() => keyring.decrypt(one as EncryptedSecret, 'token'))
    t.match(error, { code: 'secrets.unavailable', message: /Set it anew/ }, JSON.stringify(one))
  }
})

t.test('neither the keyring nor its errors tell a key or a text', async (t) => {
  const error = errorOf(() => keyring.decrypt(flipped(keyring.encrypt('s3cret', 'token'), 'c', 3), 'token'))
  const seen = [keyring, error, errorOf(() => createKeyring([]).encrypt('s3cret', 'token'))]
    .map((value) => `${inspect(value, { depth: 12, showHidden: true })}${JSON.stringify(value)}`)
    .join('')
  t.notMatch(seen, /s3cret/)
  for (const key of keys) {
    for (const encoding of ['hex', 'base64', 'base64url'] as const) t.notOk(seen.includes(key.toString(encoding)))
    t.notOk(seen.includes(key.toJSON().data.slice(0, 8).join(',')))
  }
})
