/**
 * How the lines of a chart are told apart: by hue, and by a shape that stands on the line, so that
 * nobody needs to see the hue. The hues are none of a verdict's.
 */

export type Shape = 'disc' | 'square' | 'triangle' | 'diamond' | 'cross' | 'ring'

export interface LineStyle {
  /** Name of a colour of the page. */
  ink: string
  shape: Shape
}

/** The line of all agents together. */
const CONSENSUS: LineStyle = { ink: '--line-all', shape: 'ring' }

const AGENTS: readonly LineStyle[] = [
  { ink: '--line-1', shape: 'disc' },
  { ink: '--line-2', shape: 'square' },
  { ink: '--line-3', shape: 'triangle' },
  { ink: '--line-4', shape: 'diamond' },
  { ink: '--line-5', shape: 'cross' },
]

/** Returns the style of the agent at a place in the list of all; null for all together. */
export function lineStyle(place: number | null): LineStyle {
  return place === null ? CONSENSUS : (AGENTS[place % AGENTS.length] ?? CONSENSUS)
}

/** Traces a shape around a point; the caller fills or strokes it. */
export function traceShape(
  ctx: Pick<CanvasRenderingContext2D, 'moveTo' | 'lineTo' | 'arc' | 'closePath' | 'rect'>,
  shape: Shape,
  x: number,
  y: number,
  size: number,
): void {
  switch (shape) {
    case 'disc':
    case 'ring':
      ctx.moveTo(x + size, y)
      ctx.arc(x, y, size, 0, Math.PI * 2)
      return
    case 'square':
      ctx.rect(x - size * 0.9, y - size * 0.9, size * 1.8, size * 1.8)
      return
    case 'triangle':
      ctx.moveTo(x, y - size * 1.15)
      ctx.lineTo(x + size * 1.1, y + size * 0.85)
      ctx.lineTo(x - size * 1.1, y + size * 0.85)
      ctx.closePath()
      return
    case 'diamond':
      ctx.moveTo(x, y - size * 1.3)
      ctx.lineTo(x + size * 1.3, y)
      ctx.lineTo(x, y + size * 1.3)
      ctx.lineTo(x - size * 1.3, y)
      ctx.closePath()
      return
    case 'cross':
      ctx.rect(x - size * 1.2, y - size * 0.45, size * 2.4, size * 0.9)
      ctx.rect(x - size * 0.45, y - size * 1.2, size * 0.9, size * 2.4)
  }
}
