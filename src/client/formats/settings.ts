import { isObject, type JsonObject, jsonType, ownValue } from '../../lib/rendering/json-values.js'
import { PromptsyncError } from '../problem.js'

/**
 * Reads the config of a prompt. Each of these takes names in snake case and answers the first value that there is, written so
 * or in camel case (`max_tokens`, `maxTokens`); null counts as none. A value of another kind is `client.invalid`, so that it
 * is found here and by its name rather than in an answer of a model's API.
 */
export type Settings = {
  number(...names: string[]): number | undefined
  text(...names: string[]): string | undefined
  flag(...names: string[]): boolean | undefined
  object(...names: string[]): JsonObject | undefined
  list(...names: string[]): unknown[] | undefined
  /** A list of texts; a single text is a list of one. */
  texts(...names: string[]): string[] | undefined
  /** A value of any kind, for what has several. */
  any(...names: string[]): unknown
}

type Kind<Value> = { name: string; fits: (value: unknown) => value is Value }

const kinds = {
  number: { name: 'a number', fits: (value): value is number => typeof value === 'number' } satisfies Kind<number>,
  text: { name: 'a text', fits: (value): value is string => typeof value === 'string' } satisfies Kind<string>,
  flag: { name: 'true or false', fits: (value): value is boolean => typeof value === 'boolean' } satisfies Kind<boolean>,
  object: { name: 'an object', fits: isObject } satisfies Kind<JsonObject>,
  list: { name: 'a list', fits: (value): value is unknown[] => Array.isArray(value) } satisfies Kind<unknown[]>,
  texts: {
    name: 'a text or a list of texts',
    fits: (value): value is string | string[] =>
      typeof value === 'string' || (Array.isArray(value) && value.every((item) => typeof item === 'string')),
  } satisfies Kind<string | string[]>,
}

export function readSettings(config: JsonObject): Settings {
  const find = (names: readonly string[]): { written: string; value: unknown } | undefined => {
    for (const written of names.flatMap((name) => [name, toCamelCase(name)])) {
      const value = ownValue(config, written)
      if (value !== undefined && value !== null) return { written, value: copyOf(value) }
    }
    return undefined
  }
  const read = <Value>({ name, fits }: Kind<Value>, names: readonly string[]): Value | undefined => {
    const found = find(names)
    if (found === undefined) return undefined
    const { value } = found
    if (fits(value)) return value
    throw invalid(`config.${found.written} of the prompt is ${describe(value)}, not ${name}. Correct it and push the prompt.`)
  }
  return {
    number: (...names) => read(kinds.number, names),
    text: (...names) => read(kinds.text, names),
    flag: (...names) => read(kinds.flag, names),
    object: (...names) => read(kinds.object, names),
    list: (...names) => read(kinds.list, names),
    texts: (...names) => {
      const found = read(kinds.texts, names)
      return typeof found === 'string' ? [found] : found
    },
    any: (...names) => find(names)?.value,
  }
}

/** The same object without the members that are undefined, which some clients of models would send or refuse. */
export function present<Members extends object>(members: Members): Members {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as Members
}

export function invalid(detail: string): PromptsyncError {
  return new PromptsyncError('client.invalid', detail, { status: null })
}

/** What a value is, without its content, which may be anybody's. */
export function describe(value: unknown): string {
  const type = jsonType(value)
  if (type === null) return 'no JSON'
  if (type === 'null') return 'null'
  if (type === 'string') return 'a text'
  return type === 'array' || type === 'object' ? `an ${type === 'array' ? 'array' : 'object'}` : `a ${type}`
}

/** The config of a prompt is shared and frozen; a request is its caller's, who may go on with it. */
function copyOf(value: unknown): unknown {
  return typeof value === 'object' ? JSON.parse(JSON.stringify(value)) : value
}

function toCamelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
