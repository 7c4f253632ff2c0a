import { readdir, readFile, readlink } from 'node:fs/promises'
import { basename } from 'node:path'
import { inspect } from 'node:util'
import type { Test } from 'tap'
import { AppError } from '../../src/errors.js'
import {
  type ListedFile,
  type Listing,
  maxRevisionLength,
  type Provider,
  type ProviderContext,
  secretFields,
} from '../../src/providers/provider.js'
import { until } from '../helpers/until.js'
import { providerContext, type TestContext } from './helpers/context.js'

export type Files = Record<string, string | Buffer>

/** The other side of a provider, as a test can change it. It ends with the test. */
export type Peer = {
  /** Read anew for each call, so that it may change with the files. */
  readonly config: unknown
  /** What a run needs to be allowed: directories, say. */
  readonly context?: Partial<ProviderContext>
  /** Makes these the files there are: the whole next state. */
  write(files: Files): Promise<void>
  /** Absent where nothing can be away. `away` refuses connections, `stalled` takes requests and never answers them. */
  breakDown?(kind: 'away' | 'stalled'): Promise<void>
  restore?(): Promise<void>
  /** The config with credentials that the other side refuses. */
  wrongCredentials?: unknown
  /** From now on the other side refuses every request with a text that repeats the credentials it was sent. */
  echoSecrets?(): Promise<void>
  /** What must never be seen, beside the values of the secret fields. */
  secrets?: readonly string[]
  /** Where the files are texts, neither empty nor bytes. */
  textOnly?: true
}

type AnyProvider = Provider<any>
type Subject = { provider: AnyProvider; makePeer(t: Test): Peer | Promise<Peer> }
type FullListing = Extract<Listing, { unchanged: false }>

const first: Files = { 'one.md': 'First, as it was.', 'deep/er/two.txt': 'Second.', 'three.yaml': 'content: Third.\n' }

/** What holds for every provider. `makePeer` is called once for each guarantee. */
export function providerConforms(t: Test, subject: Subject): void {
  const { provider } = subject
  t.test(`${provider.name}: the files there are are listed, and read byte for byte`, (t) => readsFiles(t, subject))
  t.test(`${provider.name}: names and contents of all kinds come as they are`, (t) => keepsOddFiles(t, subject))
  t.test(`${provider.name}: what did not change is said to be unchanged`, (t) => noticesChanges(t, subject))
  t.test(`${provider.name}: a file that changed since it was listed is refused`, (t) => refusesMixtures(t, subject))
  t.test(`${provider.name}: more than the limits is refused`, (t) => keepsLimits(t, subject))
  t.test(`${provider.name}: two runs at once do not disturb each other`, (t) => runsAtOnce(t, subject))
  t.test(`${provider.name}: an aborted call ends at once`, (t) => endsAborted(t, subject))
  t.test(`${provider.name}: another side that does not answer costs no more than the time it has`, (t) => timesOut(t, subject))
  t.test(`${provider.name}: another side that is away is an error until it is back`, (t) => bearsAbsence(t, subject))
  t.test(`${provider.name}: the config is strict, and its secret fields hold all secrets`, (t) => marksSecrets(t, subject))
  t.test(`${provider.name}: no refusal tells a secret`, (t) => keepsSecrets(t, subject))
}

async function readsFiles(t: Test, { provider, makePeer }: Subject): Promise<void> {
  const peer = await makePeer(t)
  await peer.write(first)
  const context = await providerContext(t, peer.context)
  await provider.check(configOf(provider, peer), context)
  const listing = await list(t, provider, peer, null, context)
  t.same(pathsOf(listing.files), Object.keys(first).sort())
  t.equal(new Set(listing.files.map(({ hash }) => hash)).size, 3, 'other bytes have other hashes')
  for (const { path, sizeBytes } of listing.files) {
    if (sizeBytes !== null) t.equal(sizeBytes, Buffer.from(first[path] ?? '').length, `the size of ${path}`)
  }
  t.same(await read(provider, peer, listing, context), asBytes(first))
  const [, second] = listing.files
  const one = second ? [second] : []
  t.same([...(await read(provider, peer, listing, context, one)).keys()], pathsOf(one), 'and one file alone')
  t.same(await read(provider, peer, listing, context, []), new Map(), 'and none')
  checkNotes(t, provider, peer, context)
  await leavesNothing(t, context)
}

