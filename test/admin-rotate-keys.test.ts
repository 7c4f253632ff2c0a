import { randomUUID } from 'node:crypto'
import { Readable, Writable } from 'node:stream'
import t from 'tap'
import { AdminError } from '../src/admin/admin-error.js'
import { runAdmin } from '../src/admin/commands.js'
import { rotateKeys } from '../src/admin/rotate-keys.js'
import { openSecret, secretSubject, webhookField } from '../src/features/sources/source-rows.service.js'
import { createKeyring } from '../src/lib/encryption.js'
import { type Service, startService, type Teardown } from './helpers/service.js'

const [firstKey, secondKey, thirdKey] = [1, 2, 3].map((digit) => Buffer.alloc(32, digit).toString('base64')) as [
  string,
  string,
  string,
]
const withKeys = (...keys: string[]) => ({ env: { PROMPTSYNC_ENCRYPTION_KEYS: keys.join(',') } })
const hookSecret = 'the secret of a webhook'

/** Runs the command with these keys; answers what it said, the message of its failure last. */
async function rotate({ deps }: Service, ...keys: string[]): Promise<string> {
  let said = ''
  const stderr = new Writable({
    write(chunk, _, done) {
      said += chunk
      done()
    },
  })
  const keyring = createKeyring(keys.map((key) => Buffer.from(key, 'base64')))
  const connect = async () => ({ ...deps, keyring, close: async () => undefined })
  const failure = await runAdmin(['rotate-keys'], connect, { stdin: Readable.from([]), stdout: stderr, stderr }).then(
    () => '',
    (error: Error) => {
      if (!(error instanceof AdminError)) throw error
      return `promptsync: ${error.message}\n`
    },
  )
  return said + failure
}

/** A service with sources whose secrets are under the first key. */
async function startRotated(t: Teardown, ...names: string[]): Promise<Service> {
  const service = await startService(t, withKeys(firstKey))
  await service.call('/projects', { body: { slug: 'synced' } })
  for (const name of names) await putSecret(service, name, hookSecret)
  return service
}

async function putSource({ call }: Service, name: string, body: object): Promise<void> {
  const answer = await call(`/sources/${name}`, { project: 'synced', method: 'PUT', body: { provider: 'inline', ...body } })
  if (answer.status > 201) throw new Error(answer.text)
}

const putSecret = (service: Service, name: string, webhookSecret: string) =>
  putSource(service, name, { config: { files: { 'x.md': 'x' } }, prefix: name, enabled: false, webhookSecret })

async function hookSecretOf(deps: Service['deps']): Promise<unknown> {
  return openSecret(deps, await deps.db.source.findFirstOrThrow({ where: { name: 'hooked' } }), webhookField)
}

const secretsOf = async ({ db }: Service['deps']) =>
  (await db.source.findMany({ orderBy: { name: 'asc' } })).map(({ secrets }) => JSON.stringify(secrets))

t.test('after rotate-keys the new key alone opens every credential, and doing it again changes nothing', async (t) => {
  const service = await startRotated(t, 'hooked', 'other')
  await putSource(service, 'open', { config: { files: { 'x.md': 'x' } }, enabled: false })
  t.match(await rotate(service, secondKey, firstKey), /^Encrypted 2 credentials anew in .*; 0 were by the first key already\.\n$/)
  const after = await secretsOf(service.deps)
  const next = await startService(t, { connection: service.deps.connection, ...withKeys(secondKey) })
  t.equal(await hookSecretOf(next.deps), hookSecret)
  await t.rejects(hookSecretOf(service.deps), { code: 'secrets.unavailable' })
  t.match(await rotate(service, secondKey, firstKey), /^Encrypted 0 credentials anew .*; 2 were/)
  t.strictSame(await secretsOf(service.deps), after)
  const entries = (await next.call('/audit?action=source.rotate', { project: 'synced' })).body.items
  t.match(entries, [
    { actor: 'command line', target: 'other', after: { fields: [webhookField] } },
    { actor: 'command line', target: 'hooked', after: { fields: [webhookField] } },
  ])
  t.equal(entries.length, 2)
})

t.test('a credential whose key is gone is named and stays as it is, while the others are rotated', async (t) => {
  const service = await startRotated(t, 'lost')
  const later = await startService(t, { connection: service.deps.connection, ...withKeys(secondKey) })
  await putSecret(later, 'fine', hookSecret)
  const [, lost] = await secretsOf(service.deps)
  const said = await rotate(service, thirdKey, secondKey)
  t.match(
    said,
    /^"webhookSecret" of source "lost" in project "synced" cannot be decrypted: PROMPTSYNC_ENCRYPTION_KEYS lacks the key/,
  )
  t.match(said, /\nEncrypted 1 credentials anew .*; 0 were .*\npromptsync: 1 credentials could not be decrypted/)
  t.notOk(said.includes(hookSecret))
  t.equal((await secretsOf(service.deps))[1], lost)
  t.match(
    await rotate(service, thirdKey, secondKey, firstKey),
    /Encrypted 1 credentials anew .*; 1 were/,
    'with its key it goes on',
  )
  t.match(await rotate(service), /promptsync: PROMPTSYNC_ENCRYPTION_KEYS is not set/)
})

t.test('a change of settings that comes between wins over rotate-keys', async (t) => {
  const service = await startRotated(t, 'hooked')
  const { db } = service.deps
  const row = await db.source.findFirstOrThrow({ where: { name: 'hooked' } })
  const subject = secretSubject(row, webhookField)
  const newer = service.deps.keyring.encrypt(JSON.stringify('a newer secret of it'), subject)
  let rotating: Promise<string> | undefined
  await db.$transaction(async (tx) => {
    await tx.source.update({ where: { id: row.id }, data: { secrets: { [webhookField]: newer } } })
    rotating = rotate(service, secondKey, firstKey)
  })
  t.match(await rotating, /Encrypted 1 credentials anew/)
  const next = await startService(t, { connection: service.deps.connection, ...withKeys(secondKey) })
  t.equal(await hookSecretOf(next.deps), 'a newer secret of it')
})

t.test('rotate-keys goes on where it was interrupted, over any number of sources', async (t) => {
  const service = await startRotated(t, 'hooked')
  const { db, keyring } = service.deps
  const { id, uid, ...row } = await db.source.findFirstOrThrow({ where: { name: 'hooked' } })
  const many = Array.from({ length: 24 }, (_, index) => {
    const uid = randomUUID()
    const secrets = { [webhookField]: keyring.encrypt(JSON.stringify(index), secretSubject({ uid }, webhookField)) }
    return { ...row, name: `s${index}`, uid, secrets, config: {} }
  })
  await db.source.createMany({ data: many })
  const broken = createKeyring([secondKey, firstKey].map((key) => Buffer.from(key, 'base64')))
  let left = 22
  const encrypt: typeof broken.encrypt = (plain, about) => {
    if (left === 0) throw new Error('The process ends.')
    left -= 1
    return broken.encrypt(plain, about)
  }
  await t.rejects(rotateKeys({ db, keyring: { ...broken, encrypt } }, t.fail), { message: 'The process ends.' })
  t.strictSame(await rotateKeys({ db, keyring: broken }, t.fail), { rotated: 3, current: 22, failed: 0 })
})
