import { execFileSync } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { openShell, type Shell } from '../helpers/cli.js'

// Starting processes is mostly waiting.
t.jobs = 2

type Found = { slug: string | null; from: string; isGuess: boolean; settingsFile: string | null }

/** Where nobody answers at once. */
const nowhere = { PROMPTSYNC_URL: 'http://127.0.0.1:1' }

/** The project of a folder below that of the shell, as `status` tells it; or what refuses it. */
async function projectIn(shell: Shell, folder: string, args: string[] = [], env: Record<string, string> = {}) {
  const ran = await shell.promptsync(['status', '--json', ...args], { cwd: join(shell.directory, folder), env })
  const project: Found | null = ran.stdout === '' ? null : JSON.parse(ran.stdout).project
  return { project, refusal: ran.stderr === '' ? null : JSON.parse(ran.stderr).error }
}

function git(shell: Shell, ...args: string[]): void {
  execFileSync('git', args, { cwd: shell.directory, stdio: 'ignore', env: { PATH: process.env.PATH, HOME: shell.directory } })
}

t.test('each way to name the project works, and goes before the ones after it', { buffered: true }, async (t) => {
  const shell = await openShell(t, nowhere)
  const at = (name: string) => join(shell.directory, name)
  const expect = async (slug: string | null, from: RegExp | string, args: string[] = [], env = {}) =>
    t.match((await projectIn(shell, '.', args, env)).project, { slug, from })
  await expect(null, /nothing names one/)
  git(shell, 'init')
  await expect('work', `the name of the folder ${shell.directory}`)
  git(shell, 'remote', 'add', 'origin', 'https://ada:secret@git.example.com/acme/Prompt_Store.git')
  await expect('prompt-store', 'the name of the repository https://git.example.com/acme/Prompt_Store.git')
  await shell.write({ 'package.json': '\ufeff{ "name": "@acme/Support.Bot" }' })
  await expect('support-bot', `the name in ${at('package.json')}`)
  await shell.write({ 'pyproject.toml': '[project]\nname = "py_bot"\n' })
  await expect('py-bot', `the name in ${at('pyproject.toml')}`)
  await shell.write({ 'pyproject.toml': '[tool.poetry]\nname = "poet"\n' })
  await expect('poet', `the name in ${at('pyproject.toml')}`)
  await shell.write({ 'pyproject.toml': '[tool.promptsync]\nproject = "tool"\n' })
  await expect('tool', at('pyproject.toml'))
  await shell.write({ 'package.json': '{ "name": "x", "promptsync": { "project": "in-package" } }' })
  await expect('in-package', at('package.json'))
  await shell.write({ 'promptsync.config.yaml': 'project: in-config\n' })
  await expect('in-config', at('promptsync.config.yaml'))
  await expect('in-environment', 'PROMPTSYNC_PROJECT', [], { PROMPTSYNC_PROJECT: 'in-environment' })
  await expect('on-the-line', '--project', ['--project', 'on-the-line'], { PROMPTSYNC_PROJECT: 'in-environment' })
})

t.test('settings may be written in each format, as modules of both kinds too', { buffered: true }, async (t) => {
  const shell = await openShell(t, nowhere)
  const settings: Record<string, string> = {
    'a/promptsync.config.ts': "type Settings = { project: string }\nexport default { project: 'one' } satisfies Settings\n",
    'b/promptsync.config.js': "export default { project: 'one' }\n",
    'c/promptsync.config.js': "module.exports = { project: 'one' }\n",
    'd/promptsync.config.mjs': "export default { project: 'one' }\n",
    'e/promptsync.config.json': '{ "project": "one" }',
    'f/promptsync.config.yaml': 'project: one\n',
    'g/promptsync.config.yml': 'project: one\n',
  }
  await shell.write(settings)
  for (const [file, index] of Object.keys(settings).map((file, index) => [file, index] as const)) {
    const { project } = await projectIn(shell, file.slice(0, 1))
    t.match(project, { slug: 'one', settingsFile: join(shell.directory, file) }, `${index}: ${file}`)
  }
})

