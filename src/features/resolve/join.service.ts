import { hash } from 'node:crypto'
import { AppError } from '../../errors.js'
import { joinFiles } from '../../lib/path-file/routing.js'
import { toFinished } from '../../lib/plan.js'
import type { FetchedPrompt } from '../fetch/fetch.schema.js'
import type { Outcome } from '../fetch/fetch.service.js'

/** Several times what one prompt may hold. */
const maxContentBytes = 1024 ** 2

/**
 * The texts of several prompts as one. Variables and includes are those of all; what else there is to tell is told of the
 * first. Throws `include.unfit` where they cannot be joined.
 */
export function joinOutcomes(parts: readonly Outcome[]): Outcome {
  const [first] = parts
  if (!first) throw new Error('A route was chosen without a file.')
  if (parts.length === 1) return first
  const prompts = parts.map(({ finished }) => JSON.parse(finished.json.toString('utf8')) as FetchedPrompt)
  refuseMixture(prompts)
  const content = joinFiles(prompts.map((prompt) => prompt.content ?? ''))
  if (Buffer.byteLength(content) > maxContentBytes) throw unfit(`The joined text is over ${maxContentBytes / 1024} KiB.`)
  const whole = {
    ...(prompts[0] as FetchedPrompt),
    content,
    variables: joinVariables(prompts),
    includes: joinIncludes(prompts),
    // Renderings are kept by it.
    contentHash: `sha256:${hash('sha256', prompts.map(({ contentHash, tags }) => `${contentHash} ${JSON.stringify(tags)}`).join('\n'))}`,
  }
  return { ...first, finished: toFinished(Buffer.from(JSON.stringify(whole))) }
}

function refuseMixture(prompts: readonly FetchedPrompt[]): void {
  const chat = prompts.find(({ type }) => type === 'chat')
  if (chat) throw unfit(`Prompt "${chat.name}" is a chat prompt, and only texts can be joined.`)
  if (new Set(prompts.map(({ template }) => template)).size > 1)
    throw unfit('Templates cannot be joined with texts that are sent as they are.')
}

function unfit(detail: string): AppError {
  return new AppError('include.unfit', detail)
}

/** One that is required anywhere is required. */
function joinVariables(prompts: readonly FetchedPrompt[]): FetchedPrompt['variables'] {
  const joined = new Map<string, FetchedPrompt['variables'][number]>()
  for (const { name, required, paths } of prompts.flatMap(({ variables }) => variables)) {
    const known = joined.get(name)
    const isPlain = !paths && !known?.paths
    const all = isPlain ? {} : { paths: [...new Set([...(known ? (known.paths ?? [name]) : []), ...(paths ?? [name])])] }
    joined.set(name, { name, required: required || known?.required === true, ...all })
  }
  return [...joined.values()]
}

/** The same reference has to lead to the same text for all of them. */
function joinIncludes(prompts: readonly FetchedPrompt[]): FetchedPrompt['includes'] {
  const joined = new Map<string, FetchedPrompt['includes'][string]>()
  for (const [reference, included] of prompts.flatMap(({ includes }) => Object.entries(includes))) {
    const known = joined.get(reference)
    if (known && JSON.stringify(known) !== JSON.stringify(included))
      throw unfit(`The texts to be joined include different versions of "${included.name}".`)
    joined.set(reference, included)
  }
  return Object.fromEntries(joined)
}
