import type { RouteHandlerMethod } from 'fastify'
import fp from 'fastify-plugin'
import { databaseAway, whileThere, writeRefused } from '../features/reads/database.service.js'

/**
 * What only the database can do is not asked of one that is away: lists and writes are 503 then. Lists are not waited for
 * without end either; writes know themselves what became of them, and reads of prompts what to answer.
 */
export const patiencePlugin = fp(
  async (app) => {
    app.addHook('onRoute', (route) => {
      const { scope, withoutDatabase } = route.config ?? {}
      const isRead = [route.method].flat().every((method) => method === 'GET' || method === 'HEAD')
      if (scope === undefined || scope === 'public' || withoutDatabase) return
      const handler = route.handler as RouteHandlerMethod
      route.handler = async function (request, reply) {
        if (app.deps.database.isAway()) throw isRead ? databaseAway() : writeRefused()
        if (!isRead) return handler.call(this, request, reply)
        return whileThere(app.deps, Promise.resolve(handler.call(this, request, reply)))
      }
    })
  },
  { name: 'patience' },
)
