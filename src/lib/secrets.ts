import { createHash, hash, randomBytes } from 'node:crypto'
import { AppError } from '../errors.js'

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** A new key: `ps_` and 32 random bytes in base62, always 43 digits. */
export function createSecret(): string {
  let value = BigInt(`0x${randomBytes(32).toString('hex')}`)
  let digits = ''
  for (let position = 0; position < 43; position += 1) {
    digits = alphabet[Number(value % 62n)] + digits
    value /= 62n
  }
  return `ps_${digits}`
}

/** What is stored of a key. Keys have 256 random bits, so a plain SHA-256 cannot be searched. */
export function hashSecret(secret: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash('sha256').update(secret).digest())
}

/** The same in hex, by which keys are known in memory. */
export function hashHex(secret: string): string {
  return hash('sha256', secret, 'hex')
}

type KeyHeaders = { authorization?: string | undefined; 'x-api-key'?: string | string[] | undefined }

/** The key that was sent, by either header; null without one. Throws `auth.invalid` for another scheme than Bearer. */
export function sentSecret({ authorization, 'x-api-key': apiKey }: KeyHeaders): string | null {
  if (authorization !== undefined) {
    const bearer = /^Bearer +(\S+) *$/i.exec(authorization)?.[1]
    if (bearer) return bearer
    throw new AppError('auth.invalid', 'The Authorization header is not of the form "Bearer ps_…".')
  }
  return typeof apiKey === 'string' && apiKey !== '' ? apiKey : null
}

/** A repository URL without user and password; `stripped` tells whether there was something to hide. Pure. */
export function stripCredentials(url: string): { url: string; stripped: boolean } {
  // URL parsers also take one slash or backslashes after the scheme, and blanks before it.
  const match = /^\s*([a-z][a-z0-9+.-]*:[\\/]+)([^/?#\\]*)@(.*)$/is.exec(url)
  if (!match) return { url, stripped: false }
  const [, scheme = '', userInfo = '', rest = ''] = match
  // `git` in ssh://git@host is a login name, not a secret; what follows a colon always is one.
  const user = /^(git\+)?ssh:/i.test(scheme) && !userInfo.includes(':') ? `${userInfo}@` : ''
  return { url: `${scheme}${user}${rest}`, stripped: user === '' }
}
