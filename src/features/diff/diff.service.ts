import type { Deps } from '../../deps.js'
import type { PromptMessage } from '../../lib/content-hash.js'
import { htmlInSteps, htmlPage, tallyOf } from '../../lib/diff/html.js'
import { type Diffable, diffInSteps, type PromptDiff } from '../../lib/diff/prompt-diff.js'
import { finishInTurns } from '../../lib/diff/steps.js'
import { unifiedInSteps } from '../../lib/diff/unified.js'
import { toFinished } from '../../lib/plan.js'
import type { Reader } from '../../lib/read-cache.js'
import { readContent, type VersionRecord } from '../../lib/version-record.js'
import { cacheControl, fetchCaching, isNotModified, registryOrBuiltin } from '../fetch/fetch.service.js'
import { planFor, recordFor } from '../reads/plans.service.js'
import { builtinRecord, findVariables } from '../reads/records.service.js'

export { isNotModified }

export type DiffFormat = 'json' | 'unified' | 'html'

/** A comparison as it is sent. */
export type DiffAnswer = {
  bytes: Buffer
  etag: string
  type: string
  /** What `Cache-Control` says. */
  caching: string
  /** For how many seconds what was read could not be confirmed; null where it was. */
  staleSeconds: number | null
}

const types: Record<DiffFormat, string> = {
  json: 'application/json; charset=utf-8',
  unified: 'text/plain; charset=utf-8',
  html: 'text/html; charset=utf-8',
}

/** Between two things that never change there is nothing new to be found. */
export const diffCaching = { immutable: cacheControl.immutable, movable: 'private, max-age=0' }

export function toAnswer(text: string, format: DiffFormat, outcome: Pick<DiffAnswer, 'caching' | 'staleSeconds'>): DiffAnswer {
  const bytes = Buffer.from(text)
  return { bytes, etag: toFinished(bytes).etag, type: types[format], ...outcome }
}

type Request = { name: string; from: string; to: string; format: DiffFormat }

/** Compares a prompt at one ref with the same prompt at another. Throws what a fetch of either does. */
export async function diffPrompt(deps: Deps, reader: Reader, { name, from, to, format }: Request): Promise<DiffAnswer> {
  const before = await readSide(deps, reader, name, from)
  await deps.pause()
  const after = await readSide(deps, reader, name, to)
  await deps.pause()
  const diff = await finishInTurns(diffInSteps(before.prompt, after.prompt), deps.pause)
  const text = await formatDiff(deps, diff, format)
  await deps.pause()
  const isImmutable = before.isImmutable && after.isImmutable
  const isStored = before.isStored || after.isStored
  if (isStored && reader.staleSeconds !== null) deps.cache.counts.stale += 1
  return toAnswer(text, format, {
    caching: isImmutable ? diffCaching.immutable : diffCaching.movable,
    staleSeconds: isStored ? reader.staleSeconds : null,
  })
}

async function formatDiff({ pause }: Deps, diff: PromptDiff, format: DiffFormat): Promise<string> {
  if (format === 'json') return JSON.stringify(diff)
  if (format === 'unified') return finishInTurns(unifiedInSteps(diff), pause)
  const title = `${diff.name}: ${diff.from?.ref} → ${diff.to?.ref}`
  return htmlPage({ title, tally: tallyOf([diff]), notes: [], prompts: [await finishInTurns(htmlInSteps(diff), pause)] })
}

type Side = { prompt: Diffable; isImmutable: boolean; isStored: boolean }

/** What a ref names, an alias its stable target, with all of its variants. */
function readSide(deps: Deps, { held }: Reader, name: string, ref: string): Promise<Side> {
  return registryOrBuiltin<Side>(
    deps,
    { name, ref },
    {
      async ofRegistry() {
        const plan = await planFor(deps, held, name, ref)
        const record = await recordFor(deps, plan, plan.stable)
        const release = plan.stable.release?.ref ?? record.made
        const isImmutable = fetchCaching(plan.by) === cacheControl.immutable
        return { prompt: toDiffable(deps, record, { name, ref, release }), isImmutable, isStored: true }
      },
      ofBuiltin: (builtin) => {
        const prompt = toDiffable(deps, builtinRecord(builtin), { name, ref, release: null })
        return { prompt, isImmutable: false, isStored: false }
      },
    },
  )
}

/** A version as it is compared. Its variables are found if they were not yet. */
export function toDiffable(deps: Deps, record: VersionRecord, as: Pick<Diffable, 'name' | 'ref' | 'release'>): Diffable {
  findVariables(deps, record, 0)
  const { version, type, template } = record
  const contents = record.contents.map((_, body) => readContent(record, body) as Contents)
  const [own = { content: null, messages: null }, ...others] = contents
  const { config, inputs } = JSON.parse(`{${record.settings.toString('utf8')}}`) as Pick<Diffable, 'config' | 'inputs'>
  return {
    ...{ ...as, version, type, template, ...own, config, inputs },
    variables: JSON.parse(record.variables[0] ?? '[]'),
    variants: others.map((content, index) => ({ tags: record.tags[index + 1] ?? {}, ...content })),
    includes: JSON.parse(record.includes.toString('utf8')),
  }
}

type Contents = { content: string | null; messages: PromptMessage[] | null }
