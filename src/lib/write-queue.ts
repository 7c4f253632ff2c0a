/** Lets writers of one project run one after the other, and few at once in all, so that readers keep connections. */
export type WriteQueue = {
  /** Rejects with `QueueFull` when too many are waiting already. */
  run<T>(project: string, work: () => Promise<T>): Promise<T>
}

export class QueueFull extends Error {}

type Limits = { concurrent: number; waiting: number }

/**
 * Transactions that wait for one row each hold a connection while they do. Here they wait before they take one:
 * in turn within a project, and `concurrent` at a time over all projects.
 */
export function createWriteQueue({ concurrent, waiting }: Limits): WriteQueue {
  const tails = new Map<string, Promise<unknown>>()
  const ready: (() => void)[] = []
  let running = 0
  let queued = 0

  async function takeSlot(): Promise<void> {
    if (running < concurrent) running += 1
    else await new Promise<void>((resolve) => ready.push(resolve))
  }

  function freeSlot(): void {
    const next = ready.shift()
    if (next) next()
    else running -= 1
  }

  async function runInSlot<T>(work: () => Promise<T>): Promise<T> {
    await takeSlot()
    try {
      return await work()
    } finally {
      freeSlot()
    }
  }

  return {
    async run(project, work) {
      if (queued >= waiting) throw new QueueFull(`${waiting} writes are waiting already.`)
      queued += 1
      const before = tails.get(project) ?? Promise.resolve()
      const turn = before.then(() => runInSlot(work))
      const tail = turn.then(
        () => undefined,
        () => undefined,
      )
      tails.set(project, tail)
      try {
        return await turn
      } finally {
        queued -= 1
        if (tails.get(project) === tail) tails.delete(project)
      }
    },
  }
}
