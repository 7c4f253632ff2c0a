import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction } from 'fastify'
import { AppError, tryLater } from '../../errors.js'
import { type App, problems, type Routes } from '../../http.js'
import { addressKey, bucketQuota, guessesPerMinute, rateExceeded } from '../../lib/limits.js'
import { GithubHookHeaders, HookAnswer, HookParams, SignedHookHeaders } from './hooks.schema.js'
import { type Hook, takeGithubHook, takeSignedHook } from './hooks.service.js'

const tags = ['webhooks']
/** A push of two thousand commits fits. */
const maxBodyBytes = 5 * 1024 ** 2
/** Bodies are read before it is known who sends them: so much of them at once. */
const maxBodiesBytes = 128 * 1024 ** 2

export const hookRoutes: Routes = async (app) => {
  // What is signed are the bytes, whatever they are said to be.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) => body)
  app.addHook('onRequest', countHook(app))
  app.addHook('onRequest', reserveBody())
  app.addHook('onError', async (request, _reply, error) => {
    if (error instanceof AppError && error.code === 'hook.refused') app.limits.guesses.take(addressKey(request.ip))
  })

  app.post(
    '/hooks/github/:project/:source',
    {
      bodyLimit: maxBodyBytes,
      config: { scope: 'public' },
      schema: {
        operationId: 'takeGithubHook',
        summary: 'Webhook of GitHub: a push has the source synced in the background',
        tags,
        params: HookParams,
        headers: GithubHookHeaders,
        response: { 200: HookAnswer, 202: HookAnswer, ...problems },
      },
    },
    async (request, reply) => send(reply, await takeGithubHook(app.deps, toHook(request))),
  )

  app.post(
    '/hooks/:project/:source',
    {
      bodyLimit: maxBodyBytes,
      config: { scope: 'public' },
      schema: {
        operationId: 'takeSignedHook',
        summary: 'Webhook of anybody who has the secret: the source is synced in the background',
        tags,
        params: HookParams,
        headers: SignedHookHeaders,
        response: { 200: HookAnswer, 202: HookAnswer, ...problems },
      },
    },
    async (request, reply) => send(reply, await takeSignedHook(app.deps, toHook(request))),
  )
}

type HookRequest<Headers> = { params: HookParams; headers: Headers; body: unknown; id: string }

function toHook<Headers>({ params, headers, body, id }: HookRequest<Headers>): Hook<Headers> {
  return { ...params, headers, body: Buffer.isBuffer(body) ? body : Buffer.alloc(0), requestId: id }
}

function send(reply: FastifyReply, answer: HookAnswer) {
  return reply.code(answer.status === 'accepted' ? 202 : 200).send(answer)
}

type OnRequest = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => void

/** Counts by address, on this instance: signatures that were no good as keys that nobody knows, and all webhooks as writes. */
function countHook({ limits }: App): OnRequest {
  return ({ ip }, _reply, done) => {
    const address = addressKey(ip)
    const who = `The address ${ip}`
    if (limits.guesses.remaining(address) < 1) {
      limits.counts.guesses += 1
      done(rateExceeded(bucketQuota('unknown-keys', guessesPerMinute, 0, 60_000 / guessesPerMinute), who))
      return
    }
    const waitMs = limits.writes.take(address)
    if (waitMs > 0) limits.counts.writes += 1
    done(waitMs > 0 ? rateExceeded(bucketQuota('writes', limits.writesPerMinute, 0, waitMs), who) : undefined)
  }
}

/** Refuses a body while those that are on their way may come to too much. */
function reserveBody(): OnRequest {
  let reservedBytes = 0
  return ({ headers }, reply, done) => {
    const sizeBytes = Math.min(Number(headers['content-length'] ?? maxBodyBytes), maxBodyBytes)
    if (reservedBytes + sizeBytes > maxBodiesBytes) {
      done(tryLater('write.busy', 'Too many webhooks are on their way. Nothing was changed; try again.', 1))
      return
    }
    reservedBytes += sizeBytes
    reply.raw.once('close', () => {
      reservedBytes -= sizeBytes
    })
    done()
  }
}
