import pg from 'pg'
import { AppError, type ErrorCode, type Finding, tryLater } from '../errors.js'
import { explainFailure, withoutSecrets } from '../lib/outbound-errors.js'
import { BrokenProtocol, TooMuchSent } from './database-messages.js'
import { type DatabasePlace, nameOfPlace } from './database-url.js'

/** What was asked: `prefix` is the length of what we put in front of the query, as positions count from there. */
export type Asked = { place: DatabasePlace; timeoutMs: number; wasStopped: boolean; query: string; prefix: number }

const retrySeconds = 60
const busyRetrySeconds = 300
const maxSaidLength = 300

type Refusal = [states: RegExp, code: ErrorCode, text: (said: string, timeoutMs: number) => string]

/** By SQLSTATE; the first that fits counts. What is said of credentials is not repeated. */
const refusals: Refusal[] = [
  [/^28P01/, 'source.denied', () => 'refuses the user or the password. Correct them in `url`.'],
  [/^28/, 'source.denied', () => 'refuses the user. Check name, password and `sslmode` in `url`, and its pg_hba.conf.'],
  [/^3D000/, 'source.missing', () => 'has no such database. Correct its name in `url`.'],
  [/^42501/, 'source.denied', (said) => `does not let the user do this: ${said}. Grant it SELECT on what the query reads.`],
  [/^57014/, 'source.unreachable', (_, timeoutMs) => `was not done after ${timeoutMs} ms and ended the query. Make it faster.`],
  [/^53/, 'source.limited', (said) => `has no room for this: ${said}.`],
  [/^(08(?!P01)|40|55|57|58|25P|XX)/, 'source.unreachable', (said) => `cannot answer now: ${said}.`],
  [/^25006/, 'source.invalid', (said) => `refuses to write: ${said}. The query may only read.`],
  [/^(42|0A|08)/, 'source.invalid', (said) => `refuses the query: ${said}. It must be one SELECT, without parameters.`],
  [/(?:)/, 'source.invalid', (said) => `cannot run the query to its end: ${said}. Correct it.`],
]

/** Faults that the driver tells by their text alone. */
const driverFaults: [RegExp, ErrorCode, string][] = [
  [
    /does not support SSL/,
    'source.invalid',
    'offers no TLS. Turn it on there; only allowed hosts may be read with `sslmode=disable`.',
  ],
  [/^SASL:.*password/, 'source.denied', 'asks for a password. Give it in `url`.'],
  [/^SASL:/, 'source.denied', 'does not prove that it knows the password. Check the host, and the password in `url`.'],
]

/** The error that a failed call to a database is told by: of what the other side said nothing is kept that may be a secret. */
export function explainDatabase(error: unknown, asked: Asked): AppError {
  if (error instanceof AppError) return withoutSecrets(error, [asked.place.password])
  const { timeoutMs, wasStopped } = asked
  const place = nameOfPlace(asked.place)
  const name = `The database ${place}`
  const text = error instanceof Error ? error.message : ''
  const hasTimedOut = text === 'timeout expired' || text === 'Query read timeout'
  if (wasStopped || hasTimedOut) return explainFailure(error, { name: place, timeoutMs, wasStopped, hasTimedOut })
  if (error instanceof pg.DatabaseError) return explainRefusal(error, name, asked)
  if (error instanceof TooMuchSent) return new AppError('source.too_large', `${name} sends more than is taken. Narrow the query.`)
  if (error instanceof BrokenProtocol || /establishing an SSL/.test(text)) {
    return new AppError('source.invalid', `${name} does not speak the protocol of Postgres. Check host and port.`)
  }
  const fault = driverFaults.find(([pattern]) => pattern.test(text))
  if (fault) return new AppError(fault[1], `${name} ${fault[2]}`)
  return explainFailure(error, { name: place, timeoutMs, wasStopped, hasTimedOut })
}

function explainRefusal(error: pg.DatabaseError, name: string, asked: Asked): AppError {
  const state = String(error.code)
  const said = hideSecrets(error.message, asked.place)
  const [, code, text] = refusals.find(([states]) => states.test(state)) as Refusal
  const detail = `${name} ${text(said, asked.timeoutMs)}`
  const cause = new Error(`SQLSTATE ${/^[0-9A-Z]{5}$/.test(state) ? state : 'unknown'}`)
  if (code === 'source.unreachable') return tryLater(code, detail, retrySeconds, cause)
  if (code === 'source.limited') return tryLater(code, detail, busyRetrySeconds, cause)
  return new AppError(code, detail, { cause, ...(code === 'source.invalid' ? { errors: [findingOf(error, said, asked)] } : {}) })
}

/** A server that was sent a password may repeat it, as it is or encoded. */
function hideSecrets(text: string, { password }: DatabasePlace): string {
  const forms = [password, encodeURIComponent(password), Buffer.from(password).toString('base64').replace(/=+$/, '')]
  const hidden = password === '' ? text : forms.reduce((rest, form) => rest.replaceAll(form, '…'), text)
  return hidden
    .replace(/[\s\p{C}]+/gu, ' ')
    .slice(0, maxSaidLength)
    .toWellFormed()
}

/** Postgres counts characters from 1, in the whole statement. */
function findingOf({ position }: pg.DatabaseError, message: string, { query, prefix }: Asked): Finding {
  const offset = Number(position) - prefix - 1
  if (!(offset >= 0)) return { path: 'query', message }
  const before = [...query].slice(0, offset).join('').split('\n')
  return { path: 'query', message, line: before.length, column: [...(before.at(-1) ?? '')].length + 1 }
}
