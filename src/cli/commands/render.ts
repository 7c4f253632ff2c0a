import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'
import { groups } from '../groups.js'
import { addSubjectOptions, type SubjectOptions } from '../options/subject-options.js'
import { action, type Outcome } from '../run.js'
import type { AnswerOf } from '../server/api.js'
import { pathSegment } from '../server/path-segment.js'
import { examples } from '../terminal/help-text.js'
import { factsLine, messagesText, showText, usualRef } from '../terminal/prompt-text.js'
import { readInput } from '../terminal/read-input.js'

type Variables = Record<string, unknown>
type RenderOptions = SubjectOptions & { var?: Variables; vars?: string; strict?: boolean }

/** The most that is read of variables. */
const maxVariablesBytes = 32 * 1024 ** 2

export function addRenderCommand(program: Command, outcome: Outcome): void {
  const render = program
    .command('render')
    .helpGroup(groups.prompts)
    .summary('print a prompt with its variables filled in')
    .description('Prints a prompt as a model gets it. Variables of --var win over those of --vars.')
    .argument('<name>', 'the prompt')
    .argument('[ref]', `an alias, version, release, label or commit (default: ${usualRef})`)
    .option('--var <name=value>', 'a variable, as text; name:=value takes JSON: count:=3, tags:=["a"]; repeatable', takeVariable)
    .option('--vars <file>', 'a JSON file with an object of variables; - reads it from stdin')
  addSubjectOptions(render)
    .option('--no-strict', 'leave missing variables empty')
    .addHelpText(
      'after',
      examples(
        'promptsync render customer_support --var company_name=Acme --var count:=3',
        'promptsync render customer_support v1.2.0 --vars variables.json --tag locale:cn',
      ),
    )
    .action(action<RenderOptions>(outcome, runRender))
}

function takeVariable(given: string, before: Variables = {}): Variables {
  const match = /^([A-Za-z_]\w*)(:?=)([\s\S]*)$/.exec(given)
  if (!match) throw new InvalidArgumentError('Write name=value, or name:=JSON. A name is letters, digits and "_".')
  const [, name = '', sign, value = ''] = match
  if (Object.hasOwn(before, name)) throw new InvalidArgumentError(`The variable "${name}" is given twice.`)
  return Object.fromEntries([...Object.entries(before), [name, sign === '=' ? value : jsonOf(name, value)]])
}

function jsonOf(name: string, value: string): unknown {
  try {
    return JSON.parse(value)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new InvalidArgumentError(`The value of "${name}" is no JSON. Write ${name}=… for text.`)
  }
}

async function runRender(context: Context, [name = '', ref = usualRef]: string[], options: RenderOptions): Promise<void> {
  const { tag, key, canary, strict } = options
  const variables = { ...(await readVariables(context, options.vars)), ...options.var }
  const { body } = await context.api<AnswerOf<'renderPrompt'>>({
    path: `/prompts/${pathSegment('a prompt', name)}/${pathSegment('a ref', ref)}/render`,
    query: { canary: canary === false ? 'off' : undefined },
    body: {
      variables,
      ...(tag ? { tags: tag } : {}),
      ...(key === undefined ? {} : { key }),
      ...(strict === false ? { strict } : {}),
    },
  })
  if (context.options.json) return context.output.json(body)
  context.output.note(factsLine(body))
  showText(context, body.messages ? messagesText(body.messages) : (body.text ?? ''))
}

async function readVariables(context: Context, file: string | undefined): Promise<Variables> {
  if (file === undefined) return {}
  const from = file === '-' ? 'stdin' : file
  const text = file === '-' ? await readStdin(context) : await readVariablesFile(context, file)
  const value = parseJson(text, from)
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Variables
  throw new CliError(`${from} holds no JSON object.`, { remedy: 'Write {"name": "value"}.' })
}

function parseJson(text: string, from: string): unknown {
  try {
    return JSON.parse(text.replace(/^\ufeff/, ''))
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new CliError(`${from} is no JSON: ${error.message}.`, { remedy: 'Write {"name": "value"}.', cause: error })
  }
}

async function readVariablesFile({ cwd, signal }: Context, file: string): Promise<string> {
  try {
    return await readFile(resolve(cwd, file), { encoding: 'utf8', signal })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === undefined || code === 'ABORT_ERR') throw error
    throw new CliError(`The variables cannot be read: ${message}.`, { remedy: 'Check --vars.', cause: error })
  }
}

async function readStdin(context: Context): Promise<string> {
  if (context.stdin.isTTY)
    throw new CliError('The variables are to come from stdin, which is the terminal.', { remedy: 'Name a file, or pipe one in.' })
  const tooLong = `stdin holds over ${maxVariablesBytes / 1024 ** 2} MiB. Give less.`
  return readInput(context, { maxBytes: maxVariablesBytes, tooLong })
}
