import { execFile } from 'node:child_process'
import { randomInt, randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect, promisify } from 'node:util'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { AppError } from '../../src/errors.js'
import { createAllowedHosts, noAllowedHosts } from '../../src/lib/allowed-hosts.js'
import { database } from '../../src/providers/database.js'
import { tlsOptions } from '../../src/providers/database-url.js'
import type { Listing, ProviderContext } from '../../src/providers/provider.js'
import { runs } from '../helpers/runs.js'
import { until } from '../helpers/until.js'
import { type Peer, providerConforms } from './conformance.js'
import { providerContext } from './helpers/context.js'
import {
  answerBy,
  askForPassword,
  authenticated,
  type Behaviour,
  errorResponse,
  type Gate,
  isPostgres,
  message,
  openGate,
  openPostgres,
  passOverTls,
  passTo,
  ready,
  stall,
  wellFormed,
} from './helpers/postgres-peer.js'

type Config = Parameters<typeof database.target>[0]
type FullListing = Extract<Listing, { unchanged: false }>

const postgres = await openPostgres(t)
const word = postgres.password

/** The password is the one that the server of the suite asks for, if it asks. */
function urlOf(port: number, { user = postgres.user, password = word, search = '', host = '127.0.0.1' } = {}): string {
  return `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${host}:${port}/${postgres.database}${search}`
}

const aFile = "SELECT 'a.md' AS path, 'One.' AS content"

function configOf(url: string, query = aFile, more: object = {}): Config {
  return database.config.parse({ url, query, ...more })
}

async function refusal(work: Promise<unknown>): Promise<AppError> {
  try {
    await work
  } catch (error) {
    if (error instanceof AppError) return error
    throw error
  }
  throw new Error('This was accepted.')
}

/** A table of its own for each peer, and a door before the server. */
async function makePeer(t: Test): Promise<Peer & { gate: Gate; table: string }> {
  const schema = `source_${randomUUID().replaceAll('-', '')}`
  const table = `${schema}.files`
  await postgres.run(`CREATE SCHEMA ${schema}`)
  await postgres.run(`CREATE TABLE ${table} (path text, content bytea)`)
  t.teardown(() => postgres.run(`DROP SCHEMA ${schema} CASCADE`))
  const gate = await openGate(t, passTo(postgres))
  const query = `SELECT path, content FROM ${table} -- as they lie there;`
  return {
    gate,
    table,
    config: { url: urlOf(gate.port), query },
    secrets: [word],
    wrongCredentials: { url: urlOf(gate.port, { user: 'nobody' }), query },
    write: async (files) => {
      await postgres.run(`DELETE FROM ${table}`)
      for (const [path, content] of Object.entries(files))
        await postgres.run(`INSERT INTO ${table} VALUES ($1, $2)`, [path, Buffer.from(content as string)])
    },
    breakDown: async (kind) => (kind === 'away' ? gate.close() : gate.behave(stall)),
    restore: async () => {
      gate.behave(passTo(postgres))
      await gate.open()
    },
    echoSecrets: async () => gate.behave(echo('XX000')),
  }
}

/** Asks for the password in the clear, and says it back in all ways. */
function echo(state: string): Behaviour {
  return answerBy((frame, index) => {
    if (index === 0) return askForPassword
    const sent = frame.toString('utf8', 5, frame.length - 1)
    const text = `You sent ${sent}, ${encodeURIComponent(sent)}, ${Buffer.from(sent).toString('base64')}.`
    return errorResponse(state, text, 'FATAL')
  })
}

/** Lets everybody in, and answers the queries with what it is given, one after the other. */
function admit(...answers: Buffer[]): Behaviour {
  return answerBy((frame, index) => {
    if (index === 0) return Buffer.concat([authenticated, ready])
    const isAsked = ['Q', 'S'].includes(String.fromCharCode(frame[0] ?? 0))
    return isAsked ? (answers.shift() ?? null) : null
  })
}

const done = Buffer.concat([message('C', 'OK\0'), ready])

t.test('conformance', async (t) => providerConforms(t, { provider: database, makePeer }))

