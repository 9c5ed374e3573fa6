/** A mark, drawn: shape and word together, never colour alone. */

import type { Mark as MarkOf } from '../domain/verdict'
import { MarkShape } from './Icon'
import css from './Verdict.module.css'

export function MarkLabel({ mark, size = 'md' }: { mark: MarkOf; size?: 'sm' | 'md' | 'lg' }) {
  return (
    <span className={`${css.label} ${css[size]} tone-${mark.tone}`}>
      <MarkShape icon={mark.icon} size={{ sm: 13, md: 15, lg: 24 }[size]} />
      <span>{mark.word}</span>
    </span>
  )
}
