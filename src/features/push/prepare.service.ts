import { AppError, type ErrorCode, type Finding } from '../../errors.js'
import type { ProjectSettings } from '../../lib/access.js'
import { type Body, hashSerialized, serializeVersion, type VersionContent } from '../../lib/content-hash.js'
import { parsePromptFile } from '../../lib/files.js'
import { scanContent } from '../../lib/scan.js'
import { stripCredentials } from '../../lib/secrets.js'
import { mapInSlices, type Pause } from '../../lib/slices.js'
import { parseTemplate } from '../../lib/template/parse.js'
import { TemplateError } from '../../lib/template/template-error.js'
import { joinPath } from '../../lib/text.js'
import { codeOf, invalid, maxFindings, toFindings } from '../../lib/validation.js'
import type { GitInfo } from '../releases/releases.service.js'
import { maxVersionBytes, PushEnvelope, PushFile, PushPrompt } from './push.schema.js'

/** A pushed prompt that is valid and hashed. `where` is its place in the request. */
export type PreparedPrompt = {
  name: string
  where: string
  path: string | null
  /** What belongs to the prompt; what is not given stays as it is. */
  fields: { title?: string | null; description?: string | null; labels?: string[]; metadata?: Record<string, unknown> }
  content: VersionContent
  contentHash: string
}

export type PreparedPush = {
  request: Omit<PushEnvelope, 'prompts' | 'files' | 'git'>
  git: GitInfo | null
  prompts: PreparedPrompt[]
  warnings: string[]
}

/** Warnings name this many findings on content; the rest are counted. */
const maxWarnings = 50

/**
 * Parses, validates, hashes and scans a push, all before any transaction, and lets other work have its turn.
 * `isKnown` tells which contents the project accepted before: their templates need no second look.
 */
export async function preparePush(
  body: unknown,
  settings: ProjectSettings,
  pause: Pause,
  isKnown: (prompts: PreparedPrompt[]) => Promise<(prompt: PreparedPrompt) => boolean>,
): Promise<PreparedPush> {
  const parsed = PushEnvelope.safeParse(body)
  if (!parsed.success) throw invalid(codeOf(parsed.error.issues), toFindings(parsed.error.issues))
  const { prompts: rawPrompts, files: rawFiles, git: rawGit, ...request } = parsed.data
  if (rawPrompts.length + rawFiles.length === 0) {
    throw new AppError(
      'push.empty',
      'The push carries neither prompts nor files. Give at least one, or DELETE /prompts/:name to archive one.',
    )
  }
  const { prompts, warnings } = await readPrompts(rawPrompts, rawFiles, request, pause)
  refuseSameNames(prompts)
  const known = await isKnown(prompts)
  await checkTemplates(
    prompts.filter((prompt) => !known(prompt)),
    pause,
  )
  const { git, gitWarnings } = cleanGit(rawGit)
  return { request, git, prompts, warnings: [...gitWarnings, ...warnings, ...(await scanPrompts(prompts, settings, pause))] }
}

type Read = { prompt: PreparedPrompt; warnings: string[] } | { code: ErrorCode; findings: Finding[] }

async function readPrompts(rawPrompts: unknown[], rawFiles: unknown[], request: PreparedPush['request'], pause: Pause) {
  const template = request.template ?? 'jinja'
  const reads: Read[] = [
    ...(await mapInSlices(rawPrompts, pause, (raw, index) => readPrompt(raw, `prompts[${index}]`, template))),
    ...(await mapInSlices(rawFiles, pause, (raw, index) => readFile(raw, `files[${index}]`, template))),
  ]
  const failures = reads.flatMap((read) => ('code' in read ? [read] : []))
  const [first] = failures
  if (first)
    throw invalid(
      first.code,
      failures.flatMap(({ findings }) => findings),
    )
  const good = reads.flatMap((read) => ('prompt' in read ? [read] : []))
  return { prompts: good.map(({ prompt }) => prompt), warnings: good.flatMap(({ warnings }) => warnings) }
}

function readPrompt(raw: unknown, where: string, template: VersionContent['template']): Read {
  const parsed = PushPrompt.safeParse(raw)
  if (!parsed.success) return { code: codeOf(parsed.error.issues), findings: toFindings(parsed.error.issues, where) }
  return prepare(parsed.data, { where, path: null, template, warnings: [] })
}

function readFile(raw: unknown, where: string, template: VersionContent['template']): Read {
  const parsed = PushFile.safeParse(raw)
  if (!parsed.success) return { code: codeOf(parsed.error.issues), findings: toFindings(parsed.error.issues, where) }
  const { path, content } = parsed.data
  try {
    const file = parsePromptFile(path, content, where)
    const prompt = PushPrompt.safeParse({ name: file.name, ...file.fields })
    if (prompt.success) return prepare(prompt.data, { where, path, template, warnings: file.warnings })
    const findings = toFindings(prompt.error.issues, where)
    return {
      code: codeOf(prompt.error.issues),
      findings: findings.map((finding) => ({ ...finding, message: `File "${path}": ${finding.message}` })),
    }
  } catch (error) {
    if (error instanceof AppError)
      return { code: error.code, findings: error.errors ?? [{ path: where, message: error.message }] }
    throw error
  }
}

