import { createHash } from 'node:crypto'
import t from 'tap'
import { tellsOfTheInside } from '../helpers/inside.js'
import { type Answer, type CallOptions, startService } from '../helpers/service.js'

/** Where a mutation is made: a project with releases `one` and `two`, of which alias `dev` points to `two` and has been at `one`. */
type World = {
  project: string
  send: (path: string, options?: CallOptions) => Promise<Answer>
  made: { id: string; secret: string }
}
type Call = [path: string, options: CallOptions]

type Mutation = {
  /** What it needs beyond the world. */
  prepare?: (world: World) => Promise<unknown>
  call: (world: World) => Call
  /** The same call, refused once the transaction has begun. */
  refused?: (world: World) => [...Call, outcome: string]
  entry: (world: World, answer: any) => { action: string; target: string; before: object | null; after: object | null }
}

const gitPassword = 'hunter2-of-the-deploy-user'
const unknownId = '00000000-0000-4000-8000-000000000000'
const stale = { headers: { 'if-match': '"999"' } }
const post = (body?: object): CallOptions => ({ method: 'POST', body })
const put = (body: object): CallOptions => ({ method: 'PUT', body })
const patch = (body: object): CallOptions => ({ method: 'PATCH', body })
const remove: CallOptions = { method: 'DELETE' }
const startCanary = ({ send }: World) => send('/canary', post({ alias: 'dev', version: 'one', percentage: 10 }))

