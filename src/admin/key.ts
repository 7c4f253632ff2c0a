import type { Deps } from '../deps.js'
import { CreateKey, type NewKey } from '../features/keys/keys.schema.js'
import { createKey } from '../features/keys/keys.service.js'
import { systemActor } from '../lib/access.js'
import { toFindings } from '../lib/validation.js'
import { AdminError } from './admin-error.js'

/** Makes a key without one: for whoever may write to the database itself. Throws `AdminError` or an `AppError`. */
export async function createKeyDirectly(deps: Deps, input: Record<string, unknown>): Promise<NewKey> {
  const parsed = CreateKey.safeParse(input)
  if (!parsed.success) {
    const findings = toFindings(parsed.error.issues).map(({ path, message }) => `${path}: ${message}`)
    throw new AdminError(`The key cannot be made. ${findings.join('; ')}`)
  }
  return createKey(deps, { actor: systemActor('command line'), requestId: 'admin key create' }, parsed.data)
}
