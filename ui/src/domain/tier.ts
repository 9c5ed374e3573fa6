/**
 * The ranges of a tier and what its settings add up to. The server checks the same; this tells
 * sooner.
 */

/** The levels of the history that a tier may keep for a time of its own, in the server's order. */
export const LEVELS = [
  { level: 'rounds', label: 'Every round' },
  { level: 'minutes', label: 'Minutes' },
  { level: 'agent_5m', label: '5 minutes, each agent' },
  { level: 'agent_1h', label: 'Hours and days, each agent' },
  { level: 'target_5m', label: '5 minutes, all agents' },
  { level: 'target_1h', label: 'Hours, all agents' },
  { level: 'target_1d', label: 'Days, all agents' },
] as const

export type KeptLevel = (typeof LEVELS)[number]['level']

/** Days; without a number a level is kept as the server keeps it. */
export type KeptDays = Record<KeptLevel, number | null>

const KEPT_DAYS_MAX = 36_500

/** Returns what is wrong with the days of each level. */
export function checkKept(kept: KeptDays): Partial<Record<KeptLevel, string>> {
  const errors: Partial<Record<KeptLevel, string>> = {}
  for (const { level } of LEVELS) {
    const days = kept[level]
    if (days !== null && (!Number.isInteger(days) || days < 1 || KEPT_DAYS_MAX < days)) {
      errors[level] = `must be from 1 to ${KEPT_DAYS_MAX} days, or empty`
    }
  }
  return errors
}

/** In few words, which levels a tier keeps for a time of its own. */
export function keptInWords(kept: KeptDays): string[] {
  return LEVELS.flatMap(({ level, label }) => {
    const days = kept[level]
    return days === null ? [] : [`${label.toLowerCase()} ${days} d`]
  })
}

export interface TierSettings {
  name: string
  interval_s: number
  packets: number
  gap_ms: number
  timeout_ms: number
  payload_bytes: number
  strategy: 'all' | 'count'
  agent_count?: number | null
  lost_raise: number
  lost_clear: number
  rtt_us_raise: number
  rtt_us_clear: number
  kept_days: KeptDays
}

export type NumberField = Exclude<
  keyof TierSettings,
  'name' | 'strategy' | 'agent_count' | 'kept_days'
>

/** What each number may be, both ends included. */
export const RANGES: Record<NumberField, { min: number; max: number }> = {
  interval_s: { min: 5, max: 3600 },
  packets: { min: 1, max: 20 },
  gap_ms: { min: 20, max: 1000 },
  timeout_ms: { min: 100, max: 10_000 },
  payload_bytes: { min: 24, max: 1472 },
  lost_raise: { min: 1, max: 100 },
  lost_clear: { min: 0, max: 99 },
  rtt_us_raise: { min: 1000, max: 60_000_000 },
  rtt_us_clear: { min: 1000, max: 60_000_000 },
}

/** Packets of the burst that follows a first fully lost round. */
const CONFIRM_PACKETS = 3

export const STANDARD: TierSettings = {
  name: '',
  interval_s: 30,
  packets: 5,
  gap_ms: 200,
  timeout_ms: 1000,
  payload_bytes: 56,
  strategy: 'all',
  agent_count: null,
  lost_raise: 7,
  lost_clear: 2,
  rtt_us_raise: 150_000,
  rtt_us_clear: 120_000,
  kept_days: {
    rounds: null,
    minutes: null,
    agent_5m: null,
    agent_1h: null,
    target_5m: null,
    target_1h: null,
    target_1d: null,
  },
}

/** Returns the packets a second that one agent sends for that many targets of the tier. */
export function packetsPerSecond(tier: TierSettings, targets: number): number {
  return (tier.packets * targets) / tier.interval_s
}

/** Returns the bits a second of that, with the IPv4 and ICMP headers (28 bytes) of each packet. */
export function bitsPerSecond(tier: TierSettings, targets: number): number {
  return packetsPerSecond(tier, targets) * (tier.payload_bytes + 28) * 8
}

/** Returns how long a cut takes to be seen at most: the interval, a round and its confirm burst. */
export function downWithinS(tier: TierSettings): number {
  return tier.interval_s + roundMs(tier) / 1000
}

function roundMs(tier: TierSettings): number {
  return (tier.packets - 1 + CONFIRM_PACKETS - 1) * tier.gap_ms + 2 * tier.timeout_ms
}

/** Checks every range; returns what is wrong by field. */
export function checkTier(tier: TierSettings): Partial<Record<keyof TierSettings, string>> {
  const errors: Partial<Record<keyof TierSettings, string>> = {}
  for (const [field, { min, max }] of Object.entries(RANGES) as [
    NumberField,
    { min: number; max: number },
  ][]) {
    const value = tier[field]
    if (!Number.isInteger(value) || value < min || max < value) {
      const [lo, hi] = field.startsWith('rtt_us') ? [min / 1000, max / 1000] : [min, max]
      errors[field] = `must be from ${lo} to ${hi}`
    }
  }
  if (tier.lost_clear >= tier.lost_raise)
    errors.lost_clear ??= 'must be below the number that raises'
  if (tier.rtt_us_clear > tier.rtt_us_raise)
    errors.rtt_us_clear ??= 'must be at most the time that raises'
  const count = tier.agent_count ?? 0
  if (tier.strategy === 'count' && !(Number.isInteger(count) && 1 <= count && count <= 255)) {
    errors.agent_count = 'must be from 1 to 255'
  }
  if (roundMs(tier) > tier.interval_s * 1000) {
    errors.interval_s ??=
      'too short: a round and its confirm burst must end before the next round'
  }
  if (Object.keys(checkKept(tier.kept_days)).length > 0) {
    errors.kept_days = `must be from 1 to ${KEPT_DAYS_MAX} days, or empty`
  }
  if (!/^[a-z0-9][a-z0-9_.-]{0,62}$/i.test(tier.name)) {
    errors.name = 'letters, digits, “-”, “_” and “.”; at most 63; starts with a letter or digit'
  }
  return errors
}
