import ignore, { type Ignore } from 'ignore'

/** The file of a folder that says what below it is no prompt; it works as `.gitignore` does. */
export const ignoreFileName = '.promptsyncignore'

/** The rules that hold in a folder: its own, and those of the folders above it. Paths count from the folder of the first. */
export type IgnoreRules = {
  /** The same with the rules of a folder below; `folder` is its path, empty for the first, `text` what its file holds. */
  within(folder: string, text: string): IgnoreRules
  /** Whether a path is ignored. That of a folder ends with "/". */
  ignores(path: string): boolean
}

/** No rules yet. They are told apart by case, whatever the file system does. Pure. */
export function noRules(): IgnoreRules {
  return rulesOf([])
}

function rulesOf(patterns: readonly string[]): IgnoreRules {
  const rules: Ignore = ignore({ ignorecase: false }).add(patterns)
  return {
    within: (folder, text) => rulesOf([...patterns, ...patternsOf(folder, text)]),
    ignores: (path) => rules.ignores(path),
  }
}

/** The patterns of a file in `folder` as they would be written in the first folder, so that later ones win over earlier ones. */
function patternsOf(folder: string, text: string): string[] {
  const lines = text.replace(/^\ufeff/, '').split(/\r?\n/)
  return lines.flatMap((line) => {
    const written = withoutTrailingSpaces(line)
    if (written === '' || written.startsWith('#')) return []
    if (folder === '') return [written]
    const sign = written.startsWith('!') ? '!' : ''
    const pattern = written.slice(sign.length)
    // A slash at the beginning or in the middle ties a pattern to its folder.
    const isTied = pattern.slice(0, -1).includes('/')
    const place = isTied ? pattern.replace(/^\//, '') : `**/${pattern}`
    return [`${sign}/${literally(folder)}/${place}`]
  })
}

/** A space at the end counts only behind a backslash. */
function withoutTrailingSpaces(line: string): string {
  return line.replace(/(?<!\\)((?:\\\\)*)\s+$/, '$1')
}

function literally(path: string): string {
  return path.replaceAll(/[\\*?[\]!# ]/g, '\\$&')
}
