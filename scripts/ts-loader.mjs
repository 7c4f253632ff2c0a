// Runs TypeScript in Node 20 without a build: resolves ./x.js to ./x.ts and strips types with esbuild. What was stripped
// is kept under node_modules, since the tests start dozens of processes.
import { createHash, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { register } from 'node:module'
import { fileURLToPath } from 'node:url'
import { isMainThread } from 'node:worker_threads'

if (isMainThread) register(import.meta.url)

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
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context)
  const path = fileURLToPath(url)
  const text = await readFile(path, 'utf8')
  const cached = new URL(`${createHash('sha256').update(path).update('\0').update(text).digest('hex')}.mjs`, cacheFolder)
  const source = existsSync(cached) ? await readFile(cached, 'utf8') : await strip(path, text, cached)
  return { format: 'module', source, shortCircuit: true }
}

async function strip(path, text, cached) {
  const { transform } = await import('esbuild')
  const options = { loader: 'ts', format: 'esm', target: 'node20', sourcemap: 'inline', sourcefile: path }
  const { code } = await transform(text, options)
  await mkdir(cacheFolder, { recursive: true })
  const draft = new URL(`${randomUUID()}.mjs`, cacheFolder)
  await writeFile(draft, code)
  await rename(draft, cached)
  return code
}
