/** A request to the outside: `url` is absolute, http or https. */
export type OutboundRequest = {
  method?: 'GET' | 'HEAD' | 'POST'
  /** Fields that hold credentials are named in `credentials` as well, and do not follow a redirect to another origin. */
  headers?: Record<string, string>
  credentials?: Record<string, string>
  body?: string
  /** All of it: connecting, redirects and the body. */
  timeoutMs: number
  /** A larger body is refused as soon as that is seen. */
  maxBytes: number
  signal: AbortSignal
  /** How many redirects are followed, each checked like the first; 5 by default. */
  maxRedirects?: number
}

export type OutboundAnswer = {
  /** Where the answer came from, after redirects. */
  url: string
  status: number
  /** Names in lower case; of a field that comes several times the values are joined by `, `. */
  headers: Record<string, string>
  /** Whole: a body that was cut off is an error. */
  body: Buffer
}

/** Sends requests to public addresses, and to those that are allowed. Rejects with `AppError`s of the codes `source.*`. */
export type Outbound = {
  send(url: string, request: OutboundRequest): Promise<OutboundAnswer>
  close(): Promise<void>
}