t.test('a URL that cannot be used as it is is refused, without repeating a part of it', async (t) => {
  const wrong = [
    ...['', 's3cret', 'mysql://u:s3cret@h/d', 'postgres:u:s3cret@h/d', 'postgres://u:s3cret@h', 'postgres://u:s3cret@h/'],
    ...['postgres://:s3cret@h/d', 'postgres://h/d', 'postgres:///d', 'postgres://u:s3cret@/d', 'postgres://u:s3cret@h:0/d'],
    ...[
      'postgres://u:s3cret@h:99999/d',
      'postgres://u:s3cret@h1,h2/d',
      'postgres://u:s3cret@%2Fvar%2Frun/d',
      'postgres://u:s3cret@h/d e',
    ],
    ...['postgres://u:s3cret%zz@h/d', 'postgres://u:s3cret%00@h/d', 'postgres://u:s3cret@h/d#s3cret', 'postgres://u:s3cret#@h/d'],
    ...[
      'postgres://u:s3cret@h/d?host=127.0.0.1',
      'postgres://u@h/d?password=s3cret',
      'postgres://u:s3cret@h/d?sslrootcert=/etc/passwd',
    ],
    ...['postgres://u:s3cret@h/d?sslmode=s3cret', 'postgres://u:s3cret@h/d?sslmode=prefer', 'postgres://u:s3cret@h/d?sslmode='],
    ...['postgres://u:s3cret@h/d?sslmode=require&sslmode=disable', `postgres://u:s3cret@h/${'d'.repeat(2_000)}`],
  ]
  for (const url of wrong) {
    const { error } = database.config.safeParse({ url, query: aFile })
    t.match(error?.issues[0], { path: ['url'] }, url)
    t.notMatch(inspect(error?.issues.map(({ message }) => message)), /s3cret|passwd/, url)
  }
})

t.test('the target is the host, the port and the database, and nothing else', async (t) => {
  const targets: [url: string, target: string][] = [
    ['postgres://user:word@db.example/prompts', 'db.example:5432/prompts'],
    ['postgresql://user:word@DB.example:6543/prompts?sslmode=require', 'DB.example:6543/prompts'],
    ['postgres://user@[2001:db8::1]:6543/a%20b', '[2001:db8::1]:6543/a b'],
  ]
  for (const [url, target] of targets) t.equal(database.target(configOf(url)), target)
  t.ok(database.needsGlobalAdmin)
})

