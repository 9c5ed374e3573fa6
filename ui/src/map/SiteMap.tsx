/**
 * Sites and links on a map that is moved by pointer, touch and keyboard. It is drawn on a canvas by
 * a worker: thousands of sites stay smooth, without WebGL. What it shows is also had as a table.
 */

import { useCallback, useEffect, useEffectEvent, useMemo, useRef, useState } from 'react'

import { type Layout, type View, boxOf, fitted, zoomed } from '../domain/layout'
import {
  type Cluster,
  type Focus,
  type NetMap,
  type Point,
  bySeverity,
  clustersOf,
  mapSentence,
} from '../domain/netmap'
import { verdictMark } from '../domain/verdict'
import { Icon } from '../ui/Icon'
import css from './SiteMap.module.css'
import { type Painter, painterOf } from './painter'
import { type Drawn, type Ink, type Plan, drawnOf, inkOf, onScreen, planOf, under } from './plan'

interface Props {
  map: NetMap
  layout: Layout
  matching?: ReadonlySet<string> | null
  focus?: Focus | null
  selected?: string | null
  onSelect?: (id: string | null) => void
  /** How large marks and names are drawn. */
  zoom?: number
  /** A wall needs no hand: nothing to press. */
  isStill?: boolean
  /** What of the map is looked at first; all of it, if left out. */
  show?: readonly string[]
}

/** Sites nearer than this to each other are drawn as one, in pixels. */
const NEAR = 30
/** Clusters are made anew when the scale has changed by this. */
const SCALE_STEP = Math.SQRT2
const PAN_PX = 80
const ZOOM_STEP = 1.5
/** A pointer that moved less than this pressed; more, and it dragged. */
const SLOP_PX = 4
const REACH_PX = 10

