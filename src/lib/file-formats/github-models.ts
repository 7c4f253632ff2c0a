import { type FileContent, parseMapping } from './fields.js'
import { FileError } from './file-error.js'
import { Document, defined, takeCommonFields, takeMessages, warnOfReferences } from './foreign.js'
import { inputsSchema } from './inputs.js'
import type { Origin } from './positions.js'
import { takeTemplate } from './template-engine.js'
import { findUnfit, isMapping } from './yaml.js'
import { yamlOrigin } from './yaml-positions.js'

/** A prompt file of GitHub Models (`.prompt.yml`): messages with `{{variables}}`, a model, its parameters, and tests. */
export function readGitHubPrompt(text: string): FileContent {
  return readGitHubMapping(parseMapping(text), text)
}

/** The same of YAML that is parsed already. */
export function readGitHubMapping(mapping: Record<string, unknown>, text: string): FileContent {
  const document = new Document(mapping)
  const messages = takeMessages(document, listKey(mapping))
  const content = document.take('content') ?? (messages === undefined ? takePromptText(document) : undefined)
  if (messages === undefined && content === undefined) {
    throw new FileError('has neither `messages` nor `content`. Add one of them.')
  }
  const template = takeTemplate(document)
  const fields = {
    ...takeCommonFields(document),
    ...defined({
      messages,
      content,
      template,
      config: takeConfig(document),
      inputs: takeInputs(document),
    }),
  }
  document.keep('testData', 'evaluators', 'version', 'author', 'authors')
  const warnings = [
    ...document.warnings,
    ...warnOfReferences(mapping),
    ...(template === 'none' ? [] : warnOfDashes(messages ?? content)),
  ]
  return { fields, kept: document.kept, extra: document.rest(), warnings, origin: originOf(mapping, text) }
}

/** The texts may stand under other names than those that the prompt has for them. */
function originOf(mapping: Record<string, unknown>, text: string): Origin {
  const names = new Map<unknown, string>([
    ['messages', listKey(mapping)],
    ['content', mapping.content == null ? 'prompt' : 'content'],
  ])
  const origin = yamlOrigin(text, 0)
  return ([first = '', ...rest]) => origin([names.get(first) ?? first, ...rest])
}

/** To Jinja `{{user-name}}` is one variable less another. */
function warnOfDashes(texts: unknown): string[] {
  const names = new Set(
    [...JSON.stringify(texts).matchAll(/\{\{ {0,20}([a-z_]\w{0,60}(?:-\w{1,60}){1,10}) {0,20}\}\}/gi)].map(([, name]) => name),
  )
  return [...names]
    .slice(0, 5)
    .map(
      (name) => `{{${name}}} is no name but a subtraction in Jinja. Write "_" for "-", or send the text with \`template: none\`.`,
    )
}

/** Some call the list of messages `prompts`. */
function listKey(mapping: Record<string, unknown>): string {
  return ['messages', 'prompts', 'prompt'].find((key) => Array.isArray(mapping[key])) ?? 'messages'
}

/** A single text is also called `prompt`. */
function takePromptText(document: Document): unknown {
  const prompt = document.take('prompt')
  if (typeof prompt === 'string' || prompt === undefined) return prompt
  document.kept.prompt = prompt
  return undefined
}

/** The parameters stand beside the model, under the names that the file gives them. */
function takeConfig(document: Document): Record<string, unknown> | undefined {
  const own = document.take('config')
  const parameters = document.take('modelParameters')
  if (parameters !== undefined && !isMapping(parameters)) throw new FileError('`modelParameters` is not a mapping.')
  if (own !== undefined && !isMapping(own)) throw new FileError('`config` is not a mapping.')
  const config = {
    ...defined({ model: document.take('model') }),
    ...parameters,
    ...defined({
      responseFormat: document.take('responseFormat'),
      jsonSchema: takeJsonSchema(document),
      tools: document.take('tools'),
    }),
    ...own,
  }
  return Object.keys(config).length > 0 ? config : undefined
}

/** The schema of the answer is mostly JSON in a text; where it can be read, it is kept as what it says. */
function takeJsonSchema(document: Document): unknown {
  const schema = document.take('jsonSchema')
  if (typeof schema !== 'string') return schema
  try {
    const parsed: unknown = JSON.parse(schema)
    if (isMapping(parsed) && !findUnfit(parsed)) return parsed
  } catch {
    // It is kept as it is written, like a schema that is no mapping.
  }
  document.warnings.push('`jsonSchema` is no JSON object, so it is kept as text.')
  return schema
}

function takeInputs(document: Document): unknown {
  const key = ['inputs', 'variables', 'inputVariables'].find((name) => document.rest()[name] !== undefined)
  if (!key) return undefined
  const described = document.take(key)
  const inputs = inputsSchema(described)
  if (!inputs) document.kept[key] = described
  return inputs ?? undefined
}
