import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { DataDirectoryLocked, lockDataDirectory } from '../../src/database/lock.js'
import { packageRoot } from '../../src/lib/package-root.js'
import type { Teardown } from '../helpers/service.js'

/** Another process that takes locks: see fixtures/take-locks.ts. */
type Taker = {
  process: ChildProcess
  /** Locks directories all at once; answers `taken` or `refused` for each. */
  take(directories: string[]): Promise<string[]>
  releaseAll(): Promise<void>
  kill(): Promise<void>
}

/** Long enough for a busy machine, far below the ten seconds that a foreign holder's silence takes. */
const atOnceMs = 6_000

async function createDirectory(t: Teardown): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'promptsync-lock-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

async function startTaker(t: Teardown): Promise<Taker> {
  const child = spawn(process.execPath, ['--import', './scripts/ts-loader.mjs', 'test/fixtures/take-locks.ts'], {
    cwd: packageRoot,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const kill = async () => {
    child.kill('SIGKILL')
    await exited
  }
  t.teardown(kill)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const answer = async () => {
    const { value, done } = await lines.next()
    if (done) throw new Error('The process that takes locks has ended.')
    return JSON.parse(value)
  }
  await answer()
  const take = (directories: string[]) => {
    child.stdin.write(`${JSON.stringify(directories)}\n`)
    return answer()
  }
  return { process: child, take, releaseAll: () => take([]), kill }
}

/** A directory whose lock a process held when it was killed. */
async function createDeadLock(t: Teardown): Promise<string> {
  const directory = await createDirectory(t)
  const taker = await startTaker(t)
  await taker.take([directory])
  await taker.kill()
  return directory
}

async function editHolder(directory: string, changes: object): Promise<void> {
  const path = join(directory, 'lock')
  await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), ...changes }))
}

/** Takes a lock and tells how long that took; the lock is released at the end. */
async function takeTimed(t: Teardown, directory: string): Promise<number> {
  const startedAt = performance.now()
  const lock = await lockDataDirectory(directory)
  t.teardown(() => lock.release())
  return performance.now() - startedAt
}

async function errorOf(directory: string): Promise<unknown> {
  return lockDataDirectory(directory).then(
    async (lock) => {
      await lock.release()
      return new Error('The lock was given.')
    },
    (error: unknown) => error,
  )
}

// Most of this is waiting for other processes, the first test most of all.
t.jobs = 4

t.test('a holder on another host that is silent is taken over after ten seconds, not before', { buffered: true }, async (t) => {
  const directory = await createDeadLock(t)
  await editHolder(directory, { host: 'another-host' })
  const elapsedMs = await takeTimed(t, directory)
  t.ok(elapsedMs > 8_000 && elapsedMs < 20_000, `${Math.round(elapsedMs)} ms`)
})

t.test('a directory that another process uses is refused, naming that process and the remedy', { buffered: true }, async (t) => {
  const directory = await createDirectory(t)
  const taker = await startTaker(t)
  t.same(await taker.take([directory]), ['taken'])
  const error = await errorOf(directory)
  t.ok(error instanceof DataDirectoryLocked, String(error))
  const { message } = error as Error
  t.match(message, `process ${taker.process.pid} `)
  t.ok(message.includes(directory), message)
  t.match(message, /PROMPTSYNC_DATA_DIR.*DATABASE_URL/)
  t.same(await taker.take([directory]), ['refused'], 'nor twice by the process that holds it')
  await taker.releaseAll()
  t.ok((await takeTimed(t, directory)) < atOnceMs, 'released, it is free')
})

t.test('the lock of a killed process is taken over at once', { buffered: true }, async (t) => {
  const directory = await createDeadLock(t)
  t.ok((await takeTimed(t, directory)) < atOnceMs)
  t.same(await readdir(directory), ['lock'], 'nothing is left beside it')
  const taker = await startTaker(t)
  t.same(await taker.take([directory]), ['refused'], 'and it is held again')
})

t.test('a lock whose process number belongs to another process by now is taken over at once', { buffered: true }, async (t) => {
  const directory = await createDirectory(t)
  const taker = await startTaker(t)
  await taker.take([directory])
  await editHolder(directory, { startedAt: '1' })
  t.ok((await takeTimed(t, directory)) < atOnceMs)
})

