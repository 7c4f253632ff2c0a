/** Runs so many works at once; whoever has waited for longest goes next. */
export class Lane {
  readonly #concurrent: number
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(concurrent: number) {
    this.#concurrent = concurrent
  }

  /** Resolves, or rejects, as the work does. */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#running >= this.#concurrent) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#running += 1
    try {
      return await work()
    } finally {
      // The place goes on to the next.
      const next = this.#waiting.shift()
      if (next) next()
      else this.#running -= 1
    }
  }
}
