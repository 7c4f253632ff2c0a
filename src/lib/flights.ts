/** A load took longer than it may; whoever asks next begins another one. */
export class LoadTimeout extends Error {}

/** As many loads are under way as may be. */
export class LoadsFull extends Error {}

export type Flights = {
  /**
   * Runs `load`, or waits for the one that is under way for the same key. Rejects with what it rejects with, with
   * `LoadTimeout`, or with `LoadsFull`.
   */
  run<T>(key: string, load: () => Promise<T>): Promise<T>
  underWay(): number
}

type Limits = { concurrent: number; timeoutMs: number }

/** One load at a time for each key, so many in all. One that is given up on, or fails, is in nobody's way. */
export function createFlights({ concurrent, timeoutMs }: Limits): Flights {
  const flights = new Map<string, Promise<unknown>>()

  function begin<T>(key: string, load: () => Promise<T>): Promise<T> {
    const flight = new Promise<T>((resolve, reject) => {
      const giveUp = setTimeout(() => reject(new LoadTimeout(`A load took over ${timeoutMs} ms.`)), timeoutMs)
      const loading = (async () => load())()
      loading.finally(() => clearTimeout(giveUp)).then(resolve, reject)
    }).finally(() => {
      if (flights.get(key) === flight) flights.delete(key)
    })
    flights.set(key, flight)
    return flight
  }

  return {
    run<T>(key: string, load: () => Promise<T>): Promise<T> {
      const known = flights.get(key) as Promise<T> | undefined
      if (known) return known
      if (flights.size >= concurrent) return Promise.reject(new LoadsFull(`${concurrent} loads are under way already.`))
      return begin(key, load)
    },
    underWay: () => flights.size,
  }
}
