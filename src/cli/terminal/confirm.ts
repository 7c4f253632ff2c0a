import type { Context } from '../context.js'
import { CliError } from '../exit-codes.js'
import { confirm } from './ask.js'

/**
 * Asks before something that cannot simply be taken back; `question` names what is lost. Throws a `CliError` where the answer is no,
 * or where nobody can be asked, unless `--yes` answered already.
 */
export async function requireYes(context: Context, question: string, { yes }: { yes?: boolean }): Promise<void> {
  if (yes) return
  if (!context.canAsk) throw new CliError(`${question} Nobody can be asked here.`, { remedy: 'Add --yes if it is meant.' })
  if (!(await confirm(context, question))) throw new CliError('Nothing was changed.')
}
