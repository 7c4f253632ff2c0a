import fp from 'fastify-plugin'
import { startWatch, type Watch } from '../features/reads/watch.service.js'

/** Keeps what reads are answered from current, from the moment the service is ready until it closes. */
export const watchPlugin = fp(
  async (app) => {
    let watch: Watch | null = null
    app.addHook('onReady', async () => {
      watch = startWatch(app.deps)
    })
    app.addHook('onClose', async () => watch?.stop())
  },
  { name: 'watch' },
)
