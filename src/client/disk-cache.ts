import type { PromptPlan } from '../lib/prompt-plan.js'
import { Lane } from './lane.js'
import { isPlan } from './plan-shape.js'
import { builtinModule } from './platform.js'
import { PromptsyncError } from './problem.js'

type FileSystem = typeof import('node:fs')
type Path = typeof import('node:path')
type Crypto = typeof import('node:crypto')

/** A plan on disk. The time is of the system's clock: other processes, and later ones, read it. */
export type Stored = { plan: PromptPlan; etag: string | null; confirmedAt: number }

/** What tells the entries of a folder apart. */
export type Owner = { url: string; token: string | null; project: string | null }

type Options = {
  folder: string
  owner: Owner
  maxBytes: number
  /** Told once of each way in which the folder fails. */
  onError: (error: PromptsyncError) => void
}

/** Raised when what is in a file changes its meaning. */
const format = 1
const ending = '.plan.json'
/** A draft that nobody finished is the rest of a process that ended. */
const maxDraftAgeMs = 600_000
/** After so many writes it is counted what the folder holds: other processes write, too. */
const writesBetweenSweeps = 100
const keptShare = 0.9
const concurrentReads = 16
/** Far more than any plan takes; a file that is larger is none of ours. */
const maxFileBytes = 64 * 1024 ** 2

/**
 * Plans in a folder, one file each. A file is whole or not there: it is written beside and renamed. Whatever else is found is
 * ignored and removed. The folder may vanish, fill up or lose its permissions: nothing that is asked of it fails.
 */
export class DiskCache {
  readonly #folder: string
  readonly #owner: Owner
  readonly #maxBytes: number
  readonly #onError: (error: PromptsyncError) => void
  readonly #fs: FileSystem
  readonly #path: Path
  readonly #crypto: Crypto
  readonly #reported = new Set<string>()
  /** The last work on each file. */
  readonly #underWay = new Map<string, Promise<unknown>>()
  /** Hundreds of plans are to take no hundreds of descriptors: some are read at once, and one is written after the other. */
  readonly #reading = new Lane(concurrentReads)
  #last: Promise<unknown> = Promise.resolve()
  #writes = 0
  #writtenBytes = 0

  /** Throws `client.invalid` where there are no files. */
  constructor({ folder, owner, maxBytes, onError }: Options) {
    const [fs, path, crypto] = [
      builtinModule<FileSystem>('node:fs'),
      builtinModule<Path>('node:path'),
      builtinModule<Crypto>('node:crypto'),
    ]
    if (!fs || !path || !crypto) {
      const detail = 'cacheDir needs files, which Node from 20.16, Deno 2 and Bun have. Leave it out here.'
      throw new PromptsyncError('client.invalid', detail, { status: null })
    }
    this.#fs = fs
    this.#path = path
    this.#crypto = crypto
    this.#folder = path.resolve(folder)
    this.#owner = owner
    this.#maxBytes = maxBytes
    this.#onError = onError
  }

  /** The plan that is kept, or null. */
  async read(name: string, ref: string): Promise<Stored | null> {
    const file = this.#fileOf(name, ref)
    // What this process is about to write is newer than what is there.
    await this.#underWay.get(file)
    try {
      const text = await this.#reading.run(() => this.#readWhole(file))
      const stored = text === null ? null : this.#parse(text, name, ref)
      if (text !== null && stored === null) await this.#remove(file)
      return stored
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') this.#report('read from', error)
      return null
    }
  }

  /** Keeps a plan. Resolves when that is done, or has failed. */
  write(name: string, ref: string, stored: Stored): Promise<void> {
    return this.#inTurn(this.#fileOf(name, ref), (file) => this.#replace(file, this.#serialize(name, ref, stored)))
  }

  delete(name: string, ref: string): Promise<void> {
    return this.#inTurn(this.#fileOf(name, ref), (file) => this.#remove(file))
  }

  /** Resolves when nothing is being written anymore. */
  async settled(): Promise<void> {
    await this.#last
  }

  async #inTurn(file: string, work: (file: string) => Promise<void>): Promise<void> {
    const turn = this.#last.then(() => work(file).catch((error: unknown) => this.#report('written to', error)))
    this.#last = turn
    this.#underWay.set(file, turn)
    await turn
    if (this.#underWay.get(file) === turn) this.#underWay.delete(file)
  }

