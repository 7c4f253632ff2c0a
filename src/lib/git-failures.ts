import { AppError, type ErrorCode, tryLater } from '../errors.js'
import type { GitResult } from './git-program.js'

/** What was asked. `name` is the address as it may be told. */
export type AskedGit = {
  name: string
  host: string
  port: number
  protocol: 'https' | 'http' | 'ssh'
  /** Whether a token was sent: then nothing that the other side says is repeated. */
  hasToken: boolean
  timeoutMs: number
}

type Explanation = [pattern: RegExp, explain: (asked: AskedGit) => AppError]

const retrySeconds = 60
const maxQuoteLength = 200

/** The error that a run of Git which did not succeed is told by. */
export function explainGitFailure({ end, complaints }: GitResult, asked: AskedGit): AppError {
  const { name, timeoutMs } = asked
  if (end === 'absent') return programIsAbsent('git')
  if (end === 'aborted') return unreachable(`${name} was not asked to the end: the call was stopped.`)
  if (end === 'timeout') return unreachable(`${name} did not answer wholly within ${timeoutMs} ms.`)
  if (end === 'overflow') return tooLarge(asked)
  // These lines are the other side's, who may say anything.
  const own = complaints.replace(/^remote: .*$/gm, '')
  const known = asked.protocol === 'ssh' ? [...atShell, ...everywhere] : [...atWeb, ...everywhere]
  const explanation = known.find(([pattern]) => pattern.test(own))
  return explanation?.[1](asked) ?? unreachable(`Git could not read ${name}. ${quote(own, asked)}`)
}

/** The status that HTTP answered with, as far as Git tells. Pure. */
export function statusOfGit({ end, complaints }: GitResult): number | null {
  if (end === 'done') return 200
  const told = /requested URL returned error: (\d{3})/.exec(complaints)?.[1]
  if (told !== undefined) return Number(told)
  if (isUnauthorized.test(complaints)) return 401
  return isNotFound.test(complaints) ? 404 : null
}

/** Whether the other side does not hand out what was asked for by its hash. Pure. */
export function isRefusedHash({ end, complaints }: GitResult): boolean {
  return (
    end === 'failed' &&
    /not our ref|unadvertised object|does not allow request|couldn't find remote ref|no such remote ref/i.test(complaints)
  )
}

const isUnauthorized = /could not read (Username|Password)|Authentication failed for/
const isNotFound = /^fatal: repository '[^']*' not found/m

const unreachable = (text: string) => tryLater('source.unreachable', text, retrySeconds)

const tooLarge = ({ name }: AskedGit) =>
  new AppError('source.too_large', `${name} sends more than is taken. Take fewer files, or smaller ones.`)

function programIsAbsent(program: string): AppError {
  return unreachable(`The program "${program}" is not installed where the server runs, or not in its PATH. Have it installed.`)
}

function explain(pattern: RegExp, code: ErrorCode, text: (asked: AskedGit) => string): Explanation {
  const isPassing = code === 'source.unreachable' || code === 'source.limited'
  return [pattern, (asked) => (isPassing ? tryLater(code, text(asked), retrySeconds) : new AppError(code, text(asked)))]
}

const atWeb: Explanation[] = [
  explain(isUnauthorized, 'source.denied', ({ name, hasToken }) =>
    hasToken
      ? `${name} refuses the token. Check \`token\` and \`username\`, and what the token may read.`
      : `${name} is private, or not there. Give a \`token\` that may read it, or check the address.`,
  ),
  explain(
    /returned error: (401|403)\b/,
    'source.denied',
    ({ name }) => `${name} refuses access. Check what the \`token\` may read.`,
  ),
  explain(
    isNotFound,
    'source.missing',
    ({ name }) => `There is no repository at ${name}, or it is private. Check the address, or give a \`token\` that may read it.`,
  ),
  explain(
    /returned error: 3\d\d/,
    'source.blocked',
    ({ name }) => `${name} redirects, which is not followed. Give the last address; many hosts want it to end in ".git".`,
  ),
  explain(/returned error: 429/, 'source.limited', ({ name }) => `${name} limits our calls. Try again later.`),
  explain(
    /returned error: 5\d\d/,
    'source.unreachable',
    ({ name }) => `${name} answers with an error of its own. Try again later.`,
  ),
  explain(/returned error: 4\d\d/, 'source.invalid', ({ name }) => `${name} refuses the request. Check the address.`),
  explain(
    /certificate has expired|certificate is expired/i,
    'source.invalid',
    ({ name }) => `The certificate of ${name} has expired. Have it renewed.`,
  ),
  explain(
    /certificate subject name|subjectAltName|alternative certificate subject|owner does not match/i,
    'source.invalid',
    ({ name }) => `The certificate of ${name} is of another name. Give the name that it is of, or have it corrected.`,
  ),
  explain(
    /certificate/i,
    'source.invalid',
    ({ name }) => `The certificate of ${name} is not trusted here, or has expired. Have it renewed or corrected.`,
  ),
  explain(
    /gnutls_handshake|SSL_connect|SSL routines|TLS (packet|connect)|ssl handshake/i,
    'source.invalid',
    ({ name }) => `${name} does not speak TLS as it should. Check scheme and port.`,
  ),
  explain(
    /dumb http|is this a git repository|invalid server response/i,
    'source.invalid',
    ({ name }) => `${name} does not answer as a Git server does. Check the address.`,
  ),
]

