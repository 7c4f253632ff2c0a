import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import type { EncryptedSecret } from '../../lib/encryption.js'
import { parseJsonBody } from '../../lib/json-body.js'
import { slugPattern } from '../../lib/names.js'
import type { Pause } from '../../lib/slices.js'
import { invalid, toFindings } from '../../lib/validation.js'
import { whileThere, writeRefused } from '../reads/database.service.js'
import { type GithubHookHeaders, GithubPush, type HookAnswer, type SignedHookHeaders } from './hooks.schema.js'
import { requestRun, workOff } from './runs.service.js'
import { type SourceRow, secretSubject, webhookField } from './source-rows.service.js'

/** A webhook as it came: `body` holds the bytes that were signed. */
export type Hook<Headers> = { project: string; source: string; headers: Headers; body: Buffer; requestId: string }

const maxClockSkewMs = 5 * 60_000
/** A delivery is known for so long, and of a source so many are. */
const deliveryKeptMs = 24 * 60 * 60_000
const keptDeliveries = 1_000
/** What others have left behind is cleared away bit by bit. */
const maxPruned = 100
const maxRefShown = 200
const hashedAtOnceBytes = 256 * 1024
const digestBytes = 32
const decodedAtOnceBytes = 64 * 1024
const percent = 0x25
const plus = 0x2b
const space = 0x20
const hexDigits = Buffer.from('0123456789ABCDEF0123456789abcdef')

/** Takes a delivery of GitHub, or of who speaks as it does. Throws `hook.refused`. */
export async function takeGithubHook(deps: Deps, hook: Hook<GithubHookHeaders>): Promise<HookAnswer> {
  const { headers, body } = hook
  const signature = readSignature(headers['x-hub-signature-256'])
  const row = await admit(deps, hook, { signature, signed: [body], isInTime: true })
  const event = headers['x-github-event']
  if (event === 'ping') return ignored('A ping asks for nothing.')
  if (event !== 'push') return ignored('Only the event "push" starts a sync.')
  const reason = reasonToIgnore(await findRef(deps.db, row), await readPush(hook, deps.pause))
  if (reason !== null) return ignored(reason)
  const delivery = /^[\w-]{1,100}$/.exec(headers['x-github-delivery'] ?? '')?.[0] ?? signature?.toString('hex')
  return take(deps, row, `github ${delivery}`, hook.requestId)
}

/** Takes a webhook of our own form. Throws `hook.refused`. */
export async function takeSignedHook(deps: Deps, hook: Hook<SignedHookHeaders>): Promise<HookAnswer> {
  const { headers, body } = hook
  const timestamp = headers['x-promptsync-timestamp'] ?? ''
  const signature = readSignature(headers['x-promptsync-signature'])
  const isInTime = /^\d{1,12}$/.test(timestamp) && Math.abs(deps.now().getTime() - Number(timestamp) * 1_000) <= maxClockSkewMs
  const row = await admit(deps, hook, { signature, signed: [Buffer.from(`${timestamp}.`), body], isInTime })
  return take(deps, row, `signed ${signature?.toString('hex')}`, hook.requestId)
}

function ignored(reason: string): HookAnswer {
  return { status: 'ignored', run: null, reason }
}

function readSignature(header: string | undefined): Buffer | null {
  const digits = /^sha256=([0-9a-f]{64})$/i.exec(header ?? '')?.[1]
  return digits === undefined ? null : Buffer.from(digits, 'hex')
}

/** What is read of a source before it is known who asks. */
type Hooked = Pick<SourceRow, 'id' | 'uid' | 'name'> & { secret: EncryptedSecret | null }

type Proof = { signature: Buffer | null; signed: Buffer[]; isInTime: boolean }

/** Stands in where there is none, so that a refusal takes the same work. */
const noSecret = 'a webhook of no source'

