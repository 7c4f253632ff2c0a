import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FuzzCase } from './sources.js'

// Tries the template language with templates of three sources: written by its grammar, made of random tokens, and changed from real
// ones. It ends by itself; a failure is printed as small as it could be made, and the exit code is 1.
//   FUZZ_SECONDS=20 FUZZ_SEED=… FUZZ_CORPUS=folder npm run test:fuzz

const seconds = Number(process.env.FUZZ_SECONDS ?? 20)
const seed = Number(process.env.FUZZ_SEED ?? randomInt(2 ** 30))
/** The child has this much more to start, to shrink a failure and to end. */
const graceMs = 60_000
/** A case that is tried for longer than this hangs. */
const hangMs = 5_000
/** Anything that a template makes has to fit into it together with the fuzzer itself. */
const heapMegabytes = 256

const say = (line: string) => process.stdout.write(`${line}\n`)

const folder = mkdtempSync(join(tmpdir(), 'promptsync-fuzz-'))
const noteFile = join(folder, 'case')

/** What child.ts writes: 0 is the number of none. */
function currentNote(): { number: number; text: string } {
  const bytes = readFileSync(noteFile)
  if (bytes.length < 8) return { number: 0, text: '' }
  return { number: bytes.readUInt32LE(), text: bytes.subarray(8, 8 + bytes.readUInt32LE(4)).toString() }
}

function reportCase(what: string): void {
  const { text } = currentNote()
  const one = text === '' ? null : (JSON.parse(text) as FuzzCase)
  say(`FAILED: ${what}. The case, as it was tried (FUZZ_SEED=${seed} comes to it again):`)
  say(`template: ${JSON.stringify(one?.source)}`)
  say(`parts: ${JSON.stringify(one?.parts)}`)
  say(`variables: ${one?.variables}`)
}

/** Resolves to the exit code that this process should have. */
function runChild(): Promise<number> {
  const notes = openSync(noteFile, 'w+')
  const child = spawn(
    process.execPath,
    [
      ...[
        '--expose-gc',
        `--max-old-space-size=${heapMegabytes}`,
        '--import',
        new URL('../../scripts/ts-loader.mjs', import.meta.url).href,
      ],
      ...[fileURLToPath(new URL('./child.ts', import.meta.url)), String(seconds), String(seed)],
    ],
    { stdio: ['ignore', 'inherit', 'inherit', notes] },
  )
  closeSync(notes)
  return new Promise((resolve, reject) => {
    let ended = ''
    const end = (why: string) => {
      ended ||= why
      child.kill('SIGKILL')
    }
    const overall = setTimeout(() => end('it was not finished in time'), seconds * 1000 + graceMs)
    const hangs = watchForHangs(() => end(`it takes over ${hangMs} ms`))
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      clearTimeout(overall)
      clearInterval(hangs)
      if (ended || signal || (code !== 0 && code !== 1)) reportCase(ended || `the process ended with ${signal ?? code}`)
      resolve(ended ? 1 : (code ?? 1))
    })
  })
}

/** The same number at each look means that the case is still being tried: thousands are in a second. */
function watchForHangs(found: () => void): NodeJS.Timeout {
  let last = 0
  let since = Date.now()
  return setInterval(() => {
    const { number } = currentNote()
    if (number !== last || number === 0) since = Date.now()
    else if (Date.now() - since > hangMs) found()
    last = number
  }, 500)
}

say(`FUZZ_SECONDS=${seconds} FUZZ_SEED=${seed}`)
try {
  process.exitCode = await runChild()
} finally {
  rmSync(folder, { recursive: true, force: true })
}
