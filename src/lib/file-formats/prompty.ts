import { bodyOrigin, type FileContent, matchFrontMatter } from './fields.js'
import { FileError } from './file-error.js'
import { Document, defined, takeCommonFields, warnOfReferences } from './foreign.js'
import { inputsSchema } from './inputs.js'
import { type Origin, verbatim } from './positions.js'
import { type BodyOptions, type Message, readChatBody } from './prompty-body.js'
import { takeConfig } from './prompty-model.js'
import { takeTemplate } from './template-engine.js'
import { isMapping, parseYaml } from './yaml.js'
import { yamlOrigin } from './yaml-positions.js'

/** A Prompty file: front matter, and a body whose lines such as `user:` begin the messages. */
export function readPrompty(text: string): FileContent {
  const { mapping, bodyAt, origin: before } = readFrontMatter(text)
  const document = new Document(mapping)
  const common = takeCommonFields(document)
  const template = takeTemplate(document)
  const { config, isChat } = takeConfig(document)
  const inputs = takeInputs(document)
  const { messages, starts, tools } = isChat
    ? takeChat(text, bodyAt, document, { threads: threadsOf(inputs), isJinja: template !== 'none' })
    : { messages: undefined, starts: [], tools: [] }
  if (tools.length > 0) config.tools = Array.isArray(config.tools) ? [...config.tools, ...tools] : tools
  document.keep('version', 'author', 'authors', 'id', 'kind', '$schema', 'sample')
  warnOfBase(document)
  const content = messages ? undefined : text.slice(bodyAt)
  const fields = {
    ...common,
    ...defined({ template, inputs, messages, content }),
    ...(Object.keys(config).length > 0 && { config }),
  }
  const warnings = [...document.warnings, ...warnOfReferences(mapping)]
  const origin = messages ? messagesOrigin(text, messages, starts, before) : bodyOrigin(text, bodyAt, before)
  return { fields, kept: document.kept, extra: document.rest(), warnings, origin }
}

/** Without front matter the whole file is the body; what begins like front matter has to be some. */
function readFrontMatter(text: string): { mapping: Record<string, unknown>; bodyAt: number; origin: Origin } {
  const blank = /^(?:[ \t]*\r?\n)*/.exec(text)?.[0] ?? ''
  const blankLines = countLines(blank)
  const start = text.slice(blank.length)
  if (!/^---[ \t]*(?:\r?\n|$)/.test(start)) return { mapping: {}, bodyAt: 0, origin: () => null }
  const match = matchFrontMatter(start)
  const opened = `the front matter that line ${blankLines + 1} opens`
  if (!match) throw new FileError(`${opened} is never closed. Close it by a line of "---".`)
  const mapping = parseYaml(match.yaml, blankLines + 1) ?? {}
  if (!isMapping(mapping)) throw new FileError(`${opened} is not a YAML mapping. Write it as "name: …".`)
  if (mapping.content != null || mapping.messages != null) {
    throw new FileError(
      'the front matter holds `content` or `messages`, but those of a .prompty file are what follows it. Remove it or use .yaml.',
    )
  }
  const origin = yamlOrigin(match.yaml, blank.length + match.yamlAt)
  return { mapping, bodyAt: blank.length + match.bodyAt, origin }
}

function takeChat(text: string, bodyAt: number, document: Document, options: BodyOptions) {
  const body = readChatBody(text.slice(bodyAt), countLines(text.slice(0, bodyAt)), options)
  if (body.attributes.length > 0) document.kept.messageAttributes = body.attributes
  document.warnings.push(...body.warnings)
  return { ...body, starts: body.starts.map((start) => start + bodyAt) }
}

function messagesOrigin(text: string, messages: Message[], starts: number[], before: Origin): Origin {
  return (path) => {
    const [list, index] = path
    if (list !== 'messages' || typeof index !== 'number') return before(path)
    const [message, start] = [messages[index], starts[index]]
    return message && 'content' in message && start !== undefined ? verbatim(text, start, message.content.length) : null
  }
}

/** The inputs that are conversations: lists of messages. */
function threadsOf(inputs: Record<string, unknown> | undefined): Set<string> {
  const properties = isMapping(inputs?.properties) ? inputs.properties : {}
  const isThread = (said: unknown) => isMapping(said) && typeof said.kind === 'string' && said.kind.toLowerCase() === 'thread'
  return new Set(Object.keys(properties).filter((name) => isThread(properties[name])))
}

function takeInputs(document: Document): Record<string, unknown> | undefined {
  const key = ['inputs', 'inputSchema', 'input'].find((name) => document.rest()[name] !== undefined)
  const described = key && document.take(key)
  const sample = document.rest().sample
  const inputs = inputsSchema(described, sample)
  if (!inputs && key) document.kept[key] = described
  if (typeof sample === 'string' && !/^\s*\$\{file:/i.test(sample)) {
    document.warnings.push('`sample` names a file; it is kept as text: other files are not read.')
  }
  return inputs ?? undefined
}

function warnOfBase(document: Document): void {
  for (const key of ['base', 'basePrompty']) {
    if (document.rest()[key] === undefined) continue
    document.keep(key)
    document.warnings.push(`\`${key}\` is kept as text: other files are not read, so what they say has to be said here.`)
  }
}

function countLines(text: string): number {
  return text.split('\n').length - 1
}
