/** Whether something outside answers, as far as the last attempt tells. */
export type Availability = {
  isAway(): boolean
  succeeded(): void
  failed(): void
  /** How often it went away. */
  losses(): number
}

/** While it is away nobody but a prober asks it, so that no read waits for it. `onChange` hears of each change. */
export function createAvailability(onChange: (state: 'away' | 'back') => void = () => undefined): Availability {
  let isAway = false
  let losses = 0
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
    },
    losses: () => losses,
  }
}