/** The source that a webhook is of. Every refusal is the same; the log alone tells why. */
async function admit(
  deps: Deps,
  { project, source, requestId }: Hook<unknown>,
  { signature, signed, isInTime }: Proof,
): Promise<Hooked> {
  if (deps.database.isAway()) throw writeRefused()
  const areNames = slugPattern.test(project) && slugPattern.test(source)
  const row = areNames ? await whileThere(deps, findEnabled(deps.db, project, source), writeRefused) : null
  const secret = row && openSecret(deps, row)
  const expected = await sign(secret ?? noSecret, signed, deps.pause)
  const isSignatureGood = timingSafeEqual(expected, signature ?? Buffer.alloc(digestBytes)) && signature !== null
  const checks: [isGood: boolean, wrong: string][] = [
    [row !== null, 'no such source that is enabled'],
    [secret !== null, 'the source has no secret that can be read'],
    [isSignatureGood, 'the signature'],
    [isInTime, 'the timestamp'],
  ]
  const failed = checks.find(([isGood]) => !isGood)
  if (row && !failed) return row
  deps.log.info({ requestId, wrong: failed?.[1], ...(areNames ? { project, source } : {}) }, 'A webhook was refused.')
  throw refused()
}

function refused(): AppError {
  return new AppError(
    'hook.refused',
    'The webhook is not taken. Check the project, the source, that it is enabled and has a webhookSecret, the signature and, where it is signed along, the time.',
  )
}

/** Answers one row of one form, whether there is such a source or not: a reader of two forms takes two times. */
async function findEnabled(db: Db, project: string, source: string): Promise<Hooked | null> {
  const [row] = await db.$queryRaw<(Hooked | { id: null })[]>`
    SELECT s.id, s.uid::text, s.name, s.secrets -> ${webhookField}::text AS secret
    FROM (VALUES (1)) AS always LEFT JOIN (
      sources s JOIN projects p ON p.id = s.project_id AND p.slug = ${project} AND p.deleted_at IS NULL
    ) ON s.name = ${source} AND s.enabled`
  return row && row.id !== null ? row : null
}

/** In clear. One that cannot be read is as good as none to the outside. */
function openSecret({ keyring, log }: Deps, { uid, name, secret }: Hooked): string | null {
  if (secret === null) return null
  try {
    return JSON.parse(keyring.decrypt(secret, secretSubject({ uid }, webhookField)))
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    log.warn({ source: name, error: error.message }, 'The secret of a webhook cannot be read.')
    return null
  }
}

/** The branch, tag or commit that a source names, if it names one. */
async function findRef(db: Db, { id }: Hooked): Promise<string | null> {
  const [row] = await db.$queryRaw<{ ref: string | null }[]>`SELECT config ->> 'ref' AS ref FROM sources WHERE id = ${id}`
  return row?.ref ?? null
}

async function sign(secret: string, pieces: readonly Buffer[], pause: Pause): Promise<Buffer> {
  const hmac = createHmac('sha256', secret)
  for (const piece of pieces) {
    for (let start = 0; start < piece.length; start += hashedAtOnceBytes) {
      hmac.update(piece.subarray(start, start + hashedAtOnceBytes))
      await pause()
    }
  }
  return hmac.digest()
}

async function readPush({ headers, body }: Hook<GithubHookHeaders>, pause: Pause): Promise<GithubPush> {
  const isForm = /^application\/x-www-form-urlencoded\b/i.test(headers['content-type'] ?? '')
  const parsed = GithubPush.safeParse(await parseJsonBody(isForm ? await readPayload(body, pause) : body, pause))
  if (parsed.success) return parsed.data
  throw invalid('validation.failed', toFindings(parsed.error.issues))
}

/** The field `payload` of a form, empty where it has none. `URLSearchParams` would hold the event loop while it decodes it. */
async function readPayload(form: Buffer, pause: Pause): Promise<Buffer> {
  const fields = Buffer.concat([Buffer.from('&'), form])
  const at = fields.indexOf('&payload=')
  if (at < 0) return Buffer.alloc(0)
  const start = at + '&payload='.length
  const next = fields.indexOf('&', start)
  const value = fields.subarray(start, next < 0 ? fields.length : next)
  const decoded = Buffer.alloc(value.length)
  let length = 0
  for (let index = 0; index < value.length; index += 1) {
    const escaped = value[index] === percent ? readByte(value, index + 1) : null
    if (escaped !== null) index += 2
    decoded[length] = escaped ?? (value[index] === plus ? space : (value[index] as number))
    length += 1
    if (length % decodedAtOnceBytes === 0) await pause()
  }
  return decoded.subarray(0, length)
}

