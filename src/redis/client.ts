import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { type Address, addressOf } from './addresses.js'
import { isReply, replyCode } from './away.js'

export type Client = Redis | Cluster

type Settings = {
  name: string
  /** The longest that any command waits, those of the handshake included. */
  commandTimeoutMs: number
  /** How long a Cluster waits before it sends a command elsewhere when a node has left; 0 lets the command fail. */
  failoverWaitMs: number
}

const connectTimeoutMs = 1_000
/** How long the other side may take to say goodbye. */
const disconnectTimeoutMs = 100
const slowestRetryMs = 2_000
const readOnlyPauseMs = 10_000
const maxRedirections = 4

/** How long to wait before the n-th attempt to connect. */
export function retryDelay(attempt: number): number {
  return Math.min(attempt * 100, slowestRetryMs)
}

/** What all connections have in common: nothing waits for a server that is away, and nothing is sent twice. */
export function commonOptions(name: string, commandTimeoutMs: number): RedisOptions {
  return {
    connectionName: `promptsync:${name}`,
    disableClientInfo: true,
    // Whether it can be used is found out by asking; the check of ioredis needs a right to INFO, and prints where it has none.
    enableReadyCheck: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    // What is sent in one turn of the event loop goes out in one piece: each would cost as much as all of them.
    enableAutoPipelining: true,
    commandTimeout: commandTimeoutMs,
    connectTimeout: connectTimeoutMs,
    disconnectTimeout: disconnectTimeoutMs,
  }
}

/** A client that connects by itself, and again whenever it must. One address is a server, several are nodes of a Cluster. */
export function createClient(urls: string[], { name, commandTimeoutMs, failoverWaitMs }: Settings): Client {
  const addresses = urls.map(addressOf)
  const options = { ...commonOptions(name, commandTimeoutMs), reconnectOnError: reconnectOnceReadOnly() }
  const [address] = addresses
  if (address && addresses.length === 1) return new Redis({ ...address, ...options, retryStrategy: retryDelay })
  const cluster = new Cluster(addresses, {
    redisOptions: { ...options, ...sharedBy(addresses) },
    enableOfflineQueue: false,
    clusterRetryStrategy: retryDelay,
    maxRedirections,
    retryDelayOnFailover: failoverWaitMs,
    retryDelayOnClusterDown: failoverWaitMs,
    // A name is looked up when it is connected to: certificates are for names, and a name that is unknown is one node less.
    dnsLookup: (host, callback) => callback(null, host),
  })
  cluster.on('+node', (node: Redis) => heedAsking(node))
  return cluster
}

/** A Cluster's client sends ASKING of its own accord and heeds no answer; left alone, a failure of it would end the process. */
function heedAsking(node: Redis): void {
  const send = node.asking.bind(node)
  node.asking = () => {
    const answer = send()
    answer.catch(() => undefined)
    return answer
  }
}

/** What the nodes that a Cluster tells of are asked with, too. */
export function sharedBy([first]: Address[]): Omit<Address, 'host' | 'port' | 'db'> {
  if (!first) return {}
  const { host, port, db, ...shared } = first
  return shared
}

/**
 * After a failover the old master refuses to write, while the name may lead to the new one already. One that stays
 * read-only is left at peace for a while, since every new connection costs the commands under way on the old one.
 */
function reconnectOnceReadOnly(): (error: Error) => boolean {
  let notBefore = 0
  return (error) => {
    if (replyCode(error) !== 'READONLY' || performance.now() < notBefore) return false
    notBefore = performance.now() + readOnlyPauseMs
    return true
  }
}

/**
 * Ends the connections on which nothing comes back, so that new ones are made: of a peer that went without a word the
 * system would believe for many minutes that it is there. To be called when a command had no answer.
 */
export async function dropSilent(client: Client): Promise<void> {
  if (client.status !== 'ready') return
  if (client instanceof Redis) return client.disconnect(true)
  await Promise.all(
    client
      .nodes()
      .filter(({ status }) => status === 'ready')
      .map((node) =>
        node.ping().catch((error: Error) => {
          if (!isReply(error)) node.disconnect()
        }),
      ),
  )
  // Its replica may have taken over.
  if (client.status === 'ready') client.refreshSlotsCache()
}
