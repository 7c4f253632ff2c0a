import { isIP } from 'node:net'
import { isAbsolute, resolve } from 'node:path'
import { z } from 'zod'

const sizeUnits = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 } as const

/** `32mb`, `512kb` or a plain number of bytes, as bytes. */
const Size = z
  .string()
  .regex(/^\d{1,9}(b|kb|mb|gb)?$/i, 'must be a size such as 32mb')
  .transform((text) => {
    const [, digits = '', unit = 'b'] = /^(\d+)([a-z]*)$/i.exec(text) ?? []
    return Number(digits) * sizeUnits[(unit.toLowerCase() || 'b') as keyof typeof sizeUnits]
  })
  .refine((bytes) => bytes >= 1024 && bytes <= 1024 ** 3, 'must be between 1kb and 1gb')

const timeUnits = { ms: 1, s: 1_000, m: 60_000 } as const

/** `5s`, `500ms` or `1m`, as milliseconds. */
const Duration = z
  .string()
  .regex(/^\d{1,6}(ms|s|m)$/, 'must be a time such as 5s or 500ms')
  .transform((text) => {
    const [, digits = '', unit = 'ms'] = /^(\d+)([a-z]+)$/.exec(text) ?? []
    return Number(digits) * timeUnits[unit as keyof typeof timeUnits]
  })
  .refine((ms) => ms >= 100 && ms <= 600_000, 'must be between 100ms and 10m')

/** So many a minute; `off` is no limit. */
const PerMinute = z
  .string()
  .regex(/^(off|\d{1,9})$/, 'must be a number of calls a minute, or off')
  .transform((text) => (text === 'off' ? Number.POSITIVE_INFINITY : Number(text)))
  .refine((calls) => calls >= 1, 'must be at least 1, or off')

const onOff = new Map([
  ...['on', 'true', '1'].map((text) => [text, true] as const),
  ...['off', 'false', '0'].map((text) => [text, false] as const),
])
const addressGroups = ['loopback', 'linklocal', 'uniquelocal']

/** Whose `X-Forwarded-For` is believed: everybody's, nobody's, that of so many hops, or of these addresses only. */
const TrustProxy = z
  .string()
  .transform((text) => onOff.get(text) ?? (/^\d{1,2}$/.test(text) ? Number(text) : listOf(text)))
  .refine(
    (trust) => (Array.isArray(trust) ? trust.length > 0 && trust.every(isTrustable) : trust !== 0),
    `must be on, off, a number of hops from 2 on, or a list of addresses, 10.0.0.0/8 say, and ${addressGroups.join(', ')}`,
  )

function isTrustable(text: string): boolean {
  if (addressGroups.includes(text)) return true
  const [, address = '', prefix] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const bits = { 0: 0, 4: 32, 6: 128 }[isIP(address)] ?? 0
  return bits > 0 && (prefix === undefined || (Number(prefix) >= 1 && Number(prefix) <= bits))
}

/** The origins whose pages may call, exactly as browsers send them; `*` alone means all. */
const Origins = z
  .string()
  .transform(listOf)
  .refine(
    (origins) => origins.length > 0 && (origins.every(isOrigin) || (origins.length === 1 && origins[0] === '*')),
    'must be * or a list of origins such as https://app.example.com: scheme, host in lower case, port unless it is the usual one, nothing else',
  )

function isOrigin(text: string): boolean {
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@*\\]+$/.test(text) || !URL.canParse(text)) return false
  const { protocol, origin } = new URL(text)
  // Of other schemes, those of browser extensions say, the host stays as it is.
  return ['http:', 'https:'].includes(protocol) ? origin === text : true
}

/** The parts of a comma-separated list; a stray comma is none of them. */
function listOf(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}

const keyBytes = 32
const mostKeys = 16

