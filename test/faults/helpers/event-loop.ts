import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Teardown } from '../../helpers/service.js'

const resolutionMs = 5
/** Once for this process, and as much for the servers that it asks. */
const processes = 2

export type Lateness = {
  /** How much later than on a quiet machine an answer may have come, in milliseconds. */
  allowanceMs(): number
  /** From now on only what comes counts. */
  restart(): void
}

/**
 * Watches how long this process had to wait for a processor. Instances and those who ask them share it here, so that on a
 * busy machine all that they measure is late by as much.
 */
export function watchLateness(t: Teardown): Lateness {
  const delays = monitorEventLoopDelay({ resolution: resolutionMs })
  delays.enable()
  t.teardown(() => delays.disable())
  const restart = () => delays.reset()
  return { restart, allowanceMs: () => processes * Math.max(0, delays.max / 1e6 - resolutionMs) }
}