/** The byte that two hex digits spell, or null where there are none. */
function readByte(text: Buffer, at: number): number | null {
  const [high, low] = [hexDigits.indexOf(text[at] ?? 0), hexDigits.indexOf(text[at + 1] ?? 0)]
  return high < 0 || low < 0 ? null : (high % 16) * 16 + (low % 16)
}

/** Why a push is none to what the source follows, or null. Where it names nothing that is the default branch. */
function reasonToIgnore(named: string | null, { ref, repository }: GithubPush): string | null {
  const isNamed = named !== null && named !== 'HEAD'
  const followed = isNamed ? named : repository?.default_branch
  if (followed === undefined) return null
  const wanted = isNamed ? [`refs/heads/${named}`, `refs/tags/${named}`, `refs/${named}`, named] : [`refs/heads/${followed}`]
  if (wanted.includes(ref)) return null
  return `The push is to "${ref.slice(0, maxRefShown)}", and the source follows "${followed.slice(0, maxRefShown)}".`
}

/** Notes the delivery and asks for a run, both or neither. */
async function take(deps: Deps, row: Hooked, delivery: string, requestId: string): Promise<HookAnswer> {
  const noted = deps.db.$transaction(async (tx) => {
    if (!(await holdSource(tx, row))) throw refused()
    if (!(await noteDelivery(tx, row, delivery, deps.now()))) return null
    return requestRun(tx, row, { trigger: 'webhook', by: { name: 'webhook', requestId } })
  })
  const run = await whileThere(deps, noted, writeRefused)
  if (run === null) return { status: 'duplicate', run: null, reason: 'It was delivered before.' }
  void workOff(deps, row.id)
  return { status: 'accepted', run: run.toString() }
}

/** Keeps a source from being removed meanwhile, and nothing else. Answers whether it is still there. */
async function holdSource(tx: Db, { id }: Hooked): Promise<boolean> {
  const found = await tx.$queryRaw<object[]>`SELECT id FROM sources WHERE id = ${id} AND enabled FOR KEY SHARE`
  return found.length > 0
}

/** Answers whether it is new. */
async function noteDelivery(tx: Db, { id }: Hooked, delivery: string, now: Date): Promise<boolean> {
  const knownFrom = new Date(now.getTime() - deliveryKeptMs)
  const added = await tx.$executeRaw`
    INSERT INTO source_deliveries AS known (source_id, delivery, received_at) VALUES (${id}, ${delivery}, ${now}::timestamptz)
    ON CONFLICT (source_id, delivery) DO UPDATE SET received_at = excluded.received_at WHERE known.received_at < ${knownFrom}::timestamptz`
  if (added > 0) await pruneDeliveries(tx, id, knownFrom)
  return added > 0
}

/** Rows that somebody else is removing are left to them, so that two never wait for each other. */
async function pruneDeliveries(tx: Db, sourceId: bigint, knownFrom: Date): Promise<void> {
  await tx.$executeRaw`
    DELETE FROM source_deliveries WHERE (source_id, delivery) IN (
      SELECT source_id, delivery FROM source_deliveries WHERE received_at < ${knownFrom}::timestamptz
      ORDER BY received_at LIMIT ${maxPruned} FOR UPDATE SKIP LOCKED)`
  await tx.$executeRaw`
    DELETE FROM source_deliveries WHERE source_id = ${sourceId} AND delivery IN (
      SELECT delivery FROM source_deliveries WHERE source_id = ${sourceId}
      ORDER BY received_at DESC OFFSET ${keptDeliveries} FOR UPDATE SKIP LOCKED)`
}
