import { type FileContent, parseMapping } from './fields.js'
import { FileError } from './file-error.js'
import { Document, defined, takeCommonFields, takeMessages, warnOfReferences } from './foreign.js'
import { inputsSchema } from './inputs.js'
import { takeTemplate } from './template-engine.js'
import { findUnfit, isMapping } from './yaml.js'

/** A prompt file of GitHub Models (`.prompt.yml`): messages with `{{variables}}`, a model, its parameters, and tests. */
export function readGitHubPrompt(text: string): FileContent {
  const mapping = parseMapping(text)
  const document = new Document(mapping)
  const messages = takeMessages(document, listKey(mapping))
  const content = document.take('content') ?? (messages === undefined ? takePromptText(document) : undefined)
  if (messages === undefined && content === undefined) {
    throw new FileError('has neither `messages` nor `content`. Add one of them.')
  }
  const fields = {
    ...takeCommonFields(document),
    ...defined({
      messages,
      content,
      template: takeTemplate(document),
      config: takeConfig(document),
      inputs: takeInputs(document),
    }),
  }
  document.keep('testData', 'evaluators', 'version', 'author', 'authors')
  const warnings = [...document.warnings, ...warnOfReferences(mapping)]
  return { fields, kept: document.kept, extra: document.rest(), warnings }
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
  const config = defined({
    model: document.take('model'),
    ...parameters,
    responseFormat: document.take('responseFormat'),
    jsonSchema: takeJsonSchema(document),
    tools: document.take('tools'),
    ...own,
  })
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
