import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import { AppError } from '../../src/errors.js'
import { acceptQuality } from '../../src/lib/accept.js'
import { createByteRoom } from '../../src/lib/byte-room.js'
import { type Kind, pagedList } from '../../src/lib/cursor.js'
import { inParallel } from '../../src/lib/parallel.js'
import { scanContent } from '../../src/lib/scan.js'
import { createSecret, hashSecret, stripCredentials } from '../../src/lib/secrets.js'
import { createPause, mapInSlices } from '../../src/lib/slices.js'
import { didYouMean, suggest } from '../../src/lib/suggest.js'
import { findUnstorable, joinPath, unstorableReason } from '../../src/lib/text.js'
import { createWriteQueue, QueueFull } from '../../src/lib/write-queue.js'
import { runs } from '../helpers/runs.js'
import { stopwatch } from '../helpers/stopwatch.js'

const base64url = (text: string) => Buffer.from(text).toString('base64url')

/** A promise and what settles it. */
function createGate() {
  let open: () => void = () => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, opened }
}

/** Lets everything that is ready to run do so. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await nextTurn()
}

function work(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

t.test('accept: the most specific range that covers a type decides', async (t) => {
  const qualities: [header: string | undefined, type: string, quality: number][] = [
    [undefined, 'text/plain', 1],
    ['', 'text/plain', 1],
    ['*/*', 'text/plain', 1],
    ['text/*', 'text/plain', 1],
    ['text/*', 'application/json', 0],
    ['text/plain', 'text/plain', 1],
    ['application/json', 'text/plain', 0],
    ['text/plain;q=0.5', 'text/plain', 0.5],
    ['text/plain; q=0.5 , */*;q=0.1', 'text/plain', 0.5],
    ['*/*;q=0.1, text/*;q=0.3, text/plain;q=0.2', 'text/plain', 0.2],
    ['*/*;q=0.1, text/*;q=0.3', 'text/plain', 0.3],
    ['*/*, text/plain;q=0', 'text/plain', 0],
    ['TEXT/PLAIN;Q=0.4', 'text/plain', 0.4],
    ['text/plain;charset=utf-8', 'text/plain', 1],
    ['text/plain;charset=utf-8;q=0.7', 'text/plain', 0.7],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'application/json', 0.8],
    [' , ,text/plain', 'text/plain', 1],
  ]
  for (const [header, type, quality] of qualities) t.equal(acceptQuality(header, type), quality, `${header} for ${type}`)
})

t.test('accept: a quality is between 0 and 1 whatever a client sends', async (t) => {
  for (const quality of ['2', '-1', 'x', '', '1e9', 'NaN', 'Infinity']) {
    const given = acceptQuality(`text/plain;q=${quality}`, 'text/plain')
    t.ok(given >= 0 && given <= 1, `q=${quality}: ${given}`)
  }
  fc.assert(
    fc.property(fc.string(), (header) => {
      const quality = acceptQuality(header, 'text/plain')
      return quality >= 0 && quality <= 1
    }),
  )
})

t.test('suggest: a slip of the hand finds the name that was meant', async (t) => {
  const known = ['production', 'staging', 'dev', 'v1.2.0', 'customer_support', '客服']
  t.equal(suggest('prodution', known), 'production')
  t.equal(suggest('productoin', known), 'production')
  t.equal(suggest('stagging', known), 'staging')
  t.equal(suggest('dve', known), 'dev', 'two letters swapped')
  t.equal(suggest('vdx', known), null, 'two slips in three letters are another word')
  t.equal(suggest('de', known), 'dev')
  t.equal(suggest('v1.2.1', known), 'v1.2.0')
  t.equal(suggest('customer-support', known), 'customer_support')
  t.equal(suggest('客', known), '客服')
})

t.test('suggest: what is far from everything suggests nothing', async (t) => {
  t.equal(suggest('banana', ['production', 'staging']), null)
  t.equal(suggest('anything', []), null)
  t.equal(suggest('', ['production']), null)
  t.equal(suggest('production-of-everything', ['production']), null)
})

t.test('suggest: the nearest wins, and of equally near ones the first', async (t) => {
  t.equal(suggest('stable', ['table', 'stable1', 'stables', 'stable']), 'stable')
  t.equal(suggest('prod3', ['prod1', 'prod2']), 'prod1')
})

t.test('suggest: the hint is a sentence or nothing', async (t) => {
  t.equal(didYouMean('prodution', ['production']), ' Did you mean "production"?')
  t.equal(didYouMean('banana', ['production']), '')
})

