import type { Service } from './service.js'

/** Reads one sample of `/metrics`: `promptsync_reads_total{level="memory"}` say, with labels as they stand there. */
export type Metrics = (sample: string) => number

/** What an instance tells of itself now. A sample that is not there is NaN, which equals nothing. */
export async function readMetrics(instance: Pick<Service, 'call'>): Promise<Metrics> {
  const { text } = await instance.call('/metrics', { key: null })
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  const values = new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  )
  return (sample) => values.get(sample) ?? Number.NaN
}
