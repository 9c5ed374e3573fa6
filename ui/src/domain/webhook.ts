/** How a webhook and its messages fare, in words and marks. */

import { count, lag } from './units'
import type { Mark } from './verdict'

export type DeliveryState = 'due' | 'sent' | 'dead'

interface WebhookLike {
  url: string | null
  is_disabled: boolean
  due: number
  dead: number
  last_sent_at: string | null
}

/** What is to be known of a webhook, the worst first. */
export function webhookMarks(hook: WebhookLike): Mark[] {
  const marks: Mark[] = []
  if (hook.url === null) {
    marks.push({ word: 'Address unreadable', letter: '!', icon: 'plug', tone: 'bad' })
  }
  if (hook.is_disabled) {
    marks.push({ word: 'Disabled', letter: 'P', icon: 'pause', tone: 'muted' })
  }
  if (hook.dead > 0) {
    marks.push({ word: `${count(hook.dead)} given up`, letter: 'X', icon: 'cross', tone: 'bad' })
  }
  if (hook.due > 0) {
    const word = `${count(hook.due)} waiting`
    marks.push({ word, letter: 'W', icon: 'hourglass', tone: 'warn' })
  }
  if (marks.length > 0) return marks
  return hook.last_sent_at === null
    ? [{ word: 'Nothing sent yet', letter: 'N', icon: 'hourglass', tone: 'muted' }]
    : [{ word: 'Works', letter: 'O', icon: 'check', tone: 'good' }]
}

export function deliveryMark(state: DeliveryState): Mark {
  switch (state) {
    case 'sent':
      return { word: 'Taken', letter: 'O', icon: 'check', tone: 'good' }
    case 'due':
      return { word: 'Waiting', letter: 'W', icon: 'hourglass', tone: 'warn' }
    case 'dead':
      return { word: 'Given up', letter: 'X', icon: 'cross', tone: 'bad' }
  }
}

/** Says what happened: `incident.opened` is `Incident opened`. */
export function kindWords(kind: string): string {
  const words = kind.replaceAll(/[._]/g, ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}

/** A body as people read it: JSON on lines of its own, anything else as it is. */
export function bodyText(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body), null, 2)
  } catch {
    return body
  }
}

interface TriedLike {
  state: DeliveryState
  reason: string | null
  tries: readonly { took_us: number; status: number | null }[]
}

/** Says what became of a test: `taken: 200 after 3.1 ms`. */
export function testWords({ state, reason, tries }: TriedLike): string {
  const last = tries.at(-1)
  const after = last === undefined ? '' : ` after ${lag(last.took_us)}`
  if (state === 'sent') return `taken: ${last?.status ?? ''}${after}`
  return `not taken${after}: ${reason ?? 'it was not tried'}`
}
