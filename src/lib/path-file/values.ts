import type { Finding } from '../../errors.js'
import { slug, slugPath } from '../names.js'

export const maxContextValueLength = 100

/** What `slug` leaves as it is, and most values are. */
const plainValue = /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/
/** What `fileKey` leaves as it is. */
const plainPath = /^[a-z0-9]+(?:[./_-][a-z0-9]+)*$/
/** What of a path is no part of a prompt's name. */
const extension = /(?:\.prompt(?=\.ya?ml$))?\.[^./]+$/i

/** The form in which a value takes its place in a path and is compared: one segment, or null for none. Pure. */
export function toRoutingValue(text: string): string | null {
  if (text.length > maxContextValueLength) return null
  if (plainValue.test(text)) return text
  const value = slug(text)
  return value === '' || value.length > maxContextValueLength ? null : value
}

/** The values of a context that are too long, as they are or as slugs. Pure. */
export function findLongValues(context: Readonly<Record<string, string>>): Finding[] {
  return Object.entries(context).flatMap(([name, value]) => {
    const isLong = value.length > maxContextValueLength || (!plainValue.test(value) && slug(value).length > maxContextValueLength)
    return isLong ? [{ path: name, message: `The value is over ${maxContextValueLength} characters long. Shorten it.` }] : []
  })
}

/**
 * Two paths with equal keys are one file to a route: they make the same name, and have the same extension in any case. The
 * names of files become slugs as the values of a context do. Pure.
 */
export function fileKey(path: string): string {
  if (plainPath.test(path)) return path
  const [ending = ''] = extension.exec(path) ?? []
  return slugPath(path.slice(0, path.length - ending.length)) + ending.toLowerCase()
}
