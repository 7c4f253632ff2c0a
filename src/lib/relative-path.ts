const maxPathLength = 1_000

/** Why a path of a source's file cannot be taken, or null: it has to be relative and to name one file everywhere. Pure. */
export function pathProblem(path: string): string | null {
  if (path.length > maxPathLength) return `the path is over ${maxPathLength} characters`
  if (/\p{Cc}/u.test(path)) return 'the path has a control character'
  if (!path.isWellFormed() || path.includes('\ufffd')) return 'the path is no UTF-8'
  if (path.includes('\\')) return 'the path has a backslash'
  if (/^\/|^[A-Za-z]:\//.test(path)) return 'the path is absolute'
  if (path.split('/').some((segment) => segment === '' || segment === '.' || segment === '..')) {
    return 'the path has an empty, "." or ".." segment'
  }
  return null
}
