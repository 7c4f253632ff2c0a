export type Heartbeat = {
  /** Beats now rather than at the next turn. */
  beatNow(): void
  stop(): void
}

/** Runs `beat` so often, never two at once. It must not reject. The process may end between two beats. */
export function startHeartbeat(everyMs: number, beat: () => Promise<void>): Heartbeat {
  let isBeating = false
  const beatNow = async () => {
    if (isBeating) return
    isBeating = true
    try {
      await beat()
    } finally {
      isBeating = false
    }
  }
  const timer = setInterval(beatNow, everyMs).unref()
  return { beatNow, stop: () => clearInterval(timer) }
}
