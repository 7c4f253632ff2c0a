// nunjucks ships no types. These describe its parser and the nodes a parsed prompt may hold, not the rest of the package:
// importing `nunjucks` itself would load its compiler, which runs what it is given.

declare module 'nunjucks/src/nodes.js' {
  /** Both count from 0. */
  interface Located<Name extends string> {
    readonly typename: Name
    readonly lineno: number
    readonly colno: number
  }
  interface ListNode<Name extends string, Child = AnyNode> extends Located<Name> {
    readonly children: Child[]
  }
  interface BinaryNode<Name extends string> extends Located<Name> {
    readonly left: AnyNode
    readonly right: AnyNode
  }
  interface UnaryNode<Name extends string> extends Located<Name> {
    readonly target: AnyNode
  }

  export interface SymbolNode extends Located<'Symbol'> {
    readonly value: string
  }
  interface LiteralNode extends Located<'Literal'> {
    readonly value: string | number | boolean | null
  }
  interface TemplateDataNode extends Located<'TemplateData'> {
    readonly value: string
  }
  export interface PairNode extends Located<'Pair'> {
    readonly key: AnyNode
    readonly value: AnyNode
  }
  interface LookupValNode extends Located<'LookupVal'> {
    readonly target: AnyNode
    /** Absent in `x[]`. */
    readonly val: AnyNode | null | undefined
  }
  export interface ConditionalNode<Name extends 'If' | 'InlineIf'> extends Located<Name> {
    readonly cond: AnyNode
    readonly body: AnyNode
    readonly else_: AnyNode | null
  }
  export interface ForNode extends Located<'For'> {
    readonly arr: AnyNode
    readonly name: AnyNode
    readonly body: AnyNode
    readonly else_: AnyNode | null
  }
  /** A `Caller` is the body of a `call` block, an argument named `caller` of the macro it calls. */
  export interface MacroNode<Name extends 'Macro' | 'Caller'> extends Located<Name> {
    readonly name: AnyNode
    readonly args: AnyNode
    readonly body: AnyNode
  }
  export interface CallNode<Name extends 'FunCall' | 'Filter'> extends Located<Name> {
    readonly name: AnyNode
    readonly args: AnyNode
  }
  interface BlockNode extends Located<'Block'> {
    readonly name: AnyNode
    readonly body: AnyNode
  }
  interface SetNode extends Located<'Set'> {
    readonly targets: AnyNode[]
    readonly value: AnyNode | null
    /** The text of `{% set x %}…{% endset %}`, which has no value. */
    readonly body?: AnyNode
  }
  interface CaptureNode extends Located<'Capture'> {
    readonly body: AnyNode
  }
  interface CompareNode extends Located<'Compare'> {
    readonly expr: AnyNode
    readonly ops: CompareOperandNode[]
  }
  interface CompareOperandNode extends Located<'CompareOperand'> {
    readonly expr: AnyNode
    readonly type: string
  }

  export type AnyNode =
    | ListNode<'Root'>
    | ListNode<'NodeList'>
    | ListNode<'Output'>
    | ListNode<'Group'>
    | ListNode<'Array'>
    | ListNode<'Dict', PairNode>
    | ListNode<'KeywordArgs', PairNode>
    | PairNode
    | SymbolNode
    | LiteralNode
    | TemplateDataNode
    | LookupValNode
    | CallNode<'FunCall'>
    | CallNode<'Filter'>
    | ConditionalNode<'If'>
    | ConditionalNode<'InlineIf'>
    | ForNode
    | MacroNode<'Macro'>
    | MacroNode<'Caller'>
    | BlockNode
    | SetNode
    | CaptureNode
    | CompareNode
    | CompareOperandNode
    | UnaryNode<'Not'>
    | UnaryNode<'Neg'>
    | UnaryNode<'Pos'>
    | BinaryNode<'And'>
    | BinaryNode<'Or'>
    | BinaryNode<'In'>
    | BinaryNode<'Is'>
    | BinaryNode<'Add'>
    | BinaryNode<'Sub'>
    | BinaryNode<'Mul'>
    | BinaryNode<'Div'>
    | BinaryNode<'FloorDiv'>
    | BinaryNode<'Mod'>
    | BinaryNode<'Pow'>
    | BinaryNode<'Concat'>
}

declare module 'nunjucks/src/parser.js' {
  import type { AnyNode } from 'nunjucks/src/nodes.js'

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

  class Parser {
    constructor(tokens: TokenSource)
    peekToken(): Token | null
    parseAsRoot(): AnyNode
    parseUntilBlocks(...names: string[]): AnyNode
    parseIf(): AnyNode
  }

  const parser: { readonly Parser: typeof Parser }
  export default parser
}
