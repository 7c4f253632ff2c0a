import fc from 'fast-check'
import t from 'tap'
import { startService } from './helpers/service.js'
const service = await startService(t)
await service.push({ version: 'v1.0.0', alias: 'dev', git: { commit: 'a'.repeat(40) }, prompts: [{ name: 'a', content: 'x {{ y }}' }] })
await service.push({ alias: 'prod', prompts: [{ name: 'a', content: 'z', variants: [{ tags: { locale: 'en' }, content: 'q' }] }] })
const name = fc.oneof({ weight: 9, arbitrary: fc.constantFrom('a', 'b', 'a/b', 'c') }, { weight: 1, arbitrary: fc.constantFrom('a', 'b', 'a/b', 'A', '', '..', 'v1', 'latest', 'dev', 'prod', 'v1.0.0', 'r1', 'r999999999', 'v999999999', 'v2147483648', 'aaaaaaa', 'AAAAAAA', '__proto__', 'constructor', 'toString', 'hasOwnProperty', 'é', '\u{10ffff}', 'x'.repeat(63), 'builtin', '%', '_', 'a\'b', '"', '\\') })
const ali = fc.oneof({ weight: 9, arbitrary: fc.constantFrom('dev', 'prod', 'qa', 'b') }, { weight: 1, arbitrary: name })
const lab = fc.oneof({ weight: 5, arbitrary: fc.nat(400).map((n) => `v1.${n}`) }, { weight: 1, arbitrary: name })
const ref = fc.oneof(ali, lab, fc.nat(30).map((n) => `r${n}`), fc.nat(9).map((n) => `v${n}`), fc.constantFrom('latest', 'aaaaaaa', 'builtin'), name)
const json = fc.jsonValue({ maxDepth: 3 })
const text = fc.oneof({weight: 20, arbitrary: name}, {weight: 5, arbitrary: fc.string({ unit: 'grapheme' })}, fc.constantFrom('{{ a }}', '{% if a %}', '\u2028', '\ud83d\ude00', ' ', 'x'.repeat(300), '-1', '1e3', '2030-01-01T00:00:00Z', '+275760-09-13T00:00:00Z', '0001-01-01T00:00:00Z', '9999-12-31T23:59:59+14:00'))
const num = fc.constantFrom(0, 1, -1, 1.5, 100, 2147483648, 9007199254740991, 1e-7, 1e21, -0)
const any = fc.oneof(text, num, json, fc.boolean(), fc.constant(null), fc.constant({}), fc.constant([]))
const rec = (fields: Record<string, fc.Arbitrary<unknown>>) => fc.record(Object.fromEntries(Object.entries(fields).map(([k, v]) => [k, fc.oneof({ weight: 60, arbitrary: v }, { weight: 1, arbitrary: any })])), { requiredKeys: [] })
const obj = fc.dictionary(text, any, { maxKeys: 3 })
const tags = fc.dictionary(fc.oneof(fc.constantFrom('locale', 'tone', '__proto__', 'constructor'), text), text, { maxKeys: 3 })
const messages = fc.array(rec({ role: fc.constantFrom('user', 'system', 'x'), content: text }), { maxLength: 3 })
const prompt = fc.oneof(rec({ name, content: text, title: text, description: text, labels: fc.array(text, { maxLength: 3 }), metadata: obj, config: obj, inputs: obj, variants: fc.array(rec({ tags, content: text }), { maxLength: 3 }) }), rec({ name, messages, variants: fc.array(rec({ tags, messages }), { maxLength: 3 }) }),
  fc.tuple(name, text, obj).map(([n, c, config]) => ({ name: n, content: c, config })))
