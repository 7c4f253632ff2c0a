import fc from 'fast-check'
import { dump } from 'js-yaml'
import t from 'tap'
import { AppError } from '../../src/errors.js'
import { slug, slugPath } from '../../src/lib/names.js'
import { joinFiles, routesFor } from '../../src/lib/path-file/routing.js'
import { fileKey, findLongValues, maxContextValueLength, toRoutingValue } from '../../src/lib/path-file/values.js'
import { type PathFile, parsePathFile } from '../../src/lib/path-file.js'
import { runs } from '../helpers/runs.js'

const names = ['category', 'channel', 'role', 'constructor', '__proto__']
const nastyPieces = [
  '..',
  '.',
  '/',
  '\\',
  '%2e',
  '%2F',
  ' ',
  '-',
  '_',
  'a',
  'Z',
  '客',
  'İ',
  'ﷺ',
  '．',
  '／',
  '\u0301',
  '\0',
  '{role}',
  '\ud800',
]
const anyText = fc
  .array(fc.oneof(fc.string({ unit: 'binary', maxLength: 6 }), fc.constantFrom(...nastyPieces)), { maxLength: 8 })
  .map((parts) => parts.join(''))
const context = fc.dictionary(fc.constantFrom(...names), fc.oneof(anyText, fc.constantFrom('meeting', 'Stand Up!')), {
  noNullPrototype: true,
})
const moment = fc.date({ min: new Date('2020-01-01T00:00:00Z'), max: new Date('2040-01-01T00:00:00Z'), noInvalidDate: true })

const hole = fc.constantFrom(...names).map((name) => `{${name}}`)
const piece = fc.oneof(hole, fc.constantFrom('a', 'B', '.', '-', '_', ' x', '客', '!'))
const pattern = fc
  .array(
    fc.array(piece, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('')),
    { minLength: 1, maxLength: 4 },
  )
  .map((segments) => segments.join('/'))

const value = fc.constantFrom('meeting', 'standup', 'Site Admin', '7')
const values = fc.oneof(value, fc.array(value, { minLength: 1, maxLength: 3 }))
const when = fc.record(
  {
    category: fc.oneof(
      values,
      values.map((not) => ({ not })),
    ),
    role: fc.oneof(
      values,
      values.map((not) => ({ not })),
    ),
    hours: fc.constantFrom('09:00-17:00', '22:00-06:00'),
    days: fc.constantFrom('mon-fri', 'sat', ['sun', 'wed']),
    timezone: fc.constantFrom('Europe/Berlin', 'America/New_York', 'UTC'),
  },
  { requiredKeys: [] },
)
const route = fc.record(
  { pattern, when, description: fc.string(), source: fc.constantFrom('one', 'two') },
  { requiredKeys: ['pattern'] },
)
const routes = fc.array(route, { minLength: 1, maxLength: 6 })

const slugSegment = /^[\p{Ll}\p{Lo}\p{Lm}\p{Nd}][\p{Ll}\p{Lo}\p{Lm}\p{Nd}\p{M}._-]*$/u

const asList = (list: unknown[]) => dump({ version: 'v2', routes: list })

/** Of random patterns many are refused; what is said of paths is of those that are not. */
function accepted(text: string): PathFile | null {
  try {
    return parsePathFile(text)
  } catch (error) {
    if (error instanceof AppError && error.code === 'path.invalid') return null
    throw error
  }
}

t.test('whatever the context, a path stays in the folder and has of it only slugs', async (t) => {
  let paths = 0
  fc.assert(
    fc.property(pattern, context, (pattern, context) => {
      const file = accepted(asList([pattern]))
      const [step] = file ? routesFor(file, context, new Date(0)) : []
      if (!step || 'skipped' in step) return
      const [path = ''] = step.paths
      paths += 1
      for (const segment of path.split('/')) if (segment === '' || segment === '.' || segment === '..') throw new Error(path)
      if (/^\/|\\|%|\0|^[^/]*:/.test(path) || !path.isWellFormed()) throw new Error(path)
      const filled = pattern.replaceAll(/\{(\w+)\}/g, (_, name) => {
        const value = slug(Object.hasOwn(context, name) ? (context[name] ?? '') : '')
        return slugSegment.test(value) ? value : '\\'
      })
      if (path !== filled) throw new Error(`${path} is not ${filled}`)
    }),
    { numRuns: runs(2_000) },
  )
  t.ok(paths > 50, 'found some to look at')
})

