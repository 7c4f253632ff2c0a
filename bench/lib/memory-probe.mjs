// Loaded into an instance before it starts. Collects garbage on SIGWINCH, which means nothing else to a service, and writes
// what is left, in bytes, to descriptor 3.
import { writeSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc')

process.on('SIGWINCH', () => {
  collectGarbage()
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  writeSync(3, `${heapUsed + external}\n`)
})
