import { z } from 'zod'

const sizeUnits = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 } as const

/** `32mb`, `512kb` or a plain number of bytes, as bytes. */
const Size = z
  .string()
  .regex(/^\d{1,9}(b|kb|mb|gb)?$/i, 'must be a size such as 32mb')
  .transform((text) => {
    const [, digits = '', unit = 'b'] = /^(\d+)([a-z]*)$/i.exec(text) ?? []
    return Number(digits) * sizeUnits[(unit.toLowerCase() || 'b') as keyof typeof sizeUnits]
  })
  .refine((bytes) => bytes >= 1024 && bytes <= 1024 ** 3, 'must be between 1kb and 1gb')

const Flag = z
  .enum(['', 'on', 'off', 'true', 'false', '1', '0'], 'must be on or off')
  .transform((text) => ['on', 'true', '1'].includes(text))

const PostgresUrl = z
  .string()
  .regex(/^postgres(ql)?:\/\/\S+$/, 'must be a postgres:// URL')
  .refine((url) => URL.canParse(url), 'must be a postgres:// URL')

const Environment = z.object({
  HOST: z.string().min(1).default('127.0.0.1'),
  PORT: z
    .string()
    .regex(/^\d{1,5}$/, 'must be a port number')
    .transform(Number)
    .refine((port) => port <= 65_535, 'must be at most 65535')
    .default(3000),
  DATABASE_URL: PostgresUrl.optional(),
  PROMPTSYNC_DATA_DIR: z.string().min(1).default('.promptsync'),
  PROMPTSYNC_ADMIN_KEY: z
    .string()
    .min(32, 'must have at least 32 characters')
    .max(512, 'must have at most 512 characters')
    .regex(/^[\x21-\x7e]*$/, 'must be printable ASCII without spaces')
    .optional(),
  PROMPTSYNC_BODY_LIMIT: Size.default(32 * 1024 ** 2),
  PROMPTSYNC_TRUST_PROXY: Flag.default(false),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
})

/** What the process was told. Secrets are here and nowhere else; none has a default. */
export type Config = Readonly<{
  host: string
  port: number
  databaseUrl: string | undefined
  dataDirectory: string
  adminKey: string | undefined
  bodyLimitBytes: number
  trustProxy: boolean
  logLevel: z.infer<typeof Environment>['LOG_LEVEL']
}>

/** One or more variables are wrong; `message` has a line for each, naming it and never its value. */
export class ConfigError extends Error {}

/** Reads the configuration. An empty variable counts as unset. Throws `ConfigError`. */
export function loadConfig(env: Record<string, string | undefined>): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''))
  const parsed = Environment.safeParse(given)
  if (!parsed.success) {
    throw new ConfigError(parsed.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`).join('\n'))
  }
  const values = parsed.data
  return Object.freeze({
    host: values.HOST,
    port: values.PORT,
    databaseUrl: values.DATABASE_URL,
    dataDirectory: values.PROMPTSYNC_DATA_DIR,
    adminKey: values.PROMPTSYNC_ADMIN_KEY,
    bodyLimitBytes: values.PROMPTSYNC_BODY_LIMIT,
    trustProxy: values.PROMPTSYNC_TRUST_PROXY,
    logLevel: values.LOG_LEVEL,
  })
}
