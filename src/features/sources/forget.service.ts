import type { Db } from '../../database/connect.js'
import type { Prisma } from '../../generated/prisma/client.js'
import type { Pause } from '../../lib/slices.js'
import { inline } from '../../providers/inline.js'
import { type PreparedPrompt, readPrompts } from '../push/read.service.js'

/**
 * Forgets what sources know of a version that is purged, in the transaction of the purge. Their next check reads the file
 * again, and is refused as long as the text stands there. A sync that is under way stores nothing any more.
 */
export async function forgetVersion(tx: Db, { id: projectId }: { id: bigint }, versionId: string, now: Date): Promise<void> {
  const where = { versionId, source: { projectId } }
  const files = await tx.sourceFile.findMany({ where, select: { sourceId: true } })
  if (files.length === 0) return
  await tx.sourceFile.deleteMany({ where })
  await tx.source.updateMany({
    where: { id: { in: files.map(({ sourceId }) => sourceId) } },
    data: { revision: null, nextCheckAt: now, generation: { increment: 1 } },
  })
}

/** Tells which prompts hold a text that was purged: `path` is their `where`. */
type FindPurged = (prompts: PreparedPrompt[]) => Promise<{ path: string }[]>

/**
 * Where purged texts stand in the settings of sources themselves, synced or not, they go, and the source is disabled, so that
 * no sync takes that for a file deleted on purpose.
 */
export async function eraseSettings(tx: Db, { id }: { id: bigint }, pause: Pause, findPurged: FindPurged): Promise<void> {
  const rows = await tx.source.findMany({ where: { projectId: id, provider: inline.name }, select: { id: true, config: true } })
  for (const row of rows) {
    const { files } = row.config as { files: Record<string, string> }
    const listed = Object.entries(files).map(([path, content]) => ({ path, content }))
    const places = { whereOf: (_file: unknown, index: number) => listed[index]?.path ?? '', nameOf: (name: string) => name }
    const { prompts } = await readPrompts([], listed, 'none', pause, places)
    const purged = new Set((await findPurged(prompts)).map(({ path }) => path))
    if (purged.size === 0) continue
    const left = Object.fromEntries(Object.entries(files).filter(([path]) => !purged.has(path)))
    await tx.source.update({
      where: { id: row.id },
      data: {
        config: { files: left } satisfies Prisma.InputJsonObject,
        ...{ enabled: false, revision: null, generation: { increment: 1 } },
      },
      select: { id: true },
    })
  }
}
