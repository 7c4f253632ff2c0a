/** Reads what the driver adapters say of an error; the two engines give Prisma's own codes differently. */

type AdapterError = {
  code?: unknown
  meta?: { driverAdapterError?: { cause?: AdapterCause } }
  cause?: unknown
  message?: unknown
}
type AdapterCause = { kind?: unknown; originalCode?: unknown; originalMessage?: unknown; message?: unknown; severity?: unknown }

const connectionKinds = new Set([
  'ConnectionClosed',
  'DatabaseNotReachable',
  'SocketTimeout',
  'TlsConnectionError',
  'TooManyConnections',
])
/** Prisma's own: unreachable, timed out, closed, no connection to be had, transaction lost. */
const connectionCodes = new Set(['P1001', 'P1002', 'P1008', 'P1017', 'P2024', 'P2037', 'P2028'])
const socketCodes = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN'])

function causeOf(error: unknown): AdapterCause | undefined {
  const { meta, cause } = (error ?? {}) as AdapterError
  return meta?.driverAdapterError?.cause ?? (cause as AdapterCause | undefined)
}

/** What the database said, without what Prisma puts around it. */
export function databaseMessage(error: unknown): string {
  const said = causeOf(error)?.originalMessage ?? causeOf(error)?.message
  return typeof said === 'string'
    ? said
    : (String((error as AdapterError)?.message ?? error)
        .trim()
        .split('\n')
        .at(-1) ?? '')
}

/** Prisma's own codes have the form of a SQLSTATE. */
const prismaCode = /^P[1-6]\d{3}$/

/** The five characters of SQLSTATE, where a statement was refused. */
export function sqlState(error: unknown): string | undefined {
  const code = causeOf(error)?.originalCode ?? (error as AdapterError)?.code
  return typeof code === 'string' && /^(?=.*\d)[0-9A-Z]{5}$/.test(code) && !prismaCode.test(code) ? code : undefined
}

/**
 * Whether the database answered a statement with a refusal and lives on: after `FATAL` or `PANIC` nobody knows what of a
 * commit had reached the disk.
 */
export function isRefusal(error: unknown): boolean {
  return sqlState(error) !== undefined && causeOf(error)?.severity === 'ERROR' && !isConnectionLoss(error)
}

/** A row, name or lock that another transaction had: unique violation, lock timeout, cancelled wait, deadlock. */
export function isContention(error: unknown): boolean {
  return ['23505', '55P03', '57014', '40001', '40P01'].includes(sqlState(error) ?? '')
}

/**
 * Whether the database answered that it cannot do anything of the kind now: out of space, memory or connections, an
 * input or output error, read-only.
 */
export function isIncapacity(error: unknown): boolean {
  return /^(53|58|25006)/.test(sqlState(error) ?? '')
}

/** Whether the database could not be asked, as opposed to having refused. */
export function isConnectionLoss(error: unknown): boolean {
  const { code, message } = (error ?? {}) as AdapterError
  const state = sqlState(error) ?? ''
  return (
    connectionCodes.has(String(code)) ||
    socketCodes.has(String(code)) ||
    connectionKinds.has(String(causeOf(error)?.kind)) ||
    // 55000 and 3D000: a database that is being restored under its name takes no connections, or is not there for a moment.
    /^(08|57P0|53300|55000|3D000)/.test(state) ||
    /terminated unexpectedly|received invalid response|closed the connection|Connection terminated|is not queryable|timeout exceeded when trying to connect|Query read timeout|PGlite is closed/.test(
      String(message),
    )
  )
}
