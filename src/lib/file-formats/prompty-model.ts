import { joinPath } from '../text.js'
import { type Document, defined } from './foreign.js'
import { isMapping } from './yaml.js'

type Mapping = Record<string, unknown>

/** A value under such a key lets whoever reads it in. */
const secretKey = /^(api[-_]?key|apikey|key|token|access[-_]?token|secret|client[-_]?secret|password|connection[-_]?string)$/i
const environment = /^\s*\$\{(env:)?\w+\}\s*$/i

/**
 * The model's settings: its name, its parameters beside it, and how it is reached under the keys that the file has for it.
 * `isChat` is false for a model that is given one text and no messages.
 */
export function takeConfig(document: Document): { config: Mapping; isChat: boolean } {
  const model = document.take('model')
  const own = document.take('config')
  if (own !== undefined && !isMapping(own)) document.kept.config = own
  const settings = isMapping(model) ? readModel(model) : defined({ model })
  const said = defined({
    ...settings,
    tools: document.take('tools') ?? settings.tools,
    outputs: document.take('outputs') ?? document.take('outputSchema') ?? settings.outputs,
    ...(isMapping(own) && own),
  })
  const config = withoutSecrets(withoutNulls(said), '', document) as Mapping
  const api = config.api ?? config.apiType
  return { config, isChat: typeof api !== 'string' || !/^(completion|completions|embedding|embeddings|image)$/i.test(api.trim()) }
}

function withoutNulls(mapping: Mapping): Mapping {
  return Object.fromEntries(Object.entries(mapping).filter(([, value]) => value !== null))
}

function readModel(model: Mapping): Mapping {
  const { id, name, parameters, options, ...rest } = model
  const connection = isMapping(rest.configuration) ? rest.configuration : rest.connection
  const settings = [parameters, options].filter(isMapping)
  const others = defined({
    parameters: isMapping(parameters) ? undefined : parameters,
    options: isMapping(options) ? undefined : options,
  })
  return {
    ...defined({ model: id ?? name ?? deploymentOf(connection) }),
    ...Object.assign({}, ...settings),
    ...others,
    ...rest,
    ...(id != null && name != null && { name }),
  }
}

/** The model that a connection names, unless it is only known where the file is run. */
function deploymentOf(connection: unknown): unknown {
  if (!isMapping(connection)) return undefined
  const name = connection.azure_deployment ?? connection.deployment ?? connection.model ?? connection.name
  return typeof name === 'string' && !/\$\{/.test(name) ? name : undefined
}

/** Keys written into a connection would be served to every reader of the prompt. */
function withoutSecrets(value: unknown, path: string, document: Document): unknown {
  if (Array.isArray(value)) return value.map((item, index) => withoutSecrets(item, joinPath(path, index), document))
  if (!isMapping(value)) return value
  const isConnection = /(^|\.)(configuration|connection)$/.test(path)
  const entries = Object.entries(value).flatMap(([key, child]) => {
    const place = joinPath(path, key)
    if (!isConnection || !secretKey.test(key) || typeof child !== 'string' || environment.test(child)) {
      return [[key, withoutSecrets(child, place, document)]]
    }
    document.warnings.push(`\`${place}\` held a secret, which was removed and not stored. Name it by \${env:…}.`)
    return []
  })
  return Object.fromEntries(entries)
}
