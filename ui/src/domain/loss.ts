/**
 * Loss of a round or a minute as one of five steps, each with its own colour and its own height.
 */

export type LossStep = 'none' | 'some' | 'much' | 'most' | 'all'

export interface LossMark {
  step: LossStep
  words: string
  /** Height of the bar in a legend, in CSS pixels: loss is told by size as well as by colour. */
  heightPx: number
}

/** In the order of badness, as the legend shows them. */
export const LOSS_MARKS: readonly LossMark[] = [
  { step: 'none', words: 'no loss', heightPx: 0 },
  { step: 'some', words: 'up to 10 %', heightPx: 4 },
  { step: 'much', words: 'up to 30 %', heightPx: 6 },
  { step: 'most', words: 'more', heightPx: 9 },
  { step: 'all', words: 'all lost', heightPx: 12 },
]

/**
 * Returns the step of a loss. Nothing sent is no loss: it was not asked.
 *
 * The bounds follow what an operator does about it: below a tenth look, below a third act,
 * beyond that call.
 */
export function lossStep(sent: number, received: number): LossStep {
  const lost = sent - received
  if (sent === 0 || lost <= 0) return 'none'
  if (received === 0) return 'all'
  const part = lost / sent
  if (part <= 0.1) return 'some'
  return part <= 0.3 ? 'much' : 'most'
}
