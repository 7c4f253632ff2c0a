import type { Body, VersionContent } from '../../lib/content-hash.js'
import type { Diffable } from '../../lib/diff/prompt-diff.js'
import type { PlannedVersion } from '../../lib/prompt-plan.js'
import type { Unit, Verbatim } from '../../lib/template/composition.js'
import type { TemplateNode } from '../../lib/template/syntax/nodes.js'
import { TemplateError } from '../../lib/template/template-error.js'
import { CliError, exitCodes } from '../exit-codes.js'
import { type Included, isStoredAs, localRef, mayRefer, textsOf } from './diffables.js'
import type { ParsedPrompt } from './parsed-prompts.js'

type Variables = Diffable['variables']
type Root = { root: TemplateNode }
type Units = Map<string, Unit<Root> | Verbatim>

/** The modules that read templates, which are loaded only where they are needed. */
type Tools = {
  parse: (source: string) => Root
  references: (root: TemplateNode) => string[]
  bodyVariables: typeof import('../../lib/prompt-variables.js').bodyVariables
}

async function loadTools(): Promise<Tools> {
  const [{ parseTemplate }, { templateReferences }, { bodyVariables }] = await Promise.all([
    import('../../lib/template/parse.js'),
    import('../../lib/template/composition.js'),
    import('../../lib/prompt-variables.js'),
  ])
  return {
    parse: (source) => ({ root: parseTemplate(source) }),
    references: (root) => templateReferences(root).flatMap(({ names }) => names),
    bodyVariables,
  }
}

/**
 * Local prompts together with what is stored: what they include is local where it is there, else as it is stored. Both are by
 * name; what is stored may be by a reference such as `name@v2` as well.
 */
export async function openLibrary(
  local: ReadonlyMap<string, ParsedPrompt>,
  stored: ReadonlyMap<string, PlannedVersion>,
): Promise<Library> {
  return new Library(local, stored, await loadTools())
}

export class Library {
  readonly #local: ReadonlyMap<string, ParsedPrompt>
  readonly #stored: ReadonlyMap<string, PlannedVersion>
  /** By reference as it is written: what stored prompts include. */
  readonly #included: ReadonlyMap<string, Included>
  readonly #tools: Tools
  readonly #units: Units = new Map()

  constructor(local: ReadonlyMap<string, ParsedPrompt>, stored: ReadonlyMap<string, PlannedVersion>, tools: Tools) {
    this.#local = local
    this.#stored = stored
    this.#included = new Map([...stored.values()].flatMap(({ includes }) => Object.entries(includes as Record<string, Included>)))
    this.#tools = tools
  }

  /** A local prompt as it is compared. Throws a `CliError` (exit code 3) where a template of it cannot be read. */
  diffable(prompt: ParsedPrompt): Diffable {
    const { name, content } = prompt
    return {
      ...{ name, ref: localRef, version: null, release: null, ...content },
      variables: this.#variables(prompt, content),
      includes: Object.fromEntries(
        this.#reached(prompt).flatMap((reference) => (this.#source(reference) ? [[reference, this.#told(reference)]] : [])),
      ),
    }
  }

  /** The variables of each body: that of the prompt itself, then those of its variants. Throws as `diffable`. */
  bodies(prompt: ParsedPrompt): Variables[] {
    return [prompt.content, ...prompt.content.variants].map((body) => this.#variables(prompt, body))
  }

  #variables(prompt: ParsedPrompt, body: Body): Variables {
    if (prompt.content.template === 'none') return []
    const found = orInvalid(prompt, () =>
      this.#tools.bodyVariables(body, (text) => {
        const template = this.#tools.parse(text)
        return { template, includes: this.#includesOf(template.root) }
      }),
    )
    // As the server tells them: one that is only used as a whole has no more to tell than its name.
    return found.map(({ name, required, paths }) =>
      paths.length === 1 && paths[0] === name ? { name, required } : { name, required, paths },
    )
  }

  #includesOf(root: TemplateNode): Units {
    const includes: Units = new Map()
    this.#include(root, includes)
    return includes
  }

  #include(root: TemplateNode, includes: Units): void {
    for (const reference of this.#tools.references(root)) {
      const unit = this.#unit(reference)
      if (unit) includes.set(reference, unit)
    }
  }

  #source(reference: string): { template: VersionContent['template']; content: string } | null {
    const found = this.#local.get(reference)?.content ?? this.#stored.get(reference) ?? this.#included.get(reference)
    return found ? { template: found.template, content: found.content ?? '' } : null
  }

  #unit(reference: string): Unit<Root> | Verbatim | null {
    const known = this.#units.get(reference)
    if (known) return known
    const source = this.#source(reference)
    if (!source) return null
    if (source.template === 'none') {
      const verbatim = { text: source.content }
      this.#units.set(reference, verbatim)
      return verbatim
    }
    const includes: Units = new Map()
    const unit = { template: this.#tools.parse(source.content), includes }
    // Known before what it includes: files may include each other in a circle, which a push refuses.
    this.#units.set(reference, unit)
    this.#include(unit.template.root, includes)
    return unit
  }

  /** What prompts include, directly or not, that is neither local nor known as stored. Throws as `diffable`. */
  unknown(prompts: Iterable<ParsedPrompt>): string[] {
    const unknown = new Set<string>()
    for (const prompt of prompts)
      for (const reference of this.#reached(prompt)) if (!this.#source(reference)) unknown.add(reference)
    return [...unknown]
  }

  /** Every reference of a prompt, directly or not. */
  #reached(prompt: ParsedPrompt): string[] {
    const { content } = prompt
    if (content.template === 'none') return []
    return orInvalid(prompt, () => {
      const reached = new Set<string>()
      const pending = textsOf(content).filter(mayRefer)
      for (let text = pending.pop(); text !== undefined; text = pending.pop()) {
        for (const reference of this.#tools.references(this.#tools.parse(text).root)) {
          if (reached.has(reference)) continue
          reached.add(reference)
          const source = this.#source(reference)
          if (source?.template === 'jinja') pending.push(source.content)
        }
      }
      return [...reached]
    })
  }

  /** A local prompt that is stored as it is will be that version. */
  #told(reference: string): { name: string; version: string } {
    const local = this.#local.get(reference)
    const stored = this.#stored.get(reference)
    const included = this.#included.get(reference)
    const version = stored?.version ?? included?.version ?? localRef
    if (!local) return { name: included?.name ?? reference.split('@')[0] ?? reference, version }
    const isKnown = stored ? isStoredAs(local, stored) : isIncludedAs(local, included)
    return { name: local.name, version: isKnown ? version : localRef }
  }
}

/** What includes a prompt gets of it is its text. */
function isIncludedAs({ content }: ParsedPrompt, included: Included | undefined): boolean {
  return content.content === included?.content && content.template === included.template
}

function orInvalid<T>({ path }: ParsedPrompt, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error
    throw new CliError(`File "${path}": ${(error as Error).message}`, {
      remedy: 'See all that is wrong: promptsync validate',
      exitCode: exitCodes.invalid,
      cause: error,
    })
  }
}