async function keepsOddFiles(t: Test, { provider, makePeer }: Subject): Promise<void> {
  const peer = await makePeer(t)
  const texts = ['客服/你好.md', 'with space/and #1 100% ? & +.md', 'quote\'s "x".txt', 'e\u0301.md', '.hid.md', 'CAPS.MD']
  const files: Files = Object.fromEntries(texts.map((path) => [path, `Of ${path}\r\n\ufefflines`]))
  if (!peer.textOnly) {
    files['empty.md'] = ''
    files['bytes.bin'] = Buffer.from(Array.from({ length: 1024 }, (_, index) => (index * 7) % 256))
  }
  await peer.write(files)
  const context = await providerContext(t, peer.context)
  const listing = await list(t, provider, peer, null, context)
  t.same(await read(provider, peer, listing, context), asBytes(files))
}

async function noticesChanges(t: Test, { provider, makePeer }: Subject): Promise<void> {
  const peer = await makePeer(t)
  await peer.write(first)
  const before = await list(t, provider, peer, null, await providerContext(t, peer.context))
  t.ok(before.revision.length <= maxRevisionLength)
  t.same(await provider.list(configOf(provider, peer), before.revision, await providerContext(t, peer.context)), {
    revision: before.revision,
    unchanged: true,
  })
  const next: Files = { 'one.md': 'First, as it is now.', 'three.yaml': first['three.yaml'] ?? '', 'four.md': 'Fourth.' }
  await peer.write(next)
  const context = await providerContext(t, peer.context)
  const after = await list(t, provider, peer, before.revision, context)
  t.not(after.revision, before.revision)
  t.same(pathsOf(after.files), Object.keys(next).sort(), 'what was deleted is gone, what is new is there')
  t.equal(hashOf(after, 'three.yaml'), hashOf(before, 'three.yaml'), 'the same bytes have the same hash')
  t.not(hashOf(after, 'one.md'), hashOf(before, 'one.md'))
  t.same(await read(provider, peer, after, context), asBytes(next))
  const unknown = await list(t, provider, peer, 'no revision of ours', await providerContext(t, peer.context))
  t.same(pathsOf(unknown.files), Object.keys(next).sort(), 'a revision that cannot be read counts as none')
}

async function refusesMixtures(t: Test, { provider, makePeer }: Subject): Promise<void> {
  const peer = await makePeer(t)
  await peer.write(first)
  const context = await providerContext(t, peer.context)
  const config = configOf(provider, peer)
  const listing = (await provider.list(config, null, context)) as FullListing
  await peer.write({ ...first, 'one.md': 'First, as it is now.' })
  for (const file of listing.files) {
    const found = await attempt(async () => collect(provider.read(config, [file], listing.revision, context)))
    if (found.error) t.match(found.error, { code: /^source\.(changed|missing)$/ }, file.path)
    else t.same(found.value?.get(file.path), Buffer.from(first[file.path] ?? ''), `${file.path} is as it was listed`)
  }
}

async function keepsLimits(t: Test, { provider, makePeer }: Subject): Promise<void> {
  const peer = await makePeer(t)
  await peer.write({ 'small.md': 'small', 'deep/large.md': 'large'.repeat(400), 'other.md': 'other'.repeat(300) })
  const limits = { files: 10, fileBytes: 10_000, totalBytes: 100_000 }
  const tooLarge = async (over: Partial<typeof limits>) => {
    const context = await providerContext(t, { ...peer.context, limits: { ...limits, ...over } })
    const { error } = await attempt(async () => {
      const listing = await list(t, provider, peer, null, context)
      if (over.files === undefined) await read(provider, peer, listing, context)
    })
    t.match(error, { code: 'source.too_large' }, JSON.stringify(over))
    return error?.message ?? ''
  }
  await tooLarge({ files: 2 })
  t.match(await tooLarge({ fileBytes: 1_900 }), /deep\/large\.md/)
  await tooLarge({ totalBytes: 3_000 })
  const context = await providerContext(t, {
    ...peer.context,
    limits: { files: 3, fileBytes: 2_000, totalBytes: 3_505 },
  })
  const listing = await list(t, provider, peer, null, context)
  t.equal((await read(provider, peer, listing, context)).size, 3, 'as much as the limits is taken')
}

