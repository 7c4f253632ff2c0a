import type { PathFile } from '../path-file.js'
import { type Condition, isMet } from './conditions.js'
import { fillPattern, type Pattern } from './patterns.js'
import { toRoutingValue } from './values.js'

/** A variable that something in the file reads. `standIn` is the slug of its default. */
export type Variable = { readonly name: string; readonly standIn: string | null }

export type Route = {
  /** The key in the map of routes, or in a list its pattern. */
  readonly name: string
  readonly description: string | null
  /** Another source of the project; null is the one that holds the file. */
  readonly source: string | null
  /** One, or those whose files are joined. */
  readonly patterns: readonly Pattern[]
  readonly conditions: readonly Condition[]
}

/**
 * What a route comes to: the files that all must exist for it to be chosen, to be joined by `joinFiles` where there are
 * several, or why it is not tried.
 */
export type RouteStep =
  | { route: string; paths: string[]; source: string | null; description: string | null }
  | { route: string; skipped: string }

/** Every route in its order. Values of the context become slugs; one that is empty, or too long, counts as missing. Pure. */
export function routesFor(pathFile: PathFile, context: Readonly<Record<string, string>>, at: Date): RouteStep[] {
  const values = pathFile.variables.map(({ name, standIn }) => {
    const given = Object.hasOwn(context, name) ? context[name] : undefined
    return (given === undefined ? null : toRoutingValue(given)) ?? standIn
  })
  return pathFile.routes.map((route) => stepOf(route, pathFile.variables, values, at))
}

function stepOf(route: Route, variables: readonly Variable[], values: readonly (string | null)[], at: Date): RouteStep {
  for (const condition of route.conditions) {
    if (!isMet(condition, values, at)) return { route: route.name, skipped: condition.unmet }
  }
  const paths: string[] = []
  for (const pattern of route.patterns) {
    const path = fillPattern(pattern, values)
    if (typeof path === 'number') return { route: route.name, skipped: `The variable "${variables[path]?.name}" is missing.` }
    paths.push(path)
  }
  return { route: route.name, paths, source: route.source, description: route.description }
}

/** The files of a route that composes, in its order, with one blank line between two. Pure. */
export function joinFiles(texts: readonly string[]): string {
  return texts
    .map((text, index) => {
      const begun = index === 0 ? text : text.replace(/^(?:[ \t]*(?:\r\n?|\n))+/, '')
      return index === texts.length - 1 ? begun : begun.trimEnd()
    })
    .filter((text) => text !== '')
    .join('\n\n')
}
