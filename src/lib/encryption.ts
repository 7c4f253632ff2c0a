import { createCipheriv, createDecipheriv, createHash, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { AppError } from '../errors.js'

/** A secret as it is stored. The nonce and the ciphertext, which its tag follows, are in base64. */
export type EncryptedSecret = { k: string; n: string; c: string }

/** Encrypts by its first key, and decrypts by each of them, so that keys can be replaced one after the other. */
export type Keyring = {
  /** Whether there is a key at all. */
  canEncrypt: boolean
  /** `about` says whose secret it is, the row and the field: it can be decrypted for that alone. */
  encrypt(plain: string, about: string): EncryptedSecret
  decrypt(secret: EncryptedSecret, about: string): string
  /** Whether it was encrypted by the first key. */
  isCurrent(secret: EncryptedSecret): boolean
}

type NamedKey = { id: string; key: KeyObject }

const algorithm = 'aes-256-gcm'
const nonceBytes = 12
const tagBytes = 16
const keyIdBytes = 8

/** Keys are AES-256, newest first. What it holds of them cannot be read back from it. Pure, but for the nonces it draws. */
export function createKeyring(keys: readonly Buffer[]): Keyring {
  const named = keys.map((key): NamedKey => ({ id: keyId(key), key: createSecretKey(key) }))
  const [current] = named
  return {
    canEncrypt: current !== undefined,
    encrypt(plain, about) {
      if (!current) throw new AppError('secrets.unavailable', `${about} cannot be stored: PROMPTSYNC_ENCRYPTION_KEYS is not set.`)
      return encryptBy(current, plain, about)
    },
    decrypt(secret, about) {
      const used = named.find(({ id }) => id === secret.k)
      if (!used) throw unknownKey(about)
      return decryptBy(used, secret, about)
    },
    isCurrent: ({ k }) => current !== undefined && k === current.id,
  }
}

/** Names a key without telling it: the key is random, so its hash cannot be searched. */
function keyId(key: Buffer): string {
  const digest = createHash('sha256').update('promptsync encryption key id\n').update(key).digest()
  return digest.toString('hex', 0, keyIdBytes)
}

/** Of a fixed length first, so that no two pairs have the same bytes. */
function associatedData(id: string, about: string): Buffer {
  return Buffer.from(`${id}\n${about}`)
}

function encryptBy({ id, key }: NamedKey, plain: string, about: string): EncryptedSecret {
  if (!plain.isWellFormed()) throw new AppError('text.invalid', `${about} holds half of a surrogate pair, which is no character.`)
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
  cipher.setAAD(associatedData(id, about))
  const sealed = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()])
  return { k: id, n: nonce.toString('base64'), c: sealed.toString('base64') }
}

function decryptBy({ id, key }: NamedKey, secret: EncryptedSecret, about: string): string {
  try {
    const sealed = Buffer.from(secret.c, 'base64')
    const decipher = createDecipheriv(algorithm, key, Buffer.from(secret.n, 'base64'), { authTagLength: tagBytes })
    decipher.setAAD(associatedData(id, about))
    decipher.setAuthTag(sealed.subarray(-tagBytes))
    return Buffer.concat([decipher.update(sealed.subarray(0, -tagBytes)), decipher.final()]).toString('utf8')
  } catch (error) {
    throw new AppError(
      'secrets.unavailable',
      `${about} cannot be decrypted: what is stored was damaged, or belongs to something else. Set it anew.`,
      { cause: error },
    )
  }
}

function unknownKey(about: string): AppError {
  return new AppError(
    'secrets.unavailable',
    `${about} cannot be decrypted: PROMPTSYNC_ENCRYPTION_KEYS lacks the key that it was encrypted with. Add that key, or set it anew.`,
  )
}
