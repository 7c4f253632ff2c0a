import type { ProjectSettings } from '../../lib/access.js'
import type { Body } from '../../lib/content-hash.js'
import { bodyVariables, mergeVariables } from '../../lib/prompt-variables.js'
import { bodiesOf, textsOf, textsOfBody, type VersionReference } from '../../lib/references.js'
import { checkInputSchema } from '../../lib/rendering/input-schema.js'
import { scanContent } from '../../lib/scan.js'
import { mapInSlices, type Pause } from '../../lib/slices.js'
import { PromptSize, templateReferences } from '../../lib/template/composition.js'
import { compareDeclared } from '../../lib/template/declared.js'
import { excerptAt } from '../../lib/template/excerpt.js'
import { compileTemplate } from '../../lib/template/render.js'
import type { NodeOf } from '../../lib/template/syntax/nodes.js'
import { TemplateError } from '../../lib/template/template-error.js'
import type { Variable } from '../../lib/template/variables.js'
import { joinPath } from '../../lib/text.js'
import { aboutPrompt, type Fault, type PreparedPrompt, placeOf, type Remark, requestPath } from './read.service.js'

type Root = NodeOf<'Root'>

export type Checked = { prompts: PreparedPrompt[]; errors: Fault[]; warnings: Remark[] }

/**
 * Parses the templates and reads the input schemas of prompts that are not known to be good, and scans the content of all.
 * Answers the prompts with what they reference; stops early at `maxErrors` errors.
 */
export async function checkPrompts(
  prompts: PreparedPrompt[],
  isKnown: (prompt: PreparedPrompt) => boolean,
  settings: ProjectSettings,
  pause: Pause,
  maxErrors: number,
): Promise<Checked> {
  const checked: Checked = { prompts: [], errors: [], warnings: [] }
  for (const prompt of prompts) {
    const result = isKnown(prompt) ? { prompt, errors: [], warnings: [] } : await checkPrompt(prompt, pause)
    checked.prompts.push(result.prompt)
    checked.errors.push(...result.errors)
    checked.warnings.push(...result.warnings)
    if (checked.errors.length >= maxErrors) return checked
    const due = pause()
    if (due) await due
  }
  const scanned = settings.scan === 'off' ? [] : await scanPrompts(prompts, pause)
  if (settings.scan === 'block')
    checked.errors.push(...scanned.map((remark) => ({ ...remark, code: 'content.blocked' as const })))
  else checked.warnings.push(...scanned)
  return checked
}

type CheckedPrompt = { prompt: PreparedPrompt; errors: Fault[]; warnings: Remark[] }

async function checkPrompt(prompt: PreparedPrompt, pause: Pause): Promise<CheckedPrompt> {
  const { content } = prompt
  const errors = schemaFaults(prompt)
  const references: VersionReference[] = []
  const variables: Variable[][] = []
  for (const { path, body } of content.template === 'none' ? [] : bodiesOf(content)) {
    const checked = await checkBody(prompt, path, body, pause)
    errors.push(...checked.faults)
    references.push(...checked.references)
    variables.push(checked.variables)
  }
  // What is included has a say in which variables there are, and is known later.
  const isWhole = errors.length === 0 && references.length === 0 && content.template === 'jinja'
  const warnings = isWhole ? declaredWarnings(prompt, variables) : []
  return { prompt: { ...prompt, references }, errors, warnings }
}

function schemaFaults(prompt: PreparedPrompt): Fault[] {
  const { content, where } = prompt
  const words = prompt.path === null ? `Prompt "${prompt.name}"` : `File "${prompt.path}"`
  return (content.inputs ? checkInputSchema(content.inputs) : []).map(({ path, message }) => ({
    code: 'inputs.schema',
    ...aboutPrompt(prompt),
    path: `${where}.${path}`,
    message: `${words}, ${path}: ${message}`,
  }))
}

type CheckedBody = { faults: Fault[]; references: VersionReference[]; variables: Variable[] }

/** All texts of a body are rendered together, and so have to be small enough together. */
async function checkBody(prompt: PreparedPrompt, path: string, body: Body, pause: Pause): Promise<CheckedBody> {
  const checked: CheckedBody = { faults: [], references: [], variables: [] }
  const roots = new Map<string, Root>()
  const size = new PromptSize()
  for (const { path: place, text } of textsOfBody(body, path)) {
    const check = () => {
      // Compiled, since unknown filters are found by that.
      const { root } = compileTemplate(text)
      size.add(root)
      roots.set(text, root)
      checked.references.push(...templateReferences(root).map((reference) => ({ ...reference, path: place })))
    }
    checked.faults.push(...templateFaults(prompt, place, text, check))
    const due = pause()
    if (due) await due
  }
  if (checked.faults.length > 0 || checked.references.length > 0) return checked
  const analyse = () => {
    checked.variables = bodyVariables(body, (text) => ({ template: { root: roots.get(text) as Root }, includes: new Map() }))
  }
  checked.faults.push(...templateFaults(prompt, joinPath(path, body.messages ? 'messages' : 'content'), '', analyse))
  return checked
}

/** What a step says of a text of a prompt, with the line where it can be shown. */
function templateFaults(prompt: PreparedPrompt, path: string, text: string, step: () => void): Fault[] {
  try {
    step()
    return []
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error
    const { words, line, column } = placeOf(prompt, { path, line: error.line, column: error.column })
    const excerpt = text === '' ? '' : `\n${excerptAt(text, error.line, error.column, line)}`
    const place = { line, column, path: `${prompt.where}.${path}` }
    return [{ code: error.code, ...aboutPrompt(prompt), ...place, message: `${words}: ${error.message}${excerpt}` }]
  }
}

/** What the bodies of a prompt use against what its inputs declare. */
export function declaredWarnings(prompt: PreparedPrompt, variables: Variable[][]): Remark[] {
  const { inputs } = prompt.content
  if (!inputs) return []
  return compareDeclared(mergeVariables(variables), inputs).map((message) => ({
    code: 'inputs.mismatch',
    ...aboutPrompt(prompt),
    path: requestPath(prompt, 'inputs'),
    message: `Prompt "${prompt.name}": ${message}`,
  }))
}

async function scanPrompts(prompts: PreparedPrompt[], pause: Pause): Promise<Remark[]> {
  const found = await mapInSlices(prompts, pause, (prompt) =>
    textsOf(prompt.content).flatMap(({ path, text }) =>
      scanContent(text).map(({ name, line }) => ({
        code: 'content.suspicious',
        ...aboutPrompt(prompt),
        path: `${prompt.where}.${path}`,
        message: `Prompt "${prompt.name}" holds ${name} (line ${line}).`,
      })),
    ),
  )
  return found.flat()
}
