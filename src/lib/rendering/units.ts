import type { Includes, Unit, Verbatim } from '../template/composition.js'
import { PromptSize, templateReferences } from '../template/composition.js'
import type { CompiledTemplate } from '../template/render.js'
import type { NodeOf } from '../template/syntax/nodes.js'
import { TemplateError, type TemplateErrorCode } from '../template/template-error.js'
import { ownValue } from './json-values.js'
import { RenderError, templateFinding } from './render-error.js'

/** A prompt that another one includes, as an answer of the server has it. */
export type IncludedPrompt = {
  name: string
  version: string
  template: 'jinja' | 'none'
  content: string
  /** Its own references as they are written, and the keys they stand under. */
  includes: Record<string, string>
}

/** Everything a prompt includes, directly or not, by key. Its own references are keys as they are written. */
export type IncludedPrompts = Record<string, IncludedPrompt>

const maxDepth = 10

/** What a key stands for, and how many levels of includes it has: 1 for a prompt that includes nothing. */
type Part<Template> = { value: Unit<Template> | Verbatim; height: number }

/** What a template is made into: compiled to be rendered, or parsed only, which is half the work. */
type Read<Template> = (source: string) => Template

/** Reads the templates of one prompt with all that they include; what is included more than once is read once. */
export class UnitBuilder<Template extends { root: NodeOf<'Root'> } = CompiledTemplate> {
  readonly #included: IncludedPrompts
  readonly #read: Read<Template>
  readonly #parts = new Map<string, Part<Template>>()
  readonly #underWay = new Set<string>()
  readonly #size = new PromptSize()

  constructor(included: IncludedPrompts, read: Read<Template>) {
    this.#included = included
    this.#read = read
  }

  /** Of all templates built so far. */
  get tokens(): number {
    return this.#size.total
  }

  /** `path` names the text in errors. Throws `RenderError`. */
  build(source: string, path: string): Unit<Template> {
    const template = this.#readAt(source, path)
    const references = new Set(templateReferences(template.root).flatMap(({ names }) => names))
    const found = [...references].filter((reference) => ownValue(this.#included, reference) !== undefined)
    return { template, includes: this.#includesOf(found.map((reference) => [reference, reference])).includes }
  }

  #includesOf(entries: readonly (readonly [reference: string, key: string])[]): {
    includes: Includes<Template>
    height: number
  } {
    const parts = entries.map(([reference, key]) => [reference, this.#partOf(key)] as const)
    return {
      includes: new Map(parts.map(([reference, { value }]) => [reference, value])),
      height: Math.max(0, ...parts.map(([, { height }]) => height)),
    }
  }

  #partOf(key: string): Part<Template> {
    const known = this.#parts.get(key)
    if (known) return this.#checkHeight(key, known)
    if (this.#underWay.has(key))
      throw failure(key, 'It includes itself, directly or by way of others. Take one of the includes out.')
    this.#underWay.add(key)
    const part = this.#checkHeight(key, this.#make(key))
    this.#underWay.delete(key)
    this.#parts.set(key, part)
    return part
  }

  /** Those under way are one inside the other. */
  #checkHeight(key: string, part: Part<Template>): Part<Template> {
    const around = this.#underWay.has(key) ? this.#underWay.size - 1 : this.#underWay.size
    if (around + part.height <= maxDepth) return part
    throw failure(key, `It is part of includes more than ${maxDepth} levels deep. Put the text where it is included.`)
  }

  #make(key: string): Part<Template> {
    if (this.#underWay.size > maxDepth) {
      throw failure(key, `It is included more than ${maxDepth} levels deep. Put its text where it is included.`)
    }
    const prompt = this.#included[key]
    if (!prompt || !Object.hasOwn(this.#included, key)) {
      throw failure(key, 'It is included, and was not sent along. Fetch the prompt again.', 'template.runtime')
    }
    if (prompt.template === 'none') return { value: { text: prompt.content }, height: 1 }
    const template = this.#readAt(prompt.content, contentOf(key))
    const { includes, height } = this.#includesOf(Object.entries(prompt.includes))
    return { value: { template, includes }, height: height + 1 }
  }

  #readAt(source: string, path: string): Template {
    try {
      const template = this.#read(source)
      this.#size.add(template.root)
      return template
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error
      throw new RenderError(error.code, [templateFinding(path, error)], { cause: error })
    }
  }
}

function contentOf(key: string): string {
  return `includes[${JSON.stringify(key.slice(0, 300))}].content`
}

function failure(key: string, message: string, code: TemplateErrorCode = 'template.too_complex'): RenderError {
  return new RenderError(code, [{ path: contentOf(key), message }])
}
