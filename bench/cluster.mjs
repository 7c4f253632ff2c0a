// Serves by several processes on one port, as node's cluster does it: `node cluster.mjs MAIN COUNT`. The environment is
// that of the service. Prints where they listen once all of them do.
import cluster from 'node:cluster'

const [exec, count] = process.argv.slice(2)
cluster.setupPrimary({ exec, args: ['serve'], silent: true })
const workers = Array.from({ length: Number(count) }, () => cluster.fork())
let listening = 0
cluster.on('listening', (_worker, { address, port }) => {
  listening += 1
  if (listening === workers.length)
    process.stdout.write(`http://${address}:${port}\n${workers.map(({ process: { pid } }) => pid)}\n`)
})
cluster.on('exit', (_worker, code) => process.exit(code || 1))
for (const { process: worker } of workers) worker.stderr.pipe(process.stderr)
