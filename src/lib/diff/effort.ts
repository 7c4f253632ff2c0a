/** Comparisons of two lines or words, or as much work as that. */
const maxSteps = 80_000
/** One line or text never takes more than this share of what is left, so that something is left for the others. */
const largestShare = 1 / 2
/** Lines that are read, those of both sides. */
const maxLines = 60_000
/** Lines that an answer tells of. */
const maxLinesTold = 10_000
/** Words that are looked at in lines that changed; every four characters count as one before they are split. */
const maxWords = 30_000

/**
 * What is left of the work that one comparison may take, a few dozen milliseconds in all. It is counted and not timed, so
 * that the same two prompts always give the same answer.
 */
export class Effort {
  #steps = maxSteps
  #lines = maxLines
  #linesTold = maxLinesTold
  #words = maxWords

  /** How many steps the next piece of work may take, at most `limit`. */
  steps(limit: number): number {
    return Math.min(limit, Math.floor(this.#steps * largestShare))
  }

  spend(steps: number): void {
    this.#steps = Math.max(0, this.#steps - steps)
  }

  /** Takes room to read so many lines, or returns false where there is none. */
  readLines(count: number): boolean {
    if (count > this.#lines) return false
    this.#lines -= count
    return true
  }

  /** Takes room to tell of so many lines, or returns false where there is none. */
  tellLines(count: number): boolean {
    if (count > this.#linesTold) return false
    this.#linesTold -= count
    return true
  }

  /** Takes room to look at so many words, or returns false where there is none. */
  readWords(count: number): boolean {
    if (count > this.#words) return false
    this.#words -= count
    return true
  }
}
