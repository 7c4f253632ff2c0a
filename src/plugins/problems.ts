import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { isConnectionLoss, isIncapacity } from '../database/failures.js'
import { AppError, type ErrorCode, tryLater } from '../errors.js'

/** Every error leaves as `application/problem+json` (RFC 9457), whatever threw it. */
export const problemsPlugin = fp(
  async (app) => {
    app.setErrorHandler((error: FastifyError, request, reply) => {
      const problem = toAppError(error, request)
      // Who sheds says so once: a line a request would add to the load.
      if (problem.status >= 500 && problem.code !== 'server.busy')
        request.log.error({ err: error, requestId: request.id }, problem.message)
      return sendProblem(request, reply, problem)
    })
    // Before the body is read: what goes nowhere is not worth parsing.
    app.addHook('onRequest', (request, _reply, done) => done(request.is404 ? unknownRoute(request) : undefined))
    app.setNotFoundHandler((request, reply) => sendProblem(request, reply, unknownRoute(request)))
  },
  { name: 'problems' },
)

/** Answers what Fastify refuses before any hook has run, a malformed URL say. */
export function answerFrameworkError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  sendProblem(request, reply.header('x-request-id', request.id), toAppError(error, request))
}

/** Fastify's own refusals under our codes; anything unforeseen is `internal`, and its message stays here. */
const fastifyCodes: Record<string, [code: ErrorCode, detail: string]> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'body.unsupported_type',
    'Send the body as JSON, with the header Content-Type: application/json.',
  ],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['request.malformed', 'The Content-Length does not match the body.'],
  FST_ERR_BAD_URL: ['request.malformed', 'The URL holds a malformed percent-encoding.'],
}

function toAppError(error: FastifyError, request: FastifyRequest): AppError {
  if (error instanceof AppError) return error
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    const limit = request.routeOptions.bodyLimit ?? 0
    const isOfInstallation = limit === request.server.initialConfig.bodyLimit
    const remedy = isOfInstallation
      ? 'Send less at once, or raise PROMPTSYNC_BODY_LIMIT'
      : 'Send less at once: this call takes no more'
    const detail = `The body is over ${Math.floor(limit / 1024)} KiB. ${remedy}.`
    return new AppError('body.too_large', detail, { cause: error })
  }
  const known = fastifyCodes[error.code]
  if (known) return new AppError(known[0], known[1], { cause: error })
  if (isConnectionLoss(error)) {
    return tryLater('database.unavailable', 'The database does not answer. Nothing was changed; try again.', 1, error)
  }
  if (isIncapacity(error)) {
    const detail = 'The database is out of space, memory or connections, or read-only. Nothing was changed; try again later.'
    return tryLater('database.unavailable', detail, 5, error)
  }
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return new AppError('request.malformed', 'The request cannot be read.', { cause: error })
  }
  return new AppError('internal', 'The server failed to answer. The request id names the entry in its log.', { cause: error })
}

/** Every 401 must say how to authenticate (RFC 9110, 15.5.2). */
const challenge = { 'www-authenticate': 'Bearer' }

function sendProblem(request: FastifyRequest, reply: FastifyReply, problem: AppError): FastifyReply {
  return reply
    .code(problem.status)
    .headers({ 'cache-control': 'no-store', ...(problem.status === 401 ? challenge : {}), ...problem.headers })
    .type('application/problem+json; charset=utf-8')
    .send(JSON.stringify(problemBody(problem, request.id)))
}

function problemBody({ code, title, status, message, errors }: AppError, requestId: string) {
  return {
    type: `urn:promptsync:problem:${code}`,
    title,
    status,
    detail: message,
    code,
    requestId,
    ...(errors ? { errors } : {}),
  }
}

function unknownRoute({ method, url }: FastifyRequest): AppError {
  return new AppError('route.not_found', `No route ${method} ${pathOf(url)}. GET /openapi.json lists them all.`)
}

function pathOf(url: string): string {
  return url.split('?', 1)[0]?.slice(0, 200) ?? '/'
}

const socketProblems: Record<string, [code: ErrorCode, detail: string]> = {
  HPE_HEADER_OVERFLOW: ['header.too_large', 'The headers are larger than this server reads.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['request.timeout', 'The request did not arrive in time.'],
}

/** Answers what is not even HTTP, by hand: no request exists yet. */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  // With an answer under way, what is written now would be taken for that.
  const isAnswering = error.code?.startsWith('HPE_') && Boolean((socket as { _httpMessage?: unknown })._httpMessage)
  if (error.code === 'ECONNRESET' || !socket.writable || isAnswering) {
    socket.destroy()
    return
  }
  const [code, detail] = socketProblems[error.code ?? ''] ?? ['request.malformed', 'The request is not valid HTTP.']
  const problem = new AppError(code, detail)
  const requestId = randomUUID()
  const body = JSON.stringify(problemBody(problem, requestId))
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\nX-Request-Id: ${requestId}\r\nContent-Type: application/problem+json; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}
