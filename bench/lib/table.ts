/** What a ratio or a number must reach. */
export type Bound = { atLeast: number } | { atMost: number }

export type Line = { what: string; service: string; baseline: string; ratio: string; must: string; verdict: string }

/** What a row of the table found: one line or several, and what a reader must know about them. */
export type Findings = { lines: Line[]; notes: string[] }

export type LineParts = {
  what: string
  service: string
  baseline?: string
  ratio?: string
  value: number
  must: Bound
  unit?: string
}

/** A line with its verdict; `value` is what is compared with the bound. */
export function judge({ what, service, baseline = '', ratio = '', value, must, unit = '' }: LineParts): Line {
  const isReached = 'atLeast' in must ? value >= must.atLeast : value <= must.atMost
  const bound =
    'atLeast' in must ? `≥ ${must.atLeast.toLocaleString('en')}${unit}` : `≤ ${must.atMost.toLocaleString('en')}${unit}`
  return { what, service, baseline, ratio, must: bound, verdict: isReached ? 'reached' : '**missed**' }
}

/** A line that is there for comparison and promises nothing. */
export function inform({ what, service, baseline = '', ratio = '' }: Omit<LineParts, 'value' | 'must' | 'unit'>): Line {
  return { what, service, baseline, ratio, must: '', verdict: '' }
}

export function toMarkdown(lines: readonly Line[]): string {
  const rows = lines.map(({ what, service, baseline, ratio, must, verdict }) => [what, service, baseline, ratio, must, verdict])
  const all = [['what', 'service', 'baseline', 'ratio', 'must', ''], ['---', '---', '---', '---', '---', '---'], ...rows]
  return all.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

export const perSecond = (value: number) => `${Math.round(value).toLocaleString('en')}/s`
export const milliseconds = (value: number) => `${value.toFixed(value < 10 ? 2 : 0)} ms`
export const megabytes = (bytes: number) => `${(bytes / 1024 ** 2).toFixed(0)} MB`
export const factor = (value: number) => value.toFixed(2)
export const percent = (share: number) => `${(share * 100).toFixed(1)} %`
