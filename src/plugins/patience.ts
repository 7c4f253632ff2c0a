import type { RouteHandlerMethod } from 'fastify'
import fp from 'fastify-plugin'
import { databaseAway, whileThere } from '../features/reads/database.service.js'

/**
 * What only the database can answer is not asked of one that is away, nor waited for without end: lists and the like are
 * 503 then. Reads of prompts know what to answer themselves, and writes what became of them.
 */
export const patiencePlugin = fp(
  async (app) => {
    app.addHook('onRoute', (route) => {
      const { scope, readsPrompt } = route.config ?? {}
      const isRead = [route.method].flat().every((method) => method === 'GET' || method === 'HEAD')
      if (scope === undefined || scope === 'public' || readsPrompt || !isRead) return
      const handler = route.handler as RouteHandlerMethod
      route.handler = async function (request, reply) {
        if (app.deps.database.isAway()) throw databaseAway()
        return whileThere(app.deps, Promise.resolve(handler.call(this, request, reply)))
      }
    })
  },
  { name: 'patience' },
)
