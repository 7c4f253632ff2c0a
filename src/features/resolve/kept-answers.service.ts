import type { Deps } from '../../deps.js'
import type { Pointers } from '../../lib/pointers.js'
import type { HeldProject, Reader } from '../../lib/read-cache.js'
import {
  type AnswerConditions,
  type Availability,
  answerKey,
  findAnswer,
  type KeptAnswer,
  keepAnswer,
  type RoutedSource,
  type RoutingTable,
} from '../../lib/routing-table.js'
import { freshnessOf } from '../../lib/source-state.js'
import { draw } from '../fetch/fetch.service.js'
import { keepGrown, knownRouting, knownStates, type SourceStates } from '../reads/routing.service.js'
import type { ResolveWanted } from './resolve.schema.js'

/** In what state sources are at one moment. */
export function availabilities(states: SourceStates | null, nowMs: number): (source: RoutedSource) => Availability {
  return ({ id }) => {
    if (states === null) return 'unknown'
    const state = states.get(id)
    return state ? freshnessOf(state, nowMs) : 'removed'
  }
}

/** What an answer was found in: the state of the project, the release, and what was known of its sources. */
export type Found = { pointers: Pointers; table: RoutingTable; states: SourceStates | null }

type Asked = Omit<AnswerConditions, 'availabilityOf'>

/** Keeps an answer that whoever asks the same gets as well, for as long as nothing moves. */
export function keepResolved(
  deps: Deps,
  reader: Reader,
  { pointers, table, states }: Found,
  asked: Asked,
  answer: Omit<KeptAnswer, 'stamp'>,
): void {
  if (!states || reader.staleSeconds !== null || reader.held.pointers.stamp !== pointers.stamp) return
  keepAnswer(table, answerKey(table, conditionsOf(states, asked)), { ...answer, stamp: pointers.stamp })
  keepGrown(deps, pointers, table)
}

function conditionsOf(states: SourceStates, asked: Asked): AnswerConditions {
  return { ...asked, availabilityOf: availabilities(states, asked.atMs) }
}

/** The answer that was given to the same question a moment ago, if it still holds; nothing is loaded. */
export function knownAnswer(
  deps: Deps,
  { pointers }: HeldProject,
  wanted: ResolveWanted,
): { answer: KeptAnswer; bucket: number | null } | null {
  const { tags, context } = wanted
  const ref = wanted.ref ?? pointers.project.settings.defaultAlias
  const pointer = pointers.aliases.get(ref)
  if (!pointer) return null
  const { mode, bucket } = draw(pointer, wanted)
  const table = knownRouting(deps, pointers, mode === 'canary' && pointer.canary ? pointer.canary.target : pointer.target)
  const states = table && knownStates(deps, pointers)
  if (!table || !states) return null
  const key = answerKey(table, conditionsOf(states, { ref, mode, tags, context, atMs: deps.now().getTime() }))
  const answer = findAnswer(table, key, pointers, ref)
  return answer && { answer, bucket }
}