export function SiteMap({
  map,
  layout,
  matching = null,
  focus = null,
  selected = null,
  onSelect,
  zoom = 1,
  isStill = false,
  show,
}: Props) {
  const frame = useRef<HTMLDivElement>(null)
  const ground = useRef<HTMLCanvasElement>(null)
  const top = useRef<HTMLCanvasElement>(null)
  const painter = useRef<Painter | null>(null)
  const planned = useRef<Plan | null>(null)
  const [size, setSize] = useState({ width: 0, height: 0 })
  const [ink, setInk] = useState<Ink | null>(null)
  const [moved, setMoved] = useState<View | null>(null)
  const [hovered, setHovered] = useState<{ drawn: Drawn; at: Point } | null>(null)
  const shown = show === undefined ? null : show.join('\n')

  const whole = useMemo(() => {
    if (size.width === 0) return null
    const wanted = shown?.split('\n').flatMap((id) => layout.places.get(id) ?? []) ?? []
    const points = wanted.length > 0 ? wanted : [...layout.places.values()]
    return fitted(boxOf(points), size.width, size.height)
  }, [layout, size, shown])
  const view = moved ?? whole

  const step = view === null ? null : Math.round(Math.log(view.scale) / Math.log(SCALE_STEP))
  const { clusters, home } = useMemo(() => {
    const made: readonly Cluster[] =
      step === null ? [] : clustersOf(layout.places, (NEAR * zoom) / SCALE_STEP ** step)
    const at = new Map<string, number>()
    made.forEach((cluster, index) => {
      for (const id of cluster.sites) at.set(id, index)
    })
    return { clusters: made, home: at }
  }, [layout, step, zoom])

  useEffect(() => {
    const element = frame.current
    if (element === null) return
    const measure = () => {
      setSize({ width: element.clientWidth, height: element.clientHeight })
    }
    const observer = new ResizeObserver(measure)
    observer.observe(element)
    const repaint = () => {
      setInk(inkOf(element))
    }
    repaint()
    const themes = new MutationObserver(repaint)
    themes.observe(document.documentElement, { attributes: true })
    return () => {
      observer.disconnect()
      themes.disconnect()
    }
  }, [])

  useEffect(() => {
    const [below, above] = [ground.current, top.current]
    if (below === null || above === null) return
    const made = painterOf(below, above)
    painter.current = made
    return () => {
      made.close()
      painter.current = null
    }
  }, [])

  useEffect(() => {
    if (view === null || ink === null || size.width === 0) return
    // As often as the screen shows something, however often something changes.
    const request = requestAnimationFrame(() => {
      const plan = planOf({
        map,
        view,
        size,
        zoom,
        hasLand: !layout.isPlan,
        clusters,
        home,
        matching,
        focus,
        selected,
        ink,
      })
      planned.current = plan
      painter.current?.paint(plan, window.devicePixelRatio)
    })
    return () => {
      cancelAnimationFrame(request)
    }
  }, [map, view, size, zoom, clusters, home, matching, focus, selected, layout, ink])

  const change = useCallback(
    (next: (view: View) => View) => {
      setMoved((before) => {
        const from = before ?? whole
        return from === null ? before : next(from)
      })
      setHovered(null)
    },
    [whole],
  )
  const center = { x: size.width / 2, y: size.height / 2 }
  const look = (factor: number) => {
    change((from) => zoomed(from, factor, center, size))
  }
  const find = (at: Point) =>
    planned.current === null ? null : under(drawnOf(planned.current), at, REACH_PX)
  const worstSite = (ids: readonly string[]) =>
    ids.flatMap((id) => map.sites.get(id) ?? []).sort(bySeverity)[0]?.id ?? null
  const press = (at: Point) => {
    const found = find(at)
    if (found === null) return onSelect?.(null)
    if (found.kind === 'links') return onSelect?.(found.bundles[0]?.id ?? null)
    if (found.sites.length === 1) return onSelect?.(found.sites[0] ?? null)
    // Looks closer until they come apart, which those of one house never do.
    const box = boxOf(found.sites.flatMap((id) => layout.places.get(id) ?? []))
    const next = fitted(box, size.width, size.height)
    const isOne = box.width + box.height < 1e-7
    if (isOne) onSelect?.(worstSite(found.sites))
    else change((from) => ({ ...next, scale: Math.min(next.scale, from.scale * 12) }))
  }
  useGestures(top, isStill, size, change, press, (at) => {
    const found = at === null ? null : find(at)
    setHovered(found === null || at === null ? null : { drawn: found, at })
  })

  /** Goes to the next site, the worst first. */
  const walk = (by: number) => {
    const ids = [...map.sites.values()]
      .filter(({ id }) => matching === null || matching.has(id))
      .sort(bySeverity)
      .map(({ id }) => id)
    const at = selected === null ? -1 : ids.indexOf(selected)
    const next = ids[(at + by + ids.length + (at < 0 && by < 0 ? 1 : 0)) % ids.length]
    if (next === undefined) return
    onSelect?.(next)
    const place = layout.places.get(next)
    const of = planned.current
    if (place === undefined || of === null) return
    const { x, y } = onScreen(of, place)
    const isSeen = x > 40 && y > 40 && x < size.width - 40 && y < size.height - 40
    if (!isSeen) change((from) => ({ ...from, ...place }))
  }
  const onKeyDown = (event: React.KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const pan = (dx: number, dy: number) => {
      change((from) => ({
        ...from,
        x: from.x + (dx * PAN_PX) / from.scale,
        y: from.y + (dy * PAN_PX) / from.scale,
      }))
    }
    const does: Record<string, () => void> = {
      ArrowLeft: () => {
        pan(-1, 0)
      },
      ArrowRight: () => {
        pan(1, 0)
      },
      ArrowUp: () => {
        pan(0, -1)
      },
      ArrowDown: () => {
        pan(0, 1)
      },
      '+': () => {
        look(ZOOM_STEP)
      },
      '=': () => {
        look(ZOOM_STEP)
      },
      '-': () => {
        look(1 / ZOOM_STEP)
      },
      '0': () => {
        setMoved(null)
      },
      n: () => {
        walk(1)
      },
      p: () => {
        walk(-1)
      },
      Escape: () => onSelect?.(null),
    }
    const act = does[event.key]
    if (act === undefined) return
    event.preventDefault()
    event.stopPropagation()
    act()
  }

  return (
    <div className={css.frame} ref={frame} data-plan={layout.isPlan || undefined}>
      <canvas className={css.layer} ref={ground} aria-hidden />
      <canvas
        className={css.layer}
        ref={top}
        // A map is moved by keys that mean something else on a page.
        role={isStill ? 'img' : 'application'}
        aria-roledescription={isStill ? undefined : 'map'}
        aria-label={`Map. ${mapSentence(map)}.`}
        aria-describedby={isStill ? undefined : 'map-keys'}
        tabIndex={isStill ? undefined : 0}
        onKeyDown={isStill ? undefined : onKeyDown}
      />
      {!isStill && (
        <>
          <p id="map-keys" className="visually-hidden">
            Arrows move, plus and minus look closer and wider, 0 shows all, n and p go from site
            to site, the worst first. The same is to be had as a table.
          </p>
          <div className={css.tools}>
            <button
              type="button"
              aria-label="Look closer"
              onClick={() => {
                look(ZOOM_STEP)
              }}
            >
              <Icon name="plus" />
            </button>
            <button
              type="button"
              aria-label="Look wider"
              onClick={() => {
                look(1 / ZOOM_STEP)
              }}
            >
              <Icon name="minus" />
            </button>
            <button
              type="button"
              aria-label="Show all"
              onClick={() => {
                setMoved(null)
              }}
            >
              <Icon name="whole" />
            </button>
          </div>
        </>
      )}
      {hovered !== null && <Tip map={map} size={size} {...hovered} />}
    </div>
  )
}

interface Pointers {
  all: Map<number, Point>
  begun: Point
  hasMoved: boolean
}

