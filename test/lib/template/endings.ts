import { performance } from 'node:perf_hooks'
import { templateReferences } from '../../../src/lib/template/composition.js'
import { compileTemplate, renderTemplate } from '../../../src/lib/template/render.js'
import { TemplateError } from '../../../src/lib/template/template-error.js'
import { templateVariables } from '../../../src/lib/template/variables.js'

export const maxMs = 50
/** What is refused near the limits takes up to that on a machine at rest; this leaves room for one that is not. */
export const busyMs = 200
/** The machine does other things as well: the fastest of several counts, by the clock or by the processor. */
const tries = 4

const variables = JSON.parse(`{
  "name": "Ada", "a": "x", "n": {}, "xs": [{ "a": 1 }, { "a": 2 }], "big": "${'ab'.repeat(50_000)}",
  "user": { "name": "Ada", "__proto__": { "admin": true }, "constructor": "own" }
}`) as Record<string, unknown>

export type Ending = { text: string; code: null } | { text: null; code: string }

export function end(source: string): Ending {
  try {
    const template = compileTemplate(source)
    templateVariables(template.root)
    templateReferences(template.root)
    return { text: renderTemplate(template, variables), code: null }
  } catch (error) {
    if (error instanceof TemplateError) return { text: null, code: error.code.replace('template.', '') }
    throw error
  }
}

/** How the template ends, and what all of its parse, analysis and rendering takes. */
export function endInTime(source: string): Ending & { ms: number } {
  let ms = Number.POSITIVE_INFINITY
  let ending: Ending | undefined
  for (let count = 0; count < tries && ms > maxMs; count += 1) {
    const [start, used] = [performance.now(), process.cpuUsage()]
    ending = end(source)
    const { user, system } = process.cpuUsage(used)
    ms = Math.min(ms, performance.now() - start, (user + system) / 1000)
  }
  return { ...(ending as Ending), ms }
}
