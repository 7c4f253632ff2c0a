import { z } from 'zod'
import { AppError, tryLater } from '../errors.js'
import { createPause } from '../lib/slices.js'
import { noApi } from './github-refusals.js'
import type { GitHub } from './github-requests.js'
import type { IgnoredFile, ListedFile } from './provider.js'

export type Tree = {
  files: ListedFile[]
  ignored: IgnoredFile[]
  /** How much the whole repository is, as an archive holds it; null where only a part of it was listed. */
  size: { files: number; bytes: number } | null
}

type Entry = z.infer<typeof Entry>
type Subtree = { sha: string; path: string }
type Answer = { entries: Entry[]; truncated: boolean }

export const Sha = z.string().regex(/^[0-9a-f]{40}$/)
const Entry = z.object({ path: z.string(), mode: z.string(), sha: Sha, size: z.number().int().nonnegative().optional() })
const Outside = z.object({ truncated: z.boolean() })

const maxAnswerBytes = 32 * 1024 ** 2
/** Trees that are asked for one by one, where the listing of all is cut off. */
const maxSubtrees = 200
const retrySeconds = 5
const maxIgnored = 1_000
const maxPathLength = 1_000
const maxToldLength = 200
const tooLong = `has a path of over ${maxPathLength} characters.`
const quote = 0x22
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d
const folderMode = '040000'
const fileModes = new Set(['100644', '100755', '100664'])
const otherModes: Record<string, string> = {
  '120000': 'is a symbolic link, which is not followed.',
  '160000': 'is a submodule, which is not followed: make it a source of its own.',
}

/** Lists the files below `folder` (empty: all), by one request where GitHub gives all of the tree at once. */
export async function listTree(github: GitHub, commit: string, folder: string): Promise<Tree> {
  const whole = await askTree(github, commit, 'recursive')
  const collector = createCollector(github)
  if (!whole.truncated) {
    await collector.take(whole.entries, '', folder)
    if (folder && !collector.seesFolder()) throw noFolder(github, folder, whole.entries)
    return collector.tree(sizeOf(whole.entries))
  }
  if (folder) {
    await walk(github, [await descend(github, commit, folder)], folder, collector)
  } else {
    // What is known already may be too much.
    await createCollector(github).take(whole.entries, '', '')
    await walk(github, await splitTree(github, { sha: commit, path: '' }, folder, collector), folder, collector)
  }
  return collector.tree(null)
}

/** Lists trees, and those that GitHub does not give at once folder by folder. */
async function walk(github: GitHub, trees: Subtree[], folder: string, collector: Collector): Promise<void> {
  const waiting = [...trees]
  let asked = 0
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    asked += 1
    if (asked > maxSubtrees) throw tooManyFiles(github, `more than ${maxSubtrees} folders would have to be asked for one by one`)
    const { entries, truncated } = await askTree(github, next.sha, 'recursive')
    if (truncated) waiting.push(...(await splitTree(github, next, folder, collector)))
    else await collector.take(entries, next.path, folder)
  }
}

/** Takes the files that are directly in a tree, and gives the folders in it. */
async function splitTree(github: GitHub, { sha, path }: Subtree, folder: string, collector: Collector): Promise<Subtree[]> {
  const entries = await askWhole(github, sha, path)
  await collector.take(entries, path, folder)
  return entries
    .filter((entry) => entry.mode === folderMode && !isTooLong(path, entry))
    .map((entry) => ({ sha: entry.sha, path: joined(path, entry.path) }))
}

async function descend(github: GitHub, commit: string, folder: string): Promise<Subtree> {
  let at: Subtree = { sha: commit, path: '' }
  for (const segment of folder.split('/')) {
    const entries = await askWhole(github, at.sha, at.path)
    const found = entries.find(({ path, mode }) => path === segment && mode === folderMode)
    if (!found) throw noFolder(github, folder, entries)
    at = { sha: found.sha, path: joined(at.path, segment) }
  }
  return at
}

async function askWhole(github: GitHub, sha: string, path: string): Promise<Entry[]> {
  const { entries, truncated } = await askTree(github, sha, 'direct')
  if (truncated) throw tooManyFiles(github, `the folder "${path || '/'}" alone is more than GitHub lists`)
  return entries
}

async function askTree(github: GitHub, sha: string, depth: 'direct' | 'recursive'): Promise<Answer> {
  const gone = () =>
    tryLater('source.changed', `A commit of "${github.repo}" was removed while it was read. Try again.`, retrySeconds)
  const answer = await github.ask({
    route: '/repos/{owner}/{repo}/git/trees/{sha}',
    // Any value asks for all levels, so that it is left out where only one is wanted.
    parameters: depth === 'recursive' ? { sha, recursive: '1' } : { sha },
    maxBytes: maxAnswerBytes,
    meanings: { 404: gone, 409: gone, 422: gone },
  })
  return parseTree(answer.body.toString('utf8'), github.repo)
}

/**
 * A listing may be tens of megabytes. Its entries are parsed one by one, so that others get their turn in between; the rest,
 * which is small, in one go.
 */
