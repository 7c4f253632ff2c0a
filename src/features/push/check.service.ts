import type { ProjectSettings } from '../../lib/access.js'
import type { VersionContent } from '../../lib/content-hash.js'
import { bodyVariables, mergeVariables } from '../../lib/prompt-variables.js'
import { textsOf } from '../../lib/references.js'
import { checkInputSchema } from '../../lib/rendering/input-schema.js'
import { scanContent } from '../../lib/scan.js'
import { mapInSlices, type Pause } from '../../lib/slices.js'
import { type Includes, templateReferences } from '../../lib/template/composition.js'
import { compareDeclared } from '../../lib/template/declared.js'
import { excerptAt } from '../../lib/template/excerpt.js'
import { parseTemplate } from '../../lib/template/parse.js'
import { compileTemplate } from '../../lib/template/render.js'
import type { TemplateNode } from '../../lib/template/syntax/nodes.js'
import { TemplateError } from '../../lib/template/template-error.js'
import type { Variable } from '../../lib/template/variables.js'
import { aboutPrompt, type Fault, type PreparedPrompt, placeOf, type Remark } from './read.service.js'

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
    const result = isKnown(prompt) ? { prompt, errors: [], warnings: [] } : checkPrompt(prompt)
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

function checkPrompt(prompt: PreparedPrompt): CheckedPrompt {
  const { content, where } = prompt
  const parsed = content.template === 'none' ? [] : textsOf(content).map(({ path, text }) => parseText(prompt, path, text))
  const good = parsed.flatMap((text) => ('root' in text ? [text] : []))
  const errors = parsed.flatMap((text) => ('fault' in text ? [text.fault] : []))
  for (const { path, message } of content.inputs ? checkInputSchema(content.inputs) : []) {
    const words = prompt.path === null ? `Prompt "${prompt.name}"` : `File "${prompt.path}"`
    errors.push({
      code: 'inputs.schema',
      ...aboutPrompt(prompt),
      path: `${where}.${path}`,
      message: `${words}, ${path}: ${message}`,
    })
  }
  const references = good.flatMap(({ path, root }) => templateReferences(root).map((reference) => ({ ...reference, path })))
  // What is included has a say in which variables there are, and is known later.
  const isWhole = errors.length === 0 && references.length === 0 && content.template === 'jinja' && content.inputs !== null
  const warnings = isWhole ? declaredWarnings(prompt, variablesOf(prompt.content, new Map())) : []
  return { prompt: { ...prompt, references }, errors, warnings }
}

/** The variables of a version, those of its variants included. */
export function variablesOf(content: VersionContent, includes: Includes<{ root: TemplateNode }>): Variable[] {
  const unitOf = (text: string) => ({ template: { root: parseTemplate(text) }, includes })
  return mergeVariables([content, ...content.variants].map((body) => bodyVariables(body, unitOf)))
}

/** What a prompt uses against what its inputs declare. */
export function declaredWarnings(prompt: PreparedPrompt, variables: Variable[]): Remark[] {
  return compareDeclared(variables, prompt.content.inputs ?? {}).map((message) => ({
    code: 'inputs.mismatch',
    ...aboutPrompt(prompt),
    path: `${prompt.where}.inputs`,
    message: `Prompt "${prompt.name}": ${message}`,
  }))
}

type Parsed = { path: string; root: TemplateNode } | { fault: Fault }

function parseText(prompt: PreparedPrompt, path: string, text: string): Parsed {
  try {
    // Compiled, since unknown filters are found by that.
    return { path, root: compileTemplate(text).root }
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error
    const { words, line, column } = placeOf(prompt, { path, line: error.line, column: error.column })
    const message = `${words}: ${error.message}\n${excerptAt(text, error.line, error.column, line)}`
    return { fault: { code: error.code, ...aboutPrompt(prompt), line, column, path: `${prompt.where}.${path}`, message } }
  }
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
