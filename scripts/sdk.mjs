// Builds the SDK (`promptsync/client`) into a folder: one self-contained file for each kind of module, declarations for both,
// and the licences of what is in them. It needs nothing of the rest of dist, and neither Node nor packages to run.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { reachableDeclarations } from './declarations.mjs'

const project = dirname(dirname(fileURLToPath(import.meta.url)))
const entry = 'client/index'

/** The compiler of TypeScript. */
export const typescript = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'lib', 'tsc.js')

/** Builds everything; throws with what the compiler printed. */
export async function buildSdk(folder) {
  const target = resolve(folder)
  rmSync(target, { recursive: true, force: true })
  mkdirSync(target, { recursive: true })
  await Promise.all([bundleSdk(target), writeDeclarations(target)])
}

/** nunjucks' parser shares a file with its other classes, one of which is an emitter of events that nothing here uses. */
const withoutEvents = {
  name: 'without-events',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^events$/ }, () => ({ path: 'events', namespace: 'none' }))
    onLoad({ filter: /./, namespace: 'none' }, () => ({ contents: 'module.exports = class EventEmitter {}' }))
  },
}

/** Writes index.js, index.cjs and the licences. */
export async function bundleSdk(target) {
  const { build } = await import('esbuild')
  const bundle = (format, file) =>
    build({
      absWorkingDir: project,
      entryPoints: [`src/${entry}.ts`],
      outfile: join(target, file),
      ...{ bundle: true, platform: 'neutral', format, target: 'es2022', plugins: [withoutEvents] },
      // What packages have for browsers is what runs everywhere.
      ...{ mainFields: ['module', 'main'], conditions: ['browser'] },
      // Names stay, so that a stack can be read.
      ...{ minifyWhitespace: true, minifySyntax: true, legalComments: 'none', metafile: true, logLevel: 'warning' },
    })
  const [{ metafile }] = await Promise.all([bundle('esm', 'index.js'), bundle('cjs', 'index.cjs')])
  writeFileSync(join(target, 'LICENSES.txt'), licencesOf(Object.keys(metafile.inputs)))
}

/** The licence of each package that a bundle holds files of, as the package has it. */
function licencesOf(inputs) {
  const names = inputs.flatMap((path) => /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? [])
  const texts = [...new Set(names)].sort().map((name) => {
    const folder = join(project, 'node_modules', name)
    const { version, license, author, homepage } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const file = readdirSync(folder).find((found) => /^licen[cs]e/i.test(found))
    const text = file ? readFileSync(join(folder, file), 'utf8').trim() : `Copyright (c) ${author?.name ?? author}, ${homepage}`
    return `${name} ${version} (${license})\n\n${text}\n`
  })
  return texts.join(`\n${'-'.repeat(80)}\n\n`)
}

/**
 * Writes the declarations, once for each kind of module: which kind a file is, TypeScript reads from the nearest package.json.
 * Types are checked where the whole of src is compiled.
 */
async function writeDeclarations(target) {
  const temporary = mkdtempSync(join(target, 'declarations-'))
  try {
    await runCompiler(['-p', join(project, 'scripts', 'tsconfig.sdk.json'), '--outDir', temporary])
    for (const [file, text] of reachableDeclarations(temporary, `${entry}.d.ts`)) {
      for (const kind of ['types', 'types-cjs']) {
        mkdirSync(dirname(join(target, kind, file)), { recursive: true })
        writeFileSync(join(target, kind, file), text)
      }
    }
    writeFileSync(join(target, 'types-cjs', 'package.json'), '{ "type": "commonjs" }\n')
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}

/** Runs TypeScript; throws with what it printed. */
export async function runCompiler(args) {
  // What watches this process, a test runner say, need not watch that one.
  const { NODE_OPTIONS: _, ...env } = process.env
  const child = spawn(process.execPath, [typescript, ...args], { cwd: project, env, stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve))
  if (code !== 0) throw new Error(output)
}
