import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import {
  bindMigrationAwareSqlAdapterFactory,
  type SqlDriverAdapter,
  type SqlMigrationAwareDriverAdapterFactory,
} from '@prisma/driver-adapter-utils'
import { changingAdapters } from './adapters.js'

/** One migration folder of `prisma/migrations`. */
export type Migration = { name: string; sql: string }

const noExternals = { externalTables: [], externalEnums: [] }

/** The part of Prisma's schema engine that is used here; its own declarations are of another build. */
type SchemaEngine = {
  applyMigrations(input: object): Promise<{ appliedMigrationNames: string[] }>
  diff(input: object): Promise<{ stdout?: string | null }>
}

// Node's type declarations leave WebAssembly to the DOM's, which do not belong in a server.
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: Record<string, unknown> } }>
}

const require = createRequire(import.meta.url)

type Bindings = typeof import('@prisma/schema-engine-wasm/schema_engine_bg')

// The bindings hold one instance for the whole process: a second one would pull the memory from under the first.
let loading: Promise<Bindings> | undefined

/** Loads Prisma's schema engine by hand: its ESM entry imports the `.wasm` file, which Node 20 refuses. */
function loadBindings(): Promise<Bindings> {
  loading ??= instantiateBindings().catch((error: unknown) => {
    loading = undefined
    throw error
  })
  return loading
}

async function instantiateBindings(): Promise<Bindings> {
  const bindings = await import('@prisma/schema-engine-wasm/schema_engine_bg')
  const folder = dirname(require.resolve('@prisma/schema-engine-wasm/schema_engine_bg'))
  const wasm = await readFile(join(folder, 'schema_engine_bg.wasm'))
  const { instance } = await WebAssembly.instantiate(wasm, { './schema_engine_bg.js': withoutLastingTimers(bindings) })
  bindings.__wbg_set_wasm(instance.exports)
  ;(instance.exports.__wbindgen_start as () => void)()
  return bindings
}

/** The engine never clears its timers, ten seconds for a lock say; they must not keep a process that is done. */
function withoutLastingTimers(bindings: Bindings): Record<string, unknown> {
  const name = Object.keys(bindings).find((key) => key.startsWith('__wbg_setTimeout_'))
  if (name === undefined) return { ...bindings }
  return { ...bindings, [name]: (callback: () => void, ms: number) => setTimeout(callback, ms).unref() }
}

/** Runs the engine once and closes what it connected: a session left open would keep the engine's own lock. */
async function withSchemaEngine<T>(
  schema: string,
  factory: SqlMigrationAwareDriverAdapterFactory,
  use: (engine: SchemaEngine) => Promise<T>,
): Promise<T> {
  const { SchemaEngine } = await loadBindings()
  const connected: SqlDriverAdapter[] = []
  const tracked = changingAdapters(factory, (adapter) => connected.push(adapter))
  try {
    const datamodels: [string, string][] = [['schema.prisma', schema]]
    return await use(await SchemaEngine.new({ datamodels }, () => undefined, bindMigrationAwareSqlAdapterFactory(tracked)))
  } finally {
    await Promise.all(connected.map((adapter) => adapter.dispose()))
  }
}

function migrationsList(migrations: Migration[]) {
  return {
    baseDir: 'prisma/migrations',
    lockfile: { path: 'migration_lock.toml', content: 'provider = "postgresql"\n' },
    migrationDirectories: migrations.map(({ name, sql }) => ({
      path: name,
      migrationFile: { path: 'migration.sql', content: { tag: 'ok', value: sql } },
    })),
    shadowDbInitScript: '',
  }
}

/** Applies what is new, records it in `_prisma_migrations` and answers the names applied. Takes no lock. */
export async function applyMigrations(
  schema: string,
  migrations: Migration[],
  factory: SqlMigrationAwareDriverAdapterFactory,
): Promise<string[]> {
  return withSchemaEngine(schema, factory, async (engine) => {
    const { appliedMigrationNames } = await engine.applyMigrations({
      migrationsList: migrationsList(migrations),
      filters: noExternals,
    })
    return appliedMigrationNames
  })
}

/** The SQL that leads from the connected database (or from nothing) to `schema`; empty when they agree. */
export async function diffToSchema(
  schema: string,
  factory: SqlMigrationAwareDriverAdapterFactory,
  from: 'empty' | 'database',
): Promise<string> {
  const { stdout } = await withSchemaEngine(schema, factory, async (engine) => {
    return engine.diff({
      from:
        from === 'empty'
          ? { tag: 'empty' }
          : { tag: 'schemaDatasource', files: [{ path: 'schema.prisma', content: schema }], configDir: '.' },
      to: { tag: 'schemaDatamodel', files: [{ path: 'schema.prisma', content: schema }] },
      script: true,
      shadowDatabaseUrl: null,
      exitCode: null,
      filters: noExternals,
    })
  })
  return (stdout ?? '').trim()
}
