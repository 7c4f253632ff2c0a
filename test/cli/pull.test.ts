import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { openProject } from '../helpers/cli.js'
import { type Service, startService, type Teardown } from '../helpers/service.js'

const shared = await startService(t)
const open = (t: Teardown) => openProject(t, shared)

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 200 }),
  fc.constantFrom(
    ...[
      '',
      '\n',
      'no newline at the end',
      'one\r\ntwo\r\n',
      '---\nname: x\n---\nbody\n',
      '---\n',
      '\ufeffmarked',
      ' leading\n  space',
      'a: b',
    ],
    ...[
      '# no comment',
      '"quoted"',
      'trailing \n',
      'tab\there',
      'next\u0085line\u2028end',
      '\u0007bell',
      '{{Hostname}}',
      '\r',
      'a\rb',
      "it's",
    ],
  ),
)
const json = fc.dictionary(
  fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 10 }).filter((key) => key !== '__proto__'),
  fc.jsonValue({ maxDepth: 2, noUnicodeString: false }),
  { maxKeys: 3 },
)
/** What YAML cannot hold is told of instead of being written: it has a test of its own. */
const isExact = (value: unknown): boolean => !/"__proto__"|e\+\d|-0(?=[,}\]])|\d{16,}/.test(JSON.stringify(value))
const stored = (value: string) => !value.includes('\0') && value.isWellFormed()
const content = text.filter(stored)
const message = fc.record({ role: fc.constantFrom('system', 'user', 'assistant'), content })
const messages = fc.array(fc.oneof(message, fc.record({ placeholder: fc.constantFrom('history', 'docs') })), {
  minLength: 1,
  maxLength: 3,
})
const config = json.filter(
  (value) => isExact(value) && stored(JSON.stringify(value)) && !/\\u0000|\\ud[89a-f]/i.test(JSON.stringify(value)),
)
const tags = fc.constantFrom({ locale: 'cn' }, { tone: 'dry', locale: 'en-US' }, { yes: 'no' })

/** Prompts as pushes take them, their templates being none, so that any text will do. */
const prompt = fc
  .record({ chat: fc.boolean(), content, messages, config, variant: fc.boolean(), tags, isPlain: fc.boolean() })
  .map(({ chat, isPlain, ...given }) => {
    const body = chat ? { messages: given.messages } : { content: given.content }
    if (isPlain) return { ...body, template: 'none' }
    return { ...body, template: 'none', config: given.config, variants: given.variant ? [{ tags: given.tags, ...body }] : [] }
  })

const names = ['客服/退款', 'a.b', 'a-b', 'deep/er/name', 'v2.prompt', 'x_y', 'txt', 'a.yaml']

async function hashes(service: Service, project: string): Promise<Record<string, string>> {
  const { body } = await service.call('/prompts?limit=200', { project })
  return Object.fromEntries(body.items.map(({ name, latest }: any) => [name, latest.contentHash]))
}

t.test(
  'what is pulled from one project and pushed to another is the same there, byte for byte',
  { buffered: true },
  async (t) => {
    const { service, slug, shell } = await open(t)
    const random = fc.sample(prompt, { numRuns: 150, seed: 7 }).map((one, index) => ({ name: `random/p${index}`, ...one }))
    const jinja = {
      name: 'jinja',
      content: 'Hello {{ name }}\r\n',
      config: { model: 'm' },
      inputs: { type: 'object', required: ['name'] },
    }
    const named = names.map((name) => ({ name, content: 'Hello\n' }))
    await service.push({ prompts: [...random, ...named, jinja], alias: 'production' })
    t.match(await shell.promptsync(['pull']), { code: 0, stderr: /^159 files written or removed, 0 as in r1 already\.$/m })
    const paths = await readdir(join(shell.directory, 'prompts'), { recursive: true })
    t.ok(paths.includes('客服/退款.txt') && paths.includes('jinja.yaml') && paths.includes('a.yaml.txt'))
    t.match(await shell.promptsync(['pull']), {
      code: 0,
      stdout: /^$/,
      stderr: 'Nothing to write: 159 files as in r1 already.\n',
    })
    const other = await open(t)
    const pushed = await shell.promptsync(['push'], { env: { PROMPTSYNC_TOKEN: other.service.adminKey } })
    t.match(pushed, { code: 0 })
    t.same(await hashes(other.service, other.slug), await hashes(service, slug))
  },
)

