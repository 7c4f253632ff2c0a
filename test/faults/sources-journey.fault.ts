import { createHmac, randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { Service } from '../helpers/service.js'
import { until } from '../helpers/until.js'
import { type RepositoryFiles, startGitServer } from '../providers/helpers/git-server.js'
import { migrateDatabase, startInstance } from './helpers/instances.js'
import { startPostgres } from './helpers/postgres-server.js'
import { startRedis } from './helpers/redis-server.js'

const patienceMs = 30_000
const pauseMs = 5
const commits = 10
/** The one after which Git is away for a while. */
const goneAfter = 5
const webhookSecret = 'a secret that GitHub knows as well'
const routes = ['prompts/{category}/{channel}.md', 'prompts/{category}/default.md']

t.setTimeout(110_000)
const postgres = await startPostgres(t)
const redis = await startRedis(t)
const git = await startGitServer(t)

async function startPair(name: string): Promise<[Service, Service]> {
  const databaseUrl = await postgres.createDatabase(name)
  await migrateDatabase(databaseUrl)
  const env = {
    PROMPTSYNC_ALLOWED_HOSTS: '127.0.0.1',
    PROMPTSYNC_ENCRYPTION_KEYS: Buffer.alloc(32, 7).toString('base64'),
    PROMPTSYNC_SYNC: 'on',
  }
  const start = () => startInstance(t, { databaseUrl, redisUrls: [redis.url], env })
  return [await start(), await start()]
}

const pathFile = `version: v1\nroutes:\n${routes.map((pattern) => `  - pattern: "${pattern}"\n`).join('')}`

/** Prompts in folders, one of which says how often it was changed. */
function filesAt(change: number): RepositoryFiles {
  const categories = ['meeting', 'review', 'support']
  const files: RepositoryFiles = { PATH: pathFile, 'README.md': 'Not a prompt.' }
  for (const category of categories) {
    files[`prompts/${category}/default.md`] = `What is to be said of ${category}`
    for (let index = 0; index < 20; index += 1) files[`prompts/${category}/channel-${index}.md`] = `${category} ${index}`
  }
  files['prompts/meeting/standup.md'] = `Standup, as of change ${change}`
  return files
}

/** As GitHub tells of a push. */
async function tellOf({ url }: Service, commit: string): Promise<number> {
  const body = JSON.stringify({ ref: 'refs/heads/main', after: commit, repository: { default_branch: 'main' } })
  const signature = createHmac('sha256', webhookSecret).update(body).digest('hex')
  const answer = await fetch(`${url}/hooks/github/default/team`, {
    method: 'POST',
    body,
    headers: {
      'content-type': 'application/json',
      'x-github-event': 'push',
      'x-github-delivery': randomUUID(),
      'x-hub-signature-256': `sha256=${signature}`,
    },
  })
  await answer.arrayBuffer()
  return answer.status
}

type Sample = { path: string; status: number; content: string; level: string }

/** Reads without a pause, until it is told to stop. */
function readOn({ call }: Service, paths: string[]): { samples: Sample[]; stop(): Promise<Sample[]> } {
  const samples: Sample[] = []
  const stopping = new AbortController()
  const reading = (async () => {
    while (!stopping.signal.aborted) {
      for (const path of paths) {
        const { status, body } = await call(path)
        samples.push({ path, status, content: body.content ?? body.code, level: body.level ?? '' })
      }
      await delay(pauseMs)
    }
  })()
  return {
    samples,
    async stop() {
      stopping.abort()
      await reading
      return samples
    },
  }
}

const standup = '/resolve?category=meeting&channel=standup'
const contentOf = async ({ call }: Service, path: string) => (await call(path)).body.content

t.test('a repository is followed by webhook through ten commits, while Git comes and goes and reads go on', async (t) => {
  const [one, other] = await startPair('followed')
  const repository = await git.createRepository('team')
  await repository.commit(filesAt(0))
  const source = { provider: 'git', config: { url: git.url('team') }, webhookSecret, ttlSeconds: 60 }
  const put = await one.call('/sources/team', { method: 'PUT', body: source })
  t.equal(put.status, 201, put.text)
  await until('it is synced', patienceMs, async () => (await one.call('/sources/team')).body.status === 'success')
  await until('both serve it', patienceMs, async () => (await contentOf(other, standup)) === 'Standup, as of change 0')

  const reads = [one, other].map((instance) => readOn(instance, [standup, '/prompts/meeting%2Fstandup/production']))
  const served: string[] = []
  for (let change = 1; change <= commits; change += 1) {
    const commit = await repository.commit(filesAt(change))
    t.equal(await tellOf(change % 2 === 0 ? one : other, commit), 202)
    await until(`change ${change} is served by both`, patienceMs, async () => {
      const contents = await Promise.all([one, other].map((instance) => contentOf(instance, standup)))
      return contents.every((content) => content === `Standup, as of change ${change}`)
    })
    const { body } = await one.call('/sources/team')
    served.push(`${body.release} ${body.commit === commit}`)
    if (change === goneAfter) {
      await git.goAway()
      t.equal(await tellOf(one, commit), 202, 'Git is away, and the webhook is taken all the same')
      await until('a sync failed', patienceMs, async () => (await one.call('/sources/team')).body.status === 'failed')
      const { body: failed } = await one.call('/sources/team')
      t.match(failed.lastRun.errors, [{ code: 'source.unreachable' }])
      t.equal(await contentOf(other, standup), `Standup, as of change ${change}`, 'what was synced before is served')
      await git.restore()
    }
  }
  const samples = (await Promise.all(reads.map((read) => read.stop()))).flat()
  t.strictSame(
    served,
    Array.from({ length: commits }, (_, index) => `r${index + 2} true`),
    'each commit is a release, and linked to it',
  )
  t.strictSame([...new Set(samples.map(({ status }) => status))], [200], `${samples.length} reads, none of which failed`)
  t.ok(
    samples.every(({ content }) => /^Standup, as of change \d+$/.test(content)),
    'all were true at some time',
  )
  const releases = (await one.call('/releases')).body.items
  t.equal(releases.length, commits + 1)
  const runs = async () => (await one.call('/sources/team/runs')).body.items
  // A release is served before its run has noted how it went.
  await until('all runs have ended', patienceMs, async () =>
    (await runs()).every((run: { finishedAt: string | null }) => run.finishedAt !== null),
  )
  t.same(
    (await runs()).filter(
      ({ status, counts }: { status: string; counts: { created: number } | null }) =>
        status === 'success' && counts?.created !== 1,
    ).length,
    1,
    'but for the first one, each sync made one version',
  )

  await t.test('each of the four levels answers', async (t) => {
    const levelOf = async (path: string) => {
      const { status, body } = await other.call(path)
      return [status, body.level, body.source, body.stale, body.name]
    }
    t.strictSame(await levelOf(standup), [200, 'registry', 'registry', false, 'meeting/standup'])
    t.strictSame(await levelOf('/resolve?category=meeting&channel=none'), [200, 'registry', 'registry', false, 'meeting/default'])
    await git.goAway()
    const { body: run } = await one.call('/sources/team/sync', { method: 'POST' })
    t.equal(run.status, 'failed')
    // As if its time to live had passed since.
    other.clock.advance(61_000)
    await until('it is known to be out of reach', patienceMs, async () => (await levelOf(standup))[1] === 'stale')
    t.strictSame(await levelOf(standup), [200, 'stale', 'registry', true, 'meeting/standup'])
    t.strictSame(await levelOf('/resolve?category=discussion'), [200, 'default', 'default', false, 'discussion'])
    t.strictSame(await levelOf('/resolve?category=unheard-of'), [200, 'fallback', 'fallback', false, 'default'])
    await git.restore()
  })
})
