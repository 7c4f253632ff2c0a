import { isPlainTag, maxTags } from './plain-query.js'
import type { Tags } from './variants.js'

/** A request to render that needs no more than a look. `tagText` is what it says of tags, as a query would say it. */
export type PlainRendering = {
  variables: Record<string, unknown>
  strict: boolean
  key: string | undefined
  tags: Tags
  tagText: string
}

const plainKey = /^[\w.~@!:/+ -]{1,128}$/

/**
 * Reads the body of a request to render. Null where it is not plain, whether it is valid or not: then it has to be looked at
 * closely. Pure.
 */
export function readPlainRendering(body: unknown): PlainRendering | null {
  if (!isObject(body)) return null
  const rendering: PlainRendering = { variables: {}, strict: true, key: undefined, tags: {}, tagText: '' }
  for (const [name, value] of Object.entries(body)) {
    switch (name) {
      case 'variables':
        if (!isObject(value)) return null
        rendering.variables = value
        break
      case 'strict':
        if (typeof value !== 'boolean') return null
        rendering.strict = value
        break
      case 'key':
        if (typeof value !== 'string' || !plainKey.test(value)) return null
        rendering.key = value
        break
      case 'tags': {
        const tagText = isObject(value) ? textOfTags(value) : null
        if (tagText === null) return null
        rendering.tags = value as Tags
        rendering.tagText = tagText
        break
      }
      default:
        return null
    }
  }
  return rendering
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function textOfTags(tags: Record<string, unknown>): string | null {
  const pairs = Object.entries(tags)
  if (pairs.length > maxTags) return null
  let text = ''
  for (const [tag, value] of pairs) {
    if (typeof value !== 'string' || !isPlainTag(tag, value)) return null
    text += `${tag}:${value}&`
  }
  return text
}
