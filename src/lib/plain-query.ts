import type { Tags } from './variants.js'

/** The query of a fetch that needs no more than a look. `tagText` is what it says of tags, as it stands there. */
export type PlainQuery = {
  project: string | undefined
  tags: Tags
  tagText: string
  key: string | undefined
  canary: 'on' | 'off'
}

const empty: PlainQuery = { project: undefined, tags: {}, tagText: '', key: undefined, canary: 'on' }
/** Values of these characters stand for themselves, and are valid wherever they are short enough. */
const plainValue = /^[A-Za-z0-9_.~@!-]{1,128}$/
const plainTag = /^([A-Za-z0-9_-]{1,60})(?::|%3A)([A-Za-z0-9_.~-]{1,128})$/i
const plainProject = /^[a-z0-9][a-z0-9-]{0,62}$/
export const maxTags = 32

/** Whether a tag and its value stand for themselves in a query. Pure. */
export function isPlainTag(tag: string, value: string): boolean {
  return tag !== '__proto__' && plainTag.test(`${tag}:${value}`)
}

/** The query of a resolution that needs no more than a look: that of a fetch, and what routes. */
export type PlainContext = { query: PlainQuery; ref: string | undefined; context: Record<string, string> }

const plainRef = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
const plainVariable = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/
const plainContextValue = /^[A-Za-z0-9_.~@!-]{0,100}$/
const maxVariables = 50

/** Reads a query of plain variables, each once, with what `parsePlainQuery` reads and a `ref`. Null for any other. Pure. */
export function parsePlainContext(text: string): PlainContext | null {
  const query = emptyQuery()
  const context: Record<string, string> = {}
  let ref: string | undefined
  let variables = 0
  for (let from = 0; from < text.length; ) {
    const ampersand = text.indexOf('&', from)
    const end = ampersand === -1 ? text.length : ampersand
    const equals = text.indexOf('=', from)
    if (equals === -1 || equals > end || end + 1 === text.length) return null
    const [name, value] = [text.slice(from, equals), text.slice(equals + 1, end)]
    from = end + 1
    if (name === 'ref') {
      if (ref !== undefined || !plainRef.test(value)) return null
      ref = value
    } else if (isOfQuery(name)) {
      if (!takePair(query, name, value)) return null
    } else {
      variables += 1
      if (variables > maxVariables || Object.hasOwn(context, name) || name === '__proto__') return null
      if (!plainVariable.test(name) || !plainContextValue.test(value)) return null
      context[name] = value
    }
  }
  return { query, ref, context }
}

/**
 * Reads a query of plain `tag`, `key`, `project` and `canary=off`. Null for any other, whether it is valid or not: then
 * it has to be looked at closely. Pure.
 */
export function parsePlainQuery(text: string): PlainQuery | null {
  if (text === '') return empty
  const query = emptyQuery()
  for (const pair of text.split('&')) {
    const equals = pair.indexOf('=')
    if (equals === -1 || !takePair(query, pair.slice(0, equals), pair.slice(equals + 1))) return null
  }
  return query
}

function emptyQuery(): PlainQuery {
  return { project: undefined, tags: {}, tagText: '', key: undefined, canary: 'on' }
}

function isOfQuery(name: string): boolean {
  return name === 'key' || name === 'tag' || name === 'project' || name === 'canary'
}

/** Notes what a pair says; false where it is not plain, or says again what was said. */
function takePair(query: PlainQuery, name: string, value: string): boolean {
  switch (name) {
    case 'key':
      if (query.key !== undefined || !plainValue.test(value)) return false
      query.key = value
      return true
    case 'tag':
      return takeTag(query, value)
    case 'project':
      if (query.project !== undefined || !plainProject.test(value)) return false
      query.project = value
      return true
    case 'canary':
      if (value !== 'off' || query.canary === 'off') return false
      query.canary = 'off'
      return true
    default:
      return false
  }
}

function takeTag(query: PlainQuery, value: string): boolean {
  const [, tag, wanted] = plainTag.exec(value) ?? []
  if (tag === undefined || wanted === undefined || Object.hasOwn(query.tags, tag) || tag === '__proto__') return false
  // The shortest ones take four characters of the text each.
  if (query.tagText.length >= 4 * maxTags && Object.keys(query.tags).length >= maxTags) return false
  query.tags[tag] = wanted
  query.tagText += `${value}&`
  return true
}
