import { randomBytes } from 'node:crypto'
import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import { Prisma } from '../../generated/prisma/client.js'
import type { Caller, Project } from '../../lib/access.js'
import { toBasisPoints } from '../../lib/canary.js'
import {
  type AliasRow,
  canaryOf,
  isSameTarget,
  readAliasPage,
  requireAlias,
  targetOf,
  toAlias,
  toAliasPage,
  toTargetRefs,
} from '../aliases/alias-rows.service.js'
import type { Alias, MovedAlias } from '../aliases/aliases.schema.js'
import { changeAlias, checkRevision, type MoveRequest, resolveTarget, warningsOf } from '../aliases/aliases.service.js'
import { writeProject } from '../projects/projects.service.js'
import type { Canary, CanaryQuery, SetCanary } from './canaries.schema.js'

function toCanary(row: AliasRow): Canary {
  const canary = canaryOf(row)
  if (!canary) throw new Error(`Alias ${row.name} has no canary.`)
  return {
    alias: row.name,
    prompt: row.prompt?.name ?? null,
    ...toTargetRefs(canary.target),
    percentage: canary.basisPoints / 100,
    revision: row.revision,
    startedAt: canary.startedAt.toISOString(),
  }
}

/**
 * Starts a canary or replaces the running one. A new target gets a new salt; a new percentage keeps it, so that
 * raising it only moves subjects in. Throws `canary.same_target` for the alias' own target.
 */
export async function setCanary(
  deps: Deps,
  caller: Caller,
  input: SetCanary,
  ifMatch: string | undefined,
): Promise<{ canary: Canary; created: boolean }> {
  return writeProject(deps, caller.project, async (tx, project) => {
    const row = await requireAlias(tx, project, input.alias, input.prompt)
    const target = await resolveTarget(tx, project, input.prompt, input.version)
    if (isSameTarget(targetOf(row), target)) {
      throw new AppError('canary.same_target', `Alias "${input.alias}" points to ${input.version} already. Name another target.`)
    }
    const running = canaryOf(row)
    const basisPoints = toBasisPoints(input.percentage)
    const isSame = running !== null && isSameTarget(running.target, target)
    if (isSame && running.basisPoints === basisPoints) return { canary: toCanary(row), created: false }
    checkRevision(input.alias, row, ifMatch)
    const { salt, startedAt } = isSame ? running : { salt: randomBytes(16).toString('hex'), startedAt: deps.now() }
    const after = await changeAlias(
      deps,
      tx,
      caller,
      row,
      { action: 'canary', reason: input.reason },
      { target: targetOf(row), canary: { target, basisPoints, salt, startedAt }, stack: 'keep' },
    )
    return { canary: toCanary(after), created: running === null }
  })
}

/** Ends a canary: everyone gets the stable target again. */
export async function endCanary(deps: Deps, caller: Caller, request: MoveRequest): Promise<Alias> {
  return writeProject(deps, caller.project, async (tx, project) => {
    const { row } = await requireCanary(tx, project, request)
    const change = { action: 'canary.end' as const, reason: request.reason }
    return toAlias(await changeAlias(deps, tx, caller, row, change, { target: targetOf(row), canary: null, stack: 'keep' }))
  })
}

/** Makes the canary's target the alias' target; rollback leads back from there. */
export async function promoteCanary(deps: Deps, caller: Caller, request: MoveRequest): Promise<MovedAlias> {
  return writeProject(deps, caller.project, async (tx, project) => {
    const { row, canary } = await requireCanary(tx, project, request)
    const warnings = await warningsOf(tx, request, targetOf(row), canary.target)
    const change = { action: 'promote' as const, reason: request.reason }
    const after = await changeAlias(deps, tx, caller, row, change, { target: canary.target, canary: null, stack: 'push' })
    return { ...toAlias(after), warnings }
  })
}

async function requireCanary(db: Db, project: Project, request: MoveRequest) {
  const row = await requireAlias(db, project, request.name, request.prompt)
  const canary = canaryOf(row)
  if (!canary)
    throw new AppError('canary.not_found', `Alias "${request.name}" has no canary running. Start one with POST /canary.`)
  checkRevision(request.name, row, request.ifMatch)
  return { row, canary }
}

/** By alias. */
export async function listCanaries({ db }: Deps, project: Project, query: CanaryQuery) {
  const rows = await readAliasPage(db, project, query, Prisma.sql`a.canary_basis_points IS NOT NULL`)
  return toAliasPage(rows, query, toCanary)
}
