/** No turn came in time, or too many wait for one already. */
export class NoTurn extends Error {}

/** Who goes first where several wait: what keeps all that is held current, what one read waits to have confirmed, the rest. */
const ranks = ['watch', 'confirmation', 'load'] as const
export type Rank = (typeof ranks)[number]

export type Lanes = {
  /** Runs `work` when its turn comes. Rejects with what it rejects with, or with `NoTurn`. */
  run<T>(rank: Rank, work: () => Promise<T>): Promise<T>
}

type Limits = { concurrent: number; waiting: number; timeoutMs: number }

/** So many run at once; of each rank so many wait, each for so long. */
export function createLanes({ concurrent, waiting, timeoutMs }: Limits): Lanes {
  const lanes: Record<Rank, Set<() => void>> = { watch: new Set(), confirmation: new Set(), load: new Set() }
  let running = 0

  function waitFor(lane: Set<() => void>): Promise<void> {
    if (lane.size >= waiting) return Promise.reject(new NoTurn(`${waiting} reads of the database are waiting already.`))
    return new Promise((resolve, reject) => {
      const begin = () => {
        clearTimeout(giveUp)
        lane.delete(begin)
        resolve()
      }
      const giveUp = setTimeout(() => {
        lane.delete(begin)
        reject(new NoTurn(`For ${timeoutMs} ms all connections were busy.`))
      }, timeoutMs)
      lane.add(begin)
    })
  }

  async function takeTurn(rank: Rank): Promise<void> {
    if (running < concurrent) running += 1
    else await waitFor(lanes[rank])
  }

  /** Whoever goes next takes the place of who has ended. */
  function passOn(): void {
    const lane = ranks.map((rank) => lanes[rank]).find(({ size }) => size > 0)
    const [next] = lane ?? []
    if (next) next()
    else running -= 1
  }

  return {
    async run(rank, work) {
      await takeTurn(rank)
      try {
        return await work()
      } finally {
        passOn()
      }
    },
  }
}