const atShell: Explanation[] = [
  [/cannot run ssh|ssh: (command )?not found|exec: ssh/i, () => programIsAbsent('ssh')],
  explain(
    /Host key verification failed|IDENTIFICATION HAS CHANGED|No matching host key/i,
    'source.invalid',
    ({ host, port }) =>
      `The host key of "${host}" is not among \`hostKeys\`. If it is the right host, give the lines that ${scanCommand(host, port)} prints.`,
  ),
  explain(
    /error in libcrypto|invalid format|incorrect passphrase|bad permissions|Load key/i,
    'source.denied',
    () => 'The `sshKey` cannot be used. Give a private key as OpenSSH writes it, whole and without a passphrase.',
  ),
  explain(
    /Permission denied|Too many authentication failures/i,
    'source.denied',
    ({ name }) => `${name} refuses the key. Check that the public half of \`sshKey\` may read the repository.`,
  ),
  explain(
    /repository not found|not a git repository|does not appear to be a git|does not exist|could not be found/i,
    'source.missing',
    ({ name }) => `There is no repository at ${name}, or the key may not read it. Check the address and the key.`,
  ),
  explain(/Connection refused/i, 'source.unreachable', ({ name }) => `${name} refuses connections.`),
]

const everywhere: Explanation[] = [
  explain(
    /fsck error/i,
    'source.invalid',
    ({ name }) => `${name} holds what Git refuses as broken. \`git fsck\` says there what it is.`,
  ),
  [/File too large|maximum allowed size/i, tooLarge],
  explain(
    /out of memory|mmap failed|cannot allocate|unable to create thread|malloc|died of signal (6|9|11)/i,
    'source.too_large',
    ({ name }) => `${name} unfolds to more than is taken. Keep such large files elsewhere.`,
  ),
  explain(/No space left/i, 'source.unreachable', () => 'There is no room left for what is fetched. Have some made.'),
  explain(
    /Could not resolve host/i,
    'source.unreachable',
    ({ host }) => `The host "${host}" is not known. Check how it is spelled.`,
  ),
  explain(
    /Failed to connect|Couldn't connect|Connection refused|No route to host|unreachable/i,
    'source.unreachable',
    ({ name }) => `${name} refuses connections, or cannot be reached from here.`,
  ),
  explain(
    /too slow|timed out|timeout/i,
    'source.unreachable',
    ({ name }) => `${name} does not answer in time, or stopped in the middle.`,
  ),
  explain(
    /early EOF|Empty reply|outstanding read data|Recv failure|Connection (was )?(reset|closed)|hung up|unexpected disconnect|RPC failed|unexpected EOF|Broken pipe|Could not read from remote|invalid index-pack output|flush packet|truncated/i,
    'source.unreachable',
    ({ name }) => `${name} broke the connection before its answer was whole.`,
  ),
  explain(
    /protocol error|bad line length|expected 'packfile'|bad pack header|pack signature|packet|corrupt|inflate/i,
    'source.invalid',
    ({ name }) => `${name} does not answer as a Git server does. Check the address.`,
  ),
]

const scanCommand = (host: string, port: number) => `\`ssh-keyscan ${port === 22 ? '' : `-p ${port} `}${host}\``

/** The last that Git complained of. The other side may have a part in it, so that it is not told where it knows a token. */
function quote(complaints: string, { hasToken }: AskedGit): string {
  if (hasToken) return 'Check the address, and try again.'
  const lines = complaints.split(/[\r\n]+/).filter((line) => /^(fatal|error): /.test(line))
  const text = (lines.at(-1) ?? '').replace(/[^\x20-\x7e]/g, ' ').slice(0, maxQuoteLength)
  return text === '' ? 'It did not say why.' : `It says: "${text}"`
}