  async #readWhole(file: string): Promise<string | null> {
    const { O_RDONLY, O_NONBLOCK = 0 } = this.#fs.constants
    // A pipe that somebody put there would be waited for without an end.
    const handle = await this.#fs.promises.open(file, O_RDONLY | O_NONBLOCK)
    try {
      const stat = await handle.stat()
      return !stat.isFile() || stat.size > maxFileBytes ? '' : await handle.readFile('utf8')
    } finally {
      await handle.close()
    }
  }

  async #replace(file: string, text: string): Promise<void> {
    const { promises } = this.#fs
    await promises.mkdir(this.#folder, { recursive: true, mode: 0o700 })
    const bytes = new TextEncoder().encode(text)
    const draft = `${file}.${this.#crypto.randomUUID()}.tmp`
    try {
      await promises.writeFile(draft, bytes, { flag: 'wx', mode: 0o600 })
      await promises.rename(draft, file)
    } catch (error) {
      await promises.rm(draft, { force: true })
      throw error
    }
    await this.#sweepWhenDue(bytes.length)
  }

  async #remove(file: string): Promise<void> {
    await this.#fs.promises.rm(file, { force: true })
  }

  async #sweepWhenDue(bytes: number): Promise<void> {
    this.#writtenBytes += bytes
    const isDue = this.#writes % writesBetweenSweeps === 0 || this.#writtenBytes > this.#maxBytes
    this.#writes += 1
    if (isDue) await this.#sweep()
  }

  /** Removes what others left unfinished, and what was written first where it is too much together. */
  async #sweep(): Promise<void> {
    const found = await this.#list()
    const [drafts, plans] = [found.filter(({ file }) => file.endsWith('.tmp')), found.filter(({ file }) => file.endsWith(ending))]
    for (const { file, writtenAt } of drafts) if (Math.abs(Date.now() - writtenAt) > maxDraftAgeMs) await this.#remove(file)
    let sizeBytes = plans.reduce((sum, { size }) => sum + size, 0)
    const isOver = sizeBytes > this.#maxBytes
    for (const { file, size } of isOver ? plans.sort((one, other) => one.writtenAt - other.writtenAt) : []) {
      if (sizeBytes <= this.#maxBytes * keptShare) break
      await this.#remove(file)
      sizeBytes -= size
    }
    this.#writtenBytes = sizeBytes
  }

  async #list(): Promise<{ file: string; size: number; writtenAt: number }[]> {
    const { promises } = this.#fs
    const names = await promises.readdir(this.#folder)
    const ours = names.filter((name) => /^[0-9a-f]{64}\.plan\.json(\.[0-9a-f-]+\.tmp)?$/.test(name))
    const found: { file: string; size: number; writtenAt: number }[] = []
    for (const name of ours) {
      const file = this.#path.join(this.#folder, name)
      const stat = await promises.lstat(file).catch((error: unknown) => {
        // Another process removes what it replaces.
        if (codeOf(error) === 'ENOENT') return null
        throw error
      })
      if (stat?.isFile()) found.push({ file, size: stat.size, writtenAt: stat.mtimeMs })
    }
    return found
  }

  #fileOf(name: string, ref: string): string {
    const { url, token, project } = this.#owner
    // Keys of several projects would mean the same names otherwise.
    const caller = project === null && token !== null ? this.#digest(`key ${token}`) : null
    return this.#path.join(this.#folder, `${this.#digest(JSON.stringify([url, project, caller, name, ref]))}${ending}`)
  }

  #digest(text: string): string {
    return this.#crypto.createHash('sha256').update(text).digest('hex')
  }

  /** A line of what is needed to trust the rest, and the rest. */
  #serialize(name: string, ref: string, { plan, etag, confirmedAt }: Stored): string {
    const { url, project } = this.#owner
    const content = JSON.stringify({ url, project, name, ref, etag, confirmedAt, plan })
    return `${JSON.stringify({ format, sha256: this.#digest(content) })}\n${content}`
  }

  /** Null for what is cut, altered, of another format or of something else. */
  #parse(text: string, name: string, ref: string): Stored | null {
    const end = text.indexOf('\n')
    const [head, content] = [parseJson(text.slice(0, Math.max(end, 0))), text.slice(end + 1)]
    if (head?.format !== format || head.sha256 !== this.#digest(content)) return null
    const found = parseJson(content)
    const { url, project } = this.#owner
    const isOurs = found?.url === url && found.project === project && found.name === name && found.ref === ref
    if (!isOurs || !isPlan(found.plan, name, ref) || typeof found.confirmedAt !== 'number') return null
    return { plan: found.plan, etag: typeof found.etag === 'string' ? found.etag : null, confirmedAt: found.confirmedAt }
  }

  #report(doing: string, error: unknown): void {
    const code = codeOf(error) ?? String(error)
    if (this.#reported.has(code)) return
    this.#reported.add(code)
    const detail = `The cache in "${this.#folder}" cannot be ${doing}: ${code}. Prompts are served without it.`
    this.#onError(new PromptsyncError('client.cache', detail, { status: null, cause: error }))
  }
}

function codeOf(error: unknown): string | null {
  return (error as { code?: string } | null)?.code ?? null
}

function parseJson(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}
