import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import type { Caller, Project } from '../../lib/access.js'
import { queued } from '../projects/projects.service.js'
import { type Asked, type Found, faultsOf, findFiles } from './reading.service.js'
import { readsOtherwise, readWanted, refuseAlias, type Wanted } from './settings.service.js'
import { openConfig, requireProvider, requireSource, type SourceRow, withContext } from './source-rows.service.js'
import type { PutSource, SourceTest } from './sources.schema.js'
import { previewSync } from './sync.service.js'

const previewTimeoutMs = 60_000

/** What a sync would do, with settings that are stored or with others. Stores nothing, and tells what is wrong instead of failing. */
export async function testSource(deps: Deps, caller: Caller, name: string, body: PutSource | null): Promise<SourceTest> {
  const { db } = deps
  const { project } = caller
  const before = await db.source.findUnique({ where: { projectId_name: { projectId: project.id, name } } })
  if (!body && !before) await requireSource(db, project, name)
  if (body) refuseAlias(caller.actor, body)
  const wanted = body && readWanted(deps, caller.actor, before, body)
  const row = wanted ? draft(project, name, before, wanted) : (before as SourceRow)
  const provider = requireProvider(row.provider)
  const config = wanted ? wanted.config : openConfig(deps, row)
  const known = before && wanted && readsOtherwise(before, row) ? ('none' as const) : ('as stored' as const)
  const signal = AbortSignal.any([deps.shutdown.signal, AbortSignal.timeout(previewTimeoutMs)])
  const look = () =>
    withContext(deps, row, signal, async (context, notes) => {
      const asked = { provider, config, context, pause: deps.pause }
      const nothing = { commit: null, warnings: [], results: [], counts: { files: 0, created: 0, unchanged: 0, removed: 0 } }
      try {
        await provider.check(config, context)
        const found = await findFiles(asked, null, row)
        if (!found) throw new Error(`Provider ${row.provider} says that nothing changed since nothing.`)
        return { ok: true, errors: [], ...(await toPreview(deps, row, asked, found, known)), fetches: notes }
      } catch (error) {
        if (!(error instanceof AppError)) throw error
        return { ok: false, ...nothing, errors: faultsOf(error), fetches: notes }
      }
    })
  return queued(deps.looks, project.slug, look)
}

/** The row that a PUT would make. One that is not there has an id that no row has. */
function draft(project: Project, name: string, before: SourceRow | null, { settings, publicConfig, trusted }: Wanted): SourceRow {
  const none = {
    ...{ id: -1n, uid: '', secrets: {}, generation: 0, revision: null, commit: null, release: null },
    ...{ status: 'pending', checkedAt: null, syncedAt: null, unreachableSince: null, failures: 0 },
    ...{ createdAt: new Date(0), updatedAt: new Date(0), nextCheckAt: new Date(0) },
  }
  const config = publicConfig as SourceRow['config']
  return { ...none, ...before, ...settings, config, trusted, name, projectId: project.id }
}

async function toPreview(deps: Deps, row: SourceRow, asked: Asked, found: Found, known: 'as stored' | 'none') {
  const { plan, warnings } = await previewSync(deps, row, asked, found, known)
  const made = plan.prompts.map(({ pushed, reused }) => ({
    name: pushed.name,
    status: reused ? ('unchanged' as const) : ('created' as const),
  }))
  const removed = plan.removed.map((held) => ({ name: held.name, status: 'removed' as const }))
  const created = made.filter(({ status }) => status === 'created').length
  const files = found.prompts.length
  return {
    commit: found.commit?.commit ?? null,
    warnings,
    results: [...made, ...removed],
    counts: { files, created, unchanged: Math.max(0, files - created), removed: removed.length },
  }
}
