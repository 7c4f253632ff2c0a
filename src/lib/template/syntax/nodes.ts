/** The tree of a template. Positions count from 0. Adding a type here means adding it to `children` below, the allow-list. */
interface Located<Name extends string> {
  readonly typename: Name
  readonly lineno: number
  readonly colno: number
}
interface ListNode<Name extends string, Child = TemplateNode> extends Located<Name> {
  readonly children: Child[]
}
interface RootNode extends ListNode<'Root'> {
  /** How many tokens the template has: names, operators, tags and texts. All work on it goes with that. */
  readonly size: number
}
interface BinaryNode<Name extends string> extends Located<Name> {
  readonly left: TemplateNode
  readonly right: TemplateNode
}
interface UnaryNode<Name extends string> extends Located<Name> {
  readonly target: TemplateNode
}
interface SymbolNode extends Located<'Symbol'> {
  readonly value: string
}
interface LiteralNode extends Located<'Literal'> {
  readonly value: string | number | bigint | boolean | null
  /** `1.0`, whose value alone would be an int. */
  readonly isFloat?: boolean
}
interface TemplateDataNode extends Located<'TemplateData'> {
  readonly value: string
}
interface PairNode extends Located<'Pair'> {
  readonly key: TemplateNode
  readonly value: TemplateNode
}
interface LookupValNode extends Located<'LookupVal'> {
  readonly target: TemplateNode
  readonly val: TemplateNode
  /** `x.y`, not `x['y']`. */
  readonly isAttribute?: boolean
}
interface SliceNode extends Located<'Slice'> {
  readonly start: TemplateNode | null
  readonly stop: TemplateNode | null
  readonly step: TemplateNode | null
}
interface ConditionalNode<Name extends 'If' | 'InlineIf'> extends Located<Name> {
  readonly cond: TemplateNode
  readonly body: TemplateNode
  readonly else_: TemplateNode | null
}
interface ForNode extends Located<'For'> {
  readonly arr: TemplateNode
  readonly name: TemplateNode
  /** The condition of `for x in xs if …`. */
  readonly test: TemplateNode | null
  readonly isRecursive: boolean
  readonly body: TemplateNode
  readonly else_: TemplateNode | null
}
interface MacroNode extends Located<'Macro'> {
  readonly name: SymbolNode
  /** Symbols, and last the `KeywordArgs` of those with a default. */
  readonly args: TemplateNode
  readonly body: TemplateNode
}
interface CallBlockNode extends Located<'CallBlock'> {
  readonly call: TemplateNode
  readonly args: TemplateNode
  readonly body: TemplateNode
}
interface CallNode<Name extends 'FunCall' | 'Filter'> extends Located<Name> {
  readonly name: TemplateNode
  /** Of a filter the first is what it is applied to. */
  readonly args: ListNode<'NodeList'>
}
interface TestNode extends Located<'Test'> {
  readonly target: TemplateNode
  readonly name: SymbolNode
  readonly args: ListNode<'NodeList'>
}
interface BlockNode extends Located<'Block'> {
  readonly name: SymbolNode
  /** Sees the names around it, loops' included. */
  readonly isScoped: boolean
  /** Has to be given by a template that extends this one. */
  readonly isRequired: boolean
  readonly body: TemplateNode
}
/** Another prompt as it is written in a template: `footer`, or `footer@v1.2.0`. */
interface ReferenceNode extends Located<'Reference'> {
  readonly value: string
}
interface IncludeNode extends Located<'Include'> {
  /** The first of them that there is. */
  readonly references: ReferenceNode[]
  /** `ignore missing`: where there is none of them, nothing. */
  readonly isOptional: boolean
  readonly withContext: boolean
}
interface ExtendsNode extends Located<'Extends'> {
  readonly reference: ReferenceNode
}
interface ImportNode extends Located<'Import'> {
  readonly reference: ReferenceNode
  readonly target: SymbolNode
  readonly withContext: boolean
}
interface FromImportNode extends Located<'FromImport'> {
  readonly reference: ReferenceNode
  /** `a as b`: the name there, and the one it gets here. */
  readonly names: { readonly name: SymbolNode; readonly target: SymbolNode }[]
  readonly withContext: boolean
}
interface SetNode extends Located<'Set'> {
  readonly target: TemplateNode
  /** A `Capture`, perhaps within filters, where the set has a body. */
  readonly value: TemplateNode
  readonly isBlock: boolean
}
interface WithNode extends Located<'With'> {
  readonly pairs: PairNode[]
  readonly body: TemplateNode
}
interface CaptureNode extends Located<'Capture'> {
  readonly body: TemplateNode
}
interface CompareNode extends Located<'Compare'> {
  readonly expr: TemplateNode
  readonly ops: CompareOperandNode[]
}
interface CompareOperandNode extends Located<'CompareOperand'> {
  readonly expr: TemplateNode
  /** `==`, `<`, …, `in` or `not in`. */
  readonly type: string
}

