/** A moment of the API as its age, or as clock time with its zone. */

import { duration, durationShort } from '../domain/units'
import { parseTime } from '../domain/time'
import { NONE } from '../domain/units'
import { useNow, useTimeText } from './clock'

interface Props {
  at: string | null | undefined
}

/** `4 min 12 s`; the moment itself on hover. */
export function Age({
  at,
  isShort = false,
  suffix = '',
}: Props & { isShort?: boolean; suffix?: string }) {
  const now = useNow()
  const { text } = useTimeText()
  const moment = parseTime(at)
  if (moment === null) return <>{NONE}</>
  const age = now - moment
  return (
    <time dateTime={new Date(moment).toISOString()} title={text(moment, 'moment')}>
      {isShort ? durationShort(age) : duration(age)}
      {suffix}
    </time>
  )
}

export function Moment({
  at,
  style = 'moment',
}: Props & { style?: 'time' | 'minute' | 'moment' | 'day' }) {
  const { text } = useTimeText()
  const moment = parseTime(at)
  if (moment === null) return <>{NONE}</>
  return <time dateTime={new Date(moment).toISOString()}>{text(moment, style)}</time>
}
