/** How often something took how long, in buckets as Prometheus has them. */
export type DurationSeries = { readonly labels: Record<string, string>; observe(seconds: number): void; counts(): SeriesCounts }
type SeriesCounts = { buckets: Float64Array; sumSeconds: number; count: number }

/** Upper bounds in seconds: from what is in memory to what has almost been given up on. */
export const durationBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const

/** The same for syncs of sources: from one that finds nothing new to one that has all its time. */
export const syncDurationBounds = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120] as const

/** A series of its own for one set of labels. `bounds` are upper bounds in seconds, rising. An observation makes no garbage. */
export function createDurationSeries(labels: Record<string, string>, bounds: readonly number[]): DurationSeries {
  const buckets = new Float64Array(bounds.length + 1)
  let sumSeconds = 0
  let count = 0
  return {
    labels,
    observe(seconds) {
      let index = 0
      while (index < bounds.length && seconds > (bounds[index] as number)) index += 1
      buckets[index] = (buckets[index] as number) + 1
      sumSeconds += seconds
      count += 1
    },
    counts: () => ({ buckets, sumSeconds, count }),
  }
}

/** Series of one histogram, each made when its labels first come. There are as few as there are values of the labels. */
export type DurationFamily = {
  readonly bounds: readonly number[]
  of(labels: Record<string, string>): DurationSeries
  all(): Iterable<DurationSeries>
}

export function createDurationFamily(bounds: readonly number[]): DurationFamily {
  const series = new Map<string, DurationSeries>()
  return {
    bounds,
    of(labels) {
      const key = Object.values(labels).join(' ')
      const known = series.get(key)
      if (known) return known
      const made = createDurationSeries(labels, bounds)
      series.set(key, made)
      return made
    },
    all: () => series.values(),
  }
}

export type Sample = { metricName: string; labels: Record<string, string | number>; value: number }

/** The samples of some series as a histogram of that name. */
export function histogramSamples(name: string, series: Iterable<DurationSeries>, bounds: readonly number[]): Sample[] {
  const samples: Sample[] = []
  for (const { labels, counts } of series) {
    const { buckets, sumSeconds, count } = counts()
    let below = 0
    for (const [index, bound] of [...bounds, '+Inf' as const].entries()) {
      below += buckets[index] ?? 0
      samples.push({ metricName: `${name}_bucket`, labels: { le: bound, ...labels }, value: below })
    }
    samples.push({ metricName: `${name}_sum`, labels, value: sumSeconds })
    samples.push({ metricName: `${name}_count`, labels, value: count })
  }
  return samples
}