t.test('every route is answered, in its order, and the same question has the same answer', async (t) => {
  fc.assert(
    fc.property(routes, context, moment, (routes, context, at) => {
      const file = accepted(asList(routes))
      if (!file) return
      const steps = routesFor(file, context, at)
      if (steps.map((step) => step.route).join('\n') !== routes.map((route) => route.pattern).join('\n')) throw new Error('order')
      for (const step of steps) if ('skipped' in step && step.skipped === '') throw new Error('no reason')
      routesFor(file, context, new Date(at.getTime() + 3_600_000))
      if (JSON.stringify(routesFor(file, context, at)) !== JSON.stringify(steps)) throw new Error('not the same again')
      if (JSON.stringify(routesFor(parsePathFile(asList(routes)), context, at)) !== JSON.stringify(steps))
        throw new Error('nor by another file')
    }),
    { numRuns: runs(200) },
  )
  t.pass('held')
})

t.test('a list of routes and a map with the same chain come to the same', async (t) => {
  fc.assert(
    fc.property(routes, context, moment, fc.infiniteStream(fc.nat()), (routes, context, at, order) => {
      const list = accepted(asList(routes))
      if (!list) return
      const named = routes.map((route, index) => [`route${index}`, route] as const)
      const sortKeys = named.map(() => order.next().value ?? 0)
      const shuffled = named.toSorted(
        ([one], [other]) => (sortKeys[Number(one.slice(5))] ?? 0) - (sortKeys[Number(other.slice(5))] ?? 0),
      )
      const map = parsePathFile(
        dump({ version: 'v2', fallback_chain: named.map(([name]) => name), routes: Object.fromEntries(shuffled) }),
      )
      const unnamed = (file: PathFile) => JSON.stringify(routesFor(file, context, at).map((step) => ({ ...step, route: '' })))
      if (unnamed(list) !== unnamed(map)) throw new Error(`${unnamed(list)}\n${unnamed(map)}`)
    }),
    { numRuns: runs(200) },
  )
  t.pass('held')
})

t.test('any text is a PATH file or is refused with places inside of it, 50 at most', async (t) => {
  const words = [
    'version: v1',
    'version: v2',
    'routes:',
    '  - ',
    '  a: ',
    'pattern: ',
    '{category}',
    '\n',
    '\r',
    '\r\n',
    ' ',
    '&a ',
    '*a',
    '[',
    ']',
    '{',
    '}',
    '"',
    "'",
    '|\n',
    '- ',
    ': ',
    '? ',
    '#',
    '!!str ',
    '---\n',
    '...\n',
    '%YAML 1.2\n',
    '<<',
    'when: ',
    'days: ',
    'mon',
    '~',
    '\t',
    '\0',
    '\ufeff',
    '\ud800',
    'fallback_chain: ',
    'variables: ',
    'compose: ',
    '..',
    '/',
  ]
  const soup = fc
    .array(fc.oneof(fc.constantFrom(...words), fc.string({ unit: 'binary', maxLength: 3 })), { maxLength: 40 })
    .map((parts) => parts.join(''))
  const lines = fc
    .array(fc.constantFrom('version: v1', 'routes:', ...words.map((word) => `  - ${word}`), '  x: {a: b}', 'variables: {a: }'), {
      maxLength: 12,
    })
    .map((parts) => parts.join('\n'))
  fc.assert(
    fc.property(fc.oneof(soup, lines), (text) => {
      try {
        parsePathFile(text, { sources: ['one'] })
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== 'path.invalid') throw error
        const findings = error.errors ?? []
        if (findings.length === 0 || findings.length > 50) throw new Error(`${findings.length} findings`)
        const lengths = text
          .replace(/^\ufeff/, '')
          .split(/\r\n?|\n/)
          .map((line) => line.length)
        for (const { line = 0, column = 0 } of findings) {
          // The end of a line is a place, and so is the gap within its line break.
          if (!(column >= 1 && column <= (lengths[line - 1] ?? -1) + 2)) throw new Error(`${line}:${column} is not in the text`)
        }
      }
    }),
    { numRuns: runs(4_000) },
  )
  t.pass('held')
})

