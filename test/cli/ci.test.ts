import { execFileSync, spawn } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { load } from 'js-yaml'
import t, { type Test } from 'tap'
import { packageVersion } from '../../src/lib/package-version.js'
import { bin, openProject, openShell, type Ran, serviceEnv } from '../helpers/cli.js'
import { startService, type Teardown } from '../helpers/service.js'

const oneService = await startService(t)

type Step = { run?: string; uses?: string; if?: string }
type Workflow = {
  env?: Record<string, string>
  jobs: Record<string, { if?: string; env?: Record<string, string>; steps: Step[] }>
}
type GitLabJob = { script: string[]; rules: { if: string }[] }

/** What CI is told of what happened. */
type Event = { name: 'pull_request' | 'push'; ref: string; hasSecrets?: boolean }

const pullRequest: Event = { name: 'pull_request', ref: 'refs/pull/7/merge' }
const fork: Event = { ...pullRequest, hasSecrets: false }
const main: Event = { name: 'push', ref: 'refs/heads/main' }
const tag: Event = { name: 'push', ref: 'refs/tags/v1.4.0' }

/** A repository, as CI finds it after a checkout, beside a service whose key it has. */
async function openRepository(t: Teardown) {
  const { service, slug } = await openProject(t, oneService)
  const scopes = ['prompts:read', 'prompts:write', 'aliases:write']
  const { secret } = await service.createKey({ name: 'CI', project: slug, scopes })
  const { directory, promptsync } = await openShell(t, serviceEnv(service, secret))
  const programs = join(directory, '..', 'programs')
  await mkdir(programs)
  await writeFile(join(programs, 'promptsync'), `#!/bin/sh\nexec '${process.execPath}' '${bin}' "$@"\n`, { mode: 0o755 })
  const shared = {
    ...{ PATH: `${programs}:${process.env.PATH}`, HOME: join(directory, '..'), CI: 'true' },
    ...{ GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' },
  }
  const git = (...args: string[]) => {
    const who = ['-c', 'user.name=A', '-c', 'user.email=a@example.com', '-c', 'init.defaultBranch=main']
    return execFileSync('git', [...who, ...args], { cwd: directory, encoding: 'utf8', env: shared }).trim()
  }
  const commit = async (files: Record<string, string>) => {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(directory, path)), { recursive: true })
      await writeFile(join(directory, path), text)
    }
    git('add', '--all')
    git('commit', '--quiet', '--message', 'Change prompts')
    return git('rev-parse', 'HEAD')
  }
  git('init', '--quiet')
  git('remote', 'add', 'origin', 'https://ci:hush@example.com/acme/app.git')
  const shell = (script: string, env: Record<string, string>) =>
    runShell(script, directory, { ...shared, PROMPTSYNC_URL: service.url, PROMPTSYNC_TOKEN: secret, ...env })
  return { service, slug, directory, git, commit, shell, promptsync }
}

/** As runners do it: bash, which ends at the first command that fails. */
function runShell(script: string, cwd: string, env: Record<string, string>): Promise<Ran> {
  const child = spawn('bash', ['--noprofile', '--norc', '-eo', 'pipefail', '-c', script], {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ran = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => (ran.stdout += chunk))
  child.stderr.on('data', (chunk) => (ran.stderr += chunk))
  return new Promise((resolve, reject) => child.on('error', reject).on('close', (code) => resolve({ code, ...ran })))
}

type Repository = Awaited<ReturnType<typeof openRepository>>

/** Runs the steps of a workflow that are for an event, as long as none fails. */
async function onGitHub({ shell, git }: Repository, workflow: Workflow, event: Event): Promise<Ran & { steps: number }> {
  const name = event.ref.replace(/^refs\/(heads|tags|pull)\//, '')
  const env: Record<string, string> = {
    ...{ GITHUB_ACTIONS: 'true', GITHUB_EVENT_NAME: event.name, GITHUB_REF: event.ref, GITHUB_REF_NAME: name },
    GITHUB_SHA: git('rev-parse', 'HEAD'),
    ...(event.hasSecrets === false ? { PROMPTSYNC_TOKEN: '' } : {}),
  }
  const repository = 'acme/app'
  const origin = event.hasSecrets === false ? 'stranger/app' : repository
  const github = {
    ...{ event_name: event.name, ref: event.ref, ref_name: name, repository, sha: env.GITHUB_SHA },
    ref_type: event.ref.startsWith('refs/tags/') ? 'tag' : 'branch',
    event: { pull_request: { head: { repo: { full_name: origin } } } },
  }
  const holds = (condition = 'true') =>
    evaluate(condition, { github, env: { PROMPTSYNC_TOKEN: env.PROMPTSYNC_TOKEN ?? 'set' }, startsWith })
  const total = { code: 0, stdout: '', stderr: '', steps: 0 } as Ran & { steps: number }
  for (const job of Object.values(workflow.jobs)) {
    if (!holds(job.if)) continue
    for (const { run, if: condition } of job.steps) {
      if (run === undefined || run.startsWith('npm ') || !holds(condition)) continue
      const ran = await shell(run, env)
      total.steps += 1
      total.stdout += ran.stdout
      total.stderr += ran.stderr
      if (ran.code !== 0) return { ...total, code: ran.code }
    }
  }
  return total
}

function startsWith(text: string, start: string): boolean {
  return text.startsWith(start)
}

/** Conditions of these workflows are written like those of this language. */
function evaluate(condition: string, scope: Record<string, unknown>): boolean {
  return Boolean(new Function(...Object.keys(scope), `return ${condition}`)(...Object.values(scope)))
}

async function documented(): Promise<{ github: Workflow; gitlab: Record<string, GitLabJob> }> {
  const page = await readFile('docs/ci.md', 'utf8')
  const [github, gitlab] = [...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text = '']) => load(text))
  return { github: github as Workflow, gitlab: gitlab as Record<string, GitLabJob> }
}

