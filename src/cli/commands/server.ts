import type { Command } from 'commander'
import { groups } from '../groups.js'
import type { Outcome } from '../run.js'
import { examples } from '../terminal/help-text.js'

/** What works on the database itself: each answers an exit code, or null while it goes on. */
export type Launchers = {
  serve(): Promise<number | null>
  migrate(): Promise<number | null>
  admin(args: string[]): Promise<number | null>
}

/** `serve`, `migrate` and `admin`, which take their settings from the environment of a server. */
export function addServerCommands(program: Command, launchers: Launchers, outcome: Outcome): void {
  program
    .command('serve')
    .helpGroup(groups.server)
    .summary('run the server')
    .description(
      'Runs the server, on an embedded database or on that of DATABASE_URL. Its settings are environment variables: see README.md.',
    )
    .addHelpText('after', examples('promptsync serve', 'PORT=8080 PROMPTSYNC_DATA_DIR=/var/lib/promptsync promptsync serve'))
    .action(async () => {
      outcome.code = await launchers.serve()
    })
  program
    .command('migrate')
    .helpGroup(groups.server)
    .summary("bring the database to this version's schema and exit")
    .description("Brings the database of DATABASE_URL or PROMPTSYNC_DATA_DIR to this version's schema and exits.")
    .addHelpText('after', examples('promptsync migrate'))
    .action(async () => {
      outcome.code = await launchers.migrate()
    })
  program
    .command('admin')
    .helpGroup(groups.server)
    .summary('make a key, export, import, rotate keys, on the database itself')
    .description(
      'Works on the database of DATABASE_URL or PROMPTSYNC_DATA_DIR itself: makes a key, exports, imports, rotates keys. The embedded database is used by one process at a time: stop the server first. promptsync admin --help tells all.',
    )
    .argument('[args...]', 'a command of admin with its options')
    .addHelpText('after', examples('promptsync admin key create --name ops', 'promptsync admin export promptsync.ndjson'))
    .allowUnknownOption()
    .helpOption(false)
    .passThroughOptions()
    .action(async (args: string[]) => {
      outcome.code = await launchers.admin(args)
    })
}
