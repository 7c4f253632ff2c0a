import fc from 'fast-check'
import t from 'tap'
import { createDurationSeries, durationBounds, histogramSamples } from '../../src/lib/durations.js'
import { runs } from '../helpers/runs.js'

t.test('a histogram counts each observation in every bucket whose bound it does not exceed', async (t) => {
  const seconds = fc.oneof(fc.double({ min: 0, max: 20, noNaN: true }), fc.constantFrom(...durationBounds))
  fc.assert(
    fc.property(fc.array(seconds, { maxLength: 40 }), (observed) => {
      const series = createDurationSeries({ status: '200' }, durationBounds)
      for (const one of observed) series.observe(one)
      const samples = histogramSamples('took', [series], durationBounds)
      const buckets = samples.filter(({ metricName }) => metricName === 'took_bucket')
      t.equal(buckets.length, durationBounds.length + 1)
      for (const { labels, value } of buckets) {
        const bound = labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le)
        t.equal(value, observed.filter((one) => one <= bound).length)
        t.equal(labels.status, '200')
      }
      const total = (name: string) => samples.find(({ metricName }) => metricName === name)?.value
      t.equal(total('took_count'), observed.length)
      t.equal(
        total('took_sum'),
        observed.reduce((sum, one) => sum + one, 0),
      )
    }),
    { numRuns: runs(100) },
  )
})

t.test('series are told apart by their labels, and no series make no samples', async (t) => {
  const all = ['200', '304'].map((status) => createDurationSeries({ status }, [1]))
  all[0]?.observe(0.5)
  const counts = histogramSamples('took', all, [1]).filter(({ metricName }) => metricName === 'took_count')
  t.strictSame(
    counts.map(({ labels, value }) => [labels.status, value]),
    [
      ['200', 1],
      ['304', 0],
    ],
  )
  t.strictSame(histogramSamples('took', [], [1]), [])
})
