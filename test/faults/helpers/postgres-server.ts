import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { freePort } from '../../helpers/free-port.js'
import type { Teardown } from '../../helpers/service.js'
import { until } from '../../helpers/until.js'
import { pauseProcess } from './pause-process.js'

/** A PostgreSQL cluster of this test alone, which may be stopped, killed and started again under the same address. */
export type PostgresServer = {
  /** Makes a database that an ordinary role owns, and answers its URL for that role. */
  createDatabase(name: string): Promise<string>
  /** A session of the superuser, closed at the end. */
  connect(database: string): Promise<pg.Client>
  /** Resolves when it accepts connections. */
  start(): Promise<void>
  stop(mode: 'fast' | 'immediate'): Promise<void>
  isRunning(): boolean
  log(): string
} & PostgresFaults

/** What is done to a server that goes on running. */
type PostgresFaults = {
  /** Stops it and every session where they are. The system still accepts connections for it, and nobody answers them. */
  freeze(): Promise<void>
  thaw(): Promise<void>
  /** Whether transactions of a database refuse to write, with 25006. Its sessions are ended, so that it holds for all at once. */
  setReadOnly(database: string, state: 'on' | 'off'): Promise<void>
  /** Ends the sessions of the ordinary role and refuses it new ones, with 53300. */
  exhaustConnections(): Promise<void>
  releaseConnections(): Promise<void>
  /** Keeps what a database holds now, and answers the name of that backup. Ends the sessions of the database for a moment. */
  backup(database: string): Promise<string>
  /** Puts a backup in the place of the database. Meanwhile the server refuses its new sessions, with 55000. */
  restore(database: string, backup: string): Promise<void>
}

type Options = {
  /** Where its data lies; by default a temporary directory. Its parent must exist. */
  directory?: string
  /** Put before every command, to run it elsewhere: see `small-disk.ts`. */
  enter?: string[]
  /** Whether its write-ahead log lies elsewhere than `directory`. */
  separateLog?: boolean
}

const oldest = 15
const role = 'promptsync'
const startTimeoutMs = 30_000
const acceptingLine = 'database system is ready to accept connections'
const endSessionsMs = 10_000

function versionOf(directory: string): number {
  const programs = ['initdb', 'postgres'].map((name) => join(directory, name))
  if (!programs.every((program) => existsSync(program))) return 0
  return Number(/\d+/.exec(execFileSync(programs[1] ?? '', ['--version'], { encoding: 'utf8' }))?.[0] ?? 0)
}

/** The directory of the newest server programs of this machine. */
async function findPrograms(): Promise<string> {
  const root = '/usr/lib/postgresql'
  const debian = (await readdir(root).catch(() => [])).map((version) => join(root, version, 'bin'))
  const candidates = [...(process.env.PATH ?? '').split(':').filter(Boolean), ...debian]
  const found = candidates.map((directory) => ({ directory, version: versionOf(directory) }))
  const newest = found.sort((a, b) => b.version - a.version)[0]
  if (newest && newest.version >= oldest) return newest.directory
  throw new Error(
    `These tests start PostgreSQL servers of their own, and found no initdb and postgres of version ${oldest} or newer in PATH or ${root}. ` +
      'Install them: apt-get install postgresql.',
  )
}

/** Who the server runs as: it refuses to be root. */
function serverUser(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null
  try {
    const [uid, gid] = ['-u', '-g'].map((option) => Number(execFileSync('id', [option, 'postgres'], { stdio: 'pipe' })))
    return { uid: uid ?? 0, gid: gid ?? 0 }
  } catch {
    throw new Error(
      'PostgreSQL does not run as root, and there is no user named postgres to run it as. Install Debian’s package postgresql.',
    )
  }
}