t.test(
  'a file that differs is kept unless it is forced, and keeps its format, title and labels then',
  { buffered: true },
  async (t) => {
    const { service, shell } = await open(t)
    await service.push({
      prompts: ['a', 'b', 'c'].map((name) => ({ name, content: `${name} of the server\n` })),
      alias: 'production',
    })
    const mine = '# mine\nname: A title\nlabels: [x]\ncontent: local\n'
    await shell.write({ 'prompts/a.yaml': mine, 'prompts/b.md': 'b of the server\n', 'prompts/extra.txt': 'E' })
    const refused = await shell.promptsync(['pull'])
    t.match(refused, {
      code: 1,
      stdout: /^$/,
      stderr: /1 file would be overwritten or removed; nothing was written:\n {2}prompts\/a\.yaml\n/,
    })
    t.same((await readdir(join(shell.directory, 'prompts'))).sort(), ['a.yaml', 'b.md', 'extra.txt'])
    const dry = await shell.promptsync(['pull', '--force', '--prune', '--dry-run', '--json'])
    t.match(JSON.parse(dry.stdout), {
      release: 'r1',
      unchanged: 1,
      dryRun: true,
      files: [{ status: 'changed' }, { status: 'added' }, { status: 'removed' }],
    })
    t.equal(await readFile(join(shell.directory, 'prompts/a.yaml'), 'utf8'), mine)
    t.match(await shell.promptsync(['pull', 'r1', '--force', '--prune']), {
      code: 0,
      stdout: 'changed\ta\tprompts/a.yaml\nadded\tc\tprompts/c.txt\nremoved\textra\tprompts/extra.txt\n',
    })
    t.equal(
      await readFile(join(shell.directory, 'prompts/a.yaml'), 'utf8'),
      'title: A title\nlabels:\n  - x\ncontent: |\n  a of the server\n',
    )
    t.same((await readdir(join(shell.directory, 'prompts'))).sort(), ['a.yaml', 'b.md', 'c.txt'])
  },
)

t.test('a file gives way to one of another format where its own cannot say it', { buffered: true }, async (t) => {
  const { service, shell } = await open(t)
  await service.push({ prompts: [{ name: 'a', messages: [{ role: 'user', content: 'Hi' }] }], alias: 'production' })
  await shell.write({ 'prompts/a.txt': 'text' })
  t.match(await shell.promptsync(['pull', '--force']), { code: 0, stdout: 'changed\ta\tprompts/a.yaml\n' })
  t.same(await readdir(join(shell.directory, 'prompts')), ['a.yaml'])
})

t.test('what no file can hold is told by its name, and the rest is pulled', { buffered: true }, async (t) => {
  const { service, shell } = await open(t)
  const prompts = [
    { name: 'readme', content: 'R' },
    { name: 'ends-', content: 'E' },
    { name: 'good', content: 'G' },
  ]
  await service.push({ prompts: [...prompts, { name: 'huge', content: 'H', config: { n: 1e21 } }], alias: 'production' })
  const ran = await shell.promptsync(['pull'])
  t.match(ran, { code: 1, stdout: 'added\tgood\tprompts/good.txt\n' })
  for (const name of ['readme', 'ends-', 'huge']) t.match(ran.stderr, `Left out: ${name}: no file can hold it`)
  await shell.write({ 'prompts/---.md': 'no name', 'prompts/good.txt': 'G', 'prompts/broken.yaml': 'a: [' })
  t.match(await shell.promptsync(['pull']), { code: 1, stdout: /^$/, stderr: /Nothing to write: 1 file as in r1 already/ })
  await shell.write({ 'prompts/good.md': 'G' })
  t.match(await shell.promptsync(['pull']), {
    code: 1,
    stdout: /^$/,
    stderr: /"good\.md" and "good\.txt" are both prompt "good"/,
  })
})

t.test(
  'a ref that does not exist is told with the nearest one, and nothing is written through a link that leads out',
  { buffered: true },
  async (t) => {
    const { service, shell } = await open(t)
    await service.push({ prompts: [{ name: 'out/a', content: 'A' }], alias: 'production' })
    t.match(await shell.promptsync(['pull', 'prodution']), { code: 1, stderr: /Did you mean "production"\?/ })
    await mkdir(join(shell.directory, 'elsewhere'))
    await mkdir(join(shell.directory, 'prompts'))
    await symlink('../elsewhere', join(shell.directory, 'prompts', 'out'))
    t.match(await shell.promptsync(['pull']), { code: 1, stderr: /outside of/ })
    t.same(await readdir(join(shell.directory, 'elsewhere')), [])
    await writeFile(join(shell.directory, 'file.txt'), 'x')
    t.match(await shell.promptsync(['pull', '--path', 'file.txt']), { code: 1, stderr: /is a file/ })
  },
)
