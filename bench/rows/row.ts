import type { Result } from '../lib/compare.js'
import type { Scope } from '../lib/scope.js'
import type { Stage } from '../lib/stage.js'
import { type Findings, factor, judge, type Line, milliseconds, perSecond } from '../lib/table.js'

export type Row = {
  /** What `--only` calls it. */
  name: string
  /** Whether it runs when nothing is named. */
  runs: 'always' | 'when named'
  measure(scope: Scope, stage: Stage): Promise<Findings>
}

/** The line of a throughput beside that of the baseline. */
export function throughputLine(what: string, service: Result, baseline: Result, atLeast: number): Line {
  const ratio = service.perSecond / baseline.perSecond
  return judge({
    what,
    service: perSecond(service.perSecond),
    baseline: perSecond(baseline.perSecond),
    ratio: factor(ratio),
    value: ratio,
    must: { atLeast },
    unit: ' ×',
  })
}

/** The line of the 99th percentile beside that of the baseline. */
export function p99Line(what: string, service: Result, baseline: Result, atMost: number): Line {
  const ratio = service.p99Ms / baseline.p99Ms
  return judge({
    what,
    service: milliseconds(service.p99Ms),
    baseline: milliseconds(baseline.p99Ms),
    ratio: factor(ratio),
    value: ratio,
    must: { atMost },
    unit: ' ×',
  })
}