/** Every call that changes something, by operation. One that is not here fails the test. */
const mutations: Record<string, Mutation> = {
  push: {
    call: () => ['/prompts', post(pushed)],
    refused: () => ['/prompts', { ...post(pushed), ...stale }, '412 alias.moved'],
    entry: () => ({
      action: 'push',
      target: 'three',
      before: { release: 'two', alias: { name: 'dev', release: 'two' } },
      after: { release: 'three', created: 1, prompts: ['x'], alias: { name: 'dev', release: 'three', revision: 3 } },
    }),
  },
  moveAlias: {
    call: () => ['/aliases/dev', put({ version: 'one', reason: 'Two is worse.' })],
    refused: () => ['/aliases/dev', { ...put({ version: 'one' }), ...stale }, '412 alias.moved'],
    entry: () => ({
      action: 'alias.move',
      target: 'dev',
      before: { release: 'two', revision: 2 },
      after: { release: 'one', revision: 3 },
    }),
  },
  rollbackAlias: {
    call: () => ['/aliases/dev/rollback', post()],
    refused: () => ['/aliases/dev/rollback', { ...post(), ...stale }, '412 alias.moved'],
    entry: () => ({ action: 'alias.rollback', target: 'dev', before: { release: 'two' }, after: { release: 'one' } }),
  },
  deleteAlias: {
    call: () => ['/aliases/dev', remove],
    refused: () => ['/aliases/dev', { ...remove, ...stale }, '412 alias.moved'],
    entry: () => ({ action: 'alias.delete', target: 'dev', before: { release: 'two' }, after: { release: null } }),
  },
  setCanary: {
    call: () => ['/canary', post({ alias: 'dev', version: 'one', percentage: 10 })],
    refused: () => ['/canary', post({ alias: 'dev', version: 'two', percentage: 10 }), '409 canary.same_target'],
    entry: () => ({
      action: 'alias.canary',
      target: 'dev',
      before: { canary: null },
      after: { canary: { release: 'one', percentage: 10 } },
    }),
  },
  endCanary: {
    prepare: startCanary,
    call: () => ['/canary/dev', remove],
    refused: () => ['/canary/unknown', remove, '404 alias.not_found'],
    entry: () => ({
      action: 'alias.canary.end',
      target: 'dev',
      before: { release: 'two', canary: { release: 'one' } },
      after: { release: 'two', canary: null },
    }),
  },
  promoteCanary: {
    prepare: startCanary,
    call: () => ['/canary/dev/promote', post()],
    refused: () => ['/canary/unknown/promote', post(), '404 alias.not_found'],
    entry: () => ({
      action: 'alias.promote',
      target: 'dev',
      before: { release: 'two', canary: { release: 'one' } },
      after: { release: 'one', canary: null },
    }),
  },
  updatePrompt: {
    call: () => ['/prompts/x', patch({ title: 'New', labels: ['a'] })],
    refused: () => ['/prompts/unknown', patch({ title: 'New' }), '404 prompt.not_found'],
    entry: () => ({
      action: 'prompt.update',
      target: 'x',
      before: { title: 'Old', labels: [] },
      after: { title: 'New', labels: ['a'] },
    }),
  },
  archivePrompt: {
    call: () => ['/prompts/y', remove],
    refused: () => ['/prompts/unknown', remove, '404 prompt.not_found'],
    entry: () => ({ action: 'prompt.archive', target: 'y', before: { archived: false }, after: { archived: true } }),
  },
  purgeVersion: {
    call: () => ['/prompts/x/one/purge', post({ reason: 'It names a person.' })],
    refused: () => ['/prompts/x/dev/purge', post({ reason: 'It names a person.' }), '422 validation.failed'],
    entry: () => ({
      action: 'version.purge',
      target: 'x one',
      before: { purged: false },
      after: { purged: true, reason: 'It names a person.' },
    }),
  },
  allowPurged: {
    prepare: ({ send }) => send('/prompts/x/one/purge', post({ reason: 'It names a person.' })),
    call: () => ['/prompts/x/one/purge', remove],
    refused: () => ['/prompts/x/two/purge', remove, '404 purge.not_found'],
    entry: () => ({ action: 'version.allow', target: 'x one', before: { refused: true }, after: { refused: false } }),
  },
  putSource: {
    call: () => ['/sources/one', put(source)],
    entry: () => ({ action: 'source.create', target: 'one', before: null, after: { ...audited, webhookSecret: null } }),
  },
  deleteSource: {
    prepare: ({ send }) => send('/sources/one', put(source)),
    call: () => ['/sources/one', remove],
    refused: () => ['/sources/unknown', remove, '404 source.not_found'],
    entry: () => ({ action: 'source.delete', target: 'one', before: audited, after: null }),
  },
  createProject: {
    call: ({ project }) => ['/projects', post({ slug: `${project}-new`, settings: { scan: 'off' } })],
    refused: ({ project }) => ['/projects', post({ slug: project }), '409 project.exists'],
    entry: ({ project }) => ({
      action: 'project.create',
      target: `${project}-new`,
      before: null,
      after: { slug: `${project}-new`, settings: { scan: 'off' } },
    }),
  },
  updateProject: {
    call: ({ project }) => [`/projects/${project}`, patch({ name: 'New', settings: { scan: 'off' } })],
    entry: ({ project }) => ({
      action: 'project.update',
      target: project,
      before: { name: null, settings: { scan: 'warn' } },
      after: { name: 'New', settings: { scan: 'off' } },
    }),
  },
  deleteProject: {
    // Several keys in use, all of which the instance has to forget.
    prepare: async ({ project, send, made }) => {
      const second = await service.createKey({ name: 'second', project, scopes: ['prompts:read'] })
      for (const { secret } of [made, second, made]) await send('/prompts', { key: secret })
    },
    call: ({ project }) => [`/projects/${project}`, remove],
    entry: ({ project }) => ({
      action: 'project.delete',
      target: project,
      before: { slug: project },
      after: { erased: { prompts: 2, versions: 3, releases: 2, aliases: 1, sources: 0, keys: 2 } },
    }),
  },
  createKey: {
    call: ({ project }) => ['/keys', post({ name: 'new', project, scopes: ['prompts:read'] })],
    entry: ({ project }, { id }) => ({
      action: 'key.create',
      target: id,
      before: null,
      after: { name: 'new', project, scopes: ['prompts:read'] },
    }),
  },
  revokeKey: {
    call: ({ made }) => [`/keys/${made.id}`, remove],
    refused: () => [`/keys/${unknownId}`, remove, '404 key.not_found'],
    entry: ({ made }, { revokedAt }) => ({
      action: 'key.revoke',
      target: made.id,
      before: { revokedAt: null },
      after: { revokedAt },
    }),
  },
}

