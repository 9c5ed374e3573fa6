/** How a webhook fares, and what became of a test: beside the button that asked for it. */

import type { Webhook } from '../../api/types'
import { testWords, webhookMarks } from '../../domain/webhook'
import { MarkLabel } from '../../ui/Verdict'
import css from './Webhooks.module.css'
import type { Told } from './useTests'

export function State({ hook }: { hook: Webhook }) {
  return (
    <span className={css.marks}>
      {webhookMarks(hook).map((mark) => (
        <MarkLabel key={mark.word} mark={mark} />
      ))}
    </span>
  )
}

export function TestAnswer({ told }: { told: Told | undefined }) {
  return (
    <span className={css.answer} role="status" data-tone={toneOf(told)}>
      {told !== undefined && wordsOf(told)}
    </span>
  )
}

function wordsOf(told: Told): string {
  if (told === 'under way') return 'Test: waiting for the answer, 10 s at most'
  return `Test ${told instanceof Error ? `not sent: ${told.message}` : testWords(told)}`
}

function toneOf(told: Told | undefined) {
  if (told === undefined || told === 'under way') return undefined
  return told instanceof Error || told.state !== 'sent' ? 'bad' : 'good'
}