async function runsAtOnce(t: Test, { provider, makePeer }: Subject): Promise<void> {
  const peer = await makePeer(t)
  await peer.write(first)
  const run = async () => {
    const context = await providerContext(t, peer.context)
    const listing = await list(t, provider, peer, null, context)
    const bytes = await read(provider, peer, listing, context)
    await leavesNothing(t, context)
    return { listing, bytes }
  }
  const [one, two] = await Promise.all([run(), run()])
  t.same(one.bytes, asBytes(first))
  t.same(two.bytes, one.bytes)
  t.equal(two.listing.revision, one.listing.revision, 'the same state has the same revision')
}

async function endsAborted(t: Test, { provider, makePeer }: Subject): Promise<void> {
  const peer = await makePeer(t)
  await peer.write(first)
  const config = configOf(provider, peer)
  const before = await providerContext(t, { ...peer.context, signal: AbortSignal.abort() })
  t.match((await attempt(() => provider.list(config, null, before))).error?.code ?? 'source.', /^source\./)
  await leavesNothing(t, before)
  if (!peer.breakDown) return
  const listed = await providerContext(t, peer.context)
  const listing = await list(t, provider, peer, null, listed)
  await peer.breakDown('stalled')
  const calls: Record<string, (context: ProviderContext) => Promise<unknown>> = {
    check: (context) => provider.check(config, context),
    list: (context) => provider.list(config, null, context),
    'list since a revision': (context) => provider.list(config, listing.revision, context),
    read: (context) => collect(provider.read(config, listing.files, listing.revision, context)),
  }
  for (const [name, call] of Object.entries(calls)) {
    const context = await providerContext(t, { ...peer.context, signal: AbortSignal.timeout(100) })
    const started = performance.now()
    const { error } = await attempt(() => call(context))
    // What was listed may be in the workspace, and is then read without the other side.
    if (error || name !== 'read') t.match(error, { code: /^source\./ }, name)
    t.ok(performance.now() - started < 1_100, `${name} ended at once`)
    await leavesNothing(t, context)
  }
  await peer.restore?.()
}

async function timesOut(t: Test, { provider, makePeer }: Subject): Promise<void> {
  const peer = await makePeer(t)
  if (!peer.breakDown) return void t.pass('nothing can stall')
  await peer.write(first)
  await peer.breakDown('stalled')
  const context = await providerContext(t, { ...peer.context, requestTimeoutMs: 200 })
  const started = performance.now()
  const { error } = await attempt(() => provider.list(configOf(provider, peer), null, context))
  t.match(error, { code: 'source.unreachable', headers: { 'retry-after': /^\d+$/ } })
  t.ok(performance.now() - started < 3_000, 'within the time and some more')
  checkNotes(t, provider, peer, context)
  t.ok(
    context.notes.some(({ error }) => error !== null),
    'the call is noted as failed',
  )
  await leavesNothing(t, context)
  await peer.restore?.()
}

async function bearsAbsence(t: Test, { provider, makePeer }: Subject): Promise<void> {
  const peer = await makePeer(t)
  if (!peer.breakDown) return void t.pass('nothing can be away')
  await peer.write(first)
  await peer.breakDown('away')
  const context = await providerContext(t, peer.context)
  const config = configOf(provider, peer)
  for (const call of [() => provider.check(config, context), () => provider.list(config, null, context)]) {
    const { error } = await attempt<unknown>(call)
    t.match(error, { code: 'source.unreachable', headers: { 'retry-after': /^\d+$/ } })
    t.notOk(tells(error, peer, provider), 'without a secret')
  }
  checkNotes(t, provider, peer, context)
  t.ok(
    context.notes.some(({ error }) => error !== null),
    'the call is noted as failed',
  )
  await peer.restore?.()
  await provider.check(config, context)
  t.same(pathsOf((await list(t, provider, peer, null, context)).files), Object.keys(first).sort())
}