/** The command as the server's user; it ends with this process, however this process ends. */
function asServer(user: { uid: number; gid: number } | null, command: string[], enter: string[]): [string, string[]] {
  const identity = user ? [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups'] : []
  const [program = '', ...args] = [...enter, 'setpriv', ...identity, '--pdeathsig=QUIT', ...command]
  return [program, args]
}

/** Stops a process and all of its children; the answer lets them go on. */
async function pauseFamily(pid: number): Promise<() => Promise<void>> {
  // The parent comes first, so that it makes no further children.
  await pauseProcess(pid)
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'latin1')).split(' ').filter(Boolean)
  // However this process ends, the pipe closes and they go on, to hear that they are to end.
  const script = 'trap "" INT TERM HUP; read -r _; kill -CONT "$@"'
  const guard = spawn('sh', ['-c', script, 'guard', String(pid), ...children], { stdio: ['pipe', 'ignore', 'ignore'] })
  const ended = once(guard, 'close')
  const release = async () => {
    guard.stdin.end()
    await ended
  }
  await Promise.all(children.map((child) => pauseProcess(Number(child)))).catch(async (error) => {
    await release()
    throw error
  })
  return release
}

type Superuser = <T>(work: (session: pg.Client) => Promise<T>) => Promise<T>

/** Ends the sessions that a condition on `pg_stat_activity` names, and those that were only beginning, too. */
async function endSessions(session: pg.Client, condition: string, value: string): Promise<void> {
  const sql = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${condition} = $1 AND pid <> pg_backend_pid()`
  await until(`no session is left where ${condition} is ${value}`, endSessionsMs, async () => {
    const { rowCount } = await session.query(sql, [value])
    return rowCount === 0
  })
}

function postgresFaults(asSuperuser: Superuser, pid: () => number | undefined): PostgresFaults {
  let release: (() => Promise<void>) | null = null
  let backups = 0
  const limitConnections = (limit: number) =>
    asSuperuser(async (session) => {
      await session.query(`ALTER ROLE ${role} CONNECTION LIMIT ${limit}`)
      if (limit === 0) await endSessions(session, 'usename', role)
    })
  const closeDatabase = async (session: pg.Client, database: string) => {
    await session.query(`ALTER DATABASE "${database}" ALLOW_CONNECTIONS false`)
    await endSessions(session, 'datname', database)
  }
  return {
    async freeze() {
      const running = pid()
      if (running === undefined || release) throw new Error('Only a server that runs can be frozen.')
      release = await pauseFamily(running)
    },
    async thaw() {
      await release?.()
      release = null
    },
    setReadOnly: (database, state) =>
      asSuperuser(async (session) => {
        await session.query(`ALTER DATABASE "${database}" SET default_transaction_read_only = ${state}`)
        await endSessions(session, 'datname', database)
      }),
    exhaustConnections: () => limitConnections(0),
    releaseConnections: () => limitConnections(-1),
    backup: (database) =>
      asSuperuser(async (session) => {
        backups += 1
        const backup = `${database}_backup_${backups}`
        // A database is copied only while nobody is connected to it.
        await closeDatabase(session, database)
        try {
          await session.query(`CREATE DATABASE "${backup}" TEMPLATE "${database}"`)
        } finally {
          await session.query(`ALTER DATABASE "${database}" ALLOW_CONNECTIONS true`)
        }
        return backup
      }),
    restore: (database, backup) =>
      asSuperuser(async (session) => {
        const [fresh, replaced] = [`${database}_fresh`, `${database}_replaced`]
        await session.query(`CREATE DATABASE "${fresh}" OWNER ${role} TEMPLATE "${backup}"`)
        await closeDatabase(session, database)
        // In one transaction, so that there is a database of this name at every moment.
        await session.query(
          `BEGIN; ALTER DATABASE "${database}" RENAME TO "${replaced}"; ALTER DATABASE "${fresh}" RENAME TO "${database}"; COMMIT`,
        )
        await session.query(`DROP DATABASE "${replaced}"`)
      }),
  }
}

async function makeDirectory(t: Teardown, user: { uid: number; gid: number } | null): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'promptsync-postgres-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  await chmod(directory, 0o700)
  if (user) await chown(directory, user.uid, user.gid)
  return directory
}

/** Makes a cluster and starts it. The defaults of the packages stay, a hundred connections among them. */
export async function startPostgres(t: Teardown, options: Options = {}): Promise<PostgresServer> {
  const { enter = [], separateLog = false } = options
  const programs = await findPrograms()
  const user = serverUser()
  const data = join(options.directory ?? (await makeDirectory(t, user)), 'data')
  const port = await freePort()
  const env = { PATH: process.env.PATH ?? '', LC_ALL: 'C' }
  const spawnServer = (command: string[]) => {
    const [program, args] = asServer(user, command, enter)
    return spawn(program, args, { env, cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] })
  }
  let log = ''
  let server: ChildProcess | null = null
  const heard = (child: ChildProcess) => {
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (log += chunk))
    return once(child, 'close')
  }

  const logOption = separateLog ? ['-X', join(await makeDirectory(t, user), 'log')] : []
  const init = spawnServer([
    `${programs}/initdb`,
    '-D',
    data,
    '-U',
    'postgres',
    '-E',
    'UTF8',
    '--locale=C.UTF-8',
    '--auth=trust',
    '--no-sync',
    ...logOption,
  ])
  const [code] = await heard(init)
  if (code !== 0) throw new Error(`initdb exited with ${code}: ${log}`)

  const settings = { listen_addresses: '127.0.0.1', port: String(port), unix_socket_directories: '', fsync: 'off' }
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])

  /** Resolves at the next line of the log that says so; rejects when the server ends first. */
  const nextAccepting = (child: ChildProcess) =>
    new Promise<void>((resolve, reject) => {
      const from = log.length
      const fail = () => finish(() => reject(new Error(`The server did not get ready: ${log.slice(from)}`)))
      const timer = setTimeout(fail, startTimeoutMs)
      const look = () => {
        if (log.slice(from).includes(acceptingLine)) finish(resolve)
      }
      const finish = (end: () => void) => {
        clearTimeout(timer)
        child.stderr?.off('data', look)
        child.off('exit', fail)
        end()
      }
      child.stderr?.on('data', look)
      child.once('exit', fail)
    })

  const start = async () => {
    const child = spawnServer([`${programs}/postgres`, '-D', data, ...flags])
    server = child
    heard(child).then(() => {
      if (server === child) server = null
    })
    await nextAccepting(child)
  }
  const stop = async (mode: 'fast' | 'immediate') => {
    const child = server
    if (!child) return
    // A process that is stopped does not hear that it is to end.
    await faults.thaw()
    const closed = once(child, 'close')
    child.kill(mode === 'fast' ? 'SIGINT' : 'SIGQUIT')
    await closed
  }
  const connect = async (database: string) => {
    const session = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database })
    // The server is taken away on purpose.
    session.on('error', () => undefined)
    await session.connect()
    return session
  }
  const asSuperuser: Superuser = async (work) => {
    const session = await connect('postgres')
    try {
      return await work(session)
    } finally {
      await session.end()
    }
  }
  const faults = postgresFaults(asSuperuser, () => server?.pid)
  t.teardown(() => stop('immediate'))
  await start()
  await asSuperuser((session) => session.query(`CREATE ROLE ${role} LOGIN`))
  return {
    ...faults,
    async createDatabase(name) {
      await asSuperuser((session) => session.query(`CREATE DATABASE "${name}" OWNER ${role}`))
      return `postgres://${role}@127.0.0.1:${port}/${name}`
    },
    async connect(database) {
      const session = await connect(database)
      t.teardown(() => session.end().catch(() => undefined))
      return session
    },
    start,
    stop,
    isRunning: () => server !== null,
    log: () => log,
  }
}
