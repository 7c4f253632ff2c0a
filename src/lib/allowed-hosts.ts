import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** Private or loopback places that may be reached all the same, plain `http` included. */
export type AllowedHosts = {
  /** Whether `host` (a name or an address, without brackets) may be reached at this port whatever its address is. */
  allows(host: string, port: number): boolean
}

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

/** Whether an address is one of the public internet. Pure. */
export function isPublicAddress(address: string): boolean {
  const parsed = ipaddr.process(address)
  return parsed.range() === 'unicast'
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
