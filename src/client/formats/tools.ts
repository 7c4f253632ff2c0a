import { isObject, type JsonObject, ownValue } from '../../lib/rendering/json-values.js'
import { describe, invalid, present, type Settings } from './settings.js'

export type FunctionTool = { name: string; description?: string; parameters?: JsonObject; strict?: boolean }

/** A function that the application has, or a tool of one provider, which means something to that provider only. */
export type Tool = { function: FunctionTool } | { other: JsonObject }

export type ToolChoice = { mode: 'auto' | 'none' | 'required' } | { tool: string }

/** The tools of a config, in whichever of the usual forms they are written: of OpenAI, of Anthropic, or of MCP. */
export function readTools(settings: Settings): Tool[] | undefined {
  return settings.list('tools')?.map((tool) => {
    if (!isObject(tool)) throw invalid(`A tool in config.tools of the prompt is ${describe(tool)}, not an object.`)
    const found = toFunction(tool)
    return found ? { function: found } : { other: tool }
  })
}

function toFunction(tool: JsonObject): FunctionTool | null {
  const inner = ownValue(tool, 'function')
  const described = isObject(inner) ? inner : tool
  const [name, description, strict] = ['name', 'description', 'strict'].map((key) => ownValue(described, key))
  const schema = ['parameters', 'input_schema', 'inputSchema'].map((key) => ownValue(described, key)).find(isObject)
  const isFunction = isObject(inner) || schema !== undefined || ownValue(tool, 'type') === 'function'
  if (!isFunction || typeof name !== 'string') return null
  return present({
    name,
    description: typeof description === 'string' ? description : undefined,
    parameters: schema,
    strict: typeof strict === 'boolean' ? strict : undefined,
  })
}

/** Which tool the model is to use, in whichever of the usual forms it is written. */
export function readToolChoice(settings: Settings): ToolChoice | undefined {
  const choice = settings.any('tool_choice')
  if (choice === undefined) return undefined
  const read = typeof choice === 'string' ? toMode(choice) : isObject(choice) ? toChoice(choice) : null
  if (!read) throw invalid('config.tool_choice of the prompt is neither "auto", "none" nor "required", and names no tool either.')
  return read
}

function toMode(mode: unknown): ToolChoice | null {
  if (mode === 'any') return { mode: 'required' }
  return mode === 'auto' || mode === 'none' || mode === 'required' ? { mode } : null
}

function toChoice(choice: JsonObject): ToolChoice | null {
  const inner = ownValue(choice, 'function')
  const name = ownValue(isObject(inner) ? inner : choice, 'name') ?? ownValue(choice, 'toolName')
  return typeof name === 'string' ? { tool: name } : toMode(ownValue(choice, 'type'))
}
