import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { bindMigrationAwareSqlAdapterFactory, type SqlMigrationAwareDriverAdapterFactory } from '@prisma/driver-adapter-utils'

/** One migration folder of `prisma/migrations`. */
export type Migration = { name: string; sql: string }

const noExternals = { externalTables: [], externalEnums: [] }

/** The part of Prisma's schema engine that is used here; its own declarations are of another build. */
type SchemaEngine = {
  applyMigrations(input: object): Promise<{ appliedMigrationNames: string[] }>
  diff(input: object): Promise<{ stdout?: string | null }>
}

const require = createRequire(import.meta.url)

/**
 * Loads Prisma's schema engine from its WebAssembly build. Its ESM entry imports the `.wasm` file, which
 * Node 20 refuses, so it is instantiated by hand.
 */
async function openSchemaEngine(schema: string, factory: SqlMigrationAwareDriverAdapterFactory): Promise<SchemaEngine> {
  const bindings = await import('@prisma/schema-engine-wasm/schema_engine_bg')
  const folder = dirname(require.resolve('@prisma/schema-engine-wasm/schema_engine_bg'))
  const wasm = await readFile(join(folder, 'schema_engine_bg.wasm'))
  const { instance } = await WebAssembly.instantiate(wasm, { './schema_engine_bg.js': bindings })
  bindings.__wbg_set_wasm(instance.exports)
  ;(instance.exports.__wbindgen_start as () => void)()
  return bindings.SchemaEngine.new(
    { datamodels: [['schema.prisma', schema]] },
    () => undefined,
    bindMigrationAwareSqlAdapterFactory(factory),
  )
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
  const engine = await openSchemaEngine(schema, factory)
  const { appliedMigrationNames } = await engine.applyMigrations({
    migrationsList: migrationsList(migrations),
    filters: noExternals,
  })
  return appliedMigrationNames
}

/** The SQL that leads from the connected database (or from nothing) to `schema`; empty when they agree. */
export async function diffToSchema(
  schema: string,
  factory: SqlMigrationAwareDriverAdapterFactory,
  from: 'empty' | 'database',
): Promise<string> {
  const engine = await openSchemaEngine(schema, factory)
  const { stdout } = await engine.diff({
    from: from === 'empty' ? { tag: 'empty' } : { tag: 'url', url: 'postgresql://adapter' },
    to: { tag: 'schemaDatamodel', files: [{ path: 'schema.prisma', content: schema }] },
    script: true,
    shadowDatabaseUrl: null,
    exitCode: null,
    filters: noExternals,
  })
  return (stdout ?? '').trim()
}