function useGestures(
  canvas: React.RefObject<HTMLCanvasElement | null>,
  isStill: boolean,
  size: { width: number; height: number },
  change: (next: (view: View) => View) => void,
  onPress: (at: Point) => void,
  onHover: (at: Point | null) => void,
): void {
  const press = useEffectEvent(onPress)
  const hover = useEffectEvent(onHover)
  const zoomAt = useEffectEvent((factor: number, at: Point) => {
    change((view) => zoomed(view, factor, at, size))
  })
  useEffect(() => {
    const element = canvas.current
    if (element === null || isStill) return
    const pointers: Pointers = { all: new Map(), begun: { x: 0, y: 0 }, hasMoved: false }
    const place = (event: MouseEvent): Point => {
      const box = element.getBoundingClientRect()
      return { x: event.clientX - box.left, y: event.clientY - box.top }
    }
    const onDown = (event: PointerEvent) => {
      if (event.button !== 0) return
      element.setPointerCapture(event.pointerId)
      const at = place(event)
      if (pointers.all.size === 0) [pointers.begun, pointers.hasMoved] = [at, false]
      else pointers.hasMoved = true
      pointers.all.set(event.pointerId, at)
    }
    const onMove = (event: PointerEvent) => {
      const at = place(event)
      const before = pointers.all.get(event.pointerId)
      if (before === undefined) {
        if (event.pointerType === 'mouse') hover(at)
        return
      }
      const far = Math.hypot(at.x - pointers.begun.x, at.y - pointers.begun.y)
      if (!pointers.hasMoved && far < SLOP_PX) return
      pointers.hasMoved = true
      const other = [...pointers.all].find(([id]) => id !== event.pointerId)?.[1]
      pointers.all.set(event.pointerId, at)
      if (other === undefined) {
        change((view) => ({
          ...view,
          x: view.x - (at.x - before.x) / view.scale,
          y: view.y - (at.y - before.y) / view.scale,
        }))
        return
      }
      const width = (p: Point) => Math.max(1, Math.hypot(p.x - other.x, p.y - other.y))
      zoomAt(width(at) / width(before), { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 })
    }
    const onUp = (event: PointerEvent) => {
      const was = pointers.all.delete(event.pointerId)
      if (was && !pointers.hasMoved && event.type === 'pointerup') press(place(event))
    }
    const onLeave = () => {
      hover(null)
    }
    const onWheel = (event: WheelEvent) => {
      event.preventDefault()
      // A line of a mouse's wheel is some pixels of a touchpad.
      const delta =
        event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * 18 : event.deltaY
      zoomAt(Math.exp(-Math.max(-120, Math.min(120, delta)) / 260), place(event))
    }
    const onDouble = (event: MouseEvent) => {
      zoomAt(ZOOM_STEP * ZOOM_STEP, place(event))
    }
    element.addEventListener('pointerdown', onDown)
    element.addEventListener('pointermove', onMove)
    element.addEventListener('pointerup', onUp)
    element.addEventListener('pointercancel', onUp)
    element.addEventListener('pointerleave', onLeave)
    element.addEventListener('dblclick', onDouble)
    element.addEventListener('wheel', onWheel, { passive: false })
    return () => {
      element.removeEventListener('pointerdown', onDown)
      element.removeEventListener('pointermove', onMove)
      element.removeEventListener('pointerup', onUp)
      element.removeEventListener('pointercancel', onUp)
      element.removeEventListener('pointerleave', onLeave)
      element.removeEventListener('dblclick', onDouble)
      element.removeEventListener('wheel', onWheel)
    }
  }, [canvas, isStill, change])
}

/** Names that a tip has room for. */
const TIP_LINES = 5

function Tip({
  map,
  size,
  drawn,
  at,
}: {
  map: NetMap
  size: { width: number; height: number }
  drawn: Drawn
  at: Point
}) {
  const rows =
    drawn.kind === 'sites'
      ? drawn.sites.flatMap((id) => map.sites.get(id) ?? [])
      : drawn.bundles.flatMap(({ links }) => links.flatMap((id) => map.links.get(id) ?? []))
  const sorted = [...rows].sort(bySeverity)
  const isLeft = at.x > size.width / 2
  const isUp = at.y > size.height / 2
  return (
    <div
      className={css.tip}
      style={{
        [isLeft ? 'right' : 'left']: (isLeft ? size.width - at.x : at.x) + 16,
        [isUp ? 'bottom' : 'top']: (isUp ? size.height - at.y : at.y) + 12,
      }}
      aria-hidden
    >
      {sorted.slice(0, TIP_LINES).map((row) => (
        <p key={row.id}>
          <strong>{row.id}</strong> <span>{verdictMark(row.state).word}</span>
          <br />
          {row.why}
        </p>
      ))}
      {sorted.length > TIP_LINES && <p>and {sorted.length - TIP_LINES} more</p>}
    </div>
  )
}
