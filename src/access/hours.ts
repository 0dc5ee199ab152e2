/** Whether a role's hours hold at a moment, by the clocks of the time zone it names. */
import type { Hours } from '../config/schema.ts'

const MINUTES_OF_DAY = 24 * 60
const DAYS: readonly string[] = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']

/** Building one costs more than asking it; there are as many as zones in the configuration. */
const formats = new Map<string, Intl.DateTimeFormat>()

function formatOf(timeZone: string): Intl.DateTimeFormat {
  let format = formats.get(timeZone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      ...{ timeZone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
    } as const)
    formats.set(timeZone, format)
  }
  return format
}

/** What a clock on the wall shows: the day, 0 for Sunday, and the minutes since midnight. */
function wallClock(timeZone: string, ms: number): { readonly day: number; readonly minute: number } {
  const parts = new Map(
    formatOf(timeZone)
      .formatToParts(ms)
      .map(({ type, value }) => [type, value]),
  )
  return {
    day: DAYS.indexOf(parts.get('weekday') ?? ''),
    minute: Number(parts.get('hour')) * 60 + Number(parts.get('minute')),
  }
}

/**
 * A window from 22:00 to 06:00 belongs to the day on which it begins. One whose ends are equal lasts a day. When
 * clocks are put forward or back, the wall decides: an hour that is shown twice is inside twice.
 */
export function withinHours({ tz, days, from, to }: Hours, ms: number): boolean {
  const { day, minute } = wallClock(tz, ms)
  const yesterday = (day + 6) % 7
  const end = to <= from ? to + MINUTES_OF_DAY : to
  const begunToday = days.includes(day) && minute >= from && minute < end
  return begunToday || (days.includes(yesterday) && minute + MINUTES_OF_DAY < end)
}

/** `mon, tue 08:00-19:00 Europe/Berlin`, as a refusal says it. */
export function describeHours({ tz, days, from, to }: Hours): string {
  const clock = (minutes: number) =>
    [Math.floor(minutes / 60), minutes % 60].map((part) => String(part).padStart(2, '0')).join(':')
  const names = days.map((day) => DAYS[day]?.toLowerCase()).join(', ')
  return `${names} ${clock(from)}-${clock(to)} ${tz}`
}
