import { join } from 'node:path'
import { contentHash, type VersionContent } from './content-hash.js'
import { parsePromptFile } from './files.js'
import { packageRoot } from './package-root.js'

/** A prompt shipped in `defaults/`: never stored, version `builtin`. */
export type Builtin = { version: VersionContent; contentHash: string }

export type Builtins = ReadonlyMap<string, Builtin>

/** What an application gets when even the shipped prompts are gone. */
export const hardCoded: Builtin = fromContent(
  'You are a helpful assistant. Answer clearly and briefly, and say so when you are not sure.',
  null,
)

/** The folder of the built-in prompts. */
export const builtinsFolder = join(packageRoot, 'defaults')

/** The built-in prompts from their files. Throws where one of them cannot be read: the package is broken then. */
export function readBuiltins(files: ReadonlyMap<string, Buffer>): Builtins {
  const builtins = new Map<string, Builtin>()
  for (const [path, bytes] of [...files].sort(([one], [other]) => (one < other ? -1 : 1))) {
    if (!path.endsWith('.md')) continue
    const { name, fields } = parsePromptFile(path, bytes.toString('utf8'), path)
    builtins.set(name, fromContent(String(fields.content), (fields.inputs as Record<string, unknown> | undefined) ?? null))
  }
  return builtins
}

function fromContent(content: string, inputs: Record<string, unknown> | null): Builtin {
  const version: VersionContent = { type: 'text', template: 'jinja', content, messages: null, config: {}, inputs, variants: [] }
  return { version, contentHash: contentHash(version) }
}
