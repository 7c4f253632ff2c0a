import { fileURLToPath } from 'node:url'
import { startRedis } from '../../test/faults/helpers/redis-server.js'
import { fillCatalogue, projectOf, promptOf } from '../lib/catalogue.js'
import { cacheBytesMetric, describeRise, readMetrics, residentBytes, sumOf } from '../lib/metrics.js'
import { makeDatabase, makeReadKey, startInstance } from '../lib/stage.js'
import { inform, judge, type Line, megabytes, percent } from '../lib/table.js'
import type { Row } from './row.js'

const names = 1_000_000
/** The others are unknown. */
const knownNames = 100_000
const boundBytes = 128 * 1024 ** 2
const pieceSeconds = 5
/** A service that takes longer has not been scanned, and the table says how far it came. */
const patienceMs = 10 * 60_000
const answerTimeoutMs = 30_000
const tolerance = 1.2
const probe = fileURLToPath(new URL('../lib/memory-probe.mjs', import.meta.url))

export const scan: Row = {
  name: 'scan',
  runs: 'always',
  async measure(scope, stage) {
    const databaseUrl = await makeDatabase(scope, stage, 'scan')
    const session = await stage.postgres.connect('scan')
    await fillCatalogue(session, { projects: 1, promptsPerProject: knownNames, versionsPerPrompt: 1 })
    const { url: redisUrl } = await startRedis(scope)
    const marks = createMarks()
    const env = { PROMPTSYNC_CACHE_BYTES: String(boundBytes) }
    const options = { databaseUrl, redisUrl, env, preload: [probe], onMark: marks.onMark }
    const { url, pid } = await startInstance(scope, stage, options)
    const headers = { authorization: `Bearer ${await makeReadKey(url, projectOf(0))}` }
    const measureHeld = () => {
      const next = marks.next()
      process.kill(pid, 'SIGWINCH')
      return next
    }

    // Few names, again and again, so that what the code itself takes is there before the first measurement.
    const requests = { path: `/prompts/${promptOf('{n}')}/production`, headers }
    await stage.load.run(url, { ...requests, count: 100 }, stage.options.warmUpSeconds)
    const heldBefore = await measureHeld()
    const before = await readMetrics(url)
    const { sent, residents, gauges } = await scanAll()
    const rise = describeRise(before, await readMetrics(url))
    const grown = (await measureHeld()) - heldBefore
    return {
      lines: [
        judge({
          what: `memory: names that were scanned within ${patienceMs / 60_000} minutes`,
          service: sent.toLocaleString('en'),
          value: sent,
          must: { atLeast: names },
        }),
        judge({
          what: `memory: growth of an instance with an L1 of ${megabytes(boundBytes)} by the scan`,
          service: megabytes(grown),
          ratio: percent(grown / boundBytes),
          value: grown / boundBytes,
          must: { atMost: tolerance },
          unit: ' ×',
        }),
        gaugeLine(gauges),
        inform({ what: 'memory: RSS during the scan, at most', service: megabytes(Math.max(...residents)) }),
      ],
      notes: [
        `scan: ${sent.toLocaleString('en')} distinct names, ${knownNames.toLocaleString('en')} of them known; growth is of what is left ` +
          `after a collection of garbage; RSS every ${pieceSeconds} s: ${residents.map(megabytes).join(', ')}; ${rise}.`,
      ],
    }

    async function scanAll() {
      const found = { sent: 0, residents: [] as number[], gauges: [] as number[] }
      const deadline = performance.now() + patienceMs
      while (found.sent < names && performance.now() < deadline) {
        const asked = { ...requests, count: names, from: found.sent, refusals: 'expected' as const }
        const { next, perSecond } = await stage.load.run(url, asked, pieceSeconds)
        found.sent = Math.min(names, next)
        found.residents.push(await residentBytes(pid))
        const gauge = sumOf(await readMetrics(url), cacheBytesMetric)
        if (gauge !== null) found.gauges.push(gauge)
        stage.say(
          `  ${found.sent} names, ${Math.round(perSecond)}/s, RSS ${megabytes(found.residents.at(-1) ?? 0)}, L1 ${gauge ?? '?'} bytes`,
        )
      }
      return found
    }
  },
}

function gaugeLine(gauges: number[]): Line {
  const what = 'memory: L1 by its own gauge, at most'
  if (gauges.length === 0) return inform({ what, service: `no metric ${cacheBytesMetric}` })
  const most = Math.max(...gauges)
  const ratio = percent(most / boundBytes)
  return judge({ what, service: megabytes(most), ratio, value: most / boundBytes, must: { atMost: tolerance }, unit: ' ×' })
}

/** The numbers that the probe writes, one for each time it is asked. */
function createMarks() {
  let text = ''
  let waiting: ((bytes: number) => void) | null = null
  return {
    onMark(chunk: string) {
      text += chunk
      const [line, rest] = text.split('\n', 2)
      if (rest === undefined) return
      text = ''
      waiting?.(Number(line))
    },
    next: () =>
      new Promise<number>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error('The instance did not tell its memory.')), answerTimeoutMs)
        waiting = (bytes) => {
          clearTimeout(timer)
          resolve(bytes)
        }
      }),
  }
}
