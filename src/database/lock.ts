import { randomUUID } from 'node:crypto'
import { link, mkdir, open, readFile, readlink, rm, stat, utimes } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** PGlite has no lock on its directory, and a second process would silently lose writes. */
export type DataDirectoryLock = { release(): Promise<void> }

/** `host` is the host name and, on Linux, the space of process numbers: a container's are not its neighbour's. */
type Holder = { pid: number; startedAt: string | null; host: string }

const heartbeatMs = 2_000
const guardRetryMs = 100
/** A holder on another host (a container that is gone, say) is believed dead after this long without a heartbeat. */
const foreignSilenceMs = 10_000

/** The directory is in use; `message` names the process that holds it. */
export class DataDirectoryLocked extends Error {}

/** Takes `<directory>/lock`, also from a holder that is no longer alive. Rejects with `DataDirectoryLocked`. */
export async function lockDataDirectory(directory: string): Promise<DataDirectoryLock> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const path = join(directory, 'lock')
  const self: Holder = { pid: process.pid, startedAt: await startTimeOf(process.pid), host: await hostOf() }
  for (let attempt = 0; attempt < 3; attempt += 1) {
    if (await createLock(path, self)) return holdLock(path, self)
    const holder = await readHolder(path)
    if (holder && (await isAlive(path, holder))) {
      throw new DataDirectoryLocked(
        `The embedded database in ${directory} is in use by process ${holder.pid} on ${holder.host}. ` +
          'Stop that process, set PROMPTSYNC_DATA_DIR to another directory, or set DATABASE_URL to share a Postgres.',
      )
    }
    if (await takeOver(path, holder, self)) return holdLock(path, self)
  }
  throw new DataDirectoryLocked(`The lock ${path} changed hands while it was being taken. Try again.`)
}

/** Creates the file with its content in one step, so that nobody sees it empty; false when it exists. */
async function createLock(path: string, holder: Holder): Promise<boolean> {
  const draft = `${path}.${process.pid}.${randomUUID()}`
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(JSON.stringify(holder))
    await file.sync()
    await file.close()
    await link(draft, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}

/** Null when the file is gone or was cut off by a crash before it was written. */
async function readHolder(path: string): Promise<Holder | null> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  const match = /^\{"pid":(\d+),"startedAt":(?:null|"(\d+)"),"host":"([^"]*)"\}$/.exec(text)
  return match ? { pid: Number(match[1]), startedAt: match[2] ?? null, host: match[3] ?? '' } : null
}

async function isAlive(path: string, holder: Holder): Promise<boolean> {
  if (holder.host !== (await hostOf())) return beats(path)
  if (holder.pid === process.pid) return holder.startedAt === (await startTimeOf(process.pid)) && beats(path)
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  // The number may have been given to another process since: then its start time differs, where that can be seen.
  const startedAt = await startTimeOf(holder.pid)
  if (startedAt === null || holder.startedAt === null) return beats(path)
  return holder.startedAt === startedAt
}

async function hostOf(): Promise<string> {
  const space = await readlink('/proc/self/ns/pid').catch(() => '')
  return `${hostname()} ${space}`.trim()
}

async function beats(path: string): Promise<boolean> {
  const before = await modifiedAt(path)
  for (let waited = 0; waited < foreignSilenceMs; waited += heartbeatMs / 4) {
    await delay(heartbeatMs / 4)
    if ((await modifiedAt(path)) !== before) return true
  }
  return false
}

/** Milliseconds since the epoch; 0 for a file that is not there. */
async function modifiedAt(path: string): Promise<number> {
  const stats = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return { mtimeMs: 0 }
    throw error
  })
  return stats.mtimeMs
}

/**
 * Replaces a dead lock by ours. Several processes may have found it dead: an exclusive guard lets one of them at a time
 * look again and act, so that a lock just taken is never removed.
 */
async function takeOver(path: string, dead: Holder | null, self: Holder): Promise<boolean> {
  const guard = `${path}.takeover`
  const guardedAt = await modifiedAt(guard)
  if (guardedAt > 0 && Date.now() - guardedAt > foreignSilenceMs) await rm(guard, { force: true })
  if (!(await createLock(guard, self))) {
    await delay(guardRetryMs)
    return false
  }
  try {
    if (JSON.stringify(await readHolder(path)) !== JSON.stringify(dead)) return false
    await rm(path, { force: true })
    return await createLock(path, self)
  } finally {
    await rm(guard, { force: true })
  }
}

/** Clock ticks since boot at which a process began, where the system tells (Linux); null elsewhere. */
async function startTimeOf(pid: number): Promise<string | null> {
  try {
    const stats = await readFile(`/proc/${pid}/stat`, 'utf8')
    return stats.slice(stats.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null
  }
}

function holdLock(path: string, self: Holder): DataDirectoryLock {
  const heartbeat = setInterval(() => {
    const now = new Date()
    utimes(path, now, now).catch((error: Error) => process.emitWarning(`The lock ${path} could not be renewed: ${error.message}`))
  }, heartbeatMs)
  heartbeat.unref()
  return {
    async release() {
      clearInterval(heartbeat)
      const holder = await readHolder(path)
      if (JSON.stringify(holder) === JSON.stringify(self)) await rm(path, { force: true })
    },
  }
}
