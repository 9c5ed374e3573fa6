/**
 * The reason of a verdict, with the moment it is of: it was made when the verdict changed, and
 * nobody may read its numbers as those of now.
 */

import { parseTime, whenText } from '../domain/time'
import { useMinute, useTimeText } from './clock'
import css from './Reason.module.css'

interface Props {
  why: string
  cause: string
  since: string
}

export function Reason({ why, cause, since }: Props) {
  const minute = useMinute()
  const { zone } = useTimeText()
  const at = parseTime(since)
  // Before the first round the reason is of now: it says what is waited for.
  if (why === '' || at === null || cause === 'not_yet') return why
  return (
    <>
      <span className={css.at}>at {whenText(at, minute, zone)}:</span> {why}
    </>
  )
}
