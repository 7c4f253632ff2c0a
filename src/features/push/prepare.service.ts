import { AppError } from '../../errors.js'
import type { ProjectSettings } from '../../lib/access.js'
import { stripCredentials } from '../../lib/secrets.js'
import type { Pause } from '../../lib/slices.js'
import { codeOf, invalid, maxFindings, toFindings } from '../../lib/validation.js'
import type { GitInfo } from '../releases/releases.service.js'
import { checkPrompts } from './check.service.js'
import { PushEnvelope } from './push.schema.js'
import { type Fault, type PreparedPrompt, type Remark, readPrompts, refuseSameNames } from './read.service.js'

export type PreparedPush = {
  request: Omit<PushEnvelope, 'prompts' | 'files' | 'git'>
  git: GitInfo | null
  prompts: PreparedPrompt[]
  warnings: string[]
  /** Where it is a sync: what makes the prompts a source's own. */
  sync: Sync | null
}

/** A source that brings what is pushed; the prompts are those of its files that changed. */
export type Sync = {
  source: { id: bigint; name: string; prefix: string | null }
  /** The names of all that it brings; what else it owned is dropped. */
  names: ReadonlySet<string>
  /** Its PATH file, null where it has none. */
  pathFile: string | null
}

/** Tells which contents the project accepted before: their templates need no second look. */
export type FindAccepted = (prompts: PreparedPrompt[]) => Promise<(prompt: PreparedPrompt) => boolean>

type ParsedPush = Pick<PreparedPush, 'request'> & { rawPrompts: unknown[]; rawFiles: unknown[]; rawGit: PushEnvelope['git'] }

/** The request apart from its items, which are not read yet. */
export function parsePush(body: unknown): ParsedPush {
  const parsed = PushEnvelope.safeParse(body)
  if (!parsed.success) throw invalid(codeOf(parsed.error.issues), toFindings(parsed.error.issues))
  const { prompts: rawPrompts, files: rawFiles, git: rawGit, ...request } = parsed.data
  if (rawPrompts.length + rawFiles.length > 0) return { request, rawPrompts, rawFiles, rawGit }
  throw new AppError(
    'push.empty',
    'The push carries neither prompts nor files. Give at least one, or DELETE /prompts/:name to archive one.',
  )
}

/** Parses, validates, hashes and scans a push, all before any transaction, and lets other work have its turn. */
export async function preparePush(
  body: unknown,
  settings: ProjectSettings,
  pause: Pause,
  findAccepted: FindAccepted,
): Promise<PreparedPush> {
  const { request, rawPrompts, rawFiles, rawGit } = parsePush(body)
  const read = await readPrompts(rawPrompts, rawFiles, request.template ?? 'jinja', pause)
  refuseFaults(read.errors)
  refuseSameNames(read.prompts)
  const checked = await checkPrompts(read.prompts, await findAccepted(read.prompts), settings, pause, maxFindings)
  refuseFaults(checked.errors)
  const { git, gitWarnings } = cleanGit(rawGit)
  return {
    request,
    git,
    prompts: checked.prompts,
    sync: null,
    warnings: [...gitWarnings, ...toWarnings([...read.warnings, ...checked.warnings])],
  }
}

export function refuseFaults(faults: Fault[]): void {
  const [first] = faults
  if (!first) return
  throw invalid(
    first.code,
    faults.map(({ path, message }) => ({ path, message })),
  )
}

/** A push names this many remarks; the rest are counted. */
const maxWarnings = 50

/** Remarks as a push answers them. */
export function toWarnings(remarks: Remark[]): string[] {
  const warnings = remarks.slice(0, maxWarnings).map(({ message }) => message)
  return remarks.length > maxWarnings ? [...warnings, `${remarks.length - maxWarnings} more warnings.`] : warnings
}

function cleanGit(git: PushEnvelope['git']): { git: GitInfo | null; gitWarnings: string[] } {
  if (!git) return { git: null, gitWarnings: [] }
  const { url, stripped } = stripCredentials(git.repo ?? '')
  return {
    git: { repo: git.repo == null ? null : url, commit: git.commit, branch: git.branch ?? null, dirty: git.dirty ?? null },
    gitWarnings: stripped ? ['git.repo held a user name or password, which was removed and not stored.'] : [],
  }
}
