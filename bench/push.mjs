// The cost of storing: `DATABASE_URL=… node bench/push.mjs URL KEY PID` against a server of its own on real Postgres.
// Prints seconds, the server's peak memory, bytes a push adds to the database, and look-ups after 1,000 releases beside
// a bare look-up by primary key on the same connection.
import { readFileSync } from 'node:fs'
import pg from 'pg'

const [url, key, pid] = process.argv.slice(2)
if (!url || !key || !pid || !process.env.DATABASE_URL) {
  process.stderr.write('usage: DATABASE_URL=… node bench/push.mjs URL KEY PID\n')
  process.exit(1)
}
const promptCount = 10_000
const measuredPushes = 100
const releaseCount = 1_000
const lookups = 2_000
const words =
  'You are a careful assistant for {{ company_name }} and you answer {{ customer_name }} about {{ issue }} in plain words. '

function makePrompt(index, change = '') {
  return {
    name: `bench/prompt-${index}`,
    title: `Prompt ${index}`,
    content: `# ${index} ${change}\n${words.repeat(21)}{% if tone %}Be {{ tone }}.{% endif %}\n${(index * 7919).toString(36).repeat(12)}`,
    config: { model: 'gpt-4o', temperature: 0.2 },
  }
}

async function post(path, body) {
  const text = JSON.stringify(body)
  const started = performance.now()
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: text,
  })
  const answer = await response.text()
  if (!response.ok) throw new Error(answer)
  return { status: response.status, seconds: (performance.now() - started) / 1000, megabytes: text.length / 1e6 }
}

const push = (prompts) => post('/prompts?project=bench', { alias: 'production', prompts })
const peakMegabytes = () => Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024)
const say = (line) => process.stdout.write(`${line}\n`)

const client = new pg.Client({ connectionString: process.env.DATABASE_URL })
await client.connect()
const databaseBytes = async () => Number((await client.query('SELECT pg_database_size(current_database()) AS size')).rows[0].size)

await post('/projects', { slug: 'bench' })
const all = Array.from({ length: promptCount }, (_, index) => makePrompt(index))
const first = await push(all)
say(
  `push of ${promptCount} prompts, ${first.megabytes.toFixed(1)} MB: ${first.seconds.toFixed(2)} s (${first.status}), peak RSS ${peakMegabytes()} MB`,
)
const again = await push(all)
say(`the same again: ${again.seconds.toFixed(2)} s (${again.status}), peak RSS ${peakMegabytes()} MB`)

const before = await databaseBytes()
const started = performance.now()
for (let index = 0; index < measuredPushes; index += 1) {
  all[index] = makePrompt(index, 'changed')
  await push([all[index]])
}
const milliseconds = (performance.now() - started) / measuredPushes
const kilobytes = ((await databaseBytes()) - before) / measuredPushes / 1000
say(
  `${measuredPushes} pushes of one changed prompt: ${milliseconds.toFixed(0)} ms each, ${kilobytes.toFixed(1)} kB each in the database`,
)
const later = await push(all)
say(
  `all of them again, unchanged, after ${measuredPushes + 1} releases: ${later.seconds.toFixed(2)} s (${later.status}), peak RSS ${peakMegabytes()} MB`,
)

for (let number = measuredPushes + 1; number < releaseCount; number += 1) {
  const index = (number * 37) % promptCount
  await push([makePrompt(index, `change ${number}`)])
}
await measureLookups()
await client.end()

async function measureLookups() {
  const { rows: releases } = await client.query('SELECT id, lineage FROM releases ORDER BY id')
  const { rows: prompts } = await client.query('SELECT id FROM prompts ORDER BY id')
  const { rows: versions } = await client.query('SELECT id FROM versions LIMIT 5000')
  const lookup = {
    name: 'lookup',
    text: 'SELECT version_id FROM release_entries WHERE prompt_id = $1 AND release_id = ANY($2) ORDER BY release_id DESC LIMIT 1',
  }
  const bare = { name: 'bare', text: 'SELECT id FROM versions WHERE id = $1' }
  const found = []
  const direct = []
  for (let round = 0; round < lookups; round += 1) {
    const release = releases[(round * 613) % releases.length]
    const prompt = prompts[(round * 7919) % prompts.length]
    found.push(await time({ ...lookup, values: [prompt.id, release.lineage] }))
    direct.push(await time({ ...bare, values: [versions[round % versions.length].id] }))
  }
  const { rows } = await client.query(`EXPLAIN (ANALYZE, FORMAT JSON) ${lookup.text}`, [prompts[77].id, releases.at(-1).lineage])
  const [median, p99] = quantiles(found)
  const [bareMedian, bareP99] = quantiles(direct)
  say(
    `look-up of (release, name) after ${releases.length} releases: median ${median} ms, p99 ${p99} ms; in the server ${rows[0]['QUERY PLAN'][0]['Execution Time']} ms`,
  )
  say(`a bare primary key look-up beside it: median ${bareMedian} ms, p99 ${bareP99} ms`)
}

async function time(query) {
  const at = performance.now()
  await client.query(query)
  return performance.now() - at
}

function quantiles(values) {
  const sorted = values.sort((a, b) => a - b)
  return [0.5, 0.99].map((share) => sorted[Math.floor(sorted.length * share)].toFixed(3))
}