t.test(
  'files count from here up to the root of the repository, the nearest first, and no further',
  { buffered: true },
  async (t) => {
    const shell = await openShell(t, nowhere)
    await shell.write({
      '../promptsync.config.yaml': 'project: above-the-repository\n',
      'packages/bot/promptsync.config.yaml': 'alias: dev\n',
      'packages/bot/src/deep/file': '',
      'packages/app/package.json': '{ "name": "the-app" }',
    })
    await mkdir(join(shell.directory, 'packages/plain'))
    t.match((await projectIn(shell, 'packages/plain')).project, { slug: null }, 'outside of a repository nothing above counts')
    git(shell, 'init')
    t.match(
      (await projectIn(shell, 'packages/plain')).project,
      { slug: 'work', settingsFile: null },
      'nor what is above its root',
    )
    await shell.write({ 'promptsync.config.yaml': 'project: whole\n' })
    const root = { slug: 'whole', settingsFile: join(shell.directory, 'promptsync.config.yaml') }
    t.match((await projectIn(shell, 'packages/plain')).project, root)
    t.match((await projectIn(shell, 'packages/app')).project, root, 'settings go before the name of a package that is nearer')
    t.match(
      (await projectIn(shell, 'packages/bot/src/deep')).project,
      { slug: 'work', settingsFile: join(shell.directory, 'packages/bot/promptsync.config.yaml') },
      'of settings the nearest count, whole',
    )
    t.match((await projectIn(shell, '.', [], { PATH: '/nonexistent' })).project, { slug: 'whole' }, 'without the git program too')
  },
)

t.test('what is wrong with the settings is said, with the file and what to do', { buffered: true }, async (t) => {
  const shell = await openShell(t, nowhere)
  const cases: [folder: string, files: Record<string, string>, says: RegExp][] = [
    ['two', { 'promptsync.config.yaml': '', 'promptsync.config.json': '{}' }, /two settings.*promptsync\.config\.json and prom/],
    ['json', { 'promptsync.config.json': '{ "project": ' }, /promptsync\.config\.json cannot be read: .*JSON/],
    ['yaml', { 'promptsync.config.yaml': 'a: [1' }, /promptsync\.config\.yaml cannot be read/],
    ['toml', { 'pyproject.toml': 'a = = 1' }, /pyproject\.toml cannot be read/],
    ['code', { 'promptsync.config.ts': 'throw new Error("its own")' }, /promptsync\.config\.ts cannot be read: its own/],
    ['syntax', { 'promptsync.config.js': 'export default {' }, /promptsync\.config\.js cannot be read/],
    ['list', { 'promptsync.config.yaml': '- project\n' }, /holds no settings/],
    ['unknown', { 'promptsync.config.yaml': 'projet: a\n' }, /"projet" is no setting/],
    ['type', { 'promptsync.config.yaml': 'project: 7\n' }, /"project" is not what it should be/],
    ['template', { 'promptsync.config.yaml': 'template: mustache\n' }, /"template" is not what it should be/],
    [
      'slug',
      { 'promptsync.config.yaml': 'project: Support Bot\n' },
      /"Support Bot" \(.*promptsync\.config\.yaml\) is no project/,
    ],
  ]
  for (const [folder, files, says] of cases) {
    await shell.write(Object.fromEntries(Object.entries(files).map(([name, text]) => [`${folder}/${name}`, text])))
    const { refusal } = await projectIn(shell, folder)
    t.match(refusal, { detail: says }, folder)
  }
  await shell.write({ 'empty/promptsync.config.yaml': '', 'odd/package.json': 'null', 'odd/pyproject.toml': '' })
  t.match((await projectIn(shell, 'empty')).project, { slug: null }, 'settings may be empty')
  t.match((await projectIn(shell, 'odd')).project, { slug: null }, 'files of others are not ours to judge')
  t.match((await projectIn(shell, 'empty', ['--project', 'a_b'])).refusal, { detail: /"a_b" \(--project\)/ })
  t.match((await projectIn(shell, 'empty', [], { PROMPTSYNC_PROJECT: 'ä' })).refusal, { detail: /PROMPTSYNC_PROJECT/ })
})