t.test('scan: script tags, javascript: URLs and event handlers are found with their line', async (t) => {
  t.same(scanContent('ok\n<script>alert(1)</script>'), [{ name: 'a <script> tag', line: 2 }])
  t.same(scanContent('a\r\nb\r\n<a href="JavaScript:x">'), [{ name: 'a javascript: URL', line: 3 }])
  t.same(scanContent('<img src=x onerror=alert(1)>'), [{ name: 'an event-handler attribute', line: 1 }])
  for (const text of [
    '<svg/onload=x>',
    '<p\nonclick = "x">',
    "<a title='x'onclick=y>",
    '<BODY ONLOAD=x>',
    '<input autofocus onfocus=x>',
  ]) {
    t.same(
      scanContent(text).map(({ name }) => name),
      ['an event-handler attribute'],
      text,
    )
  }
  t.same(
    scanContent('<script>\n<img onerror=x>\njavascript:').map(({ line }) => line),
    [1, 3, 2],
  )
})

t.test('scan: prose, templates and harmless markup are not findings', async (t) => {
  for (const text of [
    'Write a script for the on-call engineer: onboarding = done.',
    'if a <b and c on time = 3',
    '<b>Click onclick="x"</b>',
    '{{ only }} {% if once == 1 %}',
    '<div class="on">',
    '<p once>',
    'java script: x',
    '< script>',
    '客服 <客服 on客服=1>',
    '',
  ]) {
    t.same(scanContent(text), [], text)
  }
})

t.test('scan: hostile texts of 256 KiB take no time', async (t) => {
  const elapsedMs = stopwatch()
  for (const text of ['<a', '<a ', ' on', '<a on', '<scrip', 'javascript', '\n', '<a onaaaaaaaaaa    ', "<a '", '<']) {
    scanContent(text.repeat(Math.ceil((256 * 1024) / text.length)))
    scanContent(`<a ${text.repeat(Math.ceil((256 * 1024) / text.length))}`)
  }
  t.ok(elapsedMs() < 500, `${elapsedMs()} ms`)
})

t.test('secrets: a new key is ps_ and 43 base62 digits, never the same', async (t) => {
  const secrets = Array.from({ length: 1_000 }, createSecret)
  t.ok(secrets.every((secret) => /^ps_[0-9A-Za-z]{43}$/.test(secret)))
  t.equal(new Set(secrets).size, secrets.length)
  const digits = new Set(secrets.flatMap((secret) => [...secret.slice(4)]))
  t.equal(digits.size, 62, 'every digit is in use')
})

