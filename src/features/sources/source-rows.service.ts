import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import type { Source as SourceRow } from '../../generated/prisma/client.js'
import type { Project } from '../../lib/access.js'
import { createAllowedHosts } from '../../lib/allowed-hosts.js'
import type { EncryptedSecret } from '../../lib/encryption.js'
import { didYouMean } from '../../lib/suggest.js'
import { toFindings } from '../../lib/validation.js'
import type { FetchNote, Provider, ProviderContext } from '../../providers/provider.js'
import { secretFields } from '../../providers/provider.js'
import { findProvider, providers } from '../../providers/providers.js'

export type { SourceRow }

/** What a source may bring. A listing counts every file there, prompts or not. */
export const providerLimits = { files: 50_000, fileBytes: 512 * 1024, totalBytes: 64 * 1024 ** 2 }
const requestTimeoutMs = 15_000
/** A run's log of calls ends here. */
const maxNotes = 200
const maxSuggestions = 200

/** The field under which the secret of the webhook is encrypted: no provider has one of this name. */
export const webhookField = 'webhookSecret'

export async function requireSource(db: Db, project: Project, name: string): Promise<SourceRow> {
  const row = await db.source.findUnique({ where: { projectId_name: { projectId: project.id, name } } })
  if (row) return row
  const others = await db.source.findMany({ where: { projectId: project.id }, select: { name: true }, take: maxSuggestions })
  const hint = didYouMean(
    name,
    others.map((other) => other.name),
  )
  throw new AppError('source.not_found', `No source "${name}" in project "${project.slug}".${hint}`)
}

export function requireProvider(name: string): Provider {
  const provider = findProvider(name)
  if (provider) return provider
  const known = providers.map((provider) => `"${provider.name}"`).join(', ')
  throw new AppError('validation.failed', `There is no provider "${name}". Use one of ${known}.`, {
    errors: [{ path: 'provider', message: `must be one of ${known}` }],
  })
}

const noHosts = createAllowedHosts([])

const workspacePrefix = 'promptsync-source-'
/** No run takes as long. */
const abandonedMs = 60 * 60 * 1_000

/** Removes what processes left behind that were killed in the midst of a run: a key may be among it. */
export async function sweepWorkspaces(): Promise<void> {
  const names = (await readdir(tmpdir())).filter((name) => name.startsWith(workspacePrefix))
  for (const name of names) {
    const path = join(tmpdir(), name)
    // Another instance may have removed it a moment ago.
    const found = await stat(path).catch(() => null)
    if (found && Date.now() - found.mtimeMs > abandonedMs) await rm(path, { recursive: true, force: true })
  }
}

/** What the ciphertext of a field is bound to. */
export function secretSubject({ uid }: Pick<SourceRow, 'uid'>, field: string): string {
  return `source ${uid} ${field}`
}

/** A field's value in clear, or null where none is stored. */
export function openSecret({ keyring }: Pick<Deps, 'keyring'>, row: SourceRow, field: string): unknown {
  const stored = (row.secrets as Record<string, EncryptedSecret>)[field]
  return stored === undefined ? null : JSON.parse(keyring.decrypt(stored, secretSubject(row, field)))
}

/** The config as its provider takes it, credentials included. */
export function openConfig(deps: Pick<Deps, 'keyring'>, row: SourceRow): unknown {
  const provider = requireProvider(row.provider)
  const secrets = secretFields(provider).flatMap((field) => {
    const value = openSecret(deps, row, field)
    return value === null ? [] : [[field, value] as const]
  })
  const parsed = provider.config.safeParse({ ...(row.config as object), ...Object.fromEntries(secrets) })
  if (parsed.success) return parsed.data
  const [first] = toFindings(parsed.error.issues, 'config')
  throw new AppError(
    'secrets.unavailable',
    `Source "${row.name}" lacks what it needs: ${first?.path} ${first?.message}. PUT it again, with its credentials.`,
  )
}

/** Work with what providers need, private places for those that a global admin set up alone: a directory of its own, which goes with it, and a bounded log of what was asked. */
export async function withContext<T>(
  deps: Deps,
  { trusted }: Pick<SourceRow, 'trusted'>,
  signal: AbortSignal,
  use: (context: ProviderContext, notes: FetchNote[]) => Promise<T>,
): Promise<T> {
  const workspace = await mkdtemp(join(tmpdir(), workspacePrefix))
  const notes: FetchNote[] = []
  const context: ProviderContext = {
    signal,
    requestTimeoutMs,
    limits: providerLimits,
    outbound: trusted ? deps.outbound.allowed : deps.outbound.public,
    allowedHosts: trusted ? deps.allowedHosts : noHosts,
    fileRoots: deps.config.fileRoots,
    workspace,
    note: (note) => {
      if (notes.length < maxNotes) notes.push({ ...note, durationMs: Math.round(note.durationMs) })
    },
  }
  try {
    return await use(context, notes)
  } finally {
    await rm(workspace, { recursive: true, force: true })
  }
}