t.test('a value is the slug that names are made of, or none: empty, or over 100 characters', async (t) => {
  fc.assert(
    fc.property(anyText, (text) => {
      const expected = slug(text)
      const isLong = text.length > maxContextValueLength || expected.length > maxContextValueLength
      if (toRoutingValue(text) !== (isLong || expected === '' ? null : expected)) throw new Error(JSON.stringify(text))
      if (isLong !== findLongValues({ x: text }).length > 0) throw new Error(`long: ${JSON.stringify(text)}`)
    }),
    { numRuns: runs(2_000) },
  )
  t.equal(toRoutingValue('a'.repeat(100)), 'a'.repeat(100))
  t.equal(toRoutingValue('a'.repeat(101)), null)
  t.match(findLongValues({ a: 'x', b: 'x'.repeat(101), c: 'ﷺ'.repeat(50) }), [{ path: 'b' }, { path: 'c' }])
})

t.test('a file is found by the values that its name is made of, however both are written', async (t) => {
  const part = anyText.filter((text) => !/[/\\]/.test(text) && slug(text) !== '' && text.length <= 20)
  const file = parsePathFile(asList(['Prompts/{category}/{channel}.MD']))
  fc.assert(
    fc.property(part, part, (category, channel) => {
      const [step] = routesFor(file, { category, channel }, new Date(0))
      const path = step && 'paths' in step ? step.paths[0] : undefined
      if (path === undefined || fileKey(path) !== fileKey(`prompts/${category}/${channel}.md`)) throw new Error(`${path}`)
    }),
    { numRuns: runs(1_000) },
  )
  for (const [one, other] of [
    ['prompts/meeting/stand-up.md', 'Prompts/Meeting/Stand Up!.MD'],
    ['triage.prompt.yml', 'Triage!.Prompt.YML'],
    ['a/b', 'A/b'],
  ] as const) {
    t.equal(fileKey(one), one)
    t.equal(fileKey(other), one)
  }
  t.not(fileKey('a.md'), fileKey('a.txt'), 'the extension is part of a file')
})

t.test('the key of a file is its name with its extension', async (t) => {
  const plain = fc
    .array(fc.constantFrom('a', 'B', '7', '.', '-', '_', '/', ' ', '..'), { maxLength: 8 })
    .map((parts) => parts.join(''))
  fc.assert(
    fc.property(plain, fc.constantFrom('.md', '.prompt.yml', '.PROMPTY', '.txt'), (stem, extension) => {
      if (fileKey(stem + extension) !== slugPath(stem) + extension.toLowerCase()) throw new Error(stem)
    }),
    { numRuns: runs(2_000) },
  )
  t.pass('held')
})

t.test('joined files have one blank line between two, and keep what else they are', async (t) => {
  t.equal(joinFiles(['a\n', 'b\n']), 'a\n\nb\n')
  t.equal(joinFiles(['a', 'b']), 'a\n\nb')
  t.equal(joinFiles(['  a\n\n\n', '\r\n\n  b\r\n', '\n', 'c\n\n']), '  a\n\n  b\n\nc\n\n')
  t.equal(joinFiles(['\n\na\n']), '\n\na\n', 'one alone is as it is')
  t.equal(joinFiles([' \n', '\n']), '')
})
