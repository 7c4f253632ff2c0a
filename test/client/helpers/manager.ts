import type { PromptManagerOptions } from '../../../src/client/options.js'
import type { Clock } from '../../../src/client/platform.js'
import { PromptManager } from '../../../src/client/prompt-manager.js'
import type { Teardown } from '../../helpers/service.js'

/** Clocks that tests move by hand: both, or that of the system alone, as when somebody sets it. */
export type HandClock = Clock & { advance(ms: number): void; jump(ms: number): void }

export function handClock(): HandClock {
  let [systemMs, monotonicMs] = [Date.now(), 1_000_000]
  return {
    now: () => systemMs,
    monotonic: () => monotonicMs,
    random: () => 0.5,
    advance(ms) {
      systemMs += ms
      monotonicMs += ms
    },
    jump(ms) {
      systemMs += ms
    },
  }
}

export type Sent = { method: string; path: string; etag: string | null; status: number | null }

/** `fetch` that notes what is sent, and the status of its answer. */
export function noting(): { fetch: typeof globalThis.fetch; sent: Sent[] } {
  const sent: Sent[] = []
  const noted: typeof globalThis.fetch = async (input, init) => {
    const { pathname } = new URL(String(input))
    const etag = new Headers(init?.headers).get('if-none-match')
    const note: Sent = { method: init?.method ?? 'GET', path: pathname, etag, status: null }
    sent.push(note)
    const response = await fetch(input, init)
    note.status = response.status
    return response
  }
  return { fetch: noted, sent }
}

/** A manager that is closed at the end; without polls, unless a test asks for them. */
export function createManager(t: Teardown, options: PromptManagerOptions, clock?: Clock): PromptManager {
  const manager = new PromptManager({ refreshIntervalMs: 0, ...options }, clock)
  t.teardown(() => manager.close())
  return manager
}
