import type { Token, TokenSource } from 'nunjucks/src/parser.js'
import type { Position } from '../template-error.js'

export class TokenStream implements TokenSource {
  // The parser looks into tags for whitespace control, which the scan has done.
  readonly tags = { VARIABLE_START: '{{', VARIABLE_END: '}}', COMMENT_START: '{#', COMMENT_END: '#}' }
  readonly #tokens: Token[]
  #next = 0
  /** Of the last token that was read, and of the tag it is in or behind. */
  position: Position = { lineno: 0, colno: 0 }
  tagPosition: Position = { lineno: 0, colno: 0 }

  constructor(tokens: Token[]) {
    this.#tokens = tokens
  }

  nextToken(): Token | null {
    const token = this.#tokens[this.#next]
    if (!token) return null
    this.#next += 1
    this.position = token
    if (token.type === 'block-start') this.tagPosition = token
    return token
  }

  /** What `nextToken` will give, without reading it. */
  upcoming(): Token | undefined {
    return this.#tokens[this.#next]
  }
}
