import { readFile } from 'node:fs/promises'
import { until } from '../../helpers/until.js'

const pauseMs = 5_000

/** Stops a process where it is, and resolves when it has stopped: a signal needs a moment to arrive. */
export async function pauseProcess(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP')
  await until(`process ${pid} is stopped`, pauseMs, async () => {
    const status = await readFile(`/proc/${pid}/stat`, 'latin1')
    // The state follows the name, which may hold anything. A child that had ended just before is a zombie.
    return /^[TZ]/.test(status.slice(status.lastIndexOf(')') + 2))
  })
}
