import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { AppError, type Finding } from '../../src/errors.js'
import { packageRoot } from '../../src/lib/package-root.js'
import { type RouteStep, routesFor } from '../../src/lib/path-file/routing.js'
import { checkSchemaVersion, parsePathFile } from '../../src/lib/path-file.js'
import { stopwatch } from '../helpers/stopwatch.js'

type Context = Record<string, string>

const anyTime = new Date('2026-03-04T12:00:00Z')

/** What is wrong with a file, as lines of `line:column path: message`. */
function errorsOf(text: string, options: { sources?: readonly string[] } = {}): string[] {
  return findingsOf(text, options).map(({ path, message, line, column }) => `${line}:${column} ${path}: ${message}`)
}

function findingsOf(text: string, options: { sources?: readonly string[] } = {}): Finding[] {
  try {
    parsePathFile(text, options)
    return []
  } catch (error) {
    if (error instanceof AppError && error.code === 'path.invalid') return error.errors ?? []
    throw error
  }
}

/** The paths that are looked for, route by route, as the guide writes them. */
function lookedFor(text: string, context: Context, at = anyTime): string[] {
  return routesFor(parsePathFile(text), context, at).flatMap((step) =>
    'skipped' in step ? [] : [(step.source === null ? '' : `${step.source}: `) + step.paths.join(' + ')],
  )
}

function skippedBecause(text: string, context: Context, at = anyTime): (string | null)[] {
  return routesFor(parsePathFile(text), context, at).map((step) => ('skipped' in step ? step.skipped : null))
}

const route = (pattern: string) => `version: v1\nroutes:\n  - pattern: ${JSON.stringify(pattern)}\n`
const when = (conditions: string) => `version: v2\nroutes:\n  - pattern: a.md\n    when: ${conditions}\n`
/** Whether a route with these conditions is tried. */
const holds = (conditions: string, context: Context, at = anyTime) => lookedFor(when(conditions), context, at).length === 1

t.test('the first route comes first, with its description, and a route whose variable is missing says which', async (t) => {
  const file = parsePathFile(`version: v1
routes:
  - pattern: "prompts/{category}/{channel}.md"
    description: "Channel-specific prompts"
  - pattern: "prompts/{category}/default.md"
  - prompts/default.md
`)
  const steps: RouteStep[] = routesFor(file, { category: 'meeting' }, anyTime)
  t.strictSame(steps, [
    { route: 'prompts/{category}/{channel}.md', skipped: 'The variable "channel" is missing.' },
    { route: 'prompts/{category}/default.md', paths: ['prompts/meeting/default.md'], source: null, description: null },
    { route: 'prompts/default.md', paths: ['prompts/default.md'], source: null, description: null },
  ])
  t.match(routesFor(file, { category: 'a', channel: 'b' }, anyTime)[0], { description: 'Channel-specific prompts' })
  t.strictSame(
    file.variables.map(({ name }) => name),
    ['category', 'channel'],
    'no other variable makes a difference',
  )
})

t.test('a chain orders named routes, and what it leaves out is never tried, with a warning', async (t) => {
  const text = `version: 1
routes:
  a: a.md
  b: { pattern: b.md }
  c: c.md
fallback_chain: [c, a]
`
  const file = parsePathFile(text)
  t.strictSame(
    routesFor(file, {}, anyTime).map((step) => step.route),
    ['c', 'a'],
  )
  t.match(file.warnings, [{ path: 'routes.b', line: 4, column: 3 }])
  t.equal(file.warnings.length, 1)
  t.strictSame(lookedFor('version: v1\nroutes: { a: a.md, b: b.md }', {}), ['a.md', 'b.md'], 'as written without a chain')
})

