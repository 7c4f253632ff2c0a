#!/usr/bin/env node
import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { runCli } from './cli/program.js'

// What works on the database itself is loaded where it is asked for: the other commands are to start at once.
const launchers = {
  serve: async () => (await import('./serve.js')).serve(),
  migrate: async () => (await import('./serve.js')).migrateDatabase(),
  admin: async (args: string[]) => (await import('./serve.js')).administer(args),
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  runCli(process.argv.slice(2), launchers).then((code) => {
    if (code === null) return
    // What is kept open for more calls would hold the process up. Whatever was written goes out first, or fails and is told of.
    const exit = () => setImmediate(() => process.exit(process.exitCode ?? code))
    process.stdout.write('', () => process.stderr.write('', exit))
  })
}
