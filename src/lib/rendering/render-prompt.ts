import { Budget, BudgetExceeded } from '../template/budget.js'
import { Given, renderTemplate } from '../template/render.js'
import { quote, TemplateError, type TemplateErrorCode } from '../template/template-error.js'
import { joinPath } from '../text.js'
import { validateInputs } from './input-schema.js'
import { type JsonObject, ownValue } from './json-values.js'
import { charactersOf, maxMessages, messageFindings, type RenderedMessage } from './placeholders.js'
import { type PreparedMessage, type PreparedPrompt, preparePrompt, type RenderablePrompt, type Text } from './prepared-prompt.js'
import { RenderError, type RenderFinding, templateFinding } from './render-error.js'
import { suggestion } from './schema/wording.js'

export type RenderRequest = {
  variables: JsonObject
  /** Without it, what is missing is rendered empty. */
  strict?: boolean
}

export type RenderedPrompt = { text: string } | { messages: RenderedMessage[] }

const maxFindings = 50

/**
 * Renders a prompt with JSON values. Variables that are not given have the `default` of their input, where it has one. Then, in
 * this order, one error names all variables that have to be given and are not; all places where the variables break `inputs`,
 * or are no messages for a placeholder; all variables that turn out to be missing while rendering; or all templates that fail.
 * Where it is not strict a missing variable is no error, whatever of it the schema requires; what is given is still checked.
 * All messages of a chat share one budget. Throws `RenderError` and nothing else. Pure.
 */
export function renderPrompt(prompt: RenderablePrompt, request: RenderRequest): RenderedPrompt {
  return renderPrepared(preparePrompt(prompt), request)
}

/** The same for a prompt that was prepared before. */
export function renderPrepared(prepared: PreparedPrompt, request: RenderRequest): RenderedPrompt {
  const { strict = true } = request
  const variables = withDefaults(prepared, request.variables)
  checkVariables(prepared, variables, strict)
  return new Rendering(prepared, variables).run(strict)
}

function isGiven(variables: JsonObject, name: string): boolean {
  return ownValue(variables, name) !== undefined
}

function withDefaults({ inputs }: PreparedPrompt, given: JsonObject): JsonObject {
  const added = [...(inputs?.defaults ?? [])].filter(([name]) => !isGiven(given, name))
  const absent = Object.keys(given).filter((name) => given[name] === undefined)
  if (added.length + absent.length === 0) return given
  // What this makes are own properties, whatever their names are.
  return Object.fromEntries([...Object.entries(given).filter(([, value]) => value !== undefined), ...added])
}

function checkVariables(prepared: PreparedPrompt, variables: JsonObject, strict: boolean): void {
  const { inputs, placeholders } = prepared
  const faults = inputs ? validateInputs(inputs, variables, strict ? 'strict' : 'partial') : []
  if (strict) {
    const bySchema = faults.filter(({ code }) => code === 'missing').map(({ path, message }) => ({ path, message }))
    throwMissing(prepared, variables, bySchema)
  }
  const given = placeholders.filter((name) => isGiven(variables, name))
  const findings = [
    ...faults.map(({ path, message }) => ({ path, message })),
    ...given.flatMap((name) => messageFindings(name, variables[name])),
  ]
  if (findings.length > 0) throw new RenderError('inputs.invalid', findings.slice(0, maxFindings))
}

function throwMissing(prepared: PreparedPrompt, variables: JsonObject, bySchema: RenderFinding[]): void {
  const lacking = prepared.required.filter((name) => !isGiven(variables, name))
  const byTemplate = lacking.map((name) => missing(name, prepared, variables))
  const paths = new Set(byTemplate.map(({ path }) => path))
  const findings = [...byTemplate, ...bySchema.filter(({ path }) => !paths.has(path))]
  if (findings.length > 0) throw new RenderError('variables.missing', findings)
}

function missing(name: string, prepared: PreparedPrompt, given: JsonObject): RenderFinding {
  const unused = Object.keys(given).filter((key) => !prepared.variables.has(key))
  const hint = suggestion(name, unused)
  return { path: joinPath('variables', name), message: `The variable ${quote(name)} is missing. Give it a value.${hint}` }
}

/** One rendering: what its texts may cost together, and what is found on the way. */
class Rendering {
  readonly #prepared: PreparedPrompt
  readonly #given: JsonObject
  readonly #variables: Given
  readonly #budget = new Budget()
  readonly #missing = new Set<string>()
  readonly #failures: { code: TemplateErrorCode; finding: RenderFinding }[] = []

  constructor(prepared: PreparedPrompt, given: JsonObject) {
    this.#prepared = prepared
    this.#given = given
    this.#variables = new Given(given)
  }

  run(strict: boolean): RenderedPrompt {
    const { body } = this.#prepared
    const rendered = 'text' in body ? { text: this.#render(body.text) } : { messages: this.#messages(body.messages) }
    if (strict && this.#missing.size > 0) {
      const findings = [...this.#missing].map((name) => missing(name, this.#prepared, this.#given))
      throw new RenderError('variables.missing', findings)
    }
    this.#throwFailures()
    return rendered
  }

  #messages(messages: readonly PreparedMessage[]): RenderedMessage[] {
    const rendered: RenderedMessage[] = []
    for (const message of messages) {
      if ('placeholder' in message) rendered.push(...this.#inserted(message.placeholder))
      else rendered.push({ role: message.role, content: this.#render(message) })
      if (rendered.length > maxMessages) {
        throw new RenderError('inputs.invalid', [
          {
            path: 'variables',
            message: `The prompt has more than ${maxMessages} messages with those that are inserted. Give fewer.`,
          },
        ])
      }
    }
    return rendered
  }

  #inserted(name: string): RenderedMessage[] {
    if (!isGiven(this.#given, name)) return []
    const messages = this.#given[name] as RenderedMessage[]
    this.#spend(joinPath('variables', name), charactersOf(messages))
    return messages
  }

  #render({ path, part }: Text): string {
    if ('text' in part) {
      this.#spend(path, part.text.length)
      return part.text
    }
    try {
      return renderTemplate(part, this.#variables, { budget: this.#budget, onMissing: (name) => this.#missing.add(name) })
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error
      const finding = templateFinding(path, error)
      // What has been used up is so for the other texts as well.
      if (error.code === 'template.too_complex') throw new RenderError(error.code, [finding], { cause: error })
      this.#failures.push({ code: error.code, finding })
      return ''
    }
  }

  #spend(path: string, characters: number): void {
    try {
      this.#budget.output(characters)
    } catch (error) {
      if (!(error instanceof BudgetExceeded)) throw error
      throw new RenderError('template.too_complex', [{ path, message: 'The prompt takes more than 1 MiB. Give less.' }], {
        cause: error,
      })
    }
  }

  /** An error is of one kind: that of the first text that failed. */
  #throwFailures(): void {
    const [first] = this.#failures
    if (!first) return
    const alike = this.#failures.filter(({ code }) => code === first.code).map(({ finding }) => finding)
    throw new RenderError(first.code, alike.slice(0, maxFindings))
  }
}
