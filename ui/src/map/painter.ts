/**
 * Who draws: a worker where the browser lets it, so that a large map never holds up the page; else
 * the page itself.
 */

import { paintNetwork, paintWorld } from './paint'
import type { Plan } from './plan'
import { type Detail, FINE_FROM_SCALE, type Land, worldOf } from './world'

export interface Painter {
  paint: (plan: Plan, ratio: number) => void
  close: () => void
}

/** What a page sends to a worker. */
export type PainterMessage =
  | { kind: 'canvases'; ground: OffscreenCanvas; top: OffscreenCanvas }
  | { kind: 'plan'; plan: Plan; ratio: number }

type Sheet = HTMLCanvasElement | OffscreenCanvas

const NOTHING: readonly Land[] = []

/** Draws on two canvases: the land, only when it moved, and the network above it. */
export function painterOn(ground: Sheet, top: Sheet): Painter {
  let last: { plan: Plan; ratio: number } | null = null
  let key = ''
  const lands: Record<Detail, readonly Land[]> = { coarse: NOTHING, fine: NOTHING }
  const asked = new Set<Detail>()
  const paint = (plan: Plan, ratio: number) => {
    last = { plan, ratio }
    const land = landOf(plan)
    const { view, size, ink } = plan
    const now = [
      view.x,
      view.y,
      view.scale,
      size.width,
      size.height,
      ratio,
      land.length,
      ink.land,
    ]
    if (key !== now.join(' ')) {
      key = now.join(' ')
      const context = fit(ground, plan, ratio)
      if (context !== null) paintWorld(context, plan, land, ratio)
    }
    const context = fit(top, plan, ratio)
    if (context !== null) paintNetwork(context, plan, ratio)
  }
  const landOf = (plan: Plan): readonly Land[] => {
    if (!plan.hasLand) return NOTHING
    const detail = plan.view.scale > FINE_FROM_SCALE ? 'fine' : 'coarse'
    if (!asked.has(detail)) {
      asked.add(detail)
      worldOf(detail).then(
        (got) => {
          lands[detail] = got
          if (last !== null) paint(last.plan, last.ratio)
        },
        // Without land the map is still a map.
        () => asked.delete(detail),
      )
    }
    if (lands[detail].length > 0) return lands[detail]
    return lands.coarse.length > 0 ? lands.coarse : lands.fine
  }
  return { paint, close: () => (last = null) }
}

function fit(sheet: Sheet, { size }: Plan, ratio: number) {
  const [width, height] = [Math.round(size.width * ratio), Math.round(size.height * ratio)]
  if (sheet.width !== width || sheet.height !== height)
    [sheet.width, sheet.height] = [width, height]
  return sheet.getContext('2d') as CanvasRenderingContext2D | null
}

/** A worker keeps its canvases for good: who comes back to them finds it again. */
const painters = new WeakMap<HTMLCanvasElement, Painter & { leave: number }>()
const LEAVE_MS = 1_000

export function painterOf(ground: HTMLCanvasElement, top: HTMLCanvasElement): Painter {
  const known = painters.get(top)
  if (known !== undefined) {
    window.clearTimeout(known.leave)
    return known
  }
  const made = { ...make(ground, top), leave: 0 }
  const { close } = made
  made.close = () => {
    made.leave = window.setTimeout(close, LEAVE_MS)
  }
  painters.set(top, made)
  return made
}

function make(ground: HTMLCanvasElement, top: HTMLCanvasElement): Painter {
  if (typeof Worker === 'undefined' || !('transferControlToOffscreen' in top)) {
    return painterOn(ground, top)
  }
  const worker = new Worker(new URL('./painterWorker.ts', import.meta.url), { type: 'module' })
  const say = (message: PainterMessage, transfer: Transferable[] = []) => {
    worker.postMessage(message, transfer)
  }
  const below = ground.transferControlToOffscreen()
  const above = top.transferControlToOffscreen()
  say({ kind: 'canvases', ground: below, top: above }, [below, above])
  return {
    paint: (plan, ratio) => {
      say({ kind: 'plan', plan, ratio })
    },
    close: () => {
      worker.terminate()
    },
  }
}
