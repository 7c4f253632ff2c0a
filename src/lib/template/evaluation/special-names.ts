import { childNodes, type NodeOf, type TemplateNode } from '../syntax/nodes.js'

/** The names that Jinja2 gives a part of a template only where it uses them. */
const specialNames = ['self', 'super', 'loop', 'caller', 'kwargs', 'varargs'] as const
export type SpecialName = (typeof specialNames)[number]

/** A bit for each of the names, in their order. */
type Bits = number

/** The names that a part uses and has not set before, and those that it sets. */
type Effect = { uses: Bits; sets: Bits }

const nothing: Effect = { uses: 0, sets: 0 }

const bits = new Map<string, Bits>(specialNames.map((name, index) => [name, 1 << index]))

function bitOf(name: string): Bits {
  return bits.get(name) ?? 0
}

/**
 * Which special names the parts of a template use. Bodies within bodies are asked for one after the other, so that what is
 * known of them is kept.
 */
export class SpecialNames {
  readonly #bodies = new Map<TemplateNode, Effect>()

  /** Those of `names` that are used in a part without being set before. */
  usedIn<Name extends SpecialName>(node: TemplateNode | null, names: readonly Name[]): Set<Name> {
    const { uses } = node ? this.#effect(node) : nothing
    return new Set(names.filter((name) => (uses & bitOf(name)) !== 0))
  }

  #effectOf(step: TemplateNode | { targets: readonly TemplateNode[] }): Effect {
    if (!('targets' in step)) return this.#effect(step)
    return { uses: 0, sets: step.targets.reduce((sets, target) => sets | setBy(target), 0) }
  }

  #effect(node: TemplateNode): Effect {
    const known = this.#bodies.get(node)
    if (known) return known
    const special = stepsOf[node.typename] as ((node: TemplateNode) => Step[]) | undefined
    let [uses, sets] = [bitOf(node.typename === 'Symbol' ? node.value : ''), 0]
    for (const step of special ? special(node) : childNodes(node)) {
      const effect = step ? this.#effectOf(step) : nothing
      uses |= effect.uses & ~sets
      sets |= effect.sets
    }
    const effect = { uses, sets }
    if (node.typename === 'NodeList') this.#bodies.set(node, effect)
    return effect
  }
}

/** A part, or the targets that are set at this point. */
type Step = TemplateNode | null | { targets: readonly TemplateNode[] }

/** In Jinja2's order, in which a name that is set hides what follows, even where that is not within. */
const stepsOf: { [Name in TemplateNode['typename']]?: (node: NodeOf<Name>) => Step[] } = {
  Set: (node) => [{ targets: [node.target] }, node.value],
  For: (node) => [{ targets: [node.name] }, node.arr, node.body, node.else_, node.test],
  With: (node) => [{ targets: node.pairs.map(({ key }) => key) }, ...node.pairs.map(({ value }) => value), node.body],
  Macro: (node) => [...signature(node.args), node.body],
  CallBlock: (node) => [node.call, ...signature(node.args), node.body],
  Filter: (node) => [node.args],
  Test: (node) => [node.target, node.args],
  KeywordArgs: (node) => node.children.map(({ value }) => value),
  Import: () => [],
  FromImport: () => [],
  Block: () => [],
}

function signature(args: TemplateNode): Step[] {
  const parameters = childNodes(args)
  const defaults = parameters.flatMap((node) => (node.typename === 'KeywordArgs' ? node.children : []))
  return [{ targets: [...parameters, ...defaults.map(({ key }) => key)] }, ...defaults.map(({ value }) => value)]
}

function setBy(target: TemplateNode): Bits {
  if (target.typename === 'Symbol') return bitOf(target.value)
  return target.typename === 'Tuple' ? target.children.reduce((sets, child) => sets | setBy(child), 0) : 0
}
