import { open, rename, rm } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { parseArgs } from 'node:util'
import { migrate } from '../database/migrate.js'
import type { Deps } from '../deps.js'
import { AppError } from '../errors.js'
import { AdminError } from './admin-error.js'
import { exportDatabase } from './export.js'
import { importDatabase } from './import.js'
import { createKeyDirectly } from './key.js'

export const adminUsage = `promptsync admin: commands on the database itself, named by DATABASE_URL or PROMPTSYNC_DATA_DIR

  promptsync admin key create --name NAME [--project SLUG] [--scope SCOPE]... [--expires-at TIME]
      make a key (by default a global admin key) and print its secret, which is shown this once
  promptsync admin export [--with-key-hashes] [FILE]
      write everything as NDJSON to FILE or standard output; without key hashes, imported keys are revoked
  promptsync admin import [FILE]
      read an export from FILE or standard input into an empty database

The embedded database is used by one process at a time: stop the service first.
`

type Streams = { stdin: Readable; stdout: NodeJS.WritableStream; stderr: NodeJS.WritableStream }

/** Connects to the database that the environment names; called once the command line is known to be right. */
type Connect = () => Promise<Deps>

/** Runs `promptsync admin …`. Data goes to stdout, the rest to stderr. Rejects with an `AdminError` that says what to do. */
export async function runAdmin(args: string[], connect: Connect, streams: Streams): Promise<void> {
  const [command, ...rest] = args
  if (command === undefined || command === 'help' || args.includes('--help')) streams.stdout.write(adminUsage)
  else if (command === 'key' && rest[0] === 'create') await runKeyCreate(rest.slice(1), connect, streams)
  else if (command === 'export') await runExport(rest, connect, streams)
  else if (command === 'import') await runImport(rest, connect, streams)
  else throw new AdminError(`unknown command "admin ${args.slice(0, 2).join(' ')}"\n\n${adminUsage}`)
}

async function withDeps<T>(connect: Connect, work: (deps: Deps) => Promise<T>): Promise<T> {
  const deps = await connect()
  try {
    return await work(deps)
  } catch (error) {
    if (error instanceof AppError) throw new AdminError(error.message, { cause: error })
    throw error
  } finally {
    await deps.close()
  }
}

async function runKeyCreate(args: string[], connect: Connect, { stdout, stderr }: Streams): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      name: { type: 'string' },
      project: { type: 'string' },
      scope: { type: 'string', multiple: true, default: ['admin'] },
      'expires-at': { type: 'string' },
    },
  })
  const { name, project, scope: scopes, 'expires-at': expiresAt } = values
  if (name === undefined) throw new AdminError('--name is missing: say what the key is for.')
  const key = await withDeps(connect, async (deps) => {
    await migrate(deps.connection)
    return createKeyDirectly(deps, { name, project, scopes, expiresAt })
  })
  stderr.write(
    `Made key "${key.name}" (${key.project ?? 'global'}; ${key.scopes.join(', ')}), id ${key.id}. Its secret is shown this once:\n`,
  )
  stdout.write(`${key.secret}\n`)
}

async function runExport(args: string[], connect: Connect, { stdout, stderr }: Streams): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { 'with-key-hashes': { type: 'boolean', default: false } },
  })
  const [file] = oneFile(positionals)
  const options = { keyHashes: values['with-key-hashes'] }
  const counts = await withDeps(connect, (deps) =>
    file === undefined
      ? exportDatabase(deps, options, (text) => writeAll(stdout, text))
      : writeFileWhole(file, (write) => exportDatabase(deps, options, write)),
  )
  stderr.write(`Exported ${inWords(counts)}.\n`)
}

/** The file appears under its name once it is whole; only its owner can read it. */
async function writeFileWhole<T>(file: string, work: (write: (text: string) => Promise<void>) => Promise<T>): Promise<T> {
  const draft = `${file}.${process.pid}.part`
  const handle = await open(draft, 'wx', 0o600).catch((cause: Error) => {
    throw new AdminError(`${file} cannot be written: ${cause.message}.`, { cause })
  })
  try {
    const result = await work(async (text) => void (await handle.write(text)))
    await handle.sync()
    await handle.close()
    await rename(draft, file)
    return result
  } catch (error) {
    await handle.close()
    await rm(draft, { force: true })
    throw error
  }
}

async function runImport(args: string[], connect: Connect, { stdin, stderr }: Streams): Promise<void> {
  const { positionals } = parseArgs({ args, allowPositionals: true, options: {} })
  const [file] = oneFile(positionals)
  const input = file === undefined ? stdin : await openFile(file)
  const counts = await withDeps(connect, (deps) => importDatabase(deps, input))
  stderr.write(`Imported ${inWords(counts)}.\n`)
}

async function openFile(file: string): Promise<Readable> {
  try {
    return (await open(file)).createReadStream()
  } catch (cause) {
    throw new AdminError(`${file} cannot be read: ${(cause as Error).message}.`, { cause })
  }
}

function oneFile(positionals: string[]): string[] {
  if (positionals.length <= 1) return positionals
  throw new AdminError(`One file at most, not ${positionals.length}: ${positionals.join(' ')}`)
}

function inWords(counts: Record<string, number>): string {
  const { projects = 0, prompts = 0, versions = 0, releases = 0, aliases = 0, api_keys: keys = 0 } = counts
  return `${projects} projects, ${prompts} prompts, ${versions} versions, ${releases} releases, ${aliases} aliases, ${keys} keys`
}

/** Waits until the text is taken, so that a slow reader holds the export up and not the memory. */
function writeAll(stream: NodeJS.WritableStream, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => (error ? reject(error) : resolve()))
  })
}
