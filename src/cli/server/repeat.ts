import { setTimeout as delay } from 'node:timers/promises'
import { PromptsyncError } from '../../client/problem.js'
import type { Context } from '../context.js'

const maxAttempts = 5
const maxWaitSeconds = 30

/**
 * Does a call that may be repeated again where the server is busy or away for a moment (429, 503), after the time that it asks for:
 * at most five times in all. Throws what the last one threw.
 */
export async function whileBusy<T>(context: Context, call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call()
    } catch (error) {
      if (!isBusy(error) || attempt === maxAttempts) throw error
      const seconds = Math.min(error.retryAfterSeconds ?? attempt, maxWaitSeconds)
      context.output.note(`${error.message} Trying again in ${seconds} s (${attempt} of ${maxAttempts - 1}).`)
      await delay(seconds * 1_000, undefined, { signal: context.signal })
    }
  }
}

/** Only the server itself says so: a proxy's page may stand for anything. */
function isBusy(error: unknown): error is PromptsyncError {
  return error instanceof PromptsyncError && (error.status === 429 || error.status === 503) && !error.code.startsWith('client.')
}
