import { isIP } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import { AppError } from '../errors.js'

const tlsModes = ['disable', 'require', 'verify-ca', 'verify-full'] as const
export type TlsMode = (typeof tlsModes)[number]

/** What a URL says of where to go. `tls` is null where it says nothing of it. */
export type DatabasePlace = {
  host: string
  port: number
  database: string
  user: string
  password: string
  tls: TlsMode | null
}

const defaultPort = 5432

/** Reads a URL of Postgres. A string is what is wrong with it, without any part of it. Pure. */
export function parseDatabaseUrl(text: string): DatabasePlace | string {
  if (!/^postgres(ql)?:\/\/[^\s\\]+$/.test(text) || !URL.canParse(text))
    return 'Give postgres://user:password@host:5432/database.'
  const { hostname, port, pathname, searchParams, username, password, hash } = new URL(text)
  const parts = [username, password, pathname.slice(1)].map(decode)
  const [user, word, database] = parts
  if (user === undefined || word === undefined || database === undefined) return 'Encode "%" as %25: what follows one is wrong.'
  if (user === '' || database === '') return 'Name the user and the database: postgres://user:password@host:5432/database.'
  if (parts.some((part) => part?.includes('\0'))) return 'Leave out the NUL character.'
  const host = hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) === 0 && !/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(host)) return 'Name one host, or its address.'
  if (port === '0') return 'Give the port that is meant.'
  if (hash !== '' || [...searchParams.keys()].some((name) => name !== 'sslmode')) {
    return 'Leave out all parameters but `sslmode`; write "#" in a password as %23.'
  }
  const tls = findMode(searchParams.getAll('sslmode'))
  if (tls === undefined) return `Give \`sslmode\` once, as one of ${tlsModes.join(', ')}.`
  return { host, port: port === '' ? defaultPort : Number(port), database, user, password: word, tls }
}

function findMode(given: string[]): TlsMode | null | undefined {
  const [first] = given
  if (first === undefined) return null
  return given.length === 1 ? tlsModes.find((mode) => mode === first) : undefined
}

/** Undefined for what is no percent-encoding of UTF-8. */
function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch (error) {
    if (error instanceof URIError) return undefined
    throw error
  }
}

/**
 * Where the host is allowed, as `sslmode` says and libpq does. Anywhere else the certificate is always checked, and the name in
 * it: the way there leads through networks of others. False is no TLS. Pure.
 */
export function tlsOptions(
  place: DatabasePlace,
  { authority, isAllowed }: { authority: string | undefined; isAllowed: boolean },
): ConnectionOptions | false {
  const trusted = authority === undefined ? {} : { ca: authority }
  if (isAllowed && (place.tls ?? 'disable') === 'disable') return false
  if (place.tls === 'disable') {
    throw new AppError(
      'source.blocked',
      `The database ${nameOfPlace(place)} is not to be read without TLS. Give \`sslmode=verify-full\`, or have the host added to \`PROMPTSYNC_ALLOWED_HOSTS\`.`,
    )
  }
  if (!isAllowed || place.tls === 'verify-full') return trusted
  const isVerified = place.tls === 'verify-ca' || authority !== undefined
  return isVerified ? { ...trusted, checkServerIdentity: () => undefined } : { rejectUnauthorized: false }
}

/** As errors and logs name it: without user and password. */
export function nameOfPlace({ host, port, database }: DatabasePlace): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}/${database}`
}
