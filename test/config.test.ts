import t from 'tap'
import { ConfigError, loadConfig } from '../src/config.js'

const adminKey = `ps_test_${'k'.repeat(40)}`

function errorOf(env: Record<string, string | undefined>): ConfigError {
  try {
    loadConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error(`This was accepted: ${JSON.stringify(env)}`)
}

const defaults = {
  host: '127.0.0.1',
  port: 3000,
  databaseUrl: undefined,
  dataDirectory: '.promptsync',
  adminKey: undefined,
  bodyLimitBytes: 32 * 1024 * 1024,
  redisUrls: [],
  cacheBytes: 128 * 1024 * 1024,
  maxStalenessMs: 5_000,
  readLimitPerMinute: 1_000_000,
  writeLimitPerMinute: 6_000,
  trustProxy: false,
  corsOrigins: [],
  encryptionKeys: [],
  allowedHosts: [],
  fileRoots: [],
  syncsInBackground: true,
  logLevel: 'info',
}

/** Three keys of AES-256; the bytes of the first two differ between the alphabets of base64. */
const encryptionKeys = [Buffer.alloc(32, 0xff), Buffer.alloc(32, 0xfb), Buffer.from('k'.repeat(32))] as const
const [firstKey, secondKey, thirdKey] = encryptionKeys

/** Values that are wrong, with a mark that an error must not repeat. */
const wrong: Record<string, string[]> = {
  PORT: ['s3cret', '-1', '65536', '99999', '3000s3cret', '3000.5', '0x10', ' 3000', '1e3', '٣٠٠٠'],
  DATABASE_URL: [
    'mysql://root:s3cret@host/db',
    's3cret',
    'postgres://root:s3cret@host:notaport/db',
    'postgres://root:s3cret@[/db',
    'postgres://root:s3cret@host:99999/db',
    'postgres://root:s3cret @host/db',
    'postgres:s3cret',
    'xpostgres://root:s3cret@host/db',
  ],
  PROMPTSYNC_ADMIN_KEY: [
    's3cret',
    `s3cret${'k'.repeat(25)}`,
    `s3cret ${'k'.repeat(40)}`,
    `s3cret${'é'.repeat(40)}`,
    `s3cret\n${'k'.repeat(40)}`,
    's3cret'.repeat(100),
  ],
  PROMPTSYNC_BODY_LIMIT: ['s3cret', '32 mb', '32mib', '-1', '0', '1', '1023', '2gb', '1.5mb', '99999999999', '999999999gb', 'mb'],
  REDIS_URL: ['localhost:6379', 'http://redis', 'redis://', ',', 'redis://a,b', 'redis://a b'],
  PROMPTSYNC_CACHE_BYTES: ['0', '1kb', '1023kb', '2gb', '128 mb', 'much'],
  PROMPTSYNC_MAX_STALENESS: ['5', '0s', '99ms', '11m', '1h', '-5s', '5 s', '1.5s'],
  PROMPTSYNC_READ_LIMIT: ['0', '-1', 'on', '1.5', '10/s', '1000000000000'],
  PROMPTSYNC_WRITE_LIMIT: ['0', '-1', 'on', '1.5', '10/s', '1000000000000'],
  PROMPTSYNC_TRUST_PROXY: [
    ...[
      's3cret',
      'yes',
      'ON!',
      'constructor',
      '-1',
      '00',
      '100',
      '2.5',
      ',',
      'proxy.s3cret',
      'on,10.0.0.1',
      '2,10.0.0.1',
      'loopback,s3cret',
    ],
    ...[
      '10.0.0.256',
      '10.0.0.0/33',
      '10.0.0.0/0',
      '10.0.0.0/',
      '10.0.0.0/8/8',
      '::1/129',
      'fe80::1%s3cret',
      '10.0.0.0/255.0.0.0',
    ],
  ],
  PROMPTSYNC_CORS_ORIGINS: [
    ...[
      's3cret',
      ',',
      'null',
      '*,https://s3cret',
      '*.s3cret',
      'https://*.s3cret',
      'https://',
      'https://s3cret/',
      'https://S3cret',
    ],
    ...[
      'https://s3cret:443',
      'http://s3cret:80',
      'https://s3cret:99999',
      'https://u:s3cret@host',
      'https://s3cret?a',
      'https://s3cret#a',
    ],
    ...['//s3cret', 'https:s3cret', 'HTTPS://s3cret', 'https://a https://s3cret', 'https://a,s3cret', 'https://s3crét'],
  ],
  PROMPTSYNC_ENCRYPTION_KEYS: [
    ...['s3cret', ',', 's3cret'.repeat(8), 's3cret'.padEnd(43, 'l'), Buffer.from('s3cret').toString('base64')],
    ...[`${'s3cret'.padEnd(43, 'A')}==`, `s3cret+_${'A'.repeat(35)}=`, `${thirdKey.toString('base64')},s3cret`],
    ...[`${thirdKey.toString('base64')} s3cret`, Buffer.from('s3cret'.padEnd(31, 'k')).toString('base64'), 's3crét'.repeat(7)],
    ...[Buffer.from('s3cret'.padEnd(33, 'k')).toString('base64'), Buffer.from('s3cret'.padEnd(32, 'k')).toString('hex')],
    ...[`${firstKey.toString('base64')},${firstKey.toString('base64url')}`],
    Array.from({ length: 17 }, (_, index) => Buffer.alloc(32, index).toString('base64')).join(','),
  ],
  PROMPTSYNC_ALLOWED_HOSTS: [
    ...[',', 'https://s3cret', 's3cret/', 's3cret:', 's3cret:0', 's3cret:65536', 's3cret:80:80', 'u@s3cret', 's3cret host', '*'],
    ...['*.s3cret', '10.0.0.0/8', '10.0.0.256', '127.1', '0x7f.1', '1.2.3.4.5', '2130706433', '[s3cret]:80', '[::1', '::1]:80'],
    ...[
      '[10.0.0.1]:80',
      'fe80::1%s3cret',
      '[fe80::1%25s3cret]:80',
      '-s3cret',
      's3cret..host',
      's3crét',
      'good.host,https://s3cret',
    ],
  ],
  PROMPTSYNC_FILE_ROOTS: [',', 's3cret', './s3cret', '../s3cret', '~/s3cret', '/srv,s3cret'],
  PROMPTSYNC_SYNC: ['s3cret', 'ON', 'yes', '1', 'true'],
  LOG_LEVEL: ['s3cret', 'verbose', 'INFO ', '30'],
}

t.test('without variables every setting has its default, and no secret has one', async (t) => {
  t.same(loadConfig({}), defaults)
})

t.test('an empty or undefined variable counts as unset', async (t) => {
  const names = ['HOST', 'PORT', 'PROMPTSYNC_DATA_DIR', ...Object.keys(wrong)]
  t.same(loadConfig(Object.fromEntries(names.map((name) => [name, '']))), defaults)
  t.same(loadConfig(Object.fromEntries(names.map((name) => [name, undefined]))), defaults)
})

t.test('variables of others are of no concern', async (t) => {
  t.same(loadConfig({ PATH: '/bin', REDIS_PORT: 'x', NODE_ENV: 'production', PROMPTSYNC: 'x' }), defaults)
})

t.test('every variable is read', async (t) => {
  const config = loadConfig({
    HOST: '::',
    PORT: '8080',
    DATABASE_URL: 'postgres://user:p%40ss@db.example:5433/prompts?sslmode=require',
    PROMPTSYNC_DATA_DIR: '/var/lib/promptsync',
    PROMPTSYNC_ADMIN_KEY: adminKey,
    PROMPTSYNC_BODY_LIMIT: '64mb',
    REDIS_URL: 'redis://one:6379, rediss://user:word@two:6380/1',
    PROMPTSYNC_CACHE_BYTES: '1mb',
    PROMPTSYNC_MAX_STALENESS: '500ms',
    PROMPTSYNC_READ_LIMIT: 'off',
    PROMPTSYNC_WRITE_LIMIT: '60',
    PROMPTSYNC_TRUST_PROXY: 'on',
    PROMPTSYNC_CORS_ORIGINS: 'https://app.example.com',
    PROMPTSYNC_ENCRYPTION_KEYS: firstKey.toString('base64'),
    PROMPTSYNC_ALLOWED_HOSTS: 'git.internal:8443',
    PROMPTSYNC_FILE_ROOTS: '/srv/prompts',
    PROMPTSYNC_SYNC: 'off',
    LOG_LEVEL: 'debug',
  })
  t.same(config, {
    host: '::',
    port: 8080,
    databaseUrl: 'postgres://user:p%40ss@db.example:5433/prompts?sslmode=require',
    dataDirectory: '/var/lib/promptsync',
    adminKey,
    bodyLimitBytes: 64 * 1024 * 1024,
    redisUrls: ['redis://one:6379', 'rediss://user:word@two:6380/1'],
    cacheBytes: 1024 * 1024,
    maxStalenessMs: 500,
    readLimitPerMinute: Number.POSITIVE_INFINITY,
    writeLimitPerMinute: 60,
    trustProxy: true,
    corsOrigins: ['https://app.example.com'],
    encryptionKeys: [firstKey],
    allowedHosts: ['git.internal:8443'],
    fileRoots: ['/srv/prompts'],
    syncsInBackground: false,
    logLevel: 'debug',
  })
})

t.test('a size is a number of bytes or has a unit, in any case', async (t) => {
  const sizes = {
    '1024': 1024,
    '2048b': 2048,
    '1kb': 1024,
    '512KB': 512 * 1024,
    '1mb': 1024 ** 2,
    '32Mb': 32 * 1024 ** 2,
    '1gb': 1024 ** 3,
  }
  for (const [text, bytes] of Object.entries(sizes))
    t.equal(loadConfig({ PROMPTSYNC_BODY_LIMIT: text }).bodyLimitBytes, bytes, text)
})

t.test('proxies are trusted always, never, by number or by address; 1 means always, as it always has', async (t) => {
  const cases: [text: string, trust: unknown][] = [
    ...['on', 'true', '1'].map((text): [string, unknown] => [text, true]),
    ...['off', 'false', '0'].map((text): [string, unknown] => [text, false]),
    ['2', 2],
    ['99', 99],
    ['10.0.0.1', ['10.0.0.1']],
    ['10.0.0.0/8, ::1,fd00::/8 ,', ['10.0.0.0/8', '::1', 'fd00::/8']],
    ['loopback,linklocal,uniquelocal', ['loopback', 'linklocal', 'uniquelocal']],
  ]
  for (const [text, trust] of cases) t.same(loadConfig({ PROMPTSYNC_TRUST_PROXY: text }).trustProxy, trust, text)
})

t.test('origins are as browsers send them, or a star for all', async (t) => {
  const origins = [
    'https://app.example.com',
    'http://localhost:5173',
    'http://[::1]:8080',
    'chrome-extension://abcdef',
    'http://127.0.0.1',
  ]
  for (const origin of origins) t.same(loadConfig({ PROMPTSYNC_CORS_ORIGINS: origin }).corsOrigins, [origin])
  t.same(loadConfig({ PROMPTSYNC_CORS_ORIGINS: ` ${origins.join(' , ')},` }).corsOrigins, origins)
  t.same(loadConfig({ PROMPTSYNC_CORS_ORIGINS: '*' }).corsOrigins, ['*'])
})

t.test('encryption keys are read in their order, in both alphabets of base64, with padding or without', async (t) => {
  const texts = [firstKey.toString('base64'), secondKey.toString('base64url'), thirdKey.toString('base64').replace('=', '')]
  t.match(texts[0], /\//, 'the alphabets differ here')
  t.same(loadConfig({ PROMPTSYNC_ENCRYPTION_KEYS: ` ${texts.join(' , ')},` }).encryptionKeys, encryptionKeys)
  const padded = `${thirdKey.toString('base64url')}=`
  t.same(loadConfig({ PROMPTSYNC_ENCRYPTION_KEYS: padded }).encryptionKeys, [thirdKey])
})

t.test('allowed hosts are names and addresses, each perhaps with a port', async (t) => {
  const hosts = [
    ...['localhost', 'git.internal', 'Git.Internal:8443', 'my_service', 'host.', '10.0.0.5', '10.0.0.5:65535'],
    ...['::1', 'fd00::5', '[::1]', '[fd00::5]:1', '::ffff:10.0.0.5', '1password.internal', 'a.b2'],
  ]
  for (const host of hosts) t.same(loadConfig({ PROMPTSYNC_ALLOWED_HOSTS: host }).allowedHosts, [host])
  t.same(loadConfig({ PROMPTSYNC_ALLOWED_HOSTS: ` ${hosts.join(' , ')},` }).allowedHosts, hosts)
})

t.test('directories of files are absolute, and written one way', async (t) => {
  const roots = loadConfig({ PROMPTSYNC_FILE_ROOTS: ' /srv/prompts/ , /srv/a b,/srv/x/../y,' }).fileRoots
  t.same(roots, ['/srv/prompts', '/srv/a b', '/srv/y'])
})

t.test('an instance syncs in the background unless it is told not to', async (t) => {
  t.equal(loadConfig({ PROMPTSYNC_SYNC: 'on' }).syncsInBackground, true)
  t.equal(loadConfig({ PROMPTSYNC_SYNC: 'off' }).syncsInBackground, false)
})

t.test('any port, either scheme of Postgres and any log level are accepted', async (t) => {
  t.equal(loadConfig({ PORT: '0' }).port, 0)
  t.equal(loadConfig({ PORT: '65535' }).port, 65_535)
  for (const url of [
    'postgresql://db/prompts',
    'postgres:///prompts',
    'postgres://u@%2Fvar%2Frun%2Fpostgresql/prompts',
    'postgres://[::1]:5432/prompts',
  ]) {
    t.equal(loadConfig({ DATABASE_URL: url }).databaseUrl, url)
  }
  for (const level of ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    t.equal(loadConfig({ LOG_LEVEL: level }).logLevel, level)
})

t.test('an admin key has 32 to 512 characters', async (t) => {
  for (const length of [32, 512]) t.equal(loadConfig({ PROMPTSYNC_ADMIN_KEY: 'k'.repeat(length) }).adminKey?.length, length)
  for (const length of [1, 31, 513])
    t.match(errorOf({ PROMPTSYNC_ADMIN_KEY: 'k'.repeat(length) }).message, /^PROMPTSYNC_ADMIN_KEY /)
})

t.test('an error names its variable and never the value', async (t) => {
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const error = errorOf({ [name]: value })
      t.ok(
        error.message.split('\n').every((line) => line.startsWith(`${name} `)),
        `${name}=${value}: ${error.message}`,
      )
      t.notMatch(`${error.message}${error.stack}${JSON.stringify(error)}`, /s3cret/, `${name}=${value}`)
      t.equal(error.cause, undefined)
    }
  }
})

t.test('all wrong variables are named at once, one a line', async (t) => {
  const lines = errorOf({ PORT: 'x', LOG_LEVEL: 'x', PROMPTSYNC_BODY_LIMIT: 'x', HOST: '0.0.0.0' }).message.split('\n')
  t.same(lines.map((line) => line.split(' ')[0]).sort(), ['LOG_LEVEL', 'PORT', 'PROMPTSYNC_BODY_LIMIT'])
})

t.test('a configuration cannot be changed', async (t) => {
  const config = loadConfig({ PROMPTSYNC_ADMIN_KEY: adminKey }) as Record<string, unknown>
  t.ok(Object.isFrozen(config))
  t.throws(() => {
    config.port = 1
  }, TypeError)
  t.throws(() => {
    config.added = 1
  }, TypeError)
  t.equal(config.port, 3000)
})