t.test(
  'a default stands in for what the context lacks, and an undeclared variable is a warning with the likely name',
  async (t) => {
    const text = `version: v2
variables:
  channel:
  category: { description: The kind, default: General Talk }
routes:
  - pattern: "{category}/{chanel}.md"
  - pattern: "{category}.md"
    when: { category: general talk }
`
    t.strictSame(lookedFor(text, {}), ['general-talk.md'])
    t.strictSame(
      lookedFor(text, { category: '***', chanel: 'x' }),
      ['general-talk/x.md', 'general-talk.md'],
      'no letter: missing',
    )
    t.strictSame(lookedFor(text, { category: 'b' }), [])
    t.strictSame(parsePathFile(text).warnings, [
      {
        path: 'routes[0].pattern',
        message: '"variables" does not declare "chanel". Did you mean "channel"?',
        line: 6,
        column: 26,
      },
    ])
  },
)

t.test('a variable is what the context itself holds, whatever objects inherit', async (t) => {
  t.strictSame(skippedBecause(route('{constructor}/{__proto__}.md'), {}), ['The variable "constructor" is missing.'])
  t.strictSame(lookedFor(route('{toString}.md'), { toString: 'x' } as unknown as Context), ['x.md'])
})

t.test('a condition asks for a value, for one of several, or for none of them, compared as slugs', async (t) => {
  t.ok(holds('{ role: Site Admin }', { role: 'site-admin' }))
  t.ok(holds('{ role: [a, B] }', { role: 'b' }))
  t.notOk(holds('{ role: [a, b] }', { role: 'c' }))
  t.notOk(holds('{ role: a }', {}), 'what is missing is nothing that is asked for')
  t.ok(holds('{ role: { not: a } }', { role: 'b' }))
  t.ok(holds('{ role: { not: [a, b] } }', {}), 'and is none of what is excluded')
  t.notOk(holds('{ role: { not: [a, b] } }', { role: 'B' }))
  t.notOk(holds('{ role: a, channel: b }', { role: 'a' }), 'all conditions must hold')
  t.ok(holds('{ guild: 123456789012345678, code: 007 }', { guild: '123456789012345678', code: '007' }), 'as written, no numbers')
  t.strictSame(skippedBecause(when('{ role: { not: [a, b] } }'), { role: 'a' }), [
    'The condition on "role" does not hold: it asks for none of "a" or "b".',
  ])
})

t.test('hours begin with their first minute and end before their last, past midnight too', async (t) => {
  const at = (time: string) => new Date(`2026-03-04T${time}:00Z`)
  for (const [hours, inside, outside] of [
    ['09:00-17:00', ['09:00', '16:59'], ['08:59', '17:00']],
    ['22:00-06:00', ['22:00', '23:59', '00:00', '05:59'], ['06:00', '21:59']],
    ['00:00-24:00', ['00:00', '23:59'], []],
    ['9:30-9:31', ['09:30'], ['09:29', '09:31']],
  ] as const) {
    for (const time of inside) t.ok(holds(`{ hours: "${hours}" }`, {}, at(time)), `${time} is in ${hours}`)
    for (const time of outside) t.notOk(holds(`{ hours: "${hours}" }`, {}, at(time)), `${time} is not in ${hours}`)
  }
  t.ok(holds('{ hours: ["09:00-10:00", "11:00-12:00"] }', {}, at('11:30')))
  t.strictSame(skippedBecause(when('{ hours: "09:00-10:00", days: mon }'), {}, at('11:30')), [
    'The time is another one: the route is for 09:00-10:00, mon (UTC).',
  ])
})

t.test('days may be ranges over the end of the week, and the hours past midnight belong to the day before', async (t) => {
  const day = (date: number, time = '12:00') => new Date(`2026-03-0${date}T${time}:00Z`)
  // 2 March 2026 is a Monday.
  t.strictSame(
    [2, 3, 4, 5, 6, 7, 8].map((date) => holds('{ days: [fri-mon, Wednesday] }', {}, day(date))),
    [true, false, true, false, true, true, true],
  )
  const fridayNight = '{ days: fri, hours: "22:00-06:00" }'
  t.ok(holds(fridayNight, {}, day(6, '22:00')))
  t.ok(holds(fridayNight, {}, day(7, '05:59')))
  t.notOk(holds(fridayNight, {}, day(6, '05:59')))
  t.notOk(holds(fridayNight, {}, day(7, '22:00')))
})

