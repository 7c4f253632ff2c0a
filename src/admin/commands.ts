import { rmSync } from 'node:fs'
import { open, realpath, rename, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { parseArgs } from 'node:util'
import { appliedMigrations, migrate } from '../database/migrate.js'
import type { Deps } from '../deps.js'
import { AppError } from '../errors.js'
import { AdminError } from './admin-error.js'
import { exportDatabase } from './export.js'
import { importDatabase } from './import.js'
import { createKeyDirectly } from './key.js'
import { rotateKeys } from './rotate-keys.js'
import { requireCurrent } from './schema.js'

export const adminUsage = `promptsync admin: commands on the database itself, named by DATABASE_URL or PROMPTSYNC_DATA_DIR

  promptsync admin key create --name NAME [--project SLUG] [--scope SCOPE]... [--expires-at TIME]
      make a key (by default a global admin key) and print its secret, which is shown this once
  promptsync admin export [--with-key-hashes] [FILE]
      write everything as NDJSON to FILE or standard output; without key hashes, imported keys are revoked, and sources
      with credentials are disabled
  promptsync admin import [FILE]
      read an export from FILE or standard input into an empty database
  promptsync admin rotate-keys
      encrypt the credentials of all sources by the first key of PROMPTSYNC_ENCRYPTION_KEYS

The embedded database is used by one process at a time: stop the service first.
`

type Streams = { stdin: Readable; stdout: NodeJS.WritableStream; stderr: NodeJS.WritableStream }

/** Connects to the database that the environment names; `existing` refuses one that is not there yet. */
type Connect = (which: 'existing' | 'any') => Promise<Deps>

/** Runs `promptsync admin …`. Data goes to stdout, the rest to stderr. Rejects with an `AdminError` that says what to do. */
export async function runAdmin(args: string[], connect: Connect, streams: Streams): Promise<void> {
  const [command, ...rest] = args
  if (command === undefined || command === 'help' || args.includes('--help')) streams.stdout.write(adminUsage)
  else if (command === 'key' && rest[0] === 'create') await runKeyCreate(rest.slice(1), connect, streams)
  else if (command === 'export') await runExport(rest, connect, streams)
  else if (command === 'import') await runImport(rest, connect, streams)
  else if (command === 'rotate-keys') await runRotateKeys(rest, connect, streams)
  else throw new AdminError(`unknown command "admin ${args.slice(0, 2).join(' ')}"\n\n${adminUsage}`)
}

async function withDeps<T>(connecting: Promise<Deps>, work: (deps: Deps) => Promise<T>): Promise<T> {
  const deps = await connecting
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
  const { key, where } = await withDeps(connect('any'), async (deps) => {
    // A first key may come before the first start.
    if ((await appliedMigrations(deps.connection)).length === 0) await migrate(deps.connection)
    await requireCurrent(deps.connection)
    return { key: await createKeyDirectly(deps, { name, project, scopes, expiresAt }), where: nameOf(deps) }
  })
  const scopesHeld = key.scopes.join(', ')
  stderr.write(
    `Made key "${key.name}" (${key.project ?? 'global'}; ${scopesHeld}), id ${key.id}, in ${where}.\nIts secret is shown this once:\n`,
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
  // A reader that goes away ends the export by an error, not the process.
  stdout.on('error', () => undefined)
  const { counts, where } = await withDeps(connect('existing'), async (deps) => {
    const write = (text: string) => writeAll(stdout, text)
    const exported =
      file === undefined
        ? await exportDatabase(deps, options, write)
        : await writeFileWhole(file, (toFile) => exportDatabase(deps, options, toFile))
    return { counts: exported, where: nameOf(deps) }
  })
  stderr.write(`Exported ${inWords(counts)} from ${where}.\n`)
}

function nameOf({ connection, config }: Deps): string {
  return connection.kind === 'embedded'
    ? `the embedded database in ${resolve(config.dataDirectory)}`
    : 'the Postgres of DATABASE_URL'
}

/** The file appears under its name once it is whole; only its owner can read it. Throws `AdminError`. */
async function writeFileWhole<T>(file: string, work: (write: (text: string) => Promise<void>) => Promise<T>): Promise<T> {
  const target = await fileFor(file)
  const draft = `${target}.${process.pid}.part`
  const cannotWrite = (cause: Error) => new AdminError(`${file} cannot be written: ${cause.message}.`, { cause })
  const handle = await open(draft, 'wx', 0o600).catch((cause: Error) => {
    throw cannotWrite(cause)
  })
  const removeDraft = () => rmSync(draft, { force: true })
  // A signal ends the process at once.
  process.on('exit', removeDraft)
  try {
    const result = await work((text) =>
      handle.appendFile(text).catch((cause: Error) => {
        throw cannotWrite(cause)
      }),
    )
    await handle.sync()
    await handle.close()
    await rename(draft, target)
    return result
  } catch (error) {
    await handle.close()
    throw error
  } finally {
    process.off('exit', removeDraft)
    removeDraft()
  }
}

/** Where a link leads, and nothing but a file: renaming over a device would replace it. */
async function fileFor(file: string): Promise<string> {
  const target = await realpath(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return file
    throw new AdminError(`${file} cannot be written: ${error.message}.`, { cause: error })
  })
  const stats = await stat(target).catch(() => null)
  if (stats && !stats.isFile()) throw new AdminError(`${file} is no file. Leave it out to write to standard output.`)
  return target
}

async function runImport(args: string[], connect: Connect, { stdin, stderr }: Streams): Promise<void> {
  const { positionals } = parseArgs({ args, allowPositionals: true, options: {} })
  const [file] = oneFile(positionals)
  const input = file === undefined ? stdin : await openFile(file)
  const { counts, where } = await withDeps(connect('any'), async (deps) => ({
    counts: await importDatabase(deps, input),
    where: nameOf(deps),
  }))
  stderr.write(`Imported ${inWords(counts)} into ${where}.\n`)
}

async function openFile(file: string): Promise<Readable> {
  try {
    return (await open(file)).createReadStream()
  } catch (cause) {
    throw new AdminError(`${file} cannot be read: ${(cause as Error).message}.`, { cause })
  }
}

async function runRotateKeys(args: string[], connect: Connect, { stderr }: Streams): Promise<void> {
  parseArgs({ args, options: {} })
  const { done, where } = await withDeps(connect('existing'), async (deps) => {
    await requireCurrent(deps.connection)
    return { done: await rotateKeys(deps, (failure) => stderr.write(`${failure}\n`)), where: nameOf(deps) }
  })
  const { rotated, current, failed } = done
  stderr.write(`Encrypted ${rotated} credentials anew in ${where}; ${current} were by the first key already.\n`)
  if (failed > 0) throw new AdminError(`${failed} credentials could not be decrypted and stay as they are: they are named above.`)
}

function oneFile(positionals: string[]): string[] {
  if (positionals.length <= 1) return positionals
  throw new AdminError(`One file at most, not ${positionals.length}: ${positionals.join(' ')}`)
}

function inWords(counts: Record<string, number>): string {
  const { projects = 0, prompts = 0, versions = 0, releases = 0, aliases = 0, sources = 0, api_keys: keys = 0 } = counts
  const registry = `${projects} projects, ${prompts} prompts, ${versions} versions, ${releases} releases, ${aliases} aliases`
  return `${registry}, ${sources} sources, ${keys} keys`
}

/** Waits until the text is taken, so that a slow reader holds the export up and not the memory. */
function writeAll(stream: NodeJS.WritableStream, text: string): Promise<void> {
  return new Promise((taken, reject) => {
    stream.write(text, (cause) => {
      if (cause) reject(new AdminError('The output was closed before the export was whole.', { cause }))
      else taken()
    })
  })
}