async function parseTree(text: string, repo: string): Promise<Answer> {
  const key = /"tree"\s*:\s*\[/.exec(text)
  if (!key) throw noApi(repo)
  const pause = createPause()
  const start = key.index + key[0].length
  const entries: Entry[] = []
  let position = skipBetween(text, start)
  try {
    while (text[position] === '{') {
      const end = endOfObject(text, position)
      entries.push(Entry.parse(JSON.parse(text.slice(position, end))))
      position = skipBetween(text, end)
      const due = pause()
      if (due) await due
    }
    const { truncated } = Outside.parse(JSON.parse(text.slice(0, start) + text.slice(position)))
    return { entries, truncated }
  } catch {
    // Whether it is no JSON or has other fields: the remedy is the same.
    throw noApi(repo)
  }
}

function skipBetween(text: string, from: number): number {
  let position = from
  while (position < text.length && ' \n\r\t,'.includes(text[position] ?? '')) position += 1
  return position
}

/** The position after the object that begins at `start`; of the whole text where it does not end. */
function endOfObject(text: string, start: number): number {
  let depth = 0
  let isInText = false
  for (let position = start; position < text.length; position += 1) {
    const code = text.charCodeAt(position)
    if (isInText) {
      if (code === backslash) position += 1
      else if (code === quote) isInText = false
    } else if (code === quote) isInText = true
    else if (code === openBrace) depth += 1
    else if (code === closeBrace) {
      depth -= 1
      if (depth === 0) return position + 1
    }
  }
  return text.length
}

type Collector = {
  /** Takes what is in `folder`; `base` is where the entries' paths begin. */
  take(entries: readonly Entry[], base: string, folder: string): Promise<void>
  /** Whether the folder itself was among the entries. */
  seesFolder(): boolean
  tree(size: Tree['size']): Tree
}

function createCollector(github: GitHub): Collector {
  const files = new Map<string, ListedFile>()
  const ignored: IgnoredFile[] = []
  let isFolderSeen = false
  let leftOff = 0

  function ignore(path: string, why: string): void {
    if (ignored.length < maxIgnored) ignored.push({ path: printable(path), why })
    else leftOff += 1
  }

  function takeEntry({ mode, sha, size }: Entry, whole: string, path: string): void {
    if (mode === folderMode) return
    const why = whyIgnored(mode, path) ?? (files.has(path) ? 'is listed twice; the first one counts.' : null)
    if (why !== null) {
      ignore(path, why)
      return
    }
    files.set(path, { path, hash: sha, sizeBytes: size ?? null })
    if (files.size > github.context.limits.files) {
      throw tooManyFiles(github, `it holds more than ${github.context.limits.files} files, "${whole}" for one`)
    }
  }

  return {
    async take(entries, base, folder) {
      const pause = createPause()
      const prefix = folder ? `${folder}/` : ''
      for (const entry of entries) {
        // The path is cut before it is joined: a folder's, which may be megabytes, is part of each of its entries'.
        const whole = joined(base, entry.path.slice(0, maxPathLength))
        if (entry.mode === folderMode && whole === folder) isFolderSeen = true
        if (whole.startsWith(prefix)) {
          if (isTooLong(base, entry)) ignore(whole.slice(prefix.length), tooLong)
          else takeEntry(entry, whole, whole.slice(prefix.length))
        }
        const due = pause()
        if (due) await due
      }
    },
    seesFolder: () => isFolderSeen,
    tree: (size) => {
      if (leftOff > 0) ignored.push({ path: '', why: `and ${leftOff} more are ignored.` })
      return { files: [...files.values()], ignored, size }
    },
  }
}

/**
 * A hostile path is told all the same, as what can be stored and shown. It is copied through its bytes, since a slice would keep
 * the whole of it in memory.
 */
function printable(path: string): string {
  return Buffer.from(path.slice(0, maxToldLength).toWellFormed())
    .toString('utf8')
    .replace(/\p{Cc}/gu, '\ufffd')
}

function whyIgnored(mode: string, path: string): string | null {
  return fileModes.has(mode) ? hostileReason(path) : (otherModes[mode] ?? 'is neither a file nor a folder.')
}

/** Git itself refuses to make such paths, but a tree can be written by hand. */
function hostileReason(path: string): string | null {
  if (path.length > maxPathLength) return tooLong
  if (/\p{Cc}/u.test(path)) return 'has a control character in its path.'
  if (!path.isWellFormed() || path.includes('\ufffd')) return 'has a path that is no UTF-8.'
  if (path.includes('\\')) return 'has a backslash in its path.'
  const segments = path.split('/')
  if (segments.some((segment) => segment === '' || segment === '.' || segment === '..' || segment.toLowerCase() === '.git')) {
    return 'has an absolute path, or one with an empty, ".", ".." or ".git" segment.'
  }
  return null
}

function sizeOf(entries: readonly Entry[]): { files: number; bytes: number } {
  return { files: entries.length, bytes: entries.reduce((sum, { size = 0 }) => sum + size, 0) }
}

function noFolder(github: GitHub, folder: string, entries: readonly Entry[]): AppError {
  const found = entries.find(({ path }) => path === folder)
  const what =
    found && otherModes[found.mode]
      ? `"${folder}" ${otherModes[found.mode]}`
      : `There is no folder "${folder}" in "${github.repo}".`
  return new AppError('source.missing', `${what} Check \`path\`, upper and lower case too.`)
}

function tooManyFiles({ repo }: GitHub, why: string): AppError {
  return new AppError('source.too_large', `"${repo}" is too large: ${why}. Give a smaller folder as \`path\`.`)
}

/** Told before the two are joined. */
function isTooLong(base: string, { path }: Entry): boolean {
  return base.length + path.length > maxPathLength
}

function joined(base: string, path: string): string {
  return base ? `${base}/${path}` : path
}
