import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'

type Question = {
  /** What an empty answer means. */
  otherwise?: string
  /** Of secrets: nothing that is typed is shown. */
  echo?: 'shown' | 'hidden'
}

/**
 * Asks on stderr and answers the line that is typed. Ask only where `context.canAsk`. Ctrl-C aborts the command; without an
 * answer (Ctrl-D) it throws a `CliError`.
 */
export async function ask(context: Context, text: string, { otherwise, echo = 'shown' }: Question = {}): Promise<string> {
  const { createInterface } = await import('node:readline/promises')
  const { Writable } = await import('node:stream')
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const { stdin: input, signal } = context
  const prompt = otherwise === undefined ? `${text}: ` : `${text} [${otherwise}]: `
  const lines = createInterface({ input, output: echo === 'hidden' ? nowhere : process.stderr, terminal: true })
  // The terminal gives Ctrl-C to whoever reads lines.
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'))
  if (echo === 'hidden') process.stderr.write(prompt)
  try {
    const ended = new Promise<never>((_resolve, reject) => {
      lines.once('close', () => reject(new CliError('Nothing was answered.', { remedy: 'Run the command again.' })))
    })
    const answer = (await Promise.race([lines.question(prompt, { signal }), ended])).trim()
    return answer === '' ? (otherwise ?? '') : answer
  } finally {
    lines.close()
    if (echo === 'hidden') process.stderr.write('\n')
  }
}

/** Asks a question that is answered by y or n; anything else means no. */
export async function confirm(context: Context, text: string): Promise<boolean> {
  return /^y(es)?$/i.test(await ask(context, `${text} (y/N)`))
}
