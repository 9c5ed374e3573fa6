/** Moments as text. Every text that names an hour also names its zone. */

export type Zone = 'utc' | 'local'

export const MINUTE_MS = 60_000

type Style =
  'time' | 'minute' | 'dayMinute' | 'yearMinute' | 'moment' | 'day' | 'dayOnly' | 'month' | 'year'

const OPTIONS: Record<Style, Intl.DateTimeFormatOptions> = {
  time: { hour: '2-digit', minute: '2-digit', second: '2-digit' },
  minute: { hour: '2-digit', minute: '2-digit' },
  dayMinute: { day: '2-digit', month: 'short', hour: '2-digit', minute: '2-digit' },
  yearMinute: {
    day: '2-digit',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
  },
  moment: {
    day: '2-digit',
    month: 'short',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  },
  day: { day: '2-digit', month: 'short', year: 'numeric' },
  dayOnly: { day: 'numeric', month: 'short' },
  month: { month: 'short' },
  year: { year: 'numeric' },
}

const FORMATS = new Map<string, Intl.DateTimeFormat>()

function formatOf(style: Style, zone: Zone): Intl.DateTimeFormat {
  const key = `${style} ${zone}`
  let format = FORMATS.get(key)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-GB', {
      ...OPTIONS[style],
      hourCycle: 'h23',
      ...(zone === 'utc' && { timeZone: 'UTC' }),
    })
    FORMATS.set(key, format)
  }
  return format
}

/** Returns the name of the zone at that moment: `UTC`, or as `UTC+2`, which nobody can misread. */
export function zoneName(zone: Zone, at: number): string {
  if (zone === 'utc') return 'UTC'
  const min = zoneOffsetMin(zone, at)
  if (min === 0) return 'UTC+0'
  const sign = min < 0 ? '−' : '+'
  const rest = Math.abs(min) % 60
  const hours = Math.floor(Math.abs(min) / 60)
  return `UTC${sign}${hours}${rest === 0 ? '' : `:${String(rest).padStart(2, '0')}`}`
}

/** Says a moment without its zone: only where the zone stands beside it, as in a table's head. */
export function bareTime(at: number, zone: Zone, style: Style): string {
  return formatOf(style, zone).format(at)
}

/** Says a moment with its zone. */
export function timeText(at: number, zone: Zone, style: Style): string {
  return `${bareTime(at, zone, style)} ${zoneName(zone, at)}`
}

/**
 * Says when something was, as short as it can be told from `now`: the time alone if it was the same
 * day, else the day before it.
 */
export function whenText(at: number, now: number, zone: Zone): string {
  const isSameDay = bareTime(at, zone, 'day') === bareTime(now, zone, 'day')
  return timeText(at, zone, isSameDay ? 'minute' : 'dayMinute')
}

/** Returns the moment a text of the API names, or null for none. */
export function parseTime(text: string | null | undefined): number | null {
  if (text == null) return null
  const at = Date.parse(text)
  return Number.isNaN(at) ? null : at
}

/** Returns the start of the minute that holds `at`. */
export function minuteOf(at: number): number {
  return Math.floor(at / MINUTE_MS) * MINUTE_MS
}

/** Returns how many minutes the zone is ahead of UTC at that moment. */
export function zoneOffsetMin(zone: Zone, at: number): number {
  return zone === 'utc' ? 0 : -new Date(at).getTimezoneOffset()
}
