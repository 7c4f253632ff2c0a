/** Resolves at the end of the present turn of the event loop. */
export type EndOfTurn = () => Promise<void>

/**
 * Answers that are ready in one turn are best sent together at its end: a client that is woken by each of them alone costs
 * the server more than the answers. All who wait within a turn share one promise.
 */
export function createEndOfTurn(): EndOfTurn {
  let end: Promise<void> | null = null
  return () => {
    end ??= new Promise((resolve) => {
      setImmediate(() => {
        end = null
        resolve()
      })
    })
    return end
  }
}
