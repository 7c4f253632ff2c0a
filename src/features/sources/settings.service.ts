import type { Deps } from '../../deps.js'
import { AppError } from '../../errors.js'
import { type Actor, hasScope } from '../../lib/access.js'
import { invalid, toFindings } from '../../lib/validation.js'
import { type Provider, secretFields } from '../../providers/provider.js'
import { openConfig, openSecret, requireProvider, type SourceRow, webhookField } from './source-rows.service.js'
import type { PutSource } from './sources.schema.js'

/** Stands in answers for a credential that is stored, and in requests for one that is to be kept. */
const stored = 'set'

type Settings = Omit<PutSource, 'webhookSecret'>

/** A source as it is asked to be: its config valid and whole, and what of it is secret apart. */
export type Wanted = {
  settings: Settings
  provider: Provider
  /** With credentials, as the provider takes it. */
  config: unknown
  publicConfig: Record<string, unknown>
  secrets: Record<string, unknown>
  trusted: boolean
}

/** Throws `scope.missing` for a key that may not move the alias that is named. */
export function refuseAlias(actor: Actor, { alias }: PutSource): void {
  if (alias === null || hasScope(actor, 'aliases:write')) return
  throw new AppError(
    'scope.missing',
    'Naming an alias needs the scope "aliases:write", which this key lacks. Leave "alias" out, or use another key.',
  )
}

/** What a request asks a source to be. Throws with all that is wrong with it, before anybody is asked anything. */
export function readWanted(deps: Deps, actor: Actor, before: SourceRow | null, body: PutSource): Wanted {
  const { webhookSecret, ...settings } = body
  const provider = requireProvider(body.provider)
  const fields = secretFields(provider)
  const isKept = (field: string) => body.config[field] === stored
  const config = parseConfig(provider, withStored(deps, provider, before, body, fields.filter(isKept)))
  const secrets = Object.fromEntries(
    fields.flatMap((field) => {
      const value = (config as Record<string, unknown>)[field]
      return value === undefined || value === null ? [] : [[field, value]]
    }),
  )
  if (before && fields.some(isKept)) refuseOtherTarget(deps, provider, before, config)
  const hook =
    webhookSecret === stored || webhookSecret === undefined ? before && openSecret(deps, before, webhookField) : webhookSecret
  if (webhookSecret === stored && !hook) throw notStored(webhookField, webhookField)
  if (hook) secrets[webhookField] = hook
  const publicConfig = Object.fromEntries(Object.entries(config as object).filter(([field]) => !fields.includes(field)))
  return { settings, provider, config, publicConfig, secrets, trusted: requireTrust(deps, actor, provider, config) }
}

/** Puts the credentials that are to be kept where `"set"` stands for them. */
function withStored(
  deps: Deps,
  provider: Provider,
  before: SourceRow | null,
  { config }: PutSource,
  kept: string[],
): Record<string, unknown> {
  const values = kept.map((field): [string, unknown] => {
    const value = before?.provider === provider.name ? openSecret(deps, before, field) : null
    if (value === null) throw notStored(field, `config.${field}`)
    return [field, value]
  })
  return { ...config, ...Object.fromEntries(values) }
}

function notStored(field: string, path: string): AppError {
  const message = `"set" keeps a stored ${field}, and none is stored for this provider. Give the ${field} itself.`
  return invalid('validation.failed', [{ path, message }])
}

/** Throws `secrets.unavailable` where there are secrets, and nothing to encrypt them by. */
export function refuseUnstorable({ keyring }: Pick<Deps, 'keyring'>, secrets: Record<string, unknown>): void {
  const fields = Object.keys(secrets).map((field) => `"${field}"`)
  if (fields.length === 0 || keyring.canEncrypt) return
  throw new AppError(
    'secrets.unavailable',
    `${fields.join(', ')} cannot be stored: PROMPTSYNC_ENCRYPTION_KEYS is not set on the server.`,
  )
}

/** A credential is not sent to where it was not meant for. */
function refuseOtherTarget(deps: Deps, provider: Provider, before: SourceRow, config: unknown): void {
  const [was, is] = [provider.target(openConfig(deps, before)), provider.target(config)]
  if (was === is) return
  const message = `the stored credentials are for ${was}, and not for ${is}. Give them anew.`
  throw invalid('validation.failed', [{ path: 'config', message }])
}

function parseConfig(provider: Provider, config: Record<string, unknown>): unknown {
  const parsed = provider.config.safeParse(config)
  if (parsed.success) return parsed.data
  throw invalid('validation.failed', toFindings(parsed.error.issues, 'config'))
}

/** Files, databases and private hosts are for global admins. Answers whether the caller is one. */
function requireTrust({ allowedHosts }: Deps, actor: Actor, provider: Provider, config: unknown): boolean {
  const isTrusted = actor.projectId === null && hasScope(actor, 'admin')
  const target = provider.target(config)
  const url = URL.canParse(target) ? new URL(target) : null
  const isPrivate = url !== null && allowedHosts.allows(url.hostname, Number(url.port) || (url.protocol === 'http:' ? 80 : 443))
  if (isTrusted || (!provider.needsGlobalAdmin && !isPrivate)) return isTrusted
  const what = provider.needsGlobalAdmin ? `A source of the provider "${provider.name}"` : `A source at ${target}`
  throw new AppError('scope.global', `${what} can be set up by a global admin key only.`)
}

/** Whether a source is as it is asked to be already. */
export function isSame(deps: Deps, row: SourceRow, { settings, publicConfig, secrets, trusted }: Wanted): boolean {
  const fields = [...new Set([...Object.keys(row.secrets as object), ...Object.keys(secrets)])]
  const sameSecrets = fields.every((field) => isStored(deps, row, field, secrets[field]))
  const wanted = { ...settingsOf(row), ...settings, config: publicConfig }
  return sameSecrets && row.trusted === trusted && JSON.stringify(wanted) === JSON.stringify(settingsOf(row))
}

/** What cannot be decrypted any more is another secret than the one that is given. */
function isStored(deps: Deps, row: SourceRow, field: string, value: unknown): boolean {
  try {
    return JSON.stringify(openSecret(deps, row, field)) === JSON.stringify(value)
  } catch (error) {
    if (error instanceof AppError && error.code === 'secrets.unavailable') return false
    throw error
  }
}

/** Settings as they are answered, but for what is secret. */
export function settingsOf(row: SourceRow): Settings {
  const { provider, prefix, include, exclude, alias, ttlSeconds, staleSeconds, enabled } = row
  return {
    ...{ provider, config: row.config as Settings['config'], prefix, include, exclude },
    ...{ template: row.template as Settings['template'], alias, ttlSeconds, staleSeconds, enabled },
  }
}

/** The config as it is answered: of credentials that there are some. */
export function shownConfig(row: SourceRow): Record<string, unknown> {
  const names = Object.keys(row.secrets as object).filter((field) => field !== webhookField)
  return { ...(row.config as object), ...Object.fromEntries(names.map((field) => [field, stored])) }
}

/** Whether there is a secret for webhooks. */
export function hookOf(row: SourceRow): 'set' | null {
  return webhookField in (row.secrets as object) ? stored : null
}

/** Whether the same bytes may be another prompt under other settings. */
export function readsOtherwise(before: SourceRow, { provider, config, template }: SourceRow): boolean {
  return JSON.stringify([before.provider, before.config, before.template]) !== JSON.stringify([provider, config, template])
}
