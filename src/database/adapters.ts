import type { SqlMigrationAwareDriverAdapterFactory } from '@prisma/driver-adapter-utils'

type Adapter = Awaited<ReturnType<SqlMigrationAwareDriverAdapterFactory['connect']>>

/** The same factory, whose adapters `change` sees before anybody uses them. */
export function changingAdapters(
  factory: SqlMigrationAwareDriverAdapterFactory,
  change: (adapter: Adapter) => void,
): SqlMigrationAwareDriverAdapterFactory {
  return {
    provider: factory.provider,
    adapterName: factory.adapterName,
    connectToShadowDb: () => factory.connectToShadowDb(),
    async connect() {
      const adapter = await factory.connect()
      change(adapter)
      return adapter
    },
  }
}
