import type { Db } from '../../database/connect.js'
import { refOf } from '../../lib/names.js'
import { type Held, readSnapshot, type SnapshotChange } from './snapshots.service.js'

/** Warnings name this many prompts; the rest are counted. */
const maxNamed = 20

/**
 * What is lost where a release takes another's place: one warning for prompts that go back to an older version, one
 * for those that vanish. `changes` are laid over the second release first, for one that is only planned.
 */
export async function regressions(db: Db, from: bigint[], to: bigint[], changes: PlannedChange[] = []): Promise<string[]> {
  // On the same snapshot only the changes can differ, and they are few.
  const isSame = from.at(-1) === to.at(-1)
  if (isSame && changes.length === 0) return []
  const before = await readSnapshot(db, from)
  const after = new Map((isSame ? before : await readSnapshot(db, to)).map((held) => [held.promptId, held]))
  for (const change of changes) {
    if (change.held) after.set(change.promptId, change.held)
    else after.delete(change.promptId)
  }
  const vanished = before.filter(({ promptId }) => !after.has(promptId)).map(({ name }) => `"${name}"`)
  const older = before.flatMap((held) => {
    const now = after.get(held.promptId)
    return now && now.number < held.number ? [`"${held.name}" (${refOf('v', held)} to ${refOf('v', now)})`] : []
  })
  return [...sentence('Goes back to an older version', older), ...sentence('Vanishes', vanished)]
}

export type PlannedChange = Pick<SnapshotChange, 'promptId'> & { held: Held | null }

function sentence(what: string, names: string[]): string[] {
  if (names.length === 0) return []
  const more = names.length > maxNamed ? ` and ${names.length - maxNamed} more` : ''
  return [`${what}: ${names.slice(0, maxNamed).join(', ')}${more}.`]
}
