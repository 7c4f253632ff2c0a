import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** Writes a file that is there whole or as it was before, whatever happens meanwhile. `mode` is that of a new file. */
export function writeWholeFile(file: string, content: string, { mode = 0o666 }: { mode?: number } = {}): void {
  const draft = join(dirname(file), `.${basename(file)}.${process.pid}`)
  try {
    rmSync(draft, { force: true })
    writeFileSync(draft, content, { mode, flag: 'wx' })
    renameSync(draft, file)
  } finally {
    rmSync(draft, { force: true })
  }
}