export type TemplateNode =
  | RootNode
  | ListNode<'NodeList'>
  | ListNode<'Output'>
  | ListNode<'Array'>
  | ListNode<'Tuple'>
  | ListNode<'Dict', PairNode>
  | ListNode<'KeywordArgs', PairNode>
  | PairNode
  | SymbolNode
  | LiteralNode
  | TemplateDataNode
  | LookupValNode
  | SliceNode
  | CallNode<'FunCall'>
  | CallNode<'Filter'>
  | TestNode
  | ConditionalNode<'If'>
  | ConditionalNode<'InlineIf'>
  | ForNode
  | MacroNode
  | CallBlockNode
  | BlockNode
  | ReferenceNode
  | IncludeNode
  | ExtendsNode
  | ImportNode
  | FromImportNode
  | SetNode
  | WithNode
  | CaptureNode
  | CompareNode
  | CompareOperandNode
  | UnaryNode<'Not'>
  | UnaryNode<'Neg'>
  | UnaryNode<'Pos'>
  | UnaryNode<'Spread'>
  | UnaryNode<'KeywordSpread'>
  | BinaryNode<'And'>
  | BinaryNode<'Or'>
  | BinaryNode<'Add'>
  | BinaryNode<'Sub'>
  | BinaryNode<'Mul'>
  | BinaryNode<'Div'>
  | BinaryNode<'FloorDiv'>
  | BinaryNode<'Mod'>
  | BinaryNode<'Pow'>
  | BinaryNode<'Concat'>
export type NodeName = TemplateNode['typename']
export type NodeOf<Name extends NodeName> = Extract<TemplateNode, { typename: Name }>

/** The direct children of a node, in the order they are written, but for the condition of `a if b`, which comes first. */
export function childNodes(node: TemplateNode): TemplateNode[] {
  const read = children[node.typename] as (node: TemplateNode) => (TemplateNode | null)[]
  return read(node).filter((child) => child !== null)
}

export function isKnownNode(node: { typename: string }): boolean {
  return Object.hasOwn(children, node.typename)
}

const listed = (node: { children: TemplateNode[] }) => node.children
const conditional = (node: NodeOf<'If' | 'InlineIf'>) => [node.cond, node.body, node.else_]
const called = (node: NodeOf<'FunCall' | 'Filter'>) => [node.name, node.args]
const unary = (node: { target: TemplateNode }) => [node.target]
const binary = (node: { left: TemplateNode; right: TemplateNode }) => [node.left, node.right]

const children: { [Name in NodeName]: (node: NodeOf<Name>) => (TemplateNode | null)[] } = {
  Root: listed,
  NodeList: listed,
  Output: listed,
  Array: listed,
  Tuple: listed,
  Dict: listed,
  KeywordArgs: listed,
  Pair: (node) => [node.key, node.value],
  Symbol: () => [],
  Literal: () => [],
  TemplateData: () => [],
  LookupVal: (node) => [node.target, node.val],
  Slice: (node) => [node.start, node.stop, node.step],
  FunCall: called,
  Filter: called,
  Test: (node) => [node.target, node.name, node.args],
  If: conditional,
  InlineIf: conditional,
  For: (node) => [node.name, node.arr, node.test, node.body, node.else_],
  Macro: (node) => [node.name, node.args, node.body],
  CallBlock: (node) => [node.args, node.call, node.body],
  Block: (node) => [node.name, node.body],
  Reference: () => [],
  Include: (node) => node.references,
  Extends: (node) => [node.reference],
  Import: (node) => [node.reference, node.target],
  FromImport: (node) => [node.reference, ...node.names.map(({ target }) => target)],
  Set: (node) => [node.target, node.value],
  With: (node) => [...node.pairs, node.body],
  Capture: (node) => [node.body],
  Compare: (node) => [node.expr, ...node.ops],
  CompareOperand: (node) => [node.expr],
  Not: unary,
  Neg: unary,
  Pos: unary,
  Spread: unary,
  KeywordSpread: unary,
  And: binary,
  Or: binary,
  Add: binary,
  Sub: binary,
  Mul: binary,
  Div: binary,
  FloorDiv: binary,
  Mod: binary,
  Pow: binary,
  Concat: binary,
}
