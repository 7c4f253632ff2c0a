import type { FastifyRequest, HTTPMethods } from 'fastify'
import fp from 'fastify-plugin'
import { AppError } from '../errors.js'

const methods: HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE']

declare module 'fastify' {
  interface FastifyInstance {
    /** Call once, after all routes: gives every other method of each path a 405 with `Allow`. */
    refuseOtherMethods(): void
  }
}

export const methodsPlugin = fp(
  async (app) => {
    const allowed = new Map<string, Set<string>>()
    app.addHook('onRoute', ({ url, method }) => {
      // The pages of /docs are a plugin's own, with routes for the same path with and without a slash.
      if (url.startsWith('/docs')) return
      const known = allowed.get(url) ?? new Set()
      for (const name of [method].flat()) known.add(name)
      allowed.set(url, known)
    })
    app.decorate('refuseOtherMethods', () => {
      // What is refused from here on is added to the sets as well.
      const answered = [...allowed].map(([url, methods]) => ({ url, methods: [...methods] }))
      for (const { url } of answered) {
        // A path may be the value of another one's parameter: `fetch` is also the name of a prompt.
        const known = new Set(answered.flatMap((other) => (isValueOf(url, other.url) ? other.methods : [])))
        const names = [...known].sort()
        const allow = names.join(', ')
        const refuse = async ({ method }: FastifyRequest) => {
          const detail = `${method} is not possible here; ${allow} ${names.length > 1 ? 'are' : 'is'}.`
          throw new AppError('method.not_allowed', detail, { headers: { allow } })
        }
        app.route({
          method: methods.filter((method) => !known.has(method)),
          url,
          config: { scope: 'public' },
          schema: { hide: true },
          // Before the body is read, which nobody wants.
          onRequest: refuse,
          handler: refuse,
        })
      }
    })
  },
  { name: 'methods' },
)

/** Whether a path is a pattern itself, or one of those that it stands for: `/prompts/fetch` of `/prompts/:name`. */
function isValueOf(path: string, pattern: string): boolean {
  const [parts, wanted] = [path.split('/'), pattern.split('/')]
  return parts.length === wanted.length && wanted.every((part, index) => part === parts[index] || part.startsWith(':'))
}