t.test('the time is that of the zone, with its summer time', async (t) => {
  const morning = '{ hours: "08:00-09:00", timezone: Europe/Berlin }'
  t.ok(holds(morning, {}, new Date('2026-01-15T07:30:00Z')))
  t.ok(holds(morning, {}, new Date('2026-07-15T06:30:00Z')))
  t.notOk(holds(morning, {}, new Date('2026-07-15T07:30:00Z')))
  t.ok(holds('{ days: mon, timezone: Pacific/Kiritimati }', {}, new Date('2026-03-01T11:00:00Z')))
  const file = parsePathFile(when('{ hours: "08:00-08:01" }'))
  const tried = ['08:00:59', '08:01:00', '08:00:00'].map(
    (time) => 'paths' in (routesFor(file, {}, new Date(`2026-03-04T${time}Z`))[0] ?? {}),
  )
  t.strictSame(tried, [true, false, true], 'one file asked about other minutes, and back')
})

t.test('composing and other sources are answered as the route says', async (t) => {
  const text = `version: v2
routes:
  - { compose: [shared/tone.md, "prompts/{category}.md"], description: Both }
  - { pattern: "prompts/{category}.md", source: company-wide }
`
  t.strictSame(routesFor(parsePathFile(text, { sources: ['company-wide'] }), { category: 'a' }, anyTime), [
    {
      route: 'shared/tone.md + prompts/{category}.md',
      paths: ['shared/tone.md', 'prompts/a.md'],
      source: null,
      description: 'Both',
    },
    { route: 'prompts/{category}.md', paths: ['prompts/a.md'], source: 'company-wide', description: null },
  ])
  t.strictSame(skippedBecause(text, {}), Array(2).fill('The variable "category" is missing.'))
  t.strictSame(errorsOf(text, { sources: ['company-wise'] }), [
    '4:49 routes[1].source: The project has no source "company-wide". Did you mean "company-wise"?',
  ])
})

t.test('a pattern that leads anywhere else, or is no pattern, is refused with its place', async (t) => {
  for (const pattern of [
    '../a.md',
    'a/../b.md',
    'a/..',
    '.',
    './a.md',
    'a/./b.md',
    '{a}/../{b}',
    '．．/a.md',
    'a/‥/b.md',
    'a＼b.md',
    '/a.md',
    '/{a}',
    '//host/a',
    'C:/a.md',
    'c:a.md',
    '{drive}:/a.md',
    'https://host/a.md',
    'a\\b.md',
    '..\\a.md',
    'a/%2e%2e/b.md',
    'a/%{hex}/b.md',
    'a/%2{digit}%2e/b.md',
    '%252e%252e/a.md',
    'a//b.md',
    'a/',
    '/',
    '',
    'a\u0000.md',
    'a\n.md',
    'a\ud800.md',
    '{a',
    'a}',
    '{{a}}',
    '{}',
    '{a b}',
    '{ a }',
    '{1a}',
    '{a-b}',
    '{a.b}',
    '{ä}',
    '{a/b}',
    'x'.repeat(501),
  ]) {
    const [error] = findingsOf(route(pattern))
    t.match(error, { path: 'routes[0].pattern', line: 3 }, JSON.stringify(pattern))
  }
  for (const pattern of ['a.md', '{a}', '{a}{b}.md', 'a/{_A1}-x.y/ä {b}!.md', '.github/{a}.md', 'a.b/.c', 'x'.repeat(500)]) {
    t.strictSame(errorsOf(route(pattern)), [], pattern)
  }
})

