import { PromptsyncError } from '../../client/problem.js'
import type { PromptDiff } from '../../lib/diff/prompt-diff.js'
import type { PlannedVersion } from '../../lib/prompt-plan.js'
import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'
import type { TemplateOption } from '../options/template-option.js'
import { requireAlias } from '../server/aliases.js'
import { newestRelease, readIncluded, readRelease, readServed, readStoredPrompt } from '../server/stored-prompts.js'
import { isSurelySame, storedDiffable } from './diffables.js'
import { findLocalPrompts, type LocalFile, readLocalPrompts } from './local-prompts.js'
import { type ParsedPrompt, parsePrompts } from './parsed-prompts.js'
import { type Library, openLibrary } from './prompt-library.js'

export type LocalOptions = TemplateOption & { path?: string }

type Compared = {
  ref: string
  release: string | null
  local: Map<string, ParsedPrompt>
  stored: Map<string, PlannedVersion>
}

/** The local prompt files, read as a push would store them. None where there is no folder. Throws a `CliError` that names the file. */
export async function parseLocal(context: Context, options: LocalOptions): Promise<Map<string, ParsedPrompt>> {
  const { files } = await findLocalPrompts(context, options)
  return parseFiles(context, files, options)
}

/** The same of files that were read already. */
export async function parseFiles(
  context: Context,
  files: readonly LocalFile[],
  options: LocalOptions,
): Promise<Map<string, ParsedPrompt>> {
  const { settings } = await context.project()
  return parsePrompts(files, options.template ?? settings.template ?? 'jinja')
}

/**
 * The ref that local files are compared with: the one that is given, else the alias of the settings once there is one, else the
 * newest release; null where there is none.
 */
export async function usualRef(context: Context, given: string | undefined): Promise<string | null> {
  if (given !== undefined) return given
  const { settings } = await context.project()
  const { alias } = settings
  return alias !== undefined && (await aliasExists(context, alias)) ? alias : newestRelease(context)
}

async function aliasExists(context: Context, alias: string): Promise<boolean> {
  try {
    await requireAlias(context, alias, undefined)
    return true
  } catch (error) {
    if (error instanceof PromptsyncError && error.code === 'alias.not_found') return false
    throw error
  }
}

/** Local prompts beside all that a ref holds. */
export async function readBoth(context: Context, ref: string | null, local: Map<string, ParsedPrompt>): Promise<Compared> {
  if (ref === null) return { ref: 'none', release: null, local, stored: new Map() }
  const release = await readRelease(context, ref)
  const { prompts, problems } = await readServed(context, release)
  for (const [name, { detail }] of problems) context.output.note(`Left out: ${name}: ${detail}`)
  for (const name of problems.keys()) local.delete(name)
  return { ref, release: release.ref, local, stored: prompts }
}

/** How all local files differ from a release, the prompts that differ only, in the order of their names. */
export async function diffAll(
  context: Context,
  ref: string | null,
  options: LocalOptions,
): Promise<Compared & { diffs: PromptDiff[] }> {
  const { files } = await readLocalPrompts(context, options)
  const compared = await readBoth(context, ref, await parseFiles(context, files, options))
  const { local, stored } = compared
  const library = await openWithIncluded(context, compared.release ?? 'latest', local, stored)
  const isSame = (name: string) => {
    const [prompt, found] = [local.get(name), stored.get(name)]
    return prompt !== undefined && found !== undefined && isSurelySame(prompt, found)
  }
  const names = [...new Set([...local.keys(), ...stored.keys()])].filter((name) => !isSame(name)).sort()
  const diffs = await eachDiff(context, names, compared, library)
  return { ...compared, diffs: diffs.filter(({ identical }) => !identical) }
}

/** How one local file differs from what is stored at any ref. Throws a `CliError` where it is on neither side. */
export async function diffOne(context: Context, name: string, ref: string | null, options: LocalOptions): Promise<PromptDiff> {
  const all = await parseLocal(context, options)
  const found = ref === null ? null : await readStoredPrompt(context, name, ref)
  const stored = new Map(found ? [[name, found] as const] : [])
  const prompt = all.get(name)
  if (!prompt && !found) {
    const { didYouMean } = await import('../../lib/suggest.js')
    throw new CliError(`There is no prompt "${name}", neither here nor on the server.${didYouMean(name, [...all.keys()])}`, {
      remedy: 'promptsync list shows those of the server.',
    })
  }
  const library = await openWithIncluded(context, ref ?? 'latest', all, stored, prompt ? [prompt] : [])
  const local = new Map(prompt ? [[name, prompt] as const] : [])
  const [diff] = await eachDiff(context, [name], { ref: ref ?? 'none', release: null, local, stored }, library)
  return diff as PromptDiff
}

async function openWithIncluded(
  context: Context,
  ref: string,
  local: ReadonlyMap<string, ParsedPrompt>,
  stored: ReadonlyMap<string, PlannedVersion>,
  asked: Iterable<ParsedPrompt> = local.values(),
): Promise<Library> {
  const library = await openLibrary(local, stored)
  const unknown = library.unknown(asked)
  return unknown.length === 0 ? library : openLibrary(local, new Map([...(await readIncluded(context, ref, unknown)), ...stored]))
}

async function eachDiff(
  context: Context,
  names: readonly string[],
  { ref, local, stored }: Compared,
  library: Library,
): Promise<PromptDiff[]> {
  const { diffPrompts } = await import('../../lib/diff/prompt-diff.js')
  const diffs: PromptDiff[] = []
  for (const name of names) {
    context.signal.throwIfAborted()
    const [prompt, found] = [local.get(name), stored.get(name)]
    diffs.push(diffPrompts(found ? storedDiffable(name, ref, found) : null, prompt ? library.diffable(prompt) : null))
    // Ctrl-C is heard between two of them.
    await new Promise((resolve) => setImmediate(resolve))
  }
  return diffs
}
