import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether the service has begun to close. */
    isClosing(): boolean
  }
}

/** Lets what is in flight finish, and its connections end with it: kept alive they would hold the close up. */
export const closingPlugin = fp(
  async (app) => {
    let closing = false
    app.decorate('isClosing', () => closing)
    app.addHook('preClose', async () => {
      closing = true
    })
    app.addHook('onSend', (_request, reply, _payload, done) => {
      if (closing) reply.header('connection', 'close')
      done()
    })
  },
  { name: 'closing' },
)
