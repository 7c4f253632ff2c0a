import t from 'tap'
import { openProject, undoOf } from '../helpers/cli.js'
import { startService, type Teardown } from '../helpers/service.js'

const shared = await startService(t)

/** Releases `one` to `three`, and production at the first. */
async function openRegistry(t: Teardown) {
  const { service, shell } = await openProject(t, shared)
  for (const version of ['one', 'two', 'three']) await service.push({ version, prompts: [{ name: 'a', content: version }] })
  await service.call('/aliases/production', { method: 'PUT', body: { version: 'one' } })
  const state = async () => {
    const { release, canary } = (await service.call('/aliases/production')).body
    return `${release} ${canary ? `${canary.release} ${canary.percentage}` : 'alone'}`
  }
  return { service, shell, state, run: shell.promptsync }
}

t.test('every change of a canary says what it did, and names the command that undoes it', { buffered: true }, async (t) => {
  const { service, run, state } = await openRegistry(t)

  const started = await run(['canary', 'set', '--alias', 'production', '--version', 'two', '--percentage', '10'])
  t.strictSame(started, {
    code: 0,
    stdout: '',
    stderr: [
      'Started a canary on production: two for 10 % (revision 2).',
      'Undo: promptsync canary delete production',
      'For everyone: promptsync canary promote production\n',
    ].join('\n'),
  })
  t.match(
    (await run(undoOf(started.stderr))).stderr,
    'Ended the canary of production, two for 10 %. Everyone gets one (revision 3).',
  )
  t.equal(await state(), 'one alone')

  await run(['canary', 'set', 'production', 'two', '0.5%', '--quiet'])
  const same = await run(['canary', 'set', 'production', 'two', '0.5'])
  t.equal(same.stderr, 'The canary of production gives two for 0.5 % already. Nothing changed.\n')
  const raised = await run(['canary', 'set', 'production', 'two', '50'])
  t.match(raised.stderr, 'Changed the canary of production from two for 0.5 % to two for 50 % (revision 5).')
  await run(undoOf(raised.stderr))
  t.equal(await state(), 'one two 0.5')

  const { body } = await service.call('/canary')
  t.strictSame(JSON.parse((await run(['canary', 'list', '--json'])).stdout), body)
  t.match((await run(['canary', 'list'])).stdout, /^production\ttwo\t0\.5\t\t\S+Z\n$/)

  const ended = await run(['canary', 'delete', 'production'])
  t.match(ended.stderr, 'Undo: promptsync canary set production two 0.5\n')
  await run(undoOf(ended.stderr))
  t.equal(await state(), 'one two 0.5')

  const promoted = await run(['canary', 'promote', 'production', '--reason', 'It does better'])
  t.match(promoted.stderr, 'Moved production from one to two for everyone (revision 9).')
  t.match(promoted.stderr, 'And for the canary: promptsync canary set production two 0.5\n')
  t.equal(await state(), 'two alone')
  await run(undoOf(promoted.stderr))
  t.equal(await state(), 'one alone')
})

t.test('a rollback and a deletion that end a canary name the command that starts it again', { buffered: true }, async (t) => {
  const { run, state } = await openRegistry(t)
  await run(['canary', 'set', 'production', 'three', '25'])
  const back = await run(['alias', 'rollback', 'production'])
  t.match(back.stderr, 'Ended the canary of production, three for 25 %. It points to one as before (revision 3).')
  await run(undoOf(back.stderr))
  t.equal(await state(), 'one three 25')
  const gone = await run(['alias', 'delete', 'production', '--yes'])
  t.match(gone.stderr, 'Deleted production, which pointed to one, and its canary.')
  await run(undoOf(gone.stderr))
  const [, again = ''] = /^And for the canary: promptsync (.*)$/m.exec(gone.stderr) ?? []
  await run(again.split(' '))
  t.equal(await state(), 'one three 25')
  t.match(await run(['version', 'get', 'production']), { code: 0, stdout: 'one\n' }, 'a version is that of the alias itself')
})

t.test('what is wrong is said before anything is asked of the server, or with its suggestion', { buffered: true }, async (t) => {
  const { service, shell, run } = await openRegistry(t)
  const nowhere = { env: { PROMPTSYNC_URL: 'http://127.0.0.1:1' } }
  const before = await service.countRows()
  for (const [args, stderr, options] of [
    [['production', 'two', '0'], '"0" is no percentage of a canary.\nGive a number from 0.01 to 100', nowhere],
    [['production', 'two', '1.005'], '"1.005" is no percentage', nowhere],
    [['production', 'two', '-5'], '"-5" is no percentage', nowhere],
    [['production', 'two'], 'The percentage is missing.\npromptsync canary set ALIAS VERSION PERCENTAGE', nowhere],
    [['production', 'two', '5', '--alias', 'dev'], 'The alias is given twice: "production" and "dev"', nowhere],
    [['--alias', 'production', '--version', '', '--percentage', '5'], 'The version is empty', nowhere],
    [['prodution', 'two', '5'], 'Did you mean "production"?', {}],
    [['production', 'tow', '5'], 'Did you mean "two"?', {}],
    [['production', 'one', '5'], 'points to one already', {}],
  ] as const) {
    t.match(await run(['canary', 'set', ...args], options), { code: 1, stdout: '', stderr }, args.join(' '))
  }
  t.match(await run(['canary', 'promote', 'production']), { code: 1, stderr: /no canary running/ })
  t.strictSame(await service.countRows(), before)
  t.match(await shell.onTerminal(['canary', 'list']), { code: 0, stdout: /No canary runs\./ })
})
