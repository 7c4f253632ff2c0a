import fp from 'fastify-plugin'
import { type Syncing, startSyncing } from '../features/sources/background.service.js'

/** Checks sources when their time has come, from the moment the service is ready until it closes. */
export const syncingPlugin = fp(
  async (app) => {
    const { config, shutdown, working } = app.deps
    let syncing: Syncing | null = null
    app.addHook('onReady', async () => {
      if (config.syncsInBackground) syncing = startSyncing(app.deps)
    })
    // Before the requests in flight have ended: some of them wait for a sync.
    app.addHook('preClose', async () => shutdown.abort(new Error('The instance is closing.')))
    app.addHook('onClose', async () => {
      await syncing?.stop()
      await Promise.all([...working.values()].map(({ done }) => done))
    })
  },
  { name: 'syncing' },
)
