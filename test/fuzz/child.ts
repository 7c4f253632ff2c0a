import { writeSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import fc, { type RunDetails } from 'fast-check'
import { readSeeds } from './corpus.js'
import { checkCase } from './properties.js'
import { PrototypeWatch } from './prototypes.js'
import { caseSources, type FuzzCase, type SourceName } from './sources.js'

// Started by fuzz.ts, which reads what it writes to descriptor 3: each case, before it is tried. A case that ends the process or
// never ends is known from there.
//   node … child.ts SECONDS SEED

const seconds = Number(process.argv[2])
const firstSeed = Number(process.argv[3])
const casesOfBatch = 100
const order: readonly SourceName[] = ['grammar', 'mutation', 'grammar', 'tokens']
const shrinkMs = 30_000
/** What the heap may grow by, from after the first batches to the end. */
const maxGrowthBytes = 48 * 1024 ** 2

const say = (line: string) => process.stdout.write(`${line}\n`)

const seeds = readSeeds(process.env.FUZZ_CORPUS)
const sources = caseSources(seeds)
const watch = new PrototypeWatch()
const counts = new Map<string, number>()

function count(name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

let notes = 0

/** The position is always that of the start: only the newest case is of interest. Before it are its number and its length. */
function note(one: FuzzCase): void {
  notes += 1
  const bytes = Buffer.from(JSON.stringify(one))
  const header = Buffer.alloc(8)
  header.writeUInt32LE(notes % 2 ** 32)
  header.writeUInt32LE(bytes.length, 4)
  writeSync(3, Buffer.concat([header, bytes]), 0, header.length + bytes.length, 0)
}

function tryOne(one: FuzzCase, name: SourceName): void {
  note(one)
  count(`${name} ${checkCase(one, watch)}`)
}

function runBatch(batch: number): RunDetails<[FuzzCase]> {
  const seed = firstSeed + batch
  const name = order[Math.abs(seed) % order.length] as SourceName
  const property = fc.property(sources[name], (one) => tryOne(one, name))
  return fc.check(property, { seed, numRuns: casesOfBatch, interruptAfterTimeLimit: shrinkMs, markInterruptAsFailure: false })
}

function report({ seed, counterexamplePath, counterexample, errorInstance, numShrinks }: RunDetails<[FuzzCase]>): void {
  const [one] = counterexample ?? []
  say(`FAILED: ${errorInstance instanceof Error ? errorInstance.message : String(errorInstance)}`)
  say(`template: ${JSON.stringify(one?.source)}`)
  say(`parts: ${JSON.stringify(one?.parts)}`)
  say(`variables: ${one?.variables}`)
  say(`shrunk ${numShrinks} times, path ${counterexamplePath}; again with FUZZ_SEED=${seed}`)
}

function heapBytes(): number {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

function run(): boolean {
  const end = performance.now() + seconds * 1000
  let heapAtStart = 0
  let batch = 0
  do {
    const details = runBatch(batch)
    if (details.failed) {
      report(details)
      return false
    }
    const changes = watch.changes()
    if (changes.length > 0) {
      say(`FAILED: within 100 cases of FUZZ_SEED=${details.seed} this was changed: ${changes.join(', ')}`)
      return false
    }
    batch += 1
    if (batch === 2 * order.length) heapAtStart = heapBytes()
  } while (performance.now() < end)
  return checkMemory(heapAtStart, batch)
}

function checkMemory(heapAtStart: number, batches: number): boolean {
  const growth = heapAtStart === 0 ? 0 : heapBytes() - heapAtStart
  const megabytes = (growth / 1024 ** 2).toFixed(1)
  const ends = Array.from(counts, ([name, number]) => `${name} ${number}`)
    .sort()
    .join(', ')
  say(`${batches} batches from ${seeds.length} seeds: ${ends}; the heap grew by ${megabytes} MB`)
  if (growth <= maxGrowthBytes) return true
  say('FAILED: the heap grows.')
  return false
}

process.exitCode = run() ? 0 : 1
