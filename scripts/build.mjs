// Compiles src to dist, and the SDK to dist/sdk, with nothing left over from an earlier build.
import { chmodSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { buildSdk, runCompiler } from './sdk.mjs'

try {
  rmSync('dist', { recursive: true, force: true })
  await Promise.all([runCompiler(['-p', 'tsconfig.build.json']), buildSdk(join('dist', 'sdk'))])
  chmodSync('dist/main.js', 0o755)
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
