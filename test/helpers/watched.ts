import type { Connection } from '../../src/database/connect.js'
import type { Deps } from '../../src/deps.js'

/** What a test sees of an instance's database, and what it does to it. */
export type Watched = {
  connection: Connection
  /** The statements of the read path so far, by name, but for those of the background check. */
  reads(): string[]
  /** How often the client of writes was used. */
  clientUses(): number
  forget(): void
  /** From now on no read of the database is answered, until it is given back. */
  takeAway(): void
  giveBack(): void
  /** Keeps the answer of the next such statement from coming in: `reached` tells that it was given. */
  holdNext(statement: string): { reached: Promise<void>; release(): void }
}

const background = new Set(['read_epochs', 'read_identity'])

/** The same database, seen and disturbed for one instance alone. */
export function watched(base: Connection): Watched {
  let reads: string[] = []
  let clientUses = 0
  let isAway = false
  const held = new Map<string, { reach(): void; released: Promise<void> }>()
  const client = new Proxy(base.client, {
    get(target, property) {
      clientUses += 1
      const value = Reflect.get(target, property) as unknown
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  const read: Connection['read'] = async (statement, values, timeoutMs) => {
    if (!background.has(statement.name)) reads.push(statement.name)
    if (isAway) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    const answer = await base.read(statement, values, timeoutMs)
    const hold = held.get(statement.name)
    held.delete(statement.name)
    hold?.reach()
    await hold?.released
    return answer
  }
  return {
    connection: { ...base, client, read },
    reads: () => reads,
    clientUses: () => clientUses,
    forget() {
      reads = []
      clientUses = 0
    },
    takeAway: () => {
      isAway = true
    },
    giveBack: () => {
      isAway = false
    },
    holdNext(statement) {
      const [reached, released] = [createSignal(), createSignal()]
      held.set(statement, { reach: reached.give, released: released.given })
      return { reached: reached.given, release: released.give }
    },
  }
}

function createSignal(): { given: Promise<void>; give(): void } {
  let give: () => void = () => undefined
  const given = new Promise<void>((resolve) => {
    give = resolve
  })
  return { given, give }
}

/** Whether any text that is kept in memory to answer reads contains this one. */
export function remembers({ cache }: Pick<Deps, 'cache'>, text: string): boolean {
  return [...cache.entries.values()].some((entry) => holdsText(entry, text))
}

function holdsText(value: unknown, text: string): boolean {
  if (Buffer.isBuffer(value)) return value.includes(text)
  if (typeof value === 'string') return value.includes(text)
  if (value === null || typeof value !== 'object' || value instanceof Map) return false
  return Object.values(value).some((part) => holdsText(part, text))
}
