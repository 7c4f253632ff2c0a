import { PromptsyncError } from './problem.js'

/** What of a prompt is told to whoever keeps the calls of models. */
export type TrackedPrompt = {
  name: string
  ref: string
  version: string
  release: string | null
  contentHash?: string | null
  /** The tags of the variant that was chosen; `{}` for the version's own content. */
  tags?: Record<string, string>
  /** Null where no canary runs. */
  canary?: { selected: boolean } | null
}

/** Values are text in the end; what is null or undefined is left out. */
export type TrackingContext = Record<string, string | number | boolean | null | undefined>

/** What OpenAI takes as the metadata of a call; others take as much or more. */
const maxKeys = 16
const maxKeyLength = 64
const maxValueLength = 512

/**
 * The metadata of a model's call that tells which prompt it was made with: `prompt_name`, `prompt_ref`, `prompt_version`,
 * `prompt_release`, `prompt_hash`, `prompt_canary` (`canary` or `stable`) and `prompt_variant` (`locale:cn,tone:friendly`), where
 * the prompt has them, and whatever `context` adds. All values are text. Throws `client.invalid` for more than 16 keys, for a key
 * of the context over 64 characters or one that begins with `prompt_`, and for a value over 512: cut, it would be another. Pure.
 */
export function createTrackingMetadata(prompt: TrackedPrompt, context: TrackingContext = {}): Record<string, string> {
  const own = ownMetadata(prompt)
  const added = Object.entries(context).filter(([, value]) => value !== null && value !== undefined)
  for (const [key, value] of added) checkEntry(key, String(value))
  const entries = [...Object.entries(own), ...added.map(([key, value]) => [key, String(value)] as const)]
  if (entries.length > maxKeys) {
    throw invalid(
      `The tracking metadata has ${entries.length} keys, ${added.length} of them from the context; ${maxKeys} are allowed. Leave some out.`,
    )
  }
  return Object.fromEntries(entries)
}

function ownMetadata(prompt: TrackedPrompt): Record<string, string> {
  const { name, ref, version, release, contentHash, canary } = prompt
  const variant = Object.entries(prompt.tags ?? {})
    .map(([tag, value]) => `${tag}:${value}`)
    .join(',')
  const metadata = {
    prompt_name: name,
    prompt_ref: ref,
    prompt_version: version,
    prompt_release: release,
    prompt_hash: contentHash,
    prompt_canary: canary && (canary.selected ? 'canary' : 'stable'),
    prompt_variant: shortened(variant),
  }
  return Object.fromEntries(Object.entries(metadata).filter((entry): entry is [string, string] => Boolean(entry[1])))
}

/** A version may have many tags. That it is not all of them can be seen. */
function shortened(text: string): string {
  return text.length > maxValueLength ? `${text.slice(0, maxValueLength - 1)}…` : text
}

function checkEntry(key: string, value: string): void {
  if (key === '' || key.length > maxKeyLength) {
    throw invalid(`A key of the tracking context has ${key.length} characters; 1 to ${maxKeyLength} are allowed.`)
  }
  if (key.startsWith('prompt_')) {
    throw invalid(`The key "${key}" of the tracking context begins with "prompt_", as those of the prompt itself do. Rename it.`)
  }
  if (value.length > maxValueLength) {
    throw invalid(`The value of "${key}" in the tracking context has ${value.length} characters; ${maxValueLength} are allowed.`)
  }
}

function invalid(detail: string): PromptsyncError {
  return new PromptsyncError('client.invalid', detail, { status: null })
}
