import { createHash } from 'node:crypto'

/** What a tree holds: a file, or what is none. */
export type Entry = { mode: string; type: 'blob' | 'tree' | 'commit'; path: string; sha: string; size?: number }
export type Content = string | Buffer | { mode: string; bytes: Buffer } | { submodule: string }
export type Commit = { sha: string; tree: string; files: Map<string, Content> }

export const symbolicLink = (target: string): Content => ({ mode: '120000', bytes: Buffer.from(target) })
export const executable = (text: string): Content => ({ mode: '100755', bytes: Buffer.from(text) })
export const submodule = (sha: string): Content => ({ submodule: sha })

/** A repository in memory, of which all objects have the names that Git gives them. */
export type Repository = {
  id: number
  name: string
  isPrivate: boolean
  defaultBranch: string
  branches: Map<string, string>
  tags: Map<string, string>
  commits: Map<string, Commit>
  trees: Map<string, Entry[]>
  blobs: Map<string, Buffer>
  /** Commits these files, all there are, to a branch. */
  commit(files: Record<string, Content>, branch?: string): string
  resolve(ref: string): Commit | undefined
  /** A tree as GitHub lists it. */
  list(tree: string, depth: 'direct' | 'recursive'): Entry[]
}

type Level = { files: Map<string, Content>; folders: Map<string, Level> }

export function createRepository(name: string, id: number): Repository {
  const commits = new Map<string, Commit>()
  const trees = new Map<string, Entry[]>()
  const blobs = new Map<string, Buffer>()
  const branches = new Map<string, string>()
  const tags = new Map<string, string>()

  function store(path: string, content: Content): Entry {
    if (typeof content === 'object' && 'submodule' in content)
      return { mode: '160000', type: 'commit', path, sha: content.submodule }
    const { mode, bytes } = Buffer.isBuffer(content) || typeof content === 'string' ? plain(content) : content
    const sha = nameOf('blob', bytes)
    blobs.set(sha, bytes)
    return { mode, type: 'blob', path, sha, size: bytes.length }
  }

  function storeTree({ files, folders }: Level): string {
    const entries: Entry[] = [
      ...[...files].map(([path, content]) => store(path, content)),
      ...[...folders].map(([path, level]): Entry => ({ mode: '040000', type: 'tree', path, sha: storeTree(level) })),
    ].sort((one, other) => Buffer.compare(sortKey(one), sortKey(other)))
    const sha = nameOf('tree', Buffer.concat(entries.map(treeLine)))
    trees.set(sha, entries)
    return sha
  }

  function list(tree: string, depth: 'direct' | 'recursive'): Entry[] {
    const entries = trees.get(tree) ?? []
    if (depth === 'direct') return entries
    return entries.flatMap((entry) => [
      entry,
      ...(entry.type === 'tree'
        ? list(entry.sha, depth).map((inner) => ({ ...inner, path: `${entry.path}/${inner.path}` }))
        : []),
    ])
  }

  const repository: Repository = {
    id,
    name,
    isPrivate: false,
    defaultBranch: 'main',
    branches,
    tags,
    commits,
    trees,
    blobs,
    list,
    commit(files, branch = repository.defaultBranch) {
      const tree = storeTree(levelsOf(files))
      const parent = branches.get(branch)
      const person = `Ada <ada@example.com> ${1_700_000_000 + commits.size} +0000`
      const text = `tree ${tree}\n${parent ? `parent ${parent}\n` : ''}author ${person}\ncommitter ${person}\n\nState ${commits.size}\n`
      const sha = nameOf('commit', Buffer.from(text))
      commits.set(sha, { sha, tree, files: new Map(Object.entries(files)) })
      branches.set(branch, sha)
      return sha
    },
    resolve(ref) {
      const name = ref === 'HEAD' ? repository.defaultBranch : ref
      const sha = branches.get(name.replace(/^heads\//, '')) ?? tags.get(name.replace(/^tags\//, ''))
      if (sha !== undefined) return commits.get(sha)
      return /^[0-9a-f]{7,40}$/.test(ref) ? [...commits.values()].find((commit) => commit.sha.startsWith(ref)) : undefined
    },
  }
  return repository
}

function plain(content: string | Buffer): { mode: string; bytes: Buffer } {
  return { mode: '100644', bytes: Buffer.from(content as string) }
}

/** The bytes of what is stored as a blob; null of a submodule. */
export function bytesOf(content: Content): Buffer | null {
  if (Buffer.isBuffer(content) || typeof content === 'string') return Buffer.from(content as string)
  return 'bytes' in content ? content.bytes : null
}

function levelsOf(files: Record<string, Content>): Level {
  const root: Level = { files: new Map(), folders: new Map() }
  for (const [path, content] of Object.entries(files)) {
    const segments = path.split('/')
    const name = segments.pop() ?? ''
    let level = root
    for (const segment of segments) {
      const next: Level = level.folders.get(segment) ?? { files: new Map(), folders: new Map() }
      level.folders.set(segment, next)
      level = next
    }
    level.files.set(name, content)
  }
  return root
}

export function nameOf(type: string, bytes: Buffer): string {
  return createHash('sha1').update(`${type} ${bytes.length}\0`).update(bytes).digest('hex')
}

/** Git sorts folders as if their names ended in a slash. */
function sortKey({ path, type }: Entry): Buffer {
  return Buffer.from(type === 'tree' ? `${path}/` : path)
}

function treeLine({ mode, path, sha }: Entry): Buffer {
  return Buffer.concat([Buffer.from(`${mode.replace(/^0/, '')} ${path}\0`), Buffer.from(sha, 'hex')])
}
