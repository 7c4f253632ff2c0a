import type { PlannedVersion } from '../../lib/prompt-plan.js'
import type { Context } from '../context.js'
import { readIncluded, readRelease, readServed } from '../server/stored-prompts.js'
import type { Finding } from '../terminal/findings.js'
import { readBoth } from './local-diff.js'
import type { ParsedPrompt } from './parsed-prompts.js'
import { openLibrary } from './prompt-library.js'

type Variable = { name: string; required: boolean }

/** What an application has to give and to understand of a prompt. `file` is null of one that is stored. */
type Demands = { type: 'text' | 'chat'; variables: Variable[]; file: string | null }

/** What applications were written for, and what they would get. `keepsOthers`: what is only in the first is not gone. */
export type Sides = { ref: string; before: Map<string, Demands>; after: Map<string, Demands>; keepsOthers: boolean }

/** The prompts of a ref against the local files. Throws a `CliError` where a file cannot be read, and `PromptsyncError`. */
export async function localSides(context: Context, ref: string, prompts: Map<string, ParsedPrompt>): Promise<Sides> {
  const { local, stored } = await readBoth(context, ref, prompts)
  const unknown = (await openLibrary(local, stored)).unknown(local.values())
  const library = await openLibrary(local, new Map([...(await readIncluded(context, ref, unknown)), ...stored]))
  const after = new Map<string, Demands>()
  for (const [name, prompt] of local) {
    after.set(name, { type: prompt.content.type, variables: merged(library.bodies(prompt)), file: prompt.path })
  }
  return { ref, before: demandsOf(stored), after, keepsOthers: true }
}

/** The prompts of two refs, each of which names a release. Throws `PromptsyncError`. */
export async function storedSides(context: Context, [from = '', to = '']: string[]): Promise<Sides> {
  const read = async (ref: string) => {
    const release = await readRelease(context, ref)
    return demandsOf((await readServed(context, release)).prompts)
  }
  return { ref: from, before: await read(from), after: await read(to), keepsOthers: false }
}

function demandsOf(stored: ReadonlyMap<string, PlannedVersion>): Map<string, Demands> {
  const demands = [...stored].map(([name, prompt]) => {
    const variables = merged([prompt.variables, ...prompt.variants.map((variant) => variant.variables)])
    return [name, { type: prompt.type, variables, file: null }] as const
  })
  return new Map(demands)
}

/** Whichever variant is chosen, the application gives the same. */
function merged(lists: readonly Variable[][]): Variable[] {
  const all = new Map<string, boolean>()
  for (const { name, required } of lists.flat()) all.set(name, required || all.get(name) === true)
  return [...all].map(([name, required]) => ({ name, required }))
}

/** Why applications that were written for one side cannot go on with the other. Pure. */
export function compatibleFindings({ ref, before, after, keepsOthers }: Sides): Finding[] {
  const changed = [...after].flatMap(([name, demands]) => {
    const known = before.get(name)
    return known ? changedDemands(name, known, demands, ref) : []
  })
  const gone = [...before.keys()].filter((name) => !after.has(name))
  const vanished = gone.map((name) =>
    keepsOthers
      ? toFinding('warning', 'compatibility.prompt', name, null, `is in ${ref} and not here: a push keeps it, unless it prunes.`)
      : toFinding('error', 'compatibility.prompt', name, null, `is in ${ref} only: applications that ask for it get nothing.`),
  )
  return [...changed, ...vanished]
}

function changedDemands(name: string, before: Demands, { type, variables, file }: Demands, ref: string): Finding[] {
  const known = new Map(before.variables.map((variable) => [variable.name, variable.required]))
  const required = variables.filter((variable) => variable.required && known.get(variable.name) !== true)
  const added = required.filter((variable) => !known.has(variable.name)).map((variable) => variable.name)
  const tightened = required.filter((variable) => known.has(variable.name)).map((variable) => variable.name)
  const told = (names: string[]) => names.map((each) => `"${each}"`).join(', ')
  const findings: Finding[] = []
  if (type !== before.type) {
    findings.push(toFinding('error', 'compatibility.type', name, file, `is ${type} and was ${before.type} in ${ref}.`))
  }
  if (added.length > 0) {
    const what = `needs ${told(added)}, which applications written for ${ref} do not give.`
    findings.push(toFinding('error', 'compatibility.variable', name, file, what))
  }
  if (tightened.length > 0) {
    const what = `needs ${told(tightened)}, which applications written for ${ref} could leave out.`
    findings.push(toFinding('warning', 'compatibility.variable', name, file, what))
  }
  return findings
}

function toFinding(severity: Finding['severity'], code: string, prompt: string, file: string | null, what: string): Finding {
  return { severity, code, message: `Prompt "${prompt}" ${what}`, path: '', prompt, file, line: null, column: null }
}