/** One that is not enabled, so that no sync follows. */
const source = { provider: 'inline', config: { files: { 'prompts/z.md': 'Z' } }, prefix: 'one', enabled: false }
/** The audit, which is never erased, keeps no text of a prompt. */
const audited = { ...source, config: { files: ['prompts/z.md'] } }

const pushed = {
  version: 'three',
  alias: 'dev',
  git: { repo: `https://deploy:${gitPassword}@github.com/acme/app`, commit: 'c'.repeat(40) },
  prompts: [{ name: 'x', content: '3' }],
}

const service = await startService(t)
const { db } = service.deps
const walker = await service.createKey({ name: 'the walker', scopes: ['admin'] })
const powerless = await service.createKey({ name: 'the powerless', scopes: ['metrics:write'] })
const secrets = [walker.secret, powerless.secret, service.adminKey, gitPassword]
/** A request of this id can leave no entry: the database refuses it. */
const doomed = 'an-entry-that-fails'
await db.$executeRawUnsafe(
  `CREATE FUNCTION refuse_entry() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the audit is full'; END $$`,
)
await db.$executeRawUnsafe(
  `CREATE TRIGGER refuse_entry BEFORE INSERT ON audit_entries FOR EACH ROW WHEN (NEW.request_id = '${doomed}') EXECUTE FUNCTION refuse_entry()`,
)

/** They take a body, and change nothing. */
const reads = ['renderPrompt', 'fetchPrompts', 'renderResolved', 'validate', 'testSource']
/** They ask for a sync, whose release is what leaves an entry. */
const asks = ['syncSource', 'takeGithubHook', 'takeSignedHook']

/** Operations of the OpenAPI that may change something. */
function mutatingOperations(): string[] {
  const paths = service.app.swagger().paths as Record<string, Record<string, { operationId: string }>>
  return Object.values(paths).flatMap((methods) =>
    Object.entries(methods).flatMap(([method, { operationId }]) =>
      ['get', 'head'].includes(method) || [...reads, ...asks].includes(operationId) ? [] : [operationId],
    ),
  )
}

async function makeWorld(operation: string): Promise<World> {
  const project = `walk-${operation.toLowerCase()}`
  const send = (path: string, options: CallOptions = {}) => service.call(path, { project, key: walker.secret, ...options })
  await service.call('/projects', { body: { slug: project } })
  await service.push(
    {
      version: 'one',
      alias: 'dev',
      prompts: [
        { name: 'x', content: '1', title: 'Old' },
        { name: 'y', content: '1' },
      ],
    },
    { project },
  )
  await service.push({ version: 'two', alias: 'dev', prompts: [{ name: 'x', content: '2' }] }, { project })
  const made = await service.createKey({ name: 'made', project, scopes: ['prompts:read'] })
  secrets.push(made.secret)
  return { project, made, send }
}

type Entry = {
  project: string | null
  epoch: bigint | null
  epochToken: string | null
  actor: string
  keyId: string | null
  requestId: string
  before: unknown
  after: unknown
}

t.test('every operation that may change something is walked', async (t) => {
  t.strictSame(mutatingOperations().sort(), Object.keys(mutations).sort())
})

