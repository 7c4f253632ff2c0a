import { CliError } from '../exit-codes.js'

const unitSeconds = { s: 1, m: 60, h: 60 * 60, d: 24 * 60 * 60 } as const

/** `90d`, `12h`, `5m` or `30s`, or a number of seconds, as seconds. Throws a `CliError` for anything else. Pure. */
export function toSeconds(text: string): number {
  const match = /^(\d{1,9})([smhd]?)$/.exec(text)
  if (match) return Number(match[1]) * unitSeconds[(match[2] || 's') as keyof typeof unitSeconds]
  throw new CliError(`"${text}" is no span of time.`, { remedy: 'Write it as 90d, 12h, 5m or 30s.' })
}
