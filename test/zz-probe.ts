import pg from 'pg'
import { connectPostgres } from '../src/database/connect.js'
import { migrate } from '../src/database/migrate.js'
const serverUrl = process.env.TEST_DATABASE_URL!
const n = Number(process.argv[2])
const name = 'probe_x' + n
const s = new pg.Client({ connectionString: serverUrl }); await s.connect(); await s.query(`CREATE DATABASE ${name}`)
const url = new URL(serverUrl); url.pathname = '/' + name
const cs = await Promise.all(Array.from({ length: n }, () => connectPostgres(url.href)))
const show = async () => {
  const { rows } = await s.query(`select pid, state, wait_event_type, wait_event, left(query, 200) q, now()-xact_start as x, pg_blocking_pids(pid) b from pg_stat_activity where datname=$1`, [name])
  for (const r of rows) console.log(JSON.stringify(r))
}
const timer = setTimeout(async () => { await show(); process.exit(1) }, 8000)
console.time('m')
console.log(await Promise.all(cs.map((c) => migrate(c).then((r) => { console.timeLog('m', r); return r }))))
clearTimeout(timer)
for (const c of cs) await c.close()
console.log('after close'); await show()
await s.end()
