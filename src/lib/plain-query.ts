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

/** The query of a resolution that needs no more than a look. `contextText` is what it says beside what a fetch has. */
export type PlainContext = { query: PlainQuery; ref: string | undefined; contextText: string }

const plainRef = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,62}$/
const plainVariable = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/
const plainContextValue = /^[A-Za-z0-9_.~@!-]{0,100}$/
const maxVariables = 50

/** Reads a query of plain variables, each once, with what `parsePlainQuery` reads and a `ref`. Null for any other. Pure. */
export function parsePlainContext(text: string): PlainContext | null {
  let ref: string | undefined
  let contextText = ''
  const others: string[] = []
  const seen = new Set<string>()
  for (const pair of text === '' ? [] : text.split('&')) {
    const equals = pair.indexOf('=')
    if (equals === -1) return null
    const name = pair.slice(0, equals)
    const value = pair.slice(equals + 1)
    if (name === 'key' || name === 'tag' || name === 'project' || name === 'canary') {
      others.push(pair)
      continue
    }
    if (seen.has(name) || seen.size >= maxVariables) return null
    seen.add(name)
    if (name === 'ref') {
      if (!plainRef.test(value)) return null
      ref = value
    } else {
      if (!plainVariable.test(name) || name === '__proto__' || !plainContextValue.test(value)) return null
      contextText += `${pair}&`
    }
  }
  const query = parsePlainQuery(others.join('&'))
  return query && { query, ref, contextText }
}

/**
 * Reads a query of plain `tag`, `key`, `project` and `canary=off`. Null for any other, whether it is valid or not: then
 * it has to be looked at closely. Pure.
 */
export function parsePlainQuery(text: string): PlainQuery | null {
  if (text === '') return empty
  const query: PlainQuery = { project: undefined, tags: {}, tagText: '', key: undefined, canary: 'on' }
  let tags = 0
  for (const pair of text.split('&')) {
    const equals = pair.indexOf('=')
    if (equals === -1) return null
    const value = pair.slice(equals + 1)
    switch (pair.slice(0, equals)) {
      case 'key':
        if (query.key !== undefined || !plainValue.test(value)) return null
        query.key = value
        break
      case 'tag': {
        const [, tag, wanted] = plainTag.exec(value) ?? []
        tags += 1
        if (tag === undefined || wanted === undefined || Object.hasOwn(query.tags, tag) || tags > maxTags || tag === '__proto__')
          return null
        query.tags[tag] = wanted
        query.tagText += `${value}&`
        break
      }
      case 'project':
        if (query.project !== undefined || !plainProject.test(value)) return null
        query.project = value
        break
      case 'canary':
        if (value !== 'off' || query.canary === 'off') return null
        query.canary = 'off'
        break
      default:
        return null
    }
  }
  return query
}
