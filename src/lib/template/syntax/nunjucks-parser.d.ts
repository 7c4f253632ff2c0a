// nunjucks ships no types. These describe what is used of its parser, not the rest of the package: importing `nunjucks` itself
// would load its compiler, which runs what it is given.

declare module 'nunjucks/src/parser.js' {
  /** Positions count from 0. */
  export type Token = { type: string; value: string; lineno: number; colno: number }

  export interface TokenSource {
    /** Null at the end, however often it is called there. */
    nextToken(): Token | null
    readonly tags: {
      readonly VARIABLE_START: string
      readonly VARIABLE_END: string
      readonly COMMENT_START: string
      readonly COMMENT_END: string
    }
  }

  /** `Node` is what the class that extends it makes of the parts that this one leaves to it. */
  class Parser<Node> {
    constructor(tokens: TokenSource)
    peekToken(): Token | null
    nextToken(): Token | null
    /** Puts back the token that was read last; only one at a time. */
    pushToken(token: Token | null): void
    skip(type: string): boolean
    skipValue(type: string, value: string): boolean
    skipSymbol(name: string): boolean
    advanceAfterBlockEnd(tagName?: string): Token
    parseAsRoot(): Node
    parseUntilBlocks(...names: string[]): Node
    parseStatement(): Node | null
    parseExpression(): Node
    parseIf(): Node
    parseFor(): Node
    parseSet(): Node
    parseMacro(): Node
    parseCall(): Node
    parseBlock(): Node
    parseFilterStatement(): Node
  }

  const parser: { readonly Parser: typeof Parser }
  export default parser
}
