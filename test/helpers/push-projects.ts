import type { Answer, CallOptions, Service } from './service.js'

export type PushResult = { name: string; version: string; number: number; status: string }

export const prompt = (name: string, content: string, more: object = {}) => ({ name, content, ...more })
export const prompts = (contents: Record<string, string>) =>
  Object.entries(contents).map(([name, content]) => prompt(name, content))

/** What a push made of each prompt, as "name version status". */
export const statusesOf = ({ results }: { results: PushResult[] }) =>
  results.map(({ name, version, status }) => `${name} ${version} ${status}`)

/** An empty project, and what a test of pushes does with it. */
export type PushProject = {
  project: string
  call(path: string, options?: CallOptions): Promise<Answer>
  send(body: object, options?: CallOptions): Promise<Answer>
  /** Pushes and expects 200 or 201. */
  push(body: object): Promise<any>
  /** The version of each prompt of a release. */
  snapshot(ref: string): Promise<Record<string, string>>
  contentOf(name: string, ref: string): Promise<string>
}

export function openPushProjects(service: Service) {
  let projectCount = 0
  return {
    /** An empty project of its own for one test. */
    async makeProject(settings: object = {}): Promise<PushProject> {
      projectCount += 1
      const project = `push-${projectCount}`
      await service.call('/projects', { body: { slug: project, settings } })
      const call = (path: string, options: CallOptions = {}) => service.call(path, { project, ...options })
      return {
        call,
        project,
        send: (body, options = {}) => call('/prompts', { body, ...options }),
        push: (body) => service.push(body, { project }),
        async snapshot(ref) {
          const { body } = await call(`/releases/${ref}?limit=200`)
          return Object.fromEntries(body.items.map((item: { name: string; version: string }) => [item.name, item.version]))
        },
        contentOf: async (name, ref) => (await call(`/prompts/${encodeURIComponent(name)}/${ref}`)).body.content,
      }
    },
    /** Runs `work` and checks that it left every table as it was. */
    async changesNothing<T>(t: { strictSame(found: unknown, wanted: unknown, what: string): unknown }, work: () => Promise<T>) {
      const before = await service.countRows()
      const result = await work()
      t.strictSame(await service.countRows(), before, 'no table has gained or lost a row')
      return result
    },
  }
}
