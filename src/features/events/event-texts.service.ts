import type { Statement } from '../../database/connect.js'
import type { Alias } from '../aliases/aliases.schema.js'
import type { EventData, EventName } from './events.schema.js'

/** Entries that are read at once. */
const maxEntries = 500
/** Who is further behind is told nothing of it: to read everything again is less work than to go through all that happened. */
const maxBehind = 10_000

/**
 * What happened in the project of id `$1` since epoch `$2`, which had token `$3`, null where that is not known. It does not
 * go on from there where the project is behind it, had another token there, or was deleted and made anew since.
 */
export const readEntries: Statement = {
  name: 'read_events',
  text: `
  SELECT json_build_object(
    'project', p.slug, 'epoch', p.epoch::text, 'token', p.epoch_token,
    'goesOn', p.epoch >= $2::bigint AND NOT EXISTS (
      SELECT 1 FROM audit_entries t WHERE t.project = p.slug AND t.epoch = $2::bigint AND t.epoch_token <> $3::uuid),
    'isAnew', EXISTS (
      SELECT 1 FROM audit_entries m WHERE p.epoch - $2::bigint <= ${maxBehind}
        AND m.project = p.slug AND m.epoch > $2::bigint + 1 AND m.action = 'project.create'),
    'entries', (
      SELECT coalesce(json_agg(json_build_object(
        'epoch', e.epoch::text, 'token', e.epoch_token, 'action', e.action, 'target', e.target,
        'at', to_char(e.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'before', CASE WHEN e.action IN ('push', 'source.sync') OR e.action LIKE 'alias.%' THEN e.before END,
        'after', CASE WHEN e.action IN ('push', 'source.sync') OR e.action LIKE 'alias.%' THEN e.after END) ORDER BY e.epoch), '[]')
      FROM (
        SELECT a.* FROM audit_entries a WHERE p.epoch - $2::bigint <= ${maxBehind} AND a.project = p.slug AND a.epoch > $2::bigint
        ORDER BY a.epoch LIMIT ${maxEntries}) e))::text AS answer
  FROM projects p WHERE p.id = $1::bigint`,
}

type Entry = { epoch: string; token: string; target: string; at: string } & (
  | { action: 'push' | 'source.sync'; before: PushedFrom | null; after: Pushed }
  | { action: `alias.${string}`; before: Alias | null; after: Alias }
  | { action: `${'prompt' | 'version' | 'project'}.${string}` | `source.${'create' | 'update' | 'delete'}` }
)
type PushedFrom = { release: string; alias?: { release: string } | null }
type Pushed = {
  release: string
  number: number
  created: number
  /** Whether the push made the release; entries of before did not tell. */
  made?: boolean
  alias?: { name: string; release: string; revision: number | null }
}

export type EntriesRow = {
  project: string
  epoch: string
  token: string
  goesOn: boolean
  isAnew: boolean
  entries: Entry[]
}

/** A change as it is told: its events as they are sent, in their order. */
export type ToldChange = { epoch: number; token: string; texts: string[] }

type Told = [name: EventName, fields: Omit<EventData, 'project' | 'epoch' | 'at'>]

/** One event as it goes over the line. */
export function eventText(id: string, name: EventName, data: EventData): string {
  return `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`
}

export function toChange(project: string, entry: Entry): ToldChange {
  const epoch = Number(entry.epoch)
  const told = eventsOf(entry)
  const texts = told.map(([name, fields], index) => {
    const id = index === told.length - 1 ? entry.epoch : `${entry.epoch}.${index + 1}`
    return eventText(id, name, { project, epoch, at: entry.at, ...fields })
  })
  return { epoch, token: entry.token, texts }
}

const names: Readonly<Record<string, EventName>> = {
  'prompt.update': 'prompt.updated',
  'prompt.archive': 'prompt.archived',
  'version.purge': 'version.purged',
  'version.allow': 'version.allowed',
  'project.create': 'project.created',
  'project.update': 'project.updated',
  'project.delete': 'project.deleted',
}

function eventsOf(entry: Entry): Told[] {
  if (isPush(entry)) return pushEvents(entry)
  if (isOfAlias(entry)) return [aliasEvent(entry)]
  const name = names[entry.action] ?? 'project.changed'
  if (name.startsWith('prompt.')) return [[name, { prompt: entry.target }]]
  // No name of a prompt has a space.
  const [prompt = '', version = ''] = entry.target.split(' ')
  return [[name, name.startsWith('version.') ? { prompt, version } : {}]]
}

type PushEntry = Extract<Entry, { after: Pushed }>
type AliasEntry = Extract<Entry, { before: Alias | null }>

function isPush(entry: Entry): entry is PushEntry {
  return entry.action === 'push' || entry.action === 'source.sync'
}

function isOfAlias(entry: Entry): entry is AliasEntry {
  return entry.action.startsWith('alias.')
}

/** A push, or a sync, makes a release or finds it there already, and may move an alias to it. */
function pushEvents({ before, after }: PushEntry): Told[] {
  const { release, number, alias } = after
  const isMade = after.made ?? (after.created > 0 || before?.release !== release)
  const pushed: Told = [isMade ? 'release.created' : 'release.pushed', { release, number }]
  if (!alias || before?.alias?.release === alias.release) return [pushed]
  const { name, revision } = alias
  return [pushed, ['alias.moved', { alias: name, prompt: null, release: alias.release, version: null, revision, canary: null }]]
}

/** Where the target stays, it is the canary that changed. */
function aliasEvent({ action, before, after }: AliasEntry): Told {
  const { name: alias, prompt, release, version, revision, canary } = after
  const moves = before?.release !== release || before?.version !== version
  const name = action === 'alias.delete' ? 'alias.deleted' : moves ? 'alias.moved' : 'canary.changed'
  const side = canary && { release: canary.release, version: canary.version, percentage: canary.percentage }
  return [name, { alias, prompt, release, version, revision, canary: side }]
}
