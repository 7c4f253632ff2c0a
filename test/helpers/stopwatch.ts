/**
 * Starts to measure work, and gives a function that tells the milliseconds it has taken: by the clock or in processor time of this
 * process, whichever is less. Others use the machine as well, and what they use of it says nothing about the work.
 */
export function stopwatch(): () => number {
  const [startedAt, used] = [performance.now(), process.cpuUsage()]
  return () => {
    const { user, system } = process.cpuUsage(used)
    return Math.min(performance.now() - startedAt, (user + system) / 1_000)
  }
}
