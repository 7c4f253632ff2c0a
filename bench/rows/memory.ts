import { readMetrics, residentBytes, sumOf } from '../lib/metrics.js'
import { median } from '../lib/statistics.js'
import { inform, judge, megabytes, percent } from '../lib/table.js'
import type { Row } from './row.js'
import { startTypicalService, subjects, typicalPath } from './typical.js'

const sampleSeconds = 10
/** RSS at the end may exceed that of the first third by so much. */
const tolerance = 1.1

export const memory: Row = {
  name: 'memory',
  runs: 'when named',
  async measure(scope, stage) {
    const { instance, authorization } = await startTypicalService(scope, stage, 'memory')
    const requests = { path: typicalPath('{n}'), headers: { authorization }, count: subjects }
    const samples: number[] = []
    const rates: number[] = []
    for (let second = 0; second < stage.options.minutes * 60; second += sampleSeconds) {
      const { perSecond } = await stage.load.run(instance.url, requests, sampleSeconds)
      samples.push(await residentBytes(instance.pid))
      rates.push(perSecond)
      stage.say(`  ${second + sampleSeconds} s: RSS ${megabytes(samples.at(-1) ?? 0)}, ${Math.round(perSecond)}/s`)
    }
    // The first sixth is left out: until then code is compiled and the heap finds its size.
    const sixth = Math.ceil(samples.length / 6)
    const early = median(samples.slice(sixth, 3 * sixth))
    const late = median(samples.slice(-2 * sixth))
    const heap = sumOf(await readMetrics(instance.url), 'nodejs_heap_size_used_bytes')
    return {
      lines: [
        judge({
          what: `memory: RSS in the last third of ${stage.options.minutes} minutes at full load, beside the first`,
          service: megabytes(late),
          baseline: megabytes(early),
          ratio: percent(late / early),
          value: late / early,
          must: { atMost: tolerance },
          unit: ' ×',
        }),
        inform({ what: 'memory: RSS at full load, at most', service: megabytes(Math.max(...samples)) }),
      ],
      notes: [
        `memory: ${Math.round(median(rates)).toLocaleString('en')}/s; RSS every ${sampleSeconds} s: ${samples.map(megabytes).join(', ')}; ` +
          `heap at the end ${megabytes(heap ?? 0)}.`,
      ],
    }
  },
}