async function marksSecrets(t: Test, { provider, makePeer }: Subject): Promise<void> {
  const peer = await makePeer(t)
  await peer.write(first)
  const given = peer.config as Record<string, unknown>
  t.notOk(provider.config.safeParse({ ...given, ofNoMeaning: 1 }).success, 'unknown fields are refused')
  t.notOk(provider.config.safeParse({}).success, 'and a config that says nothing')
  const config = configOf(provider, peer)
  const secrets = secretFields(provider)
  for (const name of secrets) {
    const value = config[name]
    const values = typeof value === 'object' && value !== null ? Object.values(value) : [value]
    t.ok(
      values.every((one) => one === undefined || typeof one === 'string'),
      `${name} is a string or a record of strings`,
    )
  }
  const open = Object.entries(config).filter(([name]) => !secrets.includes(name))
  t.notOk(tells(open, peer, provider), 'no other field holds a secret')
  const target = provider.target(config)
  t.ok(target.length > 0 && target.length < 2_000)
  t.notOk(tells(target, peer, provider), 'the target names no secret')
}

async function keepsSecrets(t: Test, { provider, makePeer }: Subject): Promise<void> {
  const peer = await makePeer(t)
  if (!peer.wrongCredentials && !peer.echoSecrets) return void t.pass('it has no credentials')
  await peer.write(first)
  const calls = (config: unknown, context: ProviderContext) => [
    () => provider.check(config, context),
    () => provider.list(config, null, context),
  ]
  const refused = async (config: unknown, code: RegExp) => {
    const context = await providerContext(t, peer.context)
    for (const call of calls(provider.config.parse(config), context)) {
      const { error } = await attempt<unknown>(call)
      t.match(error, { code })
      t.notOk(tells(error, { ...peer, config }, provider), 'the error tells no secret')
    }
    t.notOk(tells(context.notes, { ...peer, config }, provider), 'nor do the notes')
  }
  if (peer.wrongCredentials) await refused(peer.wrongCredentials, /^source\.(denied|missing)$/)
  await peer.echoSecrets?.()
  if (peer.echoSecrets) await refused(peer.config, /^source\./)
}

const configOf = (provider: AnyProvider, peer: Peer): any => provider.config.parse(peer.config)

/** A listing of which all that holds for each is checked. */
async function list(t: Test, provider: AnyProvider, peer: Peer, previous: string | null, context: ProviderContext) {
  const listing = await provider.list(configOf(provider, peer), previous, context)
  if (listing.unchanged) throw new Error('The listing says that nothing changed.')
  const paths = listing.files.map(({ path }) => path)
  t.equal(new Set(paths).size, paths.length, 'every path is listed once')
  for (const path of paths) t.notMatch(path, /^\/|\\|(^|\/)\.{0,2}(\/|$)/, 'paths are relative')
  t.notOk(tells(listing, peer, provider), 'a listing holds no secret')
  return listing
}

async function read(
  provider: AnyProvider,
  peer: Peer,
  listing: FullListing,
  context: ProviderContext,
  files: readonly ListedFile[] = listing.files,
): Promise<Map<string, Buffer>> {
  return collect(provider.read(configOf(provider, peer), files, listing.revision, context))
}

async function collect(answers: AsyncIterable<{ path: string; bytes: Buffer }>): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>()
  for await (const { path, bytes } of answers) {
    if (found.has(path)) throw new Error(`"${path}" came twice.`)
    found.set(path, Buffer.from(bytes))
  }
  return new Map([...found].sort(([one], [other]) => (one < other ? -1 : 1)))
}