type Origin = Pick<PreparedPrompt, 'where' | 'path'> & { template: VersionContent['template']; warnings: string[] }

function prepare(prompt: PushPrompt, { where, path, template, warnings }: Origin): Read {
  const { name, title, description, labels, metadata, messages, variants = [] } = prompt
  const content: VersionContent = {
    type: messages ? 'chat' : 'text',
    template: prompt.template ?? template,
    ...bodyOf(prompt),
    config: prompt.config ?? {},
    inputs: prompt.inputs ?? null,
    variants: variants.map((variant) => ({ tags: variant.tags, ...bodyOf(variant) })),
  }
  const fields = Object.fromEntries(
    Object.entries({ title, description, labels, metadata }).filter(([, value]) => value !== undefined),
  )
  const serialized = serializeVersion(content)
  if (Buffer.byteLength(serialized) > maxVersionBytes) {
    const message = `Prompt "${name}" is over ${maxVersionBytes / 1024 ** 2} MiB with its variants. Split it.`
    return { code: 'content.too_large', findings: [{ path: where, message }] }
  }
  return { prompt: { name, where, path, fields, content, contentHash: hashSerialized(serialized) }, warnings }
}

function bodyOf({ content, messages }: { content?: string | undefined; messages?: Body['messages'] | undefined }): Body {
  return { content: messages ? null : (content ?? ''), messages: messages ?? null }
}

function refuseSameNames(prompts: PreparedPrompt[]): void {
  const seen = new Map<string, PreparedPrompt>()
  for (const prompt of prompts) {
    const other = seen.get(prompt.name)
    seen.set(prompt.name, prompt)
    if (!other) continue
    const name = ({ path, where }: PreparedPrompt) => (path === null ? where : `file "${path}"`)
    const collide = prompt.path !== null && other.path !== null
    throw new AppError(
      collide ? 'file.collision' : 'prompt.duplicate',
      `${name(other)} and ${name(prompt)} are both prompt "${prompt.name}". ${collide ? 'Rename one of the files.' : 'Give it once.'}`,
      { errors: [other, prompt].map(({ where }) => ({ path: where, message: `is prompt "${prompt.name}"` })) },
    )
  }
}

/** Every text of a version, with its path below the prompt. */
function textsOf({ content, messages, variants }: VersionContent): { path: string; text: string }[] {
  const ofBody = (body: Body, path: string) =>
    body.messages
      ? body.messages.map((message, index) => ({ path: joinPath(path, `messages[${index}].content`), text: message.content }))
      : [{ path: joinPath(path, 'content'), text: body.content ?? '' }]
  return [...ofBody({ content, messages }, ''), ...variants.flatMap((variant, index) => ofBody(variant, `variants[${index}]`))]
}

async function checkTemplates(prompts: PreparedPrompt[], pause: Pause): Promise<void> {
  const failures: { code: ErrorCode; finding: Finding }[] = []
  for (const prompt of prompts) {
    if (prompt.content.template === 'none') continue
    for (const { path, text } of textsOf(prompt.content)) {
      const failure = templateFailure(prompt, path, text)
      if (failure) failures.push(failure)
      await pause()
    }
    if (failures.length >= maxFindings) break
  }
  const [first] = failures
  if (first)
    throw invalid(
      first.code,
      failures.map(({ finding }) => finding),
    )
}

function templateFailure(prompt: PreparedPrompt, path: string, text: string): { code: ErrorCode; finding: Finding } | null {
  try {
    parseTemplate(text)
    return null
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error
    const place = `${prompt.path === null ? `Prompt "${prompt.name}"` : `File "${prompt.path}"`}, line ${error.line}, column ${error.column}`
    return { code: error.code, finding: { path: `${prompt.where}.${path}`, message: `${place}: ${error.message}` } }
  }
}

/** Findings are warnings, or errors where the project blocks them. */
async function scanPrompts(prompts: PreparedPrompt[], { scan }: ProjectSettings, pause: Pause): Promise<string[]> {
  if (scan === 'off') return []
  const found = await mapInSlices(prompts, pause, (prompt) =>
    textsOf(prompt.content).flatMap(({ path, text }) =>
      scanContent(text).map(({ name, line }) => ({
        path: `${prompt.where}.${path}`,
        message: `Prompt "${prompt.name}" holds ${name} (line ${line}).`,
      })),
    ),
  )
  const findings = found.flat()
  if (scan === 'block' && findings.length > 0) throw invalid('content.blocked', findings)
  const warnings = findings.slice(0, maxWarnings).map(({ message }) => message)
  return findings.length > maxWarnings ? [...warnings, `${findings.length - maxWarnings} more findings of this kind.`] : warnings
}

function cleanGit(git: PushEnvelope['git']): { git: GitInfo | null; gitWarnings: string[] } {
  if (!git) return { git: null, gitWarnings: [] }
  const { url, stripped } = stripCredentials(git.repo ?? '')
  return {
    git: { repo: git.repo == null ? null : url, commit: git.commit, branch: git.branch ?? null, dirty: git.dirty ?? null },
    gitWarnings: stripped ? ['git.repo held a user name or password, which was removed and not stored.'] : [],
  }
}
