import type { Context } from '../context.js'
import { readRelease, readStored } from '../server/stored-prompts.js'
import { isStoredAs } from './diffables.js'
import { findLocalPrompts } from './local-prompts.js'
import { parsePrompts } from './parsed-prompts.js'
import { shownPath } from './paths.js'

/** How the local prompts differ from a release. Names are in the order of the alphabet. */
export type LocalChanges = {
  /** The folder, from here. */
  path: string
  /** How many there are. */
  count: number
  /** What was asked for, and the release that it is; null where there is nothing to compare with. */
  comparedWith: { ref: string; release: string } | null
  changed: string[]
  added: string[]
  /** In the release, and not here. A push leaves them as they are, but with `--prune`. */
  missing: string[]
}

/** Reads the local prompts only. Throws a `CliError` where one cannot be read. */
export async function readLocal(context: Context): Promise<{ path: string; prompts: Awaited<ReturnType<typeof parsePrompts>> }> {
  const { settings } = await context.project()
  const { root, files } = await findLocalPrompts(context, {})
  return { path: shownPath(context, root), prompts: await parsePrompts(files, settings.template ?? 'jinja') }
}

/** Compares the local prompts with a release, or with nothing. Throws `PromptsyncError`. */
export async function compareLocal(
  context: Context,
  { path, prompts }: Awaited<ReturnType<typeof readLocal>>,
  ref: string | null,
): Promise<LocalChanges> {
  const names = [...prompts.keys()].sort()
  const local = { path, count: names.length }
  if (ref === null) return { ...local, comparedWith: null, changed: [], added: names, missing: [] }
  const release = await readRelease(context, ref)
  const held = new Set(release.names)
  const both = names.filter((name) => held.has(name))
  const stored = await readStored(context, release.id, both)
  return {
    ...local,
    comparedWith: { ref, release: release.ref },
    changed: both.filter((name) => {
      const prompt = prompts.get(name)
      return prompt !== undefined && !isStoredAs(prompt, stored.prompts.get(name))
    }),
    added: names.filter((name) => !held.has(name)),
    missing: release.names.filter((name) => !prompts.has(name)).sort(),
  }
}
