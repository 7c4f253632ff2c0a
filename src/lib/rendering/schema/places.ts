import { joinPath } from '../../text.js'

/** Where a value or a schema is, as a list from the inside out: the text of it is made only where there is something to say. */
export type Place = { parent: Place | null; step: string | number }

/** A longer name is cut in paths and messages. */
const maxStepLength = 200

export function within(parent: Place, step: string | number): Place {
  return { parent, step }
}

/** `variables.docs[2].title`. */
export function pathOf(place: Place): string {
  const steps: (string | number)[] = []
  for (let at: Place | null = place; at; at = at.parent) steps.push(at.step)
  return steps.reverse().reduce<string>((path, step) => joinPath(path, typeof step === 'number' ? step : shortened(step)), '')
}

function shortened(step: string): string {
  return step.length > maxStepLength ? `${step.slice(0, maxStepLength)}…` : step
}
