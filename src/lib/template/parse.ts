import { maxTreeDepth } from './syntax/expression-parser.js'
import { childNodes, isKnownNode, type NodeName, type NodeOf, type TemplateNode } from './syntax/nodes.js'
import { Scanner, type ScanOptions } from './syntax/scanner.js'
import { StatementParser } from './syntax/statement-parser.js'
import { TokenStream } from './syntax/token-stream.js'
import { type Position, quote, syntax, TemplateError, tooComplex, unsupported } from './template-error.js'

/**
 * A prompt is parsed and never compiled: of nunjucks only the parser is loaded, and extended to Jinja2's grammar. It does not
 * read the source through nunjucks' lexer, which is quadratic for raw blocks and for whitespace control and differs from
 * Jinja2 in both, in escapes and in braces. The scan is linear, and holds the bounds that keep the parser from overflowing the
 * stack.
 */
const maxSourceLength = 262_144

/**
 * Parses a Jinja template, or throws `TemplateError` and nothing else. In what it returns no node is deeper than 500, every
 * symbol is a plain ASCII name, and nothing reaches outside of the template but the names of other prompts.
 */
export function parseTemplate(source: string, options: ScanOptions = {}): NodeOf<'Root'> {
  if (source.length > maxSourceLength) throw tooComplex('The template is longer than 256 KiB.', { lineno: 0, colno: 0 })
  const scanned = new Scanner(source, options).scan()
  const tokens = new TokenStream(scanned)
  try {
    const root = new StatementParser(tokens).parseAsRoot()
    checkTree(root)
    const { lineno, colno } = root
    return { typename: 'Root', lineno, colno, children: childNodes(root), size: scanned.length }
  } catch (error) {
    throw asTemplateError(error, tokens.position)
  }
}

const objections: { [Name in NodeName]?: (node: NodeOf<Name>) => TemplateError | undefined } = {
  // The parser joins the filter of `a|b.c` to one name.
  Symbol: (node) => (/^[A-Za-z_]\w*$/.test(node.value) ? undefined : syntax(`${quote(node.value)} is not a name.`, node)),
}

function checkTree(root: TemplateNode): void {
  let level = [root]
  for (let depth = 0; level.length > 0; depth += 1) {
    const next: TemplateNode[] = []
    for (const node of level) {
      if (depth > maxTreeDepth) throw tooComplex(`The expression is nested deeper than ${maxTreeDepth}.`, node)
      checkNode(node)
      for (const child of childNodes(node)) next.push(child)
    }
    level = next
  }
}

function checkNode(node: TemplateNode): void {
  if (!isKnownNode(node)) throw unsupported(`"${node.typename}" is not supported.`, node)
  const object = objections[node.typename] as ((node: TemplateNode) => TemplateError | undefined) | undefined
  const objection = object?.(node)
  if (objection) throw objection
}

function asTemplateError(error: unknown, position: Position): TemplateError {
  if (error instanceof TemplateError) return error
  if (error instanceof RangeError) {
    return tooComplex('The template is nested too deeply.', position, { cause: error })
  }
  const { message, lineno, colno } = error as { message?: unknown; lineno?: unknown; colno?: unknown }
  if (typeof lineno !== 'number' || typeof colno !== 'number') {
    return syntax('This is not Jinja syntax.', position, { cause: error })
  }
  // nunjucks' own errors count from 1.
  return syntax(inPlainWords(String(message)), { lineno: lineno - 1, colno: colno - 1 }, { cause: error })
}

const wordings: [RegExp, (value: string) => string][] = [
  [/^expected variable end$/, () => 'Expected "}}" here.'],
  [/^unexpected token: ([\s\S]*)$/, (token) => `Unexpected ${quote(token)}.`],
  [/^unknown block tag: ([\s\S]*)$/, (tag) => `The tag ${quote(tag)} is unknown or not in its place.`],
]

function inPlainWords(message: string): string {
  for (const [pattern, wording] of wordings) {
    const match = pattern.exec(message)
    if (match) return wording(match[1] ?? '')
  }
  const sentence = message.replace(/^\w+: /, '').slice(0, 200)
  return `${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}.`
}

export { childNodes, type NodeName, type NodeOf, type TemplateNode }
