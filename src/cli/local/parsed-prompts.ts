import { AppError } from '../../errors.js'
import type { Body, PromptMessage, Variant, VersionContent } from '../../lib/content-hash.js'
import { CliError, exitCodes } from '../exit-codes.js'
import type { LocalFile } from './local-prompts.js'

/** A local file as a push would store it. */
export type ParsedPrompt = {
  name: string
  path: string
  content: VersionContent
  /** What belongs to the prompt and to no version: title, description, labels and metadata, as far as the file has them. */
  fields: Record<string, unknown>
}

type Template = VersionContent['template']

const remedy = 'See all that is wrong: promptsync validate'

/**
 * Reads prompt files as the server reads those of a push. Throws a `CliError` (exit code 3) that names the file where one cannot be
 * read, and both where two are the same prompt. `template` is the language of those that do not say.
 */
export async function parsePrompts(files: readonly LocalFile[], template: Template): Promise<Map<string, ParsedPrompt>> {
  const prompts = new Map<string, ParsedPrompt>()
  for (const file of files) {
    const prompt = await parsePrompt(file, template)
    const other = prompts.get(prompt.name)
    if (other) {
      const message = `"${other.path}" and "${prompt.path}" are both prompt "${prompt.name}".`
      throw new CliError(message, { remedy: 'Rename one of the files.', exitCode: exitCodes.invalid })
    }
    prompts.set(prompt.name, prompt)
  }
  return prompts
}

export async function parsePrompt({ path, content }: LocalFile, template: Template): Promise<ParsedPrompt> {
  const { parsePromptFile } = await import('../../lib/files.js')
  try {
    const { name, fields } = parsePromptFile(path, content, path)
    const { title, description, labels, metadata } = fields
    const own = Object.entries({ title, description, labels, metadata }).filter(([, value]) => value !== undefined)
    return { name, path, content: toContent(path, fields, template), fields: Object.fromEntries(own) }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    throw new CliError(error.message, { remedy, exitCode: exitCodes.invalid, cause: error })
  }
}

/** The fields of a file with what they stand for where they say nothing. */
function toContent(path: string, fields: Record<string, unknown>, otherwise: Template): VersionContent {
  const { template = otherwise, config = {}, inputs = null, variants = [] } = fields
  const fail = (what: string) => new CliError(`File "${path}": ${what}`, { remedy, exitCode: exitCodes.invalid })
  if (template !== 'jinja' && template !== 'none') throw fail('`template` is neither jinja nor none.')
  if (!isObject(config)) throw fail('`config` is no mapping.')
  if (inputs !== null && !isObject(inputs)) throw fail('`inputs` is no mapping.')
  if (!Array.isArray(variants) || !variants.every(isVariant))
    throw fail('`variants` is no list of `tags` with `content` or `messages`.')
  if (!isBody(fields)) throw fail('it has neither a text as `content` nor a list of `messages`.')
  const body = toBody(fields)
  return {
    type: body.messages ? 'chat' : 'text',
    template,
    ...body,
    config,
    inputs,
    variants: variants.map((variant: GivenVariant): Variant => ({ tags: variant.tags, ...toBody(variant) })),
  }
}

type GivenBody = { content?: string; messages?: PromptMessage[] }
type GivenVariant = GivenBody & { tags: Record<string, string> }

function toBody({ content, messages }: GivenBody): Body {
  return { content: messages ? null : (content ?? ''), messages: messages ?? null }
}

function isBody(value: Record<string, unknown>): value is GivenBody {
  const { content, messages } = value
  if (messages === undefined) return typeof content === 'string'
  return content === undefined && Array.isArray(messages) && messages.length > 0 && messages.every(isMessage)
}

function isMessage(value: unknown): value is PromptMessage {
  if (!isObject(value)) return false
  const { role, content, placeholder } = value
  return typeof placeholder === 'string' || (typeof role === 'string' && typeof content === 'string')
}

function isVariant(value: unknown): value is GivenVariant {
  if (!isObject(value)) return false
  const { tags } = value
  return isBody(value) && isObject(tags) && Object.values(tags).every((tag) => typeof tag === 'string')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
