import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Scope } from './scope.js'

export const connections = 32
const answerTimeoutSeconds = 10
/** Beyond its time the generator has this long to stop. */
const stopTimeoutMs = 30_000
export const bucketMs = 100

/** The requests of one run. In the path `{n}` stands for a number, and `{group}` for the number of the group it is in. */
export type Requests = {
  method?: 'GET' | 'POST'
  path: string
  headers?: Record<string, string>
  body?: string
  /** How many numbers there are: each comes once before the first comes again. One where the path has none. */
  count?: number
  /** How many were asked for before; see `Load.next`. */
  from?: number
  /** How far apart the numbers are; one by default. */
  step?: number
  groupSize?: number
  /** Answers such as 404 are what is asked for. */
  refusals?: 'fail' | 'expected'
}

export type Load = {
  requests: number
  perSecond: number
  medianMs: number
  p99Ms: number
  /** Where the next run goes on. */
  next: number
  /** How many requests were sent in each `bucketMs` since the Unix epoch; see `runBucketed`. */
  buckets: Map<number, number>
}

export type LoadGenerator = {
  run(url: string, requests: Requests, seconds: number): Promise<Load>
  /** The same, and counts by time, which costs the generator a little. */
  runBucketed(url: string, requests: Requests, seconds: number): Promise<Load>
}

/** wrk with one thread. Throws where it is not installed. */
export async function createLoadGenerator(scope: Scope): Promise<LoadGenerator> {
  if (spawnSync('wrk', ['-v']).error) throw new Error('The load generator wrk is not installed: apt-get install wrk.')
  const directory = await mkdtemp(join(tmpdir(), 'promptsync-bench-'))
  scope.teardown(() => rm(directory, { recursive: true, force: true }))
  const running = new Set<ChildProcess>()
  scope.teardown(() => {
    for (const child of running) child.kill('SIGKILL')
  })
  const script = join(directory, 'requests.lua')
  const start = async (url: string, requests: Requests, seconds: number, counting: string) => {
    await writeFile(script, toScript(new URL(url).host, requests, counting))
    const load = await runScript(running, url, script, seconds)
    if (load.requests === 0) throw new Error(`No request of ${requests.path} was answered in ${seconds} s.`)
    if (requests.refusals !== 'expected' && load.refused > 0) {
      throw new Error(`${load.refused} of ${load.requests} requests of ${requests.path} were refused.`)
    }
    if (load.broken > 0) throw new Error(`${load.broken} connections broke or timed out under ${requests.path}.`)
    return load
  }
  return {
    run: (url, requests, seconds) => start(url, requests, seconds, ''),
    runBucketed: (url, requests, seconds) => start(url, requests, seconds, countByTime),
  }
}

/** A load whose every run goes on where the one before ended, so that what is asked for was asked for long ago, if ever. */
export function goingOn({ run }: LoadGenerator, url: string, requests: Requests): (seconds: number) => Promise<Load> {
  let from = 0
  return async (seconds) => {
    const load = await run(url, { ...requests, from }, seconds)
    from = load.next
    return load
  }
}

type Report = {
  requests: number
  microseconds: number
  medianMicroseconds: number
  p99Microseconds: number
  refused: number
  broken: number
  next: number
  buckets: [number, number][]
}

async function runScript(running: Set<ChildProcess>, url: string, script: string, seconds: number) {
  const options = ['--threads', '1', '--connections', String(connections), '--timeout', `${answerTimeoutSeconds}s`]
  const args = ['--pdeathsig=KILL', 'wrk', ...options, '--duration', `${seconds}s`, '--script', script, url]
  const child = spawn('setpriv', args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: seconds * 1_000 + stopTimeoutMs })
  running.add(child)
  let output = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  child.stderr.on('data', (chunk) => (output += chunk))
  const [code] = await once(child, 'close')
  running.delete(child)
  const line = /^REPORT (.*)$/m.exec(output)?.[1]
  if (code !== 0 || line === undefined) throw new Error(`wrk ended with ${code}: ${output}`)
  const report = JSON.parse(line) as Report
  return {
    requests: report.requests,
    perSecond: report.requests / (report.microseconds / 1e6),
    medianMs: report.medianMicroseconds / 1_000,
    p99Ms: report.p99Microseconds / 1_000,
    refused: report.refused,
    broken: report.broken,
    next: report.next,
    buckets: new Map(report.buckets),
  }
}

/** Counted as a request is made, which is when the answer before it was complete. */
const countByTime = `
local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds; long microseconds; } time_value; int gettimeofday(time_value *value, void *zone);")
local clock = ffi.new("time_value")
function count_by_time()
  ffi.C.gettimeofday(clock, nil)
  local bucket = math.floor((tonumber(clock.seconds) * 1000 + tonumber(clock.microseconds) / 1000) / ${bucketMs})
  buckets[bucket] = (buckets[bucket] or 0) + 1
end`

/**
 * Numbers come in an order that looks like none, so that neighbours of a request are not neighbours in a database. The
 * generator calls \`request\` once before the run, to look at what it makes.
 */
function toScript(
  host: string,
  { count = 1, from = 0, step = 1, groupSize = 1, ...requests }: Requests,
  counting: string,
): string {
  return `
next = ${from}
buckets = {}
${counting}
function request()
  local n = (next * ${strideOf(count)}) % ${count} * ${step}
  local group = math.floor(n / ${groupSize})
  next = next + 1
  ${counting === '' ? '' : 'count_by_time()'}
  return ${toExpression(host, requests)}
end
local thread
function setup(started) thread = started end
function done(summary, latency)
  local counted = {}
  for bucket, count in pairs(thread:get("buckets")) do counted[#counted + 1] = string.format("[%d,%d]", bucket, count) end
  local errors = summary.errors
  io.write(string.format(
    'REPORT {"requests":%d,"microseconds":%d,"medianMicroseconds":%d,"p99Microseconds":%d,"refused":%d,"broken":%d,"next":%d,"buckets":[%s]}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, thread:get("next"), table.concat(counted, ",")))
end
`
}

/** A step of about 0.618 of the count, without a common divisor, visits every number once. */
function strideOf(count: number): number {
  const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b))
  let stride = Math.max(1, Math.round(count * 0.618))
  while (divisor(count, stride) !== 1) stride += 1
  return stride
}

/** The bytes of a request as an expression of Lua, whose strings are written as those of JSON are where all is ASCII. */
function toExpression(host: string, { method = 'GET', path, headers = {}, body = '' }: Requests): string {
  const length = body === '' ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  const fields = Object.entries({ host, ...headers, ...length }).map(([name, value]) => `${name}: ${value}\r\n`)
  const text = `${method} ${path} HTTP/1.1\r\n${fields.join('')}\r\n${body}`
  if (Buffer.byteLength(text) !== text.length) throw new Error('Requests of the benchmark must be ASCII.')
  const parts = text.split(/\{(n|group)\}/)
  return parts.map((part, index) => (index % 2 === 1 ? part : JSON.stringify(part))).join(' .. ')
}
