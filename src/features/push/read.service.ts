import { AppError, type ErrorCode, type Finding } from '../../errors.js'
import { type Body, hashSerialized, serializeVersion, type VersionContent } from '../../lib/content-hash.js'
import { type FilePrompt, parsePromptFile } from '../../lib/files.js'
import type { VersionReference } from '../../lib/references.js'
import { mapInSlices, type Pause } from '../../lib/slices.js'
import { codeOf, toFindings } from '../../lib/validation.js'
import { maxVersionBytes, PushFile, PushPrompt } from './push.schema.js'

/** A pushed prompt that is valid and hashed. `where` is its place in the request, empty for one that is not part of it. */
export type PreparedPrompt = {
  name: string
  where: string
  path: string | null
  /** What belongs to the prompt; what is not given stays as it is. */
  fields: { title?: string | null; description?: string | null; labels?: string[]; metadata?: Record<string, unknown> }
  content: VersionContent
  /** Of the content as if it included nothing. */
  contentHash: string
  /** The places of its templates that name other prompts. */
  references: VersionReference[]
  /** Where a line and column of one of its texts are in its file, if that is known. */
  locate: FilePrompt['locate'] | null
}

/** Something to be said about what is pushed, and what it is about as far as that is known. */
export type Remark = Finding & { code: string; prompt?: string; file?: string }

/** One that refuses the push. */
export type Fault = Remark & { code: ErrorCode }

const about = (file: string | null) => (file === null ? {} : { file })

export const aboutPrompt = ({ name, path }: Pick<PreparedPrompt, 'name' | 'path'>) => ({ prompt: name, ...about(path) })

/** Where a file is, and the name that its path alone gives the prompt as the project knows it. */
export type FilePlaces = { whereOf: (file: unknown, index: number) => string; nameOf: (name: string) => string }

const inRequest: FilePlaces = { whereOf: (_file, index) => `files[${index}]`, nameOf: (name) => name }

type Read = { prompt: PreparedPrompt; warnings: string[] } | { code: ErrorCode; findings: Finding[]; file: string | null }

/** Reads and validates what is pushed, item by item: those that are good, and what is wrong with the others. */
export async function readPrompts(
  rawPrompts: unknown[],
  rawFiles: unknown[],
  template: VersionContent['template'],
  pause: Pause,
  places: FilePlaces = inRequest,
): Promise<{ prompts: PreparedPrompt[]; errors: Fault[]; warnings: Remark[] }> {
  const reads: Read[] = [
    ...(await mapInSlices(rawPrompts, pause, (raw, index) => readPrompt(raw, `prompts[${index}]`, template))),
    ...(await mapInSlices(rawFiles, pause, (raw, index) => readFile(raw, places.whereOf(raw, index), template, places))),
  ]
  const errors = reads.flatMap((read) =>
    'code' in read ? read.findings.map((finding) => ({ code: read.code, ...about(read.file), ...finding })) : [],
  )
  const good = reads.flatMap((read) => ('prompt' in read ? [read] : []))
  const warnings = good.flatMap(({ prompt, warnings }) =>
    warnings.map((message) => ({ code: 'file.unknown_fields', ...aboutPrompt(prompt), path: prompt.where, message })),
  )
  return { prompts: good.map(({ prompt }) => prompt), errors, warnings }
}

function readPrompt(raw: unknown, where: string, template: VersionContent['template']): Read {
  const parsed = PushPrompt.safeParse(raw)
  if (!parsed.success) return { code: codeOf(parsed.error.issues), findings: toFindings(parsed.error.issues, where), file: null }
  return prepare(parsed.data, { where, path: null, locate: null, template, warnings: [] })
}

function readFile(raw: unknown, where: string, template: VersionContent['template'], { nameOf }: FilePlaces): Read {
  const parsed = PushFile.safeParse(raw)
  if (!parsed.success) return { code: codeOf(parsed.error.issues), findings: toFindings(parsed.error.issues, where), file: null }
  const { path, content } = parsed.data
  try {
    const file = parsePromptFile(path, content, where)
    const prompt = PushPrompt.safeParse({ name: nameOf(file.name), ...file.fields })
    if (prompt.success) return prepare(prompt.data, { where, path, locate: file.locate, template, warnings: file.warnings })
    const findings = toFindings(prompt.error.issues, where)
    return {
      file: path,
      code: codeOf(prompt.error.issues),
      findings: findings.map((finding) => ({ ...finding, message: `File "${path}": ${finding.message}` })),
    }
  } catch (error) {
    if (error instanceof AppError)
      return { code: error.code, findings: error.errors ?? [{ path: where, message: error.message }], file: path }
    throw error
  }
}

type Origin = Pick<PreparedPrompt, 'where' | 'path' | 'locate'> & { template: VersionContent['template']; warnings: string[] }

function prepare(prompt: PushPrompt, { where, path, locate, template, warnings }: Origin): Read {
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
    return { code: 'content.too_large', findings: [{ path: where, message }], file: path }
  }
  const contentHash = hashSerialized(serialized)
  return { prompt: { name, where, path, locate, fields, content, contentHash, references: [] }, warnings }
}

function bodyOf({ content, messages }: { content?: string | undefined; messages?: Body['messages'] | undefined }): Body {
  return { content: messages ? null : (content ?? ''), messages: messages ?? null }
}

/** A name may be given once; two files can become one name. */
export function refuseSameNames(prompts: PreparedPrompt[]): void {
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
      {
        errors: [
          { path: other.where, message: `is prompt "${prompt.name}", and so is ${name(prompt)}` },
          { path: prompt.where, message: `is prompt "${prompt.name}", and so is ${name(other)}` },
        ],
      },
    )
  }
}

/** The place in the request of a part of a prompt. */
export function requestPath({ where }: Pick<PreparedPrompt, 'where'>, path: string): string {
  return where === '' ? '' : `${where}.${path}`
}

/** Where a line and column of one of a prompt's texts are: in its file where that can be told, else in the text. */
export function placeOf(
  { name, path: file, locate }: Pick<PreparedPrompt, 'name' | 'path' | 'locate'>,
  { path, line, column }: { path: string; line: number; column: number },
): { words: string; line: number; column: number } {
  const inFile = locate?.(path, line, column) ?? null
  const place = inFile ?? { line, column }
  const what = locate && file !== null ? `File "${file}"` : `Prompt "${name}"`
  const text = inFile || (!locate && path === 'content') ? '' : `, ${path}`
  return { words: `${what}${text}, line ${place.line}, column ${place.column}`, ...place }
}
