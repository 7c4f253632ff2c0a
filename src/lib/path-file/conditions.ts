import type { LocalClock } from './local-time.js'

/** What must hold for a route to be tried. `unmet` says what it asks for, for those who wonder why it does not hold. */
export type Condition = ValueCondition | TimeCondition

/** The variable, by its number in the file, has one of these values, or with `isNot` none of them. */
export type ValueCondition = {
  readonly kind: 'value'
  readonly variable: number
  readonly values: ReadonlySet<string>
  readonly isNot: boolean
  readonly unmet: string
}

/** Of each span the begin belongs to it and the end does not. */
export type TimeCondition = {
  readonly kind: 'time'
  readonly clock: LocalClock
  /** From 0 for Sunday; null for every day. */
  readonly weekdays: ReadonlySet<number> | null
  readonly spans: readonly HourSpan[]
  readonly unmet: string
}

/** Minutes of the day. Where `until` is not after `from` it goes on past midnight. */
export type HourSpan = { from: number; until: number }

const dayNames = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday']
const daysPerWeek = 7
export const wholeDay: HourSpan = { from: 0, until: 24 * 60 }

/** A variable without a value is none of any values. */
export function isMet(condition: Condition, values: readonly (string | null)[], at: Date): boolean {
  if (condition.kind === 'time') return isTime(condition, at)
  const value = values[condition.variable]
  return (typeof value === 'string' && condition.values.has(value)) !== condition.isNot
}

/** What is past midnight belongs to the day on which it began. */
function isTime({ clock, weekdays, spans }: TimeCondition, at: Date): boolean {
  const { weekday, minute } = clock(at)
  const isToday = weekdays === null || weekdays.has(weekday)
  const isSinceYesterday = weekdays === null || weekdays.has((weekday + daysPerWeek - 1) % daysPerWeek)
  return spans.some(({ from, until }) => {
    if (from < until) return isToday && minute >= from && minute < until
    return (isToday && minute >= from) || (isSinceYesterday && minute < until)
  })
}

/** `09:00-17:00` as minutes of the day, or null. */
export function parseHours(text: string): HourSpan | null {
  const match = /^(\d{1,2}):(\d{2})\s*[-–]\s*(\d{1,2}):(\d{2})$/.exec(text.trim())
  if (!match) return null
  const [fromHour = 0, fromMinute = 0, untilHour = 0, untilMinute = 0] = match.slice(1).map(Number)
  const span = { from: fromHour * 60 + fromMinute, until: untilHour * 60 + untilMinute }
  const isValid = fromMinute < 60 && untilMinute < 60 && span.from < wholeDay.until && span.until <= wholeDay.until
  return isValid && span.from !== span.until ? span : null
}

/** `mon`, `Monday` or `fri-mon` as weekdays, or null. */
export function parseDays(text: string): number[] | null {
  const [first, last, ...rest] = text.split('-').map((name) => weekdayOf(name.trim()))
  if (first === undefined || first === -1 || last === -1 || rest.length > 0) return null
  if (last === undefined) return [first]
  const count = ((last - first + daysPerWeek) % daysPerWeek) + 1
  return Array.from({ length: count }, (_, index) => (first + index) % daysPerWeek)
}

function weekdayOf(text: string): number {
  const name = text.toLowerCase()
  return dayNames.findIndex((day) => day === name || day.slice(0, 3) === name)
}
