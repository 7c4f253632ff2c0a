// Runs TypeScript in Node 20 without a build: resolves ./x.js to ./x.ts and strips types with esbuild. What was stripped
// is kept under node_modules, since the tests start dozens of processes. They read hundreds of small files each, and
// nothing else runs in this thread: reading them at once costs a fraction of what asking for them costs.
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { register } from 'node:module'
import { fileURLToPath } from 'node:url'
import { isMainThread } from 'node:worker_threads'

if (isMainThread) register(import.meta.url)

const sourceMapComment = /\n\/\/# sourceMappingURL=\S+\s*$/
const cacheFolder = new URL('../node_modules/.cache/promptsync-ts/', import.meta.url)

export async function resolve(specifier, context, next) {
  if (/^\.{1,2}\/.*\.js$/.test(specifier) && context.parentURL) {
    const typescript = new URL(specifier.replace(/\.js$/, '.ts'), context.parentURL)
    if (typescript.protocol === 'file:' && existsSync(fileURLToPath(typescript))) {
      return { url: typescript.href, format: 'module', shortCircuit: true }
    }
  }
  return next(specifier, context)
}

export async function load(url, context, next) {
  if (!url.startsWith('file:')) return next(url, context)
  if (url.endsWith('.ts')) return { format: 'module', source: await readStripped(fileURLToPath(url)), shortCircuit: true }
  // The test runner's loader notes every file for a coverage that leaves packages out, and has their source maps parsed.
  if (context.format === 'module' && url.includes('/node_modules/')) {
    const source = readFileSync(fileURLToPath(url), 'utf8').replace(sourceMapComment, '')
    return { format: 'module', source, shortCircuit: true }
  }
  return next(url, context)
}

async function readStripped(path) {
  const text = readFileSync(path, 'utf8')
  const options = optionsFor(path)
  const key = createHash('sha256').update(JSON.stringify(options)).update('\0').update(text).digest('hex')
  const cached = new URL(`${key}.mjs`, cacheFolder)
  return existsSync(cached) ? readFileSync(cached) : strip(text, options, cached)
}

/** Positions are looked up in the file itself, and nobody looks up those of generated code, whose maps are large. */
function optionsFor(path) {
  const sourcemap = path.includes('/src/generated/') ? false : 'inline'
  return { loader: 'ts', format: 'esm', target: 'node20', sourcemap, sourcesContent: false, sourcefile: path }
}

async function strip(text, options, cached) {
  const { transform } = await import('esbuild')
  const { code } = await transform(text, options)
  mkdirSync(cacheFolder, { recursive: true })
  const draft = new URL(`${randomUUID()}.mjs`, cacheFolder)
  writeFileSync(draft, code)
  renameSync(draft, cached)
  return code
}
