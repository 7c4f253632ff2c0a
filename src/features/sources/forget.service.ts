import type { Db } from '../../database/connect.js'
import type { Prisma } from '../../generated/prisma/client.js'
import { sha256 } from '../../providers/digests.js'
import { inline } from '../../providers/inline.js'
import type { SourceRow } from './source-rows.service.js'

type Erased = { path: string; hash: string; source: SourceRow }

/**
 * Forgets what sources know of a version that is purged, in the transaction of the purge. Their next check reads the file
 * again, and is refused as long as the text stands there. A sync that is under way stores nothing any more.
 */
export async function forgetVersion(tx: Db, { id: projectId }: { id: bigint }, versionId: string, now: Date): Promise<void> {
  const where = { versionId, source: { projectId } }
  const files = await tx.sourceFile.findMany({ where, select: { path: true, hash: true, source: true } })
  if (files.length === 0) return
  await tx.sourceFile.deleteMany({ where })
  await tx.source.updateMany({
    where: { id: { in: files.map(({ source }) => source.id) } },
    data: { revision: null, nextCheckAt: now, generation: { increment: 1 } },
  })
  for (const file of files) await eraseSetting(tx, file)
}

/** Where the text stands in the settings themselves it goes, and they are disabled, so that no sync takes that for a file deleted on purpose. */
async function eraseSetting(tx: Db, { path, hash, source }: Erased): Promise<void> {
  if (source.provider !== inline.name) return
  const { config } = await tx.source.findUniqueOrThrow({ where: { id: source.id }, select: { config: true } })
  const { files } = config as { files: Record<string, string> }
  const text = files[path]
  // The settings may have changed since the sync.
  if (text === undefined || sha256(text) !== hash) return
  const left = Object.fromEntries(Object.entries(files).filter(([other]) => other !== path))
  await tx.source.update({
    where: { id: source.id },
    data: { config: { files: left } satisfies Prisma.InputJsonObject, enabled: false },
    select: { id: true },
  })
}
