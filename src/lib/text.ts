import type { Finding } from '../errors.js'

/** The path of one step deeper: `prompts[3]`, `config.model`. */
export function joinPath(path: string, step: string | number): string {
  if (typeof step === 'number') return `${path}[${step}]`
  return path ? `${path}.${step}` : step
}

/** Why Postgres cannot keep a text as it is, or null. */
export function unstorableReason(text: string): string | null {
  if (text.includes('\0')) return 'holds a NUL character, which cannot be stored.'
  return text.isWellFormed() ? null : 'holds half of a surrogate pair, which is no character.'
}

/** Finds the first text in a JSON value (of bounded depth) that cannot be stored, keys included. */
export function findUnstorable(value: unknown, path = ''): Finding | null {
  if (typeof value === 'string') {
    const reason = unstorableReason(value)
    return reason ? { path, message: `${path || 'The body'} ${reason}` } : null
  }
  if (typeof value !== 'object' || value === null) return null
  for (const [key, child] of Object.entries(value)) {
    const finding = unstorableReason(key)
      ? { path, message: `A key of ${path || 'the body'} ${unstorableReason(key)}` }
      : findUnstorable(child, joinPath(path, Array.isArray(value) ? Number(key) : key))
    if (finding) return finding
  }
  return null
}