t.test('every error of a file is named at once, in the order of its lines', async (t) => {
  t.strictSame(
    errorsOf(`version: v3
rotes: []
routes:
  a: /absolute/{x}
  b: 'prompts/{y'
  c: { patern: x }
  d:
  e: { pattern: [a] }
  e: x
fallback_chain: [a, bb, a]
variables: { 1x: , y: { default: '***' } }
`),
    [
      '1:10 version: "v3" is no version that is known. Write "version: v1" or "version: v2".',
      '2:1 rotes: "rotes" is no field here. Did you mean "routes"?',
      '4:6 routes.a: The pattern is absolute. Give it relative to the root of the source.',
      '5:15 routes.b: The brace "{" has no other one. Write a variable as "{name}".',
      '6:6 routes.c: The route has no "pattern" or "compose". Give one.',
      '6:8 routes.c.patern: "patern" is no field here. Did you mean "pattern"?',
      '7:3 routes.d: The route has no pattern. Write "pattern: prompts/{category}.md".',
      '8:17 routes.e.pattern: A route has one pattern. Write one route each, or "compose" to join their files.',
      '9:3 e: The key "e" is given twice. Remove one of the two.',
      '10:21 fallback_chain[1]: No route is named "bb". Did you mean "b"?',
      '10:25 fallback_chain[2]: "a" is in the chain already. Remove it here.',
      '11:14 variables.1x: "1x" is no name of a variable: letters, digits and "_".',
      '11:35 variables.y.default: "***" is no value: it has no letter or digit, or is over 100 characters long.',
    ],
  )
})

t.test('conditions that cannot be read are errors with their place', async (t) => {
  t.strictSame(
    errorsOf(`version: v2
routes:
  - pattern: a.md
    when:
      role: []
      channel: { nott: x }
      guild:
      1a: x
      hours: [9-17, "25:00-26:00", "09:00-09:00"]
      days: [mo, mon-fri-sun]
      timezone: Europe/Berlim
  - { pattern: a.md, when: yes, compose: [a.md] }
  - { pattern: a.md, when: { timezone: "+02:00" } }
  - { pattern: a.md, source: Company }
`).map((line) => line.replace(/\..*/, '')),
    [
      '5:13 routes[0]',
      '6:16 routes[0]',
      '6:18 routes[0]',
      '7:7 routes[0]',
      '8:7 routes[0]',
      '9:15 routes[0]',
      '9:22 routes[0]',
      '9:37 routes[0]',
      '10:14 routes[0]',
      '10:18 routes[0]',
      '11:17 routes[0]',
      '12:28 routes[1]',
      '12:42 routes[1]: The route has both "pattern" and "compose"',
      '13:41 routes[2]',
      '14:30 routes[3]',
    ],
  )
})

t.test('a slip in a time zone is answered with the likely one', async (t) => {
  t.match(errorsOf(when('{ days: mon, timezone: America/New_Yrok }')), [/Did you mean "America\/New_York"\?/])
})

t.test('what only version 2 has is refused in version 1, and a chain needs names', async (t) => {
  t.strictSame(errorsOf('version: v1\nroutes:\n  - { pattern: a.md, when: { a: b }, source: c }\n  - compose: [a.md]\n'), [
    '3:22 routes[0].when: "when" is of v2. Write "version: v2" to use it.',
    '3:38 routes[0].source: "source" is of v2. Write "version: v2" to use it.',
    '4:5 routes[1].compose: "compose" is of v2. Write "version: v2" to use it.',
  ])
  t.match(errorsOf('version: v1\nroutes: [a.md]\nfallback_chain: [a.md]\n'), [/^3:17 fallback_chain: A list of routes/])
})

t.test('YAML that is no PATH file is refused: broken, empty, of another shape, with tags or circles', async (t) => {
  for (const [text, place] of [
    ['version: v1\nroutes:\n  - pattern: "a.md\n', /^4:1 : The YAML cannot be read: /],
    ['', /^1:1 : The file is no mapping/],
    ['# nothing\n', /^1:1 : The file is no mapping/],
    ['- a.md\n', /^1:1 : The file is no mapping/],
    ['version: v1\n', /^1:1 routes: The file has no routes/],
    ['version: v1\nroutes: []\n', /^2:9 routes: The file has no routes/],
    ['routes: [a.md]\n', /^1:1 version: The file names no version/],
    ['version: v1\nroutes: [a.md]\n---\nversion: v1\n', /^3:1 : .*second document/],
    ['version: v1\nroutes: [!!str a.md]\n', /^2:10 : .*tags are not read/],
    ['version: v1\nroutes: [*a]\n', /^2:11 : .*no anchor before it/],
    ['version: v1\nroutes: &a [*a]\n', /^2:14 : .*inside of its own anchor/],
    ['version: v1\nroutes: [a.md]\n? [b]\n: c\n', /^3:3 : .*a key is no text/],
    ['version: v1\nroutes: [a.md]\n<<: { a: b }\n', /^3:1 <<: "<<" is no field here/],
    ['version: v1\nroutes: [a.md,\u0000]\n', /null byte/],
    [`version: v1\nroutes: ${'['.repeat(50)}`, /nesting/],
  ] as const) {
    const errors = errorsOf(text)
    t.equal(errors.length, 1, errors.join('\n'))
    t.match(errors[0], place)
  }
  t.strictSame(
    lookedFor('version: v2\nroutes:\n  - { pattern: a.md, when: &w { role: x } }\n  - { pattern: b.md, when: *w }\n', {
      role: 'x',
    }),
    ['a.md', 'b.md'],
    'an alias is what its anchor is',
  )
})

