/** The grammar of names, aliases, labels and refs, and the one way in which file paths become names. */

const letter = String.raw`\p{Ll}\p{Lo}\p{Lm}\p{Nd}`
const segment = `[${letter}][${letter}\\p{M}._-]*`
const promptNamePattern = new RegExp(`^${segment}(?:/${segment})*$`, 'u')

export const maxNameLength = 200
export const slugPattern = /^[a-z0-9][a-z0-9-]{0,62}$/
export const aliasPattern = /^[a-z][a-z0-9._-]{0,62}$/
export const labelPattern = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,62}$/
export const commitPattern = /^[0-9a-f]{7,40}$/i

const reservedWords = new Set(['latest', 'builtin', 'versions', 'diff', 'render', 'plan', 'fetch', 'purge'])

/** Whether `name` is a prompt name: at most 200 characters, NFKC, lower-case or caseless, segments joined by `/`. */
export function isPromptName(name: string): boolean {
  return (
    name.length <= maxNameLength * 2 && [...name].length <= maxNameLength && promptNamePattern.test(name) && name === fold(name)
  )
}

/** Why an alias or a label may not be called `name`, or null. Numbers, commits and the words of our routes are ours. */
export function reservedReason(name: string): string | null {
  if (/^[vr]\d+$/.test(name)) return `"${name}" has the form of a version or release number, which the server gives.`
  if (commitPattern.test(name)) return `"${name}" could be a Git commit (7 to 40 hex digits).`
  return reservedWords.has(name) ? `"${name}" is a word of its own in refs and routes.` : null
}

/** `v3` → 3 with prefix `v`, `r12` → 12 with prefix `r`; null for anything else. */
export function parseNumber(prefix: 'v' | 'r', ref: string): number | null {
  const match = new RegExp(`^${prefix}([1-9]\\d{0,8})$`).exec(ref)
  return match ? Number(match[1]) : null
}

/** A label where there is one, else the number form: how answers name versions and releases. */
export function refOf(prefix: 'v' | 'r', { label, number }: { label: string | null; number: number }): string {
  return label ?? `${prefix}${number}`
}

/**
 * Turns one path segment or routing value into a name segment: NFKC, lower-case, each run of other characters becomes
 * `-`, and what may not begin or end a segment is trimmed. Empty when nothing is left.
 */
export function slug(text: string): string {
  return fold(text)
    .replace(new RegExp(`[^${letter}\\p{M}._-]+`, 'gu'), '-')
    .replace(/^[\p{M}._-]+/u, '')
    .replace(/[._-]+$/, '')
}

/** `slug` for a path: `/` stays. Empty segments make the result no prompt name. */
export function slugPath(path: string): string {
  return path.split('/').map(slug).join('/')
}

function fold(text: string): string {
  return text.normalize('NFKC').toLowerCase().normalize('NFKC')
}