const settings = (slug: string) => ({ 'promptsync.config.yaml': `project: ${slug}\npath: prompts\n` })

/** What each of the workflows does with a pull request, the main branch and a tag. */
async function checkJourney(
  t: Test,
  repository: Repository,
  run: (event: Event) => Promise<Ran & { steps: number }>,
): Promise<void> {
  const { service, commit, git } = repository
  const release = async (alias: string) => (await service.call(`/aliases/${alias}`)).body.release
  const first = await commit({ 'prompts/meeting/notes.md': 'You take notes for {{ team }}.\n' })

  const before = await service.countRows()
  for (const event of [pullRequest, fork]) {
    const checked = await run(event)
    t.equal(checked.code, 0, checked.stderr)
  }
  t.strictSame(await service.countRows(), before, 'a pull request stores nothing')

  const onMain = await run(main)
  t.match(onMain, { code: 0, steps: 1 }, onMain.stderr)
  const pushed = (await service.call(`/releases/${await release('dev')}`)).body
  t.match(pushed, { git: { commit: first, branch: 'main', repo: 'https://example.com/acme/app.git', dirty: false } })
  const after = await service.countRows()
  t.match(await run(main), { code: 0 })
  t.strictSame(await service.countRows(), after, 'a job that is run again makes nothing')

  git('checkout', '--quiet', '--detach')
  const onTag = await run(tag)
  t.equal(onTag.code, 0, onTag.stderr)
  t.equal(await release('production'), 'v1.4.0')
  t.equal((await service.call('/prompts/meeting%2Fnotes/production')).body.content, 'You take notes for {{ team }}.\n')

  const stable = await release('dev')
  git('checkout', '--quiet', 'main')
  await commit({ 'prompts/meeting/notes.md': 'You take notes for {{ team.\n' })
  for (const event of [pullRequest, main]) {
    const failed = await run(event)
    t.equal(failed.code, 3, `${event.name} of a broken prompt`)
    t.match(failed.stdout + failed.stderr, /notes\.md:1/)
  }
  t.equal(await release('dev'), stable)
}

t.test(
  'the workflow in the documents checks pull requests, pushes the main branch, and releases tags',
  { buffered: true },
  async (t) => {
    const repository = await openRepository(t)
    const { github } = await documented()
    await repository.commit(settings(repository.slug))
    await checkJourney(t, repository, (event) => onGitHub(repository, github, event))
  },
)

t.test('so does the workflow that init writes', { buffered: true }, async (t) => {
  const repository = await openRepository(t)
  t.match(await repository.promptsync(['init', '--project', repository.slug]), { code: 0 })
  const written = await readFile(join(repository.directory, '.github', 'workflows', 'prompts.yml'), 'utf8')
  await checkJourney(t, repository, (event) => onGitHub(repository, load(written) as Workflow, event))
})

t.test('the jobs for GitLab do the same', { buffered: true }, async (t) => {
  const repository = await openRepository(t)
  const { default: _, ...jobs } = (await documented()).gitlab
  await repository.commit(settings(repository.slug))
  await checkJourney(t, repository, async (event) => {
    const isPush = event.name === 'push'
    const variables: Record<string, string> = {
      ...{ GITLAB_CI: 'true', CI_DEFAULT_BRANCH: 'main', CI_PIPELINE_SOURCE: isPush ? 'push' : 'merge_request_event' },
      ...(event === main ? { CI_COMMIT_BRANCH: 'main' } : {}),
      ...(event === tag ? { CI_COMMIT_TAG: 'v1.4.0' } : {}),
    }
    const holds = (rule: string) => evaluate(rule.replaceAll(/\$(\w+)/g, 'variables.$1 '), { variables })
    const scripts = Object.values(jobs).filter(({ rules }) => rules.some((rule) => holds(rule.if)))
    const ran = await repository.shell(scripts.map(({ script }) => script.join('\n')).join('\n'), variables)
    return { ...ran, steps: scripts.length }
  })
})

t.test('the documents install this version, and move production by what dev has', async (t) => {
  const page = await readFile('docs/ci.md', 'utf8')
  const versions = [...page.matchAll(/promptsync@(\S+)/g)].map(([, version]) => version)
  t.ok(versions.length >= 2)
  for (const version of versions) t.equal(version, packageVersion)
  const [line = ''] = /^promptsync alias set production --version \$\(.*\)$/m.exec(page) ?? []
  const repository = await openRepository(t)
  await repository.commit({ ...settings(repository.slug), 'prompts/a.md': 'A.' })
  await repository.shell('promptsync push --alias dev', {})
  t.match(await repository.shell(line, {}), { code: 0, stderr: /Made production, pointing to r1/ })
  await onEmpty(t, repository, line)
})

/** A command that fails within another leaves an empty word, or none. */
async function onEmpty(t: Test, { service, shell }: Repository, line: string): Promise<void> {
  await service.call('/aliases/dev', { method: 'DELETE' })
  t.match(await shell(line, {}), { code: 1, stderr: /No release or alias "dev"/ })
  t.equal((await service.call('/aliases/production')).body.release, 'r1')
}
