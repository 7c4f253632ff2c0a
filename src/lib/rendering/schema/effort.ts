/** Steps of one check, each about a microsecond at most: a value compared with one schema, or as much work as that. */
const maxSteps = 20_000
/** Schemas that are under way at once: those around the value, and those that name each other for the same value. */
const maxDepth = 400

/** A check would take longer than it may. */
export class EffortExceeded extends Error {
  override readonly name = 'EffortExceeded'
}

/** Counts the work of a check, which no schema and no value may make long. */
export class Effort {
  #left = maxSteps
  #depth = 0

  spend(steps: number): void {
    this.#left -= steps
    if (this.#left < 0) throw new EffortExceeded(`The check takes more than ${maxSteps} steps.`)
  }

  /** A step inwards; what is thrown in between ends the check, so that no one has to step out then. */
  enter(): void {
    this.#depth += 1
    if (this.#depth > maxDepth) throw new EffortExceeded(`The check goes more than ${maxDepth} schemas deep.`)
  }

  leave(): void {
    this.#depth -= 1
  }
}
