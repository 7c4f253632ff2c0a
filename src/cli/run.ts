import type { Command } from 'commander'
import { PromptsyncError } from '../client/problem.js'
import { type Context, createContext, type GlobalOptions } from './context.js'
import { CliError, type ExitCode, exitCodeOf, exitCodes } from './exit-codes.js'
import { withRemedy } from './terminal/output.js'
import { visibleJson } from './terminal/visible.js'

/** What a command does with its arguments and options. Answers the exit code where it is not 0. */
export type Work<Options> = (context: Context, args: string[], options: Options) => Promise<void> | Promise<ExitCode>

/** The exit code of the command that ran, for whoever runs the program; null while it goes on. */
export type Outcome = { code: number | null }

/**
 * Makes `work` the action of a command: with a context, with Ctrl-C as an abort, and with errors told as a person can use them.
 */
export function action<Options>(outcome: Outcome, work: Work<Options>): (this: Command) => Promise<void> {
  return async function run(this: Command) {
    const options = this.optsWithGlobals<Options & GlobalOptions>()
    const interruption = new AbortController()
    const interrupt = () => interruption.abort()
    process.once('SIGINT', interrupt)
    process.once('SIGTERM', interrupt)
    const context = createContext(options, process, interruption.signal)
    try {
      const code = await work(context, this.processedArgs.flat().filter((arg) => arg !== undefined) as string[], options)
      outcome.code = interruption.signal.aborted ? exitCodes.interrupted : (code ?? exitCodes.ok)
    } catch (error) {
      outcome.code = interruption.signal.aborted ? exitCodes.interrupted : exitCodeOf(error)
      context.output.warn(await explain(context, error))
    } finally {
      process.off('SIGINT', interrupt)
      process.off('SIGTERM', interrupt)
    }
  }
}

/** What went wrong, where, and what to do: never a stack, but for what nobody foresaw. */
async function explain(context: Context, error: unknown): Promise<string> {
  if (context.signal.aborted)
    return 'promptsync: interrupted. Nothing was half done: a change on the server, or a file, is there whole or not at all.'
  const { remedyOf } = await import('./server/remedies.js')
  const remedy = await remedyOf(context, error)
  if (context.options.json) return visibleJson(JSON.stringify({ error: toJson(error, remedy) }))
  if (error instanceof PromptsyncError) return withRemedy(problemText(error), remedy)
  if (error instanceof CliError || isOfSystem(error)) return withRemedy((error as Error).message, remedy)
  // Another service may answer well-formed JSON of its own: whatever is read out of it is not there.
  const advice =
    'Either the server is not promptsync, or not of this version (see promptsync status), or please report these lines.'
  return withRemedy((error as Error).stack ?? String(error), advice)
}

/** A file that is not there, a disk that is full: nothing that a stack would explain. */
function isOfSystem(error: unknown): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException
  return typeof code === 'string' && typeof syscall === 'string'
}

function toJson(error: unknown, remedy: string | null): object {
  if (error instanceof PromptsyncError) {
    const { code, status, message: detail, errors, requestId } = error
    return { code, status, detail, remedy, errors, requestId }
  }
  return { code: 'cli.failed', status: null, detail: (error as Error).message, remedy }
}

const maxShown = 20

function problemText({ message, errors }: PromptsyncError): string {
  const places = errors.filter((finding) => !message.includes(finding.message))
  const more = places.length > maxShown ? [`  and ${places.length - maxShown} more`] : []
  return [message, ...places.slice(0, maxShown).map(({ path, message }) => `  ${path}: ${message}`), ...more].join('\n')
}
