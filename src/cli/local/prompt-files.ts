import { serializeVersion, type VersionContent } from '../../lib/content-hash.js'
import { CliError } from '../exit-codes.js'
import type { LocalFile } from './local-prompts.js'
import { type ParsedPrompt, parsePrompt } from './parsed-prompts.js'
import { isSkipped } from './prompt-folder.js'

type Template = VersionContent['template']

/**
 * What a file is to say; `fields` are title, description, labels and metadata, where they are to be kept. `template` is what a push
 * takes for the language where a file does not say.
 */
export type Wanted = { name: string; content: VersionContent; fields: Record<string, unknown>; template: Template }

/**
 * The file that a push reads back as exactly this prompt: text alone as .txt or .md, anything more as .yaml, or whichever format
 * can say it. `like` is the path of a file that is there already, whose format is kept if it will do. Null where no file can.
 */
export async function writePromptFile(wanted: Wanted, like?: string): Promise<LocalFile | null> {
  if (wanted.name.split('/').some(isSkipped)) return null
  for (const file of await candidates(wanted, like)) {
    if (await readsBack(file, wanted)) return file
  }
  return null
}

/** Every format is tried out, the plainest first: what is written is read again, so that nothing rests on what formats promise. */
async function candidates(wanted: Wanted, like: string | undefined): Promise<LocalFile[]> {
  const { name, content } = wanted
  const { toYaml, toJson } = await loadWriters()
  const beside = { ...wanted.fields, ...settingsOf(wanted) }
  const document = { ...wanted.fields, ...bodyFields(content), ...settingsOf(wanted) }
  const text = content.content ?? ''
  // The first byte order mark of a file is no part of the text.
  const plain = text.startsWith('\ufeff') ? `\ufeff${text}` : text
  const hasText = content.content !== null
  const isBare = hasText && Object.keys(beside).length === 0
  const isShort = content.variants.length === 0 && Object.keys(content.config).length === 0 && content.inputs === null
  const plainFiles = (isBare ? ['txt', 'md', 'j2', 'jinja'] : []).map((ending) => ({ path: `${name}.${ending}`, content: plain }))
  const markdown = hasText ? [{ path: `${name}.md`, content: `---\n${toYaml(beside)}---\n${text}` }] : []
  const yaml = ['yaml', 'yml'].flatMap((ending) => [
    { path: `${name}.${ending}`, content: toYaml(document) },
    { path: `${name}.${ending}`, content: toJson(document) },
  ])
  const all = [...plainFiles, ...(isShort ? [...markdown, ...yaml] : [...yaml, ...markdown])]
  const kept = like === undefined ? [] : all.filter(({ path }) => endingOf(path) === endingOf(like))
  return [...kept.map((file) => ({ ...file, path: like ?? '' })), ...all]
}

function endingOf(path: string): string {
  return path.slice(path.lastIndexOf('.')).toLowerCase()
}

function settingsOf({ content, template: otherwise }: Wanted): Record<string, unknown> {
  const { template, config, inputs, variants } = content
  return {
    ...(template === otherwise ? {} : { template }),
    ...(Object.keys(config).length === 0 ? {} : { config }),
    ...(inputs === null ? {} : { inputs }),
    ...(variants.length === 0 ? {} : { variants: variants.map(({ tags, ...body }) => ({ tags, ...bodyFields(body) })) }),
  }
}

function bodyFields({ content, messages }: Pick<VersionContent, 'content' | 'messages'>): Record<string, unknown> {
  return messages ? { messages } : { content }
}

async function loadWriters() {
  const { dump } = await import('js-yaml')
  return {
    // No aliases for what is there twice, and no text folded: lines stay as they are.
    toYaml: (value: object) => (Object.keys(value).length === 0 ? '' : dump(value, { noRefs: true, lineWidth: -1 })),
    // JSON is YAML, but for characters that only YAML minds. It holds what YAML takes too many lines for.
    toJson: (value: object) => `${JSON.stringify(value).replaceAll(/[\u007f-\u009f\u2028\u2029\ufeff]/g, escaped)}\n`,
  }
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

async function readsBack(file: LocalFile, { name, content, fields, template }: Wanted): Promise<boolean> {
  const read = await parsedOrNull(file, template)
  if (!read || read.name !== name || serializeVersion(read.content) !== serializeVersion(content)) return false
  return JSON.stringify(read.fields) === JSON.stringify(fields)
}

async function parsedOrNull(file: LocalFile, template: Template): Promise<ParsedPrompt | null> {
  try {
    return await parsePrompt(file, template)
  } catch (error) {
    if (error instanceof CliError) return null
    throw error
  }
}
