import type { Load } from './load.js'
import type { Options } from './options.js'
import { median } from './statistics.js'

export type Contestant = {
  name: string
  /** Puts load on it for so long. The first call is the warm-up. */
  load(seconds: number): Promise<Load>
}

/** Medians of all runs. */
export type Result = { perSecond: number; medianMs: number; p99Ms: number; requests: number }

/** Measures several by turns, so that what slows the machine for a while slows all of them. */
export async function takeTurns<Name extends string>(
  contestants: Record<Name, Contestant['load']>,
  { runs, seconds, warmUpSeconds }: Options,
  say: (line: string) => void,
): Promise<Record<Name, Result>> {
  const all = Object.entries(contestants) as [Name, Contestant['load']][]
  for (const [, load] of all) await load(warmUpSeconds)
  const loads = new Map(all.map(([name]) => [name, [] as Load[]]))
  for (let run = 1; run <= runs; run += 1) {
    for (const [name, load] of all) {
      const measured = await load(seconds)
      loads.get(name)?.push(measured)
      say(`  ${run} ${name}: ${Math.round(measured.perSecond)}/s, p99 ${measured.p99Ms.toFixed(2)} ms`)
    }
  }
  return Object.fromEntries(all.map(([name]) => [name, summarize(loads.get(name) ?? [])])) as Record<Name, Result>
}

function summarize(loads: Load[]): Result {
  return {
    perSecond: median(loads.map((load) => load.perSecond)),
    medianMs: median(loads.map((load) => load.medianMs)),
    p99Ms: median(loads.map((load) => load.p99Ms)),
    requests: loads.reduce((sum, load) => sum + load.requests, 0),
  }
}
