/** What a key may do. `admin` holds all the others. */
export const scopes = ['prompts:read', 'prompts:write', 'aliases:write', 'sources:write', 'metrics:write', 'admin'] as const
export type Scope = (typeof scopes)[number]

/** Who is asking: a key, or nobody in particular on a public project. */
export type Actor = {
  keyId: string | null
  name: string
  scopes: readonly Scope[]
  /** The one project the key may see, or null for a global key. */
  projectId: bigint | null
  /** False for a key that could not be checked again because the database is away: it keeps its reads. */
  isConfirmed: boolean
}

/** A key as the database last told of it, by a query that began at `checkedAtMs` of the clock that only goes forward. */
export type CheckedKey = { actor: Actor; expiresAt: Date | null; revokedAt: Date | null; checkedAtMs: number }

/** Who acts where nobody sent a key: the start of an instance, or an admin on the machine. */
export function systemActor(name: string): Actor {
  return { keyId: null, name, scopes: ['admin'], projectId: null, isConfirmed: true }
}

export const anonymous: Actor = { keyId: null, name: 'anonymous', scopes: [], projectId: null, isConfirmed: true }

export type ProjectSettings = { publicRead: boolean; scan: 'warn' | 'block' | 'off'; defaultAlias: string }

export type Project = {
  id: bigint
  slug: string
  name: string | null
  settings: ProjectSettings
  createdAt: Date
  updatedAt: Date
}

/** A request as services see it: who asks, in which project, under which id. */
export type Caller = { actor: Actor; project: Project; requestId: string }

export function hasScope(actor: Actor, scope: Scope): boolean {
  return actor.scopes.includes(scope) || actor.scopes.includes('admin')
}