async function attempt<T>(call: () => Promise<T>): Promise<{ value?: T; error?: AppError }> {
  try {
    return { value: await call() }
  } catch (error) {
    if (!(error instanceof AppError)) throw new Error('A provider rejected with no AppError.', { cause: error })
    return { error }
  }
}

function checkNotes(t: Test, provider: AnyProvider, peer: Peer, { notes }: TestContext): void {
  if (peer.breakDown) t.ok(notes.length > 0, 'calls to the outside are noted')
  for (const { what, statusCode, durationMs, error } of notes) {
    t.ok(what.length > 0 && what.length < 2_000)
    t.ok(statusCode === null || (statusCode >= 100 && statusCode < 600))
    t.ok(durationMs >= 0)
    t.ok(error === null || error.length < 2_000)
  }
  t.notOk(tells(notes, peer, provider), 'notes hold no secret')
}

/** Files beside the workspace, and programs that were started in it. */
async function leavesNothing(t: Test, { workspace, workspaceParent }: TestContext): Promise<void> {
  t.same(await readdir(workspaceParent), [basename(workspace)], 'nothing is left beside the workspace')
  await until('every program has ended', 1_000, async () => (await programsOf(workspace)).length === 0)
}

/** Processes that know the workspace by their directory, arguments or environment. Linux tells; elsewhere none is found. */
async function programsOf(workspace: string): Promise<string[]> {
  const ids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
  const texts = await Promise.all(
    ids.map(async (id) => {
      const parts = [
        readlink(`/proc/${id}/cwd`),
        readFile(`/proc/${id}/cmdline`, 'utf8'),
        readFile(`/proc/${id}/environ`, 'utf8'),
      ]
      return (await Promise.all(parts.map((part) => part.catch(() => '')))).join('\n')
    }),
  )
  return texts.filter((text) => text.includes(workspace))
}

/** Whether a secret is anywhere in a value, the causes of an error included. */
function tells(value: unknown, peer: Peer, provider: AnyProvider): boolean {
  const config = peer.config as Record<string, unknown>
  const secrets = formsOfSecrets(
    secretFields(provider).map((name) => config[name]),
    peer.secrets,
  )
  const text = inspect(value, { depth: 12, maxArrayLength: null, maxStringLength: null, breakLength: Number.POSITIVE_INFINITY })
  return secrets.some((secret) => text.includes(secret))
}

/** The values, the words of them that are long enough to be known again, and how they look encoded. */
function formsOfSecrets(values: unknown[], others: readonly string[] = []): string[] {
  const texts = values.flatMap((value) => (typeof value === 'object' && value !== null ? Object.values(value) : [value]))
  const words = texts.flatMap((text) => (typeof text === 'string' ? wordsOf(text) : []))
  return [...new Set([...words, ...others].flatMap((word) => [word, encodeURIComponent(word), ...inBase64(word)]))]
}

function wordsOf(text: string): string[] {
  const password = URL.canParse(text) ? decodeURIComponent(new URL(text).password) : ''
  if (password) return [text, password]
  return text.split(/\s+/).filter((word) => word.length >= 8 && !word.includes('-----'))
}

/** As it stands inside of a longer text in base64, wherever it begins there. */
function inBase64(word: string): string[] {
  const inner = [0, 1, 2].map((shift) => {
    const encoded = Buffer.from('x'.repeat(shift) + word).toString('base64')
    return encoded.replace(/=+$/, '').slice(shift === 0 ? 0 : shift + 1, -1)
  })
  return inner.filter((text) => text.length >= 8)
}

const pathsOf = (files: readonly ListedFile[]): string[] => files.map(({ path }) => path).sort()
const hashOf = (listing: FullListing, path: string) => listing.files.find((file) => file.path === path)?.hash
const asBytes = (files: Files): Map<string, Buffer> =>
  new Map(
    Object.entries(files)
      .map(([path, content]): [string, Buffer] => [path, Buffer.from(content as string)])
      .sort(([one], [other]) => (one < other ? -1 : 1)),
  )