t.test('secrets: what is stored of a key is its SHA-256', async (t) => {
  t.equal(Buffer.from(hashSecret('abc')).toString('hex'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  t.equal(hashSecret(createSecret()).length, 32)
})

t.test('secrets: user and password leave a repository URL, and nothing else does', async (t) => {
  const stripped = {
    'https://user:password@github.com/acme/app.git': 'https://github.com/acme/app.git',
    'https://token@github.com/acme/app': 'https://github.com/acme/app',
    'https://x-access-token:ghs_1@github.com:8443/acme/app?a=b#c': 'https://github.com:8443/acme/app?a=b#c',
    'https://user:p@ss:word@github.com/acme': 'https://github.com/acme',
    'HTTPS://u:p@GitHub.com/x': 'HTTPS://GitHub.com/x',
    'ssh://git:password@github.com/acme/app': 'ssh://github.com/acme/app',
    'https://:password@github.com/x': 'https://github.com/x',
  }
  for (const [url, expected] of Object.entries(stripped)) t.same(stripCredentials(url), { url: expected, stripped: true }, url)
  for (const url of [
    'https://github.com/acme/app.git',
    'ssh://git@github.com/acme/app',
    'git@github.com:acme/app.git',
    'https://github.com/acme/app@v1',
    'https://github.com/?who=a@b',
    'https://github.com/#a@b',
    'acme/app',
    '../app',
    '',
  ]) {
    t.same(stripCredentials(url), { url, stripped: false }, url)
  }
})

t.test('secrets: no password that a URL parser finds stays, however the URL is written', async (t) => {
  const urls = fc
    .tuple(
      fc.constantFrom('', ' ', '\t', '\n', '  '),
      fc.constantFrom('https:', 'HTTP:', 'ssh:', 'git+https:', 'ftp:'),
      fc.constantFrom('//', '/', '\\\\', '/\\', '///'),
      fc.constantFrom('user:hunter2@', ':hunter2@', 'a:b:hunter2@', 'a@b:hunter2@', 'u:hunter2@hunter2@'),
      fc.constantFrom('github.com', 'github.com:8443', '[::1]'),
      fc.constantFrom('', '/acme/app', '/a@b', '?a=b', '#c'),
    )
    .map((parts) => parts.join(''))
    .filter((url) => URL.canParse(url) && new URL(url).password !== '')
  fc.assert(
    fc.property(urls, (text) => {
      const { url, stripped } = stripCredentials(text)
      return stripped && !url.includes('hunter2')
    }),
    { numRuns: runs(500) },
  )
  t.pass()
})

t.test('cursor: a position comes back as it went in', async (t) => {
  const list = pagedList<[string, number]>('things', ['text', 'number'])
  const text = fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0'))
  fc.assert(
    fc.property(text, fc.nat(2 ** 31 - 1), (text, number) => {
      const cursor = list.cursor([text, number])
      const position = list.position(cursor)
      return /^[\w-]+$/.test(cursor) && position?.[0] === text && position[1] === number
    }),
  )
  t.equal(list.position(undefined), null)
})

t.test('cursor: anything this list did not give is refused', async (t) => {
  const list = pagedList<[string, number]>('things', ['text', 'number'])
  const positions = [
    'null',
    '{}',
    '"things"',
    '[]',
    '["things"]',
    '["things","a"]',
    '["things","a",1,2]',
    '["things",1,"a"]',
    '["things","a",-1]',
    '["things","a",1.5]',
    '["things","a",1e300]',
    '["things","a",2147483648]',
    '["things","a",null]',
    '["things","a\\u0000",1]',
    '["things","\\ud800",1]',
    '["things",["a"],1]',
    '[["things"],"a",1]',
    '["a",1]',
  ]
  for (const cursor of ['', 'x', '!!!', ...positions.map(base64url)]) {
    t.throws(() => list.position(cursor), { code: 'cursor.invalid', errors: [{ path: 'cursor' }] }, cursor)
  }
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json().map(base64url)), (cursor) => {
      try {
        list.position(cursor)
        return false
      } catch (error) {
        return error instanceof AppError && error.code === 'cursor.invalid' && error.status === 422
      }
    }),
  )
})

t.test('cursor: the cursor of one list is none of another', async (t) => {
  const prompts = pagedList<[string]>('prompts', ['text'])
  const aliases = pagedList<[string]>('aliases', ['text'])
  t.same(prompts.position(prompts.cursor(['a'])), ['a'])
  t.throws(() => aliases.position(prompts.cursor(['a'])), { code: 'cursor.invalid' })
})

t.test('cursor: every kind of key takes what the database takes, and nothing else', async (t) => {
  const kinds: Record<Kind, { good: (string | number)[]; bad: (string | number)[] }> = {
    text: { good: ['', 'a', '客服 😀'], bad: [1, 'a\0', '\ud800'] },
    number: { good: [0, 2_147_483_647], bad: ['1', -1, 0.5, 2_147_483_648] },
    id: { good: ['0', '12', '999999999999999999'], bad: [12, '', '-1', '1.5', 'x', '9'.repeat(19), '1e3', '٣'] },
    uuid: {
      good: ['123e4567-e89b-12d3-a456-426614174000'],
      bad: ['', '123e4567', '123e4567-e89b-12d3-a456-42661417400g', '123E4567-E89B-12D3-A456-426614174000 '],
    },
    date: {
      good: ['2024-02-29T12:00:00.000Z', '1970-01-01T00:00:00.000Z'],
      bad: [
        0,
        '',
        'now',
        '2024-13-01T00:00:00.000Z',
        '2024-01-01',
        '2024-01-01T25:00:00.000Z',
        '0000-01-01T00:00:00.000Z',
        '2024-01-01T00:00:00.000+02',
      ],
    },
  }
  for (const [kind, { good, bad }] of Object.entries(kinds) as [
    Kind,
    { good: (string | number)[]; bad: (string | number)[] },
  ][]) {
    const list = pagedList<[string | number]>('things', [kind])
    for (const part of good) t.same(list.position(list.cursor([part])), [part], `${kind} ${JSON.stringify(part)}`)
    for (const part of bad)
      t.throws(() => list.position(list.cursor([part])), { code: 'cursor.invalid' }, `${kind} ${JSON.stringify(part)}`)
  }
})