/** Keys of AES-256, in either alphabet of base64, with its padding or without. */
const EncryptionKeys = z
  .string()
  .transform(listOf)
  .refine(
    (keys) => keys.length > 0 && keys.every(isEncryptionKey),
    `must be base64 of ${keyBytes} random bytes, \`openssl rand -base64 ${keyBytes}\` say, or a comma-separated list of such keys, newest first`,
  )
  .refine((keys) => keys.length <= mostKeys, `must hold at most ${mostKeys} keys`)
  .transform((keys) => keys.map((key) => Buffer.from(key, 'base64')))
  .refine((keys) => new Set(keys.map((key) => key.toString('hex'))).size === keys.length, 'must not hold a key twice')

function isEncryptionKey(text: string): boolean {
  if (!/^([A-Za-z0-9+/]{43}|[A-Za-z0-9_-]{43})=?$/.test(text)) return false
  // Bits behind the last byte are a sign of a key that was cut or mistyped.
  return Buffer.from(text, 'base64').toString('base64url') === text.replace('=', '').replaceAll('+', '-').replaceAll('/', '_')
}

/** Names and addresses, each perhaps with a port. */
const AllowedHosts = z
  .string()
  .transform(listOf)
  .refine(
    (entries) => entries.length > 0 && entries.every(isHostEntry),
    'must be a comma-separated list of hosts such as git.internal, 10.0.0.5:8080 or [fd00::5]:8080, without a scheme or a path',
  )

function isHostEntry(text: string): boolean {
  if (isIP(text) === 6) return !text.includes('%')
  const [, address, host = '', port] = /^(?:\[([^\]%]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text) ?? []
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return false
  return address === undefined ? isHostName(host) : isIP(address) === 6
}

/** A name that ends in a number would be taken for an address. */
function isHostName(text: string): boolean {
  const isName = text.length <= 253 && /^(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})*\.?$/i.test(text)
  return isIP(text) === 4 || (isName && !/(^|\.)(\d+|0x[0-9a-f]*)\.?$/i.test(text))
}

const FileRoots = z
  .string()
  .transform(listOf)
  .refine(
    (roots) => roots.length > 0 && roots.every((root) => isAbsolute(root)),
    'must be a comma-separated list of absolute directories',
  )
  .transform((roots) => roots.map((root) => resolve(root)))

const PostgresUrl = z
  .string()
  .regex(/^postgres(ql)?:\/\/\S+$/, 'must be a postgres:// URL')
  .refine((url) => URL.canParse(url), 'must be a postgres:// URL')

/** One address, or several of one Cluster. */
const RedisUrl = z
  .string()
  .transform(listOf)
  .refine(
    (urls) => urls.length > 0 && urls.every((url) => /^rediss?:\/\/\S+$/.test(url) && URL.canParse(url)),
    'must be a redis:// or rediss:// URL, or a comma-separated list of those of a Cluster',
  )

const Environment = z.object({
  HOST: z.string().min(1).default('127.0.0.1'),
  PORT: z
    .string()
    .regex(/^\d{1,5}$/, 'must be a port number')
    .transform(Number)
    .refine((port) => port <= 65_535, 'must be at most 65535')
    .default(3000),
  DATABASE_URL: PostgresUrl.optional(),
  PROMPTSYNC_DATA_DIR: z.string().min(1).default('.promptsync'),
  PROMPTSYNC_ADMIN_KEY: z
    .string()
    .min(32, 'must have at least 32 characters')
    .max(512, 'must have at most 512 characters')
    .regex(/^[\x21-\x7e]*$/, 'must be printable ASCII without spaces')
    .optional(),
  PROMPTSYNC_BODY_LIMIT: Size.default(32 * 1024 ** 2),
  REDIS_URL: RedisUrl.optional(),
  PROMPTSYNC_CACHE_BYTES: Size.refine((bytes) => bytes >= 1024 ** 2, 'must be at least 1mb').default(128 * 1024 ** 2),
  PROMPTSYNC_MAX_STALENESS: Duration.default(5_000),
  PROMPTSYNC_READ_LIMIT: PerMinute.default(1_000_000),
  PROMPTSYNC_WRITE_LIMIT: PerMinute.default(6_000),
  PROMPTSYNC_TRUST_PROXY: TrustProxy.default(false),
  PROMPTSYNC_CORS_ORIGINS: Origins.default([]),
  PROMPTSYNC_ENCRYPTION_KEYS: EncryptionKeys.default([]),
  PROMPTSYNC_ALLOWED_HOSTS: AllowedHosts.default([]),
  PROMPTSYNC_FILE_ROOTS: FileRoots.default([]),
  PROMPTSYNC_SYNC: z.enum(['on', 'off']).default('on'),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
})

