import { readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { join, posix } from 'node:path'
import t from 'tap'
import { packageRoot } from '../src/lib/package-root.js'

/** One import of a file: `target` is a path below src, or the name of a package or of a module of Node. */
type Import = { target: string; isLocal: boolean; isTypeOnly: boolean; isCalled: boolean }

type Layer = {
  /** The files it is about, by their path below src; the first layer that fits counts. */
  files: RegExp
  /** The files of src they may import. */
  local: RegExp | ((file: string) => RegExp)
  /** The packages they may not import. */
  packages?: RegExp
}

const server = /^(fastify|@fastify\/|fastify-)/
const drivers = /^(pg|@electric-sql\/|@prisma\/adapter|pglite-|@prisma\/driver-adapter|@prisma\/schema-engine)/
const serverAndDrivers = new RegExp(`${server.source}|${drivers.source}|^@prisma/`)

const foreignDatabase = /^providers\/database-(session|errors)\.ts$/

const featureOf = (file: string) => file.split('/')[1] ?? ''

const layers: Record<string, Layer> = {
  errors: { files: /^errors\.ts$/, local: /^$/, packages: /./ },
  config: { files: /^config\.ts$/, local: /^(lib\/|errors\.ts)/, packages: serverAndDrivers },
  lib: { files: /^lib\//, local: /^(lib\/|errors\.ts)/, packages: serverAndDrivers },
  database: { files: /^database\//, local: /^(database\/|lib\/|errors\.ts|generated\/prisma\/)/, packages: server },
  redis: { files: /^redis\//, local: /^(redis\/|lib\/|errors\.ts)/, packages: serverAndDrivers },
  deps: { files: /^deps\.ts$/, local: /^(database\/|redis\/|providers\/|lib\/|config\.ts|errors\.ts)/, packages: server },
  schema: {
    files: /^features\/[^/]+\/[^/]+\.schema\.ts$/,
    local: /^(lib\/|errors\.ts|features\/[^/]+\/[^/]+\.schema\.ts$)/,
    packages: serverAndDrivers,
  },
  service: {
    files: /^features\/[^/]+\/[^/]+\.service\.ts$/,
    local:
      /^(lib\/|providers\/|errors\.ts|deps\.ts|database\/|generated\/prisma\/|features\/[^/]+\/[^/]+\.(service|schema)\.ts$)/,
    packages: new RegExp(`${server.source}|${drivers.source}`),
  },
  routes: {
    files: /^features\/[^/]+\/[^/]+\.routes\.ts$/,
    local: (file) =>
      new RegExp(
        `^(lib/|errors\\.ts|http\\.ts|features/[^/]+/[^/]+\\.schema\\.ts$|features/${featureOf(file)}/[^/]+\\.service\\.ts$)`,
      ),
    packages: drivers,
  },
  // It asks a Postgres of somebody else: nothing of what our own database is asked by would be of use to it.
  'provider of databases': {
    files: foreignDatabase,
    local: /^(providers\/|lib\/|errors\.ts|deps\.ts)/,
    packages: new RegExp(`${server.source}|^@electric-sql/|^@prisma/`),
  },
  providers: { files: /^providers\//, local: /^(providers\/|lib\/|errors\.ts|deps\.ts)/, packages: serverAndDrivers },
  plugins: {
    files: /^plugins\//,
    local: /^(lib\/|http\.ts|errors\.ts|deps\.ts|database\/failures\.ts|features\/[^/]+\/[^/]+\.service\.ts$)/,
    packages: drivers,
  },
  http: { files: /^http\.ts$/, local: /^(lib\/|errors\.ts|deps\.ts)/, packages: drivers },
  client: { files: /^client\//, local: /^(client\/|lib\/|generated\/api\.ts$)/, packages: serverAndDrivers },
  cli: { files: /^cli\//, local: /^(cli\/|client\/|lib\/|errors\.ts$|generated\/api\.ts$)/, packages: serverAndDrivers },
  admin: {
    files: /^admin\//,
    local: /^(admin\/|lib\/|errors\.ts|deps\.ts|database\/|features\/[^/]+\/[^/]+\.(service|schema)\.ts$)/,
    packages: new RegExp(`${server.source}|${drivers.source}`),
  },
  root: { files: /^(app|main|serve|welcome)\.ts$/, local: /^(?!generated\/)/, packages: drivers },
}

const source = join(packageRoot, 'src')
const files = readdirSync(source, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => posix.relative(source, posix.join(entry.parentPath, entry.name)))
  .filter((file) => !file.startsWith('generated/'))
  .sort()
const texts = new Map(files.map((file) => [file, readFileSync(join(source, file), 'utf8')]))

const clause = String.raw`(?:[\w$]+\s*,?\s*)?(?:\*\s+as\s+[\w$]+|\{[^}]*\})?`
const patterns = {
  from: new RegExp(String.raw`^\s*(?:import|export)\s+(type\s+)?(${clause}|\*)\s*from\s+['"]([^'"]+)['"]`, 'gm'),
  bare: /^\s*import\s+['"]([^'"]+)['"]/gm,
  called: /(typeof\s+)?\b(?:import|require|require\.resolve)\(\s*['"]([^'"]+)['"]\s*\)/g,
}

function importsOf(file: string): Import[] {
  const text = texts.get(file) ?? ''
  const toImport = (specifier: string, isTypeOnly: boolean, isCalled = false): Import => {
    const isLocal = specifier.startsWith('.')
    const target = isLocal ? posix.join(posix.dirname(file), specifier).replace(/\.js$/, '.ts') : specifier
    return { target, isLocal, isTypeOnly, isCalled }
  }
  return [
    ...[...text.matchAll(patterns.from)].map(([, type, names = '', specifier = '']) =>
      toImport(specifier, type !== undefined || isAllTypes(names)),
    ),
    ...[...text.matchAll(patterns.bare)].map(([, specifier = '']) => toImport(specifier, false)),
    ...[...text.matchAll(patterns.called)].map(([, type, specifier = '']) => toImport(specifier, type !== undefined, true)),
  ]
}

/** Whether braces hold types alone: `{ type A, type B }`. */
function isAllTypes(names: string): boolean {
  const inner = /^\{([^}]*)\}$/.exec(names.trim())?.[1]
  return inner?.split(',').every((name) => name.trim() === '' || /^type\s/.test(name.trim())) ?? false
}

const layerOf = (file: string) => Object.entries(layers).find(([, { files }]) => files.test(file))

/** The first cycle of imports that exist when the program runs, as its files in turn. */
function findCycle(): string[] | null {
  const done = new Set<string>()
  const visit = (file: string, path: string[]): string[] | null => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return null
    for (const { target, isLocal, isTypeOnly } of importsOf(file)) {
      const cycle = isLocal && !isTypeOnly ? visit(target, [...path, file]) : null
      if (cycle) return cycle
    }
    done.add(file)
    return null
  }
  for (const file of files) {
    const cycle = visit(file, [])
    if (cycle) return cycle
  }
  return null
}

t.test('the imports of every file are found', async (t) => {
  t.ok(files.length > 50)
  const all = files.flatMap((file) => importsOf(file).map((found) => ({ file, ...found })))
  const missing = all.filter(({ target, isLocal }) => isLocal && !texts.has(target) && !target.startsWith('generated/'))
  t.same(missing, [], 'every local import is a file of src')
  for (const [file, text] of texts) {
    const statements = text.match(/^import\b(?!\()/gm)?.length ?? 0
    const found = importsOf(file).length
    t.ok(found >= statements, `${file}: ${found} of ${statements} imports were read`)
  }
  t.same(
    importsOf('database/schema-engine.ts').filter(({ target }) => target === '@prisma/schema-engine-wasm/schema_engine_bg')
      .length,
    3,
  )
})

t.test('every file of src belongs to a layer of the design', async (t) => {
  t.same(
    files.filter((file) => !layerOf(file)),
    [],
  )
})

t.test('imports run one way, those of types included', async (t) => {
  for (const file of files) {
    const [name, layer] = layerOf(file) ?? []
    if (!layer) continue
    const allowed = typeof layer.local === 'function' ? layer.local(file) : layer.local
    const refused = importsOf(file).filter(({ target, isLocal }) => {
      if (isLocal) return !allowed.test(target)
      return !target.startsWith('node:') && (layer.packages?.test(target) ?? false)
    })
    t.same(
      refused.map(({ target }) => target),
      [],
      `${file} (${name})`,
    )
  }
})

t.test('only the database, what assembles it, and the source that reads from one know its drivers', async (t) => {
  const users = files.filter((file) => importsOf(file).some(({ target, isLocal }) => !isLocal && drivers.test(target)))
  t.same(
    users.filter((file) => !/^(database\/|deps\.ts$)/.test(file) && !foreignDatabase.test(file)),
    [],
  )
  t.ok(users.includes('database/connect.ts'))
})

t.test('only the link to Redis and what assembles it know its driver', async (t) => {
  const users = files.filter((file) => importsOf(file).some(({ target }) => target === 'ioredis'))
  t.same(
    users.filter((file) => !/^(redis\/|deps\.ts$)/.test(file)),
    [],
  )
  t.ok(users.includes('redis/client.ts'))
})

t.test('features and plugins know deps by its types only', async (t) => {
  const users = files.filter((file) => importsOf(file).some(({ target, isTypeOnly }) => target === 'deps.ts' && !isTypeOnly))
  t.same(
    users.filter((file) => !/^(app|serve)\.ts$|^admin\//.test(file)),
    [],
  )
})

/** A file and all it imports as it starts, directly or not. */
function closureOf(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen
  seen.add(file)
  for (const { target, isLocal, isTypeOnly, isCalled } of importsOf(file))
    if (isLocal && !isTypeOnly && !isCalled) closureOf(target, seen)
  return seen
}

t.test('the client runs where there is no Node: neither its modules nor its globals are in what it is made of', async (t) => {
  const parts = [...closureOf('client/index.ts')]
  t.ok(parts.length > 20)
  const uses = parts.flatMap((file) =>
    importsOf(file).filter(({ target, isTypeOnly }) => target.startsWith('node:') && !isTypeOnly),
  )
  t.same(uses, [])
  for (const file of parts) t.notMatch(texts.get(file), /\bBuffer\.|\bprocess\.(?!getBuiltinModule)/, file)
})

t.test('the command line starts without the server: what it is made of at the start is small', async (t) => {
  const parts = [...closureOf('main.ts')].filter((file) => !/^(main|errors)\.ts$|^(cli|client|lib)\//.test(file))
  t.same(parts, [])
  const packages = new Set(
    [...closureOf('main.ts')].flatMap((file) =>
      importsOf(file)
        .filter(({ isLocal, isTypeOnly, isCalled }) => !isLocal && !isTypeOnly && !isCalled)
        .map(({ target }) => target),
    ),
  )
  t.same(
    [...packages].filter((name) => !name.startsWith('node:')),
    ['commander'],
  )
})

t.test('modules of Node are imported as such', async (t) => {
  const bare = files.flatMap((file) =>
    importsOf(file)
      .filter(({ target }) => builtinModules.includes(target))
      .map(({ target }) => `${file}: ${target}`),
  )
  t.same(bare, [])
})

t.test('no file imports itself in a circle, but for types', async (t) => {
  t.equal(findCycle()?.join(' → '), undefined)
})

t.test('file names are kebab-case with their role', async (t) => {
  t.same(
    files.filter((file) => !/^([a-z0-9]+(-[a-z0-9]+)*\/)*[a-z0-9]+(-[a-z0-9]+)*(\.(routes|service|schema|d))?\.ts$/.test(file)),
    [],
  )
})

t.test('nothing is logged past the logger, and exports have names', async (t) => {
  for (const [file, text] of texts) {
    t.notMatch(text, /\bconsole\s*\./, `${file} has no console`)
    if (!file.endsWith('.d.ts')) t.notMatch(text, /^export (default\b|\*)/m, `${file} exports by name`)
  }
})
