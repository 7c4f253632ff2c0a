import { Command } from 'commander'
import t, { type Test } from 'tap'
import { commandParts } from '../../src/cli/program.js'
import { openShell, type Shell } from '../helpers/cli.js'

// Starting processes is mostly waiting.
t.jobs = 2

/** Ends of commands that need no server. */
async function each(t: Test, shell: Shell, cases: [line: string, code: number, says: RegExp][]): Promise<void> {
  for (const [line, code, says] of cases) {
    const ran = await shell.promptsync(line.split(' ').filter((word) => word !== ''))
    t.equal(ran.code, code, `promptsync ${line}`)
    t.match(ran.stdout + ran.stderr, says, `promptsync ${line}`)
    t.notMatch(ran.stderr, /\n {4}at /, 'no stack')
    t.equal((code === 0 ? ran.stderr : ran.stdout).trim(), '', 'help goes to stdout, errors to stderr')
  }
}

t.test('the help of the program shows commands in groups, options, topics and examples', { buffered: true }, async (t) => {
  const shell = await openShell(t)
  const bare = await shell.promptsync([])
  t.match(bare, { code: 0, stderr: '' })
  for (const args of [['help'], ['--help']]) t.same(await shell.promptsync(args), bare, 'all ways show the same')
  const titles = [...bare.stdout.matchAll(/^[A-Z].*:$/gm)].map(([title]) => title)
  t.same(titles, [
    ...[
      'Usage:',
      'Prompts:',
      'Rollout:',
      'Setting up:',
      'Administration:',
      'The server:',
      'Options:',
      'Options of every command:',
    ],
    ...['Help topics:', 'Examples:', 'Learn more:'],
  ])
  for (const command of ['push', 'alias', 'status', 'serve', 'key']) t.match(bare.stdout, new RegExp(`^  ${command}  `, 'm'))
  t.ok(
    bare.stdout.split('\n').every((line) => line.length <= 100),
    'it fits a terminal',
  )
  t.notMatch(bare.stdout, '\u001b', 'a pipe gets no colours')
  const onTerminal = await shell.onTerminal(['help'])
  t.match(onTerminal.stdout, '\u001b[1mUsage:')
  t.notMatch((await shell.onTerminal(['help'], { env: { NO_COLOR: '1' } })).stdout, '\u001b')
})

t.test('every command is explained, and what cannot be understood points to its help', { buffered: true }, async (t) => {
  await each(t, await openShell(t), [
    [
      'help alias set',
      0,
      /Points an alias.*Usage:\n {2}promptsync alias set .*Arguments:.*Options:.*Examples:\n {2}\$ promptsync/s,
    ],
    ['alias set --help', 0, /Usage:\n {2}promptsync alias set/],
    ['help alias', 0, /Commands:\n {2}set /],
    ['help exit-codes', 0, /130 {2}interrupted/],
    ['help project', 0, /PROMPTSYNC_PROJECT/],
    ['help environment', 0, /PROMPTSYNC_TOKEN/],
    ['help files', 0, /\.promptsyncignore/],
    ['--version', 0, /^\d+\.\d+\.\d+\n$/],
    ['-v', 0, /^\d+\.\d+\.\d+\n$/],
    ['sevre', 1, /^promptsync: unknown command 'sevre'\n\(Did you mean serve\?\)\nSee: promptsync help\n$/],
    ['alias sett', 1, /Did you mean set\?.*See: promptsync help alias\n$/s],
    ['alias', 1, /Usage:\n {2}promptsync alias/],
    ['help allias', 1, /unknown command 'allias'\. Did you mean "alias"\?/],
    ['help exit-code', 1, /Did you mean "exit-codes"\?/],
    ['help alias sett', 1, /unknown command 'alias sett'\. Did you mean "set"\?/],
    ['status --quite', 1, /unknown option '--quite'\n\(Did you mean --quiet\?\)\nSee: promptsync help status\n$/],
    ['status too many', 1, /too many arguments/],
    ['alias set', 1, /missing required argument 'alias'/],
    ['status --timeout soon', 1, /--timeout <seconds>.*more than 0/],
    ['status --timeout 0', 1, /more than 0/],
    ['--json serve', 1, /unknown option '--json'\nSee: promptsync help serve/],
    ['serve --help', 0, /Runs the server/],
    ['migrate --project x', 1, /unknown option '--project'/],
  ])
})

t.test('an option of every command means the same before the command', { buffered: true }, async (t) => {
  const shell = await openShell(t, { PROMPTSYNC_URL: 'http://127.0.0.1:1' })
  const ran = await shell.promptsync(['--json', '--project', 'acme', 'status'])
  t.match(JSON.parse(ran.stdout), { project: { slug: 'acme', from: '--project' } })
})

t.test('each command is found in the part of the program that is loaded for it', async (t) => {
  for (const { names, load } of commandParts) {
    const program = new Command()
    ;(await load())(program, { code: 0 })
    t.same(
      program.commands.map((command) => command.name()),
      names,
    )
  }
})

/** Has a process write each package that it loads something of, a line each, to stderr. */
const namingPackages = (() => {
  const asModule = (text: string) => `data:text/javascript,${encodeURIComponent(text)}`
  const hook = `import { writeSync } from 'node:fs'
    export const load = (url, context, next) => {
      for (const [, name] of url.matchAll(/.*\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)\\//g)) writeSync(2, 'loaded: ' + name + '\\n')
      return next(url, context)
    }`
  return {
    NODE_OPTIONS: `--import=${asModule(`import { register } from 'node:module'; register(${JSON.stringify(asModule(hook))})`)}`,
  }
})()

t.test('a command waits for nothing that the service alone needs, nor for what other commands need', async (t) => {
  const shell = await openShell(t, { PROMPTSYNC_URL: 'http://127.0.0.1:1', ...namingPackages })
  await shell.write({ 'prompts/greeting.yaml': 'content: Hello!\n' })
  const usual = ['commander', 'promptsync']
  for (const [args, more] of [
    [['--version'], []],
    [['alias', 'list', '--project', 'acme'], []],
    [['get', 'greeting', '--project', 'acme'], []],
    [
      ['push', '--dry-run', '--project', 'acme'],
      ['ignore', 'js-yaml'],
    ],
  ] as const) {
    const { stderr } = await shell.promptsync([...args])
    const loaded = [...stderr.matchAll(/^loaded: (.*)/gm)].map(([, name]) => name as string)
    t.ok(loaded.includes('commander'))
    t.same(
      [...new Set(loaded)].filter((name) => ![...usual, ...more].includes(name)),
      [],
      args.join(' '),
    )
  }
})
