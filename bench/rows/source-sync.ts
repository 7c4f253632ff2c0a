import { type GitServer, type RepositoryFiles, startGitServer } from '../../test/providers/helpers/git-server.js'
import type { Scope } from '../lib/scope.js'
import { ask, type Instance, makeDatabase, type Stage, startInstance } from '../lib/stage.js'
import { judge, milliseconds } from '../lib/table.js'
import type { Row } from './row.js'

const promptCount = 2_000
const commitCount = 50
const coldMs = 10_000

type Run = { status: string; durationMs: number; counts: { files: number; created: number } | null; errors: unknown[] }

/** As many prompts in folders, a few of which each commit changes. */
function filesAt(commit: number): RepositoryFiles {
  const files: RepositoryFiles = { PATH: 'version: v1\nroutes:\n  - pattern: "prompts/{category}/{channel}.md"\n' }
  for (let index = 0; index < promptCount; index += 1) {
    const changed = index % commitCount < commit ? Math.min(commit, 3) : 0
    const text = `You help with matter ${index}, as of ${changed}. `.repeat(20)
    files[`prompts/area-${index % 40}/prompt-${index}.md`] = `${text}\n{{ question }}\n`
  }
  return files
}

/** A sync of a repository as large as they get, from nothing and after one more commit. */
export const sourceSync: Row = {
  name: 'source-sync',
  runs: 'always',
  async measure(scope, stage) {
    const git = await startGitServer(scope)
    const repository = await git.createRepository('large')
    for (let commit = 1; commit <= commitCount; commit += 1) await repository.commit(filesAt(commit))
    const instance = await startService(scope, stage)
    const config = { provider: 'git', config: { url: git.url('large') }, enabled: false }
    await ask(instance.url, '/sources/large', { method: 'PUT', body: config })

    const cold = await sync(git, instance)
    const same = await sync(git, instance)
    await repository.commit({ ...filesAt(commitCount), 'prompts/area-0/prompt-0.md': 'One that is new.' })
    const changed = await sync(git, instance)
    const of = `${promptCount.toLocaleString('en')} prompts, ${commitCount} commits`
    const line = (what: string, { run }: Synced, atMost: number) =>
      judge({
        what: `${what}: ${of}`,
        service: milliseconds(run.durationMs),
        value: run.durationMs,
        must: { atMost },
        unit: ' ms',
      })
    return {
      lines: [
        line('sync from nothing', cold, coldMs),
        judge({
          what: 'requests of a check that finds nothing new',
          service: `${same.requests}`,
          value: same.requests,
          must: { atMost: 1 },
        }),
        judge({
          what: 'files that one changed file makes it fetch',
          service: `${changed.files}`,
          value: changed.files,
          must: { atMost: 1 },
        }),
      ],
      notes: [
        `source-sync: ${cold.requests} requests and ${Math.round(cold.bytes / 1024)} KB from nothing, ${changed.requests} and ${Math.round(changed.bytes / 1024)} KB after one change.`,
      ],
    }
  },
}

async function startService(scope: Scope, stage: Stage): Promise<Instance> {
  const databaseUrl = await makeDatabase(scope, stage, 'source_sync')
  return startInstance(scope, stage, { databaseUrl, env: { PROMPTSYNC_ALLOWED_HOSTS: '127.0.0.1' } })
}

type Synced = { run: Run; requests: number; bytes: number; files: number }

async function sync(git: GitServer, { url }: Instance): Promise<Synced> {
  const before = { requests: git.requests.length, bytes: git.sentBytes() }
  const { body } = await ask(url, '/sources/large/sync', { method: 'POST' })
  const run = JSON.parse(body) as Run
  if (run.status === 'failed') throw new Error(`The sync failed: ${JSON.stringify(run.errors)}`)
  return {
    run,
    requests: git.requests.length - before.requests,
    bytes: git.sentBytes() - before.bytes,
    files: run.counts?.created ?? 0,
  }
}
