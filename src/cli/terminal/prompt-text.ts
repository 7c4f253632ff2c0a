import type { Context } from '../context.js'
import { visible } from './visible.js'

type Message = { role?: unknown; content?: unknown; placeholder?: unknown }

/** What is told of a prompt beside its text. */
export type Facts = {
  name: string
  version: string
  ref: string
  release: string | null
  type: string
  tags: Record<string, string>
  canary: { release: string | null; version: string | null; percentage: number; selected: boolean } | null
  source: string
}

/** Text as data: as it is for other programs; on a terminal ended by a line break, and unable to steer it. */
export function showText({ output }: Context, text: string): void {
  if (!output.isTerminal) output.data(text)
  else output.data(`${visible(text)}${text.endsWith('\n') || text === '' ? '' : '\n'}`)
}

/** Messages as people read them: the role above each. Pure. */
export function messagesText(messages: readonly Message[]): string {
  return messages
    .map(({ role, content, placeholder }) => {
      if (typeof placeholder === 'string') return `[messages of ${placeholder}]\n`
      const text = typeof content === 'string' ? content : JSON.stringify(content)
      return `[${String(role)}]\n${text}${text.endsWith('\n') ? '' : '\n'}`
    })
    .join('\n')
}

/** Which version it is and why, in one line. Pure. */
export function factsLine({ name, version, ref, release, type, tags, canary, source }: Facts): string {
  const chosen = Object.entries(tags).map(([tag, value]) => `${tag}:${value}`)
  const parts = [
    `${name} ${version}`,
    ref === version ? null : `by ${ref}`,
    release === null || release === version ? null : `release ${release}`,
    type,
    chosen.length === 0 ? null : `variant ${chosen.join(' ')}`,
    canary === null
      ? null
      : `canary ${canary.release ?? canary.version} at ${canary.percentage} %${canary.selected ? ', chosen' : ''}`,
    source === 'registry' ? null : 'a built-in',
  ]
  return parts.filter((part) => part !== null).join(' · ')
}

/** Where nothing else is said: what applications ask for. */
export const usualRef = 'production'
