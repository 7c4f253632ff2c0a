import { readFileSync } from 'node:fs'
import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'
import { toSeconds } from '../options/time-spans.js'
import { readInput } from '../terminal/read-input.js'

/** What `PUT /sources/:name` takes, in so far as it is looked at here; the rest is for the server to check. */
export type SourceSettings = { provider: string; config: Fields } & Fields
type Fields = Record<string, unknown>

export type SettingOptions = {
  provider?: string
  repo?: string
  url?: string
  manifest?: string
  directory?: string
  query?: string
  branch?: string
  path?: string
  file?: string[]
  prefix?: string
  include?: string[]
  exclude?: string[]
  template?: string
  alias?: string
  interval?: string
  config?: string
  secretEnv?: string
  secretStdin?: boolean
  webhookSecretEnv?: string
}

export const providerNames = ['github', 'git', 'http', 'file', 'database', 'inline'] as const

/** The most that is read from stdin or from a file. */
const maxInputBytes = 4 * 1024 ** 2

/**
 * Settings of a source out of a file and out of options, of which the options win; null where there are none at all. Throws a
 * `CliError` for what cannot be read.
 */
export async function readSourceSettings(context: Context, options: SettingOptions): Promise<SourceSettings | null> {
  if (options.config === '-' && options.secretStdin)
    throw new CliError('Settings and secret cannot both come from stdin.', { remedy: 'Name a variable by --secret-env.' })
  const stored = options.config === undefined ? {} : await readSettingsFile(context, options.config)
  const fields = fieldsOf(context, options)
  const given = configOf(options)
  const secret = await readSecret(context, options)
  if (Object.keys({ ...stored, ...fields, ...given }).length === 0 && secret === null) return null
  const provider = fields.provider ?? stored.provider
  if (typeof provider !== 'string')
    throw new CliError('It is not said what kind of place the source is.', {
      remedy: `Add --provider ${providerNames.join('|')}.`,
    })
  const config: Fields = { ...(stored.config as Fields | undefined), ...placed(provider, given) }
  return { ...stored, ...fields, provider, config: secret === null ? config : withSecret(provider, config, secret) }
}

/** What the server tells of a source that is no setting. */
const toldOnly = new Set(
  'name status commit release prompts checkedAt syncedAt unreachableSince nextCheckAt lastRun createdAt updatedAt'.split(' '),
)

/** The settings of a source as the server tells of it, to be sent again. Pure. */
export function settingsOf(source: object): Fields {
  return Object.fromEntries(Object.entries(source).filter(([field]) => !toldOnly.has(field)))
}

export type LostSecrets = { ofConfig: boolean; ofWebhook: boolean }

/**
 * Which credentials of a source are not kept by what is sent for it, or by nothing where `sent` is null. Nobody tells them again:
 * they read `"set"`, and what is sent keeps them by the same word. Pure.
 */
export function lostSecrets({ config, webhookSecret }: Fields, sent: SourceSettings | null): LostSecrets {
  const held = Object.entries(config as Fields).filter(([, value]) => value === 'set')
  const ofConfig = held.some(([field]) => sent?.config[field] !== 'set')
  const keepsHook = sent !== null && (sent.webhookSecret === undefined || sent.webhookSecret === 'set')
  return { ofConfig, ofWebhook: webhookSecret === 'set' && !keepsHook }
}

/** Settings without the credentials that are lost. Pure. */
export function withoutSecrets({ config, webhookSecret, ...settings }: Fields, lost: LostSecrets): Fields {
  const kept = Object.entries(config as Fields).filter(([, value]) => !lost.ofConfig || value !== 'set')
  return { ...settings, config: Object.fromEntries(kept), ...(lost.ofWebhook ? {} : { webhookSecret }) }
}

async function readSettingsFile(context: Context, file: string): Promise<Fields> {
  const named = file === '-' ? 'What stdin holds' : `The file ${file}`
  const value = parseJson(named, file === '-' ? await readStdin(context) : readText(file))
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return settingsOf(value)
  throw new CliError(`${named} is not the settings of a source.`, {
    remedy: 'Write a JSON object such as { "provider": "github", "config": { "repo": "acme/prompts" } }.',
  })
}

function parseJson(named: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    // What the parser says repeats some of the text, which may hold a credential.
    if (error instanceof SyntaxError)
      throw new CliError(`${named} is no JSON.`, { remedy: 'Correct it, or give options instead.' })
    throw error
  }
}

function readText(file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file))
  } catch (error) {
    throw new CliError(`The file ${file} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

async function readStdin(context: Context): Promise<string> {
  if (context.stdin.isTTY) throw new CliError('Nothing comes in by stdin.', { remedy: 'Pipe it in: … | promptsync source add …' })
  return readInput(context, { maxBytes: maxInputBytes, tooLong: 'What comes in by stdin is too large for a source.' })
}

/** The settings that all providers have. */
function fieldsOf({ env }: Context, options: SettingOptions): Fields {
  const { provider, prefix, include, exclude, template, alias, interval, webhookSecretEnv } = options
  return defined({
    ...{ provider, prefix, include, exclude, template, alias },
    ttlSeconds: interval === undefined ? undefined : toSeconds(interval),
    webhookSecret: webhookSecretEnv === undefined ? undefined : variable(env, webhookSecretEnv),
  })
}

function defined(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

function variable(env: NodeJS.ProcessEnv, name: string): string {
  const value = env[name]
  if (value) return value
  throw new CliError(`The variable ${name} is not set.`, { remedy: 'Set it to the secret, and export it.' })
}

/** The settings of one provider or another. */
function configOf({ repo, url, manifest, directory, query, branch, path, file }: SettingOptions): Fields {
  const files = file && Object.fromEntries(file.map((name) => [name.replace(/^\.\//, ''), readText(name)]))
  return defined({ repo, url, manifest, directory, query, ref: branch, path, files })
}

/** Each provider has a word of its own for where its prompts are. */
function placed(provider: string, { url, ...given }: Fields): Fields {
  if (url === undefined) return given
  return provider === 'github' ? { repo: url, ...given } : { url, ...given }
}

/** Null where no secret is named. */
async function readSecret(context: Context, { secretEnv, secretStdin }: SettingOptions): Promise<string | null> {
  if (secretEnv !== undefined && secretStdin)
    throw new CliError('It is said twice where the secret is.', { remedy: 'Give --secret-env or --secret-stdin.' })
  if (secretEnv !== undefined) return variable(context.env, secretEnv)
  if (!secretStdin) return null
  const secret = (await readStdin(context)).trim()
  if (secret === '') throw new CliError('What comes in by stdin holds no secret.')
  return secret
}

/** The credential at the place where the provider expects it. */
function withSecret(provider: string, config: Fields, secret: string): Fields {
  switch (provider) {
    case 'github':
      return { ...config, token: secret }
    case 'git':
      // Shells take away the line break that a private key ends with.
      return isSsh(config.url) ? { ...config, sshKey: `${secret.trimEnd()}\n` } : { ...config, token: secret }
    case 'http': {
      const authorization = secret.includes(' ') ? secret : `Bearer ${secret}`
      return { ...config, headers: { ...(config.headers as Fields | undefined), authorization } }
    }
    case 'database':
      return { ...config, url: secret }
    default:
      throw new CliError(`Sources of the provider "${provider}" take no secret.`, { remedy: 'Leave it out.' })
  }
}

function isSsh(url: unknown): boolean {
  return typeof url === 'string' && (url.startsWith('ssh:') || !url.includes('://'))
}