t.test('an empty route has the place of its dash', async (t) => {
  const text = 'version: v1\nroutes:\n  -\n  - "a-.md"\n  # - no\n  - ~\n  -   # nothing\n  - [b]\n  - &e\n  - *e\n  -'
  const places = errorsOf(text).map((line) => line.replace(/:.*?\[/, ' [').replace(/:.*/, ''))
  t.strictSame(places, ['3 [0]', '6 [2]', '7 [3]', '8 [4]', '9 [5]', '10 [6]', '11 [7]'])
})

t.test('a file is bounded in size, lines, routes, variables, zones, joined files and in what aliases make of it', async (t) => {
  const listOf = (count: number, item: (index: number) => string) =>
    Array.from({ length: count }, (_, index) => item(index)).join('')
  const v2 = 'version: v2\nroutes:\n'
  const zones = Intl.supportedValuesOf('timeZone')
  for (const [good, bad, place, limit] of [
    [1_000, 1_001, 1_003, (count: number) => v2 + listOf(count, () => '  - a.md\n')],
    [100, 101, 103, (count: number) => v2 + listOf(count, (index) => `  - "{v${index}}"\n`)],
    [
      20,
      21,
      23,
      (count: number) => v2 + listOf(count, (index) => `  - { pattern: a, when: { days: mon, timezone: ${zones[index]} } }\n`),
    ],
    [20, 21, 3, (count: number) => `${v2}  - compose: [${listOf(count, () => 'a.md, ')}]\n`],
    [19_990, 20_000, 1, (count: number) => `${v2}  - a.md\n${'\n'.repeat(count)}`],
    [102_400, 102_401, 1, (size: number) => `${v2}  - a.md\n#`.padEnd(size, 'x')],
  ] as const) {
    t.strictSame(errorsOf(limit(good)), [])
    const errors = errorsOf(limit(bad))
    t.equal(errors.length, 1, errors.join('\n'))
    t.match(errors[0], new RegExp(`^${place}:.* over |^${place}:.* at most `))
  }
  const doubling = listOf(30, (index) => `a${index + 1}: &a${index + 1} [*a${index}, *a${index}]\n`)
  t.match(errorsOf(`a0: &a0 [x, x]\n${doubling}`), [/expands to over 50000 values/])
  t.equal(errorsOf(v2 + listOf(200, () => '  - /a\n')).length, 50, 'and so is what is said of it')
})

t.test('a hostile file costs no more than a fraction of a second', async (t) => {
  const long = (index: number) => `${'abcdefghij'.repeat(5)}${String(index).padStart(8, '0')}`
  const names = Array.from({ length: 700 }, (_, index) => `  ${long(index)}: a.md\n`).join('')
  const chain = Array.from({ length: 500 }, (_, index) => `${long(index + 9_000)}, `).join('')
  const texts = {
    'many slips': `version: v1\nroutes:\n${names}fallback_chain: [${chain}]\n`,
    'many undeclared': `version: v1\nvariables:\n${names.replaceAll(' a.md', '')}routes: [${'"{a}{b}{c}{d}", '.repeat(2_500)}]\n`,
    'many zones': `version: v2\nroutes:\n${'  - { pattern: a, when: { days: mon, timezone: Europe/Berlim } }\n'.repeat(900)}`,
    'many aliases': `version: v2\na: &a { ${'x: y, '.repeat(2_000)} }\nroutes: [${'*a, '.repeat(9_000)}]\n`,
    'one long text': `version: v1\nroutes: ["${'{a}'.repeat(33_000)}"]\n`,
    comments: `version: v1\nroutes: [a.md]\n${'#\n'.repeat(18_000)}---\n`,
  }
  for (const [name, text] of Object.entries(texts)) {
    const elapsedMs = stopwatch()
    findingsOf(text)
    t.ok(elapsedMs() < 2_000, name)
  }
})

t.test('a byte order mark and line ends of any kind are no part of the file', async (t) => {
  t.strictSame(lookedFor('\ufeffversion: v1\r\nroutes:\r\n  - a.md\r\n', {}), ['a.md'])
  t.match(errorsOf('\ufeffversion: v1\r\nroutes:\r\n  - /a.md\r\n'), [/^3:5 /])
  t.match(errorsOf('version: v1\rroutes:\r  - /a.md\r'), [/^3:5 /])
})

t.test('what an error shows of the file fits on one line and into the database', async (t) => {
  const [error] = findingsOf('version: v1\nroutes: [a.md]\n"x\\ud800\\0\\ny": 1\n')
  t.ok(error?.message.isWellFormed() && error.path.isWellFormed())
  t.notMatch(`${error?.message}`, /[\0\n]/)
  t.notMatch(`${error?.path}`, /\0/)
  const long = errorsOf(`version: v1\nroutes: [a.md]\n${'y'.repeat(5_000)}: 1\n`)
  t.ok(String(long).length < 500)
  t.match(errorsOf('version: v1\nroutes: [{ pattern: a.md, description: "\\ud800" }]\n'), [/surrogate/])
})

t.test('a schema-version beside the file must agree with it', async (t) => {
  const file = parsePathFile(route('a.md'))
  for (const text of ['v1', '1', ' v1\r\n', '\ufeffv1\n'])
    t.doesNotThrow(() => checkSchemaVersion(text, file), JSON.stringify(text))
  for (const text of ['v2', '', 'version: v1', 'v1.0', 'x'.repeat(10_000)]) {
    t.throws(() => checkSchemaVersion(text, file), {
      code: 'path.invalid',
      errors: [{ path: 'schema-version', line: 1, column: 1 }],
    })
  }
})

/** The examples of the guide: a PATH file, and the table of what is looked for that follows it. */
function examplesOfGuide() {
  const guide = readFileSync(join(packageRoot, 'docs', 'routing.md'), 'utf8')
  const blocks = [...guide.matchAll(/(?:^```yaml\n|<<'YAML'\n)([\s\S]*?)(?:^YAML\n)?^```\n\n((?:^\|.*\n)+)/gm)]
  const examples = blocks.map(([, file = '', table = '']) => ({ file, rows: rowsOf(table) }))
  const refused = rowsOf(/^\| pattern \| why.*\n(?:^\|.*\n)+/m.exec(guide)?.[0] ?? '')
  return { examples, refused: refused.flatMap(([patterns = '']) => codesOf(patterns)) }
}

const rowsOf = (table: string) =>
  table
    .trim()
    .split('\n')
    .slice(2)
    .map((row) =>
      row
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )

const codesOf = (cell: string) => [...cell.matchAll(/`([^`]*)`/g)].map(([, code = '']) => code)

t.test('what the guide says is so', async (t) => {
  const { examples, refused } = examplesOfGuide()
  t.equal(examples.length, 4)
  for (const { file, rows } of examples) {
    t.strictSame(parsePathFile(file, { sources: ['company-wide'] }).warnings, [])
    for (const row of rows) {
      const context = Object.fromEntries(new URLSearchParams(codesOf(row[0] ?? '')[0]?.replaceAll(' ', '+')))
      const at = row.length === 3 ? new Date(row[1] ?? '') : anyTime
      t.strictSame(lookedFor(file, context, at), row.at(-1)?.replaceAll('`', '').split(' · '), row.join(' '))
    }
  }
  t.ok(refused.length >= 10, 'found them')
  for (const pattern of refused) t.equal(findingsOf(route(pattern)).length > 0, true, pattern)
})
