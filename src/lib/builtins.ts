import { readdir, readFile } from 'node:fs/promises'
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

/** Reads the built-in prompts. Rejects when one of them cannot be read: the package is broken then. */
export async function loadBuiltins(): Promise<Builtins> {
  const folder = join(packageRoot, 'defaults')
  const files = (await readdir(folder)).filter((file) => file.endsWith('.md')).sort()
  const builtins = new Map<string, Builtin>()
  for (const file of files) {
    const { name, fields } = parsePromptFile(file, await readFile(join(folder, file), 'utf8'), file)
    builtins.set(name, fromContent(String(fields.content), (fields.inputs as Record<string, unknown> | undefined) ?? null))
  }
  return builtins
}

function fromContent(content: string, inputs: Record<string, unknown> | null): Builtin {
  const version: VersionContent = { type: 'text', template: 'jinja', content, messages: null, config: {}, inputs, variants: [] }
  return { version, contentHash: contentHash(version) }
}
