/** Nothing came in time. */
export class Late extends Error {}

/** Settles as the work does, and rejects with `Late` when that takes longer. */
export function within<T>(work: Promise<T>, limitMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    // Timers that fell due while this process was busy fire before it reads what has arrived meanwhile. One more turn
    // lets the answer through, or every long pause of our own would look like a failure of Redis.
    const giveUp = () => setImmediate(() => reject(new Late(`no answer within ${limitMs} ms`)))
    const timer = setTimeout(giveUp, limitMs).unref()
    work.then(
      (value) => {
        clearTimeout(timer)
        resolve(value)
      },
      (error) => {
        clearTimeout(timer)
        reject(error)
      },
    )
  })
}

/** Whether an answer did not come in time, by our limit or by that of ioredis. */
export function isLate(error: unknown): boolean {
  return error instanceof Late || (error instanceof Error && error.message === 'Command timed out')
}