t.test('cursor: a page has at most its limit, and a cursor only when there is more', async (t) => {
  const list = pagedList<[number]>('things', ['number'])
  const page = (rows: number[], limit: number) =>
    list.page(
      rows,
      limit,
      (row) => [row],
      (row) => ({ row }),
    )
  t.same(page([], 2), { items: [], nextCursor: null })
  t.same(page([1, 2], 2), { items: [{ row: 1 }, { row: 2 }], nextCursor: null })
  t.same(page([1, 2, 3], 2), { items: [{ row: 1 }, { row: 2 }], nextCursor: list.cursor([2]) })
})

t.test('text: what Postgres cannot keep is named with its path', async (t) => {
  t.equal(unstorableReason('客服 😀 \u0001 \ufffd'), null)
  t.match(unstorableReason('a\0'), /NUL/)
  for (const half of ['\ud800', 'a\udc00', '\udc00\ud800', '\ud800\ud83d\ude00']) t.match(unstorableReason(half), /surrogate/)
  t.equal(findUnstorable({ a: [{ b: 'x' }, 1, null, true], c: '' }), null)
  t.match(findUnstorable({ prompts: [{ name: 'a' }, { config: { model: 'x\0' } }] }), {
    path: 'prompts[1].config.model',
    message: /NUL/,
  })
  t.match(findUnstorable({ a: { 'k\ud800': 1 } }), { path: 'a', message: /key.*surrogate/ })
  t.match(findUnstorable('\0'), { path: '', message: /NUL/ })
})

t.test('text: paths read as a person writes them', async (t) => {
  t.equal(joinPath('', 'prompts'), 'prompts')
  t.equal(joinPath('prompts', 3), 'prompts[3]')
  t.equal(joinPath('prompts[3]', 'name'), 'prompts[3].name')
})

t.test('write queue: writes of one project run in turn, in the order they came', async (t) => {
  const queue = createWriteQueue({ concurrent: 4, waiting: 100 })
  const log: string[] = []
  const write = (name: string) => async () => {
    log.push(`${name} begins`)
    await nextTurn()
    log.push(`${name} ends`)
    return name
  }
  const results = await Promise.all(['a', 'b', 'c'].map((name) => queue.run('acme', write(name))))
  t.same(results, ['a', 'b', 'c'])
  t.same(log, ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
})

t.test('write queue: other projects do not wait for a slow one', async (t) => {
  const queue = createWriteQueue({ concurrent: 2, waiting: 100 })
  const gate = createGate()
  const slow = queue.run('slow', () => gate.opened)
  const next = queue.run('slow', async () => 'after')
  t.equal(await queue.run('quick', async () => 'done'), 'done')
  gate.open()
  await slow
  t.equal(await next, 'after')
})

t.test('write queue: at most so many writes run at once, and all of them run', async (t) => {
  const queue = createWriteQueue({ concurrent: 3, waiting: 100 })
  let running = 0
  let most = 0
  const results = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      queue.run(`project-${index % 20}`, async () => {
        running += 1
        most = Math.max(most, running)
        for (let turn = 0; turn <= index % 3; turn += 1) await nextTurn()
        running -= 1
        return index
      }),
    ),
  )
  t.equal(most, 3)
  t.same(
    results,
    Array.from({ length: 50 }, (_, index) => index),
  )
})

t.test('write queue: a project that waits for its own turn keeps no slot from others', async (t) => {
  const queue = createWriteQueue({ concurrent: 2, waiting: 100 })
  const gate = createGate()
  const blocked = Array.from({ length: 10 }, () => queue.run('busy', () => gate.opened))
  t.equal(await queue.run('other', async () => 'done'), 'done')
  gate.open()
  await Promise.all(blocked)
})

t.test('write queue: a write that fails passes its error on and stops nothing', async (t) => {
  const queue = createWriteQueue({ concurrent: 1, waiting: 100 })
  const failed = queue.run('acme', async () => {
    throw new Error('broken')
  })
  const thrown = queue.run('acme', () => {
    throw new Error('at once')
  })
  const other = queue.run('acme', async () => 'done')
  await t.rejects(failed, { message: 'broken' })
  await t.rejects(thrown, { message: 'at once' })
  t.equal(await other, 'done')
})

t.test('write queue: what comes when it is full is refused, and later writes are taken again', async (t) => {
  const queue = createWriteQueue({ concurrent: 1, waiting: 3 })
  const gate = createGate()
  let ran = 0
  const taken = Array.from({ length: 3 }, (_, index) =>
    queue.run(`project-${index}`, async () => {
      ran += 1
      await gate.opened
    }),
  )
  const refused = await queue.run('acme', async () => (ran += 100)).catch((error: unknown) => error)
  t.ok(refused instanceof QueueFull)
  gate.open()
  await Promise.all(taken)
  t.equal(ran, 3)
  t.equal(await queue.run('acme', async () => 'done'), 'done')
})

