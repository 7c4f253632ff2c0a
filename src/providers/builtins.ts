import { type Builtins, builtinsFolder, readBuiltins } from '../lib/builtins.js'
import { file } from './file.js'
import type { ProviderContext } from './provider.js'

const limits = { files: 1_000, fileBytes: 512 * 1024, totalBytes: 16 * 1024 ** 2 }
const timeoutMs = 10_000

/** Reads the built-in prompts as the files of any source are read. Rejects where that fails: the package is broken then. */
export async function loadBuiltins({
  outbound,
  allowedHosts,
}: Pick<ProviderContext, 'outbound' | 'allowedHosts'>): Promise<Builtins> {
  const context: ProviderContext = {
    signal: AbortSignal.timeout(timeoutMs),
    requestTimeoutMs: timeoutMs,
    ...{ limits, outbound, allowedHosts, fileRoots: [builtinsFolder], workspace: builtinsFolder, note: () => undefined },
  }
  const config = { directory: builtinsFolder }
  const listing = await file.list(config, null, context)
  const files = new Map<string, Buffer>()
  if (listing.unchanged) return readBuiltins(files)
  for await (const { path, bytes } of file.read(config, listing.files, listing.revision, context)) files.set(path, bytes)
  return readBuiltins(files)
}
