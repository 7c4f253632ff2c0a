import { parseArgs } from 'node:util'

export type Options = {
  /** The rows to measure; null is all but those that run only when they are named. */
  only: string[] | null
  /** How long one run of the load generator takes. */
  seconds: number
  runs: number
  warmUpSeconds: number
  /** How long the row `memory` keeps up the load. */
  minutes: number
}

export class OptionsError extends Error {}

export const usage = `usage: npm run bench -- [--only row,row] [--seconds 5] [--runs 5] [--warm-up 2] [--minutes 10]`

/** Reads the command line. Throws `OptionsError`. */
export function readOptions(args: string[], rows: readonly string[]): Options {
  const { values } = parse(args)
  const only = values.only?.split(',').filter((name) => name !== '') ?? null
  const unknown = only?.filter((name) => !rows.includes(name)) ?? []
  if (unknown.length > 0) throw new OptionsError(`No row ${unknown.join(', ')}. The rows are ${rows.join(', ')}.\n${usage}`)
  return {
    only,
    seconds: toNumber('seconds', values.seconds, 1, 60),
    runs: toNumber('runs', values.runs, 1, 50),
    warmUpSeconds: toNumber('warm-up', values['warm-up'], 1, 60),
    minutes: toNumber('minutes', values.minutes, 1, 120),
  }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        only: { type: 'string' },
        seconds: { type: 'string', default: '5' },
        runs: { type: 'string', default: '5' },
        'warm-up': { type: 'string', default: '2' },
        minutes: { type: 'string', default: '10' },
      },
    })
  } catch (error) {
    throw new OptionsError(`${(error as Error).message}\n${usage}`)
  }
}

function toNumber(name: string, text: string, from: number, to: number): number {
  const number = Number(text)
  if (Number.isInteger(number) && number >= from && number <= to) return number
  throw new OptionsError(`--${name} must be a whole number from ${from} to ${to}.\n${usage}`)
}
