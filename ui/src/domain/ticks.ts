/** The labelled moments of an axis of time, of minutes or of years, in the zone that is shown. */

import { MINUTE_MS, type Zone, bareTime, zoneOffsetMin } from './time'

export interface Tick {
  at: number
  text: string
}

const HOUR_MIN = 60
const DAY_MIN = 24 * HOUR_MIN
const STEPS_MIN = [
  1,
  2,
  5,
  10,
  15,
  30,
  HOUR_MIN,
  2 * HOUR_MIN,
  3 * HOUR_MIN,
  6 * HOUR_MIN,
  12 * HOUR_MIN,
] as const
const STEPS_DAYS = [1, 2, 7, 14] as const
const STEPS_MONTHS = [1, 2, 3, 6, 12, 24] as const
const MONTH_DAYS = 30.4

/** Returns at most `max` ticks, and as many as round steps give. */
export function timeTicks(from: number, to: number, max: number, zone: Zone): Tick[] {
  const spanMin = (to - from) / MINUTE_MS
  const fits = (stepMin: number) => spanMin / stepMin <= Math.max(1, max)
  const min = STEPS_MIN.find(fits)
  if (min !== undefined) return clockTicks(from, to, min, zone)
  const days = STEPS_DAYS.find((step) => fits(step * DAY_MIN))
  if (days !== undefined) return dayTicks(from, to, days, zone)
  const months = STEPS_MONTHS.find((step) => fits(step * MONTH_DAYS * DAY_MIN))
  return monthTicks(from, to, months ?? 24, zone)
}

function clockTicks(from: number, to: number, stepMin: number, zone: Zone): Tick[] {
  const step = stepMin * MINUTE_MS
  const shiftAt = (at: number) => zoneOffsetMin(zone, at) * MINUTE_MS
  const ticks: Tick[] = []
  const first = Math.ceil((from + shiftAt(from)) / step) * step
  // Counted on the clock that is shown: after a clock change the hours stay round.
  for (let clock = first; ; clock += step) {
    const near = clock - shiftAt(from)
    const at = clock - shiftAt(near)
    if (at >= to) break
    if (at < from || at === ticks.at(-1)?.at) continue
    const time = bareTime(at, zone, 'minute')
    ticks.push({ at, text: time === '00:00' ? bareTime(at, zone, 'dayOnly') : time })
  }
  return ticks
}

interface Calendar {
  at: (year: number, month: number, day: number) => number
  of: (at: number) => { year: number; month: number; day: number }
}

const CALENDARS: Record<Zone, Calendar> = {
  utc: {
    at: (year, month, day) => Date.UTC(year, month, day),
    of: (at) => {
      const date = new Date(at)
      return {
        year: date.getUTCFullYear(),
        month: date.getUTCMonth(),
        day: date.getUTCDate(),
      }
    },
  },
  local: {
    at: (year, month, day) => new Date(year, month, day).getTime(),
    of: (at) => {
      const date = new Date(at)
      return { year: date.getFullYear(), month: date.getMonth(), day: date.getDate() }
    },
  },
}

/** A Monday, from which steps of weeks are counted. */
const MONDAY = { year: 2024, month: 0, day: 1 }

function dayTicks(from: number, to: number, step: number, zone: Zone): Tick[] {
  const { at: when } = CALENDARS[zone]
  const first = Math.floor((from - when(MONDAY.year, MONDAY.month, MONDAY.day)) / 86_400_000)
  const ticks: Tick[] = []
  // A day more before: a zone may be ahead. Days of a clock change are longer or shorter.
  for (let day = Math.floor((first - 1) / step) * step; ; day += step) {
    const at = when(MONDAY.year, MONDAY.month, MONDAY.day + day)
    if (at >= to) return ticks
    if (at >= from) ticks.push({ at, text: bareTime(at, zone, 'dayOnly') })
  }
}

function monthTicks(from: number, to: number, step: number, zone: Zone): Tick[] {
  const { at: when, of } = CALENDARS[zone]
  const start = of(from)
  const ticks: Tick[] = []
  for (let month = Math.floor((start.year * 12 + start.month) / step) * step; ; month += step) {
    const at = when(Math.floor(month / 12), month % 12, 1)
    if (at >= to) return ticks
    const isYear = month % 12 === 0
    if (at >= from) ticks.push({ at, text: bareTime(at, zone, isYear ? 'year' : 'month') })
  }
}