t.test('a place that is not public is not connected to unless it is allowed', async (t) => {
  const gate = await openGate(t, stall)
  const port = String(gate.port)
  const hosts = ['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '[64:ff9b::7f00:1]', '127.1', '2130706433', '0.0.0.0']
  for (const host of [...hosts, '169.254.169.254', '10.0.0.1']) {
    const context = await providerContext(t, { allowedHosts: noAllowedHosts })
    const config = configOf(urlOf(gate.port, { host, search: '?sslmode=verify-full' }))
    for (const call of [() => database.check(config, context), () => database.list(config, null, context)]) {
      const error = await refusal(call())
      t.match(error, { code: 'source.blocked', message: /PROMPTSYNC_ALLOWED_HOSTS/ }, host)
      t.notOk(error.message.includes(word))
    }
  }
  const otherPort = createAllowedHosts([`127.0.0.1:${Number(port) - 1}`, 'other.internal'])
  const context = await providerContext(t, { allowedHosts: otherPort })
  t.match(await refusal(database.check(configOf(urlOf(gate.port)), context)), { code: 'source.blocked' })
  t.equal(gate.connections(), 0)
})

t.test('a host that is not allowed is never asked without TLS', async (t) => {
  const context = await providerContext(t, { allowedHosts: noAllowedHosts })
  const config = configOf(urlOf(5432, { host: '192.0.2.1', search: '?sslmode=disable' }))
  t.match(await refusal(database.check(config, context)), { code: 'source.blocked', message: /sslmode=verify-full/ })
})

/** What is wrong with a query, and how that is told. */
const wrongQueries: [query: string, told: RegExp, finding?: object][] = [
  ['SELECT path,\n content FORM files', /syntax error/, { path: 'query', line: 2, column: 15 }],
  ["SELECT '客服🔑' AS path, nothing FROM nowhere", /"nowhere" does not exist/, { path: 'query', line: 1, column: 36 }],
  ["SELECT 'a' AS path; SELECT 'b' AS path", /multiple commands/],
  ["SELECT 'a' AS path, 'b' AS content; COMMIT", /multiple commands/],
  ["INSERT INTO files VALUES ('a', 'b') RETURNING path, content", /"INSERT"/, { line: 1, column: 1 }],
  ['WITH made AS (DELETE FROM files RETURNING path, content) SELECT * FROM made', /data-modifying|does not exist/],
  ["COPY (SELECT 1) TO PROGRAM 'true'", /"COPY"/],
  ['DO $$ BEGIN COMMIT; END $$', /"DO"/],
  ['COMMIT', /"COMMIT"/],
  ['SELECT path, content INTO made FROM files', /INTO/],
  ["SELECT set_config('transaction_read_only', 'off', true) AS path, 'b' AS content", /before any query/],
  ['SELECT $1::text AS path, $2::text AS content', /without parameters/],
  ["SELECT (1 / 0)::text AS path, 'b' AS content", /division by zero/],
  ['-- nothing', /end of input/],
  ['SELECT', /gives no columns\. It must give two columns: "path" \(text\) and "content" \(text or bytea\)/],
  ["SELECT 'a' AS path", /gives "path" \(text\)\./],
  ["SELECT 'a' AS path, 'b' AS content, 1 AS more", /gives "path" \(text\), "content" \(text\), "more" \(integer\)/],
  ["SELECT 'a' AS path, 'b' AS path", /gives "path" \(text\), "path" \(text\)/],
  ["SELECT 1 AS path, 'b' AS content", /gives "path" \(integer\)/],
  ["SELECT 'a' AS path, '{}'::jsonb AS content", /"content" \(jsonb\)/],
  ["SELECT NULL::text AS path, 'b' AS content", /no path: it is NULL/],
  ["SELECT 'a.md' AS path, NULL::bytea AS content", /"a\.md" has no content: it is NULL/],
  ["SELECT 'a.md' AS path, '' AS content FROM generate_series(1, 2)", /"a\.md" twice/],
  ...['/a.md', '../a.md', 'a/../b.md', './a.md', 'a//b.md', 'a/', '', 'a\\b.md', 'a'.repeat(1_001)].map(
    (path): [string, RegExp] => [`SELECT '${path}' AS path, '' AS content`, /is no path of a file/],
  ),
]

t.test('a query that is not what it should be is told where it is wrong, and changes nothing', async (t) => {
  const { gate, table, write } = await makePeer(t)
  await write({ 'a.md': 'One.' })
  const context = await providerContext(t)
  for (const [query, told, finding] of wrongQueries) {
    const config = configOf(urlOf(gate.port), query)
    const error = await refusal(database.list(config, null, context))
    t.match(error, { code: 'source.invalid', message: told }, query)
    if (finding) t.match(error.errors, [finding], query)
  }
  const emptied = table.replace('.files', '.emptied()')
  await postgres.run(`CREATE FUNCTION ${emptied} RETURNS text LANGUAGE sql AS 'DELETE FROM ${table} RETURNING path'`)
  for (const query of [`SELECT path, content FROM ${table} FOR UPDATE`, `SELECT ${emptied} AS path, '' AS content`]) {
    const config = configOf(urlOf(gate.port), query)
    t.match(await refusal(database.check(config, context)), { code: 'source.invalid', message: /may only read/ }, query)
  }
  const { files } = (await database.list(configOf(urlOf(gate.port), `TABLE ${table};`), null, context)) as FullListing
  t.same(
    files.map(({ path }) => path),
    ['a.md'],
  )
})

t.test('texts of all types and domains of them are taken, more than a batch of them, in any order of columns', async (t) => {
  const { gate, table } = await makePeer(t)
  await postgres.run(`CREATE DOMAIN ${table.replace('.files', '.body')} AS varchar`)
  const query = `SELECT ('é' || n)::${table.replace('.files', '.body')} AS content, (n || '.md')::name AS path FROM generate_series(1, 601) AS n`
  const context = await providerContext(t)
  const config = configOf(urlOf(gate.port), query)
  const listing = (await database.list(config, null, context)) as FullListing
  t.equal(listing.files.length, 601)
  const found = new Map<string, string>()
  for await (const { path, bytes } of database.read(config, listing.files, listing.revision, context))
    found.set(path, bytes.toString())
  t.equal(found.get('555.md'), 'é555')
  t.equal(found.size, 601)
  t.equal(gate.connections(), 1, 'what was listed is read from the workspace')
})

t.test('what is not in the workspace is asked for once more, and taken if it is as it was listed', async (t) => {
  const { gate, config: given, write } = await makePeer(t)
  await write({ 'a.md': 'One.', 'b.md': 'Two.' })
  const config = database.config.parse(given)
  const { files, revision } = (await database.list(config, null, await providerContext(t))) as FullListing
  await write({ 'a.md': 'One.', 'b.md': 'Changed.' })
  const context = await providerContext(t)
  const readOne = async (index: number) => {
    for await (const file of database.read(config, files.slice(index, index + 1), revision, context)) return file
  }
  t.match(await readOne(0), { path: 'a.md', bytes: Buffer.from('One.') })
  t.match(await refusal(readOne(1)), { code: 'source.changed', message: /"b\.md"/ })
  t.equal(gate.connections(), 3)
})

t.test('what was changed in the workspace is not taken, nor is more than the limits', async (t) => {
  const { gate, config: given, write } = await makePeer(t)
  await write({ 'a.md': 'One.', 'b.md': 'Two.' })
  const config = database.config.parse(given)
  const context = await providerContext(t)
  const { files, revision } = (await database.list(config, null, context)) as FullListing
  await writeFile(join(context.workspace, files[0]?.hash ?? ''), 'Another.')
  const found = []
  for await (const { bytes } of database.read(config, files, revision, context)) found.push(bytes.toString())
  t.same(found, ['One.', 'Two.'])
  t.equal(gate.connections(), 2)
  const tight = { ...context, limits: { files: 2, fileBytes: 4, totalBytes: 7 } }
  const readAll = async () => {
    for await (const { path } of database.read(config, files, revision, tight)) t.equal(path, 'a.md')
  }
  t.match(await refusal(readAll()), { code: 'source.too_large', message: /"b\.md"/ })
})

t.test('a name is as good as an address, whichever of its addresses answers', async (t) => {
  const { gate } = await makePeer(t)
  await t.resolves(database.check(configOf(urlOf(gate.port, { host: 'localhost' })), await providerContext(t)))
})

t.test('nobody is called for a run that was stopped already', async (t) => {
  const { gate, config } = await makePeer(t)
  const context = await providerContext(t, { signal: AbortSignal.abort() })
  t.match(await refusal(database.check(database.config.parse(config), context)), { message: /stopped/ })
  t.equal(gate.connections(), 0)
})

t.test('where the host is not allowed the certificate is checked whatever `sslmode` says', async (t) => {
  for (const tls of [null, 'require', 'verify-ca', 'verify-full'] as const) {
    const place = { host: 'db.example', port: 5432, database: 'd', user: 'u', password: word, tls }
    t.same(tlsOptions(place, { authority: undefined, isAllowed: false }), {}, `${tls}: as Node.js does by itself`)
    t.same(tlsOptions(place, { authority: 'PEM', isAllowed: false }), { ca: 'PEM' }, `${tls}, with an authority`)
  }
})

t.test('a row without an end is refused before it is kept', async (t) => {
  const { gate } = await makePeer(t)
  const limits = { files: 10, fileBytes: 1_000, totalBytes: 10_000 }
  const context = await providerContext(t, { limits })
  const query = "SELECT 'a.md' AS path, repeat('x', 2000000) AS content"
  const error = await refusal(database.list(configOf(urlOf(gate.port), query), null, context))
  t.match(error, { code: 'source.too_large', message: /Narrow the query/ })
})

t.test('a secret that the other side repeats is in no error and no note, whatever the error is', async (t) => {
  const gate = await openGate(t, stall)
  for (const state of ['28P01', '28000', '3D000', '42501', '42601', '22012', '53300', '57P03', '08006', 'XX000', 's3cret', '']) {
    for (const password of ['a long Pass/word', 'pw']) {
      gate.behave(echo(state))
      const context = await providerContext(t)
      const error = await refusal(database.check(configOf(urlOf(gate.port, { password })), context))
      const seen = inspect([error, error.cause, context.notes], { depth: 12 })
      for (const form of [password, encodeURIComponent(password), Buffer.from(password).toString('base64')])
        t.notOk(seen.replaceAll('SQLSTATE', '').includes(form), `${state} ${form}`)
    }
  }
})

t.test('each refusal of a server has its code', async (t) => {
  const gate = await openGate(t, stall)
  const cases: [state: string, code: string][] = [
    ...['28P01', '28000', '42501'].map((state): [string, string] => [state, 'source.denied']),
    ['3D000', 'source.missing'],
    ['53300', 'source.limited'],
    ...['57P03', '57P01', '08006', 'XX000', '40001'].map((state): [string, string] => [state, 'source.unreachable']),
    ['42P01', 'source.invalid'],
  ]
  for (const [state, code] of cases) {
    gate.behave(answerBy(() => errorResponse(state, 'No.', 'FATAL')))
    const error = await refusal(database.check(configOf(urlOf(gate.port)), await providerContext(t)))
    t.equal(error.code, code, state)
    if (error.status === 503) t.match(error.headers['retry-after'], /^\d+$/)
  }
})

t.test('no password but the one in the URL is ever sent', async (t) => {
  const sent: string[] = []
  const gate = await openGate(
    t,
    answerBy((frame, index) => {
      if (index === 0) return askForPassword
      sent.push(frame.toString('utf8', 5, frame.length - 1))
      return errorResponse('28P01', 'No.', 'FATAL')
    }),
  )
  const before = process.env.PGPASSWORD
  process.env.PGPASSWORD = 'that of another server'
  t.teardown(() => {
    if (before === undefined) delete process.env.PGPASSWORD
    else process.env.PGPASSWORD = before
  })
  for (const password of ['', 'the one']) {
    const config = configOf(urlOf(gate.port, { password }))
    t.match(await refusal(database.check(config, await providerContext(t))), { code: 'source.denied' })
  }
  t.same(sent, ['', 'the one'])
})

t.test('what does not speak the protocol is an error, and nothing worse', async (t) => {
  const gate = await openGate(t, stall)
  const answers = {
    'HTTP/1.1 400 Bad Request\r\n\r\n': Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
    'SSH-2.0-OpenSSH_9.6\r\n': Buffer.from('SSH-2.0-OpenSSH_9.6\r\n'),
    nothing: Buffer.alloc(0),
    'a row that is shorter than it says': Buffer.concat([authenticated, ready, message('D', Buffer.from([0, 9]))]),
    'columns that never come': message('T', Buffer.from([0x7f, 0xff])),
    'an unknown way to authenticate': message('R', Buffer.from([0, 0, 0, 99])),
  }
  for (const [name, bytes] of Object.entries(answers)) {
    gate.behave((socket) => {
      socket.on('data', () => socket.end(bytes))
    })
    const error = await refusal(database.check(configOf(urlOf(gate.port)), await providerContext(t)))
    t.match(error.code, /^source\.(invalid|unreachable)$/, name)
  }
})

t.test('a message that would keep the driver busy for ever is refused', async (t) => {
  const gate = await openGate(t, stall)
  const answers: Record<string, Buffer> = {
    'an error whose fields have no end': message('E', 'SFATAL'),
    'an error that ends after a field': message('E', 'SFATAL\0'),
    'ways to authenticate without an end': message('R', Buffer.from([0, 0, 0, 10]), 'SCRAM-SHA-256'),
  }
  for (const [name, bytes] of Object.entries(answers)) {
    gate.behave((socket) => {
      socket.on('data', () => socket.write(bytes))
    })
    const error = await refusal(database.check(configOf(urlOf(gate.port)), await providerContext(t)))
    t.match(error, { code: 'source.invalid', message: /protocol of Postgres/ }, name)
  }
})

t.test('messages of any kind at any time do no harm', async (t) => {
  const gate = await openGate(t, stall)
  const frame = fc
    .tuple(fc.constantFrom(...'RSKZTDCEIN123stnGHWcdAv'), fc.uint8Array({ maxLength: 24 }))
    .map(([type, bytes]) => message(type, Buffer.from(bytes)))
  const anyFrame = fc.oneof(frame, fc.constantFrom(...wellFormed))
  const context = await providerContext(t, { requestTimeoutMs: 2_000 })
  await fc.assert(
    fc.asyncProperty(fc.array(anyFrame, { minLength: 1, maxLength: 8 }), fc.boolean(), async (frames, isAdmitted) => {
      gate.behave((socket) => {
        socket.on('data', () => {
          socket.end(Buffer.concat([...(isAdmitted ? [authenticated, ready] : []), ...frames]))
        })
      })
      const error = await refusal(database.check(configOf(urlOf(gate.port)), context))
      t.match(error.code, /^source\./)
    }),
    { numRuns: runs(200) },
  )
})

t.test('bytes without an end are refused', async (t) => {
  const gate = await openGate(t, (socket) => {
    const more = () => {
      while (!socket.destroyed && socket.write(Buffer.alloc(64 * 1024, 'D')));
    }
    socket.on('data', more).on('drain', more)
  })
  const limits = { files: 10, fileBytes: 1_000, totalBytes: 10_000 }
  const error = await refusal(database.check(configOf(urlOf(gate.port)), await providerContext(t, { limits })))
  t.equal(error.code, 'source.too_large')
})

t.test('a server that falls silent, or goes away, does so at no cost but the time it has', async (t) => {
  const gate = await openGate(t, stall)
  const columns = message('T', Buffer.from([0, 0]))
  const stages: Record<string, Buffer[]> = {
    'once it has let us in': [],
    'once the transaction has begun': [done],
    'in the middle of the rows': [done, done, columns],
  }
  for (const [name, answers] of Object.entries(stages)) {
    gate.behave(admit(...answers))
    const context = await providerContext(t, { requestTimeoutMs: 100 })
    const error = await refusal(database.list(configOf(urlOf(gate.port)), null, context))
    t.match(error, { code: 'source.unreachable', message: /100 ms/ }, `silent ${name}`)
    const stopped = await providerContext(t, { signal: AbortSignal.timeout(50) })
    const stop = await refusal(database.list(configOf(urlOf(gate.port)), null, stopped))
    t.match(stop, { code: 'source.unreachable', message: /stopped/ }, `stopped ${name}`)
    t.match(stopped.notes.at(-1)?.error, /stopped/)
  }
})

t.test('a connection that breaks in the middle of the rows gives none of them', async (t) => {
  const { gate } = await makePeer(t)
  gate.behave((socket) => {
    const upstream = connect(postgres.port, postgres.host)
    let passed = 0
    socket.pipe(upstream)
    socket.on('close', () => upstream.destroy())
    upstream.on('data', (chunk) => {
      passed += chunk.length
      if (passed < 200_000) socket.write(chunk)
      else socket.destroy()
    })
  })
  const query = "SELECT n || '.md' AS path, repeat('x', 1000) AS content FROM generate_series(1, 2000) AS n"
  const error = await refusal(database.list(configOf(urlOf(gate.port), query), null, await providerContext(t)))
  t.match(error, { code: 'source.unreachable', headers: { 'retry-after': /^\d+$/ } })
})

/** A certificate that signs itself, for a name or an address. */
async function createCertificate(t: Test, name: string): Promise<{ key: string; cert: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'promptsync-certificate-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const subject = ['-subj', '/CN=test', '-addext', `subjectAltName=${name}`, '-days', '2']
  await promisify(execFile)('openssl', ['req', '-x509', ...curve, ...subject, '-keyout', key, '-out', cert])
  return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') }
}

t.test('TLS is as `sslmode` says', async (t) => {
  const own = await createCertificate(t, 'IP:127.0.0.1')
  const other = await createCertificate(t, 'DNS:other.internal')
  const gate = await openGate(t, stall)
  const ask = async (certificate: typeof own, sslmode: string, more: object = {}, over: Partial<ProviderContext> = {}) => {
    gate.behave(passOverTls(postgres, certificate))
    const config = configOf(urlOf(gate.port, { search: `?sslmode=${sslmode}` }), aFile, more)
    return database.check(config, await providerContext(t, over))
  }
  const trusted = { certificateAuthority: own.cert }
  await t.resolves(ask(own, 'require'), 'the certificate is not looked at')
  await t.resolves(ask(own, 'verify-full', trusted))
  await t.resolves(ask(own, 'verify-ca', trusted))
  await t.resolves(ask(other, 'verify-ca', { certificateAuthority: other.cert }), 'the name is not looked at')
  const refused: [() => Promise<unknown>, RegExp][] = [
    [() => ask(own, 'verify-full'), /signed by itself/],
    [() => ask(own, 'verify-ca'), /signed by itself/],
    [() => ask(other, 'verify-full', { certificateAuthority: other.cert }), /of another name/],
    [() => ask(other, 'require', trusted), /signed by itself|not trusted/],
  ]
  for (const [call, told] of refused) {
    const error = await refusal(call())
    t.match(error, { code: 'source.invalid', message: told })
    t.match(error.message, /certificate/)
  }
})

t.test('a server without TLS is not asked in the clear where TLS is wanted', async (t) => {
  const sent: Buffer[] = []
  const gate = await openGate(t, (socket) => {
    socket.on('data', (chunk) => {
      sent.push(chunk)
      socket.write('N')
    })
  })
  for (const sslmode of ['require', 'verify-ca', 'verify-full']) {
    const config = configOf(urlOf(gate.port, { search: `?sslmode=${sslmode}` }))
    t.match(await refusal(database.check(config, await providerContext(t))), { code: 'source.invalid', message: /offers no TLS/ })
  }
  t.same(
    sent.map(({ length }) => length),
    [8, 8, 8],
    'nothing but the question for TLS',
  )
})

if (isPostgres) {
  /** A query that never ends, and whether the server is at it. */
  const endless = (t: Test) => {
    const key = randomInt(2 ** 31)
    const query = `WITH held AS MATERIALIZED (SELECT pg_advisory_xact_lock(${key})) SELECT 'a' AS path, pg_sleep(600)::text AS content FROM held`
    const locks = configOf(urlOf(postgres.port), `SELECT pid || '.md' AS path, '' AS content FROM pg_locks WHERE objid = ${key}`)
    const isRunning = async () => {
      const { files } = (await database.list(locks, null, await providerContext(t))) as FullListing
      return files.length > 0
    }
    return { config: configOf(urlOf(postgres.port), query), isRunning }
  }

  t.test('a query that takes too long is ended, on the server as well', async (t) => {
    const { config, isRunning } = endless(t)
    const context = await providerContext(t, { requestTimeoutMs: 300 })
    t.match(await refusal(database.list(config, null, context)), { code: 'source.unreachable', message: /300 ms/ })
    await until('the server has ended it', 5_000, async () => !(await isRunning()))
  })

  t.test('an aborted query ends at once here, and within its time on the server', async (t) => {
    const { config, isRunning } = endless(t)
    const stop = new AbortController()
    const context = await providerContext(t, { requestTimeoutMs: 2_000, signal: stop.signal })
    const answer = refusal(database.list(config, null, context))
    await until('the server is at it', 5_000, isRunning)
    const started = performance.now()
    stop.abort()
    t.match(await answer, { code: 'source.unreachable', message: /stopped/ })
    t.ok(performance.now() - started < 1_000)
    await until('the server has ended it', 5_000, async () => !(await isRunning()))
  })

  t.test('a user without rights is told so, and a database that is not there', async (t) => {
    const { gate, table } = await makePeer(t)
    const role = `reader_${randomUUID().replaceAll('-', '')}`
    await postgres.run(`CREATE ROLE ${role} LOGIN PASSWORD '${word}'`)
    t.teardown(() => postgres.run(`DROP ROLE ${role}`))
    const context = await providerContext(t)
    const asReader = configOf(urlOf(gate.port, { user: role }), `SELECT path, content FROM ${table}`)
    t.match(await refusal(database.list(asReader, null, context)), {
      code: 'source.denied',
      message: /permission denied.*Grant it SELECT/,
    })
    const elsewhere = configOf(urlOf(gate.port).replace(/[^/]*$/, 'no_such_database'))
    t.match(await refusal(database.list(elsewhere, null, context)), { code: 'source.missing', message: /no such database/ })
  })
}
