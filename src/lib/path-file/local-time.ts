/** What a clock on the wall of a place shows: the weekday from 0 for Sunday, and the minute of the day. */
export type LocalTime = { weekday: number; minute: number }
export type LocalClock = (at: Date) => LocalTime

const weekdays = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const minuteMs = 60_000

/** Whether it is the name of a time zone, `Europe/Berlin` say. Offsets such as `+02:00` are none: they know no summer time. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/.test(name)) return false
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name })
    return true
  } catch (error) {
    if (error instanceof RangeError) return false
    throw error
  }
}

/** Answers of one minute are kept, because reads ask far more often than that. */
export function createLocalClock(timeZone: string): LocalClock {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  })
  let knownMinute = Number.NaN
  let known: LocalTime = { weekday: 0, minute: 0 }
  return (at) => {
    const minute = Math.floor(at.getTime() / minuteMs)
    if (minute !== knownMinute) {
      const parts = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]))
      known = { weekday: weekdays.indexOf(parts.weekday ?? ''), minute: Number(parts.hour) * 60 + Number(parts.minute) }
      knownMinute = minute
    }
    return known
  }
}