const yaml = fc.oneof(text, fc.array(fc.constantFrom('content: x\n', 'a: &a b\n', 'c: *a\n', 'metadata: {a: 1}\n', '- x\n', '  - y: z\n', '? [a, b]\n: c\n', '<<: {x: 1}\n', 'labels: [a]\n', 'd: 2020-01-01\n', 'e: 0x1F\n', 'f: !!binary aGk=\n', 'config:\n', '  k: |\n    t\n', '---\n', '...\n', '%YAML 1.1\n', 'messages:\n- role: user\n  content: hi\n', '"\\x00": 1\n', 'n: .nan\n', '1: 2\n', 'null: 3\n', 'true: 4\n', '!!set {a}\n', 'variants: [{tags: {a: b}, content: c}]\n', 'version: 3\n', 'name: [x]\n', 'tags: 5\n'), { maxLength: 6 }).map((l) => l.join('')))
const file = rec({ path: fc.tuple(text, fc.constantFrom('.md', '.yaml', '.yml', '.txt', '.j2')).map(([a, b]) => 'f/' + a + b), content: fc.oneof(yaml, yaml.map((y) => `---\n${y}---\nbody`)) })
const body = rec({ version: lab, alias: ali, base: ref, prune: fc.boolean(), dryRun: fc.boolean(), message: text, git: rec({ commit: fc.constantFrom('a'.repeat(40), 'B'.repeat(40), 'zz'), repo: text, branch: text, dirty: fc.boolean() }), prompts: fc.array(prompt, { minLength: 1, maxLength: 2 }), files: fc.array(file, { maxLength: 1 }) })
const query = fc.array(fc.tuple(fc.constantFrom('tag', 'key', 'canary', 'fallback', 'limit', 'cursor', 'search', 'label', 'prompt', 'project', 'action', 'actor', 'target', 'x', '__proto__'), fc.oneof(text, fc.constantFrom('off', 'default', 'a:b', 'locale:en-US', '5', 'WyJhIl0', 'WzFd', 'WyJhIiwiYiJd', 'WyJwcm9tcHRzIiwiYSJd'))), { maxLength: 3 }).map((p) => (p.length ? '?' + p.map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join('&') : ''))
const seg = fc.oneof(name, ref).map(encodeURIComponent)
const path = fc.oneof(fc.tuple(fc.constantFrom('/prompts/', '/releases/', '/aliases/', '/canary/', '/projects/', '/keys/'), seg).map((p) => p.join('')), fc.tuple(seg, seg).map(([a, b]) => `/prompts/${a}/${b}`), seg.map((s) => `/prompts/${s}/versions`), seg.map((s) => `/aliases/${s}/history`), seg.map((s) => `/aliases/${s}/rollback`), seg.map((s) => `/canary/${s}/promote`), fc.constantFrom('/prompts', '/releases', '/aliases', '/canary', '/projects', '/keys', '/audit'))
const headers = fc.oneof({ weight: 4, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: fc.record({ 'if-match': fc.constantFrom('*', '"1"', '"999999999"', '"0", "1"', ' * ', 'x'), accept: fc.constantFrom('text/plain', '*/*', 'x', 'text/plain;q=0', ';;,,', 'text/plain;q=x, application/json;q=1e5'), 'if-none-match': fc.constantFrom('*', 'x', '"a"'), 'x-request-id': fc.constantFrom('a', 'b c', 'x'.repeat(200)) }, { requiredKeys: [] }) })
const seen = new Map<string, string>()
const statuses: Record<string, number> = {}
const check = async (p: string, o: any) => {
  const a = await service.call(p, o)
  statuses[a.status] = (statuses[a.status] ?? 0) + 1
  if (a.status >= 500 || (a.status >= 400 && !a.headers.get('content-type')?.startsWith('application/problem+json'))) {
    const k = `${o.method} ${p.split('/')[1]} ${a.status}`
    if (!seen.has(k) || seen.size < 15) seen.set(k + JSON.stringify(o.body)?.slice(0, 300) + p, a.text)
  }
  return true
}
const { log } = service.deps
;(log as any).level = 'error'
await fc.assert(fc.asyncProperty(fc.oneof(
  fc.tuple(fc.constantFrom('POST'), fc.constant('/prompts'), query.filter((q) => q === ''), body, headers),
  fc.tuple(fc.constantFrom('GET'), path, query, fc.constant(undefined), headers),
  fc.tuple(fc.constantFrom('PUT'), ali.map((s) => `/aliases/${encodeURIComponent(s)}`), fc.constant(''), rec({ version: ref, prompt: name, reason: text, dryRun: fc.boolean() }), headers),
  fc.tuple(fc.constantFrom('PATCH'), seg.map((s) => `/prompts/${s}`), fc.constant(''), rec({ title: text, description: text, labels: fc.array(text), metadata: obj }), headers),
  fc.tuple(fc.constantFrom('POST'), fc.constant('/canary'), fc.constant(''), rec({ alias: ali, version: ref, percentage: fc.oneof(fc.integer({ min: 1, max: 10000 }).map((n) => n / 100), num, fc.double()), prompt: name, reason: text }), headers),
  fc.tuple(fc.constantFrom('POST'), fc.constant('/keys'), fc.constant(''), rec({ name: text, project: fc.constant('default'), scopes: fc.constant(['admin']), expiresAt: text }), headers),
  fc.tuple(fc.constantFrom('POST'), fc.constant('/projects'), fc.constant(''), rec({ slug: name, name: text, settings: rec({ publicRead: fc.boolean(), scan: fc.constantFrom('warn', 'off'), defaultAlias: name }) }), headers),
  fc.tuple(fc.constantFrom('DELETE', 'POST'), path.filter((p) => !/keys/.test(p)), query, fc.oneof(fc.constant(undefined), rec({ reason: text })), headers),
), async ([method, p, q, b, h]) => check(p + q, { method, body: b === undefined && method === 'POST' ? '' : b, headers: h })), { numRuns: Number(process.env.RUNS ?? 6000), endOnFailure: true })
console.error(statuses)
for (const [k, v] of seen) console.error(k, '\n    ', v.slice(0, 300))
