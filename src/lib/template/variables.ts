import type { Includes, Unit, Verbatim } from './composition.js'
import type { TemplateNode } from './syntax/nodes.js'
import { Effort } from './variables/effort.js'
import { inherit } from './variables/inheritance.js'
import { type Parts, partsOf } from './variables/parts.js'
import type { Outside, Variable } from './variables/places.js'
import { type Summary, summaryOf } from './variables/summary.js'

export type { Variable }

export type RootUnit = Unit<{ root: TemplateNode }>

/**
 * The variables that a template and what it includes take from outside, in the order they first appear, an included prompt
 * being read where it is included. Pure; follows Jinja2's scopes.
 *
 * One is not required if every use of it is guarded, that is, written for the case that it is absent: a default, an
 * `is defined`, an `if` on it.
 *
 * `paths` are the places inside its value that are used, those that are known: `user.name`; `docs[].title`, of each item of a
 * list (or of one by its number, or by a key that is computed); `prices.*`, of each value of a mapping; `user["first name"]`.
 * A path that another one goes on from is left out, so that a variable that is only used as a whole has its name as its one
 * path. At most 100 of a variable are listed, none longer than 200 characters.
 *
 * Takes time in proportion to the texts, however often one is included. Where thousands of includes and blocks stand among
 * names that change all the time, the last of them count as if they stood where they stood before. Throws `TemplateError` where
 * what is included and extended hands on too many variables.
 */
export function templateVariables(template: RootUnit | TemplateNode): Variable[] {
  return new VariableAnalysis().variables(template)
}

/** `templateVariables` of several templates of one prompt: what they include is gone through once for all of them. */
export class VariableAnalysis {
  readonly #effort = new Effort()
  readonly #parts = new Map<RootUnit, Parts>()
  readonly #summaries = new Map<RootUnit, Summary>()

  variables(template: RootUnit | TemplateNode): Variable[] {
    const unit = 'typename' in template ? { template: { root: template }, includes: new Map() } : template
    return this.#outside(unit).variables()
  }

  #outside(unit: RootUnit): Outside {
    for (const each of leavesFirst(unit)) {
      if (this.#parts.has(each)) continue
      this.#parts.set(
        each,
        partsOf(each.template.root, { effort: this.#effort, summary: (names) => this.#summaryOf(each.includes, names) }),
      )
      if (each !== unit) this.#summaries.set(each, summaryOf(inherit(this.#chain(each), this.#effort)))
    }
    return inherit(this.#chain(unit), this.#effort)
  }

  #summaryOf(includes: RootUnit['includes'], references: readonly string[]): Summary | null {
    const found = firstOf(includes, references)
    return (found && this.#summaries.get(found)) ?? null
  }

  /** The template, its parent, and so on. */
  #chain(unit: RootUnit): Parts[] {
    const chain = new Map<RootUnit, Parts>()
    for (let next: RootUnit | null = unit; next && !chain.has(next); ) {
      const parts = this.#parts.get(next)
      if (!parts) break
      chain.set(next, parts)
      next = firstOf(next.includes, parts.parents)
    }
    return [...chain.values()]
  }
}

/** Includes take the first prompt that is there. What is inserted as it is takes no variables. */
function firstOf(includes: Includes<{ root: TemplateNode }>, references: readonly string[]): RootUnit | null {
  const name = references.find((reference) => includes.has(reference))
  const found = name === undefined ? undefined : includes.get(name)
  return found && isUnit(found) ? found : null
}

function isUnit(found: RootUnit | Verbatim): found is RootUnit {
  return 'template' in found
}

/** All units below one, each once and after those it includes. */
function leavesFirst(unit: RootUnit): RootUnit[] {
  const ordered = new Set<RootUnit>()
  const entered = new Set<RootUnit>()
  const pending = [unit]
  for (let next = pending.at(-1); next; next = pending.at(-1)) {
    if (entered.has(next)) {
      ordered.add(next)
      pending.pop()
      continue
    }
    entered.add(next)
    for (const included of next.includes.values()) if (isUnit(included) && !entered.has(included)) pending.push(included)
  }
  return [...ordered]
}
