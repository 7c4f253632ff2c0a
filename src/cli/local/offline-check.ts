import { AppError } from '../../errors.js'
import { textsOf } from '../../lib/references.js'
import { TemplateError } from '../../lib/template/template-error.js'
import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'
import type { TemplateOption } from '../options/template-option.js'
import type { Finding } from '../terminal/findings.js'
import type { LocalFile, LocalPrompts } from './local-prompts.js'
import { parsePrompt } from './parsed-prompts.js'

/**
 * What can be told of files without a server: whether they can be read, are names of their own, and hold templates that can be
 * used. What they include, limits of the project and what is stored are not known.
 */
export async function checkOffline(context: Context, { files }: LocalPrompts, options: TemplateOption): Promise<Finding[]> {
  const { settings } = await context.project()
  const names = new Map<string, string>()
  const findings: Finding[] = []
  for (const file of files) {
    context.signal.throwIfAborted()
    findings.push(...(await checkFile(file, options.template ?? settings.template ?? 'jinja', names)))
  }
  return findings
}

async function checkFile(file: LocalFile, template: 'jinja' | 'none', names: Map<string, string>): Promise<Finding[]> {
  try {
    const prompt = await parsePrompt(file, template)
    const other = names.get(prompt.name)
    names.set(prompt.name, file.path)
    const same = `is prompt "${prompt.name}", and so is "${other}". Rename one of them.`
    const collisions = other === undefined ? [] : [toFinding(file, 'file.collision', `File "${file.path}": ${same}`)]
    return [...collisions, ...(prompt.content.template === 'none' ? [] : await checkTexts(file, prompt))]
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    const place = error.cause instanceof AppError ? (error.cause.errors?.[0] ?? {}) : {}
    return [toFinding(file, 'file.invalid', error.message, place)]
  }
}

type Place = { line?: number; column?: number }

async function checkTexts(file: LocalFile, { content }: Awaited<ReturnType<typeof parsePrompt>>): Promise<Finding[]> {
  const { compileTemplate } = await import('../../lib/template/render.js')
  const { parsePromptFile } = await import('../../lib/files.js')
  return textsOf(content).flatMap(({ path, text }) => {
    try {
      compileTemplate(text)
      return []
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error
      const place = parsePromptFile(file.path, file.content, file.path).locate(path, error.line, error.column)
      const words = place ? '' : ` ${path}, line ${error.line}, column ${error.column}:`
      return [toFinding(file, error.code, `File "${file.path}":${words} ${error.message}`, place ?? {})]
    }
  })
}

function toFinding({ path }: LocalFile, code: string, message: string, { line, column }: Place = {}): Finding {
  return { severity: 'error', code, message, path: '', prompt: null, file: path, line: line ?? null, column: column ?? null }
}
