import { readFile } from 'node:fs/promises'
import { ask } from './stage.js'

/** The service's own names. */
export const cacheBytesMetric = 'promptsync_cache_bytes'

/** Every sample that an instance shows, by its name and labels as they are written. */
export async function readMetrics(url: string): Promise<Map<string, number>> {
  const { body } = await ask(url, '/metrics')
  const lines = body.matchAll(/^([a-z_]\w*(?:\{.*\})?) (\S+)$/gm)
  return new Map([...lines].map(([, name = '', value]) => [name, Number(value)]))
}

/** The sum over all labels; null where there is no such metric. */
export function sumOf(metrics: Map<string, number>, name: string): number | null {
  const values = [...metrics].filter(([sample]) => sample === name || sample.startsWith(`${name}{`)).map(([, value]) => value)
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0)
}

/** What of the service's own counters rose meanwhile, for a note. Histograms of durations say nothing here. */
export function describeRise(before: Map<string, number>, after: Map<string, number>): string {
  const risen = [...after]
    .filter(([name]) => name.startsWith('promptsync_') && !/^promptsync_http_|_(bucket|sum|bytes|seconds)(\{|$)/.test(name))
    .map(([name, value]) => ({ name, rise: value - (before.get(name) ?? 0) }))
    .filter(({ rise }) => rise > 0)
  return risen.map(({ name, rise }) => `\`${name}\` +${rise}`).join(', ') || 'no counters of the read path'
}

/** Bytes that a process holds in memory. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1')
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024
}

const ticksPerSecond = 100

/** Seconds of processor time that a process has used, all of its threads. */
export async function processorSeconds(pid: number | 'self'): Promise<number> {
  const [, user, system] = await processorTicks(pid)
  return ((user ?? 0) + (system ?? 0)) / ticksPerSecond
}

/** The same of the children of this process that have ended. */
export async function endedChildrenSeconds(): Promise<number> {
  const [, , , user, system] = await processorTicks('self')
  return ((user ?? 0) + (system ?? 0)) / ticksPerSecond
}

/** Fields 13 to 17 of `stat`. The second holds a name in parentheses, which may hold anything. */
async function processorTicks(pid: number | 'self'): Promise<number[]> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields.slice(10, 15).map(Number)
}
