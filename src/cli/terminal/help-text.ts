/** What `addHelpText('after', …)` takes: command lines that show how a command is used, each without the `$`. Pure. */
export function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`
}
