import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Deps } from './deps.js'
import { type FirstKey, keyFileName } from './features/keys/first-key.service.js'
import { packageVersion } from './lib/package-version.js'

/** What a person sees when the service is up: where it listens, and two calls to paste. */
export function welcome({ connection, config }: Deps, address: string, firstKey: FirstKey): string {
  const isEmbedded = connection.kind === 'embedded'
  const key = shellKey(config.dataDirectory, firstKey)
  const authorization = `-H "Authorization: Bearer ${key}"`
  const lines = [
    `promptsync ${packageVersion} listens on ${address}  (reference: ${address}/docs)`,
    `database: ${isEmbedded ? `embedded Postgres in ${config.dataDirectory} (set DATABASE_URL for a server)` : 'the Postgres of DATABASE_URL'}`,
    '',
    'Fetch a prompt, then push one and point the alias "production" to it:',
    `  curl ${isEmbedded ? '' : `${authorization} `}${address}/prompts/meeting/latest`,
    `  curl ${authorization} -H "Content-Type: application/json" ${address}/prompts -d '{"alias":"production","prompts":[{"name":"hello","content":"Hello {{ name }}!"}]}'`,
    '',
  ]
  return `${lines.join('\n')}\n`
}

/** Where a key that was just made is to be found. Said before anything else can fail: it counts already. */
export function announceKey(firstKey: FirstKey): string {
  if (firstKey === null) return ''
  if ('file' in firstKey) return `admin key: written to ${firstKey.file}\n`
  return `admin key, shown this once; keep it safe:\n  export PROMPTSYNC_TOKEN=${firstKey.secret}\n`
}

/** How a shell gets at a key: from the file it was written to, else from the variable the owner set. */
function shellKey(dataDirectory: string, firstKey: FirstKey): string {
  const file = join(dataDirectory, keyFileName)
  if (process.env.PROMPTSYNC_ADMIN_KEY) return '$PROMPTSYNC_ADMIN_KEY'
  if (firstKey === null ? existsSync(file) : 'file' in firstKey) return `$(cat ${file})`
  return '$PROMPTSYNC_TOKEN'
}
