import { spawnSync } from 'node:child_process'
import t from 'tap'
import { openShell } from '../helpers/cli.js'

// Starting processes is mostly waiting.
t.jobs = 2

/** What bash offers for a line whose last word is being typed. */
function complete(script: string, lines: readonly string[][]): string[] {
  const calls = lines.map((words) => {
    const line = words.map((word) => `'${word}'`).join(' ')
    return `COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; COMPREPLY=(); _promptsync; echo "\${COMPREPLY[*]}"`
  })
  const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', [script, ...calls].join('\n')], { encoding: 'utf8' })
  if (stderr !== '') throw new Error(stderr)
  return stdout.trimEnd().split('\n')
}

t.test('the script for bash completes commands, options, choices and topics', { buffered: true }, async (t) => {
  const shell = await openShell(t)
  const { code, stdout: script, stderr } = await shell.promptsync(['completion', 'bash'])
  t.match({ code, stderr }, { code: 0, stderr: '' })
  const cases: [words: string[], offered: string | RegExp][] = [
    [['promptsync', 'ali'], 'alias'],
    [['promptsync', 'alias', 'se'], 'set'],
    [['promptsync', '--json', 'ali'], 'alias'],
    [['promptsync', 'alias', 'set', 'production', '--dry'], '--dry-run'],
    [['promptsync', 'alias', 'set', '--prompt', 'al'], ''],
    [['promptsync', 'completion', 'z'], 'zsh'],
    [['promptsync', 'push', '--template', 'n'], 'none'],
    [['promptsync', 'help', 'exit'], 'exit-codes'],
    [['promptsync', 'help', 'ali'], 'alias'],
    [['promptsync', 'status', '--cu'], '--curl'],
    [['promptsync', ''], /^push .*\bstatus\b.*\bserve\b/],
  ]
  const offered = complete(
    script,
    cases.map(([words]) => words),
  )
  for (const [index, [words, expected]] of cases.entries()) t.match(offered[index] ?? '', expected, words.join(' '))
  t.equal(offered[4], '', 'what only the server knows is not guessed')
  t.equal(spawnSync('bash', ['--norc', '-c', `${script}\ncomplete -p promptsync`]).status, 0, 'it is registered')
})

t.test('there are scripts for zsh and fish, which those accept, and for no other shell', { buffered: true }, async (t) => {
  const shell = await openShell(t)
  for (const [name, says] of [
    ['zsh', 'compdef _promptsync promptsync'],
    ['fish', 'complete -c promptsync -n "test (__promptsync_path) = \'alias\'" -f -a set'],
  ] as const) {
    const ran = await shell.promptsync(['completion', name])
    t.match(ran, { code: 0, stderr: '', stdout: says })
    const checked = spawnSync(name, ['-n'], { input: ran.stdout })
    const isMissing = (checked.error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT'
    t.ok(isMissing || checked.status === 0, isMissing ? `${name} is not on this machine` : `${name} can read it`)
  }
  t.match(await shell.promptsync(['completion', 'tcsh']), { code: 1, stderr: /Allowed choices are bash, zsh, fish/ })
})
