import { type FileContent, parseMapping, splitFields } from './fields.js'
import { FileError } from './file-error.js'
import { readGitHubMapping } from './github-models.js'
import { isMapping } from './yaml.js'
import { yamlOrigin } from './yaml-positions.js'

export function readYaml(text: string): FileContent {
  const document = parseMapping(text)
  if (isGitHubPrompt(document)) return readGitHubMapping(document, text)
  const { fields, extra } = splitFields(document)
  if (fields.content === undefined && fields.messages === undefined) {
    throw new FileError('has neither `content` nor `messages`. Add one of them.')
  }
  return { fields, extra, origin: yamlOrigin(text, 0) }
}

/** Nobody else writes `modelParameters` beside the messages; with a `config` the file is one of ours. */
function isGitHubPrompt(document: Record<string, unknown>): boolean {
  return Array.isArray(document.messages) && isMapping(document.modelParameters) && document.config === undefined
}