for (const [operation, mutation] of Object.entries(mutations)) {
  t.test(`${operation} leaves exactly one entry with what it did, and none without doing it`, async (t) => {
    const world = await makeWorld(operation)
    await mutation.prepare?.(world)
    const [path, options] = mutation.call(world)
    const before = await everyRow()

    const refusals: [what: string, ...Call, outcome: RegExp][] = [
      ['a query that no route knows', `${path}?unexpected=1`, options, /^422 /],
      ['a key without the scope', path, { ...options, key: powerless.secret }, /^403 scope\.missing$/],
      ['an entry that cannot be written', path, { ...options, headers: { 'x-request-id': doomed } }, /^5\d\d /],
    ]
    if (options.body) refusals.push(['a bad body', path, { ...options, body: { ...options.body, unexpected: 1 } }, /^422 /])
    if (mutation.refused) {
      const [late, lateOptions, outcome] = mutation.refused(world)
      refusals.push(['a refusal within the transaction', late, lateOptions, new RegExp(`^${outcome}$`)])
    }
    for (const [what, where, how, outcome] of refusals) {
      const { status, body, text } = await world.send(where, how)
      t.match(`${status} ${body.code}`, outcome, what)
      t.notOk(tellsOfTheInside(text) || text.includes('the audit is full'), `${what} tells of the inside: ${text}`)
    }
    const after = await everyRow()
    t.ok(after === before, `no refusal changes anything${after === before ? '' : `: ${firstDifference(before, after)}`}`)

    const known = await lastEntry()
    const requestId = `walk-${operation}`
    const answer = await world.send(path, { ...options, headers: { ...options.headers, 'x-request-id': requestId } })
    t.ok(answer.status === 200 || answer.status === 201, `${answer.status} ${JSON.stringify(answer.body.detail ?? '')}`)
    t.ok((await everyRow()) !== before, 'it changed something')
    if (answer.body.secret) secrets.push(answer.body.secret)
    const entries = await db.auditEntry.findMany({ where: { id: { gt: known } }, omit: { id: true, createdAt: true } })
    t.equal(entries.length, 1)
    const { before: from, after: to, epoch, epochToken, ...entry } = (entries[0] ?? {}) as Entry
    const expected = mutation.entry(world, answer.body)
    t.strictSame(entry, {
      project: operation === 'createProject' ? expected.target : world.project,
      ...{ actor: 'the walker', keyId: walker.id, requestId, action: expected.action, target: expected.target },
    })
    const raised = await db.project.findUnique({ where: { slug: entry.project ?? '' } })
    const isOfKeys = expected.action.startsWith('key.')
    t.strictSame([epoch, epochToken], isOfKeys ? [null, null] : [raised?.epoch, raised?.epochToken], 'the epoch it made')
    compare(t, from, expected.before, 'what was before')
    compare(t, to, expected.after, 'what is after')
    const told = JSON.stringify(entries.map(({ before, after, target }) => [before, after, target]))
    for (const secret of secrets) t.notOk(told.includes(secret) || told.includes(hashOf(secret)), 'no secret and no hash of one')
    t.notMatch(told, /ps_[0-9A-Za-z]{43}|[0-9a-f]{64}/)
  })
}

/** Checks the fields that are expected, those of objects within too; null stands for no value at all. */
function compare(t: Pick<typeof import('tap').t, 'match' | 'equal'>, found: unknown, wanted: object | null, title: string): void {
  if (wanted === null) t.equal(found, null, title)
  else t.match(found, wanted, title)
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

async function lastEntry(): Promise<bigint> {
  return (await db.auditEntry.aggregate({ _max: { id: true } }))._max.id ?? 0n
}

/** Every row of every table as text, but for when a key was last used. */
async function everyRow(): Promise<string> {
  const tables = await db.$queryRaw<{ name: string }[]>`
    SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`
  const selects = tables.map(({ name }) => `SELECT '${name} ' || (to_jsonb(r) - 'last_used_at')::text AS row FROM "${name}" r`)
  const rows = await db.$queryRawUnsafe<{ row: string }[]>(`${selects.join(' UNION ALL ')} ORDER BY 1`)
  return rows.map(({ row }) => row).join('\n')
}

function firstDifference(before: string, after: string): string {
  const known = new Set(before.split('\n'))
  return after.split('\n').find((row) => !known.has(row)) ?? 'a row is gone'
}
