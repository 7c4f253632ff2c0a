import { PromptsyncError } from '../client/problem.js'

/** What a command ends with. Scripts rely on them: none changes its meaning. */
export const exitCodes = {
  ok: 0,
  error: 1,
  differences: 2,
  invalid: 3,
  denied: 4,
  lostUpdate: 5,
  interrupted: 130,
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

export const exitCodesHelp = `Exit codes

    0  it worked
    1  an error: of the command line, of a file, of the network, or of the server
    2  there are differences (promptsync diff --exit-code)
    3  the prompts are not valid, or not compatible (promptsync validate, and pushes that are refused for it)
    4  no key, a key that is not good, or one that lacks the scope
    5  somebody else changed it first: look again, and repeat the command
  130  interrupted (Ctrl-C); nothing was half done
`

/** A command cannot go on. `message` says what is wrong; `remedy` what to do about it. */
export class CliError extends Error {
  readonly remedy: string | null
  readonly exitCode: ExitCode

  constructor(message: string, { remedy = null, exitCode = exitCodes.error, cause }: CliErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.remedy = remedy
    this.exitCode = exitCode
  }
}

type CliErrorOptions = { remedy?: string | null; exitCode?: ExitCode; cause?: unknown }

/** The exit code for whatever a command ended with. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CliError) return error.exitCode
  if (!(error instanceof PromptsyncError)) return exitCodes.error
  if (error.code === 'client.aborted') return exitCodes.interrupted
  switch (error.status) {
    case 401:
    case 403:
      return exitCodes.denied
    case 412:
      return exitCodes.lostUpdate
    case 422:
      return isAboutContent(error.code) ? exitCodes.invalid : exitCodes.error
    default:
      return exitCodes.error
  }
}

/** Of what a push is refused for, what lies in the prompts themselves. */
function isAboutContent(code: string): boolean {
  return /^(prompt|file|template|inputs|content|schema|variants|include)\./.test(code)
}
