/** What went wrong before the server could say so: the codes of the client itself, beside those of the server. */
export type ClientErrorCode =
  /** Nobody answers there. */
  | 'client.unreachable'
  | 'client.timeout'
  /** Something answered that is not promptsync: another service, or a proxy's own page. */
  | 'client.not_promptsync'
  | 'client.redirected'
  | 'client.aborted'
  /** The folder of plans cannot be used; prompts are served without it. */
  | 'client.cache'
  /** A fault of the client itself. */
  | 'client.failed'
  /** What was asked of the client itself cannot be done. */
  | 'client.invalid'

export type ProblemFinding = { path: string; message: string }

type Details = {
  /** The HTTP status; null where there was no answer of the server. */
  status: number | null
  requestId?: string | undefined
  /** What is wrong where, of an invalid request. */
  errors?: ProblemFinding[] | undefined
  /** After how many seconds the server asks to try again; null where it does not say. */
  retryAfterSeconds?: number | null
  cause?: unknown
}

/**
 * What a call ended with. `code` is stable (`prompt.not_found`; see docs/errors.md, and `ClientErrorCode` for what the server
 * never got to say), `message` names the thing and the remedy.
 */
export class PromptsyncError extends Error {
  override readonly name = 'PromptsyncError'
  readonly status: number | null
  readonly requestId: string | null
  readonly errors: readonly ProblemFinding[]
  readonly retryAfterSeconds: number | null

  constructor(
    readonly code: string,
    message: string,
    { status, requestId, errors, retryAfterSeconds, cause }: Details,
  ) {
    super(message, cause === undefined ? undefined : { cause })
    this.status = status
    this.requestId = requestId ?? null
    this.errors = errors ?? []
    this.retryAfterSeconds = retryAfterSeconds ?? null
  }

  /** Whether the same call may succeed later: nobody answered, or the server asked to try again. */
  get isTemporary(): boolean {
    const { code, status } = this
    return ['client.unreachable', 'client.timeout'].includes(code) || (status !== null && (status === 429 || status >= 500))
  }
}
