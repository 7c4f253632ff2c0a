// Writes openapi/openapi.json from the routes; with --check it only compares, and fails when the file is not current.
import { readFileSync, writeFileSync } from 'node:fs'
import { PGlite } from '@electric-sql/pglite'
import pino from 'pino'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'
import { embeddedConnection } from '../src/database/connect.ts'
import { assembleDeps } from '../src/deps.ts'

const file = 'openapi/openapi.json'
const deps = await assembleDeps({
  connection: embeddedConnection(await PGlite.create()),
  redis: null,
  config: loadConfig({}),
  log: pino({ level: 'silent' }),
  now: () => new Date(),
  elapsed: () => performance.now(),
})
const app = await buildApp(deps)
await app.ready()
const text = `${JSON.stringify(app.swagger(), null, 2)}\n`
await app.close()
await deps.close()
if (!process.argv.includes('--check')) {
  writeFileSync(file, text)
  await import('./generate-api.mjs')
} else if (readFileSync(file, 'utf8') !== text) {
  process.stderr.write(`${file} is not current. Run: npm run openapi\n`)
  process.exit(1)
}
