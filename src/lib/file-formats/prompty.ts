import { type FileContent, matchFrontMatter } from './fields.js'
import { FileError } from './file-error.js'
import { Document, defined, takeCommonFields, warnOfReferences } from './foreign.js'
import { inputsSchema } from './inputs.js'
import { readChatBody } from './prompty-body.js'
import { takeConfig } from './prompty-model.js'
import { takeTemplate } from './template-engine.js'
import { isMapping, parseYaml } from './yaml.js'

/** A Prompty file: front matter, and a body whose lines such as `user:` begin the messages. */
export function readPrompty(text: string): FileContent {
  const { mapping, body, lineOffset } = readFrontMatter(text)
  const document = new Document(mapping)
  const common = takeCommonFields(document)
  const template = takeTemplate(document)
  const { config, isChat } = takeConfig(document)
  const own = { ...common, ...defined({ template, inputs: takeInputs(document) }) }
  const content = isChat ? takeChat(body, lineOffset, document, config) : { content: body }
  document.keep('version', 'author', 'authors', 'id', 'kind', '$schema', 'sample')
  warnOfBase(document)
  const warnings = [...document.warnings, ...warnOfReferences(mapping)]
  const fields = { ...own, ...content, ...(Object.keys(config).length > 0 && { config }) }
  return { fields, kept: document.kept, extra: document.rest(), warnings }
}

/** Without front matter the whole file is the body; what begins like front matter has to be some. */
function readFrontMatter(text: string): { mapping: Record<string, unknown>; body: string; lineOffset: number } {
  const blank = /^(?:[ \t]*\r?\n)*/.exec(text)?.[0] ?? ''
  const blankLines = countLines(blank)
  const start = text.slice(blank.length)
  if (!/^---[ \t]*(?:\r?\n|$)/.test(start)) return { mapping: {}, body: text, lineOffset: 0 }
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
  return { mapping, body: match.body, lineOffset: countLines(text.slice(0, text.length - match.body.length)) }
}

function takeChat(body: string, lineOffset: number, document: Document, config: Record<string, unknown>) {
  const { messages, attributes, tools, warnings } = readChatBody(body, lineOffset)
  if (attributes.length > 0) document.kept.messageAttributes = attributes
  document.warnings.push(...warnings)
  if (tools.length > 0) config.tools = Array.isArray(config.tools) ? [...config.tools, ...tools] : tools
  return { messages }
}

function takeInputs(document: Document): unknown {
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