t.test('a lock file that holds no holder is taken over at once', { buffered: true }, async (t) => {
  for (const garbage of [
    '',
    '{',
    '{}',
    'null',
    '{"pid":"x"}',
    '\0\0\0\0',
    '{"pid":-1,"startedAt":null,"host":""}',
    'x'.repeat(100_000),
  ]) {
    const directory = await createDirectory(t)
    await writeFile(join(directory, 'lock'), garbage)
    t.ok((await takeTimed(t, directory)) < atOnceMs, JSON.stringify(garbage.slice(0, 40)))
  }
})

t.test('a released lock is gone, with everything beside it', { buffered: true }, async (t) => {
  const directory = join(await createDirectory(t), 'new', 'data')
  const lock = await lockDataDirectory(directory)
  t.same(await readdir(directory), ['lock'])
  await lock.release()
  t.same(await readdir(directory), [])
  await lock.release()
  const next = await lockDataDirectory(directory)
  await next.release()
  t.same(await readdir(directory), [])
})

t.test('only the lock’s own user may read the directory and the lock', { buffered: true }, async (t) => {
  const directory = join(await createDirectory(t), 'data')
  await takeTimed(t, directory)
  for (const path of [directory, join(directory, 'lock')]) t.equal((await stat(path)).mode & 0o077, 0, path)
})

t.test('releasing removes no lock of another holder', { buffered: true }, async (t) => {
  const directory = await createDirectory(t)
  const lock = await lockDataDirectory(directory)
  await editHolder(directory, { pid: process.pid + 1 })
  const others = await readFile(join(directory, 'lock'), 'utf8')
  await lock.release()
  t.equal(await readFile(join(directory, 'lock'), 'utf8'), others)
})

t.test('a lock that is gone when it is released is no error', { buffered: true }, async (t) => {
  const directory = await createDirectory(t)
  const lock = await lockDataDirectory(directory)
  await rm(directory, { recursive: true })
  await t.resolves(lock.release())
})

t.test('of two processes that want free directories at the same moment exactly one gets each', { buffered: true }, async (t) => {
  await checkRaces(t, async (t) => createDirectory(t))
})

t.test('of two processes that want directories of a dead one exactly one gets each', { buffered: true }, async (t) => {
  const victim = await startTaker(t)
  await checkRaces(t, createDirectory, async (directories) => {
    t.ok((await victim.take(directories)).every((answer) => answer === 'taken'))
    await victim.kill()
  })
})

/** Five races for eight directories each. `prepare` is given all directories before the first. */
async function checkRaces(
  t: Teardown & Pick<typeof import('tap').t, 'same'>,
  create: (t: Teardown) => Promise<string>,
  prepare: (directories: string[]) => Promise<void> = async () => undefined,
): Promise<void> {
  const rounds = await Promise.all(Array.from({ length: 5 }, () => Promise.all(Array.from({ length: 8 }, () => create(t)))))
  await prepare(rounds.flat())
  const takers = await Promise.all([startTaker(t), startTaker(t)])
  for (const directories of rounds) {
    const [one = [], other = []] = await Promise.all(takers.map((taker) => taker.take(directories)))
    const outcomes = directories.map((_, index) => [one[index], other[index]].sort())
    t.same(
      outcomes,
      directories.map(() => ['refused', 'taken']),
    )
  }
}

t.test('a holder on another host that renews its lock is refused', { buffered: true }, async (t) => {
  const directory = await createDeadLock(t)
  await editHolder(directory, { host: 'another-host' })
  const path = join(directory, 'lock')
  let seconds = 0
  const renewal = setInterval(() => {
    seconds += 10
    utimes(path, seconds, seconds)
  }, 300)
  t.teardown(() => clearInterval(renewal))
  const error = await errorOf(directory)
  t.ok(error instanceof DataDirectoryLocked, String(error))
  t.match((error as Error).message, 'another-host')
})

t.test('a held lock keeps no process alive', { buffered: true }, async (t) => {
  const directory = await createDirectory(t)
  const taker = await startTaker(t)
  t.same(await taker.take([directory]), ['taken'])
  taker.process.stdin?.end()
  const [code] = await once(taker.process, 'exit')
  t.equal(code, 0)
})
