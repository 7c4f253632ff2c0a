import type { Command } from 'commander'
import type { Context } from '../context.js'
import { CliError, type ExitCode, exitCodes } from '../exit-codes.js'
import { groups } from '../groups.js'
import { compatibleFindings, localSides, storedSides } from '../local/compatibility.js'
import { parseFiles } from '../local/local-diff.js'
import { type LocalPrompts, readLocalPrompts } from '../local/local-prompts.js'
import { addRefOptions, type GivenRefs, type RefOptions, refsOf } from '../options/ref-options.js'
import { addTemplateOption, type TemplateOption } from '../options/template-option.js'
import { action, type Outcome } from '../run.js'
import type { AnswerOf } from '../server/api.js'
import { whileBusy } from '../server/repeat.js'
import { counted } from '../terminal/counted.js'
import { countFindings, type Finding, findingLines, inFiles } from '../terminal/findings.js'
import { examples } from '../terminal/help-text.js'

type ValidateOptions = TemplateOption & RefOptions & { path?: string; strict?: boolean; offline?: boolean }

const validateTimeoutMs = 120_000

export function addValidateCommand(program: Command, outcome: Outcome): void {
  const validate = program
    .command('validate')
    .helpGroup(groups.prompts)
    .summary('check local files as a push would, and whether applications can go on')
    .description(
      'Checks the local prompt files as a push would, and tells all that is wrong. With a ref it also tells which variables ' +
        'prompts need that those of the ref do not, since applications written for them do not give these. With two refs it tells ' +
        'that from the first to the second, and reads no files.',
    )
    .option('--path <path>', 'the folder of prompts, or one file (default: that of the settings, else ./prompts)')
  addTemplateOption(validate)
  const given = addRefOptions(validate)
  validate
    .option('--strict', 'let warnings fail as well')
    .option('--offline', 'ask no server: files and templates are read, and what they include is not looked up')
    .addHelpText(
      'after',
      examples(
        'promptsync validate',
        'promptsync validate --alias production',
        'promptsync validate --git-commit abc1234 --alias production',
      ),
    )
    .action(action<ValidateOptions>(outcome, (context, _args, options) => runValidate(context, { ...options, given })))
}

async function runValidate(context: Context, options: ValidateOptions & { given: GivenRefs }): Promise<ExitCode> {
  const refs = refsOf(options.given)
  if (options.offline && refs.length > 0)
    throw new CliError('What is stored under a ref cannot be known offline.', { remedy: 'Leave --offline or the ref out.' })
  if (refs.length === 2) {
    const findings = compatibleFindings(await storedSides(context, refs))
    return conclude(context, { root: context.cwd, findings, what: `${refs[0]} → ${refs[1]}` }, options)
  }
  const local = await readLocalPrompts(context, options)
  const own = options.offline ? await checkAlone(context, local, options) : await ask(context, local, options)
  const isReadable = own.every(({ severity }) => severity !== 'error')
  // What cannot be read tells no variables.
  const compatible = refs[0] !== undefined && isReadable ? await compare(context, refs[0], local, options) : []
  const what = counted(local.files.length, 'file')
  return conclude(context, { root: local.root, findings: [...own, ...compatible], what }, options)
}

async function compare(context: Context, ref: string, { files }: LocalPrompts, options: ValidateOptions): Promise<Finding[]> {
  return compatibleFindings(await localSides(context, ref, await parseFiles(context, files, options)))
}

async function checkAlone(context: Context, local: LocalPrompts, options: ValidateOptions): Promise<Finding[]> {
  const { checkOffline } = await import('../local/offline-check.js')
  return checkOffline(context, local, options)
}

async function ask(context: Context, { files }: LocalPrompts, { template }: ValidateOptions): Promise<Finding[]> {
  const { settings } = await context.project()
  const body = { files, template: template ?? settings.template }
  context.output.progress(`Checking ${counted(files.length, 'file')} …`)
  const answer = await whileBusy(context, () =>
    context.api<AnswerOf<'validate'>>({ path: '/validate', body, timeoutMs: validateTimeoutMs }),
  )
  context.output.progress(null)
  return inFiles(answer.body.findings, files)
}

type Checked = { root: string; findings: Finding[]; what: string }

function conclude(context: Context, { root, findings, what }: Checked, { strict }: ValidateOptions): ExitCode {
  const { output } = context
  const valid = findings.every(({ severity }) => severity === 'warning' && !strict)
  if (context.options.json) output.json({ valid, findings })
  else for (const finding of findings) output.data(findingLines(context, root, finding))
  output.note(`${what}: ${findings.length === 0 ? 'nothing is wrong' : countFindings(findings)}.`)
  return valid ? exitCodes.ok : exitCodes.invalid
}
