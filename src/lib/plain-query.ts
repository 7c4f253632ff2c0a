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
