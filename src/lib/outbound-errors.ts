import { AppError, tryLater } from '../errors.js'

/** What failed: the URL as it may be told, and how long the request was given. */
export type FailedRequest = { name: string; timeoutMs: number; wasStopped: boolean; hasTimedOut: boolean }

const retrySeconds = 60

const certificates: Record<string, string> = {
  CERT_HAS_EXPIRED: 'has expired',
  CERT_NOT_YET_VALID: 'is not valid yet',
  CERT_REVOKED: 'was revoked',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'is signed by itself',
  SELF_SIGNED_CERT_IN_CHAIN: 'is signed by an authority that is not trusted here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'is signed by an authority that is not trusted here, or comes without those in between',
  UNABLE_TO_GET_ISSUER_CERT: 'is signed by an authority that is not trusted here, or comes without those in between',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'is signed by an authority that is not trusted here, or comes without those in between',
  ERR_TLS_CERT_ALTNAME_INVALID: 'is of another name',
  CERT_SIGNATURE_FAILURE: 'has a wrong signature',
  INVALID_PURPOSE: 'is not one of a server',
}

const connections: Record<string, string> = {
  ECONNREFUSED: 'refuses connections',
  EHOSTUNREACH: 'cannot be reached from here',
  ENETUNREACH: 'cannot be reached from here',
  ETIMEDOUT: 'does not accept connections in time',
  TimeoutError: 'does not accept connections in time',
  UND_ERR_CONNECT_TIMEOUT: 'does not accept connections in time',
}

/**
 * The error that a failed request is told by. Of what went wrong only codes are kept: a message or a field of it may repeat
 * what the other side sent, and that may be a credential.
 */
export function explainFailure(error: unknown, { name, timeoutMs, wasStopped, hasTimedOut }: FailedRequest): AppError {
  if (error instanceof AppError) return error
  const code = codeOf(error)
  const cause = new Error(code)
  const unreachable = (what: string) => tryLater('source.unreachable', `${name} ${what}.`, retrySeconds, cause)
  if (wasStopped) return unreachable('was not asked to the end: the call was stopped')
  if (hasTimedOut) return unreachable(`did not answer wholly within ${timeoutMs} ms`)
  if (connections[code]) return unreachable(connections[code])
  const certificate = certificates[code]
  if (certificate)
    return new AppError('source.invalid', `${name} has a certificate that ${certificate}. Have it renewed or corrected.`, {
      cause,
    })
  if (code === 'UND_ERR_HEADERS_OVERFLOW') {
    return new AppError('source.invalid', `${name} answers with more header fields than are read.`, { cause })
  }
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_')) {
    return new AppError('source.invalid', `${name} does not speak TLS as it should. Check scheme and port.`, { cause })
  }
  if (code === 'HTTPParserError') {
    return new AppError('source.invalid', `${name} does not speak HTTP as it should. Check scheme and port.`, { cause })
  }
  if (code === 'UND_ERR_INVALID_ARG') {
    return new AppError('source.invalid', `${name} cannot be asked: a header field or the path is not valid.`, { cause })
  }
  return unreachable('broke the connection before its answer was whole')
}

/** Where all addresses of a host failed, each has an error of its own. The parser of HTTP gives no code, but fixed texts. */
function codeOf(error: unknown): string {
  const { code, errors, name, message } = error as { code?: unknown; errors?: unknown[]; name?: unknown; message?: unknown }
  if (name === 'HTTPParserError') return String(message).includes('EOF') ? 'EOF' : name
  if (typeof code === 'string') return code
  if (Array.isArray(errors) && errors.length > 0) return codeOf(errors[0])
  return typeof name === 'string' ? name : 'unknown'
}

/** The other side may have chosen the name of the next host, and so part of the text. */
export function withoutSecrets(error: AppError, secrets: readonly string[]): AppError {
  const words = secrets.flatMap((secret) => [secret, ...secret.split(/\s+/)]).filter((word) => word.length >= 8)
  const hidden = words.reduce((text, word) => text.replaceAll(word, '…'), error.message)
  return hidden === error.message ? error : new AppError(error.code, hidden, { headers: error.headers })
}
