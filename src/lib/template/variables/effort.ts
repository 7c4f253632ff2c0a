import { tooComplex } from '../template-error.js'

/** What is handed on from one template to another: variables, and places in them. */
const maxHandedOn = 10_000
/** Of that, what is handed on again where other names are bound, which a result can do without. */
const maxRepeated = 7_500

/** What an analysis takes that does not go with the length of the texts. */
export class Effort {
  #handedOn = 0
  #repeated = 0

  handOn(count: number): void {
    this.#handedOn += count
    if (this.#handedOn <= maxHandedOn) return
    const reason = 'What the prompt includes and extends uses too many variables in too many places.'
    throw tooComplex(`${reason} Include it in fewer places.`, { lineno: 0, colno: 0 })
  }

  /** Whether there may be so many more, which are then counted. */
  repeat(count: number): boolean {
    if (this.#repeated > maxRepeated) return false
    this.#repeated += count
    return true
  }
}
