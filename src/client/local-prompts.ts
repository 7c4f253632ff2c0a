import type { PromptMessage } from '../lib/content-hash.js'
import { isPromptFile, nameOfFile, parsePromptFile } from '../lib/files.js'
import type { PromptPlan } from '../lib/prompt-plan.js'
import { isObject } from '../lib/rendering/json-values.js'
import type { IncludedPrompts } from '../lib/rendering/units.js'
import { templateReferences } from '../lib/template/composition.js'
import { parseTemplate } from '../lib/template/parse.js'
import { TemplateError } from '../lib/template/template-error.js'
import type { Tags } from '../lib/variants.js'
import { planOf, readBody } from './made-plan.js'
import { isPlan } from './plan-shape.js'
import { builtinModule } from './platform.js'
import { PromptsyncError } from './problem.js'

type FileSystem = typeof import('node:fs')
type Path = typeof import('node:path')

const maxFiles = 20_000
const maxIncludes = 100
/** What a file may have at most; what is longer is no prompt. */
const maxFileBytes = 512 * 1024

type Found = { name: string; fields: Record<string, unknown> }

/** The prompts of a folder, by the names that a push would give them. */
export class LocalPrompts {
  readonly #folder: string
  readonly #fs: FileSystem
  readonly #path: Path

  /** Throws `client.invalid` where there are no files. */
  constructor(folder: string) {
    const [fs, path] = [builtinModule<FileSystem>('node:fs'), builtinModule<Path>('node:path')]
    if (!fs || !path) throw invalid('fallbackToLocal needs files, which Node from 20.16, Deno 2 and Bun have. Leave it out here.')
    this.#fs = fs
    this.#path = path
    this.#folder = path.resolve(folder)
  }

  /**
   * The prompt of a name, with what it includes; null where there is no such file. Throws `client.invalid` where its file is no
   * prompt, or cannot be read.
   */
  async plan(name: string, ref: string): Promise<PromptPlan | null> {
    const paths = await this.#listed()
    const found = await this.#read(paths, name)
    if (!found) return null
    const { fields } = found
    const where = `The local prompt "${name}"`
    const body = readBody(fields, where)
    const given = fields.variants ?? []
    if (!Array.isArray(given) || !given.every(isObject)) throw invalid(`${where} has variants that are no list of objects.`)
    const variants = given.map((variant, index) => ({
      ...readBody(variant, `${where}, variants[${index}]`),
      tags: (variant.tags ?? {}) as Tags,
    }))
    const template = fields.template === 'none' ? 'none' : 'jinja'
    const includes = template === 'none' ? {} : await this.#includesOf(paths, [body, ...variants].flatMap(textsOf))
    const settings = { config: (fields.config ?? {}) as Record<string, unknown>, inputs: (fields.inputs ?? null) as null }
    const plan = planOf({ name, ref, version: 'local', template, body, ...settings, variants, includes })
    if (isPlan(plan, name, ref)) return plan
    throw invalid(`${where} has a config or inputs that are no object, or a tag of a variant that is no text.`)
  }

  /** The paths of the files, by name. */
  async #listed(): Promise<Map<string, string>> {
    const paths = new Map<string, string>()
    try {
      const files = await this.#fs.promises.readdir(this.#folder, { recursive: true, withFileTypes: true })
      for (const file of files.slice(0, maxFiles)) {
        const whole = this.#path.join(file.parentPath ?? file.path, file.name)
        const path = this.#path.relative(this.#folder, whole).split(this.#path.sep).join('/')
        if (file.isFile() && isPromptFile(path)) this.#note(paths, path, whole)
      }
    } catch (error) {
      throw unreadable(this.#folder, error)
    }
    return paths
  }

  #note(paths: Map<string, string>, path: string, whole: string): void {
    try {
      paths.set(nameOfFile(path), whole)
    } catch (error) {
      // A file that is called in a way that no prompt can be called is none.
      if (!(error instanceof Error)) throw error
    }
  }

  async #read(paths: ReadonlyMap<string, string>, name: string): Promise<Found | null> {
    const whole = paths.get(name)
    if (whole === undefined) return null
    const path = this.#path.relative(this.#folder, whole).split(this.#path.sep).join('/')
    try {
      const bytes = await this.#fs.promises.readFile(whole)
      if (bytes.length > maxFileBytes) throw new Error(`it is over ${maxFileBytes / 1024} KiB`)
      const { fields } = parsePromptFile(path, new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes), path)
      return { name, fields }
    } catch (error) {
      throw unreadable(whole, error)
    }
  }

  /** What texts include, and what that includes, by the references as they are written: all versions of a prompt are this one. */
  async #includesOf(paths: ReadonlyMap<string, string>, texts: readonly string[]): Promise<IncludedPrompts> {
    const includes: IncludedPrompts = {}
    const waiting = texts.flatMap(referencesOf)
    for (let reference = waiting.shift(); reference !== undefined; reference = waiting.shift()) {
      if (Object.hasOwn(includes, reference) || Object.keys(includes).length >= maxIncludes) continue
      const found = await this.#read(paths, reference.split('@')[0] ?? '')
      const content = found?.fields.content
      if (!found || typeof content !== 'string') continue
      const template = found.fields.template === 'none' ? 'none' : 'jinja'
      const own = template === 'none' ? [] : referencesOf(content)
      includes[reference] = {
        name: found.name,
        version: 'local',
        template,
        content,
        includes: Object.fromEntries(own.map((one) => [one, one])),
      }
      waiting.push(...own)
    }
    return includes
  }
}

function textsOf({ content, messages }: { content: string | null; messages: PromptMessage[] | null }): string[] {
  if (content !== null) return [content]
  return (messages ?? []).flatMap((message) => ('content' in message ? [message.content] : []))
}

function referencesOf(text: string): string[] {
  try {
    return [...new Set(templateReferences(parseTemplate(text)).flatMap(({ names }) => names))]
  } catch (error) {
    // What is wrong with a template is told where it is rendered.
    if (error instanceof TemplateError) return []
    throw error
  }
}

function unreadable(what: string, error: unknown): PromptsyncError {
  const { code, message } = error as { code?: string; message?: string }
  return invalid(`${what} cannot be read: ${message ?? code ?? String(error)}`, error)
}

function invalid(detail: string, cause?: unknown): PromptsyncError {
  return new PromptsyncError('client.invalid', detail, { status: null, cause })
}
