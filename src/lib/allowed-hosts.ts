import { type LookupAddress, lookup as systemLookup } from 'node:dns'
import { isIP } from 'node:net'
import { promisify } from 'node:util'
import ipaddr from 'ipaddr.js'
import { AppError, tryLater } from '../errors.js'
import { within } from './within.js'

/** Private or loopback places that may be reached all the same, plain `http` included. */
export type AllowedHosts = {
  /** Whether `host` (a name or an address, without brackets) may be reached at this port whatever its address is. */
  allows(host: string, port: number): boolean
}

/** Gives all addresses of a name, as `dns.lookup` does. */
export type Resolve = (host: string) => Promise<LookupAddress[]>

const lookup = promisify(systemLookup)
const resolveBySystem: Resolve = (host) => lookup(host, { all: true })

/** The addresses of the internet that are handed out for use; what is outside of them has a meaning of its own. */
const globalUnicast = ipaddr.parseCIDR('2000::/3') as [ipaddr.IPv6, number]
/** Elsewhere gateways of NAT64 keep the address of IPv4 in other places. */
const nat64 = ipaddr.parseCIDR('64:ff9b::/96') as [ipaddr.IPv6, number]

const maxAddresses = 16

/** From entries `host` or `host:port`; addresses of IPv6 with a port stand in brackets. */
export function createAllowedHosts(entries: readonly string[]): AllowedHosts {
  const allowed = new Set(entries.map((entry) => normalizeEntry(entry)))
  return {
    allows: (host, port) => {
      const name = normalizeHost(host)
      return allowed.has(name) || allowed.has(`${name} ${port}`)
    },
  }
}

/** For requests that nothing is opened to. */
export const noAllowedHosts: AllowedHosts = { allows: () => false }

/** Whether an address is one of the public internet, and leads to no other: what is wrapped in it is looked at too. Pure. */
export function isPublicAddress(address: string): boolean {
  if (!isIP(address)) return false
  const parsed = unwrap(ipaddr.process(address))
  if (parsed.range() !== 'unicast') return false
  return parsed.kind() === 'ipv4' || (parsed as ipaddr.IPv6).match(globalUnicast)
}

/**
 * The addresses of a host that may be connected to, at most 16. Whoever connects takes one of these and does not ask again:
 * the next answer may be another. Rejects with an `AppError` where there is none or the host is not known, and with the
 * reason of the signal when that is aborted.
 */
export async function findAllowedAddresses(
  allowedHosts: AllowedHosts,
  { host, port, signal }: { host: string; port: number; signal: AbortSignal },
  resolve: Resolve = resolveBySystem,
): Promise<LookupAddress[]> {
  const bare = host.replace(/^\[|\]$/g, '')
  const family = isIP(bare)
  const found = family ? [{ address: bare, family }] : await within(signal, () => resolveHost(bare, resolve))
  const usable = allowedHosts.allows(bare, port) ? found : found.filter(({ address }) => isPublicAddress(address))
  if (usable.length > 0) return usable.slice(0, maxAddresses)
  throw new AppError(
    'source.blocked',
    `"${bare}" leads to an address that is not public. Use a public one, or have "${bare}" added to \`PROMPTSYNC_ALLOWED_HOSTS\`.`,
  )
}

async function resolveHost(host: string, resolve: Resolve): Promise<LookupAddress[]> {
  try {
    const found = await resolve(host)
    if (found.length > 0) return found
  } catch (error) {
    throw tryLater(
      'source.unreachable',
      `The host "${host}" is not known. Check how it is spelled, and the name server.`,
      60,
      error,
    )
  }
  throw tryLater('source.unreachable', `The host "${host}" has no address. Check how it is spelled.`, 60)
}

/** An address of IPv4 that a gateway is asked for by NAT64 or 6to4 is where the packets end. */
function unwrap(address: ipaddr.IPv4 | ipaddr.IPv6): ipaddr.IPv4 | ipaddr.IPv6 {
  if (address instanceof ipaddr.IPv4) return address
  const bytes = address.toByteArray()
  if (address.match(nat64)) return new ipaddr.IPv4(bytes.slice(12))
  return address.range() === '6to4' ? new ipaddr.IPv4(bytes.slice(2, 6)) : address
}

function normalizeEntry(entry: string): string {
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(entry)
  const [, host = entry, port] = bracketed ?? (isIP(entry) ? [] : (/^([^:]+):(\d+)$/.exec(entry) ?? []))
  return port === undefined ? normalizeHost(host) : `${normalizeHost(host)} ${Number(port)}`
}

function normalizeHost(host: string): string {
  const bare = host
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase()
  return isIP(bare) ? ipaddr.process(bare).toNormalizedString() : bare
}
