/** Whether something outside answers, as far as the last attempt tells. */
export type Availability = {
  isAway(): boolean
  succeeded(): void
  failed(): void
  /** How often it went away. */
  losses(): number
  /** Calls back once it is away for so long, unless that was taken back; answers how to. */
  onLoss(afterMs: number, listener: () => void): () => void
}

/** While it is away nobody but a prober asks it, so that no read waits for it. `onChange` hears of each change. */
export function createAvailability(onChange: (state: 'away' | 'back') => void = () => undefined): Availability {
  let isAway = false
  let losses = 0
  const listeners = new Set<() => void>()
  return {
    isAway: () => isAway,
    succeeded() {
      if (isAway) onChange('back')
      isAway = false
    },
    failed() {
      if (isAway) return
      isAway = true
      losses += 1
      onChange('away')
      for (const listener of [...listeners]) listener()
    },
    losses: () => losses,
    onLoss(afterMs, listener) {
      let timer: NodeJS.Timeout | undefined
      const begin = () => {
        clearTimeout(timer)
        timer = setTimeout(() => isAway && listener(), afterMs)
        timer.unref()
      }
      listeners.add(begin)
      if (isAway) begin()
      return () => {
        listeners.delete(begin)
        clearTimeout(timer)
      }
    },
  }
}
