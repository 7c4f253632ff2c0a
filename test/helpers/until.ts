import { setTimeout as delay } from 'node:timers/promises'

const pollMs = 5

/** Asks again and again until it is so; rejects when that has not come in time. */
export async function until(what: string, timeoutMs: number, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`After ${timeoutMs} ms it was not so that ${what}.`)
    await delay(pollMs)
  }
}
