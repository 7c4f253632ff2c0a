import type { Db } from '../../database/connect.js'
import type { Deps } from '../../deps.js'
import { AppError, type ErrorCode, type Finding } from '../../errors.js'
import type { Project } from '../../lib/access.js'
import type { Pause } from '../../lib/slices.js'
import { queued } from '../projects/projects.service.js'
import { refusePurged } from '../purge/purge.service.js'
import { checkPrompts } from '../push/check.service.js'
import { planPush } from '../push/plan.service.js'
import { parsePush } from '../push/prepare.service.js'
import { type Fault, type PreparedPrompt, type Remark, readPrompts, refuseSameNames } from '../push/read.service.js'
import { whileThere } from '../reads/database.service.js'
import type { Validation } from './validate.schema.js'

/** An answer tells this many errors, and as many warnings. */
const maxFindings = 1_000
const lookTimeoutMs = 60_000

/**
 * Checks what a push of the same body would, and tells all of it. Stores nothing. Throws only where the request itself cannot
 * be read, or builds on a release that is not there.
 */
export async function validatePush(deps: Deps, project: Project, body: unknown): Promise<Validation> {
  const { request, rawPrompts, rawFiles } = parsePush(body)
  const read = await readPrompts(rawPrompts, rawFiles, request.template ?? 'jinja', deps.pause)
  const checked = await checkPrompts(read.prompts, () => false, project.settings, deps.pause, maxFindings)
  const same = await faultsOf(() => refuseSameNames(read.prompts))
  const errors = [...read.errors, ...same, ...checked.errors]
  const warnings = [...read.warnings, ...checked.warnings]
  // With names missing or twice, every include of them would be one more error.
  if (read.errors.length === 0 && same.length === 0 && checked.errors.length < maxFindings) {
    const push = { request, git: null, prompts: checked.prompts, warnings: [], sync: null }
    const look = async (db: Db) => {
      errors.push(...(await faultsOf(() => refuseTextsPurged({ ...deps, db }, project, checked.prompts))))
      const plan = async () => {
        warnings.push(...(await planPush({ db, pause: deps.pause }, project, push, undefined)).warnings)
      }
      errors.push(...(await faultsOf(plan)))
    }
    // One moment for all that is read: the project may be changing, or going.
    const options = { isolationLevel: 'RepeatableRead', timeout: lookTimeoutMs } as const
    await queued(deps.validations, project.slug, () => whileThere(deps, deps.db.$transaction(look, options)))
  }
  const prompts = new Map(checked.prompts.map((prompt) => [prompt.where, prompt]))
  const findings = [
    ...errors.slice(0, maxFindings).map((fault) => toFinding('error', fault, prompts)),
    ...warnings.slice(0, maxFindings).map((remark) => toFinding('warning', remark, prompts)),
  ]
  return { valid: errors.length === 0, findings }
}

async function refuseTextsPurged(
  { db, pause }: { db: Db; pause: Pause },
  project: Project,
  prompts: PreparedPrompt[],
): Promise<void> {
  const { purgeSalt } = await db.project.findUniqueOrThrow({ where: { id: project.id }, select: { purgeSalt: true } })
  await refusePurged(db, { id: project.id, purgeSalt }, prompts, pause)
}

/** Input that is not valid, or not in this project now. */
const refusals = new Set([409, 422])

/** What a step refuses, as findings. Anything that does not concern the input is thrown on. */
async function faultsOf(step: () => void | Promise<void>): Promise<Fault[]> {
  try {
    await step()
    return []
  } catch (error) {
    if (!(error instanceof AppError) || !refusals.has(error.status)) throw error
    return toFaults(error.code, error.errors ?? [{ path: '', message: error.message }])
  }
}

function toFaults(code: ErrorCode, findings: Finding[]): Fault[] {
  return findings.map((finding) => ({ code, ...finding }))
}

function toFinding(
  severity: 'error' | 'warning',
  remark: Remark,
  prompts: ReadonlyMap<string, PreparedPrompt>,
): Validation['findings'][number] {
  const { code, message, path, prompt = null, file = null, line = null, column = null } = remark
  const about = prompts.get(/^\w+\[\d+\]/.exec(path)?.[0] ?? '')
  return { severity, code, message, path, prompt: prompt ?? about?.name ?? null, file: file ?? about?.path ?? null, line, column }
}
