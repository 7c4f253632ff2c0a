import type { Teardown } from '../../test/helpers/service.js'

/** What is started in it ends with it. */
export type Scope = Teardown & {
  /** Takes down what was set up, the last first. A second call does nothing. */
  close(): Promise<void>
}

export function openScope(): Scope {
  const works: (() => Promise<unknown> | unknown)[] = []
  return {
    teardown: (work) => {
      works.push(work)
    },
    async close() {
      const failures: unknown[] = []
      for (let work = works.pop(); work; work = works.pop()) {
        try {
          await work()
        } catch (error) {
          failures.push(error)
        }
      }
      if (failures.length > 0) throw new AggregateError(failures, 'Something did not end as it should.')
    },
  }
}

/** Runs work with a scope of its own, which ends with it; should `parent` end before, so does this one. */
export async function within<T>(parent: Teardown, work: (scope: Scope) => Promise<T>): Promise<T> {
  const scope = openScope()
  parent.teardown(() => scope.close())
  try {
    return await work(scope)
  } finally {
    await scope.close()
  }
}