t.test('slices: a long map gives other work its turn every few milliseconds', async (t) => {
  let turns = 0
  let mapping = true
  const tick = () => {
    turns += 1
    if (mapping) setImmediate(tick)
  }
  setImmediate(tick)
  const results = await mapInSlices([...Array(300).keys()], createPause(), (item, index) => {
    work(1)
    return item * 2 + index
  })
  mapping = false
  t.same(
    results,
    Array.from({ length: 300 }, (_, index) => index * 3),
  )
  t.ok(turns >= 20, `${turns} turns in 300 ms of work`)
  await settle()
})

t.test('slices: many jobs that share a pause still leave turns to other work', async (t) => {
  let turns = 0
  let mapping = true
  const tick = () => {
    turns += 1
    if (mapping) setImmediate(tick)
  }
  setImmediate(tick)
  const pause = createPause()
  const items = [...Array(20).keys()]
  const results = await Promise.all(
    items.map((job) =>
      mapInSlices(items, pause, (item) => {
        work(1)
        return job * item
      }),
    ),
  )
  mapping = false
  t.same(
    results,
    items.map((job) => items.map((item) => job * item)),
  )
  t.ok(turns >= 25, `${turns} turns in 400 ms of work`)
  await settle()
})

t.test('slices: work within a slice does not wait for the event loop', async (t) => {
  const pause = createPause()
  const waits: boolean[] = []
  // The machine may be busy for longer than a slice now and then, but not each time.
  for (let attempt = 0; attempt < 20; attempt += 1) {
    await pause()
    waits.push(pause() !== undefined)
  }
  t.ok(waits.includes(false))
})

t.test('slices: an error in one item rejects, and no item after it is touched', async (t) => {
  const seen: number[] = []
  const mapped = mapInSlices([1, 2, 3], createPause(), (item) => {
    seen.push(item)
    if (item === 2) throw new Error('broken')
    return item
  })
  await t.rejects(mapped, { message: 'broken' })
  t.same(seen, [1, 2])
  t.same(await mapInSlices([], createPause(), (item) => item), [])
})

t.test('parallel: the results come in the order of the items, and no more are worked on at once than may', async (t) => {
  let running = 0
  let most = 0
  const results = await inParallel([3, 1, 2], { atOnce: 2, signal: new AbortController().signal }, async (item) => {
    most = Math.max(most, ++running)
    for (let turn = 0; turn < item; turn += 1) await nextTurn()
    running -= 1
    return item * 10
  })
  t.strictSame(results, [30, 10, 20])
  t.equal(most, 2)
})

t.test('parallel: after a failure no item is begun, though the work ignores its signal', async (t) => {
  const begun: number[] = []
  const ended: number[] = []
  const work = async (item: number) => {
    begun.push(item)
    if (item === 0) throw new Error('Out of order.')
    await nextTurn()
    ended.push(item)
  }
  await t.rejects(inParallel([0, 1, 2, 3, 4], { atOnce: 2, signal: new AbortController().signal }, work), /Out of order/)
  t.strictSame(begun, [0, 1])
  t.strictSame(ended, [1], 'what had begun has ended')
})

t.test('parallel: an aborted call rejects in place of leaving results out', async (t) => {
  const caller = new AbortController()
  const begun: number[] = []
  const work = async (item: number) => {
    begun.push(item)
    caller.abort()
  }
  const options = { atOnce: 1, signal: caller.signal }
  await t.rejects(inParallel([0, 1, 2], options, work), { code: 'source.unreachable', message: /was stopped/ })
  await t.rejects(inParallel([3], options, work), { code: 'source.unreachable' })
  t.strictSame(begun, [0])
})

t.test('byte room: what is taken is given back once, and only what is alone may be larger than all of it', async (t) => {
  const room = createByteRoom(100)
  const giveBack = room.take(60)
  t.equal(room.take(60), null)
  const other = room.take(40)
  t.ok(giveBack && other)
  t.equal(room.take(1), null)
  giveBack?.()
  giveBack?.()
  t.equal(room.take(61), null)
  other?.()
  const whole = room.take(1_000)
  t.ok(whole)
  t.equal(room.take(1), null)
  whole?.()
  t.ok(room.take(100))
})
