// The cost of large pushes: `node bench/push.mjs URL KEY [PID]` against a running server, the process id for its memory.
// Prints seconds, megabytes and, where DATABASE_URL names the server's database, bytes added a push.
import { readFileSync } from 'node:fs'
import pg from 'pg'

const [url, key, pid] = process.argv.slice(2)
if (!url || !key) {
  process.stderr.write('usage: node bench/push.mjs URL KEY [PID]\n')
  process.exit(1)
}
const promptCount = 10_000
const smallPushes = 100
const words =
  'You are a careful assistant for {{ company_name }} and you answer {{ customer_name }} about {{ issue }} in plain words. '

function prompts(changed = new Map()) {
  return Array.from({ length: promptCount }, (_, index) => ({
    name: `bench/prompt-${index}`,
    title: `Prompt ${index}`,
    content: `# ${index} ${changed.get(index) ?? ''}\n${words.repeat(21)}{% if tone %}Be {{ tone }}.{% endif %}\n${(index * 7919).toString(36).repeat(12)}`,
    config: { model: 'gpt-4o', temperature: 0.2 },
  }))
}

async function push(body) {
  const text = JSON.stringify(body)
  const started = performance.now()
  const response = await fetch(`${url}/prompts?project=bench`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: text,
  })
  const answer = await response.json()
  if (!response.ok) throw new Error(JSON.stringify(answer))
  return { status: response.status, seconds: (performance.now() - started) / 1000, megabytes: text.length / 1e6, answer }
}

const memory = () =>
  pid ? ` peak RSS ${Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024)} MB` : ''

async function databaseSize() {
  if (!process.env.DATABASE_URL) return null
  const client = new pg.Client({ connectionString: process.env.DATABASE_URL })
  await client.connect()
  const { rows } = await client.query('SELECT pg_database_size(current_database()) AS size')
  await client.end()
  return Number(rows[0].size)
}

await fetch(`${url}/projects`, {
  method: 'POST',
  headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
  body: JSON.stringify({ slug: 'bench' }),
})
const first = await push({ alias: 'production', prompts: prompts() })
console.log(
  `push of ${promptCount} prompts (${first.megabytes.toFixed(1)} MB): ${first.seconds.toFixed(2)} s, ${first.status}${memory()}`,
)
const again = await push({ alias: 'production', prompts: prompts() })
console.log(`the same again: ${again.seconds.toFixed(2)} s, ${again.status}${memory()}`)
const before = await databaseSize()
const started = performance.now()
for (let index = 0; index < smallPushes; index += 1) {
  await push({ alias: 'production', prompts: [{ ...prompts(new Map([[index, 'changed']]))[index] }] })
}
const after = await databaseSize()
const milliseconds = (performance.now() - started) / smallPushes
console.log(
  `${smallPushes} pushes of one changed prompt: ${milliseconds.toFixed(0)} ms each, ${before === null ? '' : `${Math.round((after - before) / smallPushes / 1000)} kB each in the database`}`,
)
