// Prints the SQL that leads from the migrations so far to prisma/schema.prisma: the start of a new migration.
import { PGlite } from '@electric-sql/pglite'
import { embeddedConnection } from '../src/database/connect.ts'
import { migrate, readMigrations } from '../src/database/migrate.ts'
import { diffToSchema } from '../src/database/schema-engine.ts'

const connection = embeddedConnection(await PGlite.create())
const { schema, migrations } = await readMigrations()
if (migrations.length > 0) await migrate(connection)
process.stdout.write(
  `${await diffToSchema(schema, connection.migrationFactory(), migrations.length > 0 ? 'database' : 'empty')}\n`,
)
await connection.close()
