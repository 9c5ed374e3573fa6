/** Numbers as people read them. A value that does not exist is a dash, never a zero. */

export const NONE = '–'

const GROUPED = new Intl.NumberFormat('en-GB')

export function count(value: number): string {
  return GROUPED.format(value)
}

/** Says a number of things: `1 target`, `2,104 targets`. */
export function many(value: number, one: string, more = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : more}`
}

/**
 * Says a round-trip time in milliseconds, with three significant digits as far as that means
 * something.
 */
export function rtt(us: number | null | undefined): string {
  if (us == null) return NONE
  const ms = us / 1000
  if (ms < 1) return `${ms.toFixed(3)} ms`
  if (ms < 10) return `${ms.toFixed(2)} ms`
  if (ms < 100) return `${ms.toFixed(1)} ms`
  return `${GROUPED.format(Math.round(ms))} ms`
}

/** Says which part of the packets was lost. `sent` of zero has no loss: nothing was asked. */
export function loss(sent: number, received: number): string {
  if (sent === 0) return NONE
  const percent = ((sent - received) / sent) * 100
  if (percent === 0) return '0 %'
  if (percent < 0.1) return '< 0.1 %'
  if (percent < 1) return `${percent.toFixed(1)} %`
  return `${Math.round(percent)} %`
}

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

export function bytes(value: number | null | undefined): string {
  if (value == null) return NONE
  let amount = value
  let unit = 0
  while (amount >= 1024 && unit < BYTE_UNITS.length - 1) {
    amount /= 1024
    unit += 1
  }
  const digits = unit === 0 || amount >= 100 ? 0 : 1
  return `${amount.toFixed(digits)} ${BYTE_UNITS[unit]}`
}

/** Says a duration with its two largest units: `8 s`, `4 min 12 s`, `3 h 05 min`, `12 d 4 h`. */
export function duration(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000))
  if (s < 60) return `${s} s`
  const min = Math.floor(s / 60)
  if (min < 10) return s % 60 === 0 ? `${min} min` : `${min} min ${s % 60} s`
  if (min < 60) return `${min} min`
  const h = Math.floor(min / 60)
  if (h < 24) return min % 60 === 0 ? `${h} h` : `${h} h ${min % 60} min`
  const d = Math.floor(h / 24)
  return d < 10 && h % 24 !== 0 ? `${d} d ${h % 24} h` : `${d} d`
}

/** Says a duration with its largest unit only, for tight columns: `8s`, `4m`, `3h`, `12d`. */
export function durationShort(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000))
  if (s < 60) return `${s}s`
  if (s < 3600) return `${Math.floor(s / 60)}m`
  if (s < 86_400) return `${Math.floor(s / 3600)}h`
  return `${Math.floor(s / 86_400)}d`
}

/**
 * Says a small measured time: microseconds up to a millisecond, then milliseconds, then seconds.
 */
export function lag(us: number | null | undefined): string {
  if (us == null) return NONE
  if (us < 1000) return `${Math.round(us)} µs`
  if (us < 1_000_000) return `${(us / 1000).toFixed(us < 10_000 ? 1 : 0)} ms`
  return `${(us / 1_000_000).toFixed(1)} s`
}

/** Says how far a clock is off, with its sign: ahead of the server is `+`. */
export function offset(ms: number): string {
  const sign = ms > 0 ? '+' : ms < 0 ? '−' : '±'
  const size = Math.abs(ms)
  return size < 1000 ? `${sign}${Math.round(size)} ms` : `${sign}${(size / 1000).toFixed(1)} s`
}

/** Says a rate: `0.17 packets/s`, `1,200 packets/s`. */
export function perSecond(value: number, things: string): string {
  const digits = value === 0 || value >= 100 ? 0 : value < 1 ? 2 : 1
  const amount = digits === 0 ? GROUPED.format(Math.round(value)) : value.toFixed(digits)
  return `${amount} ${things}/s`
}

/** Says a share as a whole percentage that is 0 or 100 only if it is exactly that. */
export function share(part: number, whole: number): string {
  if (whole === 0) return NONE
  const percent = (part / whole) * 100
  if (0 < percent && percent < 1) return '< 1 %'
  if (99 < percent && percent < 100) return `${(Math.floor(percent * 10) / 10).toFixed(1)} %`
  return `${Math.round(percent)} %`
}