/** What the process was told. Secrets are here and nowhere else; none has a default. */
export type Config = Readonly<{
  host: string
  port: number
  databaseUrl: string | undefined
  dataDirectory: string
  adminKey: string | undefined
  bodyLimitBytes: number
  /** Empty means that there is none; several are nodes of one Cluster. */
  redisUrls: string[]
  /** What is kept in memory of prompts, in bytes. */
  cacheBytes: number
  /** The longest an answer may be what another instance has replaced, without saying so. */
  maxStalenessMs: number
  /** Calls a minute that one key, or one address without a key, may make on this instance; infinite is no limit. */
  readLimitPerMinute: number
  /** The same for writes, over all instances where they share a Redis. */
  writeLimitPerMinute: number
  /** True trusts every proxy, a number that many hops, a list those addresses. */
  trustProxy: boolean | number | string[]
  /** Empty means that no page of another origin may call; `*` that all may. */
  corsOrigins: string[]
  /** Keys that the secrets of sources are encrypted with, newest first; without one such secrets are refused. */
  encryptionKeys: Buffer[]
  /** `host` or `host:port`: private places that may be reached all the same. */
  allowedHosts: string[]
  /** Absolute directories that sources may read files from. */
  fileRoots: string[]
  /** Whether this instance looks after sources by itself; when it is asked to sync one it always does. */
  syncsInBackground: boolean
  logLevel: z.infer<typeof Environment>['LOG_LEVEL']
}>

/** One or more variables are wrong; `message` has a line for each, naming it and never its value. */
export class ConfigError extends Error {}

/** Reads the configuration. An empty variable counts as unset. Throws `ConfigError`. */
export function loadConfig(env: Record<string, string | undefined>): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''))
  const parsed = Environment.safeParse(given)
  if (!parsed.success) {
    throw new ConfigError(parsed.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`).join('\n'))
  }
  const values = parsed.data
  return Object.freeze({
    host: values.HOST,
    port: values.PORT,
    databaseUrl: values.DATABASE_URL,
    dataDirectory: values.PROMPTSYNC_DATA_DIR,
    adminKey: values.PROMPTSYNC_ADMIN_KEY,
    bodyLimitBytes: values.PROMPTSYNC_BODY_LIMIT,
    redisUrls: values.REDIS_URL ?? [],
    cacheBytes: values.PROMPTSYNC_CACHE_BYTES,
    maxStalenessMs: values.PROMPTSYNC_MAX_STALENESS,
    readLimitPerMinute: values.PROMPTSYNC_READ_LIMIT,
    writeLimitPerMinute: values.PROMPTSYNC_WRITE_LIMIT,
    trustProxy: values.PROMPTSYNC_TRUST_PROXY,
    corsOrigins: values.PROMPTSYNC_CORS_ORIGINS,
    encryptionKeys: values.PROMPTSYNC_ENCRYPTION_KEYS,
    allowedHosts: values.PROMPTSYNC_ALLOWED_HOSTS,
    fileRoots: values.PROMPTSYNC_FILE_ROOTS,
    syncsInBackground: values.PROMPTSYNC_SYNC === 'on',
    logLevel: values.LOG_LEVEL,
  })
}
