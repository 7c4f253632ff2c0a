import fp from 'fastify-plugin'
import { startSyncing, type Syncing } from '../features/sources/background.service.js'

/** Checks sources when their time has come, from the moment the service is ready until it closes. */
export const syncingPlugin = fp(
  async (app) => {
    const { config, shutdown } = app.deps
    let syncing: Syncing | null = null
    app.addHook('onReady', async () => {
      if (config.syncsInBackground) syncing = startSyncing(app.deps)
    })
    app.addHook('onClose', async () => {
      shutdown.abort(new Error('The instance is closing.'))
      await syncing?.stop()
    })
  },
  { name: 'syncing' },
)
