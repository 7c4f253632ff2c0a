import { createHash } from 'node:crypto'
import type { ListedFile } from './provider.js'

export function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** One value for a state of files: equal if and only if paths and hashes are. */
export function digestOf(files: readonly Pick<ListedFile, 'path' | 'hash'>[]): string {
  const pairs = files.map(({ path, hash }) => [path, hash] as const)
  return sha256(JSON.stringify(pairs.sort(([one], [other]) => (one < other ? -1 : 1))))
}
