/** Where a repository is. No part of it holds a secret, and none begins with `-`. */
export type GitAddress = {
  protocol: 'https' | 'http' | 'ssh'
  /** The login name of ssh. */
  user: string | null
  /** A name, or an address without brackets. */
  host: string
  port: number
  /** Begins with `/`, but for a path of ssh that is below the home directory of the user. */
  path: string
}

const defaultPorts = { https: 443, http: 80, ssh: 22 } as const
const spellings = 'Give it as https://host/path, ssh://git@host/path or git@host:path.'
const hostPattern = /^(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.?$/
const userPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/

/** Reads the spellings that Git knows, as far as they lead to another host; or says what is wrong with one. Pure. */
export function readGitAddress(text: string): GitAddress | { problem: string } {
  // Control characters and blanks are read differently by different programs; no host needs them unencoded.
  if (/[\s\p{Cc}\\]/u.test(text)) return { problem: 'The address holds blanks, backslashes or control characters. Encode them.' }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase()
  if (scheme === 'https' || scheme === 'http') return readWebAddress(text, scheme)
  if (scheme === 'ssh') return readShellAddress(text)
  if (scheme !== undefined || /^[a-z0-9]*::/i.test(text))
    return { problem: `This kind of address is not supported. ${spellings}` }
  return readShortAddress(text)
}

/** As it is shown, stored and given to Git: without credentials, and the same for all spellings of a web address. Pure. */
export function formatGitAddress({ protocol, user, host, port, path }: GitAddress): string {
  if (!path.startsWith('/')) return `${user}@${inBrackets(host)}:${path}`
  const login = user === null ? '' : `${user}@`
  return `${protocol}://${login}${formatHost({ protocol, host, port })}${path}`
}

/** What credentials are meant for: scheme, host, and the port where it is not the usual one. Pure. */
export function formatGitTarget(address: Pick<GitAddress, 'protocol' | 'host' | 'port'>): string {
  return `${address.protocol}://${formatHost(address)}`
}

function formatHost({ protocol, host, port }: Pick<GitAddress, 'protocol' | 'host' | 'port'>): string {
  return port === defaultPorts[protocol] ? inBrackets(host) : `${inBrackets(host)}:${port}`
}

const inBrackets = (host: string) => (host.includes(':') ? `[${host}]` : host)

function readWebAddress(text: string, protocol: 'https' | 'http'): GitAddress | { problem: string } {
  const url = URL.canParse(text) ? new URL(text) : null
  if (!url) return { problem: `The address cannot be read. ${spellings}` }
  // A user alone may be a token as well.
  if (url.username || url.password) {
    return {
      problem: 'The address holds a user or a password. Leave them out: give the password as `token`, the user as `username`.',
    }
  }
  if (/[?#]/.test(text)) return { problem: 'The address holds `?` or `#`. Leave the query out; give a branch as `ref`.' }
  const path = url.pathname.replace(/\/+$/, '')
  if (path === '') return { problem: `The address names a host, but no repository. ${spellings}` }
  const port = url.port === '' ? defaultPorts[protocol] : Number(url.port)
  return withHost(url.hostname, { protocol, user: null, port, path })
}

function readShellAddress(text: string): GitAddress | { problem: string } {
  const parts = /^ssh:\/\/(?:([^/@]*)@)?(\[[^\]/]*\]|[^/:@[\]]+)(?::(\d{1,5}))?(\/.+)$/i.exec(text)
  if (!parts) return { problem: `The address cannot be read. ${spellings}` }
  const [, user = 'git', host = '', port = '22', path = ''] = parts
  return withUser(user, (login) => withHost(host, { protocol: 'ssh', user: login, port: Number(port), path }))
}

function readShortAddress(text: string): GitAddress | { problem: string } {
  const parts = /^(?:([^/@]*)@)?(\[[^\]/]*\]|[^/:@[\]]+):(.+)$/.exec(text)
  if (!parts) return { problem: `The address cannot be read. ${spellings}` }
  const [, user = 'git', host = '', path = ''] = parts
  return withUser(user, (login) => withHost(host, { protocol: 'ssh', user: login, port: 22, path }))
}

function withUser(user: string, read: (user: string) => GitAddress | { problem: string }): GitAddress | { problem: string } {
  if (user.includes(':')) return { problem: 'The address holds a password. Leave it out: ssh takes a key, as `sshKey`.' }
  return userPattern.test(user) ? read(user) : { problem: 'The user of the address cannot be one of ssh.' }
}

function withHost(text: string, rest: Omit<GitAddress, 'host'>): GitAddress | { problem: string } {
  const host = text
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase()
  const isHost = text.startsWith('[') ? /^[0-9a-f:.]+$/.test(host) : hostPattern.test(text)
  if (!isHost) return { problem: 'The host of the address is no name and no address.' }
  if (rest.port < 1 || rest.port > 65_535) return { problem: 'The port of the address is not one of 1 to 65535.' }
  if (rest.path.startsWith('-')) return { problem: 'The path of the address begins with `-`.' }
  return { ...rest, host }
}
